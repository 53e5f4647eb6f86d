package record

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

// AppendEndTxn appends a control batch with one marker to dst.
//
// Source: EndTransactionMarker, MemoryRecords#withEndTransactionMarker.
func AppendEndTxn(dst []byte, timestamp, producerID int64, producerEpoch int16, m EndTxnMarker) []byte {
	panic("unfinished")
}

// EndTxn reads the marker of a control batch. ok is false for control batches of other types. Errors: INVALID_RECORD.
func (b Batch) EndTxn() (m EndTxnMarker, ok bool, err error) { panic("unfinished") }
