package log

import (
	"errors"
	"fmt"
	"io"
	"path"
	"sync/atomic"

	"barnabas/broker/env"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The names of a segment's files: its base offset in 20 digits, and what they are.
const (
	suffixLog      = ".log"
	suffixIndex    = ".index"
	suffixTime     = ".timeindex"
	suffixSnapshot = ".snapshot"
	suffixCleaned  = ".cleaned" // an unfinished replacement; Kafka, too, removes it at start
)

func fileName(dir string, offset int64, suffix string) string {
	return path.Join(dir, fmt.Sprintf("%020d%s", offset, suffix))
}

// segment is a part of the log: batches from its base offset on in one file, and two sparse indexes into it.
//
// Its fields belong to the log's lock, but for file, which readers use as long as they hold a reference.
//
// Source: LogSegment.
type segment struct {
	fs      env.FS
	dir     string
	base    int64 // offset: no record in it is below
	file    env.File
	size    int64 // bytes of whole batches; what is behind them in the file is not part of the log
	refs    atomic.Int32
	times   *index
	places  *index // offsets to positions
	aborted *txnIndex
	known   [placesKnown]atomic.Pointer[place] // that readers came by

	sinceEntry   int64  // bytes since the last index entry
	firstTime    int64  // the first batch's max timestamp, ms; -1 if none: what segment.ms counts from
	maxTime      int64  // the largest timestamp, ms; -1 if none
	maxTimeAt    int64  // the last offset of its batch
	maxTimeKnown bool   // false for a sealed segment whose time index was not loaded
	createdMs    int64  // wall clock
	jitter       uint32 // what its part of segment.jitter.ms is made of, once jittered
	jittered     bool
	reindexed    bool // since it was opened
}

// newSegment is a segment without its file.
func newSegment(fs env.FS, dir string, base int64) *segment {
	g := &segment{
		fs: fs, dir: dir, base: base, firstTime: -1, maxTime: -1,
		places:  newIndex(fs, fileName(dir, base, suffixIndex), offsetEntrySize),
		times:   newIndex(fs, fileName(dir, base, suffixTime), timeEntrySize),
		aborted: newTxnIndex(fs, fileName(dir, base, suffixTxn), base),
	}
	g.refs.Store(1)
	return g
}

// openSegment opens the segment's file, making it if create is set. It is not indexed yet.
func openSegment(fs env.FS, dir string, base int64, mode env.OpenMode) (*segment, error) {
	g := newSegment(fs, dir, base)
	var err error
	if g.file, err = fs.Open(fileName(dir, base, suffixLog), mode); err != nil {
		return nil, err
	}
	if g.size, err = g.file.Size(); err != nil {
		g.file.Close()
		return nil, err
	}
	return g, nil
}

// createSegment makes a new, empty segment at the end of the log and makes its name durable: what is synced into it
// later must not vanish with it.
func createSegment(fs env.FS, dir string, base, nowMs int64) (*segment, error) {
	g, err := openSegment(fs, dir, base, env.Create)
	if err != nil {
		return nil, err
	}
	if g.size > 0 { // left by a roll that a crash interrupted before anything was acknowledged
		if err := g.file.Truncate(0); err != nil {
			g.release()
			return nil, err
		}
		g.size = 0
	}
	g.places.reset()
	g.times.reset()
	g.maxTimeKnown, g.createdMs = true, nowMs
	if err := g.aborted.truncate(0); err != nil {
		g.release()
		return nil, err
	}
	if err := fs.SyncDir(dir); err != nil {
		g.release()
		return nil, err
	}
	return g, nil
}

// acquire takes a reference for a reader; the log holds one itself. release gives it back; the last one closes the
// file, which by then may have no name any more.
func (g *segment) acquire() { g.refs.Add(1) }

func (g *segment) release() {
	if g.refs.Add(-1) == 0 {
		g.file.Close()
	}
}

// read says that somebody besides the log holds the file.
func (g *segment) read() bool { return g.refs.Load() > 1 }

// append writes whole batches behind the last and indexes them. After an error nothing of it counts.
func (g *segment) append(run []byte, interval int64) error {
	if _, err := g.file.WriteAt(run, g.size); err != nil {
		return err
	}
	for rest := run; len(rest) > 0; {
		b, next, err := record.Next(rest)
		if err != nil {
			return err
		}
		if err := g.note(b, g.size, interval); err != nil {
			return err
		}
		g.size += int64(len(b))
		rest = next
	}
	return nil
}

// note takes a batch at pos into the indexes, at most one entry every interval bytes.
//
// Source: LogSegment#append: the entry comes before the batch it stands for, so that a segment's first batch has none.
func (g *segment) note(b record.Batch, pos, interval int64) error {
	if g.firstTime < 0 {
		g.firstTime = b.MaxTimestamp()
	}
	if b.MaxTimestamp() > g.maxTime && b.Count() > 0 { // compaction leaves batches without records
		g.maxTime, g.maxTimeAt = b.MaxTimestamp(), b.LastOffset()
	}
	if g.sinceEntry > interval && b.LastOffset() >= g.base {
		if err := g.dropContradicted(b); err != nil {
			return err
		}
		if err := g.places.append(entry{b.LastOffset() - g.base, pos}); err != nil {
			return err
		}
		if err := g.noteTime(); err != nil {
			return err
		}
		g.sinceEntry = 0
	}
	g.sinceEntry += b.Size()
	return nil
}

// dropContradicted removes the entries that a later batch contradicts: no checksum covers a batch's base offset, and an index that was
// made again from a file with a flipped bit may hold an offset far behind the others. The batches that follow it are right about where they are.
func (g *segment) dropContradicted(b record.Batch) error {
	last, ok := g.places.last()
	if key := b.LastOffset() - g.base; ok && key <= last.key {
		markIndexContradicted.Hit()
		_, n, err := g.places.floorKey(key - 1)
		if err == nil {
			err = g.places.truncate(n + 1)
		}
		if err == nil {
			_, n, err = g.times.floor(func(e entry) bool { return e.value < key })
		}
		if err == nil {
			err = g.times.truncate(n + 1)
		}
		g.maxTimeAt = min(g.maxTimeAt, b.LastOffset()) // that time was reached by here at the latest
		return err
	}
	return nil
}

// noteTime takes the largest timestamp into the time index, unless it is there.
func (g *segment) noteTime() error {
	last, ok := g.times.last()
	if g.maxTime < 0 || ok && (g.maxTime <= last.key || g.maxTimeAt-g.base < last.value) {
		return nil
	}
	return g.times.append(entry{g.maxTime, g.maxTimeAt - g.base})
}

// seal ends the segment: nothing more comes. Its indexes get their last entry and are written.
//
// Source: LogSegment#onBecomeInactiveSegment.
func (g *segment) seal() error {
	if err := g.noteTime(); err != nil {
		return err
	}
	if err := g.places.write(); err != nil {
		return err
	}
	return g.times.write()
}

// indexed loads both indexes, and rebuilds them if they cannot be used.
func (g *segment) indexed(interval int64) (rebuilt bool, err error) {
	err = g.places.load()
	if err == nil {
		err = g.times.load()
	}
	if err == nil {
		last, ok := g.places.last()
		if ok && last.value >= g.size || !g.maxTimeKnown && g.times.n == 0 && g.size > 0 { // a sealed one has an entry
			err = errIndex
		}
	}
	if errors.Is(err, errIndex) && g.size == 0 { // an empty log that was stopped has none
		g.places.reset()
		g.times.reset()
		g.maxTimeKnown = true
		return false, nil
	}
	if errors.Is(err, errIndex) {
		return true, g.reindex(interval)
	}
	if err != nil || g.maxTimeKnown {
		return false, err
	}
	if last, ok := g.times.last(); ok {
		g.maxTime, g.maxTimeAt = last.key, last.value+g.base
	}
	g.maxTimeKnown = true
	return false, nil
}

// reindex makes both indexes new from the batches.
func (g *segment) reindex(interval int64) error {
	g.reindexed = true
	g.places.reset()
	g.times.reset()
	g.sinceEntry, g.firstTime, g.maxTime, g.maxTimeKnown = 0, -1, -1, true
	if err := g.walk(0, func(b record.Batch, pos int64) error { return g.note(b, pos, interval) }); err != nil {
		return err
	}
	return g.seal()
}

// walk calls f with the header of each batch from pos on.
func (g *segment) walk(pos int64, f func(b record.Batch, pos int64) error) error {
	s := newScanner(g.file, pos, g.size, walkWindow)
	defer s.done()
	for {
		b, err := s.header()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("segment %d at position %d: %w", g.base, s.pos, err)
		}
		if err := f(b, s.pos); err != nil {
			return err
		}
		s.next()
	}
}

