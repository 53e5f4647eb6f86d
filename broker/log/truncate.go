package log

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path"

	"barnabas/broker/assert"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

var evTruncate = env.NewKind("log-truncate", env.Info, "to", "from", "end")

// TruncateTo cuts the log so that LogEndOffset ≤ offset: whole batches that reach beyond it go, as do producer state
// and leader epochs. It is durable when it returns. An offset at or above the end does nothing.
//
// The order, and what a crash behind each step leaves:
//
//  1. the recovery point is lowered in its checkpoint: more is verified at the next start, no harm
//  2. segments above are removed, the last first, each durably: a shorter log, as if less had been appended
//  3. the file is cut and synced: the log as wanted, with epochs and snapshots beyond its end, which Open cuts
//  4. leader epochs and producer snapshots follow
//
// Step 3 is synced because recovery could not tell a batch that was cut, and came back, from one that was never cut.
//
// Source: UnifiedLog#truncateTo. DEVIATION(KIP-101): inside a batch, Kafka sets LogEndOffset to offset and leaves a
// hole before it; we end where the last whole batch ends, also if the cut is in a gap that compaction left:
// what the log ends with after the next start, it ends with now.
func (l *Log) TruncateTo(offset int64) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if offset < 0 {
		markTruncateToOffsetOutOfRange.Hit()
		return fmt.Errorf("truncate %s to %d: %w", l.tp, offset, kerr.OffsetOutOfRange)
	}
	l.quiet()
	if err := l.usable(); err != nil || offset >= l.end {
		return err
	}
	if offset < l.segments[0].base {
		markTruncatedBelowTheFirstSegment.Hit()
		return l.restartAt(offset)
	}
	before := l.end
	i := l.segmentFor(offset)
	g := l.segments[i]
	if err := l.ensureIndexed(g); err != nil {
		return err
	}
	pos := g.size
	at, _, err := g.locate(offset, l.interval())
	switch {
	case err == nil:
		pos = at
	case err != io.EOF: // EOF: the cut is exactly at the segment's end
		return l.fail("truncate", err)
	}
	end, err := g.endBefore(pos, l.interval())
	if err != nil {
		return l.fail("truncate", err)
	}
	if err := l.cut(i, pos, end); err != nil {
		return err
	}
	l.end = end
	if end < l.start.Load() { // or the next Open would take it for an interrupted restart
		markTruncatedBelowTheStart.Hit()
		l.start.Store(end)
		if err := l.saveCheckpoint(); err != nil {
			return err
		}
	}
	l.hw.Store(min(l.hw.Load(), end))
	if e, changed := l.epochs.Load().truncateEnd(end); changed {
		if err := l.storeEpochs(e); err != nil {
			return err
		}
	}
	if err := l.reloadProducers(end, math.MaxInt64); err != nil {
		return err
	}
	l.publish()
	l.env.Emit(env.Event{Kind: evTruncate, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{offset, before, end}})
	return nil
}

// cut makes segment i the last and cuts it at pos, where end is the next offset.
func (l *Log) cut(i int, pos, end int64) error {
	assert.That(end <= l.end && end >= l.segments[i].base, "INV-TRUNCATE: %s: cut at %d, segment %d, end %d", l.tp, end, l.segments[i].base, l.end)
	l.generation.Add(1) // before any file changes: see Read
	l.lowerCleaned(end)
	l.mustSync = min(l.mustSync, end) // what was to be synced behind the end is gone: nobody may wait for it
	if err := l.lowerRecoveryPoint(end); err != nil {
		return err
	}
	for last := len(l.segments) - 1; last > i; last-- {
		if err := l.drop(last); err != nil {
			return err
		}
	}
	g := l.segments[i]
	if pos == g.size { // nothing of it goes; it grows again
		return l.wrapIO("truncate", g.resume(l.interval()))
	}
	if err := g.truncate(pos, end, l.interval()); err != nil {
		return l.fail("truncate", err)
	}
	if err := g.aborted.truncate(end); err != nil {
		return l.fail("truncate transaction index", err)
	}
	if g.read() {
		markTruncatedUnderAReader.Hit()
		return l.leave(g, end)
	}
	return nil
}

