// Goal: each record ends with the right outcome (ok, failed, unknown), once, in order, and idempotence keeps it from
// being in the log twice. Method: scripted brokers in the simulator, twenty seeds each.
package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/env"
)

// onProduce scripts the n-th produce request (from 1) that any broker gets.
func onProduce(f *fakes, say func(n int) *act) {
	n := 0
	f.script = func(_ *fake, req kmsg.Request) *act {
		if _, ok := req.(*kmsg.ProduceRequest); !ok {
			return nil
		}
		n++
		return say(n)
	}
}

func first(a act) func(int) *act {
	return func(n int) *act {
		if n == 1 {
			return &a
		}
		return nil
	}
}

func always(a act) func(int) *act { return func(int) *act { return &a } }

// outcomeCase is one record produced under a script, and how it must end.
type outcomeCase struct {
	name    string
	options client.ProducerOptions
	script  func(n int) *act
	want    client.Outcome
	err     error
	log     string // values in the log at the end
	offset  int64
}

func TestProducerOutcomes(t *testing.T) {
	all := client.ProducerOptions{Acks: client.AcksAll, DeliveryTimeout: 8 * time.Second}
	idem := all
	idem.Idempotent = true
	leader := all
	leader.Acks = client.AcksLeader
	zero := all
	zero.Acks = client.AcksNone
	unsafe := all
	unsafe.RetryUnsafe = true
	lostAck := act{code: kerr.RequestTimedOut.Code, applied: true}
	for _, c := range []outcomeCase{
		{"plain", all, nil, client.OK, nil, "v", 0},
		{"plain idempotent", idem, nil, client.OK, nil, "v", 0},
		{"no acks", zero, nil, client.OK, nil, "v", -1},
		{"definite refusal", all, always(act{code: kerr.MessageTooLarge.Code}), client.Failed, kerr.MessageTooLarge, "", -1},
		{"refused, then taken", all, first(act{code: kerr.NotEnoughReplicas.Code}), client.OK, nil, "v", 0},
		{"refused until the end", all, always(act{code: kerr.NotEnoughReplicas.Code}), client.Failed, client.ErrDeliveryTimeout, "", -1},
		{"not leader, one ack", leader, first(act{code: kerr.NotLeaderForPartition.Code}), client.OK, nil, "v", 0},
		{"not leader, all acks", all, first(act{code: kerr.NotLeaderForPartition.Code}), client.Unknown, kerr.NotLeaderForPartition, "", -1},
		{"not leader, idempotent", idem, first(act{code: kerr.NotLeaderForPartition.Code}), client.OK, nil, "v", 0},
		{"appended and timed out", all, first(lostAck), client.Unknown, kerr.RequestTimedOut, "v", -1},
		{"appended and timed out, idempotent", idem, first(lostAck), client.OK, nil, "v", 0},
		{"appended and timed out, unsafe", unsafe, first(lostAck), client.OK, nil, "v v", 1},
		{"hung up after", all, first(act{hangUp: true, applied: true}), client.Unknown, client.ErrBroken, "v", -1},
		{"hung up before", all, first(act{hangUp: true}), client.Unknown, client.ErrBroken, "", -1},
		{"hung up before, idempotent", idem, first(act{hangUp: true}), client.OK, nil, "v", 0},
		{"never answered", all, always(act{mute: true, applied: true}), client.Unknown, client.ErrBroken, "v", -1},
		{"never answered, idempotent", idem, always(act{mute: true, applied: true}), client.Unknown, client.ErrDeliveryTimeout, "v", -1},
		{"ambiguous, then refused", idem, func(n int) *act {
			if n == 1 {
				return &act{hangUp: true, applied: true}
			}
			return &act{code: kerr.MessageTooLarge.Code}
		}, client.Unknown, kerr.MessageTooLarge, "v", -1},
		{"too old a duplicate", idem, func(n int) *act {
			if n == 1 {
				return &act{hangUp: true, applied: true}
			}
			return &act{code: kerr.DuplicateSequenceNumber.Code}
		}, client.OK, nil, "v", -1},
		{"out of order after ambiguity", idem, func(n int) *act {
			if n == 1 {
				return &act{hangUp: true, applied: true}
			}
			if n == 2 { // it has lost its producer state
				return &act{code: kerr.OutOfOrderSequenceNumber.Code}
			}
			return nil
		}, client.Unknown, kerr.OutOfOrderSequenceNumber, "v", -1},
		{"out of order, nothing ambiguous", idem, first(act{code: kerr.OutOfOrderSequenceNumber.Code}), client.OK, nil, "v", 0},
		{"unknown producer id", idem, first(act{code: kerr.UnknownProducerID.Code}), client.OK, nil, "v", 0},
		{"disk failed", leader, first(act{code: kerr.KafkaStorageError.Code, applied: true}), client.Unknown, kerr.KafkaStorageError, "v", -1},
		{"late beyond the delivery timeout", client.ProducerOptions{Acks: client.AcksAll, DeliveryTimeout: time.Second},
			always(act{late: 1500 * time.Millisecond}), client.Unknown, client.ErrDeliveryTimeout, "v", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, e env.Env) { c.run(t, e) })
		})
	}
}

