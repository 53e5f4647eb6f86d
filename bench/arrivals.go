package bench

import (
	"math"
	"math/rand/v2"
	"time"
)

// arrivals gives the intended times of records, in ns from the start: a schedule that knows nothing of how the cluster
// does. The number of records due by t is a function N(t) known before the run; a record comes when N passes the next
// whole number, or with Poisson arrivals the next of a unit-rate process, so that no error adds up.
type arrivals struct {
	rate    rate
	due     float64 // records so far, in units of N
	poisson *rand.Rand
}

// rate is how many records a second: from until the ramp begins, then evenly towards to, then to.
type rate struct {
	from, to    float64 // records/s
	begin, over float64 // of the ramp, s from the start
}

func newArrivals(kind string, r rate, random *rand.Rand) *arrivals {
	a := &arrivals{rate: r}
	if kind == "poisson" {
		a.poisson = random
	}
	return a
}

func (a *arrivals) next() int64 {
	if a.poisson != nil {
		a.due += a.poisson.ExpFloat64()
	} else {
		a.due++
	}
	return int64(a.rate.when(a.due) * 1e9)
}

// when is the inverse of N, in seconds. On the ramp N(t) = from·t + (to − from)·t²/(2·over), a quadratic in t.
func (r rate) when(n float64) float64 {
	if r.from == r.to {
		return n / r.from
	}
	before := r.from * r.begin
	if n <= before {
		return n / r.from
	}
	n -= before
	on := (r.from + r.to) / 2 * r.over
	if n >= on {
		return r.begin + r.over + (n-on)/r.to
	}
	slope := (r.to - r.from) / r.over
	return r.begin + (math.Sqrt(r.from*r.from+2*slope*n)-r.from)/slope
}

// gap is the time between records where there are most.
func (r rate) gap() time.Duration { return time.Duration(1e9 / max(r.from, r.to)) }

func constant(perSecond float64) rate { return rate{from: perSecond, to: perSecond} }
