package bench

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"barnabas/reports/load"
)

// meter counts what one side (all producers, or the consumers) did within the measured stretch.
type meter struct {
	from, to atomic.Int64 // the stretch, clock ns; to 0: not begun

	mu      sync.Mutex
	flow    load.Flow // all of the stretch
	part    load.Flow // since the last cut
	latency *load.Histogram
	current *load.Histogram
	errors  map[string]int64
	failed  int64
}

func newMeter() *meter {
	return &meter{latency: load.NewLatency(), current: load.NewLatency(), errors: map[string]int64{}}
}

// begin sets the stretch and forgets what was before.
func (m *meter) begin(from, to int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flow, m.part, m.failed = load.Flow{}, load.Flow{}, 0
	m.latency.Reset()
	m.current.Reset()
	clear(m.errors)
	m.from.Store(from)
	m.to.Store(to)
}

// add counts one record: its bytes when it came through within the stretch, its latency when it was meant for it. A
// record that was meant for the stretch but came later, because of a stall, so still counts in the latency.
func (m *meter) add(intended, now int64, bytes int) {
	from, to := m.from.Load(), m.to.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if now >= from && now < to {
		m.flow.Records++
		m.flow.Bytes += int64(bytes)
		m.part.Records++
		m.part.Bytes += int64(bytes)
	}
	if intended >= from && intended < to {
		m.current.Record((now - intended + 999) / 1000)
	}
}

// fail counts an error.
func (m *meter) fail(err error) {
	m.mu.Lock()
	m.errors[err.Error()]++
	m.failed++
	m.mu.Unlock()
}

// cut ends an interval.
func (m *meter) cut(seconds float64) (load.Flow, *load.Histogram, int64) {
	fresh := load.NewLatency()
	m.mu.Lock()
	part, latency, failed := m.part, m.current, m.failed
	m.part, m.current, m.failed = load.Flow{}, fresh, 0
	m.latency.Add(latency)
	m.mu.Unlock()
	part.Seconds = seconds
	return part, latency, failed
}

// count is how many records that were meant for the stretch have come through.
func (m *meter) count() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latency.Count() + m.current.Count()
}

// total is the whole stretch; the last interval must have been cut.
func (m *meter) total(seconds float64) (load.Flow, *load.Histogram) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latency.Add(m.current)
	m.current.Reset()
	f := m.flow
	f.Seconds = seconds
	all := load.NewLatency()
	all.Add(m.latency)
	return f, all
}

func (m *meter) errorCounts() []load.ErrorCount {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []load.ErrorCount
	for text, n := range m.errors {
		list = append(list, load.ErrorCount{Error: text, Count: n})
	}
	sort.Slice(list, func(i, j int) bool {
		return list[i].Count > list[j].Count || list[i].Count == list[j].Count && list[i].Error < list[j].Error
	})
	return list
}

// timing is how long one kind of request took, by interval and in all.
type timing struct {
	mu      sync.Mutex
	current *load.Histogram
	sum     *load.Histogram
}

func newTiming() *timing { return &timing{current: load.NewLatency(), sum: load.NewLatency()} }

// reset forgets what was before the measured stretch.
func (t *timing) reset() {
	t.mu.Lock()
	t.current.Reset()
	t.sum.Reset()
	t.mu.Unlock()
}

func (t *timing) record(took time.Duration) {
	t.mu.Lock()
	t.current.Record(int64((took + time.Microsecond - 1) / time.Microsecond))
	t.mu.Unlock()
}

// cut ends an interval.
func (t *timing) cut() *load.Histogram {
	fresh := load.NewLatency()
	t.mu.Lock()
	defer t.mu.Unlock()
	part := t.current
	t.current = fresh
	t.sum.Add(part)
	return part
}

// total is everything since reset.
func (t *timing) total() *load.Histogram {
	t.cut()
	t.mu.Lock()
	defer t.mu.Unlock()
	all := load.NewLatency()
	all.Add(t.sum)
	return all
}
