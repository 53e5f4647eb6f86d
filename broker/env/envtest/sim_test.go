package envtest_test

import (
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/env/envtest"
	"barnabas/sim/cluster"
)

// Goal: the simulated world does what package env says, under any scheduling. Method: the conformance suite that
// broker/osenv passes too, for many seeds.
func TestSimulatedWorldConforms(t *testing.T) {
	for _, c := range envtest.Env() {
		t.Run(c.Name, func(t *testing.T) {
			for seed := range uint64(30) {
				var err error
				cluster.Test(t, seed, func(e env.Env) {
					if err = e.MkdirAll("/data"); err == nil {
						err = c.Run(e, ":0", "/data")
					}
				})
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}
