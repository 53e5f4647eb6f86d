package models_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/check"
	"barnabas/linearizability/models"
)

// Goal: the differential test can fail: a gate with a slip in it disagrees with the naive model. Method: mutants of the
// gate over mutated histories, until one disagrees.
func TestMutatedGateDisagreesWithTheModel(t *testing.T) {
	for _, mutant := range []string{check.MutantReadsBoundNothing, check.MutantSkipOne, check.MutantLastReadCounts, check.MutantAcksAreClaims, check.MutantUnknownFailed} {
		t.Run(mutant, func(t *testing.T) {
			for seed := range uint64(20000) {
				r := rand.New(rand.NewPCG(seed, 7))
				h := world(r, 2+r.IntN(3), 2+r.IntN(3), false)
				for range 1 + r.IntN(5) {
					mutate(r, h)
				}
				for i := range h.Ops {
					h.Ops[i].Process = int32(i)
				}
				weak := check.Judge(h, check.Options{Mutant: mutant})
				if weak.OK == check.Judge(h, check.Options{}).OK {
					continue // no need to ask the model
				}
				if naive := models.Naive(h, "t", 0, 20*time.Second); (naive == porcupine.Ok) != weak.OK && naive != porcupine.Unknown {
					t.Logf("seen at history %d", seed)
					return
				}
			}
			t.Error("nobody saw it")
		})
	}
}
