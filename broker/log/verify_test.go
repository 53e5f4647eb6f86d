// Goal: a transaction begins in a log only if it was verified since the last thing that its producer did there, and producers are
// forgotten in time.
// Method: one log on a simulated disk; each test is a short story.
package log_test

import (
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// transact appends a record of a transaction with a guard.
func (f *fixture) transact(id int64, epoch int16, sequence int32, guard *log.Guard) error {
	_, err := f.AppendAsLeader(build("t", 1, func(o *record.BatchOptions) {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = id, epoch, sequence, true
	}), 0, log.AppendOptions{Verified: true, Guard: guard})
	return err
}

func (f *fixture) mark(id int64, epoch int16, coordinator int32) error {
	_, err := f.AppendAsLeader(record.AppendEndTxn(nil, 1, id, epoch, record.EndTxnMarker{Type: record.ControlAbort, CoordinatorEpoch: coordinator}), 0,
		log.AppendOptions{Origin: log.FromCoordinator, Verified: true})
	return err
}

// KIP-890: a guard is good for the first record, and worth nothing once a marker has come.
func TestTransactionsBeginWithAGuard(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		f.want(f.transact(1, 0, 0, nil), kerr.InvalidTxnState)
		guard := f.BeginVerification(1, 0, 0)
		if guard == nil || f.BeginVerification(1, 0, 0) != guard {
			t.Fatal("one verification at a time has one guard")
		}
		f.want(f.transact(2, 0, 0, guard), kerr.InvalidTxnState) // another producer's
		f.must(f.transact(1, 0, 0, guard))
		if f.BeginVerification(1, 0, 1) != nil {
			t.Fatal("it is open: there is nothing to verify")
		}
		f.must(f.transact(1, 0, 1, nil))
		f.must(f.mark(1, 0, 0))
		f.want(f.transact(1, 0, 2, nil), kerr.InvalidTxnState)
		f.want(f.transact(1, 0, 2, guard), kerr.InvalidTxnState)

		late := f.BeginVerification(1, 0, 2)
		f.must(f.mark(1, 0, 0)) // while the coordinator is asked
		f.want(f.transact(1, 0, 2, late), kerr.InvalidTxnState)

		next := f.BeginVerification(1, 1, 0) // a new epoch has a guard of its own
		if next == f.BeginVerification(1, 0, 0) && f.BeginVerification(1, 1, 0) != next {
			t.Fatal("the older epoch took the guard")
		}
		f.must(f.transact(1, 1, 0, next))
		f.want(f.transact(1, 0, 3, nil), kerr.InvalidProducerEpoch)
		if end := f.EndOffset(); end != 5 {
			t.Fatalf("log ends at %d", end)
		}
	})
}

// Inside of a transaction everything is part of it; a new epoch begins with sequence 0, also where a marker alone has told of it.
func TestTransactionsAreNotMixed(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		f.must(f.transact(1, 0, 0, f.BeginVerification(1, 0, 0)))
		_, err := f.sent(1, 0, 1, 2)
		f.want(err, kerr.InvalidTxnState)
		f.must(f.mark(1, 1, 0)) // the coordinator has fenced the producer
		f.want(f.transact(1, 1, 1, f.BeginVerification(1, 1, 1)), kerr.OutOfOrderSequenceNumber)
		_, err = f.sent(1, 1, 1, 2)
		f.want(err, kerr.OutOfOrderSequenceNumber)
		_, err = f.sent(1, 1, 0, 2) // outside of a transaction it may
		f.must(err)
		if end := f.EndOffset(); end != 4 {
			t.Fatalf("log ends at %d", end)
		}
	})
}

// Of several batches that are verified at once the first must come first, even if nobody knows the producer.
func TestVerifiedBatchesKeepTheirOrder(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		guard := f.BeginVerification(1, 0, 0)
		f.BeginVerification(1, 0, 1)
		f.want(f.transact(1, 0, 1, guard), kerr.OutOfOrderSequenceNumber)
		f.must(f.transact(1, 0, 0, guard))
		f.must(f.transact(1, 0, 1, guard))
	})
}

// The zoo: without verification a late record begins a transaction that nobody ends.
func TestTxnLateProduceIsThere(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Bugs = bug.TxnLateProduce })
		if f.BeginVerification(1, 0, 0) != nil {
			t.Fatal("it is verified")
		}
		f.must(f.transact(1, 0, 0, nil))
	})
}

// Markers: of a fenced producer, of a stale coordinator, and of a transaction that never was here.
func TestMarkersAreFenced(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		f.must(f.mark(1, 3, 7))
		f.want(f.mark(1, 2, 7), kerr.InvalidProducerEpoch)
		f.want(f.mark(1, 3, 6), kerr.TransactionCoordinatorFenced)
		f.must(f.mark(1, 3, 7)) // again
		f.must(f.mark(1, 4, 8))
		_, err := f.sent(1, 3, 0, 1)
		f.want(err, kerr.InvalidProducerEpoch)
		list := f.ActiveProducers()
		if len(list) != 1 || list[0].Epoch != 4 || list[0].CoordinatorEpoch != 8 || list[0].LastSequence != -1 || list[0].TxnStart != -1 {
			t.Fatalf("%+v", list)
		}
		for _, clean := range []bool{true, false} {
			f.reopen(clean)
			f.want(f.mark(1, 4, 7), kerr.TransactionCoordinatorFenced)
			f.want(f.mark(1, 3, 9), kerr.InvalidProducerEpoch)
		}
	})
}

// A producer that is silent is forgotten, and may go on where it was, or anywhere (KIP-360); one with an open transaction is not.
func TestProducersExpire(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.ProducerIDExpiration = time.Minute })
		_, err := f.sent(1, 0, 0, 2)
		f.must(err)
		f.must(f.transact(2, 0, 0, f.BeginVerification(2, 0, 0)))
		guard := f.BeginVerification(3, 0, 0)
		e.Sleep(30 * time.Second)
		_, err = f.sent(4, 0, 0, 2)
		f.must(err)
		e.Sleep(31 * time.Second)
		if n := f.ExpireProducers(); n != 1 || f.Producers() != 2 {
			t.Fatalf("%d expired, %d left", n, f.Producers())
		}
		f.want(f.transact(3, 0, 0, guard), kerr.InvalidTxnState) // a verification that nobody finished
		info, err := f.sent(1, 0, 0, 2)
		f.must(err)
		if info.Duplicate {
			t.Fatal("a producer that is forgotten is known")
		}
		_, err = f.sent(1, 0, 7, 1)
		f.want(err, kerr.OutOfOrderSequenceNumber)
	})
}
