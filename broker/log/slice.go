package log

import (
	"errors"
	"fmt"
	"io"

	"barnabas/broker/env"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Slice is a run of whole batches in a segment's file. The holder calls Release exactly once; until then the file
// stays open. The bytes stay what they are, unless the log is truncated below them: then they are gone, and reading
// them, or sending the file, comes up short.
//
// # Why truncated bytes are never served, nor others in their place
//
// A truncation cuts the file itself, before anything else is written, so that who holds a Slice of it gets an end of
// file. What is appended afterwards would take the place of what was cut; so while anybody holds the file, the log
// does not go on in it, but in a new segment (truncate.go). A file that is only removed keeps its bytes.
type Slice struct {
	File    env.File // nil when Len is 0
	Pos     int64    // bytes
	Len     int32    // bytes
	Release func()   // never nil in what Read returns

	log     *Log
	segment *segment
}

// Check is nil as long as the log's directory can be trusted: to be asked before the file is sent.
func (s Slice) Check() error {
	if s.log == nil {
		return nil
	}
	return s.log.Err()
}

// Bytes reads the slice. Errors: NOT_LEADER_OR_FOLLOWER when the log was truncated since, KAFKA_STORAGE_ERROR.
func (s Slice) Bytes() ([]byte, error) {
	if s.Len == 0 {
		return nil, nil
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	data := make([]byte, s.Len)
	n, err := s.File.ReadAt(data, s.Pos)
	switch {
	case n == len(data):
		return data, nil
	case err == nil || errors.Is(err, io.EOF):
		markBytesNotLeaderForPartition.Hit()
		return nil, fmt.Errorf("read %s: truncated meanwhile: %w", s.log.tp, kerr.NotLeaderForPartition)
	default:
		markBytesKafkaStorageError.Hit()
		return nil, fmt.Errorf("read %s: %w: %w", s.log.tp, err, kerr.KafkaStorageError)
	}
}

var nothing = Slice{Release: func() {}}

// Read finds the batches from the one that holds offset on: whole ones, of one segment, below upper (a batch is in if
// its last offset is below upper), in at most maxBytes; with minOne the first even if it is larger. An empty slice
// means that there is nothing yet.
//
// Errors: OFFSET_OUT_OF_RANGE outside of [StartOffset, EndOffset], CORRUPT_MESSAGE for damaged batches,
// KAFKA_STORAGE_ERROR.
//
// Source: LocalLog#read, LogSegment#read, #translateOffset.
//
// DEVIATION(KIP-74): Kafka cuts at maxBytes, inside a batch; we end with a whole one.
func (l *Log) Read(offset int64, maxBytes int32, upper int64, minOne bool) (Slice, error) {
	for tries := 0; ; tries++ {
		r, err := l.beginRead(offset, maxBytes, upper)
		if err != nil || r.segment == nil {
			return nothing, err
		}
		upper := min(upper, r.seen)
		pos, n, err := r.locate(offset, maxBytes, upper, minOne)
		stale := r.generation != l.generation.Load()
		if err == nil && !stale && n > 0 {
			return Slice{File: r.segment.file, Pos: pos, Len: int32(n), Release: once(r.segment), log: l, segment: r.segment}, nil
		}
		r.segment.release()
		switch {
		case stale:
			continue // truncated while we looked
		case err == io.EOF && r.last:
			return nothing, nil
		case err == io.EOF && r.nextBase >= r.seen:
			return nothing, nil
		case err == io.EOF:
			offset = r.nextBase // a gap at the segment's end
		case errors.Is(err, errIndex) && tries < 2:
			if err := l.repairIndex(r.segment); err != nil {
				return nothing, err
			}
		case err != nil && isBad(err):
			markReadCorruptMessage.Hit()
			return nothing, fmt.Errorf("read %s at %d: %w: %w", l.tp, offset, err, kerr.CorruptMessage)
		case err != nil:
			return nothing, l.failRead(err)
		default:
			return nothing, nil
		}
	}
}

// failRead takes the directory offline: a device that cannot be read cannot be trusted (UnifiedLog#read).
func (l *Log) failRead(err error) error {
	err = l.fail("read", err)
	l.health.tell()
	return err
}

func once(g *segment) func() {
	released := false
	return func() {
		if !released {
			released = true
			g.release()
		}
	}
}

// reading is what a read needs from under the lock; the walking comes without.
type reading struct {
	segment    *segment // referenced; nil: nothing to read
	size       int64    // of the segment, then
	end        int64    // offset at which it ended, then
	seen       int64    // LogEndOffset then: what is behind it may be waiting for its sync
	last       bool     // it was the active one
	nextBase   int64    // of the segment behind it
	generation uint64
	at, to     hint   // near offset, and near upper
	stop       hint   // an indexed place at or before the last byte that fits
	known      *place // where the batch that begins at offset is, if an earlier read came by it; then at is not set
}

// place is a batch that a read met right behind the last that it took: as a rule it is the first of the reader's next read, which then
// need not look for it.
type place struct {
	offset, last int64 // of its records
	pos, size    int64 // bytes
	generation   uint64
}

// places are remembered per segment, by their offset: as many readers as that go on side by side.
const placesKnown = 8

// remember keeps what a read knows of the batch behind it.
func (r *reading) remember(b record.Batch, pos, size int64) {
	p := &place{b.BaseOffset(), b.LastOffset(), pos, size, r.generation}
	r.segment.known[uint64(p.offset)%placesKnown].Store(p)
}

// recall is the place of the batch that begins at offset, nil if it is not known. The lock is held.
func (g *segment) recall(offset int64, generation uint64) *place {
	p := g.known[uint64(offset)%placesKnown].Load()
	if p == nil || p.offset != offset || p.generation != generation || p.pos+p.size > g.size {
		return nil
	}
	return p
}

func (l *Log) beginRead(offset int64, maxBytes int32, upper int64) (r reading, err error) {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return r, err
	}
	start, end := l.start.Load(), l.leo.Load()
	if offset < start || offset > end {
		markBeginReadOffsetOutOfRange.Hit()
		return r, fmt.Errorf("read %s at %d, the log has [%d, %d]: %w", l.tp, offset, start, end, kerr.OffsetOutOfRange)
	}
	if offset == end || offset >= upper {
		return r, nil
	}
	i := l.segmentFor(offset)
	g := l.segments[i]
	if err := l.ensureIndexed(g); err != nil {
		return r, err
	}
	r = reading{size: g.size, end: l.end, seen: end, last: g == l.active(), generation: l.generation.Load()}
	if !r.last {
		r.nextBase = l.segments[i+1].base
		r.end = r.nextBase
	}
	upper = min(upper, r.seen)
	if r.known = g.recall(offset, r.generation); r.known != nil {
		r.at.pos = r.known.pos
	} else {
		r.at, err = g.hintFor(offset)
	}
	if err == nil && upper < r.end {
		r.to, err = g.hintFor(upper)
	}
	if err == nil {
		r.stop, err = g.hintBelow(r.at.pos + int64(maxBytes))
	}
	if err != nil {
		return r, l.fail("read offset index", err)
	}
	g.acquire()
	r.segment = g
	return r, nil
}

// ensureIndexed loads a segment's indexes, and says so if they had to be made again.
func (l *Log) ensureIndexed(g *segment) error {
	rebuilt, err := g.indexed(l.interval())
	if err != nil {
		return l.fail("load index", err)
	}
	if rebuilt {
		l.emitIndex(g)
	}
	return nil
}

// repairIndex makes the indexes of a segment again that lied to a reader.
func (l *Log) repairIndex(g *segment) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	for _, own := range l.segments {
		if own == g {
			l.emitIndex(g)
			err := g.reindex(l.interval())
			switch {
			case err != nil && isBad(err):
				return fmt.Errorf("read %s: %w", l.tp, err)
			case err != nil:
				return l.fail("rebuild index", err)
			}
		}
	}
	return nil
}

