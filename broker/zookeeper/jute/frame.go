package jute

import (
	"encoding/binary"
	"io"

	"barnabas/broker/zookeeper"
)

// MaxFrame is the longest frame a server takes, in bytes. A create or set whose data comes
// near it is refused with all of its frame, as ZooKeeper does.
const MaxFrame = zookeeper.RequestBytesMax

// ReadFrame reads one frame behind its length. The result is in buf if it fits there. A length that is negative or
// above limit is ErrMalformed, and nothing of the frame has been read then; the end of the stream before the first
// byte is io.EOF, later io.ErrUnexpectedEOF.
func ReadFrame(r io.Reader, limit int32, buf []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	return ReadBody(r, binary.BigEndian.Uint32(head[:]), limit, buf)
}

// ReadBody is ReadFrame after the length.
func ReadBody(r io.Reader, length uint32, limit int32, buf []byte) ([]byte, error) {
	if int32(length) < 0 || int32(length) > limit {
		return nil, malformed("frame of %d bytes, limit %d", int32(length), limit)
	}
	n := int(length)
	if n > cap(buf) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

// begin leaves room for a frame's length; end fills it in.
func (e *Encoder) begin() int {
	e.Int(0)
	return len(e.Buf)
}

func (e *Encoder) end(start int) {
	binary.BigEndian.PutUint32(e.Buf[start-4:], uint32(len(e.Buf)-start))
}
