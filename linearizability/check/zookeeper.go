package check

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"barnabas/linearizability/history"
)

// ZooKeeper numbers its transactions, and says with each answer which was the last: of a write its own. So the writes sorted
// by zxid are the order in which the tree changed, and a read must show its node as the last write of it at or below the
// read's zxid left it. The zxids that one session is told do not go down, and after a sync they cover every write that had been
// answered before the sync was called, and every zxid that anybody had been told. Nor is a zxid told before its write is called.
//
// A write of unknown end takes its place when somebody has read its value, with its mzxid. A delete of unknown end leaves no
// trace: a node may be gone from its call on.

// zkWrite is a write that is known to have happened.
type zkWrite struct {
	op    int32
	zxid  int64
	value int64 // 0: deleted
}

// zkTree is what is known of the tree's history.
type zkTree struct {
	j       *judge
	ops     []int32 // of sessions
	writes  []zkWrite
	byPath  map[string][]zkWrite // ascending
	maybe   map[string]int64     // when the first delete of unknown end was called
	writers map[int64]int32      // value → its write
}

func (j *judge) checkZooKeeper() {
	t := &zkTree{j: j, byPath: map[string][]zkWrite{}, maybe: map[string]int64{}, writers: map[int64]int32{}}
	for i := range j.h.Ops {
		if j.h.Ops[i].Kind.OfZooKeeper() {
			t.ops = append(t.ops, int32(i))
		}
	}
	if len(t.ops) == 0 {
		return
	}
	t.gather()
	t.checkOrder()
	for _, i := range t.ops {
		if op := t.op(i); op.Kind == history.ZKRead && op.Outcome == history.OK {
			t.checkRead(i, op)
		}
	}
	t.checkSessions()
}

func (t *zkTree) op(i int32) *history.Op { return &t.j.h.Ops[i] }

// gather sorts the writes that have happened by zxid.
func (t *zkTree) gather() {
	for _, i := range t.ops {
		op := t.op(i)
		if len(op.Records) > 0 && op.Kind != history.ZKRead {
			t.writers[op.Records[0].Value] = i
		}
		switch {
		case op.Kind == history.ZKDelete && op.Outcome == history.Unknown:
			if at, ok := t.maybe[op.Topic]; !ok || op.Call < at {
				t.maybe[op.Topic] = op.Call
			}
		case op.Outcome != history.OK || op.Kind == history.ZKRead || op.Kind == history.ZKSync:
		case op.Kind == history.ZKDelete:
			t.writes = append(t.writes, zkWrite{op: i, zxid: op.Offset})
		default:
			t.writes = append(t.writes, zkWrite{op: i, zxid: op.Offset, value: op.Records[0].Value})
		}
	}
	proved := map[int64]bool{}
	for _, i := range t.ops {
		op := t.op(i)
		if op.Kind != history.ZKRead || op.Outcome != history.OK || len(op.Records) == 0 {
			continue
		}
		r := &op.Records[0]
		w, ok := t.writers[r.Value]
		if ok && t.op(w).Outcome == history.Unknown && t.op(w).Topic == op.Topic && !proved[r.Value] {
			proved[r.Value] = true
			t.writes = append(t.writes, zkWrite{op: w, zxid: r.Offset, value: r.Value})
		}
	}
	slices.SortStableFunc(t.writes, func(a, b zkWrite) int { return cmp64(a.zxid, b.zxid) })
	for _, w := range t.writes {
		t.byPath[t.op(w.op).Topic] = append(t.byPath[t.op(w.op).Topic], w)
	}
}

// checkOrder holds that no two writes have one zxid, and that none was called after anybody had been told of its zxid or a higher one.
func (t *zkTree) checkOrder() {
	var told []int32 // answers, ascending by zxid
	for _, i := range t.ops {
		if t.op(i).Outcome == history.OK {
			told = append(told, i)
		}
	}
	slices.SortStableFunc(told, func(a, b int32) int { return cmp64(t.op(a).Offset, t.op(b).Offset) })
	earliest := end{never, none}
	for k := len(t.writes) - 1; k >= 0; k-- {
		w := t.writes[k]
		op := t.op(w.op)
		for n := len(told); n > 0 && t.op(told[n-1]).Offset >= w.zxid; n-- {
			earliest.bring(t.op(told[n-1]).Return, told[n-1])
			told = told[:n-1]
		}
		if k > 0 && t.writes[k-1].zxid == w.zxid {
			t.j.violate(ZKOrder, fmt.Sprintf("operations %d and %d are both told to be transaction %#x", t.op(t.writes[k-1].op).ID, op.ID, w.zxid), t.writes[k-1].op, w.op)
		}
		if op.Call > earliest.at {
			t.j.violate(ZKOrder, fmt.Sprintf("operation %d was called after operation %d had been told of zxid %#x, and its transaction %#x is not after", op.ID, t.op(earliest.op).ID,
				t.op(earliest.op).Offset, w.zxid), w.op, earliest.op)
		}
	}
}

