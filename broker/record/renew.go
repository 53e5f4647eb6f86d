package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// How much of uncompressed messages becomes one batch, at least one.
const (
	renewBytes   = 64 << 10
	renewRecords = 1000
)

// Renew appends to dst one batch that stands for the first messages of magic 0 or 1 in buf, which are a log's: the records keep their offsets,
// timestamps and codec. It returns how many bytes of buf those are: a compressed message, or some that follow each other. buf holds one whole message at
// least.
//
// Errors: CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_COMPRESSION_TYPE; ErrPartial if there is no whole message.
//
// Source: RecordsUtil#downConvert, #convertRecordBatch, the other way round; AbstractLegacyRecordBatch.DeepRecordsIterator for the offsets.
func Renew(dst, buf []byte) (out []byte, n int, err error) {
	var kept []Kept
	var first oldMessage
	last := int64(-1)
	for rest := buf; len(kept) < renewRecords && n < renewBytes; {
		var m oldMessage
		m, rest, err = nextOld(rest)
		if err == nil && m.magic() <= 1 {
			err = m.check()
		}
		if err != nil && kept == nil {
			return dst, 0, err
		}
		if err != nil || m.magic() > 1 || kept != nil && (m.codec() != None || m.offset() <= last || m.offset()-first.offset() > math.MaxInt32) {
			break // of the next batch, or its trouble
		}
		if kept != nil && (m.isLogAppended() != first.isLogAppended() || m.isLogAppended() && m.timestamp() != first.timestamp()) {
			break // a batch has one log append time
		}
		if first == nil {
			first = m
		}
		n, last = n+len(m), m.offset()
		if m.codec() != None {
			if kept, err = unwrap(m); err != nil {
				return dst, 0, err
			}
			break
		}
		key, value, err := m.content()
		if err != nil {
			return dst, 0, err
		}
		kept = append(kept, Kept{Offset: m.offset(), Timestamp: m.timestamp(), Key: key, Value: value})
	}
	if len(kept) == 0 {
		return dst, 0, fmt.Errorf("no message of magic 0 or 1: %w", kerr.CorruptMessage)
	}
	var h [HeaderSize]byte
	b, attributes := Batch(h[:]), int(first.codec())
	if first.isLogAppended() {
		attributes |= attrLogAppendTime
	}
	be := binary.BigEndian
	be.PutUint64(h[atBaseOffset:], uint64(kept[0].Offset))
	be.PutUint32(h[atLeaderEpoch:], math.MaxUint32) // none
	h[atMagic] = byte(Magic)
	be.PutUint16(h[atAttributes:], uint16(attributes))
	be.PutUint32(h[atLastOffsetDelta:], uint32(last-kept[0].Offset))
	b.SetProducer(-1, -1, -1)
	out, err = AppendCompacted(dst, b, kept, -1)
	return out, n, err
}

// unwrap lists the messages in a wrapper. Those of magic 1 count from wherever they like: the wrapper's offset is that of the last.
func unwrap(wrapper oldMessage) (kept []Kept, err error) {
	inner, err := wrapper.unpack(Rules{})
	if err != nil {
		return nil, err
	}
	for len(inner) > 0 {
		var m oldMessage
		if m, inner, err = nextOld(inner); err == nil {
			err = m.check()
		}
		if err == nil && (m.codec() != None || m.magic() != wrapper.magic()) {
			err = fmt.Errorf("a message of magic %d and codec %d in one of magic %d: %w", m.magic(), m.codec(), wrapper.magic(), kerr.InvalidRecord)
		}
		var key, value []byte
		if err == nil {
			key, value, err = m.content()
		}
		if err == nil && len(kept) > 0 && m.offset() <= kept[len(kept)-1].Offset {
			err = fmt.Errorf("offset %d behind %d in a compressed message: %w", m.offset(), kept[len(kept)-1].Offset, kerr.InvalidRecord)
		}
		if err != nil {
			return nil, err
		}
		timestamp := m.timestamp()
		if wrapper.isLogAppended() {
			timestamp = wrapper.timestamp()
		}
		kept = append(kept, Kept{Offset: m.offset(), Timestamp: timestamp, Key: key, Value: value})
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("a compressed message with nothing in it: %w", kerr.InvalidRecord)
	}
	if wrapper.magic() == 1 {
		shift := wrapper.offset() - kept[len(kept)-1].Offset
		for i := range kept {
			kept[i].Offset += shift
		}
	}
	if first, last := kept[0].Offset, kept[len(kept)-1].Offset; first < 0 || last != wrapper.offset() || last-first > math.MaxInt32 {
		return nil, fmt.Errorf("offsets %d to %d in a compressed message at %d: %w", first, last, wrapper.offset(), kerr.InvalidRecord)
	}
	return kept, nil
}