func (c *outcomeCase) run(t *testing.T, e env.Env) {
	f := startFakes(e, 1)
	if c.script != nil {
		onProduce(f, c.script)
	}
	k := newClient(e)
	defer k.Close()
	p, err := client.NewProducer(k, c.options)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	var r client.Result
	p.Produce(client.Record{Topic: "t", Value: []byte("v")}, func(got client.Result) { calls++; r = got })
	p.Flush()
	p.Close(time.Second)
	e.Sleep(5 * time.Second)
	if calls != 1 || r.Outcome != c.want || r.Offset != c.offset || c.err != nil && !errors.Is(r.Err, c.err) || (r.Err == nil) != (c.want == client.OK) {
		t.Errorf("%d calls, %+v", calls, r)
	}
	if got := f.values(0); got != c.log {
		t.Errorf("log %q, want %q", got, c.log)
	}
}

func TestProducerNeverSentIsFailed(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 2)
		f.lead("t", 0, 2)
		k := newClient(e)
		defer k.Close()
		p, err := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, DeliveryTimeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		f.brokers[1].l.Close() // the leader takes no connections
		if r := p.ProduceSync(client.Record{Topic: "t", Value: []byte("v")}); r.Outcome != client.Failed || !errors.Is(r.Err, client.ErrDeliveryTimeout) {
			t.Errorf("%+v", r)
		}
		if r := p.ProduceSync(client.Record{Topic: "nope", Partition: 0, Value: []byte("v")}); r.Outcome != client.Failed {
			t.Errorf("unknown topic: %+v", r)
		}
		f.brokers[1].listen()
		if r := p.ProduceSync(client.Record{Topic: "t", Value: []byte("w")}); r.Outcome != client.OK {
			t.Errorf("%+v", r)
		}
		p.Close(time.Second)
		if r := p.ProduceSync(client.Record{Topic: "t"}); r.Outcome != client.Failed || !errors.Is(r.Err, client.ErrClosed) {
			t.Errorf("closed: %+v", r)
		}
	})
}

// Requests are refused, lost, answered too late, or arrive long after their connection broke, while the leader moves to
// and fro: an idempotent producer must put every record that it calls ok into the log exactly once, in order.
func TestIdempotentProducerKeepsOrderUnderFailures(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 2)
		rand := e.Rand("script")
		onProduce(f, func(n int) *act {
			switch rand.IntN(50) {
			case 0:
				return &act{code: kerr.NotEnoughReplicas.Code}
			case 1:
				return &act{code: kerr.NotEnoughReplicasAfterAppend.Code, applied: true}
			case 2:
				return &act{hangUp: true, applied: rand.IntN(2) == 0}
			case 3:
				return &act{mute: true, applied: rand.IntN(2) == 0}
			case 4:
				return &act{code: kerr.MessageTooLarge.Code}
			case 5, 6:
				return &act{ghost: time.Duration(rand.IntN(5000)) * time.Millisecond}
			case 7:
				return &act{late: 1500 * time.Millisecond}
			}
			return &act{late: time.Duration(rand.IntN(20)) * time.Millisecond}
		})
		stop := false
		e.Go("elections", func() {
			for !stop {
				e.Sleep(time.Duration(100+rand.IntN(900)) * time.Millisecond)
				f.lead("t", 0, 1+int32(rand.IntN(2)))
			}
		})
		k := newClient(e)
		p, err := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, Idempotent: true,
			DeliveryTimeout: 2500 * time.Millisecond, BatchBytesMax: 200, RequestTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		results := make([]client.Result, 500)
		told := make([]int, len(results))
		for i := range results {
			p.Produce(client.Record{Topic: "t", Value: fmt.Appendf(nil, "%d", i)}, func(r client.Result) { results[i] = r; told[i]++ })
			if i%5 == 0 {
				e.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			}
		}
		p.Flush()
		p.Close(time.Second)
		stop = true
		k.Close()
		e.Sleep(10 * time.Second) // what is still on its way
		judgeOnce(t, strings.Fields(f.values(0)), results, told)
	})
}

