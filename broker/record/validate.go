package record

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Check judges one batch by itself: header, CRC and the counts that its header carries; not its records. It is what a
// follower and a recovering log ask of a batch. Errors: CORRUPT_MESSAGE.
//
// Source: DefaultRecordBatch#ensureValid; the counts are checked loosely, because compaction may empty a batch.
func (b Batch) Check() error {
	if len(b) < HeaderSize || b.Size() != int64(len(b)) {
		return fmt.Errorf("batch of %d bytes says it has %d: %w", len(b), b.Size(), kerr.CorruptMessage)
	}
	if err := b.checkHeader(); err != nil {
		return err
	}
	return b.checkCRC()
}

// CheckParts is Check for a batch of any size of which only the header is in memory. rest gives the bytes behind it, in
// pieces, to take; its error is returned as it is.
func (b Batch) CheckParts(rest func(take func([]byte)) error) error {
	if err := b.checkHeader(); err != nil {
		return err
	}
	sum := updateCRC(0, b[atAttributes:HeaderSize])
	if err := rest(func(p []byte) { sum = updateCRC(sum, p) }); err != nil {
		return err
	}
	return b.compareCRC(sum)
}

func (b Batch) checkHeader() error {
	switch {
	case b.Magic() != Magic:
		return fmt.Errorf("magic %d: %w", b.Magic(), kerr.CorruptMessage)
	case b.BaseOffset() < 0 || b.LastOffsetDelta() < 0 || b.LastOffset() < b.BaseOffset():
		return fmt.Errorf("base offset %d, last offset delta %d: %w", b.BaseOffset(), b.LastOffsetDelta(), kerr.CorruptMessage)
	case b.Count() < 0 || int64(b.Count()) > int64(b.LastOffsetDelta())+1:
		return fmt.Errorf("%d records, last offset delta %d: %w", b.Count(), b.LastOffsetDelta(), kerr.CorruptMessage)
	}
	return nil
}

func (b Batch) checkCRC() error { return b.compareCRC(b.ComputeCRC()) }

func (b Batch) compareCRC(sum uint32) error {
	if sum != b.CRC() {
		return fmt.Errorf("CRC is %08x, batch says %08x: %w", sum, b.CRC(), kerr.CorruptMessage)
	}
	return nil
}

// Rules are what a leader asks of the batches of a produce.
type Rules struct {
	BatchBytesMax    int32 // max.message.bytes; 0: no bound
	UnpackedBytesMax int   // of a compressed batch's records; 0: DefaultUnpackedBytesMax
	KeyRequired      bool  // the topic is compacted
	Coordinator      bool  // from a coordinator of this cluster: control batches are allowed

	// TimestampBound has records refused whose timestamp, if they have one, is not from Oldest to Newest (ms).
	TimestampBound bool
	Oldest, Newest int64
}

// DefaultUnpackedBytesMax bounds how far a compressed batch may unfold: 256 MiB.
const DefaultUnpackedBytesMax = 256 << 20

// Validate judges the batches of a produce as Kafka's leader does and returns how many whole batches there are, and in
// how many bytes. A partial batch behind them is left out, as Kafka does. A max timestamp that is not that of the
// records is corrected in place.
//
// Records that have no key where one is needed, or a timestamp out of the bounds, are all looked for; the error is a *RefusedRecords then.
//
// Errors: CORRUPT_MESSAGE (length, magic, CRC, what cannot be unpacked), MESSAGE_TOO_LARGE, INVALID_RECORD (counts,
// offsets, keys, control bit, sequence, records; no whole batch at all), INVALID_TIMESTAMP (out of the bounds, or a
// producer that says LogAppendTime), UNSUPPORTED_COMPRESSION_TYPE,
// UNSUPPORTED_FOR_MESSAGE_FORMAT (magic 0 and 1).
//
// Source: UnifiedLog#analyzeAndValidateRecords, LogValidator#validateBatch, DefaultRecord#readFrom.
// Messages of magic 0 and 1 must have been made batches by Upconvert.
//
// DEVIATION(KIP-98): Kafka unpacks without a bound; we answer MESSAGE_TOO_LARGE, upon which clients split the batch.
func Validate(buf []byte, r Rules) (batches int, size int, err error) {
	for rest := buf; ; batches++ {
		var b Batch
		b, rest, err = Next(rest)
		if err == ErrPartial {
			break
		}
		if err != nil {
			return batches, size, err
		}
		if err := b.validate(r); err != nil {
			return batches, size, err
		}
		size += len(b)
	}
	if batches == 0 {
		return 0, 0, fmt.Errorf("no whole record batch in %d bytes: %w", len(buf), kerr.InvalidRecord)
	}
	return batches, size, nil
}

