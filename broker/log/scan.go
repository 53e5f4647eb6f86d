package log

import (
	"errors"
	"io"
	"sync/atomic"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

const (
	walkWindow    = 8 << 10   // bytes read at once when only headers matter: an index interval and a bit
	recoverWindow = 256 << 10 // when everything is read
)

// scanner walks the batches of a file. It reads windows, so that many small batches cost one read, and never behind
// end, which must not be more than what is known to have been written.
type scanner struct {
	file   env.File
	pos    int64 // of the batch that header and batch return
	end    int64
	window int64
	buf    []byte  // the file's bytes from at on
	held   *[]byte // buf's place in idle
	at     int64
	size   int64 // of the batch at pos, once header was called
}

// idle keeps a few scanners' windows between reads. What it holds shows in no result.
var idle [8]atomic.Pointer[[]byte]

func newScanner(file env.File, pos, end, window int64) scanner {
	s := scanner{file: file, pos: pos, end: end, window: window}
	if window == walkWindow {
		for i := range idle {
			if p := idle[i].Swap(nil); p != nil {
				s.buf, s.held = (*p)[:0], p
				break
			}
		}
	}
	return s
}

// done gives the window back. The headers and batches that the scanner returned are no longer valid.
func (s *scanner) done() {
	if s.window != walkWindow || cap(s.buf) < walkWindow || cap(s.buf) > 8*walkWindow {
		return
	}
	if s.held == nil {
		s.held = new([]byte)
	}
	*s.held = s.buf[:0]
	for i := range idle {
		if idle[i].CompareAndSwap(nil, s.held) {
			return
		}
	}
}

// bytes returns n bytes at pos, which must be there.
func (s *scanner) bytes(n int64) ([]byte, error) {
	if from := s.pos - s.at; from >= 0 && from+n <= int64(len(s.buf)) {
		return s.buf[from : from+n], nil
	}
	window := s.window
	if window == walkWindow && s.size > window {
		window = n // batches are large: what comes behind this header is nobody's next
	}
	want := min(max(n, window), s.end-s.pos)
	if int64(cap(s.buf)) < want {
		room := want // of a small file no more than there is of it
		if s.window == walkWindow {
			room = max(want, walkWindow) // to be kept: see done
		}
		s.buf = make([]byte, room)
	}
	s.buf = s.buf[:want]
	s.at = s.pos
	if got, err := s.file.ReadAt(s.buf, s.pos); got < len(s.buf) {
		s.buf = s.buf[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = errTruncated
		}
		return nil, err
	}
	return s.buf[:n], nil
}

// errTruncated says that a file is shorter than it was: somebody truncated it.
var errTruncated = errors.New("file is shorter than it was")

// header is the header of the batch at pos, valid until the next call. io.EOF at the end; record.ErrPartial when the
// batch does not fit before it; the errors of record.Size; those of the disk.
func (s *scanner) header() (record.Batch, error) {
	left := s.end - s.pos
	if left <= 0 {
		return nil, io.EOF
	}
	p, err := s.bytes(min(left, record.HeaderSize))
	if err != nil {
		return nil, err
	}
	if s.size, err = record.Size(p); err != nil {
		return nil, err
	}
	if s.size > left {
		return nil, record.ErrPartial
	}
	return record.HeaderOf(p), nil
}

// batch is the whole batch at pos, valid until the next call.
func (s *scanner) batch() (record.Batch, error) {
	if _, err := s.header(); err != nil {
		return nil, err
	}
	p, err := s.bytes(s.size)
	return record.Batch(p), err
}

// next moves behind the batch that header or batch returned.
func (s *scanner) next() { s.pos += s.size }
