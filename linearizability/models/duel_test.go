package models_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

// duel holds the gate's verdict on some invariants against a model's, over small histories of which most are mutated.
type duel struct {
	stream     uint64
	world      func(*rand.Rand) *history.History  // a sound history
	mutate     func(*rand.Rand, *history.History) // damages it, or only seems to
	mutations  int                                // fewer than so many of these
	stands     func(*history.History) bool        // false for a history that could not have come about; it may mend it
	options    check.Options
	invariants []string // of the gate, that together say what the model says
	model      func(*history.History) porcupine.CheckResult
}

// fight fails the test when the two disagree, when one has no verdict, and when nearly all histories were sound, or broken.
func (d duel) fight(t *testing.T) {
	histories := 20000
	if testing.Short() {
		histories = 500
	}
	sound, broken := 0, 0
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, d.stream))
		h := d.world(r)
		mutations := r.IntN(d.mutations)
		for range mutations {
			d.mutate(r, h)
		}
		if !d.stands(h) {
			continue
		}
		v := check.Judge(h, d.options)
		if len(v.Unknown) > 0 {
			t.Fatalf("seed %d: no verdict: %v", seed, v.Unknown)
		}
		want := porcupine.Ok
		if slices.ContainsFunc(v.Violations, func(x check.Violation) bool { return slices.Contains(d.invariants, x.Invariant) }) {
			want = porcupine.Illegal
			broken++
		} else {
			sound++
		}
		if got := d.model(h); got != want || mutations == 0 && want != porcupine.Ok {
			for _, viol := range v.Violations {
				t.Log(viol)
			}
			var text bytes.Buffer
			history.Write(&text, h)
			t.Fatalf("seed %d, %d mutations: gate %v, model %v\n%s", seed, mutations, want, got, text.String())
		}
	}
	if sound < histories/10 || broken < histories/10 {
		t.Fatalf("%d sound and %d broken histories: the test says nothing about one of them", sound, broken)
	}
	t.Logf("%d sound, %d broken", sound, broken)
}
