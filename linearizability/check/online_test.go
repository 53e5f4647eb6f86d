package check_test

import (
	"runtime"
	"slices"
	"testing"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

// online judges a history's operations in the order in which they returned.
func online(h *history.History, facts int) *check.Violation {
	o := check.NewOnline(h.Header.Topics, facts)
	ops := slices.Clone(h.Ops)
	slices.SortStableFunc(ops, func(a, b history.Op) int { return int(a.Return - b.Return) })
	for _, op := range ops {
		o.Op(op)
	}
	return o.First()
}

// Goal: what can be seen while a history grows is seen, under the gate's own name, and a sound history is never accused,
// however little is remembered. Method: the gate's sound histories and its planted anomalies.
func TestOnlineSeesWhatOneOperationShows(t *testing.T) {
	for seed := range uint64(200) {
		l := load{seed: seed, ops: 400, clients: 1 + int(seed%20), partitions: 1 + int(seed%3), unknown: float64(seed%11) / 10,
			failed: float64(seed%5) / 20, acks: [...]int16{-1, -1, 1, 0}[seed%4], batch: 1 + int(seed%4), readEvery: 2 + int(seed%4), gaps: seed%2 == 0}
		for _, facts := range []int{0, 10} {
			if v := online(l.make(), facts); v != nil {
				t.Fatalf("%+v: %v", l, v)
			}
		}
	}
	seen := map[string]bool{}
	for id, plant := range plants {
		h := sound()
		plant(h)
		if v := online(h, 0); v != nil {
			judged := check.Judge(h, check.Options{ViolationsMax: 1000}).Violations
			lost := id == check.NoLostWrite && v.Invariant == check.NoSkip // while it runs, what is lost is passed over
			if !lost && !slices.ContainsFunc(judged, func(j check.Violation) bool { return j.Invariant == v.Invariant }) {
				t.Errorf("%s planted: it says %v, the gate %v", id, v, judged)
			}
			seen[id] = true
		}
	}
	for name, c := range txnPlants { // what is seen of transactions is seen under the gate's name, too
		h := soundTxns(11, 900)
		if v := online(h, 0); v != nil {
			t.Fatalf("sound transactions: %v", v)
		}
		c.plant(t, h)
		v := online(h, 0)
		if v == nil {
			continue
		}
		judged := check.Judge(h, check.Options{ViolationsMax: 1000}).Violations
		if !slices.ContainsFunc(judged, func(j check.Violation) bool { return j.Invariant == v.Invariant }) {
			t.Errorf("%s: it says %v, the gate %v", name, v, judged)
		}
		seen[v.Invariant] = true
	}
	back := sound() // between two polls of one process
	first := pick(back, reads(2))
	again := *first
	again.ID, again.Call, again.Return = 9999, first.Return+1, first.Return+2
	again.Process = 95
	before := again
	before.ID, before.Call, before.Return = 9998, first.Return, first.Return
	back.Ops = append(back.Ops, before, again)
	if v := online(back, 0); v == nil || v.Invariant != check.PollMonotonic || v.Anomaly != "nonmonotonic-poll" {
		t.Errorf("a consumer that went back: %v", v)
	}
	for _, id := range []string{check.OffsetStable, check.NoDuplicate, check.NoSkip, check.PollMonotonic, check.ReadBelowHW, check.ReadBelowLSO, check.WatermarkOrder} {
		if !seen[id] {
			t.Errorf("%s was planted and not seen", id)
		}
	}
}

// Goal: memory is bounded by what is to be remembered, not by the history. Method: a million operations.
func TestOnlineMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("a million operations")
	}
	o := check.NewOnline([]history.Topic{history.Promised("t", 1)}, 1000)
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	var before uint64
	for i := range int64(1_000_000) {
		op := history.NewOp(history.Produce, "t", 0)
		op.ID, op.Outcome, op.Acks, op.Offset, op.Records = i, history.OK, -1, i, []history.Record{{Value: i + 1}}
		o.Op(op)
		if i == 10_000 {
			before = inUse()
		}
	}
	if after := inUse(); o.First() != nil || after > before+8<<20 {
		t.Errorf("%v; %d bytes after ten thousand operations, %d after a million", o.First(), before, after)
	}
	runtime.KeepAlive(o)
}
