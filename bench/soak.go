package bench

import (
	"context"
	"math"
	"sort"
	"time"

	"barnabas/reports/load"
)

// SoakOptions are what a soak needs.
type SoakOptions struct {
	Options
	For   time.Duration
	Limit float64 // a figure may get worse by this share an hour; 0: 0.05
}

// Soak runs one load for a long time, in one repetition, and looks for drift: latency, CPU per GB, memory or throughput
// that moves. The error tells of drift for the worse beyond the limit; the run is there all the same.
func Soak(ctx context.Context, w *Workload, o SoakOptions) (*load.Run, error) {
	if w.Load.Mode == "none" {
		return nil, unfit("workload %s: a soak needs producers; load.mode is none", w.Name)
	}
	long := *w
	long.Phases.Measure = Duration(o.For)
	long.Phases.Repetitions = 1
	long.Phases.Interval = max(Duration(100*time.Millisecond), min(long.Phases.Interval, long.Phases.Measure/40), long.Phases.Measure/2000)
	run, err := Run(ctx, &long, o.Options)
	if err != nil || len(run.Repetitions) == 0 {
		return run, err
	}
	if o.Limit == 0 {
		o.Limit = 0.05
	}
	run.Drift = drift(&run.Repetitions[0], o.Limit)
	return run, nil
}

// driftFigures are what a soak watches; of gives 0 where an interval says nothing.
var driftFigures = []struct {
	name string
	less bool // is better
	of   func(load.Interval) float64
}{
	{"p50 µs", true, func(i load.Interval) float64 { return float64(latencyOf(i).At(50)) }},
	{"p99 µs", true, func(i load.Interval) float64 { return float64(latencyOf(i).At(99)) }},
	{"produced MB/s", false, func(i load.Interval) float64 { return i.Produced.MBs() }},
	{"broker CPU s/GB", true, func(i load.Interval) float64 {
		gb := (i.Produced.MBs() + i.Consumed.MBs()) / 1e3
		if gb == 0 {
			return 0
		}
		return i.BrokerCPU / gb
	}},
	{"broker RSS MB", true, func(i load.Interval) float64 { return float64(i.BrokerRSS) / 1e6 }},
}

// drift looks for a trend in each figure over the intervals of a repetition.
func drift(r *load.Repetition, limit float64) []load.Drift {
	var all []load.Drift
	for _, f := range driftFigures {
		var hours, values []float64
		for _, i := range r.Intervals {
			if v := f.of(i); v > 0 {
				hours, values = append(hours, (i.At+i.Seconds/2)/3600), append(values, v)
			}
		}
		if len(values) < 8 {
			continue
		}
		quarter := len(values) / 4
		d := load.Drift{Figure: f.name, First: middle(values[:quarter]), Last: middle(values[len(values)-quarter:])}
		d.PerHour = slope(hours, values) / middle(values)
		d.Trend = math.Abs(mannKendall(values)) > 1.96
		worse := d.PerHour
		if !f.less {
			worse = -worse
		}
		if r.Mode == "open" && f.name == "produced MB/s" {
			worse = 0 // the schedule's
		}
		d.Exceeded = d.Trend && worse > limit
		all = append(all, d)
	}
	return all
}

// pointsMax bounds the pairs that a slope is taken over; more points are thinned evenly.
const pointsMax = 400

// slope is Theil and Sen's: the median of the slopes between all pairs, which single wild intervals do not move.
func slope(x, y []float64) float64 {
	step := (len(x) + pointsMax - 1) / pointsMax
	var slopes []float64
	for i := 0; i < len(x); i += step {
		for j := i + step; j < len(x); j += step {
			if x[j] != x[i] {
				slopes = append(slopes, (y[j]-y[i])/(x[j]-x[i]))
			}
		}
	}
	sort.Float64s(slopes)
	return middle(slopes)
}

// mannKendall is the test's z: how many pairs rise more than fall, over what chance would give. Beyond ± 1.96 there is a
// trend with 95 % confidence.
func mannKendall(y []float64) float64 {
	s := 0
	for i := range y {
		for j := i + 1; j < len(y); j++ {
			switch {
			case y[j] > y[i]:
				s++
			case y[j] < y[i]:
				s--
			}
		}
	}
	n := float64(len(y))
	deviation := math.Sqrt(n * (n - 1) * (2*n + 5) / 18)
	switch {
	case s > 0:
		return float64(s-1) / deviation
	case s < 0:
		return float64(s+1) / deviation
	}
	return 0
}