// hint is a position from which an offset can be found by walking, and what the index promises of the batch there.
type hint struct {
	pos  int64
	last int64 // the batch at pos ends at or below this offset; -1 for the segment's start
}

// hintFor is the nearest place at or before the batch that holds offset. The indexes must be loaded.
func (g *segment) hintFor(offset int64) (hint, error) {
	e, i, err := g.places.floorKey(offset - g.base)
	if err != nil || i < 0 {
		return hint{0, -1}, err
	}
	return hint{e.value, e.key + g.base}, nil
}

// hintBelow is the last indexed place at or before position pos.
func (g *segment) hintBelow(pos int64) (hint, error) {
	e, i, err := g.places.floorValue(pos)
	if err != nil || i < 0 {
		return hint{0, -1}, err
	}
	return hint{e.value, e.key + g.base}, nil
}

// errHint says that the index pointed at something that is not the batch it promised.
var errHint = fmt.Errorf("the offset index points at no such batch: %w", errIndex)

// find walks from the hint to the first batch whose last offset is at least offset. The scanner then stands on it and
// the header is returned; io.EOF if there is none before the scanner's end.
func find(s *scanner, base int64, h hint, offset int64) (record.Batch, error) {
	s.pos = h.pos
	for {
		b, err := s.header()
		switch {
		case err == io.EOF:
			return nil, err
		case err != nil && s.pos == h.pos && h.last >= 0 && isBad(err):
			return nil, errHint
		case err != nil:
			return nil, fmt.Errorf("segment %d at position %d: %w", base, s.pos, err)
		}
		if s.pos == h.pos && h.last >= 0 && (b.BaseOffset() < base || b.LastOffset() > h.last) {
			return nil, errHint
		}
		if b.LastOffset() >= offset {
			return b, nil
		}
		s.next()
	}
}

