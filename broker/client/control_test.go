package client_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// watcher is an interceptor of both kinds.
type watcher struct {
	seen  []string
	drops bool
}

func (w *watcher) OnConsume(fetched []client.Fetched) []client.Fetched {
	for i := range fetched {
		for _, r := range fetched[i].Records {
			w.seen = append(w.seen, string(r.Value))
		}
		if w.drops {
			fetched[i].Records = nil
		}
	}
	return fetched
}
func (w *watcher) OnCommit([]client.CommitOffset) {}
func (w *watcher) OnSend(r client.Record) client.Record {
	r.Value = append([]byte("sent-"), r.Value...)
	return r
}
func (w *watcher) OnAcknowledgement(r client.Result) {
	w.seen = append(w.seen, fmt.Sprint(r.Outcome, r.Offset))
}

// Goal: Position is behind what Poll has returned and no further; Seek goes where it is told; a paused partition returns nothing, keeps what was fetched, and goes on
// where it was. Method: scripted brokers.
func TestSeekPauseResume(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		startFakes(e, 1)
		fill(e, t, 9)
		c := newClient(e)
		defer c.Close()
		k := client.NewConsumer(c, client.ConsumerOptions{})
		defer k.Close()
		if err := k.Seek(t0, 0); !errors.Is(err, client.ErrNotAssigned) {
			t.Errorf("seek: %v", err)
		}
		if err := k.Pause(t0); !errors.Is(err, client.ErrNotAssigned) {
			t.Errorf("pause: %v", err)
		}
		k.Assign(t0, 0)
		e.Go("poll", func() { k.Poll(0) }) // begins a fetch
		e.Sleep(5 * time.Second)
		if at, _ := k.Position(t0); at != 0 {
			t.Errorf("position %d with nothing returned", at)
		}
		if err := k.Pause(t0); err != nil || !slices.Equal(k.Paused(), []wire.TopicPartition{t0}) {
			t.Error(err, k.Paused())
		}
		if fetched, _ := k.Poll(3 * time.Second); len(fetched) != 0 {
			t.Errorf("paused, and returned %+v", fetched)
		}
		if err := k.Resume(t0); err != nil {
			t.Error(err)
		}
		next := int64(0)
		read := func(until int64) {
			poll(e, t, k, func(f client.Fetched) bool {
				for _, r := range f.Records {
					if r.Offset != next {
						t.Fatalf("offset %d, want %d", r.Offset, next)
					}
					next++
				}
				if at, _ := k.Position(t0); at != next {
					t.Errorf("position %d behind %d", at, next)
				}
				return next >= until
			})
		}
		read(9)
		if err := k.Seek(t0, 4); err != nil {
			t.Error(err)
		}
		next = 4
		read(9)
	})
}

// Goal: interceptors see, and may change, what goes out and comes in. Method: scripted brokers.
func TestInterceptors(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		c := newClient(e)
		defer c.Close()
		out, in, drop := &watcher{}, &watcher{}, &watcher{drops: true}
		p, err := client.NewProducer(c, client.ProducerOptions{Acks: client.AcksAll, Interceptors: []client.ProducerInterceptor{out, out}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(0)
		if r := p.ProduceSync(client.Record{Topic: "t", Value: []byte("x")}); r.Outcome != client.OK {
			t.Fatalf("%+v", r)
		}
		if got := fmt.Sprint(out.seen); got != "[ok 0 ok 0]" {
			t.Error(got)
		}
		if r := p.ProduceSync(client.Record{Topic: "nowhere", Partition: client.AnyPartition}); r.Outcome != client.Failed {
			t.Fatalf("no such topic, and %v", r.Outcome)
		}
		f.script = func(_ *fake, req kmsg.Request) *act {
			if _, produce := req.(*kmsg.ProduceRequest); produce {
				return &act{code: kerr.MessageTooLarge.Code}
			}
			return nil
		}
		if r := p.ProduceSync(client.Record{Topic: "t", Value: []byte("x")}); r.Outcome != client.Failed {
			t.Fatalf("refused, and %v", r.Outcome)
		}
		f.script = nil
		if got := fmt.Sprint(out.seen); got != "[ok 0 ok 0 failed -1 failed -1 failed -1 failed -1]" {
			t.Error(got)
		}
		k := client.NewConsumer(c, client.ConsumerOptions{Interceptors: []client.ConsumerInterceptor{in, drop, in}})
		defer k.Close()
		k.Assign(t0, 0)
		poll(e, t, k, func(got client.Fetched) bool {
			if len(got.Records) != 0 {
				t.Errorf("%+v was taken away", got)
			}
			return got.Next == 1
		})
		if got := fmt.Sprint(in.seen); got != "[sent-sent-x]" {
			t.Error(got)
		}
	})
}

