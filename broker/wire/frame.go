package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// MaxFrame is the largest frame that anybody may announce: 100 MiB, Kafka's default of socket.request.max.bytes.
const MaxFrame = 104857600

// ErrMalformed is what every complaint about bytes from the network wraps. The only answer to it is to close the
// connection.
var ErrMalformed = errors.New("malformed")

// FrameSize reads the four bytes that begin every frame: the number of bytes that follow, big-endian.
//
// A size that is negative or above max is ErrMalformed (NetworkReceive#readFrom, InvalidReceiveException).
func FrameSize(prefix [4]byte, max int32) (int, error) {
	size := int32(binary.BigEndian.Uint32(prefix[:]))
	if size < 0 {
		return 0, fmt.Errorf("%w frame: negative size %d", ErrMalformed, size)
	}
	if size > max {
		return 0, fmt.Errorf("%w frame: size %d above the limit of %d bytes", ErrMalformed, size, max)
	}
	return int(size), nil
}

// frameStep is how much room is made for a frame before its bytes have come: a peer that announces 100 MiB and sends
// nothing costs one step, not 100 MiB.
const frameStep, frameRound = 1 << 20, 1 << 18

// room is how much to allocate for a frame of that size: rounded up, so that a buffer kept for the next frame fits one
// that is a little larger, to a power of two while it is small and to frameRound from there on.
func room(size int) int {
	if size <= frameRound {
		return max(64, 1<<bits.Len(uint(size-1)))
	}
	return (size + frameRound - 1) &^ (frameRound - 1)
}

// ReadFrame reads one frame and returns what follows its size. The result is in buf's array if that is large enough,
// and else in a new one, which grows with the bytes that really come.
//
// Errors: io.EOF where the stream ended between two frames; ErrMalformed for a bad size or a stream that ended inside
// a frame; else r's own.
func ReadFrame(r interface{ Read([]byte) (int, error) }, max int32, buf []byte) ([]byte, error) {
	var prefix [4]byte
	if n, err := io.ReadFull(r, prefix[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w frame: the stream ended after %d bytes of its size", ErrMalformed, n)
		}
		return nil, err
	}
	size, err := FrameSize(prefix, max)
	if err != nil {
		return nil, err
	}
	if buf == nil && size <= frameStep {
		buf = make([]byte, 0, size) // for no frame but this one
	}
	return ReadBody(r, size, buf[:0])
}

// ReadBody reads on until frame, which holds the bytes that have come so far, is size bytes long. It is ReadFrame's
// second half, for readers that buffer.
func ReadBody(r interface{ Read([]byte) (int, error) }, size int, frame []byte) ([]byte, error) {
	for len(frame) < size {
		if len(frame) == cap(frame) {
			grown := make([]byte, len(frame), min(room(size), max(2*cap(frame), frameStep)))
			copy(grown, frame)
			frame = grown
		}
		n, err := r.Read(frame[len(frame):min(size, cap(frame))])
		frame = frame[:len(frame)+n]
		if err == nil || len(frame) == size {
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w frame: the stream ended after %d of %d bytes", ErrMalformed, len(frame), size)
		}
		return nil, err
	}
	return frame, nil
}