func (l *Log) wrapIO(op string, err error) error {
	if err != nil {
		return l.fail(op, err)
	}
	return nil
}

// leave lets the log go on in another file than the last segment's, because somebody holds that: new batches must not
// come to stand where the reader will look for those that were cut.
func (l *Log) leave(g *segment, end int64) error {
	if g.size > 0 {
		if err := g.seal(); err != nil {
			return l.fail("seal segment", err)
		}
		next, err := createSegment(l.env, l.path, end, l.env.Now().UnixMilli())
		if err != nil {
			return l.fail("roll", err)
		}
		l.segments = append(l.segments, next)
		return nil
	}
	// It is empty: another file takes its name, in one step.
	name := fileName(l.path, g.base, suffixLog)
	f, err := l.env.Open(name+suffixCleaned, env.Create)
	if err == nil {
		f.Close()
		err = l.env.Rename(name+suffixCleaned, name)
	}
	if err != nil {
		return l.fail("replace segment", err)
	}
	next, err := createSegment(l.env, l.path, g.base, l.env.Now().UnixMilli())
	if err != nil {
		return l.fail("replace segment", err)
	}
	l.segments[len(l.segments)-1] = next
	g.release()
	return nil
}

// drop removes the last segment, durably. If bytes of it are held by readers, they get an end of file.
func (l *Log) drop(i int) error {
	g := l.segments[i]
	if i > 0 && g.read() {
		markSegmentRemovedUnderAReader.Hit()
		if err := g.file.Truncate(0); err != nil {
			return l.fail("remove segment", err)
		}
	}
	if err := g.removeFiles(); err != nil {
		return l.fail("remove segment", err)
	}
	if err := l.env.SyncDir(l.path); err != nil {
		return l.fail("remove segment", err)
	}
	l.segments = append(l.segments[:i:i], l.segments[i+1:]...)
	g.release()
	return nil
}

// lowerCleaned forgets that the cleaner has been above offset; the checkpoint follows when the recovery point's does.
func (l *Log) lowerCleaned(offset int64) {
	if l.cleaned.Load() > offset {
		l.cleaned.Store(offset)
	}
}

// lowerRecoveryPoint makes sure, durably, that what will be written above offset is verified at the next start.
func (l *Log) lowerRecoveryPoint(offset int64) error {
	l.indexes.Store(min(l.indexes.Load(), offset))
	if l.recoveryPoint.Load() <= offset {
		return nil
	}
	l.recoveryPoint.Store(offset)
	return l.saveCheckpoint()
}

func (l *Log) saveCheckpoint() error {
	if l.checkpoint == nil {
		return nil
	}
	return l.wrapIO("write checkpoint", l.checkpoint())
}

// TruncateFullyAndStartAt empties the log and lets it begin, and end, at offset.
//
// Source: UnifiedLog#truncateFullyAndStartAt.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if offset < 0 {
		markTruncateFullyAndStartAtOffsetOutOfRange.Hit()
		return fmt.Errorf("restart %s at %d: %w", l.tp, offset, kerr.OffsetOutOfRange)
	}
	l.quiet()
	if err := l.usable(); err != nil {
		return err
	}
	return l.restartAt(offset)
}

// restartAt is TruncateFullyAndStartAt. The checkpoint of the log's start is written first: a start behind the end
// tells the next Open to finish what a crash interrupted. Then the log is cut down to its first segment, that is
// emptied and takes the new name in one step. Each state between is a shorter log.
func (l *Log) restartAt(offset int64) error {
	if err := l.bear(); err != nil {
		return err
	}
	before := l.end
	l.recoveryPoint.Store(min(l.recoveryPoint.Load(), offset, l.segments[0].base))
	l.indexes.Store(min(l.indexes.Load(), l.recoveryPoint.Load()))
	if offset >= l.end {
		l.start.Store(offset)
	}
	if err := l.saveCheckpoint(); err != nil {
		return err
	}
	first := l.segments[0]
	if err := l.ensureIndexed(first); err != nil {
		return err
	}
	if err := l.cut(0, 0, first.base); err != nil {
		return err
	}
	if offset < l.start.Load() { // only now, when there is nothing below that could come to light
		l.start.Store(offset)
		if err := l.saveCheckpoint(); err != nil {
			return err
		}
	}
	if err := l.rebase(offset); err != nil {
		return err
	}
	l.end = offset
	l.start.Store(offset)
	l.hw.Store(min(l.hw.Load(), offset))
	if len(*l.epochs.Load()) > 0 || l.epochsBehind {
		if err := l.storeEpochs(nil); err != nil {
			return err
		}
	}
	if err := l.removeSnapshots(func(int64) bool { return true }); err != nil {
		return err
	}
	l.producers = newProducers(offset)
	l.unflushed, l.mustSync = 0, min(l.mustSync, offset)
	l.recoveryPoint.Store(offset)
	l.indexes.Store(offset)
	l.publish()
	l.env.Emit(env.Event{Kind: evTruncate, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{offset, before, offset}})
	return l.saveCheckpoint()
}