// isBad says that an error is about the bytes, not about reading them.
func isBad(err error) bool {
	return errors.Is(err, record.ErrPartial) || errors.Is(err, kerr.CorruptMessage) || errors.Is(err, kerr.UnsupportedForMessageFormat)
}

// locate is find for those who hold the log's lock. It returns the batch's position and its header, copied; io.EOF if
// there is none. An index that lied is made again.
func (g *segment) locate(offset, interval int64) (pos int64, b record.Batch, err error) {
	h, err := g.hintFor(offset)
	if err != nil {
		return 0, nil, err
	}
	s := newScanner(g.file, 0, g.size, walkWindow)
	defer s.done()
	b, err = find(&s, g.base, h, offset)
	if errors.Is(err, errIndex) {
		if err := g.reindex(interval); err != nil {
			return 0, nil, err
		}
		b, err = find(&s, g.base, hint{0, -1}, offset)
	}
	if err != nil {
		return s.pos, nil, err
	}
	return s.pos, append(record.Batch(nil), b...), nil
}

// truncate cuts the file at pos, where the batch with the given offset began, and makes that durable before anything
// can be written there: otherwise a power loss could bring old batches back behind new ones.
func (g *segment) truncate(pos, offset, interval int64) error {
	if err := g.file.Truncate(pos); err != nil {
		return err
	}
	if err := g.file.Sync(); err != nil {
		return err
	}
	g.size = pos
	_, n, err := g.places.floorKey(offset - g.base - 1)
	if err == nil {
		err = g.places.truncate(n + 1)
	}
	if err == nil {
		_, n, err = g.times.floor(func(e entry) bool { return e.value < offset-g.base })
	}
	if err == nil {
		err = g.times.truncate(n + 1)
	}
	if err != nil {
		return err
	}
	return g.resume(interval)
}

// resume brings the counters of a segment that will grow again into the state they had after its last batch.
func (g *segment) resume(interval int64) error {
	g.maxTime, g.maxTimeAt, g.firstTime, g.sinceEntry, g.maxTimeKnown = -1, 0, -1, 0, true
	if last, ok := g.times.last(); ok {
		g.maxTime, g.maxTimeAt = last.key, last.value+g.base
	}
	from := int64(0)
	if last, ok := g.places.last(); ok {
		from = last.value
	}
	if from > 0 {
		s := newScanner(g.file, 0, g.size, walkWindow)
		defer s.done()
		first, err := s.header()
		if err != nil {
			return err
		}
		g.firstTime = first.MaxTimestamp()
	}
	err := g.walk(from, func(b record.Batch, pos int64) error {
		if pos == from && from > 0 { // its entry is in the index already
			g.sinceEntry = 0
		}
		if g.firstTime < 0 {
			g.firstTime = b.MaxTimestamp()
		}
		if b.MaxTimestamp() > g.maxTime && b.Count() > 0 {
			g.maxTime, g.maxTimeAt = b.MaxTimestamp(), b.LastOffset()
		}
		g.sinceEntry += b.Size()
		return nil
	})
	if err != nil && isBad(err) && from > 0 {
		return g.reindex(interval) // the index lied
	}
	return err
}

// sync makes the segment's content and its indexes durable.
func (g *segment) sync() error {
	if err := g.file.Sync(); err != nil {
		return err
	}
	if err := g.aborted.sync(g.dir); err != nil {
		return err
	}
	if err := g.places.sync(); err != nil {
		return err
	}
	return g.times.sync()
}

// removeFiles removes what belongs to the segment. The last is the log itself, so that a crash leaves no orphans that
// could be taken for another segment's. Those who hold the file may go on reading it.
func (g *segment) removeFiles() error {
	for _, suffix := range []string{suffixIndex, suffixTime, suffixTxn, suffixSnapshot, suffixLog} {
		if err := g.fs.Remove(fileName(g.dir, g.base, suffix)); err != nil && !errors.Is(err, env.ErrNotExist) {
			return err
		}
	}
	return nil
}
