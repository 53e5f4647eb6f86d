package coordinator_test

import (
	"testing"
	"time"

	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/sim/cluster"
)

// Goal: a promise is kept once, wakes all who wait, and leaves nobody waiting past a deadline or a cancellation. Method: short stories in
// many worlds.
func TestPromise(t *testing.T) {
	for seed := range uint64(20) {
		cluster.Test(t, seed, func(e env.Env) {
			p := coordinator.NewPromise[int](e)
			if p.WaitUntil(e.Mono().Add(time.Second)) || p.Done() {
				t.Error("nobody has kept it")
			}
			waiters := env.NewGroup(e)
			for range 3 {
				waiters.Go("waiter", func() {
					if !p.Wait() || p.Value() != 7 {
						t.Errorf("value %d", p.Value())
					}
				})
			}
			e.Sleep(time.Millisecond)
			p.Set(7)
			p.Set(8)
			p.Cancel()
			waiters.Wait()
			if !p.Done() || p.Value() != 7 {
				t.Errorf("value %d: the first counts", p.Value())
			}

			gone := coordinator.NewPromise[int](e)
			waiters.Go("waiter", func() {
				if gone.Wait() {
					t.Error("a promise that was cancelled is kept")
				}
			})
			gone.Cancel()
			gone.Set(1)
			waiters.Wait()
			if gone.Value() != 0 {
				t.Errorf("value %d after the cancellation", gone.Value())
			}
		})
	}
}