func (b Batch) validate(r Rules) error {
	if !r.Coordinator && b.BaseOffset() != 0 {
		return fmt.Errorf("base offset is %d, should be 0: %w", b.BaseOffset(), kerr.InvalidRecord)
	}
	if r.BatchBytesMax > 0 && len(b) > int(r.BatchBytesMax) {
		return fmt.Errorf("batch of %d bytes, at most %d allowed: %w", len(b), r.BatchBytesMax, kerr.MessageTooLarge)
	}
	if err := b.checkCRC(); err != nil {
		return err
	}
	if err := b.validateHeader(r); err != nil {
		return err
	}
	return b.validateRecords(r)
}

// validateHeader is LogValidator#validateBatch.
func (b Batch) validateHeader(r Rules) error {
	switch delta, count := b.LastOffsetDelta(), b.Count(); {
	case delta < 0:
		return fmt.Errorf("last offset delta is %d: %w", delta, kerr.InvalidRecord)
	case count <= 0:
		return fmt.Errorf("%d records: %w", count, kerr.InvalidRecord)
	case int64(delta)+1 != int64(count):
		return fmt.Errorf("last offset delta is %d with %d records: %w", delta, count, kerr.InvalidRecord)
	case b.IsControl() && !r.Coordinator:
		return fmt.Errorf("clients are not allowed to write control records: %w", kerr.InvalidRecord)
	case b.IsLogAppendTime() && !r.Coordinator:
		return fmt.Errorf("timestamp type LogAppendTime is not a producer's to set: %w", kerr.InvalidTimestamp)
	case b.HasProducerID() && b.BaseSequence() < 0 && !r.Coordinator:
		return fmt.Errorf("base sequence %d with producer id %d: %w", b.BaseSequence(), b.ProducerID(), kerr.InvalidRecord)
	}
	return nil
}

// window is a buffer to unpack into.
type window [32 << 10]byte

var windows pool[window]

// validateRecords walks the records, unpacking as it goes, and corrects the max timestamp.
func (b Batch) validateRecords(r Rules) error {
	if b.Codec() == None {
		w := walker{buf: b.RecordBytes()}
		return b.walkRecords(&w, r)
	}
	limit := r.UnpackedBytesMax
	if limit == 0 {
		limit = DefaultUnpackedBytesMax
	}
	src, done, err := unpacker(b.Codec(), b.RecordBytes(), limit)
	if err != nil {
		return err
	}
	defer done()
	win := windows.get()
	if win == nil {
		win = new(window)
	}
	defer windows.put(win)
	w := walker{buf: win[:0], r: src, codec: b.Codec(), limit: limit}
	return b.walkRecords(&w, r)
}

func (b Batch) walkRecords(w *walker, r Rules) error {
	newest := NoTimestamp
	var refused *RefusedRecords
	for i := range b.Count() {
		rec, err := w.record()
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		if rec.offsetDelta != i {
			return fmt.Errorf("record %d has offset delta %d: %w", i, rec.offsetDelta, kerr.InvalidRecord)
		}
		if r.KeyRequired && !rec.hasKey && !b.IsControl() {
			refused = refused.and(i, kerr.InvalidRecord, "a compacted topic takes no record without a key")
			continue
		}
		timestamp := b.BaseTimestamp() + rec.timestampDelta
		if r.TimestampBound && timestamp != NoTimestamp && (timestamp < r.Oldest || timestamp > r.Newest) {
			refused = refused.and(i, kerr.InvalidTimestamp, "timestamp %d is not from %d to %d", timestamp, r.Oldest, r.Newest)
		}
		newest = max(newest, timestamp)
	}
	if err := w.end(); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	if b.IsLogAppendTime() || b.MaxTimestamp() != newest {
		b.setCreateTime(newest)
	}
	return nil
}
