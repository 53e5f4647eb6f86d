package scenarios

import (
	"cmp"
	"math"
	"slices"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/faults"
	"barnabas/faults/nemesis"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios/workload"
)

const (
	// probeEvery is the time between two records of a partition's probe, and so the resolution of what is measured.
	probeEvery = 10 * time.Millisecond
	// probedMax is how many partitions have a probe.
	probedMax = min(8, workload.ProbesMax)

	// What is promised of a partition's unavailability: at the 99th percentile while its leader hands over, and beyond
	// the session's time-out when its leader was killed.
	handOverMax = 100 * time.Millisecond
	killBeyond  = 200 * time.Millisecond
	// settleMax is how long after a broker has stopped its clients may still not have found the new leader.
	settleMax = 500 * time.Millisecond
)

type troubleKind uint8

const (
	shutDown troubleKind = iota
	kill
)

func (k troubleKind) String() string { return [...]string{"controlled shutdown", "kill -9"}[k&1] }

// trouble is a stretch of time in which a broker went away.
type trouble struct {
	kind     troubleKind
	broker   int32
	from, to env.Instant
}

// acks are the writes to each partition, in the order they were recorded.
type acks [][]write

// write is one attempt to write to a partition.
type write struct {
	call, end env.Instant
	acked     bool
	waiting   env.Instant // the earliest call of what ended then or later
}

func (a *acks) add(op history.Op) {
	if op.Kind != history.Produce {
		return
	}
	for len(*a) <= int(op.Partition) {
		*a = append(*a, nil)
	}
	(*a)[op.Partition] = append((*a)[op.Partition], write{call: env.Instant(op.Call), end: env.Instant(op.Return), acked: op.Outcome == history.OK})
}

// sort puts each partition's writes in the order of their ends, and finds out since when somebody was waiting.
func (a acks) sort() {
	for _, writes := range a {
		slices.SortFunc(writes, func(x, y write) int { return cmp.Compare(x.end, y.end) })
		waiting := env.Never
		for i := len(writes) - 1; i >= 0; i-- {
			waiting = min(waiting, writes[i].call)
			writes[i].waiting = waiting
		}
	}
}

// longestGap is the longest time within [from, to] in which records waited and none was acked; the first gap begins with the last ack
// before from. A gap begins when somebody asks: while nobody does, as when the probes' own machine sleeps, no partition is unavailable.
// ok is false if nothing was acked after from: the end of the gap is then not known.
//
//	ack        call        ack
//	 |  nobody  |----gap----|
func longestGap(writes []write, from, to env.Instant) (gap time.Duration, began env.Instant, ok bool) {
	i, _ := slices.BinarySearchFunc(writes, from, func(w write, from env.Instant) int { return cmp.Compare(w.end, from) })
	last := i - 1
	for last >= 0 && !writes[last].acked {
		last--
	}
	if last < 0 {
		return 0, 0, false // nothing before: the load had not begun
	}
	for i = last + 1; i < len(writes) && writes[last].end < to; i++ {
		if !writes[i].acked {
			continue
		}
		since := max(writes[last].end, writes[last+1].waiting)
		if d := writes[i].end.Sub(since); d > gap {
			gap, began = d, since
		}
		last, ok = i, true
	}
	return gap, began, ok
}

