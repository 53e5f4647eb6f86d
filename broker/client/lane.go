package client

import (
	"slices"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// lane is the way of one partition's records: batches that wait in a queue, then batches in flight.
//
// Batches are numbered as they are made; the queue and the flight are each sorted by number. A batch that must be sent
// again goes back to its place in the queue.
type lane struct {
	tp       wire.TopicPartition
	queue    []*batch
	inFlight []*batch
	retryAt  env.Instant // nothing is sent before
	stale    *Metadata   // the leader that this metadata names has denied being one: wait for the next
	failures int         // in a row

	// Idempotence. Each partition has its own epoch of the producer id, since the broker keeps the state of a producer
	// by partition: a new epoch here disturbs no other partition (Kafka bumps for all, KIP-360).
	id        int64
	epoch     int16
	next      int32 // sequence of the next batch that has none
	confirmed bool  // the broker has taken a batch of this epoch
	// broken says that a sequence number was given to a batch that ended without success, so that the broker may wait
	// for it forever: the epoch must be raised, and numbering begins again at 0 (KIP-360).
	broken bool
}

// batch is records of one partition that share their fate.
type batch struct {
	lane     *lane
	number   int64
	records  []pending
	bytes    int
	created  env.Instant
	deadline env.Instant // delivery timeout
	closed   bool        // takes no more records
	attempts int
	finished bool // results were told; a late answer changes nothing
	// ambiguous says that some attempt may have put it into the log, or may do so yet.
	ambiguous bool
	lastErr   error     // of the last attempt
	metadata  *Metadata // what the last attempt went by

	id       int64
	epoch    int16
	sequence int32 // of the first record; -1 before the first attempt
	encoded  []byte
}

// pending is a record that waits for its result.
type pending struct {
	record Record
	done   func(Result)
}

func newLane(tp wire.TopicPartition) *lane { return &lane{tp: tp, id: -1} }

// open is the batch that takes records, or nil.
func (l *lane) open() *batch {
	if n := len(l.queue); n > 0 && !l.queue[n-1].closed {
		return l.queue[n-1]
	}
	return nil
}

// oldest is the first unfinished batch, or nil.
func (l *lane) oldest() *batch {
	for _, b := range l.inFlight {
		if !b.finished {
			return b
		}
	}
	if len(l.queue) > 0 {
		return l.queue[0]
	}
	return nil
}

// requeue puts a batch back to its place.
func (l *lane) requeue(b *batch) {
	i, found := slices.BinarySearchFunc(l.queue, b.number, func(q *batch, n int64) int { return int(q.number - n) })
	assert.That(!found, "INV-BATCH-ONCE: batch %d of %v is queued twice", b.number, l.tp)
	l.queue = slices.Insert(l.queue, i, b)
}

// land takes a batch out of the flight.
func (l *lane) land(b *batch) {
	i := slices.Index(l.inFlight, b)
	assert.That(i >= 0, "INV-BATCH-ONCE: batch %d of %v is not in flight", b.number, l.tp)
	l.inFlight = slices.Delete(l.inFlight, i, i+1)
}

// readyAt tells when the head of the queue may be sent; Never if that takes more than time.
func (p *Producer) readyAt(l *lane) env.Instant {
	if len(l.queue) == 0 || p.c.Metadata() == l.stale || len(l.inFlight) >= p.laneInFlightMax(l) || p.txn != nil && !p.txn.ready(l.tp) {
		return env.Never
	}
	b := l.queue[0]
	at := l.retryAt
	if !b.closed && b.attempts == 0 && len(l.queue) == 1 && p.flushes == 0 && !p.closed && p.o.Linger > 0 {
		at = max(at, b.created.Add(p.o.Linger))
	}
	return at
}

// laneInFlightMax is how many batches of the lane may be in flight for its next one to join them.
func (p *Producer) laneInFlightMax(l *lane) int {
	switch {
	case p.o.Acks == AcksNone:
		return p.o.InFlightMax // nothing comes back that could change the order
	case !p.o.Idempotent:
		return 1
	case p.identity.id < 0:
		return 0
	case l.broken || l.queue[0].attempts > 0:
		// What is sent again, or in a new epoch, goes alone: those in flight end first (Sender, RecordAccumulator
		// #shouldStopDrainBatchesForPartition).
		return 1
	case !l.confirmed:
		// A broker that knows nothing of a producer takes any sequence number for its first. Until it knows us, a
		// second batch must not be able to overtake the first (KAFKA-14359).
		return 1
	}
	return p.o.InFlightMax
}
