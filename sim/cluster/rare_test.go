package cluster_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
)

var rareTested = env.NewRare("tested")

// Goal: a rare point strikes in some worlds, always at the same moments for the same seed, and never where rare things
// are off. Method: one task that asks again and again.
func TestRareThingsFollowTheSeed(t *testing.T) {
	strikes := func(seed uint64, on bool) (at []int) {
		w := cluster.New(cluster.Options{Seed: seed, Rare: on})
		defer w.Close()
		w.AddNode("n", func(e env.Env) {
			for i := range 10_000 {
				if rareTested.Strikes(e) {
					at = append(at, i)
				}
			}
		})
		w.Start("n")
		w.RunFor(time.Second)
		return at
	}
	worlds, most := 0, 0
	for seed := range uint64(100) {
		a, b := strikes(seed, true), strikes(seed, true)
		if len(a) != len(b) || len(a) > 0 && a[0] != b[0] {
			t.Fatalf("seed %d: %v and %v", seed, a, b)
		}
		if len(a) > 0 {
			worlds++
		}
		most = max(most, len(a))
		if off := strikes(seed, false); len(off) > 0 {
			t.Fatalf("seed %d: struck %v though off", seed, off)
		}
	}
	if worlds < 12 || worlds > 40 || most < 200 {
		t.Errorf("in %d worlds of 100, at most %d times in 10,000", worlds, most)
	}
	if rareTested.Strikes("no env") {
		t.Error("it strikes where there is no luck")
	}
}
