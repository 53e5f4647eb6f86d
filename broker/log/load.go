package log

import (
	"errors"
	"io"
	"math"
	"path"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

var (
	evIndex    = env.NewKind("log-index-rebuilt", env.Warn, "base", "bytes")
	evSnapshot = env.NewKind("log-snapshot-corrupt", env.Warn, "offset")
)

func (l *Log) emitIndex(g *segment) {
	l.env.Emit(env.Event{Kind: evIndex, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{g.base, g.size}})
}

// Open opens the log, making it if there is none, and recovers it unless the last stop was clean.
//
// Errors: INCONSISTENT_TOPIC_ID, and KAFKA_STORAGE_ERROR.
//
// Source: LogLoader#load.
func Open(e env.Env, o Options) (*Log, Recovery, error) {
	l := &Log{env: e, tp: o.TP, path: path.Join(o.Dir, o.TP.String()), bugs: o.Bugs, health: o.health, producerExpiration: o.ProducerIDExpiration, mu: e.NewMutex()}
	if o.future != "" {
		l.path, l.copying = path.Join(o.Dir, o.future), true
	}
	l.synced = e.NewCond(l.mu)
	if l.producerExpiration <= 0 {
		l.producerExpiration = 24 * time.Hour
	}
	if l.health == nil {
		l.health = newHealth(e, o.Dir)
		if o.OnFailure != nil {
			tell := func(_ string, err error) { o.OnFailure(err) }
			l.health.listen.Store(&tell)
		}
	}
	l.SetConfig(o.Config)
	l.epochs.Store(&epochs{})
	l.mu.Lock()
	defer l.unlock()
	r, err := l.load(o)
	if err != nil {
		l.closeFiles()
		return nil, r, err
	}
	return l, r, nil
}

func (l *Log) load(o Options) (Recovery, error) {
	if err := l.usable(); err != nil {
		return Recovery{}, err
	}
	l.cleaned.Store(o.Cleaned)
	files, created, err := l.openDir()
	if err == nil && o.foreign {
		var renewed bool
		if renewed, err = l.renew(files); renewed && err == nil {
			files, created, err = l.openDir()
		}
	}
	if err != nil {
		return Recovery{}, l.fail("open", err)
	}
	l.homeless = created
	if isUnborn(o, files) {
		l.unborn, created = true, true
	}
	if l.homeless && !(l.unborn && o.dirLater) {
		if err := l.house(); err != nil {
			return Recovery{}, l.fail("create", err)
		}
	}
	if err := l.checkTopicID(o.TopicID, created); err != nil {
		return Recovery{}, err
	}
	if err := l.openSegments(files, max(o.StartOffset, 0)); err != nil {
		return Recovery{}, l.fail("open segments", err)
	}
	l.start.Store(max(o.StartOffset, l.segments[0].base))
	l.producers = newProducers(0)
	if !l.unborn {
		if err := l.loadEpochs(); err != nil {
			return Recovery{}, err
		}
	}
	if l.listed = files; files == nil {
		l.listed = []string{}
	}
	defer func() { l.listed = nil }()
	r := Recovery{Clean: true}
	trusted := int64(-1) // snapshots above are not
	if o.CleanShutdown || created {
		err = l.loadTail(&r)
	} else {
		r.Clean = false
		trusted = o.RecoveryPoint
		err = l.recover(o.RecoveryPoint, o.rewrite, &r)
	}
	if err != nil {
		return r, err
	}
	if err := l.trim(); err != nil {
		return r, err
	}
	if !r.Clean && trusted >= 0 {
		if err := l.removeSnapshots(func(offset int64) bool { return offset > trusted }); err != nil {
			return r, err
		}
	}
	rebuild := int64(math.MaxInt64)
	if !r.Clean {
		rebuild = r.From
	}
	if at, ok, err := l.checkAborted(files); err != nil {
		return r, l.fail("read transaction index", err)
	} else if !ok {
		r.IndexesRebuilt++
		rebuild = min(rebuild, at)
	}
	if err := l.reloadProducers(l.end, rebuild); err != nil {
		return r, err
	}
	if err := l.removeStrays(); err != nil {
		return r, err
	}
	l.listed = nil
	l.recoveryPoint.Store(min(o.RecoveryPoint, l.end))
	if r.Clean {
		l.recoveryPoint.Store(l.end)
	}
	l.indexes.Store(l.recoveryPoint.Load())
	if l.end < l.start.Load() { // a restart of the log at a later offset was interrupted; here it is finished
		markInterruptedRestartFinished.Hit()
		if err := l.restartAt(l.start.Load()); err != nil {
			return r, err
		}
	}
	l.publish()
	if r.Clean && !created && r.IndexesRebuilt == 0 {
		l.found = found{l.active(), l.end, l.generation.Load()}
	}
	r.End = l.end
	if !r.Clean {
		l.report(r)
	}
	return r, nil
}

// loadEpochs reads leader-epoch-checkpoint. Without it, what the batches say is learned again: it was there before the first of them.
func (l *Log) loadEpochs() error {
	name := path.Join(l.path, epochsFile)
	data, err := env.ReadFile(l.env, name, smallFile)
	if errors.Is(err, env.ErrNotExist) {
		if l.segments[0].size == 0 {
			return nil
		}
		l.emitCorrupt(name, err)
		return l.relearnEpochs()
	}
	if err != nil {
		return l.fail("read leader epochs", err)
	}
	e, err := parseEpochs(data)
	if err != nil {
		l.emitCorrupt(name, err)
		return l.relearnEpochs()
	}
	l.epochs.Store(&e)
	return nil
}

// relearnEpochs reads all batches' headers for their epochs, because the checkpoint cannot be read, or is not there.
func (l *Log) relearnEpochs() error {
	markEpochsRelearned.Hit()
	var e epochs
	for _, g := range l.segments {
		err := g.walk(0, func(b record.Batch, _ int64) error {
			e, _ = e.assign(max(b.LeaderEpoch(), 0), b.BaseOffset())
			return nil
		})
		if err != nil && isBad(err) {
			break // what recovery will cut, or has nobody read yet
		}
		if err != nil {
			return l.fail("read leader epochs", err)
		}
	}
	return l.storeEpochs(e)
}

// loadTail finds the end of a log that was closed cleanly, without reading what is before the last index entry.
func (l *Log) loadTail(r *Recovery) error {
	g := l.active()
	rebuilt, err := g.indexed(l.interval())
	if err == nil {
		if rebuilt {
			r.IndexesRebuilt++
			l.emitIndex(g)
		}
		err = g.resume(l.interval())
	}
	if err == nil {
		l.end, err = g.endOffset()
	}
	if last, ok := g.places.last(); err == nil && ok && last.key+g.base >= l.end {
		r.IndexesRebuilt++
		l.emitIndex(g)
		err = g.reindex(l.interval())
	}
	if err == nil {
		return nil
	}
	if !isBad(err) {
		return l.fail("open", err)
	}
	markCleanMarkerWasWrong.Hit()
	// The marker said clean, the bytes say otherwise: believe the bytes.
	r.Clean = false
	r.CutReason = cleanMarkerWrong
	return l.recover(g.base, false, r)
}

// endOffset is the offset behind the segment's last batch, found from the last index entry on.
func (g *segment) endOffset() (int64, error) {
	end, from := g.base, int64(0)
	if last, ok := g.places.last(); ok {
		from = last.value
	}
	err := g.walk(from, func(b record.Batch, _ int64) error {
		end = b.NextOffset()
		return nil
	})
	return end, err
}

// endBefore is the offset behind the last batch below position pos, which is a batch's or the end. An index that lied is made
// again.
func (g *segment) endBefore(pos, interval int64) (int64, error) {
	h, err := g.hintBelow(pos - 1)
	if err != nil || pos == 0 {
		return g.base, err
	}
	end, err := g.endFrom(h, pos)
	if errors.Is(err, errIndex) {
		if err := g.reindex(interval); err != nil {
			return 0, err
		}
		return g.endFrom(hint{0, -1}, pos)
	}
	return end, err
}

func (g *segment) endFrom(h hint, pos int64) (int64, error) {
	end := g.base
	s := newScanner(g.file, h.pos, pos, walkWindow)
	defer s.done()
	for ; ; s.next() {
		b, err := s.header()
		if err == io.EOF {
			return end, nil
		}
		if s.pos == h.pos && h.last >= 0 && (err != nil && isBad(err) || err == nil && b.LastOffset() > h.last) {
			return 0, errHint
		}
		if err != nil {
			return 0, err
		}
		end = b.NextOffset()
	}
}

// trim cuts what lies behind the log's end: leader epochs, and the recovered file's tail is cut already.
func (l *Log) trim() error {
	if e, changed := l.epochs.Load().truncateEnd(l.end); changed {
		l.deferEpochs(e)
	}
	if e, changed := l.epochs.Load().truncateStart(l.start.Load()); changed {
		return l.storeEpochs(e)
	}
	return nil
}
