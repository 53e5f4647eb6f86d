package models_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
	"barnabas/linearizability/models"
)

// offsetWorld makes a small sound history of one committed offset: some clients commit ever further, some ask. Each has its
// effect at one moment between call and return, or, of unknown end, at any moment after the call or never; a commit that comes
// too late, behind a further one, never happens.
func offsetWorld(r *rand.Rand) *history.History {
	h := &history.History{Header: history.Header{Topics: []history.Topic{history.Promised("t", 1)}}}
	type pending struct {
		op     history.Op
		effect int64
	}
	var ops []pending
	offset := int64(0)
	for i := range 4 + r.IntN(8) {
		op := history.NewOp(history.OffsetFetch, "t", 0)
		op.Group, op.Process, op.Outcome = "g", int32(i), history.OK
		op.Call = 2 * r.Int64N(60)
		effect := op.Call + 2*r.Int64N(8)
		op.Return = effect + 2*r.Int64N(8) + 1
		if r.IntN(2) == 0 {
			op.Kind = history.Commit
			if r.IntN(4) == 0 {
				op.Outcome = history.Unknown
				if effect += 2 * r.Int64N(20); r.IntN(2) == 0 {
					effect = -1
				}
			}
		}
		ops = append(ops, pending{op, effect})
	}
	slices.SortStableFunc(ops, func(a, b pending) int { return int(a.effect - b.effect) })
	at := history.None
	for i := range ops {
		p := &ops[i]
		switch {
		case p.op.Kind == history.OffsetFetch:
			p.op.Offset = at
		case p.effect < 0:
			p.op.Offset = offset + r.Int64N(12)
		default:
			offset += r.Int64N(4)
			p.op.Offset, at = offset, offset
		}
	}
	slices.SortStableFunc(ops, func(a, b pending) int { return int(a.op.Call - b.op.Call) })
	for i := range ops {
		ops[i].op.ID = int64(i) + 1
		h.Ops = append(h.Ops, ops[i].op)
	}
	return h
}

func mutateOffset(r *rand.Rand, h *history.History) {
	op := &h.Ops[r.IntN(len(h.Ops))]
	switch r.IntN(4) {
	case 0:
		op.Call = max(0, op.Call+2*(r.Int64N(30)-15))
		op.Return = max(op.Return, op.Call+1)
	case 1:
		op.Return = max(op.Call+1, op.Return+2*(r.Int64N(30)-15))
	case 2:
		op.Offset = max(0, op.Offset+r.Int64N(5)-2)
	case 3:
		if op.Kind == history.Commit {
			op.Outcome = [...]history.Outcome{history.OK, history.Unknown, history.Failed}[r.IntN(3)]
		}
	}
}

// keepsOn tells whether nobody commits less than what was certainly committed, or told to be, before: what gate and model rely on.
func keepsOn(h *history.History) bool {
	for i := range h.Ops {
		for j := range h.Ops {
			a, b := &h.Ops[i], &h.Ops[j]
			if a.Kind == history.Commit && a.Outcome != history.Failed && b.Outcome == history.OK && b.Offset > a.Offset && b.Return < a.Call {
				return false
			}
		}
	}
	return true
}

// Goal: the gate judges committed offsets as the model of a register that never goes back does. Method: small histories, most of
// them mutated, judged by both. A time-out is a failure.
func TestGateAgreesWithModelOfCommittedOffsets(t *testing.T) {
	duel{
		stream: 11, world: offsetWorld, mutate: mutateOffset, mutations: 5, stands: keepsOn, options: check.Options{DrainOptional: true},
		invariants: []string{check.OffsetKept, check.OffsetKnown},
		model: func(h *history.History) porcupine.CheckResult {
			return models.CommittedOffset(h, "g", "t", 0, 20*time.Second)
		},
	}.fight(t)
}
