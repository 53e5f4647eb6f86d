package log

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// batchesKept is how many of a producer's last batches are remembered, so that any of the five that it may have in
// flight can be answered again (ProducerStateEntry.NUM_BATCHES_TO_RETAIN).
const batchesKept = 5

// sent is one batch of an idempotent producer (BatchMetadata).
type sent struct {
	lastSequence int32
	lastOffset   int64
	delta        int32 // records less one
	timestamp    int64 // the batch's largest, ms
}

func (s sent) firstSequence() int32 { return record.SubSequence(s.lastSequence, s.delta) }
func (s sent) firstOffset() int64   { return s.lastOffset - int64(s.delta) }

// producer is what the log knows of one producer id (ProducerStateEntry).
type producer struct {
	id               int64
	epoch            int16
	coordinatorEpoch int32
	lastTimestamp    int64 // ms
	txnStart         int64 // first offset of its open transaction, -1 if none
	seen             env.Instant
	batches          [batchesKept]sent
	n                int // of them, oldest first
}

func newProducer(id int64) producer {
	return producer{id: id, epoch: record.NoProducerEpoch, coordinatorEpoch: -1, lastTimestamp: -1, txnStart: -1}
}

func (p *producer) lastSequence() int32 {
	if p.n == 0 {
		return record.NoSequence
	}
	return p.batches[p.n-1].lastSequence
}

// setEpoch takes a newer epoch: the sequences of the old one count no more.
func (p *producer) setEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.n = epoch, 0
	}
}

func (p *producer) add(s sent) {
	if p.n == batchesKept {
		copy(p.batches[:], p.batches[1:])
		p.n--
	}
	p.batches[p.n] = s
	p.n++
}

// duplicate finds a batch with exactly these sequences (#findDuplicateBatch).
func (p *producer) duplicate(b record.Batch) (sent, bool) {
	if p.epoch != b.ProducerEpoch() {
		return sent{}, false
	}
	for _, s := range p.batches[:p.n] {
		if s.firstSequence() == b.BaseSequence() && s.lastSequence == b.LastSequence() {
			return s, true
		}
	}
	return sent{}, false
}

// checkEpoch fences older epochs (ProducerAppendInfo#checkProducerEpoch).
func (p *producer) checkEpoch(epoch int16) error {
	if epoch < p.epoch {
		markCheckEpochInvalidProducerEpoch.Hit()
		return fmt.Errorf("producer %d: epoch %d is older than %d: %w", p.id, epoch, p.epoch, kerr.InvalidProducerEpoch)
	}
	return nil
}

// checkSequence wants the sequence after the last. A producer that the log does not know may begin anywhere (since
// KIP-360 nobody is answered UNKNOWN_PRODUCER_ID for it), a new epoch begins at 0
// (ProducerAppendInfo#checkSequence).
func (p *producer) checkSequence(epoch int16, first int32) error {
	if epoch != p.epoch {
		if first != 0 && p.epoch != record.NoProducerEpoch {
			markCheckSequenceOutOfOrderSequenceNumber.Hit()
			return fmt.Errorf("producer %d: sequence %d in the new epoch %d, should be 0: %w", p.id, first, epoch, kerr.OutOfOrderSequenceNumber)
		}
		return nil
	}
	if last := p.lastSequence(); int64(first) != int64(last)+1 && !(first == 0 && last == math.MaxInt32) {
		markCheckSequenceOutOfOrderSequenceNumber2.Hit()
		return fmt.Errorf("producer %d epoch %d: sequence %d after %d: %w", p.id, epoch, first, last, kerr.OutOfOrderSequenceNumber)
	}
	return nil
}

// txn is a transaction that is open, or decided above the high watermark.
type txn struct {
	producer int64
	first    int64
	last     int64 // of its marker; -1 while it is open
	aborted  bool
}

// producers is the state of all producers of a log, up to end (ProducerStateManager). It belongs to the log's lock.
type producers struct {
	byID map[int64]*producer
	txns []txn // by first offset; what LastStableOffset stays below
	end  int64 // offset up to which batches were taken in

	scratch change
}

func newProducers(end int64) *producers { return &producers{byID: map[int64]*producer{}, end: end} }

// checks says how much of a batch's claims is believed.
type checks uint8

const (
	believe    checks = iota // from a leader, or from our own disk
	checkEpoch               // from a coordinator
	checkAll                 // from a client
)

// change is what batches that are not yet written would do to the producers. It is dropped if the write fails.
type change struct {
	of      *producers
	touched []producer
	done    []txn // decided by a marker
	// together plants the bug txn-index-together.
	together bool
}

// change begins a change. There is one at a time: its memory is used again.
func (ps *producers) change() *change {
	c := &ps.scratch
	c.of, c.touched, c.done = ps, c.touched[:0], c.done[:0]
	return c
}

// duplicate looks among what is on disk for a batch that the producer sent before.
func (ps *producers) duplicate(b record.Batch) (sent, bool) {
	if p := ps.byID[b.ProducerID()]; p != nil && b.HasProducerID() && !b.IsControl() {
		return p.duplicate(b)
	}
	return sent{}, false
}

// touch is the producer's state in this change.
func (c *change) touch(id int64) *producer {
	for i := range c.touched {
		if c.touched[i].id == id {
			return &c.touched[i]
		}
	}
	if p := c.of.byID[id]; p != nil {
		c.touched = append(c.touched, *p)
	} else {
		c.touched = append(c.touched, newProducer(id))
	}
	return &c.touched[len(c.touched)-1]
}

