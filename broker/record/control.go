package record

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ControlType is the type of a control record.
type ControlType int16

// The control records of transactions (ControlRecordType).
const (
	ControlAbort  ControlType = 0
	ControlCommit ControlType = 1
)

// EndTxnMarker is a control record that ends a transaction on one partition.
type EndTxnMarker struct {
	Type             ControlType
	CoordinatorEpoch int32
}

// AppendEndTxn appends a control batch with one marker to dst. Its key is version 0 and the type, its value version 0
// and the coordinator's epoch, each int16 but the epoch, which is int32.
//
// Source: EndTransactionMarker, MemoryRecords#withEndTransactionMarker.
func AppendEndTxn(dst []byte, timestamp, producerID int64, producerEpoch int16, m EndTxnMarker) []byte {
	var key [4]byte
	binary.BigEndian.PutUint16(key[2:], uint16(m.Type))
	var value [6]byte
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	var b Builder
	b.Append(timestamp, key[:], value[:])
	o := NewBatchOptions()
	o.ProducerID, o.ProducerEpoch = producerID, producerEpoch
	dst, _ = b.build(dst, o, attrTransactional|attrControl) // uncompressed: cannot fail
	return dst
}

// EndTxn reads the marker of a control batch. ok is false for control batches of other types and for an empty batch,
// which compaction may leave. Errors: INVALID_RECORD.
func (b Batch) EndTxn() (m EndTxnMarker, ok bool, err error) {
	it := NewIterator(b, 1<<20)
	if !it.Next() {
		return m, false, it.Err()
	}
	rec := it.Record()
	if len(rec.Key) < 4 {
		return m, false, fmt.Errorf("control record key of %d bytes: %w", len(rec.Key), kerr.InvalidRecord)
	}
	if version := int16(binary.BigEndian.Uint16(rec.Key)); version < 0 {
		return m, false, fmt.Errorf("control record version %d: %w", version, kerr.InvalidRecord)
	}
	m.Type = ControlType(binary.BigEndian.Uint16(rec.Key[2:]))
	if m.Type != ControlAbort && m.Type != ControlCommit {
		return m, false, nil
	}
	if len(rec.Value) < 6 {
		return m, false, fmt.Errorf("control record value of %d bytes: %w", len(rec.Value), kerr.InvalidRecord)
	}
	m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(rec.Value[2:]))
	return m, true, nil
}
