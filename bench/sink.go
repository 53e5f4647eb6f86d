package bench

import (
	"context"
	"time"

	"barnabas/reports/load"
)

// GeneratorSpeed is what the generator does without any cluster.
type GeneratorSpeed struct {
	PerSecond float64       // records made, sent to a sink and accounted for
	CPU       time.Duration // of one such record, which a busy machine does not change
	slip      *load.Histogram
}

// Slip is how late it was on its schedule at a percentile.
func (g GeneratorSpeed) Slip(percentile float64) time.Duration {
	return time.Duration(g.slip.At(percentile))
}

// Count is how many records the schedule had.
func (g GeneratorSpeed) Count() int64 { return g.slip.Count() }

// blackHole is a sink that answers at once.
type blackHole struct{}

func (blackHole) send(it *item) { it.promise(nil, nil) }

// MeasureGenerator runs the generator against a sink that answers at once: a schedule that is always late, so that it runs as fast as it
// can, and one of rate records a second. It takes d for each.
func MeasureGenerator(d time.Duration, rate float64) GeneratorSpeed {
	w := defaults()
	w.Records.Size, w.Producers.Buffer = 100, 64<<20
	run := func(rate float64) (*generator, float64) {
		g := newGenerator(newClock(), "sink", &w, []sink{blackHole{}})
		g.begin(0, 1<<62)
		ctx, stop := context.WithTimeout(context.Background(), d)
		defer stop()
		g.open(ctx, newArrivals("constant", constant(rate), nil), g.clock.now())
		seconds := float64(g.clock.now()) / 1e9
		flow, _ := g.acked.total(seconds)
		return g, flow.Rate()
	}
	began := cpuTime()
	g, fast := run(1e10)
	spent := cpuTime() - began
	slow, _ := run(rate)
	return GeneratorSpeed{PerSecond: fast, CPU: spent / time.Duration(max(1, g.acked.count())), slip: slow.slip}
}
