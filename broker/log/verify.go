package log

import (
	"fmt"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Guard stands for one verification: its holder asks the coordinator if a transaction is open, and may then begin it here, unless
// something of that producer was appended in between; a marker, above all (VerificationGuard).
type Guard struct{ _ byte }

// verification is what the log knows of a producer whose transaction is being verified (VerificationStateEntry).
type verification struct {
	guard  *Guard
	epoch  int16
	lowest int32 // of the sequences that wait: a later one must not come first
	since  env.Instant
}

// BeginVerification is called before the first batch of a transaction: the guard must be shown with the append, once the coordinator
// has said that the transaction is open here. nil, if the log has it open already. Sequence is that of the batch, record.NoSequence if
// it has none.
//
// Source: UnifiedLog#maybeStartTransactionVerification, ProducerStateManager#maybeCreateVerificationStateEntry.
func (l *Log) BeginVerification(producer int64, epoch int16, sequence int32) *Guard {
	l.mu.Lock()
	defer l.unlock()
	if l.ongoing(producer, epoch) || l.bugs.Has(bug.TxnLateProduce) {
		return nil
	}
	v := l.verifying[producer]
	if v == nil || epoch > v.epoch {
		v = &verification{guard: new(Guard), epoch: epoch, lowest: sequence, since: l.env.Mono()}
		if l.verifying == nil {
			l.verifying = map[int64]*verification{}
		}
		l.verifying[producer] = v
	}
	v.lowest = min(v.lowest, sequence)
	return v.guard
}

// ongoing reports whether the producer has a transaction open here, in this epoch.
func (l *Log) ongoing(producer int64, epoch int16) bool {
	p := l.producers.byID[producer]
	return p != nil && p.txnStart >= 0 && p.epoch == epoch
}

// checkVerified refuses to begin a transaction that nobody has verified, and a batch that overtakes another that is being verified.
//
// Source: UnifiedLog#batchMissingRequiredVerification, ProducerAppendInfo#checkSequence.
func (l *Log) checkVerified(b record.Batch, o AppendOptions) error {
	if !o.Verified || !b.IsTransactional() || b.IsControl() || l.bugs.Has(bug.TxnLateProduce) || l.ongoing(b.ProducerID(), b.ProducerEpoch()) {
		return nil
	}
	v := l.verifying[b.ProducerID()]
	if p := l.producers.byID[b.ProducerID()]; p != nil {
		if err := p.checkEpoch(b.ProducerEpoch()); err != nil {
			return err // this is what a fenced producer must hear, verified or not
		}
	}
	if o.Guard == nil || v == nil || v.guard != o.Guard {
		markCheckVerifiedInvalidTxnState.Hit()
		return fmt.Errorf("producer %d epoch %d: the record is not part of an ongoing transaction: %w", b.ProducerID(), b.ProducerEpoch(), kerr.InvalidTxnState)
	}
	if o.Origin == FromClient && b.BaseSequence() > v.lowest {
		markCheckVerifiedOutOfOrder.Hit()
		return fmt.Errorf("producer %d: sequence %d comes before %d: %w", b.ProducerID(), b.BaseSequence(), v.lowest, kerr.OutOfOrderSequenceNumber)
	}
	return nil
}

// endVerifications ends those of producers of which something is appended.
func (l *Log) endVerifications(c *change) {
	for i := range c.touched {
		delete(l.verifying, c.touched[i].id)
	}
}

// ActiveProducer is a producer as DescribeProducers tells of it (KIP-664).
type ActiveProducer struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // -1 for none
	LastTimestamp    int64 // ms since 1970, -1 for none
	CoordinatorEpoch int32 // of the last marker, -1 for none
	TxnStart         int64 // first offset of the open transaction, -1 for none
}

// ActiveProducers lists the producers that the log knows, by id. Source: UnifiedLog#activeProducers.
func (l *Log) ActiveProducers() []ActiveProducer {
	l.mu.Lock()
	defer l.unlock()
	list := make([]ActiveProducer, 0, len(l.producers.byID))
	for _, id := range l.producers.ids() {
		p := l.producers.byID[id]
		list = append(list, ActiveProducer{ID: id, Epoch: p.epoch, LastSequence: p.lastSequence(), LastTimestamp: p.lastTimestamp,
			CoordinatorEpoch: p.coordinatorEpoch, TxnStart: p.txnStart})
	}
	return list
}
