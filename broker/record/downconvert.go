package record

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// DownOptions say what an old client is to get.
type DownOptions struct {
	Magic    int8  // 0 or 1
	From     int64 // records below this offset are left out
	BytesMax int   // messages are added while there are fewer bytes than this before compression; one always is
}

// Downconvert appends to dst the records of a batch as messages of magic 0 or 1, compressed in the batch's codec, and tells
// the offset behind the last one. more says that o.BytesMax ended it before the batch did. Control batches give nothing:
// old clients know no transactions, and see what was aborted like the rest. Headers are lost.
//
// It holds o.BytesMax and one record in memory, whatever the batch unpacks to.
//
// Errors: UNSUPPORTED_COMPRESSION_TYPE for zstd, which the old formats have not; those of an Iterator.
//
// Source: RecordsUtil#downConvert, #convertRecordBatch.
func Downconvert(dst []byte, b Batch, o DownOptions) (out []byte, next int64, more bool, err error) {
	if b.IsControl() || b.NextOffset() <= o.From {
		return dst, b.NextOffset(), false, nil
	}
	if b.Codec() == Zstd {
		return dst, o.From, false, fmt.Errorf("zstd for a client of magic %d: %w", o.Magic, kerr.UnsupportedCompressionType)
	}
	s, done, err := openStream(b)
	if err != nil {
		return dst, o.From, false, err
	}
	defer done()
	attributes := byte(0)
	if b.IsLogAppendTime() && o.Magic == 1 {
		attributes = attrLogAppendTime
	}
	start, first, last, newest := len(dst), int64(-1), int64(-1), NoTimestamp
	messages := dst
	if b.Codec() != None {
		messages, start = nil, 0
	}
	next = o.From
	for range b.Count() {
		rec, err := s.next()
		if err != nil {
			return dst, o.From, false, err
		}
		if rec.Offset < o.From {
			continue
		}
		if len(messages)-start >= o.BytesMax && len(messages) > start {
			more = true
			break
		}
		offset := rec.Offset
		if first < 0 {
			first = offset
		}
		if b.Codec() != None && o.Magic == 1 {
			offset -= first
		}
		messages = appendOld(messages, offset, o.Magic, attributes, rec.Timestamp, rec.Key, rec.Value)
		newest, last, next = max(newest, rec.Timestamp), rec.Offset, rec.Offset+1
	}
	if !more {
		next = b.NextOffset() // compaction may have removed the last
	}
	if b.Codec() == None {
		return messages, next, more, nil
	}
	if len(messages) == 0 {
		return dst, next, more, nil
	}
	packed, err := Compress(nil, b.Codec(), messages)
	if err != nil {
		return dst, o.From, false, err
	}
	if b.Codec() == LZ4 && o.Magic == 0 {
		breakLZ4(packed)
	}
	return appendOld(dst, last, o.Magic, attributes|byte(b.Codec()), newest, nil, packed), next, more, nil
}

// stream reads a batch's records one by one, unpacking as it goes: one record is in memory.
type stream struct {
	batch Batch
	src   io.Reader
	one   [1]byte
	buf   []byte
}

func openStream(b Batch) (*stream, func(), error) {
	r, done, err := unpacker(b.Codec(), b.RecordBytes(), DefaultUnpackedBytesMax)
	if err != nil {
		return nil, nil, err
	}
	return &stream{batch: b, src: r}, done, nil
}

// ReadByte is for binary.ReadVarint.
func (s *stream) ReadByte() (byte, error) {
	_, err := io.ReadFull(s.src, s.one[:])
	return s.one[0], err
}

// next reads a record without its headers. Its bytes are valid until the next call.
func (s *stream) next() (Record, error) {
	size, err := binary.ReadVarint(s)
	if err != nil {
		return Record{}, unreadable(s.batch.Codec(), err)
	}
	if size < 1 || size > math.MaxInt32 {
		return Record{}, errSize
	}
	for got := 0; got < int(size); { // memory grows as the bytes really come
		n := min(int(size)-got, 1<<20)
		if cap(s.buf) < got+n {
			s.buf = append(s.buf[:got], make([]byte, n)...)
		}
		s.buf = s.buf[:got+n]
		if _, err := io.ReadFull(s.src, s.buf[got:]); err != nil {
			return Record{}, unreadable(s.batch.Codec(), err)
		}
		got += n
	}
	c := cursor{buf: s.buf[1:size]}
	rec := Record{Timestamp: s.batch.BaseTimestamp() + c.varlong()}
	if s.batch.IsLogAppendTime() {
		rec.Timestamp = s.batch.MaxTimestamp()
	}
	rec.Offset = s.batch.BaseOffset() + int64(c.varint())
	rec.Key, rec.Value = c.bytes(), c.bytes()
	if c.bad {
		return Record{}, errSize
	}
	return rec, nil
}
