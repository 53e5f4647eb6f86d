package record

// Record is one record of a batch. Its bytes alias the batch or the iterator's buffer.
type Record struct {
	Offset    int64
	Timestamp int64    // ms; the batch's when that is log-append time
	Key       []byte   // nil: null
	Value     []byte   // nil: null
	Headers   []Header // valid until the iterator's next Next
}

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte // nil: null
}

// Iterator walks the records of a batch:
//
//	it := record.NewIterator(batch, limit)
//	for it.Next() {
//		use(it.Record())
//	}
//	err := it.Err()
type Iterator struct{}

// NewIterator unpacks the batch, of at most limit unpacked bytes, and stands before its first record. Errors wait in
// Err. The bytes are checked as they are walked: nothing that a batch holds makes an iterator panic.
func NewIterator(b Batch, limit int) *Iterator { panic("unfinished") }

// Next moves to the next record and reports whether there is one.
func (it *Iterator) Next() bool { panic("unfinished") }

// Record is the record that Next moved to.
func (it *Iterator) Record() Record { panic("unfinished") }

// Err is what ended the walk before the batch's end: CORRUPT_MESSAGE, INVALID_RECORD or MESSAGE_TOO_LARGE.
func (it *Iterator) Err() error { panic("unfinished") }
