package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is the error of everything that is not what ZooKeeper would send. It comes wrapped with the reason.
var ErrMalformed = errors.New("jute: malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Encoder appends values to Buf, which the caller owns.
type Encoder struct {
	Buf []byte
}

// Int appends an int32.
func (e *Encoder) Int(v int32) { e.Buf = binary.BigEndian.AppendUint32(e.Buf, uint32(v)) }

// Long appends an int64.
func (e *Encoder) Long(v int64) { e.Buf = binary.BigEndian.AppendUint64(e.Buf, uint64(v)) }

// Bool appends one byte, 0 or 1.
func (e *Encoder) Bool(v bool) {
	if v {
		e.Buf = append(e.Buf, 1)
	} else {
		e.Buf = append(e.Buf, 0)
	}
}

// Buffer appends bytes behind their length; nil goes out as length -1.
func (e *Encoder) Buffer(v []byte) {
	if v == nil {
		e.Int(-1)
		return
	}
	e.Int(int32(len(v)))
	e.Buf = append(e.Buf, v...)
}

// String appends a string behind its length.
func (e *Encoder) String(v string) {
	e.Int(int32(len(v)))
	e.Buf = append(e.Buf, v...)
}

// Strings appends a vector of strings.
func (e *Encoder) Strings(v []string) {
	e.Int(int32(len(v)))
	for _, s := range v {
		e.String(s)
	}
}

// Decoder reads values from a frame. After the first value that does not fit it returns zeros only, and Err tells why,
// so that callers check once, at the end.
type Decoder struct {
	buf []byte
	err error
}

// NewDecoder reads from buf, which must stay unchanged while the results of Buffer are in use.
func NewDecoder(buf []byte) *Decoder { return &Decoder{buf: buf} }

// Err is the first error, nil if everything fitted.
func (d *Decoder) Err() error { return d.err }

// Len is the number of bytes not yet read.
func (d *Decoder) Len() int { return len(d.buf) }

func (d *Decoder) take(n int, what string) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.buf) {
		d.err = malformed("%s of %d bytes in a frame with %d left", what, n, len(d.buf))
		d.buf = nil
		return nil
	}
	v := d.buf[:n:n]
	d.buf = d.buf[n:]
	return v
}

// Int reads an int32.
func (d *Decoder) Int() int32 {
	if b := d.take(4, "int"); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Long reads an int64.
func (d *Decoder) Long() int64 {
	if b := d.take(8, "long"); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Bool reads one byte; anything but 0 is true, as in Java.
func (d *Decoder) Bool() bool {
	b := d.take(1, "bool")
	return b != nil && b[0] != 0
}

// Buffer reads bytes behind their length: a slice of the frame, not a copy; nil for length -1.
func (d *Decoder) Buffer() []byte {
	n := d.Int()
	if d.err != nil || n == -1 {
		return nil
	}
	return d.take(int(n), "buffer")
}

// String reads a string; null reads as "".
func (d *Decoder) String() string {
	n := d.Int()
	if d.err != nil || n == -1 {
		return ""
	}
	return string(d.take(int(n), "string"))
}

// Count reads a vector's length, of elements that take at least elementBytes each; null reads as 0.
func (d *Decoder) Count(elementBytes int) int {
	n := int(d.Int())
	if n == -1 {
		return 0
	}
	if d.err == nil && (n < 0 || n > len(d.buf)/elementBytes) {
		d.err = malformed("vector of %d elements in a frame with %d bytes left", n, len(d.buf))
		d.buf = nil
	}
	if d.err != nil {
		return 0
	}
	return n
}

// Strings reads a vector of strings.
func (d *Decoder) Strings() []string {
	n := d.Count(4)
	if n == 0 {
		return nil
	}
	v := make([]string, 0, n)
	for range n {
		v = append(v, d.String())
	}
	return v
}