// isEmpty says that there is nothing between the log's start and its end, nor on disk.
func (l *Log) isEmpty() bool {
	return l.end == l.start.Load() && len(l.segments) == 1 && l.segments[0].size == 0
}

// rebase gives the only segment, which is empty, another base offset.
func (l *Log) rebase(offset int64) error {
	g := l.segments[0]
	assert.That(len(l.segments) == 1 && g.size == 0, "INV-REBASE: %s: %d segments, %d bytes", l.tp, len(l.segments), g.size)
	if g.base == offset {
		return nil
	}
	err := l.env.Rename(fileName(l.path, g.base, suffixLog), fileName(l.path, offset, suffixLog))
	if err == nil {
		err = g.removeFiles() // its indexes and snapshot
	}
	if err != nil {
		return l.fail("restart", err)
	}
	next, err := createSegment(l.env, l.path, offset, l.env.Now().UnixMilli())
	if err != nil {
		return l.fail("restart", err)
	}
	l.segments[0] = next
	g.release()
	return nil
}

// AdvanceStartOffset raises LogStartOffset, never beyond LogEndOffset, and drops segments wholly below it. The new start
// is durable when it returns.
//
// Source: UnifiedLog#maybeIncrementLogStartOffset, #deleteLogStartOffsetBreachedSegments.
func (l *Log) AdvanceStartOffset(offset int64) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if offset > l.leo.Load() {
		markAdvanceStartOffsetOffsetOutOfRange.Hit()
		return fmt.Errorf("start of %s to %d, it ends at %d: %w", l.tp, offset, l.end, kerr.OffsetOutOfRange)
	}
	if offset <= l.start.Load() {
		return nil
	}
	l.start.Store(offset)
	l.publishStart()
	// The checkpoint comes first: what somebody was told is deleted must not come back after a crash.
	if err := l.saveCheckpoint(); err != nil {
		return err
	}
	n := l.segmentFor(offset)
	if n == 0 {
		return nil
	}
	return l.dropOldest(n)
}

// removeSnapshots removes the producer snapshots at offsets for which gone holds, durably.
func (l *Log) removeSnapshots(gone func(offset int64) bool) error {
	snapshots, err := l.snapshots()
	if err != nil {
		return err
	}
	removed := false
	for _, offset := range snapshots {
		if !gone(offset) {
			continue
		}
		if err := l.env.Remove(fileName(l.path, offset, suffixSnapshot)); err != nil && !errors.Is(err, env.ErrNotExist) {
			return l.fail("remove producer snapshot", err)
		}
		removed, l.listed = true, nil
	}
	if !removed {
		return nil
	}
	return l.wrapIO("remove producer snapshot", l.env.SyncDir(l.path))
}

// snapshots lists the offsets of the producer snapshots, ascending.
func (l *Log) snapshots() ([]int64, error) {
	names := l.listed
	if names == nil {
		entries, err := l.env.ReadDir(l.path)
		if err != nil {
			return nil, l.fail("list "+path.Base(l.path), err)
		}
		for _, e := range entries {
			names = append(names, e.Name)
		}
	}
	var offsets []int64
	for _, name := range names {
		if offset, suffix, ok := parseFileName(name); ok && suffix == suffixSnapshot {
			offsets = append(offsets, offset)
		}
	}
	return offsets, nil
}
