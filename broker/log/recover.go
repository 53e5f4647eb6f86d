package log

import (
	"errors"
	"fmt"
	"io"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	evRecover = env.NewKind("log-recovered", env.Info, "from", "end", "batches", "bytes")
	evCut     = env.NewKind("log-cut", env.Warn, "end", "bytes", "segments")
)

// Recovery says what Open had to do to a log.
type Recovery struct {
	Clean          bool  // the last stop was clean, and nothing was verified
	From           int64 // the offset from which batches were verified
	End            int64 // LogEndOffset afterwards
	Batches        int64 // verified
	Bytes          int64 // verified
	CutBytes       int64 // removed behind the last good batch, later segments included
	CutSegments    int   // later segments removed
	CutReason      string
	IndexesRebuilt int // missing or corrupt, besides those that recovery always makes again
}

// report tells what recovery did.
func (l *Log) report(r Recovery) {
	l.env.Emit(env.Event{Kind: evRecover, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{r.From, r.End, r.Batches, r.Bytes}})
	if r.CutBytes > 0 || r.CutSegments > 0 {
		l.env.Emit(env.Event{Kind: evCut, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{r.End, r.CutBytes, int64(r.CutSegments)}, Text: r.CutReason})
	}
}

// recover verifies every batch from the recovery point on: it must be whole, its CRC right, and its offsets must go
// up. At the first that is not, the log is cut, and everything behind goes: what follows a hole cannot be a log. The
// indexes from there on are made again, and leader epochs that the checkpoint lost are learned.
//
// Inside a segment offsets need not be contiguous, because compaction leaves gaps, and what is lost there leaves a hole
// of zeroes. But each segment must begin where the one before ends: of two that were not synced, a power loss may keep
// the later one alone. What the cleaner writes keeps to that, and is synced before it counts; Kafka's does not, so
// below the offset up to which a cleaner has been, a gap is one.
//
// Source: LogLoader#recoverLog, LogSegment#recover.
func (l *Log) recover(from int64, rewrite bool, r *Recovery) error {
	first := l.segmentFor(from)
	r.From = max(from, l.segments[first].base)
	next := l.segments[first].base
	e := *l.epochs.Load()
	for i := first; i < len(l.segments); i++ {
		g := l.segments[i]
		if g.base != next && !(g.base > next && g.base <= l.cleaned.Load()) {
			markRecoveryFindsASegmentMissing.Hit()
			r.CutReason = fmt.Sprintf("segment %d does not begin at %d, where the one before ends", g.base, next)
			if err := l.cutRecovered(i-1, l.segments[i-1].size, r); err != nil {
				return err
			}
			break
		}
		v := verifier{log: l, segment: g, next: g.base, epochs: e, report: r, rewrite: rewrite}
		good, err := v.run(from)
		if err != nil {
			return l.fail("recover", err)
		}
		next, e = v.next, v.epochs
		if good < g.size {
			markRecoveryCuts.Hit()
			if err := l.cutRecovered(i, good, r); err != nil {
				return err
			}
			break
		}
	}
	l.end = next
	// A truncation may have been interrupted between the cut and its sync: then the cut is what we saw, and what comes
	// back after a power loss is the old batches. New ones must not be written before that is settled; nor into a
	// segment whose name is not durable yet.
	err := l.active().file.Sync()
	if err == nil {
		err = l.env.SyncDir(l.path)
	}
	if err != nil {
		return l.fail("recover", err)
	}
	if len(e) != len(*l.epochs.Load()) || e.latest() != l.epochs.Load().latest() {
		markRecoveryLearnsEpochs.Hit()
		return l.storeEpochs(e)
	}
	return nil
}

// cutRecovered removes the segments behind i and cuts that at size, durably. The last goes first: a crash leaves a log
// that is cut the same way again.
func (l *Log) cutRecovered(i int, size int64, r *Recovery) error {
	for last := len(l.segments) - 1; last > i; last-- {
		r.CutBytes += l.segments[last].size
		r.CutSegments++
		if err := l.drop(last); err != nil {
			return err
		}
	}
	g := l.segments[i]
	r.CutBytes += g.size - size
	err := g.file.Truncate(size)
	if err == nil {
		err = g.file.Sync()
	}
	g.size = size
	return l.wrapIO("recover", err)
}

// verifier recovers one segment.
type verifier struct {
	log     *Log
	segment *segment
	next    int64 // offset that the next batch must not be below
	epochs  epochs
	report  *Recovery
	rewrite bool         // what is good is written over itself
	head    record.Batch // room for a header
}

// run verifies the batches from the one that holds offset from, or all, and makes the indexes. It returns the size of
// what is good.
func (v *verifier) run(from int64) (int64, error) {
	g, interval := v.segment, v.log.interval()
	pos, err := v.begin(from)
	if err != nil {
		return 0, err
	}
	s := newScanner(g.file, pos, g.size, recoverWindow)
	for {
		b, err := v.whole(&s)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = v.judge(b)
		}
		if err != nil && !errors.Is(err, record.ErrPartial) && !isBad(err) {
			return 0, err
		}
		if errors.Is(err, kerr.UnsupportedForMessageFormat) && v.legacy(&s) {
			return 0, fmt.Errorf("segment %d at position %d: %w", g.base, s.pos, err) // not ours to throw away
		}
		if err != nil {
			v.report.CutReason = fmt.Sprintf("segment %d at position %d: %v", g.base, s.pos, err)
			break
		}
		if err := g.note(b, s.pos, interval); err != nil {
			return 0, err
		}
		if b.LeaderEpoch() >= 0 && b.LeaderEpoch() > v.epochs.latest() {
			v.epochs, _ = v.epochs.assign(b.LeaderEpoch(), b.BaseOffset())
		}
		v.next = b.NextOffset()
		v.report.Batches++
		v.report.Bytes += s.size
		s.next()
	}
	if g != v.log.active() {
		err = g.seal()
	} else if err = g.places.write(); err == nil {
		err = g.times.write()
	}
	if v.rewrite && err == nil {
		err = g.rewrite(pos, s.pos)
	}
	return s.pos, err
}

