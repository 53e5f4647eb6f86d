package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// attrDeleteHorizon says that the base timestamp is the time from which tombstones, or a transaction's marker, may be
// removed by compaction. Timestamps of records stay right: they are deltas to it (KIP-534).
const attrDeleteHorizon = 0x40

// DeleteHorizon is the time, in ms, from which compaction may remove the batch's tombstones or marker; ok is false when
// none was set yet.
//
// Source: DefaultRecordBatch#deleteHorizonMs. KIP-534.
func (b Batch) DeleteHorizon() (ms int64, ok bool) {
	if b.Attributes()&attrDeleteHorizon == 0 {
		return NoTimestamp, false
	}
	return b.BaseTimestamp(), true
}

// Kept is a record that compaction keeps. Its bytes are not changed.
type Kept struct {
	Offset    int64
	Timestamp int64 // ms
	Key       []byte
	Value     []byte
	Headers   []Header
}

// AppendCompacted appends to dst the batch b with the given records of it alone, ascending, at least one. Offsets,
// producer, sequence and codec are b's, base and last offset too, whatever was removed. With horizon ≥ 0 that becomes
// the batch's delete horizon; with horizon < 0 the one that b has, if any, stays.
//
// Source: MemoryRecords#buildRetainedRecordsInto.
func AppendCompacted(dst []byte, b Batch, records []Kept, horizon int64) ([]byte, error) {
	if len(records) == 0 {
		return dst, fmt.Errorf("a compacted batch without records: %w", kerr.InvalidRecord)
	}
	attributes := b.Attributes() &^ attrDeleteHorizon
	base, newest := records[0].Timestamp, NoTimestamp
	if horizon < 0 {
		horizon, _ = b.DeleteHorizon()
	}
	if horizon >= 0 {
		attributes |= attrDeleteHorizon
		base = horizon
	}
	var raw []byte
	for _, r := range records {
		newest = max(newest, r.Timestamp)
		raw = appendRecord(raw, r, r.Timestamp-base, int32(r.Offset-b.BaseOffset()))
	}
	start := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	dst, err := Compress(dst, b.Codec(), raw)
	if err != nil {
		return dst[:start], err
	}
	out := Batch(dst[start:])
	if len(out) > math.MaxInt32 {
		return dst[:start], fmt.Errorf("batch of %d bytes: %w", len(out), kerr.MessageTooLarge)
	}
	be := binary.BigEndian
	be.PutUint32(out[atLength:], uint32(len(out)-LogOverhead))
	be.PutUint16(out[atAttributes:], uint16(attributes))
	be.PutUint64(out[atBaseTimestamp:], uint64(base))
	be.PutUint64(out[atMaxTimestamp:], uint64(newest))
	be.PutUint32(out[atCount:], uint32(len(records)))
	out.SetCRC()
	return dst, nil
}

func appendRecord(dst []byte, r Kept, timestampDelta int64, offsetDelta int32) []byte {
	dst = binary.AppendVarint(dst, int64(recordSize(timestampDelta, offsetDelta, r.Key, r.Value, r.Headers)))
	dst = append(dst, 0) // attributes
	dst = binary.AppendVarint(dst, timestampDelta)
	dst = binary.AppendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

// AppendEmptied appends to dst the batch b without any record, for what its header still says: offsets, and its
// producer's epoch and sequence.
//
// Source: DefaultRecordBatch#writeEmptyHeader.
func AppendEmptied(dst []byte, b Batch) []byte {
	start := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	out := Batch(dst[start:])
	be := binary.BigEndian
	be.PutUint32(out[atLength:], HeaderSize-LogOverhead)
	be.PutUint16(out[atAttributes:], uint16(b.Attributes()&(attrLogAppendTime|attrTransactional|attrControl)))
	be.PutUint64(out[atBaseTimestamp:], uint64(1<<64-1)) // NoTimestamp
	be.PutUint32(out[atCount:], 0)
	out.SetCRC()
	return dst
}

// AppendFiller appends to dst a batch without records and without a producer that reaches to b's last offset: it keeps
// the offsets of a log going on where compaction removed what was there.
func AppendFiller(dst []byte, b Batch) []byte {
	start := len(dst)
	dst = AppendEmptied(dst, b)
	out := Batch(dst[start:])
	be := binary.BigEndian
	be.PutUint16(out[atAttributes:], uint16(b.Attributes()&attrLogAppendTime))
	be.PutUint64(out[atMaxTimestamp:], uint64(1<<64-1)) // NoTimestamp
	out.SetProducer(NoProducerID, NoProducerEpoch, NoSequence)
	return dst
}
