package record

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	errShort   = fmt.Errorf("record ends behind its batch: %w", kerr.InvalidRecord)
	errVarint  = fmt.Errorf("varint does not end: %w", kerr.InvalidRecord)
	errSize    = fmt.Errorf("record is not as long as it says: %w", kerr.InvalidRecord)
	errTooMany = fmt.Errorf("bytes remain behind the batch's last record: %w", kerr.InvalidRecord)
	errHeaders = fmt.Errorf("impossible number of headers: %w", kerr.InvalidRecord)
	errKey     = fmt.Errorf("header without a key: %w", kerr.InvalidRecord)
)

// walker reads the fields of records, and skips their contents: from memory, or unpacking as it goes, in a buffer that
// does not grow. It checks everything against the bytes that there are, and allocates nothing.
type walker struct {
	buf   []byte
	pos   int
	r     io.Reader // nil: buf is all
	codec Codec
	read  int   // bytes unpacked so far
	limit int   // of them
	past  int64 // bytes of the stream before buf
}

// more refills an empty buf. It reports io.EOF at the end of the records.
func (w *walker) more() error {
	if w.r == nil {
		return io.EOF
	}
	w.past += int64(len(w.buf))
	buf := w.buf[:cap(w.buf)]
	for {
		n, err := w.r.Read(buf)
		if n > 0 {
			w.buf, w.pos = buf[:n], 0
			if w.read += n; w.read > w.limit {
				return tooUnpacked(w.limit)
			}
			return nil
		}
		if err != nil {
			w.buf, w.pos = buf[:0], 0
			if err == io.EOF {
				return io.EOF
			}
			return unreadable(w.codec, err)
		}
	}
}

// at is the position in the unpacked records.
func (w *walker) at() int64 { return w.past + int64(w.pos) }

func (w *walker) byte() (byte, error) {
	if w.pos == len(w.buf) {
		if err := w.more(); err != nil {
			return 0, short(err)
		}
	}
	b := w.buf[w.pos]
	w.pos++
	return b, nil
}

func short(err error) error {
	if errors.Is(err, io.EOF) {
		return errShort
	}
	return err
}

// varlong reads a zigzag varint of at most 64 bits.
func (w *walker) varlong() (int64, error) {
	if w.pos < len(w.buf) && w.buf[w.pos] < 0x80 { // one byte, as nearly always
		v := uint64(w.buf[w.pos])
		w.pos++
		return int64(v>>1) ^ -int64(v&1), nil
	}
	var v uint64
	for shift := uint(0); shift < 70; shift += 7 {
		b, err := w.byte()
		if err != nil {
			return 0, err
		}
		if shift == 63 && b > 1 {
			return 0, errVarint
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(v>>1) ^ -int64(v&1), nil
		}
	}
	return 0, errVarint
}

// varint reads a zigzag varint of at most 32 bits.
func (w *walker) varint() (int32, error) {
	v, err := w.varlong()
	if err != nil {
		return 0, err
	}
	if v != int64(int32(v)) {
		return 0, errVarint
	}
	return int32(v), nil
}

func (w *walker) skip(n int64) error {
	for n > int64(len(w.buf)-w.pos) {
		n -= int64(len(w.buf) - w.pos)
		w.pos = len(w.buf)
		if err := w.more(); err != nil {
			return short(err)
		}
	}
	w.pos += int(n)
	return nil
}

// end checks that nothing follows.
func (w *walker) end() error {
	if w.pos < len(w.buf) {
		return errTooMany
	}
	switch err := w.more(); {
	case err == nil:
		return errTooMany
	case err == io.EOF:
		return nil
	default:
		return err
	}
}

// walked is what a walk learns of a record.
type walked struct {
	timestampDelta int64
	offsetDelta    int32
	hasKey         bool
}

// record walks over one record (DefaultRecord#readFrom).
func (w *walker) record() (walked, error) {
	if rec, ok := w.plainRecord(); ok {
		return rec, nil
	}
	return w.anyRecord()
}

