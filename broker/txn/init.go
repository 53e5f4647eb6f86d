package txn

import (
	"barnabas/broker/assert"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// InitRequest is what a producer says that wants an id and an epoch.
type InitRequest struct {
	TimeoutMs int32
	// ProducerID and Epoch are what the producer had, and wants to go on from (KIP-360); -1 for none.
	ProducerID int64
	Epoch      int16
	// NewID is an id that nobody has, where NeedsID asks for one.
	NewID int64
}

// InitResult is the producer id and epoch that hold, -1 with an error.
type InitResult struct {
	Err        *kerr.Error
	ProducerID int64
	Epoch      int16
}

func refuseInit(err *kerr.Error) InitResult {
	return InitResult{Err: err, ProducerID: record.NoProducerID, Epoch: record.NoProducerEpoch}
}

func (r *InitRequest) expects() bool { return r.ProducerID != record.NoProducerID }

// NeedsID reports whether Init needs a new producer id: the epochs of the present one are used up.
func (t *Txn) NeedsID(r InitRequest) bool {
	return t.at.Epoch >= epochLast && (!r.expects() || r.Epoch == t.at.Epoch) && !t.at.State.decided() && t.at.State != Ongoing
}

// knows reports whether a producer that names its id may be the one that this transactional id belongs to.
func (t *Txn) knows(r InitRequest) bool {
	return t.at.Epoch == record.NoProducerEpoch || // just made: it recovers from what we have forgotten
		r.ProducerID == t.at.ProducerID || // its epoch is looked at later
		r.ProducerID == t.at.PreviousID && r.Epoch >= epochLast // it has not heard of its new id
}

// Init gives a producer its id and the next epoch, with which everybody who had an earlier one is fenced. A transaction under way is
// aborted first: until that is done the answer is CONCURRENT_TRANSACTIONS.
//
// Errors: CONCURRENT_TRANSACTIONS, PRODUCER_FENCED. Source: TransactionCoordinator#prepareInitProducerIdTransit.
func (t *Txn) Init(now Now, r InitRequest, answer func(InitResult)) {
	switch {
	case t.pending != nil:
		markInitWhileAChangeIsWritten.Hit()
		answer(refuseInit(kerr.ConcurrentTransactions))
		return
	case r.expects() && !t.knows(r):
		markInitOfAStranger.Hit()
		answer(refuseInit(kerr.ProducerFenced))
		return
	case t.at.State.decided():
		markInitWhileMarkersAreSent.Hit()
		answer(refuseInit(kerr.ConcurrentTransactions))
		return
	case t.at.State == Ongoing:
		markInitAbortsWhatIsOpen.Hit()
		t.fence(now, true, func(err *kerr.Error) {
			if err == nil {
				err = kerr.ConcurrentTransactions // and again until the markers are written
			}
			answer(refuseInit(err))
		})
		return
	}
	next := t.at
	next.State, next.TimeoutMs, next.Partitions, next.StartMs = Empty, r.TimeoutMs, nil, -1
	next.PreviousID, next.NextID = t.at.ProducerID, record.NoProducerID
	if t.NeedsID(r) {
		assert.That(r.NewID != t.at.ProducerID && r.NewID >= 0, "INV-TXN-EPOCH: %s gets id %d instead of %d", t.ID, r.NewID, t.at.ProducerID)
		next.ProducerID, next.Epoch, next.LastEpoch = r.NewID, 0, record.NoProducerEpoch
		if r.expects() {
			next.LastEpoch = t.at.Epoch
		}
	} else if err := t.bump(&next, r); err != nil {
		answer(refuseInit(err))
		return
	}
	t.transit(next, now, func(err *kerr.Error) {
		if err != nil {
			answer(refuseInit(err))
			return
		}
		answer(InitResult{ProducerID: next.ProducerID, Epoch: next.Epoch})
	}, nil)
}

// bump gives next the next epoch, or, to a producer that asks again since it did not hear the answer, the present one.
//
// DEVIATION(KIP-360): of an id whose epochs are used up Kafka says UNKNOWN_SERVER_ERROR to both who asks again and who is fenced.
//
// Source: TransactionMetadata#prepareIncrementProducerEpoch.
func (t *Txn) bump(next *Metadata, r InitRequest) *kerr.Error {
	switch {
	case !r.expects():
		next.Epoch, next.LastEpoch = t.at.Epoch+1, record.NoProducerEpoch
	case t.at.Epoch == record.NoProducerEpoch || r.Epoch == t.at.Epoch:
		markInitRaisesItsOwnEpoch.Hit()
		next.Epoch, next.LastEpoch = t.at.Epoch+1, t.at.Epoch
	case r.Epoch == t.at.LastEpoch:
		markInitAskedAgain.Hit() // who still names the id before this one may ask once: its answer makes this the previous id
	default:
		markInitOfAnOldEpoch.Hit()
		return kerr.ProducerFenced
	}
	return nil
}

// owns checks that a request comes from the producer that the transactional id belongs to now.
func (t *Txn) owns(producerID int64, epoch int16) *kerr.Error {
	switch {
	case producerID != t.at.ProducerID:
		markRequestOfAnotherProducer.Hit()
		return kerr.InvalidProducerIDMapping
	case epoch != t.at.Epoch:
		markRequestOfAnOldEpoch.Hit()
		return kerr.ProducerFenced
	}
	return nil
}

// AddPartitions makes partitions part of the transaction, which begins with the first.
//
// Errors: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS. Source:
// TransactionCoordinator#handleAddPartitionsToTransaction.
func (t *Txn) AddPartitions(now Now, producerID int64, epoch int16, partitions []wire.TopicPartition, answer func(*kerr.Error)) {
	err := t.owns(producerID, epoch)
	switch {
	case err != nil:
	case t.pending != nil, t.at.State.decided():
		markAddWhileSomethingIsUnderWay.Hit()
		err = kerr.ConcurrentTransactions
	}
	merged, grown := merge(t.at.Partitions, partitions)
	if err != nil || t.at.State == Ongoing && !grown {
		answer(err)
		return
	}
	next := t.at
	if t.at.State != Ongoing {
		next.StartMs = now.Wall
		merged, _ = merge(nil, partitions)
	}
	next.State, next.Partitions = Ongoing, merged
	t.transit(next, now, answer, nil)
}

// Verify says of each partition if it is part of the transaction that the producer has open, nil if so (KIP-890). It goes by what is replicated, whatever
// is being written: partitions are part of a transaction from when their record is until its end is, and where a decision comes in between
// the log refuses what is late (log.Guard).
//
// Errors: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED; CONCURRENT_TRANSACTIONS once the end is decided; TRANSACTION_ABORTABLE of a partition that is not. Source:
// TransactionCoordinator#handleVerifyPartitionsInTransaction.
func (t *Txn) Verify(producerID int64, epoch int16, partitions []wire.TopicPartition) []*kerr.Error {
	answers := make([]*kerr.Error, len(partitions))
	err := t.owns(producerID, epoch)
	if err == nil && t.at.State.decided() {
		err = kerr.ConcurrentTransactions
	}
	for i, tp := range partitions {
		answers[i] = err
		if err == nil && !contains(t.at.Partitions, tp) {
			markVerifyOfNoPart.Hit()
			answers[i] = kerr.TransactionAbortable
		}
	}
	return answers
}
