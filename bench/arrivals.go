package bench

import (
	"math/rand/v2"
)

// arrivals gives the intended times of records, in ns from the start: a schedule that knows nothing of how the cluster
// does. Constant ones are computed from their number, so that no error adds up.
type arrivals struct {
	gap     float64 // ns, on average
	n       float64
	at      float64
	poisson *rand.Rand
}

func newArrivals(kind string, rate float64, r *rand.Rand) *arrivals {
	a := &arrivals{gap: 1e9 / rate}
	if kind == "poisson" {
		a.poisson = r
	}
	return a
}

func (a *arrivals) next() int64 {
	if a.poisson != nil {
		a.at += a.poisson.ExpFloat64() * a.gap
		return int64(a.at)
	}
	a.n++
	return int64(a.n * a.gap)
}