// locate finds the place and the length in bytes; io.EOF when no batch of the segment reaches offset.
func (r *reading) locate(offset int64, maxBytes int32, upper int64, minOne bool) (pos, n int64, err error) {
	s := newScanner(r.segment.file, 0, r.size, walkWindow)
	defer s.done()
	var last int64
	if p := r.known; p != nil {
		s.pos, s.size, last = p.pos, p.size, p.last
	} else {
		first, err := find(&s, r.segment.base, r.at, offset)
		if err != nil {
			return 0, 0, err
		}
		last = first.LastOffset()
	}
	if last >= upper {
		return 0, 0, nil
	}
	pos, firstSize, limit := s.pos, s.size, r.size
	if upper < r.end {
		h := r.to
		if h.pos < pos {
			h = hint{pos, -1}
		}
		if _, err := find(&s, r.segment.base, h, upper); err != nil && err != io.EOF {
			return 0, 0, err
		}
		limit = s.pos
	}
	fits := pos + int64(maxBytes)
	if limit <= fits {
		return pos, limit - pos, nil
	}
	h := r.stop
	if h.pos <= pos {
		h = hint{pos, -1}
	}
	for s.pos = h.pos; s.pos < limit; s.next() {
		b, err := s.header()
		if s.pos == h.pos && h.last >= 0 && (err != nil && isBad(err) || err == nil && b.LastOffset() > h.last) {
			return 0, 0, errHint
		}
		if err != nil {
			return 0, 0, err
		}
		if s.pos+s.size > fits {
			r.remember(b, s.pos, s.size)
			break
		}
	}
	if n = s.pos - pos; n == 0 && minOne {
		n = firstSize
	}
	return pos, n, nil
}