func judgeOnce(t *testing.T, log []string, results []client.Result, told []int) {
	t.Helper()
	at := map[string]int{}
	last := -1
	for offset, v := range log {
		if _, twice := at[v]; twice {
			t.Errorf("value %s is in the log twice", v)
		}
		at[v] = offset
		var n int
		fmt.Sscan(v, &n)
		if n < last {
			t.Errorf("value %d after %d", n, last)
		}
		last = n
	}
	ok := 0
	for i, r := range results {
		offset, there := at[fmt.Sprint(i)]
		switch {
		case told[i] != 1:
			t.Errorf("record %d has %d results", i, told[i])
		case r.Outcome == client.OK && (!there || r.Offset >= 0 && r.Offset != int64(offset)):
			t.Errorf("record %d is ok at %d, and in the log: %v at %d", i, r.Offset, there, offset)
		case r.Outcome == client.Failed && there:
			t.Errorf("record %d failed, and is in the log: %v", i, r.Err)
		}
		if r.Outcome == client.OK {
			ok++
		}
	}
	if ok < len(results)/4 {
		t.Errorf("%d of %d ok: the test says little", ok, len(results))
	}
}

// A broker that knows nothing of a producer takes any sequence number: a second batch must not overtake a first that is
// refused (KAFKA-14359).
func TestIdempotentProducersFirstBatchGoesAlone(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		onProduce(f, func(n int) *act {
			if n == 1 {
				return &act{code: kerr.NotEnoughReplicas.Code, late: 50 * time.Millisecond}
			}
			return &act{late: 50 * time.Millisecond}
		})
		k := newClient(e)
		defer k.Close()
		p, _ := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, Idempotent: true, BatchBytesMax: 1})
		start := e.Mono()
		for i := range 12 {
			p.Produce(client.Record{Topic: "t", Value: fmt.Appendf(nil, "%d", i)}, func(r client.Result) {
				if r.Outcome != client.OK || r.Offset != int64(i) {
					t.Errorf("%d: %+v", i, r)
				}
			})
		}
		p.Flush()
		if got := f.values(0); got != "0 1 2 3 4 5 6 7 8 9 10 11" {
			t.Errorf("log %q", got)
		}
		t.Logf("%v", e.Mono().Sub(start))
		p.Close(0)
	})
}

func TestProducerBatchesAndLingers(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		k := newClient(e)
		defer k.Close()
		p, err := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, Linger: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		start := e.Mono()
		done := env.NewQueue[client.Result](e, 0)
		for i := range 10 {
			p.Produce(client.Record{Topic: "t", Value: fmt.Appendf(nil, "%d", i)}, func(r client.Result) { done.Put(r) })
		}
		for i := range 10 {
			if r, _ := done.Get(); r.Outcome != client.OK || r.Offset != int64(i) {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if waited := e.Mono().Sub(start); waited < 50*time.Millisecond || f.requests["Produce@1"] != 1 {
			t.Errorf("%d requests after %v", f.requests["Produce@1"], waited)
		}
		// Flush does not wait for the linger.
		start = e.Mono()
		p.Produce(client.Record{Topic: "t"}, func(client.Result) {})
		p.Flush()
		if waited := e.Mono().Sub(start); waited > 45*time.Millisecond {
			t.Errorf("flush took %v", waited)
		}
		p.Close(0)
	})
}

func TestProducerBufferIsBounded(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		onProduce(f, always(act{late: 200 * time.Millisecond}))
		k := newClient(e)
		defer k.Close()
		p, _ := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, BufferBytesMax: 3000, BlockMax: 500 * time.Millisecond})
		failed := 0
		for range 20 {
			p.Produce(client.Record{Topic: "t", Value: make([]byte, 1000)}, func(r client.Result) {
				if r.Outcome == client.Failed {
					failed++
				}
			})
		}
		p.Flush()
		if failed != 0 {
			t.Errorf("%d failed, though room came in time", failed)
		}
		onProduce(f, always(act{mute: true}))
		for range 20 {
			p.Produce(client.Record{Topic: "t", Value: make([]byte, 1000)}, func(r client.Result) {
				if r.Outcome == client.Failed && errors.Is(r.Err, env.ErrTimeout) {
					failed++
				}
			})
		}
		if failed == 0 {
			t.Error("nothing was refused by a full buffer")
		}
		p.Close(0)
	})
}

func TestKeysGoWhereKafkaPutsThem(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		f.parts = 8
		for i := range f.parts {
			f.lead("t", i, 1)
		}
		k := newClient(e)
		defer k.Close()
		p, _ := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll})
		for key, want := range map[string]int32{"": 1, "a": 4, "ab": 2, "abc": 3, "21": 4, "foobar": 6, "a-little-bit-long-string": 0} {
			for range 2 {
				if r := p.ProduceSync(client.Record{Topic: "t", Partition: client.AnyPartition, Key: []byte(key)}); r.TP.Partition != want || r.Outcome != client.OK {
					t.Errorf("key %q: %+v, want partition %d", key, r, want)
				}
			}
		}
		if r := p.ProduceSync(client.Record{Topic: "t", Partition: client.AnyPartition}); r.Outcome != client.OK {
			t.Errorf("no key: %+v", r)
		}
		p.Close(0)
	})
}
