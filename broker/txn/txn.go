package txn

import (
	"math"
	"slices"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/bug"
	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// State is where a transactional id is in its cycle; the values are those of Kafka's records (TransactionState).
type State int8

const (
	// Empty has a producer id, and no transaction since it got it.
	Empty State = iota
	// Ongoing has a transaction with at least one partition.
	Ongoing
	// PrepareCommit and PrepareAbort are decided: the partitions get their markers.
	PrepareCommit
	PrepareAbort
	// CompleteCommit and CompleteAbort are over: every partition has its marker.
	CompleteCommit
	CompleteAbort
	// Dead is being removed: it has expired.
	Dead
)

var stateNames = []string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead"}

// KnownState reports whether a client names a state that Kafka has; PrepareEpochFence is one that we pass through in one step.
func KnownState(name string) bool {
	return slices.Contains(stateNames, name) || name == "PrepareEpochFence"
}

func (s State) String() string { return stateNames[s] }

// decided reports whether markers are under way.
func (s State) decided() bool { return s == PrepareCommit || s == PrepareAbort }

// complete reports whether the last transaction is over.
func (s State) complete() bool { return s == CompleteCommit || s == CompleteAbort }

// epochLast is the last epoch that a producer is given: one more is left to fence it (TransactionMetadata#isEpochExhausted).
const epochLast int16 = math.MaxInt16 - 1

// Now is the time as a machine is told it.
type Now = coordinator.Now

// Metadata is what is known of a transactional id: what its record in __transaction_state holds, and LastEpoch. Partitions are
// sorted, and shared between copies: they are replaced, never changed.
type Metadata struct {
	ProducerID int64
	PreviousID int64 // before the last InitProducerId or, transaction.version=2, the end of the last transaction; -1 for none. In the record: before that was written
	NextID     int64 // transaction.version=2: the id that follows when the epochs are used up; -1 for none
	Epoch      int16
	LastEpoch  int16 // the epoch of the producer that asked for this one; -1 for none. Not in the record
	TimeoutMs  int32
	State      State
	Partitions []wire.TopicPartition
	StartMs    int64 // of the transaction, since 1970; -1 if there was none
	UpdatedMs  int64
	Version    int16 // of transactions, as the client spoke it that ended the last; 0 where the coordinator did
}

// Txn is one transactional id. It is not safe for use by several tasks.
type Txn struct {
	ID   string
	bugs bug.Set

	at      Metadata  // what holds
	pending *Metadata // being written; nil if nothing is
	// failedFence says that an epoch was raised to fence a producer and could not be written: it is not raised again
	// (TransactionMetadata#hasFailedEpochFence).
	failedFence bool
	left        []wire.TopicPartition // decided: partitions without a marker yet
	abortAt     env.Instant           // Ongoing: its time is up
	retryAt     env.Instant           // decided, markers written: the end is to be written again

	writes  []Write
	markers []Markers
	armed   env.Instant // when the coordinator will call Tick at the latest; its own
}

// Write is a state to be appended to __transaction_state.
type Write struct {
	Value *Metadata // nil: the transactional id is to be forgotten
	// Late is called when it takes too long, Done when it is settled: applied is true if the record is in the log for good, err is
	// what the client is told.
	Late func(*kerr.Error)
	Done func(now Now, applied bool, err *kerr.Error)
}

// Markers are what a decided transaction's partitions must be sent.
type Markers struct {
	ProducerID int64
	Epoch      int16
	Commit     bool
	Partitions []wire.TopicPartition
}

// New makes a transactional id that has a producer id and no epoch yet.
func New(id string, producerID int64, timeoutMs int32, bugs bug.Set, now Now) *Txn {
	return load(id, Metadata{ProducerID: producerID, PreviousID: record.NoProducerID, NextID: record.NoProducerID, Epoch: record.NoProducerEpoch,
		LastEpoch: record.NoProducerEpoch, TimeoutMs: timeoutMs, State: Empty, StartMs: -1, UpdatedMs: now.Wall}, bugs)
}

// load makes one from what was read.
func load(id string, m Metadata, bugs bug.Set) *Txn {
	return &Txn{ID: id, bugs: bugs, at: m, abortAt: env.Never, retryAt: env.Never, armed: env.Never}
}

// loaded goes on with what the last coordinator left: a decided transaction gets its markers again, an open one its time.
//
// Source: TransactionStateManager#loadTransactionsForTxnTopicPartition.
func (t *Txn) loaded(now Now) {
	switch {
	case t.at.State.decided():
		t.send(now)
	case t.at.State == Ongoing:
		left := time.Duration(t.at.StartMs+int64(t.at.TimeoutMs)-now.Wall) * time.Millisecond
		t.abortAt = now.Mono.Add(min(max(left, 0), t.timeout()))
	}
}

// Metadata is what holds.
func (t *Txn) Metadata() Metadata { return t.at }

// Pending reports whether a change is being written.
func (t *Txn) Pending() bool { return t.pending != nil }

func (t *Txn) timeout() time.Duration { return time.Duration(t.at.TimeoutMs) * time.Millisecond }

// TakeWrites takes what is to be written, TakeMarkers what is to be sent.
func (t *Txn) TakeWrites() []Write {
	w := t.writes
	t.writes = nil
	return w
}

// TakeMarkers takes what is to be sent to the leaders of partitions. Each is reported by Marked.
func (t *Txn) TakeMarkers() []Markers {
	m := t.markers
	t.markers = nil
	return m
}

// Deadline is when Tick must be called next, at the latest.
func (t *Txn) Deadline() env.Instant {
	if t.pending != nil {
		return env.Never
	}
	return min(t.abortAt, t.retryAt)
}

var validPrevious = map[State][]State{
	Empty:          {Empty, CompleteCommit, CompleteAbort},
	Ongoing:        {Ongoing, Empty, CompleteCommit, CompleteAbort},
	PrepareCommit:  {Ongoing},
	PrepareAbort:   {Ongoing, Empty, CompleteCommit, CompleteAbort}, // the latter three with transaction.version=2 only
	CompleteCommit: {PrepareCommit},
	CompleteAbort:  {PrepareAbort},
	Dead:           {Empty, CompleteCommit, CompleteAbort},
}

// transit has the next state written. It holds once it is replicated, when done is told nil, or the error of which clients are
// told although it holds. Late is told COORDINATOR_NOT_AVAILABLE when that takes too long.
//
// DEVIATION(KIP-98): Kafka falls back to the old state when a write is not replicated in time, while the record is in the log and may be
// what the next coordinator finds. Ours stays between the two, and answers CONCURRENT_TRANSACTIONS, until the log has decided.
//
// Source: TransactionMetadata#prepareTransitionTo, #completeTransitionTo, TransactionStateManager#appendTransactionToLog.
func (t *Txn) transit(next Metadata, now Now, answer func(*kerr.Error), done func(now Now, err *kerr.Error)) {
	t.checkTransit(&next)
	next.UpdatedMs = now.Wall
	t.pending = &next
	written := next
	written.PreviousID = t.at.ProducerID // the next coordinator knows no earlier one
	told := false
	tell := func(err *kerr.Error) {
		if !told && answer != nil {
			told = true
			answer(err)
		}
	}
	t.writes = append(t.writes, Write{Value: &written, Late: tell, Done: func(now Now, applied bool, err *kerr.Error) {
		assert.That(t.pending == &next, "INV-TXN-PENDING: %s: another change was written meanwhile", t.ID)
		t.pending = nil
		if applied {
			t.become(next, now)
		}
		tell(err)
		if done != nil {
			done(now, err)
		}
	}})
}

func (t *Txn) checkTransit(next *Metadata) {
	assert.That(t.pending == nil, "INV-TXN-PENDING: %s goes to %s while going to another state", t.ID, next.State)
	assert.That(slices.Contains(validPrevious[next.State], t.at.State), "INV-TXN-STATE: %s goes from %s to %s", t.ID, t.at.State, next.State)
	assert.That(next.ProducerID >= 0 && next.Epoch >= 0, "INV-TXN-EPOCH: %s gets producer %d with epoch %d", t.ID, next.ProducerID, next.Epoch)
	assert.That(next.ProducerID != t.at.ProducerID || next.Epoch >= t.at.Epoch, "INV-TXN-EPOCH: %s goes from epoch %d back to %d", t.ID, t.at.Epoch, next.Epoch)
}

// become makes a written state hold.
func (t *Txn) become(next Metadata, now Now) {
	began := next.State == Ongoing && t.at.State != Ongoing
	t.at = next
	if next.State != Ongoing {
		t.abortAt = env.Never
	}
	t.retryAt = env.Never
	switch {
	case began:
		t.abortAt = now.Mono.Add(t.timeout())
	case next.State.decided():
		t.send(now)
	case next.State.complete():
		t.failedFence = false
	}
}

// Tick lets time pass: a transaction whose time is up is aborted, and its producer fenced; an end that could not be written is
// written again.
//
// DEVIATION(KIP-98): Kafka looks every ten seconds and goes by the wall clock; ours has a timer for each, on the monotonic clock.
//
// Source: TransactionCoordinator#abortTimedOutTransactions.
func (t *Txn) Tick(now Now) {
	if t.pending != nil {
		return
	}
	if t.at.State == Ongoing && now.Mono >= t.abortAt {
		markTransactionTimedOut.Hit()
		t.abortAt = now.Mono.Add(retryAfter) // if this one fails
		t.fence(now, !t.bugs.Has(bug.TxnNoEpochBump), nil)
	}
	if t.at.State.decided() && len(t.left) == 0 && now.Mono >= t.retryAt {
		t.complete(now)
	}
}

// retryAfter is the pause before a state that could not be written is written again.
const retryAfter = 500 * time.Millisecond

// fence aborts the transaction with a new epoch (unless the bug zoo has bump false), so that its producer can do nothing any more.
//
// Source: TransactionMetadata#prepareFenceProducerEpoch, TransactionCoordinator#endTransaction.
func (t *Txn) fence(now Now, bump bool, answer func(*kerr.Error)) {
	next := t.at
	if bump && !t.failedFence {
		markFencedWithANewEpoch.Hit()
		assert.That(next.Epoch < math.MaxInt16, "INV-TXN-EPOCH: %s has no epoch left to fence with", t.ID)
		next.Epoch++
	}
	// The zombie is fenced at once, whatever becomes of the write.
	next.LastEpoch = record.NoProducerEpoch
	t.at.Epoch, t.at.LastEpoch = next.Epoch, next.LastEpoch
	next.State, next.Version = PrepareAbort, 0
	t.transit(next, now, answer, func(_ Now, err *kerr.Error) {
		t.failedFence = t.at.State == Ongoing
	})
}

// Unload gives the machine up. Whoever waits is told to look for another coordinator, by the writes that fail.
func (t *Txn) Unload() { t.markers, t.left = nil, nil }
