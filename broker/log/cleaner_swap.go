package log

import (
	"errors"
	"path"
	"slices"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

const suffixSwap = ".swap"

// How a group of segments becomes one, and what a crash or a power loss behind each step leaves:
//
//  1. BASE.log.cleaned and its indexes are written and synced: Open removes them
//  2. BASE.txnindex.cleaned becomes BASE.txnindex.swap, durably: Open removes it
//  3. BASE.log.cleaned becomes BASE.log.swap, durably. From here on the group is replaced: Open goes on with step 4
//  4. the files of the group's other segments go, and the old offset and time indexes of its first, durably
//  5. BASE.txnindex.swap becomes BASE.txnindex, or the old one goes, durably
//  6. BASE.log.swap becomes BASE.log, durably
//  7. the new offset and time indexes get their names: without them Open makes them again
//
// Each step is synced before the next: a power loss may undo any of the renames that were not, in any order. Steps 3 to
// 7 come under the log's lock, so that readers see the old segments or the new one; who holds an old one's file goes on
// reading it.
//
// Source: LocalLog.replaceSegments, LogLoader#completeSwapOperations.

// swap is a compacted segment on its way into the log.
type swap struct {
	fs   env.FS
	dir  string
	base int64
	end  int64 // offset behind the segments that it replaces
}

func (s swap) name(suffix string) string { return fileName(s.dir, s.base, suffix) }

func (s swap) removeIf(name string) error {
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, env.ErrNotExist) {
		return err
	}
	return nil
}