// Goal: each partitioner does what Kafka's of its name does. Method: records without partition to a topic of several, and where they came to be.
func TestPartitioners(t *testing.T) {
	for name, c := range map[string]struct {
		o    client.ProducerOptions
		want func(at []int32) string
	}{
		"round-robin": {client.ProducerOptions{Partitioner: client.PartitionRoundRobin}, func(at []int32) string {
			for i := range at {
				if at[i] != int32(i%4) {
					return fmt.Sprintf("record %d is in partition %d", i, at[i])
				}
			}
			return ""
		}},
		"by key": {client.ProducerOptions{}, func(at []int32) string {
			for i := range at {
				if at[i] != at[i%5] {
					return fmt.Sprintf("records %d and %d of one key are in partitions %d and %d", i, i%5, at[i], at[i%5])
				}
			}
			return ""
		}},
		"sticky":         {client.ProducerOptions{Partitioner: client.PartitionSticky, BatchBytesMax: 1000, Linger: time.Second}, runs(4, 60)},
		"uniform sticky": {client.ProducerOptions{Partitioner: client.PartitionUniformSticky, BatchBytesMax: 1000, Linger: time.Second}, runs(4, 60)},
		"custom": {client.ProducerOptions{Partition: func(r *client.Record, n int) int32 { return int32(n - 1) }}, func(at []int32) string {
			if slices.ContainsFunc(at, func(p int32) bool { return p != 3 }) {
				return fmt.Sprint(at)
			}
			return ""
		}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, e env.Env) {
				f := startFakes(e, 2)
				f.parts = 4
				for p := range int32(4) {
					f.lead("t", p, 1+p%2)
				}
				k := newClient(e)
				defer k.Close()
				c.o.Acks = client.AcksAll
				p, err := client.NewProducer(k, c.o)
				if err != nil {
					t.Fatal(err)
				}
				at := make([]int32, 200)
				for i := range at {
					r := client.Record{Topic: "t", Partition: client.AnyPartition, Key: fmt.Appendf(nil, "k%d", i%5), Value: []byte("value"), Timestamp: 1}
					p.Produce(r, func(r client.Result) {
						if r.Outcome != client.OK {
							t.Errorf("%d: %+v", i, r)
						}
						at[i] = r.TP.Partition
					})
				}
				p.Flush()
				p.Close(0)
				if why := c.want(at); why != "" {
					t.Error(why)
				}
			})
		})
	}
}

// runs wants runs of one partition, none longer than long, and at least so many different partitions less one.
func runs(different, long int) func([]int32) string {
	return func(at []int32) string {
		seen, run, changes := map[int32]bool{}, 0, 0
		for i := range at {
			seen[at[i]] = true
			if run++; i > 0 && at[i] != at[i-1] {
				run, changes = 1, changes+1
			}
			if run > long*2 {
				return fmt.Sprintf("%d records in a row in partition %d", run, at[i])
			}
		}
		if len(seen) < different-2 || changes > len(at)/4 {
			return fmt.Sprintf("%d partitions, %d changes: %v", len(seen), changes, at)
		}
		return ""
	}
}
