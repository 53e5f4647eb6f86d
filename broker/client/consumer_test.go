// Goal: a consumer returns every record once and in order, follows the leader, and tells of what it cannot mend:
// positions outside of the log, and truncation. Method: scripted brokers in the simulator.
package client_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

var t0 = wire.TopicPartition{Topic: "t"}

// fill puts n records, in batches of three, into partition 0 of "t".
func fill(e env.Env, t *testing.T, n int) {
	k := newClient(e)
	defer k.Close()
	p, err := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, Linger: time.Millisecond, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p.Produce(client.Record{Topic: "t", Key: []byte("k"), Value: fmt.Appendf(nil, "%d", i), Timestamp: int64(1000 + i),
			Headers: []client.Header{{Key: "h", Value: []byte{byte(i)}}}}, func(r client.Result) {
			if r.Outcome != client.OK {
				t.Errorf("%d: %+v", i, r)
			}
		})
		if i%3 == 2 {
			p.Flush()
		}
	}
	p.Flush()
	p.Close(0)
}

// poll polls until f says enough, for at most 30 s.
func poll(e env.Env, t *testing.T, k *client.Consumer, enough func(client.Fetched) bool) {
	t.Helper()
	deadline := e.Mono().Add(30 * time.Second)
	for e.Mono() < deadline {
		fetched, err := k.Poll(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			if enough(f) {
				return
			}
		}
	}
	t.Error("waited in vain")
}

func TestConsumerReadsEverythingOnceAcrossLeaderChanges(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 2)
		fill(e, t, 10)
		rand := e.Rand("script")
		f.script = func(b *fake, req kmsg.Request) *act {
			if _, ok := req.(*kmsg.FetchRequest); !ok {
				return nil
			}
			switch rand.IntN(6) {
			case 0:
				return &act{hangUp: true}
			case 1:
				return &act{code: kerr.UnknownLeaderEpoch.Code}
			case 2:
				f.lead("t", 0, 1+int32(rand.IntN(2)))
			}
			return nil
		}
		k := newClient(e)
		defer k.Close()
		c := client.NewConsumer(k, client.ConsumerOptions{})
		defer c.Close()
		c.Assign(t0, 2)
		next := int64(2)
		e.Go("more", func() { e.Sleep(3 * time.Second); fill(e, t, 10) })
		poll(e, t, c, func(got client.Fetched) bool {
			if got.From != next || got.Err != nil || got.Truncated != nil {
				t.Errorf("%+v, want from %d", got, next)
			}
			for _, r := range got.Records {
				if want := fmt.Sprint(next % 10); string(r.Value) != want || r.Offset != next || string(r.Key) != "k" ||
					r.Timestamp != 1000+next%10 || len(r.Headers) != 1 || r.Headers[0].Value[0] != byte(next%10) {
					t.Errorf("%+v at %d", r, next)
				}
				next++
			}
			if got.Next != next || got.HighWatermark < next {
				t.Errorf("%+v, want next %d", got, next)
			}
			return next == 20
		})
	})
}

func TestConsumerOutOfRange(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		fill(e, t, 6)
		f.log(0).start = 3
		k := newClient(e)
		defer k.Close()
		strict := client.NewConsumer(k, client.ConsumerOptions{})
		strict.Assign(t0, 99)
		poll(e, t, strict, func(got client.Fetched) bool {
			if !errors.Is(got.Err, kerr.OffsetOutOfRange) || got.Next != 99 {
				t.Errorf("%+v", got)
			}
			return true
		})
		for policy, want := range map[client.ResetPolicy]int64{client.ResetEarliest: 3, client.ResetLatest: 6} {
			c := client.NewConsumer(k, client.ConsumerOptions{Reset: policy})
			c.Assign(t0, 0)
			poll(e, t, c, func(got client.Fetched) bool {
				if !got.Reset || got.Next != want {
					t.Errorf("policy %d: %+v", policy, got)
				}
				return true
			})
			c.Close()
		}
		strict.Close()
		if _, err := strict.Poll(time.Second); !errors.Is(err, client.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestConsumerTellsTruncation(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 2)
		fill(e, t, 9) // batches at 0, 3, 6
		k := newClient(e)
		defer k.Close()
		c := client.NewConsumer(k, client.ConsumerOptions{WaitMax: 50 * time.Millisecond})
		defer c.Close()
		c.Assign(t0, client.Earliest)
		poll(e, t, c, func(got client.Fetched) bool { return got.Next == 9 })
		// A new leader has lost the last batch, and puts another in its place.
		l := f.log(0)
		l.batches, l.end = l.batches[:2], 6
		f.lead("t", 0, 2)
		fill(e, t, 6)
		poll(e, t, c, func(got client.Fetched) bool {
			if got.Truncated == nil && len(got.Records) == 0 {
				return false
			}
			want := client.Truncation{Position: 9, Epoch: 0, EndOffset: 6, EndEpoch: 0}
			if got.Truncated == nil || *got.Truncated != want || got.Next != 6 {
				t.Errorf("%+v", got)
			}
			return true
		})
		next := int64(6)
		poll(e, t, c, func(got client.Fetched) bool {
			for _, r := range got.Records {
				if r.Offset != next || r.LeaderEpoch != 1 {
					t.Errorf("%+v at %d", r, next)
				}
				next++
			}
			return next == 12
		})
	})
}

func TestAdmin(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 2)
		fill(e, t, 5)
		moved := 0
		f.script = func(b *fake, req kmsg.Request) *act {
			if _, ok := req.(*kmsg.CreateTopicsRequest); ok && moved == 0 {
				moved++
				f.ctrl = 2 // the controller moves while the request is on its way
			}
			return nil
		}
		k := newClient(e)
		defer k.Close()
		a := client.NewAdmin(k)
		if err := a.CreateTopics(5*time.Second, client.NewTopic{Name: "x", Partitions: 1, ReplicationFactor: 1}); err != nil {
			t.Error(err)
		}
		if l, err := a.ListOffsets(t0, client.Latest, false, 5*time.Second); err != nil || l.Offset != 5 {
			t.Errorf("%+v, %v", l, err)
		}
		f.script = func(b *fake, req kmsg.Request) *act {
			if _, ok := req.(*kmsg.CreateTopicsRequest); ok {
				return &act{hangUp: true}
			}
			return nil
		}
		if err := a.CreateTopics(5*time.Second, client.NewTopic{Name: "x"}); !client.MaybeSent(err) {
			t.Errorf("lost answer: %v", err)
		}
		for _, b := range f.brokers {
			b.l.Close()
		}
		nobody := client.New(e, client.Options{Bootstrap: []string{"b1:9092"}, DialTimeout: time.Second})
		defer nobody.Close()
		if err := client.NewAdmin(nobody).CreateTopics(3*time.Second, client.NewTopic{Name: "x"}); !errors.Is(err, env.ErrTimeout) {
			t.Errorf("no broker: %v", err)
		}
	})
}
