package log

import (
	"errors"
	"fmt"
	"slices"

	"barnabas/broker/bug"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Flush makes everything appended so far durable and raises the recovery point. Appends and reads go on meanwhile.
//
// Source: UnifiedLog#flush.
func (l *Log) Flush() error { return l.flushTo(false) }

// FlushSealed makes durable what is in segments that are no longer written, and raises the recovery point to their end.
//
// Source: UnifiedLog#roll (flushUptoOffsetExclusive).
func (l *Log) FlushSealed() error { return l.flushTo(true) }

func (l *Log) flushTo(sealedOnly bool) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	end, generation := l.end, l.generation.Load()
	if sealedOnly {
		end = l.active().base
	}
	from := min(l.recoveryPoint.Load(), l.indexes.Load())
	snapshots := l.takeSnapped(end)
	if len(snapshots) == 0 && (sealedOnly && l.indexes.Load() >= end || from >= end) {
		return nil
	}
	dirty, err := l.dirty(from, end)
	if err != nil {
		return err
	}
	unflushed := l.unflushed
	l.mu.Unlock() // a sync may take long
	for _, g := range dirty {
		if err == nil {
			err = g.sync()
		}
		g.release()
	}
	if err == nil {
		err = l.syncSnapshots(snapshots)
	}
	l.mu.Lock()
	if err != nil {
		return l.syncFailed(err)
	}
	if l.generation.Load() == generation {
		l.indexes.Store(max(l.indexes.Load(), end))
		l.durable(end, unflushed, !sealedOnly)
	}
	return nil
}

// syncFailed is what to answer when a sync failed that was made without the lock. A name that is gone since the log was closed meanwhile
// and its directory renamed, to be deleted or to take another log's place, says nothing against the disk (KAFKA-15391).
func (l *Log) syncFailed(err error) error {
	if l.closed && errors.Is(err, env.ErrNotExist) {
		markSyncOfAGoneLog.Hit()
		return l.usable()
	}
	return l.fail("flush", err)
}

// durable takes note that everything below end is, the files of the log at least, after a sync that began when so many
// records were unflushed. Appends that waited for it are published.
func (l *Log) durable(end, unflushed int64, everything bool) {
	if l.recoveryPoint.Load() >= end {
		return
	}
	l.measure() // before: see verified
	l.recoveryPoint.Store(end)
	if everything {
		l.unflushed = max(0, l.unflushed-unflushed)
		l.flushed.Store(int64(l.env.Mono()))
	}
	if l.mustSync <= end && l.leo.Load() < l.end {
		l.publish()
	}
	l.synced.Broadcast()
}

// dirty lists the segments that may have unsynced content from one offset to another, each with a reference, their
// indexes written.
func (l *Log) dirty(from, end int64) ([]*segment, error) {
	var out []*segment
	for _, g := range l.segments[l.segmentFor(from):] {
		if g.base > end || g.base == end && len(out) > 0 {
			break
		}
		err := g.places.write()
		if err == nil {
			err = g.times.write()
		}
		if err != nil {
			for _, held := range out {
				held.release()
			}
			return nil, l.fail("write index", err)
		}
		g.acquire()
		out = append(out, g)
	}
	return out, nil
}

var rareFlush = env.NewRare("append-flushed")

// settle lets everybody see what was appended up to end, which the caller has just done: at once, or when it is durable,
// where flush.messages wants that, or an append before it waits for that.
//
// While a sync is under way, others append; the next sync is for all of them. So under load many appends share one, and
// the lock is never held during it.
//
//	append a          | sync a ----------|
//	      append b, c        wait ....... | sync b, c ----------|
//	                                 append d      wait ....... | sync d
//
// Source: UnifiedLog#append (unflushedMessages), which holds the lock throughout.
func (l *Log) settle(end int64) error {
	if l.unflushed >= l.config.Load().FlushMessages || rareFlush.Strikes(l.env) {
		l.mustSync = l.end
	}
	if l.mustSync <= l.recoveryPoint.Load() {
		l.publish()
		return nil
	}
	return l.awaitSync(end)
}

// awaitSync returns when everything below end is published, syncing if nobody does.
func (l *Log) awaitSync(end int64) error {
	generation := l.generation.Load()
	for l.leo.Load() < end {
		if err := l.usable(); err != nil {
			return err
		}
		if l.generation.Load() != generation {
			return fmt.Errorf("append to %s: truncated meanwhile: %w", l.tp, kerr.NotLeaderForPartition)
		}
		if l.syncing {
			l.synced.Wait()
			continue
		}
		if err := l.syncFiles(); err != nil {
			return err
		}
	}
	return nil
}

