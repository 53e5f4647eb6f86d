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

// Goal: nobody is told of a zxid before its write is called, and a sync covers what others have been told. Method: small histories by hand.
func TestZooKeeperKnowsNoFuture(t *testing.T) {
	op := func(session int32, kind history.Kind, path string, from, to, zxid int64) history.Op {
		op := history.NewOp(kind, path, 0)
		op.Process, op.Call, op.Return, op.Offset, op.Outcome = session, from, to, zxid, history.OK
		if kind == history.ZKCreate {
			op.Records = []history.Record{{Offset: history.None, Value: zxid, Sum: 1}}
		}
		return op
	}
	unknown := func(op history.Op) history.Op {
		op.Outcome, op.Offset = history.Unknown, history.None
		return op
	}
	finds := func(op history.Op, value int64) history.Op {
		op.Records = []history.Record{{Offset: value, Value: value, Sum: 1}}
		return op
	}
	const create, read, sync = history.ZKCreate, history.ZKRead, history.ZKSync
	for name, c := range map[string]struct {
		want string
		ops  []history.Op
	}{
		"in order":                      {"", []history.Op{op(1, create, "/a", 0, 5, 10), op(2, read, "/b", 6, 8, 10), op(1, create, "/b", 9, 12, 11)}},
		"while it is written":           {"", []history.Op{op(1, create, "/b", 7, 12, 11), op(2, read, "/a", 6, 8, 11)}},
		"of another's transaction":      {"", []history.Op{op(2, read, "/a", 6, 8, 11), op(1, create, "/b", 9, 12, 12)}},
		"told of what is not yet":       {check.ZKOrder, []history.Op{op(2, read, "/a", 6, 8, 11), op(1, create, "/b", 9, 12, 11)}},
		"far ahead":                     {check.ZKOrder, []history.Op{op(2, read, "/a", 6, 8, 90), op(1, create, "/b", 9, 12, 11)}},
		"of unknown end, and found":     {check.ZKOrder, []history.Op{op(2, read, "/a", 6, 8, 11), unknown(op(1, create, "/b", 9, 12, 11)), finds(op(3, read, "/b", 20, 21, 11), 11)}},
		"a sync after another's read":   {check.ZKSession, []history.Op{op(1, create, "/b", 0, 50, 11), op(2, read, "/a", 5, 8, 11), op(3, sync, "/a", 9, 10, 10), op(3, read, "/a", 11, 12, 10)}},
		"a sync while another reads":    {"", []history.Op{op(1, create, "/b", 0, 50, 11), op(2, read, "/a", 5, 9, 11), op(3, sync, "/a", 9, 10, 10), op(3, read, "/a", 11, 12, 10)}},
		"no sync, and an older answer":  {"", []history.Op{op(1, create, "/b", 0, 50, 11), op(2, read, "/a", 5, 8, 11), op(3, read, "/a", 11, 12, 10)}},
		"a sync, and what it has found": {"", []history.Op{op(1, create, "/b", 0, 50, 11), op(2, read, "/a", 5, 8, 11), op(3, sync, "/a", 9, 10, 11), op(3, read, "/a", 11, 12, 11)}},
	} {
		h := &history.History{Ops: c.ops}
		for i := range h.Ops {
			h.Ops[i].ID = int64(i + 1)
			if h.Ops[i].Kind == create && len(h.Ops[i].Records) > 0 {
				h.Ops[i].Records[0].Value = 11 + int64(i)*100
			}
		}
		for i := range h.Ops { // what is found is what was written to the path
			for k := range h.Ops {
				if h.Ops[i].Kind == read && len(h.Ops[i].Records) > 0 && h.Ops[k].Kind == create && h.Ops[k].Topic == h.Ops[i].Topic {
					h.Ops[i].Records[0].Value = h.Ops[k].Records[0].Value
				}
			}
		}
		v := check.Judge(h, check.Options{})
		got := ""
		if len(v.Violations) > 0 {
			got = v.Violations[0].Invariant
		}
		if got != c.want || len(v.Unknown) > 0 {
			t.Errorf("%s: %q, want %q: %v %v", name, got, c.want, v.Unknown, v.Violations)
		}
	}
}