// add takes a batch in, which must be whole if it is a control batch; first is the offset that it has or will get.
//
// Errors: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE, TRANSACTION_COORDINATOR_FENCED.
//
// Source: ProducerAppendInfo#append.
func (c *change) add(b record.Batch, first int64, check checks) error {
	if !b.HasProducerID() {
		return nil
	}
	p := c.touch(b.ProducerID())
	if check >= checkEpoch {
		if err := p.checkEpoch(b.ProducerEpoch()); err != nil {
			return err
		}
	}
	if b.IsControl() {
		return c.addMarker(p, b, first, check)
	}
	if check == checkAll {
		if err := p.checkSequence(b.ProducerEpoch(), b.BaseSequence()); err != nil {
			return err
		}
	}
	switch open := p.txnStart >= 0; {
	case open && !b.IsTransactional() && check != believe:
		markAddInvalidTxnState.Hit()
		return fmt.Errorf("producer %d: not transactional inside its transaction: %w", p.id, kerr.InvalidTxnState)
	case !open && b.IsTransactional():
		p.txnStart = first
	}
	p.setEpoch(b.ProducerEpoch())
	p.add(sent{b.LastSequence(), first + int64(b.LastOffsetDelta()), b.LastOffsetDelta(), b.MaxTimestamp()})
	p.lastTimestamp = b.MaxTimestamp()
	return nil
}

// addMarker ends a transaction (ProducerAppendInfo#appendEndTxnMarker).
func (c *change) addMarker(p *producer, b record.Batch, offset int64, check checks) error {
	m, ok, err := b.EndTxn()
	if err != nil {
		return err
	}
	if !ok {
		if b.Count() == 0 { // a marker that compaction emptied and kept for the producer's epoch
			p.setEpoch(b.ProducerEpoch())
		}
		return nil
	}
	if check != believe && m.CoordinatorEpoch < p.coordinatorEpoch {
		markAddMarkerTransactionCoordinatorFenced.Hit()
		return fmt.Errorf("producer %d: coordinator epoch %d is older than %d: %w", p.id, m.CoordinatorEpoch, p.coordinatorEpoch, kerr.TransactionCoordinatorFenced)
	}
	if p.txnStart >= 0 {
		c.done = append(c.done, txn{p.id, p.txnStart, offset, m.Type == record.ControlAbort})
	}
	p.setEpoch(b.ProducerEpoch())
	p.coordinatorEpoch, p.lastTimestamp, p.txnStart = m.CoordinatorEpoch, b.MaxTimestamp(), -1
	return nil
}

// commit makes a change part of the state, once its batches are written and the log ends at end. It returns the
// transactions that were aborted (#completeTxn, #lastStableOffset).
func (ps *producers) commit(c *change, end int64, now env.Instant) (aborted []AbortedTxn) {
	for i := range c.touched {
		p := &c.touched[i]
		p.seen = now
		before := ps.byID[p.id]
		if before == nil {
			before = new(producer)
			before.txnStart = -1
			ps.byID[p.id] = before
		}
		if p.txnStart >= 0 && p.txnStart != before.txnStart {
			ps.begin(txn{p.id, p.txnStart, -1, false})
		}
		*before = *p
	}
	// One change may hold the ends of many transactions, as a follower's fetch does. When the first ends, the others are open still:
	// an index entry that took them for ended would hide theirs from a reader.
	for _, t := range c.done {
		if !c.together {
			t.last, t.aborted = -1, false
		}
		ps.begin(t)
	}
	for _, t := range c.done {
		ps.begin(t)
		if t.aborted {
			aborted = append(aborted, AbortedTxn{t.producer, t.first, t.last, ps.stableAfter(t)})
		}
	}
	ps.end = end
	return aborted
}

// stableAfter is the last stable offset once the marker of t is replicated: where the first other open transaction
// begins, or the offset behind the marker.
func (ps *producers) stableAfter(t txn) int64 {
	for _, other := range ps.txns {
		if other.last < 0 {
			return other.first
		}
	}
	return t.last + 1
}

// begin enters a transaction, or its end, keeping the order by first offset.
func (ps *producers) begin(t txn) {
	i, found := slices.BinarySearchFunc(ps.txns, t.first, func(t txn, first int64) int { return cmp.Compare(t.first, first) })
	if found {
		ps.txns[i] = t
		return
	}
	ps.txns = slices.Insert(ps.txns, i, t)
}

// firstUnstable is the first offset of a transaction that is open or whose end is not below the high watermark;
// math.MaxInt64 if there is none. Transactions that are decided for good are forgotten (#onHighWatermarkUpdated).
func (ps *producers) firstUnstable(hw int64) int64 {
	ps.txns = slices.DeleteFunc(ps.txns, func(t txn) bool { return t.last >= 0 && t.last < hw })
	if len(ps.txns) == 0 {
		return math.MaxInt64
	}
	return ps.txns[0].first
}

// expire forgets producers that sent nothing since a time, unless a transaction of theirs is open
// (#removeExpiredProducers).
//
// DEVIATION(KIP-98): Kafka goes by the timestamps of the records, which clients set as they like, and the wall clock;
// we go by when we took the batch in, on the monotonic clock, and count from the start after a restart.
func (ps *producers) expire(before env.Instant) (n int) {
	for id, p := range ps.byID { // unordered: each is judged by itself
		if p.txnStart < 0 && p.seen < before {
			delete(ps.byID, id)
			n++
		}
	}
	return n
}