// commit is steps 2 and 3.
func (s swap) commit(aborted bool) error {
	if aborted {
		if err := s.fs.Rename(s.name(suffixTxn+suffixCleaned), s.name(suffixTxn+suffixSwap)); err != nil {
			return err
		}
		if err := s.fs.SyncDir(s.dir); err != nil {
			return err
		}
	}
	if err := s.fs.Rename(s.name(suffixLog+suffixCleaned), s.name(suffixLog+suffixSwap)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

// complete is steps 4 to 6. others are the bases of the group's other segments. With keepAborted, a .txnindex stays if
// there is no other: a crash between steps 5 and 6 has left it, and it is the new one.
func (s swap) complete(others []int64, keepAborted bool) error {
	for _, base := range others {
		for _, suffix := range []string{suffixIndex, suffixTime, suffixTxn, suffixSnapshot, suffixLog} {
			if err := s.removeIf(fileName(s.dir, base, suffix)); err != nil {
				return err
			}
		}
	}
	for _, suffix := range []string{suffixIndex, suffixTime} {
		if err := s.removeIf(s.name(suffix)); err != nil {
			return err
		}
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	err := s.fs.Rename(s.name(suffixTxn+suffixSwap), s.name(suffixTxn))
	if errors.Is(err, env.ErrNotExist) {
		err = nil
		if !keepAborted {
			err = s.removeIf(s.name(suffixTxn))
		}
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err == nil {
		err = s.fs.Rename(s.name(suffixLog+suffixSwap), s.name(suffixLog))
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	return err
}

// finishSwaps goes on, when the log is opened, with the replacements that a crash interrupted behind step 3, and
// removes what was left of those before it. It reports whether it changed anything.
func (l *Log) finishSwaps(names []string) (changed bool, err error) {
	for _, name := range names {
		base, suffix, ok := parseFileName(strings.TrimSuffix(name, suffixSwap))
		if !ok || suffix != suffixLog || !strings.HasSuffix(name, suffixSwap) {
			continue
		}
		changed = true
		if err := l.finishSwap(base, names); err != nil {
			return true, err
		}
	}
	for _, name := range names { // those without their .log.swap
		if strings.HasSuffix(name, suffixSwap) && !strings.HasSuffix(name, suffixLog+suffixSwap) {
			changed = true
			if err := l.env.Remove(path.Join(l.path, name)); err != nil && !errors.Is(err, env.ErrNotExist) {
				return true, err
			}
		}
	}
	return changed, nil
}

func (l *Log) finishSwap(base int64, names []string) error {
	s := swap{fs: l.env, dir: l.path, base: base, end: base}
	f, err := l.env.Open(s.name(suffixLog+suffixSwap), env.ReadOnly)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil {
		g := segment{base: base, file: f, size: size}
		err = g.walk(0, func(b record.Batch, _ int64) error {
			s.end = b.NextOffset()
			return nil
		})
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	plain := path.Base(s.name(suffixLog))
	if err != nil && isBad(err) && slices.Contains(names, plain) {
		// It was synced before it got its name, so this is not the doing of a crash. What it replaces is still there.
		l.emitCorrupt(s.name(suffixLog+suffixSwap), err)
		return l.env.Remove(s.name(suffixLog + suffixSwap))
	}
	if err != nil && !isBad(err) {
		return err
	}
	var others []int64
	for _, name := range names {
		if other, suffix, ok := parseFileName(name); ok && suffix == suffixLog && other > base && other < s.end {
			others = append(others, other)
		}
	}
	return s.complete(others, true)
}

// cleanGroup filters the segments from i up to j into a new one, and puts that in their place.
func (p *pass) cleanGroup(i, j int) error {
	s := swap{fs: p.log.env, dir: p.log.path, base: p.segments[i].base, end: p.ends[j-1]}
	g, err := p.create(s)
	if err != nil {
		return p.wrap(err)
	}
	err = p.fill(g, i, j)
	if err == nil {
		err = p.wrap(p.seal(g))
	}
	if err == nil {
		err = p.replace(s, g, i, j)
	}
	if err != nil {
		g.release()
		p.discard(s)
	}
	return err
}

// wrap is what an error of the file system means: that the log is gone, or that the disk failed.
func (p *pass) wrap(err error) error {
	if err == nil || errors.Is(err, errCleaning) {
		return err
	}
	l := p.log
	l.mu.Lock()
	defer l.unlock()
	if same := p.same(); same != nil {
		return same
	}
	return l.fail("clean", err)
}

// create makes the new segment's files, under names that the log does not know.
func (p *pass) create(s swap) (*segment, error) {
	f, err := s.fs.Open(s.name(suffixLog+suffixCleaned), env.Create)
	if err != nil {
		return nil, err
	}
	g := &segment{
		fs: s.fs, dir: s.dir, base: s.base, file: f, firstTime: -1, maxTime: -1, maxTimeKnown: true,
		places:  newIndex(s.fs, s.name(suffixIndex+suffixCleaned), offsetEntrySize),
		times:   newIndex(s.fs, s.name(suffixTime+suffixCleaned), timeEntrySize),
		aborted: newTxnIndex(s.fs, s.name(suffixTxn+suffixCleaned), s.base),
	}
	g.places.reset()
	g.times.reset()
	g.refs.Store(1)
	err = f.Truncate(0)
	if err == nil {
		err = s.removeIf(s.name(suffixTxn + suffixCleaned))
	}
	if err != nil {
		g.release()
		return nil, err
	}
	return g, nil
}

// fill writes what is left of the group's batches. Its last batch stays, if need be without records and producer, so
// that the segment ends where the next begins.
//
// DEVIATION(KIP-58): in Kafka a compacted segment may end before the next begins; ours never do, because recovery takes
// a hole between two segments for lost data.
func (p *pass) fill(g *segment, i, j int) error {
	p.filter.txns.index = g.aborted
	stats := &p.filter.stats
	var out []byte
	last := make(record.Batch, record.HeaderSize)
	next := g.base
	interval := p.log.interval()
	flush := func() error {
		if len(out) == 0 {
			return nil
		}
		if g.size+int64(len(out)) > 1<<31-1 {
			return errTooLarge
		}
		err := g.append(out, interval)
		stats.BytesWritten += int64(len(out))
		paid := int64(len(out))
		out = out[:0]
		if err == nil {
			err = p.pause(paid)
		}
		return p.wrap(err)
	}
	for ; i < j; i++ {
		stats.Segments++
		err := p.each(i, func(b record.Batch) error {
			stats.BytesRead += int64(len(b))
			copy(last, b)
			before := len(out)
			var err error
			if out, err = p.filter.batch(out, b); err != nil {
				return err
			}
			if len(out) > before {
				next = b.NextOffset()
			}
			if int64(len(out)) >= p.o.BufferBytes {
				return flush()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if next < p.ends[j-1] && last.Size() > record.LogOverhead { // something was read
		out = record.AppendFiller(out, last)
	}
	stats.SegmentsAfter++
	return flush()
}

var errTooLarge = errors.New("the compacted segment would be larger than 2 GiB")

// seal writes the indexes and makes all of it durable: step 1.
func (p *pass) seal(g *segment) error {
	if err := g.seal(); err != nil {
		return err
	}
	return g.sync()
}

// replace puts the new segment in the place of the group's: steps 2 to 7.
func (p *pass) replace(s swap, g *segment, i, j int) error {
	l := p.log
	l.mu.Lock()
	defer l.unlock()
	if err := p.same(); err != nil {
		return err
	}
	at := slices.Index(l.segments, p.segments[i])
	if at < 0 || at+j-i >= len(l.segments) || !slices.Equal(l.segments[at:at+j-i], p.segments[i:j]) {
		return errCleaning // some of them were deleted, by retention say
	}
	var others []int64
	for _, old := range p.segments[i+1 : j] {
		others = append(others, old.base)
	}
	err := s.commit(len(g.aborted.entries) > 0)
	if err == nil {
		err = s.complete(others, false)
	}
	if err == nil {
		err = s.fs.Rename(g.places.name, s.name(suffixIndex))
	}
	if err == nil {
		err = s.fs.Rename(g.times.name, s.name(suffixTime))
	}
	if err != nil {
		return l.fail("replace segments", err)
	}
	g.places.name, g.times.name, g.aborted.name = s.name(suffixIndex), s.name(suffixTime), s.name(suffixTxn)
	g.createdMs = p.segments[j-1].createdMs
	old := l.segments[at : at+j-i]
	l.segments = slices.Concat(l.segments[:at], []*segment{g}, l.segments[at+j-i:])
	for _, o := range old {
		o.release()
	}
	l.publish()
	return nil
}

// discard removes what was written, if the log is still there.
func (p *pass) discard(s swap) {
	l := p.log
	l.mu.Lock()
	defer l.unlock()
	if l.closed || l.health.err() != nil {
		return // the next Open does
	}
	for _, suffix := range []string{suffixLog, suffixIndex, suffixTime, suffixTxn} {
		if err := s.removeIf(s.name(suffix + suffixCleaned)); err != nil {
			_ = l.fail("clean", err)
			return
		}
	}
}
