package log_test

import (
	"math"
	"slices"

	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/broker/wire"
)

// reconcile finds out what the crash left and takes it into the model.
func (r *modelRun) reconcile(tp wire.TopicPartition, l *log.Log) {
	m := r.logs[tp]
	r.did["reconciled"]++
	end := l.EndOffset()
	if m.starting >= 0 && end == m.starting && l.StartOffset() == end { // the restart happened
		m.restart(m.starting)
	}
	all := append(slices.Clone(m.batches), m.adding...)
	least := m.durable
	if !m.lossy {
		least = m.end
	}
	least = min(least, m.cutting)
	if m.starting >= 0 {
		least = 0
	}
	kept := 0
	for kept < len(all) && all[kept].next <= end {
		kept++
	}
	lastEnd := m.start
	if kept > 0 {
		lastEnd = all[kept-1].next
	}
	if m.cutting < math.MaxInt64 { // least is in the middle of a batch, maybe
		for _, b := range all {
			if b.base < least && b.next > least {
				least = b.base
			}
		}
	}
	if end < least {
		r.fatal("%s lost what was durable: ends at %d, at least %d; %+v", tp, end, least, m)
	}
	if lastEnd != end && end == l.StartOffset() { // the log was restarted
		all, kept, lastEnd = nil, 0, end
	}
	if lastEnd != end {
		r.fatal("%s ends at %d, batches end at %d; %+v", tp, end, lastEnd, m)
	}
	m.batches, m.end = all[:kept], end
	m.start = min(max(m.start, l.StartOffset()), end)
	if m.advancing < 0 && m.starting < 0 && l.StartOffset() > m.start {
		r.fatal("%s starts at %d, model at %d", tp, l.StartOffset(), m.start)
	}
	m.durable = min(m.durable, end)
	if r.clean {
		m.durable = end
	}
	m.durable = max(m.durable, min(l.RecoveryPoint(), end))
	m.adding, m.cutting, m.starting, m.advancing = nil, math.MaxInt64, -1, -1
	m.start, m.lossy = l.StartOffset(), false
	r.compare(l, m)
	r.checkProducers(l, m)
}

// compare reads everything and looks at everything.
func (r *modelRun) compare(l *log.Log, m *modelLog) {
	if l.EndOffset() != m.end || l.StartOffset() < m.start {
		r.fatal("log is [%d, %d), model [%d, %d)", l.StartOffset(), l.EndOffset(), m.start, m.end)
	}
	var got []string
	for next := l.StartOffset(); ; {
		s, err := l.Read(next, int32(1+r.rand.IntN(2000)), math.MaxInt64, true)
		r.must(err)
		data, err := s.Bytes()
		s.Release()
		r.must(err)
		if len(data) == 0 {
			break
		}
		got = append(got, r.names(data, &next)...)
	}
	var want []string
	for _, b := range m.batches {
		if b.next > l.StartOffset() {
			want = append(want, b.String())
			if epoch := l.EpochAt(max(b.base, l.StartOffset())); epoch != b.epoch {
				r.fatal("epoch at %d is %d, want %d: %v", b.base, epoch, b.epoch, l.Epochs())
			}
		}
	}
	if !slices.Equal(got, want) {
		r.fatal("log holds\n%v\nmodel\n%v", got, want)
	}
	for _, entry := range l.Epochs() {
		if entry.StartOffset > l.EndOffset() {
			r.fatal("epoch %+v begins behind the end %d", entry, l.EndOffset())
		}
	}
}

// names are the batches in bytes.
func (r *modelRun) names(data []byte, next *int64) (out []string) {
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		r.must(err)
		r.must(b.Check())
		it := record.NewIterator(b, 0)
		it.Next()
		r.must(it.Err())
		out = append(out, modelBatch{base: b.BaseOffset(), next: b.NextOffset(), epoch: b.LeaderEpoch(), name: string(it.Record().Key)}.String())
		*next = b.NextOffset()
		data = rest
	}
	return out
}

// checkProducers sends the last batch of a producer again: the log must know it.
func (r *modelRun) checkProducers(l *log.Log, m *modelLog) {
	for i := len(m.batches) - 1; i >= 0; i-- {
		b := m.batches[i]
		if b.producer < 0 || b.base < l.StartOffset() {
			continue
		}
		info, err := l.AppendAsLeader(r.bytes(b), max(m.epoch, l.LatestEpoch()), log.AppendOptions{})
		r.must(err)
		if !info.Duplicate || info.FirstOffset != b.base || info.LastOffset != b.next-1 {
			r.fatal("the last batch of producer %d, %v, is not known: %+v", b.producer, b, info)
		}
		r.did["duplicate"]++
		return
	}
}

// read reads from anywhere, and now and then holds the slice for later.
func (r *modelRun) read(l *log.Log, tp wire.TopicPartition, m *modelLog) {
	r.did["read"]++
	if len(r.held) > 0 && r.rand.IntN(2) == 0 {
		i := r.rand.IntN(len(r.held))
		h := r.held[i]
		r.held = slices.Delete(r.held, i, i+1)
		data, err := h.slice.Bytes()
		h.slice.Release()
		if err != nil {
			r.did["slice cut"]++
			return // cut meanwhile
		}
		var next int64
		if got := r.names(data, &next); !slices.Equal(got, h.want) {
			r.fatal("a held slice has %v, had %v", got, h.want)
		}
		return
	}
	if m.end == l.StartOffset() {
		return
	}
	from := l.StartOffset() + r.rand.Int64N(m.end-l.StartOffset())
	upper := from + 1 + r.rand.Int64N(30)
	s, err := l.Read(from, int32(r.rand.IntN(3000)), upper, r.rand.IntN(2) == 0)
	r.must(err)
	data, err := s.Bytes()
	r.must(err)
	var next int64
	got := r.names(data, &next)
	var want []string
	for _, b := range m.batches {
		if b.next > from && b.next <= upper && len(want) < len(got) {
			want = append(want, b.String())
		}
	}
	if !slices.Equal(got, want) || len(data) != int(s.Len) {
		r.fatal("read [%d, %d): %v, want %v", from, upper, got, want)
	}
	if len(got) > 0 && r.rand.IntN(3) == 0 {
		r.held = append(r.held, heldSlice{s, tp, got})
		return
	}
	s.Release()
}
