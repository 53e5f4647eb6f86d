package server

import (
	"errors"
	"fmt"
	"io"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

const (
	// readBufferBytes is what a connection reads at once: several small requests, or a large one's beginning. It begins with
	// readBufferBytesFirst, which is enough for the requests of most connections.
	readBufferBytes      = 16 << 10
	readBufferBytesFirst = 4 << 10
	// poolBytesMax bounds the buffers that wait for the next large frame, over all connections.
	poolBytesMax = 32 << 20
	// poolBufferBytesMin is the smallest buffer made: frames of about the same size should find each other's.
	poolBufferBytesMin = 64 << 10
	// poolBufferBytesMax is the largest buffer worth keeping.
	poolBufferBytesMax = 8 << 20
)

// frameReader cuts a stream into frames. Small frames are views into its buffer, which is filled with one read for
// many of them; a large frame gets a buffer of the pool, and all but its beginning is read straight into it.
type frameReader struct {
	source interface{ Read([]byte) (int, error) }
	max    int32
	pool   *bufferPool

	buf        []byte // made with the first byte wanted
	start, end int    // what is read and not used: buf[start:end]
	large      []byte // the frame handed out, if it is from the pool
	inside     bool   // a frame has begun
}

// atBoundary reports whether no byte of a next frame has come.
func (r *frameReader) atBoundary() bool { return !r.inside && r.start == r.end }

// next waits for a frame and returns it without its size. It is valid until release or next. io.EOF is an orderly end;
// wire.ErrMalformed a bad size or an end inside a frame; else it is the connection's error.
func (r *frameReader) next() ([]byte, error) {
	r.release()
	if r.buf == nil {
		r.buf = make([]byte, readBufferBytesFirst)
	}
	if err := r.fill(4); err != nil {
		return nil, err
	}
	size, err := wire.FrameSize([4]byte(r.buf[r.start:r.start+4]), r.max)
	if err != nil {
		return nil, err
	}
	if 4+size > len(r.buf) && 4+size <= readBufferBytes {
		larger := make([]byte, readBufferBytes)
		r.end = copy(larger, r.buf[r.start:r.end])
		r.start, r.buf = 0, larger
	}
	if 4+size <= len(r.buf) {
		if err := r.fill(4 + size); err != nil {
			return nil, err
		}
		frame := r.buf[r.start+4 : r.start+4+size : r.start+4+size]
		r.start += 4 + size
		return frame, nil
	}
	r.inside = true
	r.large = append(r.pool.get(size), r.buf[r.start+4:r.end]...)
	r.start, r.end = 0, 0
	frame, err := wire.ReadBody(r.source, size, r.large)
	if err != nil {
		return nil, err
	}
	r.large, r.inside = frame, false
	return frame, nil
}

// fill reads until n bytes are there.
func (r *frameReader) fill(n int) error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if r.start+n > len(r.buf) {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	for r.end-r.start < n {
		got, err := r.source.Read(r.buf[r.end:])
		r.end += got
		if err == nil || r.end-r.start >= n {
			continue
		}
		if errors.Is(err, io.EOF) && r.end > r.start {
			return fmt.Errorf("%w frame: the stream ended inside it", wire.ErrMalformed)
		}
		return err
	}
	return nil
}

// release gives the frame handed out last back. Nobody may look at it after this.
func (r *frameReader) release() {
	if r.large != nil {
		r.pool.put(r.large)
		r.large = nil
	}
}

// bufferPool keeps buffers for large frames between uses, for all connections of a server.
type bufferPool struct {
	mu    env.Mutex
	free  [][]byte // most recently used last
	bytes int
}

func newBufferPool(e env.Env) *bufferPool { return &bufferPool{mu: e.NewMutex()} }

// get returns an empty buffer: one that can hold size bytes, or a small one that is to grow as the bytes really come.
func (p *bufferPool) get(size int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.free) - 1; i >= 0; i-- {
		if b := p.free[i]; cap(b) >= size {
			p.free = append(p.free[:i], p.free[i+1:]...)
			p.bytes -= cap(b)
			return b[:0]
		}
	}
	return make([]byte, 0, min(max(size, poolBufferBytesMin), 1<<20))
}

func (p *bufferPool) put(b []byte) {
	if cap(b) > poolBufferBytesMax {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
	p.bytes += cap(b)
	for p.bytes > poolBytesMax {
		p.bytes -= cap(p.free[0])
		p.free = p.free[1:]
	}
}
