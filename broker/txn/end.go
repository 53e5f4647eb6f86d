package txn

import (
	"math"
	"slices"

	"barnabas/broker/assert"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// EndRequest is how a producer wants its transaction to end.
type EndRequest struct {
	ProducerID int64
	Epoch      int16
	Commit     bool
	// V2 says that the client goes on with the epoch that it is answered (transaction.version=2).
	V2 bool
	// NewID is an id that nobody has, where NeedsEndID asks for one.
	NewID int64
}

// EndResult tells a client of transaction.version=2 with which id and epoch it goes on; -1 to others.
type EndResult struct {
	Err        *kerr.Error
	ProducerID int64
	Epoch      int16
}

func refuseEnd(err *kerr.Error) EndResult {
	return EndResult{Err: err, ProducerID: record.NoProducerID, Epoch: record.NoProducerEpoch}
}

// NeedsEndID reports whether End needs a new producer id.
func (t *Txn) NeedsEndID(r EndRequest) bool {
	return r.V2 && t.at.Epoch >= epochLast && r.ProducerID == t.at.ProducerID && r.Epoch == t.at.Epoch
}

// End decides the transaction. The answer comes as soon as the decision is replicated; the markers follow. Who asks again for what
// has been done is told so.
//
// Errors: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE. Source:
// TransactionCoordinator#endTransaction.
func (t *Txn) End(now Now, r EndRequest, answer func(EndResult)) {
	wanted, done := PrepareAbort, CompleteAbort
	if r.Commit {
		wanted, done = PrepareCommit, CompleteCommit
	}
	again := r.V2 && t.isRetry(r)
	err := t.mayEnd(r, again)
	if err == nil && t.pending != nil {
		markEndWhileAChangeIsWritten.Hit()
		err = kerr.ConcurrentTransactions
	}
	if err != nil {
		answer(refuseEnd(err))
		return
	}
	switch {
	case t.at.State == Ongoing:
		t.decide(now, r, wanted, answer)
	case t.at.State == wanted:
		markEndAskedAgainWhileMarkersAreSent.Hit()
		answer(refuseEnd(kerr.ConcurrentTransactions))
	case t.at.State == done && (!r.V2 || again):
		markEndAskedAgain.Hit()
		answer(t.ended(r))
	case r.V2 && !r.Commit && !again && !t.at.State.decided():
		markAbortOfNothing.Hit()
		// An abort of a transaction without a partition that we know of: a record may have reached one all the same.
		t.decide(now, r, wanted, answer)
	default:
		markEndOfAnotherKind.Hit()
		answer(refuseEnd(kerr.InvalidTxnState))
	}
}

// isRetry reports whether a client of transaction.version=2 asks again for an end whose answer it has not heard.
func (t *Txn) isRetry(r EndRequest) bool {
	// Where the epoch was raised to fence the producer, its end is not its own.
	bumped := r.ProducerID == t.at.ProducerID && int32(r.Epoch)+1 == int32(t.at.Epoch) && t.at.Version >= wire.TransactionV2
	return (bumped && t.at.State != Ongoing && t.at.State != Empty) || t.overflowed(r)
}

// overflowed reports whether the client has not heard that its id was exchanged for another.
func (t *Txn) overflowed(r EndRequest) bool {
	return r.ProducerID == t.at.PreviousID && r.Epoch == epochLast && t.at.Epoch == 0 && t.at.State.complete()
}

func (t *Txn) mayEnd(r EndRequest, again bool) *kerr.Error {
	if again {
		return nil
	}
	if err := t.owns(r.ProducerID, r.Epoch); err != nil {
		return err
	}
	// DEVIATION(KIP-890): Kafka fences who ends the next transaction while the markers of the last are under way. It was told its epoch
	// with the decision, and may have nothing to add: ours has it wait.
	if r.V2 && t.at.State.decided() {
		return kerr.ConcurrentTransactions
	}
	return nil
}

// ended is what is answered of a transaction that is over.
func (t *Txn) ended(r EndRequest) EndResult {
	if !r.V2 {
		return EndResult{ProducerID: record.NoProducerID, Epoch: record.NoProducerEpoch}
	}
	return EndResult{ProducerID: t.at.ProducerID, Epoch: t.at.Epoch}
}

// decide writes the first of the two phases. With transaction.version=2 it raises the epoch, so that whatever of this transaction is
// still on its way comes too late for the next (TransactionMetadata#prepareAbortOrCommit).
func (t *Txn) decide(now Now, r EndRequest, wanted State, answer func(EndResult)) {
	next := t.at
	next.State, next.Version = wanted, 0
	result := EndResult{ProducerID: record.NoProducerID, Epoch: record.NoProducerEpoch}
	if t.at.State != Ongoing {
		next.Partitions, next.StartMs = nil, now.Wall
	}
	if r.V2 {
		assert.That(next.Epoch < math.MaxInt16, "INV-TXN-EPOCH: %s has no epoch left", t.ID)
		next.Version = wire.TransactionV2
		next.LastEpoch, next.Epoch = t.at.Epoch, t.at.Epoch+1
		result.ProducerID, result.Epoch = next.ProducerID, next.Epoch
		if t.NeedsEndID(r) {
			next.NextID = r.NewID
			result.ProducerID, result.Epoch = r.NewID, 0
		}
	}
	t.transit(next, now, func(err *kerr.Error) {
		if err != nil {
			answer(refuseEnd(err))
			return
		}
		answer(result)
	}, nil)
}

// send leaves the markers of a decided transaction behind.
func (t *Txn) send(now Now) {
	t.left = slices.Clone(t.at.Partitions)
	if len(t.left) == 0 {
		markDecidedWithoutPartitions.Hit()
		t.complete(now)
		return
	}
	t.markers = append(t.markers, Markers{ProducerID: t.at.ProducerID, Epoch: t.at.Epoch, Commit: t.at.State == PrepareCommit, Partitions: t.at.Partitions})
}

// Marked says that a partition has the marker of this producer and epoch, or is no more. With the last one the transaction is over.
func (t *Txn) Marked(now Now, producerID int64, epoch int16, tp wire.TopicPartition) {
	if !t.at.State.decided() || producerID != t.at.ProducerID || epoch != t.at.Epoch || t.pending != nil {
		return
	}
	i, found := slices.BinarySearchFunc(t.left, tp, wire.TopicPartition.Compare)
	if !found {
		return
	}
	if t.left = slices.Delete(t.left, i, i+1); len(t.left) == 0 {
		t.complete(now)
	}
}

// complete writes the second phase (TransactionMetadata#prepareComplete).
func (t *Txn) complete(now Now) {
	next := t.at
	next.State, next.Partitions = CompleteAbort, nil
	if t.at.State == PrepareCommit {
		next.State = CompleteCommit
	}
	if next.NextID != record.NoProducerID {
		next.ProducerID, next.Epoch, next.NextID = next.NextID, 0, record.NoProducerID
	}
	if next.Version >= wire.TransactionV2 {
		next.PreviousID = t.at.ProducerID // where it has not changed, the one before is forgotten
	}
	t.transit(next, now, nil, func(now Now, err *kerr.Error) {
		if t.at.State.decided() { // it is not in the log
			markCompletionNotWritten.Hit()
			t.retryAt = now.Mono.Add(retryAfter)
		}
	})
}

// Expire has the transactional id forgotten if its time is over; gone is called when that is in the log.
//
// Source: TransactionStateManager#removeExpiredTransactionalIds.
func (t *Txn) Expire(now Now, retentionMs int64, gone func()) bool {
	if t.pending != nil || t.at.State == Ongoing || t.at.State.decided() || now.Wall-t.at.UpdatedMs < retentionMs {
		return false
	}
	dead := t.at
	dead.State = Dead
	t.pending = &dead
	t.writes = append(t.writes, Write{Done: func(_ Now, applied bool, _ *kerr.Error) {
		t.pending = nil
		if applied {
			t.at.State = Dead
			gone()
		}
	}})
	return true
}

// merge is the union of sorted a and any b, sorted, and whether it is more than a.
func merge(a, b []wire.TopicPartition) (all []wire.TopicPartition, grown bool) {
	all = append(slices.Clone(a), b...)
	slices.SortFunc(all, wire.TopicPartition.Compare)
	all = slices.Compact(all)
	return all, len(all) > len(a)
}

func contains(sorted []wire.TopicPartition, tp wire.TopicPartition) bool {
	_, found := slices.BinarySearchFunc(sorted, tp, wire.TopicPartition.Compare)
	return found
}
