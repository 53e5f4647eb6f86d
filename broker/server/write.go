package server

import (
	"errors"
	"fmt"
	"io"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// copyBytesMax is the largest slice that is read and written with its surroundings; what is longer goes by SendFile.
	copyBytesMax = 16 << 10
	// outBufferBytesMax is the largest out buffer that a connection keeps between answers.
	outBufferBytesMax = 64 << 10
)

// errRecords marks an answer that could not be finished because its records could not be read.
var errRecords = errors.New("records could not be read")

var evRecordsLost = env.NewKind("fetch-cut-short", env.Error)

// sender encodes answers and puts them on the socket. One task at a time uses it.
type sender struct {
	socket env.Conn
	buf    []byte
	copied []byte // what small slices of records are copied to, with what lies between them
	holes  []wire.Hole
}

// send sends one answer, and gives its records back in every case.
func (s *sender) send(correlation int32, a Answer) error {
	defer a.release()
	if a.Message == nil {
		return nil
	}
	defer s.shrink()
	fetch, isFetch := a.Message.(*kmsg.FetchResponse)
	if !isFetch {
		s.buf = wire.AppendResponse(s.buf[:0], correlation, a.Message)
		_, err := s.socket.Write(s.buf)
		return err
	}
	var head []byte
	head, s.holes = wire.AppendFetch(s.buf[:0], s.holes[:0], correlation, fetch, a.Records)
	s.buf = head
	if len(s.holes) == 0 {
		_, err := s.socket.Write(head)
		return err
	}
	return s.sendHoles(head)
}

// sendHoles sends head with its holes filled. What lies between two slices that go by SendFile is one write.
func (s *sender) sendHoles(head []byte) error {
	// Bytes that wait to be sent are head[from:], with copied slices in copied in front of them. Without copies, as
	// for every large fetch, nothing of head is moved.
	copied := s.copied[:0]
	defer func() { s.copied = copied }()
	from := 0
	for _, hole := range s.holes {
		if hole.Slice.Len <= copyBytesMax {
			copied = append(copied, head[from:hole.At]...)
			from = hole.At
			var err error
			if copied, err = appendSlice(copied, hole.Slice); err != nil {
				return err
			}
			continue
		}
		ahead := head[from:hole.At]
		if len(copied) > 0 {
			copied = append(copied, ahead...)
			ahead, copied = copied, copied[:0]
		}
		from = hole.At
		if _, err := s.socket.WriteMore(ahead); err != nil {
			return err
		}
		if err := s.sendSlice(hole.Slice); err != nil {
			return err
		}
	}
	rest := head[from:]
	if len(copied) > 0 {
		copied = append(copied, rest...)
		rest = copied
	}
	_, err := s.socket.Write(rest) // also of nothing: see WriteMore
	return err
}

func (s *sender) sendSlice(slice wire.Slice) error {
	if slice.Bytes != nil {
		_, err := s.socket.WriteMore(slice.Bytes)
		return err
	}
	sent, err := s.socket.SendFile(slice.File, slice.Pos, int64(slice.Len))
	if err == nil && sent < int64(slice.Len) {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, env.ErrIO) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s at %d: %v", errRecords, slice.File.Name(), slice.Pos+sent, err)
	}
	return err
}

// appendSlice reads a slice of a file behind dst.
func appendSlice(dst []byte, slice wire.Slice) ([]byte, error) {
	if slice.Bytes != nil {
		return append(dst, slice.Bytes...), nil
	}
	n := len(dst)
	if cap(dst)-n < int(slice.Len) {
		grown := make([]byte, n, 2*n+int(slice.Len)+1024)
		copy(grown, dst)
		dst = grown
	}
	dst = dst[:n+int(slice.Len)]
	got, err := slice.File.ReadAt(dst[n:], slice.Pos)
	if got == int(slice.Len) {
		return dst, nil
	}
	return dst, fmt.Errorf("%w: %s at %d: %v", errRecords, slice.File.Name(), slice.Pos+int64(got), err)
}

// shrink lets go of a buffer that one large answer has grown.
func (s *sender) shrink() {
	clear(s.holes)
	if cap(s.buf) > outBufferBytesMax {
		s.buf = nil
	}
	if cap(s.copied) > outBufferBytesMax {
		s.copied = nil
	}
}