// anyRecord is record for every case, and says what is wrong.
func (w *walker) anyRecord() (walked, error) {
	var rec walked
	size, err := w.varint()
	if err != nil {
		return rec, err
	}
	if size < 0 {
		return rec, errSize
	}
	start := w.at()
	if _, err = w.byte(); err != nil { // attributes, unused
		return rec, err
	}
	if rec.timestampDelta, err = w.varlong(); err != nil {
		return rec, err
	}
	if rec.offsetDelta, err = w.varint(); err != nil {
		return rec, err
	}
	if rec.hasKey, err = w.skipBytes(); err != nil {
		return rec, err
	}
	if _, err = w.skipBytes(); err != nil {
		return rec, err
	}
	headers, err := w.varint()
	if err != nil {
		return rec, err
	}
	if headers < 0 || int64(headers) > int64(size)/2 { // a header takes two bytes at least
		return rec, errHeaders
	}
	for range headers {
		if present, err := w.skipBytes(); err != nil {
			return rec, err
		} else if !present {
			return rec, errKey
		}
		if _, err := w.skipBytes(); err != nil {
			return rec, err
		}
	}
	if w.at()-start != int64(size) {
		return rec, errSize
	}
	return rec, nil
}

// plainRecord walks over a record that is whole in buf, sound and without headers, as nearly all are, at a fraction of the
// cost. For anything else it does nothing and says so: the careful way then finds what is wrong.
func (w *walker) plainRecord() (rec walked, ok bool) {
	p := w.buf[w.pos:]
	size, at := twoBytes(p, 0)
	if at < 0 {
		size, at = zigzag(p, 0)
	}
	if at < 0 || size < 1 || size > int64(len(p)-at) {
		return rec, false
	}
	p = p[:at+int(size)]
	next := 0
	if rec.timestampDelta, next = twoBytes(p, at+1); next < 0 { // behind the attributes
		if rec.timestampDelta, next = zigzag(p, at+1); next < 0 {
			return rec, false
		}
	}
	delta, at := twoBytes(p, next)
	if at < 0 {
		if delta, at = zigzag(p, next); at < 0 || delta != int64(int32(delta)) {
			return rec, false
		}
	}
	rec.offsetDelta = int32(delta)
	n, next := twoBytes(p, at) // key
	if next < 0 {
		n, next = zigzag(p, at)
	}
	if next < 0 || n > int64(len(p)-next) || n < math.MinInt32 {
		return rec, false
	}
	if n >= 0 {
		next += int(n)
		rec.hasKey = true
	}
	n, at = twoBytes(p, next) // value
	if at < 0 {
		n, at = zigzag(p, next)
	}
	if at < 0 || n > int64(len(p)-at) || n < math.MinInt32 {
		return rec, false
	}
	if at += int(max(n, 0)); at != len(p)-1 || p[at] != 0 { // no headers
		return rec, false
	}
	w.pos += len(p)
	return rec, true
}

// twoBytes reads a varint of one or two bytes from p[at:] that is not at the end of p; next is -1 for any other. It is small enough to be
// part of its caller, where calling zigzag for each field was two thirds of the walk.
func twoBytes(p []byte, at int) (v int64, next int) {
	if uint(at)+1 >= uint(len(p)) {
		return 0, -1
	}
	u := int64(p[at])
	if at++; u >= 0x80 {
		if u += int64(p[at])<<7 - 0x80; u >= 1<<14 {
			return 0, -1
		}
		at++
	}
	return u>>1 ^ -(u & 1), at
}

// zigzag reads a varint of at most five bytes from p[at:]; next is -1 if it is longer, or not all there.
func zigzag(p []byte, at int) (v int64, next int) {
	var u uint64
	for shift := uint(0); shift < 35 && uint(at) < uint(len(p)); shift += 7 {
		b := p[at]
		at++
		if u |= uint64(b&0x7f) << shift; b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), at
		}
	}
	return 0, -1
}

// skipBytes skips a size and as many bytes; present is false for null.
func (w *walker) skipBytes() (present bool, err error) {
	n, err := w.varint()
	if err != nil || n < 0 {
		return false, err
	}
	return true, w.skip(int64(n))
}
