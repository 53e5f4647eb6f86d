package log

import (
	"barnabas/broker/bug"
	"barnabas/broker/record"
)

// filter decides what of a log survives one pass of the cleaner:
//
//   - of each key the last record, and everything behind the offset up to which the map knows the log
//   - tombstones until their delete horizon: delete.retention.ms after the pass that first met them
//   - of transactions what was committed; the marker until the horizon that it gets once nothing of its transaction is left
//   - the last batch of each idempotent producer, if need be without its records, for the sequence in it
//   - of a producer that is known by its marker alone, that
//
// Source: Cleaner#cleanInto, #shouldRetainRecord, MemoryRecords#filterTo. KIP-98, KIP-534.
type filter struct {
	keys      *offsetMap
	txns      *cleanedTxns
	producers map[int64]lastRecord
	now       int64 // ms
	retention int64 // delete.retention.ms
	bugs      bug.Set

	kept  []record.Kept // scratch
	stats CleanStats
}

// lastRecord is what must be kept for a producer.
type lastRecord struct {
	offset    int64 // the last of its last data batch, -1 if there is none in its epoch
	committed int64 // the same below the high watermark: what counts if the rest is truncated
	epoch     int16
}

// isLast says that the batch is the one that must be kept for its producer.
func (f *filter) isLast(b record.Batch) bool {
	last, ok := f.producers[b.ProducerID()]
	if !ok || !b.HasProducerID() {
		return false
	}
	if last.offset >= 0 {
		return b.LastOffset() == last.offset || b.LastOffset() == last.committed && !b.IsControl()
	}
	return b.IsControl() && b.ProducerEpoch() == last.epoch
}

// batch appends to dst what is left of a batch, which may be nothing.
func (f *filter) batch(dst []byte, b record.Batch) ([]byte, error) {
	f.stats.BatchesRead++
	f.stats.RecordsRead += int64(b.Count())
	discard, err := f.txns.read(b)
	if err != nil {
		return dst, err
	}
	if b.LastOffset() > f.keys.latest { // not decided yet, maybe, or not looked at
		discard = false
	}
	emptyTxn := discard && b.IsControl()
	if horizon, ok := b.DeleteHorizon(); emptyTxn && !(ok && horizon <= f.now) {
		discard = false
	}
	if discard {
		if f.isLast(b) {
			return record.AppendEmptied(dst, b), nil
		}
		return dst, nil
	}
	tombstones, err := f.records(b)
	if err != nil {
		return dst, err
	}
	f.stats.RecordsKept += int64(len(f.kept))
	horizon := int64(-1)
	if _, ok := b.DeleteHorizon(); !ok && (tombstones || emptyTxn) {
		horizon = f.now + f.retention
	}
	switch {
	case len(f.kept) == 0 && f.isLast(b):
		return record.AppendEmptied(dst, b), nil
	case len(f.kept) == 0:
		return dst, nil
	case len(f.kept) == int(b.Count()) && horizon < 0:
		return append(dst, b...), nil
	default:
		return record.AppendCompacted(dst, b, f.kept, horizon)
	}
}

// records collects the batch's records that are kept.
func (f *filter) records(b record.Batch) (tombstones bool, err error) {
	f.kept = f.kept[:0]
	horizon, set := b.DeleteHorizon()
	deletable := set && f.now >= horizon
	it := record.NewIterator(b, 0)
	for it.Next() {
		r := it.Record()
		if !b.IsControl() && r.Offset <= f.keys.latest && !f.keeps(r, deletable) {
			continue
		}
		tombstones = tombstones || r.Value == nil && !b.IsControl()
		k := record.Kept{Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
		if len(r.Headers) > 0 {
			k.Headers = append(k.Headers, r.Headers...) // the iterator uses its own again
		}
		f.kept = append(f.kept, k)
	}
	return tombstones, it.Err()
}

// keeps judges a record that the map covers.
func (f *filter) keeps(r record.Record, deletable bool) bool {
	switch {
	case r.Key == nil:
		return false // from before the topic was compacted
	case r.Offset < f.keys.get(r.Key):
		return false
	case f.bugs.Has(bug.TombstoneEarly) && r.Value == nil:
		return false
	default:
		return r.Value != nil || !deletable
	}
}
