package quota

import (
	"time"

	"barnabas/broker/env"
)

// Windows are the samples of which a rate is made: quota.window.num and quota.window.size.seconds, and the same of other quotas.
type Windows struct {
	Num    int
	Length time.Duration
}

// DefaultWindows are Kafka's: the running second and ten before it.
var DefaultWindows = Windows{Num: 11, Length: time.Second}

// span is the time of all windows.
func (w Windows) span() time.Duration { return time.Duration(w.Num) * w.Length }

// sample is what was recorded in one window.
type sample struct {
	begin env.Instant
	value float64
	used  bool
}

// Rate is a value per second over the last windows. Not safe for use by many tasks.
//
// The time that it divides by is never less than all windows but the present one: a burst after a rest is spread over as much time
// as a steady flow is. Worked example with 11 windows of a second: 50 MB recorded in the first instant are 5 MB/s for ten seconds.
//
// Source: Rate, SampledStat, WindowedSum.
type Rate struct {
	windows Windows
	samples []sample
	current int
}

// NewRate makes a rate of nothing.
func NewRate(w Windows) *Rate { return &Rate{windows: w, samples: make([]sample, w.Num)} }

// Record adds value at the time now, which never goes back.
func (r *Rate) Record(value float64, now env.Instant) {
	s := &r.samples[r.current]
	if !s.used {
		*s = sample{begin: now, used: true}
	} else if now.Sub(s.begin) >= r.windows.Length {
		r.current = (r.current + 1) % len(r.samples)
		s = &r.samples[r.current]
		*s = sample{begin: now, used: true}
	}
	s.value += value
}

// Measure is the rate at the time now, and the time over which it is taken.
func (r *Rate) Measure(now env.Instant) (perSecond float64, over time.Duration) {
	total, oldest := 0.0, now
	for i := range r.samples {
		s := &r.samples[i]
		if !s.used {
			continue
		}
		if now.Sub(s.begin) >= r.windows.span() {
			*s = sample{}
			continue
		}
		total += s.value
		oldest = min(oldest, s.begin)
	}
	over = now.Sub(oldest)
	if full := int(over / r.windows.Length); full < r.windows.Num-1 {
		over += time.Duration(r.windows.Num-1-full) * r.windows.Length
	}
	over = max(over, time.Millisecond) // a single window that has just begun
	return total / over.Seconds(), over
}

// Excess is how long nothing must be recorded for the rate to come down to the bound: 0 if it is not above it.
//
// Worked example: 15 MB/s over 10 s with a bound of 10 MB/s: 150 MB need 15 s at the bound, so 5 s.
// Source: QuotaUtils#throttleTime.
func (r *Rate) Excess(bound float64, now env.Instant) time.Duration {
	rate, over := r.Measure(now)
	if rate <= bound {
		return 0
	}
	if bound <= 0 {
		return over
	}
	return time.Duration((rate - bound) / bound * float64(over))
}

// Idle reports whether nothing is left of what was recorded.
func (r *Rate) Idle(now env.Instant) bool {
	rate, _ := r.Measure(now)
	return rate == 0
}