// whole checks the batch at the scanner's position and returns its header. However large the batch is, or, being
// damaged, says it is, it passes through the scanner's window piece by piece: so recovery needs no more memory than
// recoveryTasks windows.
func (v *verifier) whole(s *scanner) (record.Batch, error) {
	h, err := s.header()
	if err != nil {
		return nil, err
	}
	h = append(v.head[:0], h...)
	v.head = h
	at, size := s.pos, s.size
	defer func() { s.pos, s.size = at, size }()
	err = h.CheckParts(func(take func([]byte)) error {
		for s.pos = at + record.HeaderSize; s.pos < at+size; {
			p, err := s.bytes(min(at+size-s.pos, recoverWindow))
			if err != nil {
				return err
			}
			take(p)
			s.pos += int64(len(p))
		}
		return nil
	})
	if v.log.bugs.Has(bug.TornTailAccepted) && isBad(err) {
		err = nil
	}
	return h, err
}

// legacy says that a message of an older format is at the scanner's position.
func (v *verifier) legacy(s *scanner) bool {
	p, err := s.bytes(min(s.end-s.pos, recoverWindow))
	return err == nil && record.IsLegacy(p)
}

// judge is what recovery asks of a batch beyond its being whole.
func (v *verifier) judge(b record.Batch) error {
	if b.BaseOffset() < v.next {
		markJudgeCorruptMessage.Hit()
		return fmt.Errorf("batch begins at %d, %d was next: %w", b.BaseOffset(), v.next, kerr.CorruptMessage)
	}
	// The epochs are durable before the batches are written, so a later epoch at this offset means that the batch was
	// cut, and has come back.
	if epoch := v.epochs.at(b.BaseOffset()); b.LeaderEpoch() >= 0 && b.LeaderEpoch() < epoch {
		markJudgeCorruptMessage2.Hit()
		return fmt.Errorf("batch at %d is of leader epoch %d, the checkpoint says %d: %w", b.BaseOffset(), b.LeaderEpoch(), epoch, kerr.CorruptMessage)
	}
	return nil
}

// begin finds where to start: the last indexed batch before the recovery point, if the index can be trusted up to
// there (it was synced with the log), else the segment's start. The indexes keep only what is before.
func (v *verifier) begin(from int64) (pos int64, err error) {
	g := v.segment
	found := false
	if from > g.base {
		err = g.places.load()
		if err == nil {
			err = g.times.load()
		}
		if err == nil {
			pos, found, err = v.resume(from)
		}
	}
	switch {
	case err == nil && found:
		return pos, nil
	case err != nil && !errors.Is(err, errIndex) && !isBad(err):
		return 0, err
	case err != nil && g.size > v.log.interval(): // a smaller segment has no entries to lose
		v.report.IndexesRebuilt++
		v.log.emitIndex(g)
	}
	g.places.reset()
	g.times.reset()
	g.sinceEntry, g.firstTime, g.maxTime, g.maxTimeKnown = 0, -1, -1, true
	return 0, nil
}

// resume keeps the index entries of batches that end below from, and stands on the batch of the last of them. found is
// false when there is none.
func (v *verifier) resume(from int64) (pos int64, found bool, err error) {
	g := v.segment
	last, n, err := g.places.floorKey(from - g.base - 1)
	if err != nil || n < 0 {
		return 0, false, err
	}
	if last.value >= g.size {
		return 0, false, errIndex
	}
	s := newScanner(g.file, 0, g.size, walkWindow)
	defer s.done()
	b, err := s.header()
	if err != nil {
		return 0, false, err
	}
	firstTime := b.MaxTimestamp()
	s.pos = last.value
	if b, err = s.header(); err != nil {
		return 0, false, err
	}
	if b.LastOffset() != last.key+g.base || b.BaseOffset() < g.base {
		markIndexOfBatchesThatWereCut.Hit()
		return 0, false, errIndex // an entry of batches that were cut, say, whose own cut was not synced
	}
	base := b.BaseOffset()
	if err := g.places.truncate(n + 1); err != nil {
		return 0, false, err
	}
	_, n, err = g.times.floor(func(e entry) bool { return e.value <= last.key })
	if err == nil {
		err = g.times.truncate(n + 1)
	}
	if err != nil {
		return 0, false, err
	}
	g.firstTime, g.maxTime, g.maxTimeAt, g.maxTimeKnown = firstTime, -1, 0, true
	if t, ok := g.times.last(); ok {
		g.maxTime, g.maxTimeAt = t.key, t.value+g.base
	}
	g.sinceEntry = 0 // the batch here is verified again, but its entry is in the index
	v.next = base
	return last.value, true, nil
}
