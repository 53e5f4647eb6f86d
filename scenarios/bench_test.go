package scenarios

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"barnabas/reports"
)

// BenchmarkTwoCores is how much faster two cores go through seeds than one: worlds share nothing but the heap.
func BenchmarkTwoCores(b *testing.B) {
	if runtime.NumCPU() < 2 {
		b.Skip("one core")
	}
	s := find(b, "leader-failover")
	const seeds = 16
	took := func(cores int) time.Duration {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		var next atomic.Uint64
		var wg sync.WaitGroup
		began := time.Now()
		for range cores {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for seed := next.Add(1); seed <= seeds; seed = next.Add(1) {
					if r := Run(Options{Scenario: s, Seed: seed}).Report; r.Verdict != reports.Pass {
						b.Errorf("\n%s", describe(r))
					}
				}
			}()
		}
		wg.Wait()
		return time.Since(began)
	}
	var one, two time.Duration
	for b.Loop() {
		one += took(1)
		two += took(2)
	}
	b.ReportMetric(one.Seconds()/two.Seconds(), "times-one-core")
}
