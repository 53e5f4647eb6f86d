package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Positions of a batch's fields, in bytes from its start.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
	atRecords         = 61
)

const (
	// LogOverhead is what precedes the bytes that a batch's length counts: base offset and length.
	LogOverhead = 12
	// HeaderSize is the size of a batch without its records.
	HeaderSize = atRecords
	// Magic is the version of the format.
	Magic = 2
	// NoTimestamp is the timestamp of a record that has none.
	NoTimestamp int64 = -1
	// NoProducerID is the producer id of a batch that is not idempotent; NoSequence its base sequence.
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
)

// sizeV0 is the smallest that anything in a log may claim to be (LegacyRecord.RECORD_OVERHEAD_V0).
const sizeV0 = 14

// ErrPartial says that the bytes end before the batch does. It is not a Kafka error: what it means depends on where
// the bytes come from (a fetch may end in a partial batch, a produce may not).
var ErrPartial = errors.New("partial record batch")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one whole batch: len(b) is its size. It aliases the bytes it was cut from. Make one with Next, or be sure.
type Batch []byte

// Next cuts the first batch off buf and returns it with what follows. Only its length and magic are looked at.
//
// Errors: ErrPartial when buf ends before the batch (also when buf is empty); CORRUPT_MESSAGE for an impossible length
// or magic; UNSUPPORTED_FOR_MESSAGE_FORMAT for magic 0 and 1.
//
// Source: ByteBufferLogInputStream#nextBatch.
func Next(buf []byte) (b Batch, rest []byte, err error) {
	size, err := Size(buf)
	if err != nil {
		return nil, buf, err
	}
	if size > int64(len(buf)) {
		return nil, buf, ErrPartial
	}
	return Batch(buf[:size:size]), buf[size:], nil
}

// Size is the size in bytes of the batch that buf begins with, of which at least the first 17 bytes must be there
// (else ErrPartial). Its other errors are those of Next.
func Size(buf []byte) (int64, error) {
	if len(buf) < LogOverhead {
		return 0, ErrPartial
	}
	length := int32(binary.BigEndian.Uint32(buf[atLength:]))
	if length < sizeV0 {
		return 0, fmt.Errorf("batch length %d is less than the smallest possible %d: %w", length, sizeV0, kerr.CorruptMessage)
	}
	if len(buf) <= atMagic {
		return 0, ErrPartial
	}
	switch magic := int8(buf[atMagic]); {
	case magic == 0 || magic == 1:
		return 0, fmt.Errorf("magic %d: %w", magic, kerr.UnsupportedForMessageFormat)
	case magic != Magic:
		return 0, fmt.Errorf("magic %d: %w", magic, kerr.CorruptMessage)
	}
	if length < HeaderSize-LogOverhead {
		return 0, fmt.Errorf("batch length %d is less than its header's %d: %w", length, HeaderSize-LogOverhead, kerr.CorruptMessage)
	}
	return int64(length) + LogOverhead, nil
}

// IsLegacy says that buf begins with a whole message of magic 0 or 1, whose CRC is right: real data that we do not
// read, not the garbage of a torn write. Its CRC, at 12, is that of everything from the magic on (LegacyRecord).
func IsLegacy(buf []byte) bool {
	if len(buf) <= atMagic || buf[atMagic] > 1 {
		return false
	}
	end := int64(int32(binary.BigEndian.Uint32(buf[atLength:]))) + LogOverhead
	if end < LogOverhead+sizeV0 || end > int64(len(buf)) {
		return false
	}
	return crc32.ChecksumIEEE(buf[atMagic:end]) == binary.BigEndian.Uint32(buf[LogOverhead:])
}

// HeaderOf is the start of a batch: at least HeaderSize bytes, of which the accessors of Batch may be asked.
func HeaderOf(buf []byte) Batch { return Batch(buf[:HeaderSize:HeaderSize]) }

func (b Batch) int64At(i int) int64 { return int64(binary.BigEndian.Uint64(b[i:])) }
func (b Batch) int32At(i int) int32 { return int32(binary.BigEndian.Uint32(b[i:])) }
func (b Batch) int16At(i int) int16 { return int16(binary.BigEndian.Uint16(b[i:])) }

// Size is the whole batch's size in bytes, as its length field says.
func (b Batch) Size() int64 { return int64(b.int32At(atLength)) + LogOverhead }

// BaseOffset is the offset of the first record that the batch was written with.
func (b Batch) BaseOffset() int64 { return b.int64At(atBaseOffset) }