// measure tells how long partitions could not be written to while brokers went away. A trouble that another, or a
// fault, overlaps says nothing of itself and is left out.
func (r *realRun) measure() []reports.Measure {
	if len(r.acks) == 0 || r.mains[workload.ProbeName(0)] == nil {
		return nil
	}
	r.acks.sort()
	gaps := map[troubleKind][]time.Duration{}
	asked := map[troubleKind]bool{}
	for i, t := range r.troubles {
		asked[t.kind] = true
		if t.to == env.Never || r.disturbed(i) {
			continue
		}
		to := t.to
		if t.kind == shutDown {
			to = to.Add(settleMax)
		}
		for p := range min(len(r.acks), probedMax) {
			if gap, began, ok := longestGap(r.acks[p], t.from, to); ok {
				gaps[t.kind] = append(gaps[t.kind], gap)
				r.say("measured: broker %d gone from %.3fs to %.3fs (%s): partition %d without acks for %.1fms from %.3fs on", t.broker, time.Duration(t.from).Seconds(),
					time.Duration(t.to).Seconds(), t.kind, p, float64(gap)/1e6, time.Duration(began).Seconds())
			}
		}
	}
	var out []reports.Measure
	if asked[shutDown] {
		out = append(out, summary("a partition's unavailability, controlled shutdown", gaps[shutDown], handOverMax, false))
	}
	if asked[kill] {
		out = append(out, summary("a partition's unavailability, kill -9", gaps[kill], r.session()+killBeyond, true))
	}
	if len(out) > 0 {
		out = append(out, summary("for comparison, with nothing going on", r.quietGaps(), 0, false))
	}
	return out
}

// quietGaps are the longest times without acks in stretches in which nothing goes wrong, as long as one around a controlled
// shutdown: what the machine and the probes alone do.
func (r *realRun) quietGaps() (gaps []time.Duration) {
	const stretch = settleMax + 200*time.Millisecond
	number := len(r.troubles)
	for from := r.playedFrom.Add(time.Second); from.Add(stretch) < r.healAt; from = from.Add(stretch) {
		r.troubles = append(r.troubles[:number], trouble{kind: shutDown, from: from, to: from.Add(stretch)})
		if r.disturbed(number) {
			continue
		}
		for p := range min(len(r.acks), probedMax) {
			if gap, _, ok := longestGap(r.acks[p], from, from.Add(stretch)); ok {
				gaps = append(gaps, gap)
			}
		}
	}
	r.troubles = r.troubles[:number]
	return gaps
}

// disturbed tells whether anything else went wrong around the trouble.
func (r *realRun) disturbed(number int) bool {
	t := r.troubles[number]
	overlaps := func(from, to env.Instant) bool { return from < t.to.Add(settleMax) && t.from < to.Add(settleMax) }
	for i, o := range r.troubles {
		if i != number && overlaps(o.from, o.to) {
			return true
		}
	}
	for _, e := range r.nemesis.Timeline() {
		// Faults that kill are troubles themselves; this one may be t.
		if e.Status == nemesis.Applied && !(t.kind == kill && e.Start <= t.from && t.from.Sub(e.Start) < settleMax && e.Fault.Kind.Lasts() && int32(e.Fault.Node) == t.broker) && overlaps(e.Start, e.End) {
			return true
		}
	}
	return false
}

// measureRestarts makes rolling-restart of the real world one that measures: longer, in two rounds of controlled shutdowns and
// then one of kill -9 in turn, with every record acked by all and idempotent, and without other faults.
func measureRestarts(p *Plan) {
	p.Load.Acks, p.Load.Idempotent = client.AcksAll, true
	p.Load.SeekEvery = 0 // who reads a growing log again and again takes the machine from what is measured
	p.HealAt = p.Faults.Start + 60*time.Second
	p.Faults.End, p.Faults.Weights = p.HealAt, [faults.KindCount]int{}
	p.downAfterKill = 6 * time.Second // until everything that the kill leads to is over
	p.betweenRestarts = time.Second
	p.Operators = []func(*operator){func(o *operator) { restartAll(o, func(round int) bool { return round%3 == 2 }) }}
}

// summary sums times up.
func summary(name string, times []time.Duration, limit time.Duration, ofMax bool) reports.Measure {
	m := reports.Measure{Name: name, Samples: len(times), Limit: limit, OfMax: ofMax}
	if len(times) == 0 {
		return m
	}
	slices.Sort(times)
	m.P50, m.Max = times[len(times)/2], times[len(times)-1]
	m.P99 = times[max(0, int(math.Ceil(0.99*float64(len(times))))-1)]
	return m
}