// syncFiles makes everything appended so far durable: the segments' files, not their indexes, which recovery makes
// again, and which FlushSealed syncs when a segment is full.
func (l *Log) syncFiles() error {
	var dirty []*segment
	for _, g := range l.segments[l.segmentFor(l.recoveryPoint.Load()):] {
		g.acquire()
		dirty = append(dirty, g)
	}
	end, unflushed, generation := l.end, l.unflushed, l.generation.Load()
	l.syncing = true
	l.mu.Unlock()
	var err error
	for _, g := range dirty {
		if err == nil {
			err = g.file.Sync() // the indexes are made again if they are lost
			if l.bugs.Has(bug.FsyncIgnored) {
				err = nil
			}
		}
		if err == nil {
			err = g.aborted.sync(l.path) // but this one below the recovery point
		}
		g.release()
	}
	l.mu.Lock()
	l.syncing = false
	defer l.synced.Broadcast()
	if err != nil {
		return l.syncFailed(err)
	}
	if l.generation.Load() == generation {
		l.durable(end, unflushed, true)
	}
	return nil
}

// quiet waits until no append waits for a sync: what it waits for could be taken away otherwise.
func (l *Log) quiet() {
	for l.leo.Load() < l.end && l.usable() == nil {
		if l.syncing {
			l.synced.Wait()
		} else if l.syncFiles() != nil {
			return
		}
	}
}

// takeSnapped takes out the producer snapshots up to offset end that somebody must sync now.
func (l *Log) takeSnapped(end int64) (offsets []int64) {
	l.snapped = slices.DeleteFunc(l.snapped, func(offset int64) bool {
		if offset <= end {
			offsets = append(offsets, offset)
		}
		return offset <= end
	})
	return offsets
}

// syncSnapshots makes producer snapshots durable. The names are: each was written before its segment was made, which
// syncs the directory.
func (l *Log) syncSnapshots(offsets []int64) error {
	for _, offset := range offsets {
		f, err := l.env.Open(fileName(l.path, offset, suffixSnapshot), env.ReadWrite)
		if errors.Is(err, env.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeSnapshot writes the state of the producers to a file named by the log's end.
func (l *Log) writeSnapshot(sync bool) error {
	name := fileName(l.path, l.producers.end, suffixSnapshot)
	err := writeFile(l.env, name, l.producers.encode(), sync)
	if err != nil {
		return l.fail("write producer snapshot", err)
	}
	return nil
}

// writeFile replaces a file's content in place: for what carries a checksum.
func writeFile(fsys env.FS, name string, data []byte, sync bool) error {
	f, err := fsys.Open(name, env.Create)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Close makes everything durable, writes a producer snapshot and closes the files. Slices stay readable until they are
// released. A second Close does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.unlock()
	if l.closed {
		return nil
	}
	if err := l.usable(); err != nil {
		l.closeFiles()
		return err
	}
	l.quiet()
	err := l.sealForGood()
	l.closeFiles()
	return err
}

// found is how a log was found that had been stopped cleanly; without a segment it was not.
type found struct {
	active     *segment
	end        int64
	generation uint64
}

// isAsFound says that all that a clean stop leaves is there, from the last one.
func (l *Log) isAsFound() bool {
	return l.found == found{l.active(), l.end, l.generation.Load()} &&
		!slices.ContainsFunc(l.segments, func(g *segment) bool { return g.reindexed })
}

// sealForGood leaves everything durable, and so that the next Open needs to look at nothing: indexes and a producer snapshot.
// All is written first, then each file is synced once.
func (l *Log) sealForGood() error {
	g := l.active()
	neverWritten := len(l.segments) == 1 && g.size == 0 && l.end == 0 && len(l.producers.byID) == 0
	final := !l.isAsFound() && !neverWritten
	if final {
		if err := l.ensureIndexed(g); err != nil {
			return err
		}
		if err := g.seal(); err != nil {
			return l.fail("seal segment", err)
		}
		if err := l.writeSnapshot(false); err != nil {
			return err
		}
		l.snapped = append(l.snapped, l.producers.end)
	}
	from := min(l.recoveryPoint.Load(), l.indexes.Load())
	if !final && from >= l.end && len(l.snapped) == 0 {
		return nil
	}
	dirty, err := l.dirty(from, l.end)
	if err != nil {
		return err
	}
	for _, g := range dirty {
		if err == nil {
			err = g.sync()
		}
		g.release()
	}
	if err == nil {
		err = l.syncSnapshots(l.takeSnapped(l.end))
	}
	if err == nil && final { // the snapshot's name
		err = l.env.SyncDir(l.path)
	}
	if err != nil {
		return l.fail("flush", err)
	}
	l.indexes.Store(l.end)
	l.durable(l.end, l.unflushed, true)
	return nil
}

// abandon closes the files and leaves everything as it is.
func (l *Log) abandon() {
	l.mu.Lock()
	defer l.unlock()
	l.closeFiles()
}

func (l *Log) closeFiles() {
	if l.closed {
		return
	}
	l.closed = true
	l.generation.Add(1)
	l.synced.Broadcast()
	for _, g := range l.segments {
		g.release()
	}
}
