package log

import (
	"errors"
	"hash/crc32"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
)

var evRetention = env.NewKind("log-retention", env.Info, "segments", "bytes", "start")

// DeleteOldSegments lets go of the oldest segments that retention does not want any more, and returns how many. Only
// what is committed goes, and never a part of a segment. With nothing left, the log goes on in a new segment at its end.
//
//	retention.ms     a segment goes when its largest timestamp is older; without timestamps, when it was last written
//	retention.bytes  a segment goes when the rest is still as large
//	log start        a segment goes when it is wholly below LogStartOffset, also where cleanup.policy is only compact
//
// Source: UnifiedLog#deleteOldSegments.
func (l *Log) DeleteOldSegments() (int, error) {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil || l.held {
		return 0, err
	}
	n, err := l.expired()
	if n == 0 || err != nil {
		return 0, err
	}
	if n == len(l.segments) {
		if err := l.roll(l.end); err != nil {
			return 0, err
		}
	}
	return n, l.dropOldest(n)
}

// expired counts the segments that may go.
func (l *Log) expired() (int, error) {
	cfg, hw := l.config.Load(), l.hw.Load()
	committed := 0 // segments of which everything is
	for committed < len(l.segments) && l.segmentEnd(committed) <= hw && l.segments[committed].size > 0 {
		committed++
	}
	n := 0
	for n < committed && n+1 < len(l.segments) && l.segments[n+1].base <= l.start.Load() {
		n++
	}
	if !cfg.CleanupPolicyDelete {
		return n, nil
	}
	n = max(n, l.beyondSize(cfg, committed))
	if cfg.Retention < 0 {
		return n, nil
	}
	now := l.env.Now()
	for ; n < committed; n++ {
		newest, err := l.newest(l.segments[n])
		if err != nil {
			return 0, err
		}
		if now.Sub(newest) <= cfg.Retention {
			break
		}
	}
	return n, nil
}

// segmentEnd is the offset behind segment i.
func (l *Log) segmentEnd(i int) int64 {
	if i+1 < len(l.segments) {
		return l.segments[i+1].base
	}
	return l.end
}

// beyondSize counts the oldest of the committed segments without which the log is still as large as retention.bytes.
func (l *Log) beyondSize(cfg *config.Topic, committed int) (n int) {
	if cfg.RetentionBytes < 0 {
		return 0
	}
	excess := -cfg.RetentionBytes
	for _, g := range l.segments {
		excess += g.size
	}
	for n < committed && excess >= l.segments[n].size {
		excess -= l.segments[n].size
		n++
	}
	return n
}

// newest is the segment's largest timestamp, or when its file was written last (LogSegment#largestTimestamp).
func (l *Log) newest(g *segment) (time.Time, error) {
	if err := l.ensureIndexed(g); err != nil {
		return time.Time{}, err
	}
	if g.maxTime >= 0 {
		return time.UnixMilli(g.maxTime), nil
	}
	info, err := l.env.Stat(fileName(g.dir, g.base, suffixLog))
	if err != nil {
		return time.Time{}, l.fail("stat segment", err)
	}
	return info.ModTime, nil
}

// dropOldest removes the first n segments, of which there must be more. LogStartOffset is raised before a file changes:
// from then on nobody begins to read them. Who reads already holds the file. A crash leaves some of the files, the
// newest ones, and an earlier start: a longer log, with the leader epochs that it needs, since those follow last.
//
// Source: UnifiedLog#deleteSegments, LocalLog.deleteSegmentFiles.
func (l *Log) dropOldest(n int) error {
	start := l.segments[n].base
	l.start.Store(max(l.start.Load(), start))
	gone := l.segments[:n:n]
	l.segments = append([]*segment(nil), l.segments[n:]...)
	l.publishStart()
	var files []string
	var bytes int64
	for _, g := range gone {
		names, err := l.retire(g)
		if err != nil {
			return l.fail("remove segment", err)
		}
		files = append(files, names...)
		bytes += g.size
		g.release()
	}
	if err := l.env.SyncDir(l.path); err != nil {
		return l.fail("remove segment", err)
	}
	if len(files) > 0 {
		l.doom(l, files)
	}
	l.recoveryPoint.Store(max(l.recoveryPoint.Load(), start))
	l.env.Emit(env.Event{Kind: evRetention, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{int64(n), bytes, l.start.Load()}})
	if e, changed := l.epochs.Load().truncateStart(l.start.Load()); changed {
		return l.storeEpochs(e)
	}
	return nil
}

// publishStart tells of a new log start, and leaves the end as it is known: an append may be waiting for its sync.
func (l *Log) publishStart() {
	l.measure()
	l.unstable.Store(l.firstUnstable(l.hw.Load()))
}

// suffixDeleted marks a file that is going to be removed. Open removes those that it finds.
const suffixDeleted = ".deleted"

// retire takes the names of a segment's files away: they are renamed, to be removed later, or removed where nobody
// does that later, or at once is asked for. It returns what is left to remove. The log itself goes first, so that what
// a crash leaves are indexes without a log, which Open removes.
func (l *Log) retire(g *segment) (later []string, err error) {
	delayed := l.doom != nil && l.config.Load().FileDeleteDelay > 0
	for _, suffix := range []string{suffixLog, suffixIndex, suffixTime, suffixTxn, suffixSnapshot} {
		name := fileName(g.dir, g.base, suffix)
		if delayed {
			err = g.fs.Rename(name, name+suffixDeleted)
		} else {
			err = g.fs.Remove(name)
		}
		switch {
		case errors.Is(err, env.ErrNotExist):
		case err != nil:
			return nil, err
		case delayed:
			later = append(later, name+suffixDeleted)
		}
	}
	return later, nil
}

// rollAfter is how long a segment is written: segment.ms less a part of segment.jitter.ms.
//
// DEVIATION(KAFKA-2143): Kafka draws the part from a random number generator, we from the partition and the offset.
func (l *Log) rollAfter(g *segment, cfg *config.Topic) time.Duration {
	if cfg.SegmentJitter <= 0 {
		return cfg.Segment
	}
	if !g.jittered { // asked for with each append, and always the same
		g.jitter, g.jittered = crc32.ChecksumIEEE([]byte(fileName(l.path, g.base, ""))), true
	}
	return cfg.Segment - time.Duration(int64(g.jitter)*int64(time.Millisecond))%min(cfg.SegmentJitter, cfg.Segment)
}
