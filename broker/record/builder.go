package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// BatchOptions are what a builder puts into its batches besides records. Use NewBatchOptions: ids of 0 are real ids.
type BatchOptions struct {
	Codec         Codec
	ProducerID    int64 // NoProducerID: not idempotent
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	BaseOffset    int64 // 0 in what clients send
	LeaderEpoch   int32 // -1 in what clients send
}

// NewBatchOptions are those of a producer without an id.
func NewBatchOptions() BatchOptions {
	return BatchOptions{ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch, BaseSequence: NoSequence, LeaderEpoch: -1}
}

// Builder makes a batch, record by record. The zero Builder is empty and ready.
type Builder struct {
	records   []byte
	count     int32
	base, max int64 // timestamps, ms
}

// MaxRecordOverhead bounds what a record without headers adds to its key and value in a batch.
const MaxRecordOverhead = 5 + 1 + 10 + 5 + 5 + 5 + 5

// Append adds a record. A nil key or value is null, which is not the same as an empty one. The bytes are copied.
func (b *Builder) Append(timestamp int64, key, value []byte, headers ...Header) {
	if b.count == 0 {
		b.base, b.max = timestamp, timestamp
	}
	b.max = max(b.max, timestamp)
	delta := timestamp - b.base
	b.records = binary.AppendVarint(b.records, int64(recordSize(delta, b.count, key, value, headers)))
	b.records = append(b.records, 0) // attributes
	b.records = binary.AppendVarint(b.records, delta)
	b.records = binary.AppendVarint(b.records, int64(b.count))
	b.records = appendBytes(b.records, key)
	b.records = appendBytes(b.records, value)
	b.records = binary.AppendVarint(b.records, int64(len(headers)))
	for _, h := range headers {
		b.records = binary.AppendVarint(b.records, int64(len(h.Key)))
		b.records = append(b.records, h.Key...)
		b.records = appendBytes(b.records, h.Value)
	}
	b.count++
}

func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(p))), p...)
}

func recordSize(timestampDelta int64, offsetDelta int32, key, value []byte, headers []Header) int {
	n := 1 + varintSize(timestampDelta) + varintSize(int64(offsetDelta)) + bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for _, h := range headers {
		n += varintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	return n
}

func bytesSize(p []byte) int {
	if p == nil {
		return varintSize(-1)
	}
	return varintSize(int64(len(p))) + len(p)
}

func varintSize(v int64) int {
	n := 1
	for u := uint64(v<<1) ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// Count is the number of records; Size the batch's size in bytes if it were built now, without compression.
func (b *Builder) Count() int { return int(b.count) }
func (b *Builder) Size() int  { return HeaderSize + len(b.records) }

// Build appends the batch to dst. The builder keeps its records: building again with other options is allowed.
// Errors: an empty builder, a codec that does not exist, a batch beyond 2 GiB.
func (b *Builder) Build(dst []byte, o BatchOptions) ([]byte, error) {
	if b.count == 0 {
		return dst, fmt.Errorf("a batch without records: %w", kerr.InvalidRecord)
	}
	attributes := int16(o.Codec) & attrCodec
	if o.Transactional {
		attributes |= attrTransactional
	}
	return b.build(dst, o, attributes)
}

func (b *Builder) build(dst []byte, o BatchOptions, attributes int16) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst, err := Compress(dst, o.Codec, b.records)
	if err != nil {
		return dst[:start], err
	}
	batch := Batch(dst[start:])
	if len(batch) > math.MaxInt32 {
		return dst[:start], fmt.Errorf("batch of %d bytes: %w", len(batch), kerr.MessageTooLarge)
	}
	be := binary.BigEndian
	be.PutUint64(batch[atBaseOffset:], uint64(o.BaseOffset))
	be.PutUint32(batch[atLength:], uint32(len(batch)-LogOverhead))
	be.PutUint32(batch[atLeaderEpoch:], uint32(o.LeaderEpoch))
	batch[atMagic] = Magic
	be.PutUint16(batch[atAttributes:], uint16(attributes))
	be.PutUint32(batch[atLastOffsetDelta:], uint32(b.count-1))
	be.PutUint64(batch[atBaseTimestamp:], uint64(b.base))
	be.PutUint64(batch[atMaxTimestamp:], uint64(b.max))
	be.PutUint64(batch[atProducerID:], uint64(o.ProducerID))
	be.PutUint16(batch[atProducerEpoch:], uint16(o.ProducerEpoch))
	be.PutUint32(batch[atBaseSequence:], uint32(o.BaseSequence))
	be.PutUint32(batch[atCount:], uint32(b.count))
	batch.SetCRC()
	return dst, nil
}

// Reset empties the builder and keeps its memory.
func (b *Builder) Reset() {
	b.records, b.count, b.base, b.max = b.records[:0], 0, 0, 0
}
