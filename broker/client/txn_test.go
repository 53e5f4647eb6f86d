// Goal: a transaction's end is told as it is (ok, failed, unknown), what is committed is seen and what is aborted is not, and a
// producer that was replaced can do nothing more. Method: scripted brokers in the simulator, under transaction.version 0 and 2,
// twenty seeds each.
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
	"barnabas/broker/wire"
)

func bothVersions(t *testing.T, body func(t *testing.T, e env.Env, f *fakes, s *fakeTxns)) {
	for _, version := range []int16{0, 2} {
		t.Run(fmt.Sprintf("transaction.version=%d", version), func(t *testing.T) {
			simulate(t, func(t *testing.T, e env.Env) {
				f := startFakes(e, 2)
				f.parts = 2
				f.lead("t", 1, 2)
				body(t, e, f, f.newTxns(version))
			})
		})
	}
}

func transactional(t *testing.T, e env.Env) *client.Transactional {
	t.Helper()
	x, err := client.NewTransactional(newClient(e), client.TransactionOptions{ID: "x", Producer: client.ProducerOptions{DeliveryTimeout: 8 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Init(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return x
}

// put produces values to partitions 0 and 1 in turn; what is not ok fails the test unless bad is true.
func put(t *testing.T, x *client.Transactional, values ...string) {
	t.Helper()
	for i, v := range values {
		x.Produce(client.Record{Topic: "t", Partition: int32(i % 2), Value: []byte(v)}, func(res client.Result) {
			if res.Outcome != client.OK {
				t.Errorf("%s: %v %v", v, res.Outcome, res.Err)
			}
		})
	}
}

// committed reads what a read_committed consumer sees of both partitions.
func committed(t *testing.T, e env.Env, f *fakes) string {
	t.Helper()
	c := newClient(e)
	defer c.Close()
	k := client.NewConsumer(c, client.ConsumerOptions{ReadCommitted: true, WaitMax: 50 * time.Millisecond})
	defer k.Close()
	var got [2][]string
	for p := range int32(2) {
		k.Assign(wire.TopicPartition{Topic: "t", Partition: p}, 0)
	}
	for range 20 {
		fetched, err := k.Poll(200 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range fetched {
			for _, r := range x.Records {
				got[x.TP.Partition] = append(got[x.TP.Partition], string(r.Value))
			}
		}
	}
	return strings.Join(got[0], " ") + " | " + strings.Join(got[1], " ")
}

func TestTransactionsAreSeenWhenCommitted(t *testing.T) {
	bothVersions(t, func(t *testing.T, e env.Env, f *fakes, s *fakeTxns) {
		x := transactional(t, e)
		for i, commit := range []bool{true, false, true} {
			if err := x.Begin(); err != nil {
				t.Fatal(err)
			}
			put(t, x, fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i))
			if commit {
				if o, err := x.Commit(5 * time.Second); o != client.OK || err != nil {
					t.Fatal(o, err)
				}
				continue
			}
			e.Sleep(time.Second) // what was not sent would be dropped
			x.Produce(client.Record{Topic: "t", Partition: 1, Value: []byte("dropped or hidden")}, func(client.Result) {})
			if err := x.Abort(5 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if got := committed(t, e, f); got != "a0 c0 a2 c2 | b0 b2" {
			t.Error(got)
		}
		adds := f.requests["AddPartitionsToTxn@1"]
		if s.version >= 2 != (adds == 0) {
			t.Errorf("version %d: %d AddPartitionsToTxn", s.version, adds)
		}
		if want := map[int16]int16{0: 0, 2: 3}[s.version]; x.Identity().ProducerEpoch != want {
			t.Errorf("version %d: epoch %d, want %d", s.version, x.Identity().ProducerEpoch, want)
		}
		if o, err := x.Commit(time.Second); o != client.Failed || !errors.Is(err, client.ErrTxnState) {
			t.Error(o, err)
		}
		x.Close(time.Second)
	})
}

func TestNewerProducerFences(t *testing.T) {
	bothVersions(t, func(t *testing.T, e env.Env, f *fakes, s *fakeTxns) {
		old := transactional(t, e)
		old.Begin()
		put(t, old, "old")
		old.Produce(client.Record{Topic: "t", Partition: 1, Value: []byte("old")}, func(client.Result) {})
		e.Sleep(time.Second)
		young := transactional(t, e)
		if o, err := old.Commit(5 * time.Second); o != client.Failed || !errors.Is(err, client.ErrFenced) {
			t.Error(o, err)
		}
		if err := old.Begin(); !errors.Is(err, client.ErrFenced) {
			t.Error(err)
		}
		young.Begin()
		put(t, young, "young")
		if o, err := young.Commit(5 * time.Second); o != client.OK {
			t.Error(o, err)
		}
		if got := committed(t, e, f); got != "young | " {
			t.Error(got)
		}
	})
}

// onEnd scripts the n-th EndTxn, from 1.
func onEnd(f *fakes, say func(n int) *act) {
	n := 0
	f.script = func(_ *fake, req kmsg.Request) *act {
		if _, ok := req.(*kmsg.EndTxnRequest); !ok {
			return nil
		}
		n++
		return say(n)
	}
}

func TestCommitOutcomes(t *testing.T) {
	fenced := act{code: kerr.ProducerFenced.Code}
	for _, c := range []struct {
		name   string
		script func(n int) *act
		want   client.Outcome
		err    error
		seen   bool
	}{
		{"plain", nil, client.OK, nil, true},
		{"coordinator busy", first(act{code: kerr.ConcurrentTransactions.Code}), client.OK, nil, true},
		{"coordinator moved", first(act{code: kerr.NotCoordinator.Code}), client.OK, nil, true},
		{"done, answer lost", first(act{hangUp: true, applied: true}), client.OK, nil, true},
		{"done, then not coordinator", first(act{code: kerr.NotCoordinator.Code, applied: true}), client.OK, nil, true},
		{"fenced", always(fenced), client.Failed, client.ErrFenced, false},
		{"bad state", always(act{code: kerr.InvalidTxnState.Code}), client.Failed, kerr.InvalidTxnState, false},
		{"done, answer lost, then fenced", func(n int) *act {
			if n == 1 {
				return &act{hangUp: true, applied: true}
			}
			return &fenced
		}, client.Unknown, client.ErrFenced, true},
		{"never answered", always(act{mute: true, applied: true}), client.Unknown, env.ErrTimeout, true},
		{"load in progress for ever", always(act{code: kerr.CoordinatorLoadInProgress.Code}), client.Failed, env.ErrTimeout, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothVersions(t, func(t *testing.T, e env.Env, f *fakes, s *fakeTxns) {
				if c.script != nil {
					onEnd(f, c.script)
				}
				x := transactional(t, e)
				x.Begin()
				put(t, x, "a", "b")
				o, err := x.Commit(6 * time.Second)
				if o != c.want || (err == nil) != (c.err == nil) || !errors.Is(err, c.err) {
					t.Errorf("%v %v", o, err)
				}
				f.script = nil
				got := committed(t, e, f)
				if c.seen && got != "a | b" || !c.seen && got != " | " {
					t.Errorf("seen: %q", got)
				}
				if errors.Is(c.err, env.ErrTimeout) { // asked once more it is done
					if o, err := x.Commit(5 * time.Second); o != client.OK || err != nil {
						t.Errorf("again: %v %v", o, err)
					}
				}
			})
		})
	}
}

// A failed record makes its transaction one that can only be aborted; the next one goes by another epoch (KIP-360).
func TestFailedRecordAborts(t *testing.T) {
	bothVersions(t, func(t *testing.T, e env.Env, f *fakes, s *fakeTxns) {
		onProduce(f, func(n int) *act {
			if n == 2 {
				return &act{code: kerr.OutOfOrderSequenceNumber.Code}
			}
			return nil
		})
		x := transactional(t, e)
		x.Begin()
		put(t, x, "a")
		e.Sleep(time.Second)
		before := x.Identity()
		var bad client.Result
		x.Produce(client.Record{Topic: "t", Partition: 0, Value: []byte("bad")}, func(r client.Result) { bad = r })
		if o, err := x.Commit(5 * time.Second); o != client.Failed || !errors.Is(err, client.ErrMustAbort) {
			t.Error(o, err)
		}
		if bad.Outcome != client.Failed {
			t.Errorf("%+v", bad)
		}
		var late client.Result
		x.Produce(client.Record{Topic: "t", Partition: 0, Value: []byte("late")}, func(r client.Result) { late = r })
		if !errors.Is(late.Err, client.ErrMustAbort) {
			t.Errorf("%+v", late)
		}
		if err := x.Abort(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if now := x.Identity(); now.ProducerEpoch != before.ProducerEpoch+1 {
			t.Errorf("%+v after %+v", now, before)
		}
		x.Begin()
		put(t, x, "c", "d")
		if o, err := x.Commit(5 * time.Second); o != client.OK {
			t.Error(o, err)
		}
		if got := committed(t, e, f); got != "c | d" {
			t.Error(got)
		}
	})
}

// Offsets are committed with the transaction, by a member of the group's generation alone (KIP-447).
func TestOffsetsOfATransaction(t *testing.T) {
	bothVersions(t, func(t *testing.T, e env.Env, f *fakes, s *fakeTxns) {
		x := transactional(t, e)
		tp := wire.TopicPartition{Topic: "t", Partition: 1}
		at := []client.CommitOffset{{TP: tp, Offset: 5}}
		x.Begin()
		put(t, x, "a")
		if err := x.SendOffsets(at, client.GroupMetadata{Group: "g", MemberID: "m", Generation: 1}, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if len(s.offsets) != 0 {
			t.Errorf("%v before the commit", s.offsets)
		}
		if o, err := x.Commit(5 * time.Second); o != client.OK {
			t.Fatal(o, err)
		}
		if s.offsets["g/t-1"] != 5 {
			t.Errorf("%v", s.offsets)
		}
		x.Begin()
		put(t, x, "b")
		at[0].Offset = 9
		if err := x.SendOffsets(at, client.GroupMetadata{Group: "g", MemberID: "m", Generation: 0}, 5*time.Second); !errors.Is(err, kerr.IllegalGeneration) {
			t.Error(err)
		}
		if o, err := x.Commit(5 * time.Second); o != client.Failed || !errors.Is(err, client.ErrMustAbort) {
			t.Error(o, err)
		}
		if err := x.Abort(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if got := committed(t, e, f); got != "a | " || s.offsets["g/t-1"] != 5 {
			t.Error(got, s.offsets)
		}
	})
}

// A commit waits for what is not confirmed yet, and an abort for what is in flight: neither is overtaken.
func TestEndWaitsForWhatIsUnderWay(t *testing.T) {
	bothVersions(t, func(t *testing.T, e env.Env, f *fakes, s *fakeTxns) {
		onProduce(f, func(n int) *act { return &act{late: time.Second, applied: true} })
		x := transactional(t, e)
		x.Begin()
		put(t, x, "a", "b")
		if o, err := x.Commit(5 * time.Second); o != client.OK {
			t.Fatal(o, err)
		}
		x.Begin()
		answered := false
		x.Produce(client.Record{Topic: "t", Partition: 0, Value: []byte("c")}, func(client.Result) { answered = true })
		e.Sleep(300 * time.Millisecond)
		if err := x.Abort(5 * time.Second); err != nil || !answered {
			t.Error(err, answered)
		}
		if got := committed(t, e, f); got != "a | b" {
			t.Error(got)
		}
	})
}

// A transaction in which nothing was sent ends without a word.
func TestEmptyTransaction(t *testing.T) {
	bothVersions(t, func(t *testing.T, e env.Env, f *fakes, s *fakeTxns) {
		x := transactional(t, e)
		for range 3 {
			x.Begin()
			if o, err := x.Commit(time.Second); o != client.OK || err != nil {
				t.Error(o, err)
			}
			x.Begin()
			if err := x.Abort(time.Second); err != nil {
				t.Error(err)
			}
		}
		if n := f.requests["EndTxn@1"]; n != 0 {
			t.Errorf("%d EndTxn", n)
		}
		if _, err := client.NewTransactional(newClient(e), client.TransactionOptions{}); err == nil {
			t.Error("a producer without a transactional id")
		}
	})
}
