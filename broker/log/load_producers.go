package log

import (
	"io"
	"math"
	"slices"

	"barnabas/broker/bug"
	"barnabas/broker/env"
)

// reloadProducers sets the producers' state to what it was when the log ended at end: from the newest snapshot not
// above it, and the batches behind that. Snapshots above end are removed. The transaction indexes are made again from
// offset rebuild on, if that is below end; the snapshot is then one that is not above it.
//
// Source: UnifiedLog#rebuildProducerState, ProducerStateManager#truncateAndReload.
func (l *Log) reloadProducers(end, rebuild int64) error {
	if err := l.removeSnapshots(func(offset int64) bool { return offset > end }); err != nil {
		return err
	}
	offsets, err := l.snapshots()
	if err != nil {
		return err
	}
	l.producers = newProducers(l.segments[0].base)
	for _, offset := range slices.Backward(offsets) {
		if offset > rebuild {
			continue
		}
		ps, err := l.readSnapshot(offset)
		if err != nil {
			return err
		}
		if ps != nil {
			if err := l.forgetCleaned(ps); err != nil {
				return err
			}
			l.producers = ps
			break
		}
	}
	if rebuild < math.MaxInt64 {
		if err := l.cutAborted(min(rebuild, end)); err != nil {
			return err
		}
	}
	if l.bugs.Has(bug.ProducerStateDropped) {
		l.producers = newProducers(end)
	}
	return l.replayProducers(end, rebuild)
}

// readSnapshot reads one snapshot. One that makes no sense is removed, and nil.
func (l *Log) readSnapshot(offset int64) (*producers, error) {
	name := fileName(l.path, offset, suffixSnapshot)
	data, err := env.ReadFile(l.env, name, smallFile)
	if err != nil {
		return nil, l.fail("read producer snapshot", err)
	}
	ps, err := parseSnapshot(data, offset, l.env.Mono())
	if err == nil {
		return ps, nil
	}
	l.env.Emit(env.Event{Kind: evSnapshot, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{offset}, Text: err.Error()})
	return nil, l.wrapIO("remove producer snapshot", l.env.Remove(name))
}

// replayProducers takes the batches from the state's end up to end into it.
func (l *Log) replayProducers(end, rebuild int64) error {
	for i := l.segmentFor(l.producers.end); i < len(l.segments) && l.producers.end < end; i++ {
		if err := l.replaySegment(l.segments[i], rebuild); err != nil {
			return l.wrapIO("replay producers", err)
		}
	}
	l.producers.end = end
	return nil
}

func (l *Log) replaySegment(g *segment, rebuild int64) error {
	pos := int64(0)
	if l.producers.end > g.base {
		if err := l.ensureIndexed(g); err != nil {
			return err
		}
		at, _, err := g.locate(l.producers.end, l.interval())
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		pos = at
	}
	s, now := newScanner(g.file, pos, g.size, walkWindow), l.env.Mono()
	defer s.done()
	for ; ; s.next() {
		b, err := s.header()
		if err == nil && b.IsControl() {
			b, err = s.batch()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !b.HasProducerID() {
			continue
		}
		c := l.producers.change()
		if err := c.add(b, b.BaseOffset(), believe); err != nil {
			return err
		}
		for _, t := range l.producers.commit(c, b.NextOffset(), now) {
			if t.LastOffset >= rebuild {
				if err := g.aborted.append(t); err != nil {
					return err
				}
			}
		}
	}
}
