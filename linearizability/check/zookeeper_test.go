package check_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

// soundZK is a history of sessions with one ZooKeeper: each operation has its effect at one moment between call and return, or,
// of unknown end, at some moment after its call or never.
func soundZK(seed uint64) *history.History {
	r := rand.New(rand.NewPCG(seed, 13))
	type pending struct {
		op     history.Op
		effect int64
	}
	var list []pending
	value := int64(0)
	for session := range 3 {
		now := r.Int64N(10)
		for range 40 {
			op := history.NewOp([]history.Kind{history.ZKCreate, history.ZKSet, history.ZKSet, history.ZKDelete, history.ZKRead, history.ZKRead, history.ZKRead, history.ZKSync}[r.IntN(8)],
				fmt.Sprintf("/n%d", r.IntN(3)), 0)
			op.Process, op.Outcome = -1-int32(session), history.OK
			op.Call = now + 1 + r.Int64N(10)
			effect := op.Call + r.Int64N(10)
			op.Return = effect + r.Int64N(10)
			now = op.Return
			if op.Kind == history.ZKCreate || op.Kind == history.ZKSet {
				value++
				op.Records = []history.Record{{Offset: history.None, Value: value, Sum: 1}}
			}
			if r.IntN(10) == 0 {
				if op.Outcome = history.Unknown; r.IntN(2) == 0 {
					effect = -1
				} else {
					effect += r.Int64N(60)
				}
			}
			list = append(list, pending{op, effect})
		}
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(list[a].effect - list[b].effect) })
	zxid := int64(100)
	tree := map[string]history.Record{}
	for _, i := range order {
		if list[i].effect < 0 {
			continue
		}
		op := &list[i].op
		_, there := tree[op.Topic]
		switch {
		case op.Kind == history.ZKRead:
			if op.Outcome == history.OK && there {
				op.Records = []history.Record{tree[op.Topic]}
			}
		case op.Kind == history.ZKSync:
		case (op.Kind == history.ZKCreate) == there:
			if op.Outcome == history.OK {
				op.Outcome = history.Failed
			}
		default:
			zxid++
			if delete(tree, op.Topic); op.Kind != history.ZKDelete {
				rec := op.Records[0]
				rec.Offset = zxid
				tree[op.Topic] = rec
			}
		}
		if op.Outcome == history.OK {
			op.Offset = zxid
		}
	}
	h := &history.History{}
	for i := range list {
		list[i].op.ID = int64(i + 1)
		h.Ops = append(h.Ops, list[i].op)
	}
	return h
}

// zkPlants are anomalies of ZooKeeper.
var zkPlants = map[string]func(h *history.History){
	check.ZKOrder: func(h *history.History) { // two writes of one session change places
		a := pick(h, func(op *history.Op) bool { return op.Kind == history.ZKSet && op.Outcome == history.OK })
		b := pick(h, func(op *history.Op) bool {
			return op.Kind == history.ZKSet && op.Outcome == history.OK && op.Process == a.Process && op.Call > a.Return
		})
		a.Offset, b.Offset = b.Offset, a.Offset
	},
	check.ZKRead: func(h *history.History) { // an older value
		r := pick(h, func(op *history.Op) bool { return op.Kind == history.ZKRead && len(op.Records) > 0 })
		old := slices.IndexFunc(h.Ops, func(op history.Op) bool {
			return op.Kind == history.ZKSet && op.Outcome == history.OK && op.Topic == r.Topic && op.Offset < r.Records[0].Offset
		})
		r.Records = []history.Record{{Offset: h.Ops[old].Offset, Value: h.Ops[old].Records[0].Value, Sum: 1}}
	},
	check.ZKSession: func(h *history.History) { // a sync that knows of nothing
		s := pick(h, func(op *history.Op) bool { return op.Kind == history.ZKSync && op.Outcome == history.OK })
		s.Offset = 100
	},
}

// Goal: sound sessions pass, and what is planted into them is found by its name.
func TestZooKeeper(t *testing.T) {
	for seed := range uint64(500) {
		if v := check.Judge(soundZK(seed), check.Options{}); !v.OK {
			t.Fatalf("seed %d: %v %v", seed, v.Unknown, v.Violations)
		}
	}
	for id, plant := range zkPlants {
		h := soundZK(3)
		plant(h)
		v := check.Judge(h, check.Options{})
		if i := slices.IndexFunc(v.Violations, func(x check.Violation) bool { return x.Invariant == id }); i < 0 || len(v.Violations[i].Lines()) == 0 || v.Violations[i].Anomaly == "" {
			t.Errorf("%s: %v %v", id, v.Unknown, v.Violations)
		} else {
			t.Log(v.Violations[i])
		}
	}
}

// Goal: a read at a later zxid than that of a write that somebody was promised must show it. Method: the last acked write of a
// path is left out of every read after it.
func TestZooKeeperLostWrite(t *testing.T) {
	found := 0
	for seed := range uint64(50) {
		h := soundZK(seed)
		w := pick(h, func(op *history.Op) bool { return op.Kind == history.ZKSet && op.Outcome == history.OK })
		hurt := false
		for i := range h.Ops {
			if op := &h.Ops[i]; op.Kind == history.ZKRead && len(op.Records) > 0 && op.Records[0].Value == w.Records[0].Value {
				op.Records, hurt = nil, true
			}
		}
		unknown := slices.ContainsFunc(h.Ops, func(op history.Op) bool {
			return op.Kind == history.ZKDelete && op.Outcome == history.Unknown && op.Topic == w.Topic
		})
		if v := check.Judge(h, check.Options{}); hurt && !unknown {
			if found++; v.OK {
				t.Errorf("seed %d: not seen", seed)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d trials", found)
	}
}