// LastOffset is the offset of the last one. Compaction keeps both even when it removes those records.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after the last.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LastOffsetDelta is LastOffset less BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return b.int32At(atLastOffsetDelta) }

// LeaderEpoch is the epoch of the leader that appended the batch; -1 in what clients send.
func (b Batch) LeaderEpoch() int32 { return b.int32At(atLeaderEpoch) }

// Magic is the format's version.
func (b Batch) Magic() int8 { return int8(b[atMagic]) }

// CRC is the checksum that the batch carries; ComputeCRC the one it should.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[atCRC:]) }

// ComputeCRC is the CRC-32C of the bytes from the attributes to the end.
func (b Batch) ComputeCRC() uint32 { return updateCRC(0, b[atAttributes:]) }

// Attributes are the flags, as they are on the wire.
func (b Batch) Attributes() int16 { return b.int16At(atAttributes) }

// Codec is how the records are compressed.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & attrCodec) }

// IsLogAppendTime says that MaxTimestamp is the time of the append and counts for all records.
func (b Batch) IsLogAppendTime() bool { return b.Attributes()&attrLogAppendTime != 0 }

// IsTransactional says that the batch is part of a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&attrTransactional != 0 }

// IsControl says that the batch holds a control record, which clients do not see.
func (b Batch) IsControl() bool { return b.Attributes()&attrControl != 0 }

// BaseTimestamp is the first record's timestamp in ms; the others are deltas to it.
func (b Batch) BaseTimestamp() int64 { return b.int64At(atBaseTimestamp) }

// MaxTimestamp is the largest timestamp in ms, or the time of the append.
func (b Batch) MaxTimestamp() int64 { return b.int64At(atMaxTimestamp) }

// ProducerID is the idempotent producer's id, or NoProducerID.
func (b Batch) ProducerID() int64 { return b.int64At(atProducerID) }

// ProducerEpoch is that id's epoch.
func (b Batch) ProducerEpoch() int16 { return b.int16At(atProducerEpoch) }

// HasProducerID says that the batch comes from an idempotent producer.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// BaseSequence is the first record's sequence number, or NoSequence.
func (b Batch) BaseSequence() int32 { return b.int32At(atBaseSequence) }

// LastSequence is the last record's sequence number, which wraps to 0 after the largest int32.
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() == NoSequence {
		return NoSequence
	}
	return AddSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// Count is the number of records.
func (b Batch) Count() int32 { return b.int32At(atCount) }

// RecordBytes are the records, compressed as Codec says.
func (b Batch) RecordBytes() []byte { return b[atRecords:] }

// SetBaseOffset gives the records their place in the log. The CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(offset))
}

// SetLeaderEpoch names the leader's epoch. The CRC does not cover it.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[atLeaderEpoch:], uint32(epoch))
}

// SetLogAppendTime sets the timestamp of all records to ms and the attribute that says so, and renews the CRC.
//
// Source: DefaultRecordBatch#setMaxTimestamp.
func (b Batch) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(b.Attributes()|attrLogAppendTime))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(ms))
	b.SetCRC()
}

// setCreateTime makes ms the max timestamp, of records that carry their own, and renews the CRC.
func (b Batch) setCreateTime(ms int64) {
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(b.Attributes()&^attrLogAppendTime))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(ms))
	b.SetCRC()
}

// SetProducer names the idempotent producer and its sequence, and renews the CRC.
func (b Batch) SetProducer(id int64, epoch int16, sequence int32) {
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(id))
	binary.BigEndian.PutUint16(b[atProducerEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(b[atBaseSequence:], uint32(sequence))
	b.SetCRC()
}

// SetCRC renews the checksum.
func (b Batch) SetCRC() { binary.BigEndian.PutUint32(b[atCRC:], b.ComputeCRC()) }

// AddSequence is sequence + n in the ring of sequence numbers, in which 0 follows the largest int32.
//
//	AddSequence(math.MaxInt32, 1) = 0
//
// Source: DefaultRecordBatch#incrementSequence.
func AddSequence(sequence, n int32) int32 {
	if sequence > 1<<31-1-n {
		return n - (1<<31 - 1 - sequence) - 1
	}
	return sequence + n
}

// SubSequence is sequence - n in the same ring.
//
// Source: DefaultRecordBatch#decrementSequence.
func SubSequence(sequence, n int32) int32 {
	if sequence < n {
		return 1<<31 - 1 - (n - sequence) + 1
	}
	return sequence - n
}
