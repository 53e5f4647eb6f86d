package client

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"barnabas/broker/env"
)

// answer is what one attempt at a batch came to.
type answer struct {
	err       error // nil: appended
	base      int64 // offset of the first record, -1 where the broker cannot say
	timestamp int64 // log append time, -1 where the records keep theirs
	ambiguous bool  // this attempt may have appended the batch, or may do so yet
	retriable bool
	refresh   bool // the metadata may be out of date
	sequence  bool // the broker's producer state does not fit the batch
}

// lostAnswer is the answer that did not come.
func lostAnswer(err error) answer {
	return answer{err: err, ambiguous: MaybeSent(err), retriable: true, refresh: true}
}

// classify reads an error code of a produce response.
//
// The subtle part is what a code proves. Kafka's leader refuses most errors before it appends. But with acks=all it
// also answers a batch that it has appended already, when it stops being the leader or loses the log before the
// followers have it (DelayedProduce#tryComplete): NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION and
// KAFKA_STORAGE_ERROR prove nothing then, and a failed write may have left the batch in the file with any acks.
func classify(err error, acks int16) answer {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return answer{err: err, ambiguous: err != nil}
	}
	switch code {
	case kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch,
		kerr.LeaderNotAvailable, kerr.ReplicaNotAvailable:
		return answer{err: err, ambiguous: acks == AcksAll, retriable: true, refresh: true}
	case kerr.NotEnoughReplicas, kerr.ThrottlingQuotaExceeded, kerr.CorruptMessage:
		return answer{err: err, retriable: true}
	case kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator:
		return answer{err: err, retriable: true} // of the coordinator, whom the leader asks before it appends (KIP-890)
	case kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut:
		return answer{err: err, ambiguous: true, retriable: true}
	case kerr.KafkaStorageError, kerr.NetworkException:
		return answer{err: err, ambiguous: true, retriable: true, refresh: true}
	case kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID:
		return answer{err: err, retriable: true, sequence: true}
	case kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRequiredAcks, kerr.InvalidTimestamp,
		kerr.InvalidRecord, kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType, kerr.InvalidTopicException,
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.PolicyViolation, kerr.InvalidRequest,
		kerr.UnsupportedVersion, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping,
		kerr.InvalidTxnState, kerr.TransactionAbortable, kerr.TransactionalIDAuthorizationFailed:
		return answer{err: err}
	}
	return answer{err: err, ambiguous: true, retriable: code.Retriable}
}

// settle decides what becomes of a batch after an attempt. p.mu is held.
func (p *Producer) settle(b *batch, a answer) []ending {
	l := b.lane
	l.land(b)
	switch {
	case a.err == nil || errors.Is(a.err, kerr.DuplicateSequenceNumber):
		// DUPLICATE_SEQUENCE_NUMBER: it is in the log, and the broker no longer knows where (Sender#completeBatch).
		l.failures, l.retryAt = 0, 0
		l.confirmed = l.confirmed || (b.id == l.id && b.epoch == l.epoch)
		if a.err != nil {
			a.base, a.timestamp = -1, -1
		}
		return p.finish(b, Result{Outcome: OK, Offset: a.base, Timestamp: a.timestamp})
	case b.finished:
		return nil // it was told to have an unknown end, and that stays true
	}
	b.lastErr = a.err
	b.ambiguous = b.ambiguous || a.ambiguous
	p.takeWarning(b, a)
	if a.sequence && !p.isBehind(b) {
		// Nothing that could still arrive would fill the gap. Java sends the batch again in the next epoch even if an
		// earlier attempt may have appended it.
		// DEVIATION(KIP-360): such a batch ends as unknown, so that it can never be in the log twice.
		// Of a transaction the batch is given up: it will be aborted, and the next has another epoch.
		l.broken = true
		a.retriable = !b.ambiguous && p.txn == nil
	}
	if p.closed || !a.retriable || !p.maySendAgain(b) {
		return p.giveUp(b, a.err)
	}
	l.requeue(b)
	return nil
}

// takeWarning slows the lane down, and marks the metadata that misled it.
func (p *Producer) takeWarning(b *batch, a answer) {
	l := b.lane
	if now := p.e.Mono(); l.retryAt <= now { // else this is one of several that failed together
		p.c.mu.Lock()
		l.retryAt = now.Add(p.c.backoff(l.failures))
		p.c.mu.Unlock()
		l.failures++
	}
	if a.refresh {
		l.stale = b.metadata
		p.c.RequestUpdate(l.tp.Topic)
	}
}

func (p *Producer) maySendAgain(b *batch) bool {
	if p.o.Acks == AcksNone && b.ambiguous {
		return false
	}
	return !b.ambiguous || p.o.Idempotent || p.o.RetryUnsafe
}

// isBehind reports whether a batch with a lower sequence number of the same epoch is still under way.
func (p *Producer) isBehind(b *batch) bool {
	earlier := func(o *batch) bool {
		return o.number < b.number && o.sequence >= 0 && o.id == b.id && o.epoch == b.epoch
	}
	return slices.ContainsFunc(b.lane.inFlight, earlier) || slices.ContainsFunc(b.lane.queue, earlier)
}

// giveUp ends a batch that was not confirmed: failed if no attempt can have appended it.
func (p *Producer) giveUp(b *batch, err error) []ending {
	if b.sequence >= 0 {
		b.lane.broken = true
	}
	if p.txn != nil {
		p.txn.failed(b, err)
	}
	outcome := Failed
	if b.ambiguous {
		outcome = Unknown
	}
	return p.finish(b, Result{Outcome: outcome, Offset: -1, Timestamp: -1, Err: err})
}

func (p *Producer) finish(b *batch, r Result) []ending {
	if b.finished {
		return nil
	}
	b.finished = true
	b.encoded = nil
	r.TP, r.Attempts, r.ProducerID, r.ProducerEpoch = b.lane.tp, b.attempts, -1, -1
	if b.sequence >= 0 {
		r.ProducerID, r.ProducerEpoch = b.id, b.epoch
	}
	p.buffered -= b.bytes
	p.room.Broadcast()
	p.untold = append(p.untold, b.number)
	return []ending{{b, r}}
}

// expire is the expiry task: it ends batches that reached their delivery timeout, wherever they are.
func (p *Producer) expire() {
	for {
		var ends []ending
		p.mu.Lock()
		now := p.e.Mono()
		p.watched = env.Never
		for _, l := range p.order {
			if gone := p.expireLane(l, now, ErrDeliveryTimeout); len(gone) > 0 {
				ends = append(ends, gone...)
				p.route(l)
			}
			if b := l.oldest(); b != nil {
				p.watched = min(p.watched, b.deadline)
			}
		}
		if p.closed {
			p.mu.Unlock()
			p.tell(ends)
			return
		}
		if len(ends) == 0 {
			p.expiring.WaitUntil(p.watched)
		}
		p.mu.Unlock()
		p.tell(ends)
	}
}

// expireLane ends the lane's batches whose deadline has come by now. p.mu is held.
func (p *Producer) expireLane(l *lane, now env.Instant, why error) []ending {
	var ends []ending
	for _, b := range l.inFlight {
		if !b.finished && b.deadline <= now {
			b.ambiguous = true
			ends = append(ends, p.giveUp(b, because(why, b.lastErr))...)
		}
	}
	for len(l.queue) > 0 && l.queue[0].deadline <= now {
		b := l.queue[0]
		l.queue = slices.Delete(l.queue, 0, 1)
		b.closed = true
		ends = append(ends, p.giveUp(b, because(why, b.lastErr))...)
	}
	return ends
}

func because(err, cause error) error {
	if cause == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
