package bench

import (
	"math"
	"sort"

	"barnabas/reports/load"
)

const (
	backThroughput = 0.9 // of the median before the fault
	backLatency    = 2.0 // times the median p99 before it
	backMargin     = 1.25
	goodInRow      = 3
	lateTimes      = 10 // a record that took so many times the p99 from before was late
)

// faultCost reads what the first fault of a repetition cost from its intervals; nil when there was none, or nothing before
// it to compare with.
//
// Recovered is when three intervals in a row begin to be good, counted from the fault: an interval is bad when less than
// nine tenths of what went through before did, or when its p99 was over twice the median from before and over the worst of the
// half before the fault by a quarter. Latencies are filed under the interval in which records came through, so a backlog that is worked off
// late still counts as not recovered.
func faultCost(r *load.Repetition) *load.FaultCost {
	at, heal := -1.0, -1.0
	for _, e := range r.Events {
		if e.Kind == "fault" && at < 0 {
			at = e.At
		}
		if e.Kind == "heal" && heal < 0 {
			heal = e.At
		}
	}
	if at < 0 {
		return nil
	}
	var rates, p99s []float64
	for _, i := range r.Intervals {
		if i.At+i.Seconds <= at {
			rates = append(rates, i.Produced.Rate())
			p99s = append(p99s, float64(latencyOf(i).At(99)))
		}
	}
	if len(rates) == 0 {
		return nil
	}
	cost := &load.FaultCost{At: at, Before: middle(p99s)}
	rate := middle(rates)
	limit := backLatency * cost.Before
	for _, p99 := range p99s[len(p99s)/2:] {
		limit = math.Max(limit, backMargin*p99)
	}
	silent, late, all := 0.0, int64(0), int64(0)
	cost.Recovered = -1
	good := 0
	for _, i := range r.Intervals {
		cost.Failed += i.Errors
		if i.At+i.Seconds <= at {
			continue
		}
		h := latencyOf(i)
		all += h.Count()
		cost.Worst = math.Max(cost.Worst, float64(h.At(100)))
		for _, bar := range h.Bars() {
			if float64(bar.From) > lateTimes*cost.Before {
				late += bar.Count
			}
		}
		if i.Produced.Records == 0 {
			silent += i.Seconds
			cost.Silent = math.Max(cost.Silent, silent)
		} else {
			silent = 0
		}
		bad := h.Count() == 0 || r.Mode == "open" && float64(h.At(99)) > limit || i.Produced.Rate() < backThroughput*rate
		if good++; bad {
			good = 0
		}
		if good == goodInRow && cost.Recovered < 0 {
			cost.Recovered = math.Max(0, i.At-(goodInRow-1)*i.Seconds-at)
		}
	}
	if all > 0 {
		cost.LostBudget = float64(late) / float64(all)
	}
	return cost
}

func latencyOf(i load.Interval) *load.Histogram {
	if i.EndToEnd.Count() > 0 {
		return i.EndToEnd
	}
	return i.Produce
}

func middle(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	if n := len(s); n == 0 {
		return 0
	} else if n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
