package record

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

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
type Iterator struct {
	batch   Batch
	buf     []byte // the records not yet walked
	left    int32
	rec     Record
	headers []Header
	err     error
}

// NewIterator unpacks the batch, of at most limit unpacked bytes (0: DefaultUnpackedBytesMax), and stands before its
// first record. Errors wait in Err. The bytes are checked as they are walked: nothing that a batch holds makes an
// iterator panic. The batch's CRC is not checked.
func NewIterator(b Batch, limit int) *Iterator {
	it := new(Iterator) // inlined, this is in the caller's frame
	it.begin(b, limit)
	return it
}

func (it *Iterator) begin(b Batch, limit int) {
	it.batch, it.left, it.buf = b, b.Count(), b.RecordBytes()
	if b.Codec() != None {
		if limit == 0 {
			limit = DefaultUnpackedBytesMax
		}
		it.buf, it.err = Decompress(nil, b.Codec(), b.RecordBytes(), limit)
	}
	if it.left < 0 && it.err == nil {
		it.err = fmt.Errorf("%d records: %w", it.left, kerr.CorruptMessage)
	}
}

// Next moves to the next record and reports whether there is one.
func (it *Iterator) Next() bool {
	if it.err != nil || it.left == 0 {
		return false
	}
	it.left--
	if !it.parse() {
		if it.err == nil {
			it.err = errShort
		}
		return false
	}
	return true
}

// Record is the record that Next moved to.
func (it *Iterator) Record() Record { return it.rec }

// Err is what ended the walk before the batch's end: CORRUPT_MESSAGE, INVALID_RECORD or MESSAGE_TOO_LARGE.
func (it *Iterator) Err() error { return it.err }

// cursor reads fields off the front of a record; bad says that one did not fit.
type cursor struct {
	buf []byte
	bad bool
}

func (c *cursor) varlong() int64 {
	v, n := binary.Varint(c.buf)
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.buf = c.buf[n:]
	return v
}

func (c *cursor) varint() int32 {
	v := c.varlong()
	c.bad = c.bad || v != int64(int32(v))
	return int32(v)
}

// bytes reads a size and as many bytes, nil for null.
func (c *cursor) bytes() []byte {
	n := c.varint()
	if c.bad || n < 0 {
		return nil
	}
	if int(n) > len(c.buf) {
		c.bad = true
		return nil
	}
	b := c.buf[:n:n]
	c.buf = c.buf[n:]
	return b
}

func (it *Iterator) parse() bool {
	outer := cursor{buf: it.buf}
	body := outer.bytes()
	if outer.bad || len(body) == 0 {
		return false
	}
	c := cursor{buf: body[1:]} // attributes, unused
	timestamp := it.batch.BaseTimestamp() + c.varlong()
	if it.batch.IsLogAppendTime() {
		timestamp = it.batch.MaxTimestamp()
	}
	it.rec = Record{Offset: it.batch.BaseOffset() + int64(c.varint()), Timestamp: timestamp}
	it.rec.Key, it.rec.Value = c.bytes(), c.bytes()
	headers := c.varint()
	if c.bad || headers < 0 || int(headers) > len(c.buf)/2 {
		it.err = errHeaders
		return false
	}
	it.headers = it.headers[:0]
	for range headers {
		key := c.bytes()
		if key == nil && !c.bad {
			it.err = errKey
			return false
		}
		it.headers = append(it.headers, Header{Key: string(key), Value: c.bytes()})
	}
	if c.bad || len(c.buf) != 0 {
		it.err = errSize
		return false
	}
	it.rec.Headers = it.headers
	it.buf = outer.buf
	if it.left == 0 && len(it.buf) != 0 {
		it.err = errTooMany
		return false
	}
	return true
}