// checkRead holds a read to the tree as it was at its zxid.
func (t *zkTree) checkRead(i int32, op *history.Op) {
	list := t.byPath[op.Topic]
	at := sort.Search(len(list), func(k int) bool { return list[k].zxid > op.Offset })
	last := zkWrite{op: none}
	if at > 0 {
		last = list[at-1]
	}
	if len(op.Records) == 0 {
		if gone, ok := t.maybe[op.Topic]; last.value != 0 && !(ok && gone < op.Return) {
			t.j.violate(ZKRead, fmt.Sprintf("operation %d finds no node at zxid %#x, after operation %d wrote value %d in transaction %#x", op.ID, op.Offset,
				t.op(last.op).ID, last.value, last.zxid), last.op, i)
		}
		return
	}
	r := &op.Records[0]
	w, known := t.writers[r.Value]
	switch {
	case !known || t.op(w).Outcome == history.Failed || t.op(w).Call > op.Return || t.op(w).Topic != op.Topic:
		t.j.violate(ZKRead, fmt.Sprintf("operation %d reads value %d, which nobody had written there", op.ID, r.Value), i)
	case t.j.is(MutantOldReads):
	case last.value != r.Value || last.zxid != r.Offset:
		t.j.violate(ZKRead, fmt.Sprintf("operation %d reads value %d of transaction %#x at zxid %#x, where operation %s is the last", op.ID, r.Value, r.Offset, op.Offset, t.name(last)),
			w, last.op, i)
	}
}

func (t *zkTree) name(w zkWrite) string {
	if w.op == none {
		return "none"
	}
	return fmt.Sprintf("%d, a %s in transaction %#x,", t.op(w.op).ID, t.op(w.op).Kind, w.zxid)
}

// checkSessions holds that the zxids told to one session do not go down, and that what follows a sync knows of all that anybody had been
// told of before the sync.
func (t *zkTree) checkSessions() {
	var byReturn []zkWrite
	for _, i := range t.ops {
		if op := t.op(i); op.Outcome == history.OK {
			byReturn = append(byReturn, zkWrite{op: i, zxid: op.Offset})
		}
	}
	slices.SortStableFunc(byReturn, func(a, b zkWrite) int { return cmp64(t.op(a.op).Return, t.op(b.op).Return) })
	highest := make([]zkWrite, len(byReturn)+1) // of the first so many by their return
	highest[0] = zkWrite{op: none, zxid: math.MinInt64}
	for k, w := range byReturn {
		if highest[k+1] = highest[k]; w.zxid > highest[k].zxid {
			highest[k+1] = w
		}
	}
	last := map[int32]int32{}    // a session's last answer
	floor := map[int32]zkWrite{} // what it must know of since its last sync
	for _, i := range t.ops {
		op := t.op(i)
		if op.Outcome != history.OK {
			continue
		}
		if before, ok := last[op.Process]; ok && op.Offset < t.op(before).Offset {
			t.j.violate(ZKSession, fmt.Sprintf("session %d is told of zxid %#x by operation %d, after operation %d told it of %#x", op.Process, op.Offset, op.ID,
				t.op(before).ID, t.op(before).Offset), before, i)
		}
		if f, ok := floor[op.Process]; ok && f.op != none && op.Offset < f.zxid {
			t.j.violate(ZKSession, fmt.Sprintf("session %d has synced, and operation %d is of zxid %#x, before operation %d's transaction %#x", op.Process, op.ID, op.Offset,
				t.op(f.op).ID, f.zxid), f.op, i)
		}
		last[op.Process] = i
		if op.Kind == history.ZKSync {
			n := sort.Search(len(byReturn), func(k int) bool { return t.op(byReturn[k].op).Return >= op.Call })
			floor[op.Process] = highest[n]
		}
	}
}
