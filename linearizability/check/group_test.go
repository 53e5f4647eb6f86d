package check

import (
	"testing"

	"barnabas/linearizability/history"
)

// Goal: each anomaly of a group is found, and what only looks like one is not. Method: small histories by hand.
func TestGroups(t *testing.T) {
	own := func(process, generation int32, from, to int64, outcome history.Outcome) history.Op {
		op := history.NewOp(history.Own, "t", 0)
		op.Process, op.Generation, op.Call, op.Return, op.Outcome, op.Group = process, generation, from, to, outcome, "g"
		return op
	}
	commit := func(offset, from, to int64, outcome history.Outcome) history.Op {
		op := history.NewOp(history.Commit, "t", 0)
		op.Offset, op.Call, op.Return, op.Outcome, op.Group = offset, from, to, outcome, "g"
		return op
	}
	told := func(offset, from, to int64) history.Op {
		op := history.NewOp(history.OffsetFetch, "t", 0)
		op.Offset, op.Call, op.Return, op.Outcome, op.Group = offset, from, to, history.OK, "g"
		return op
	}
	const ok, unknown = history.OK, history.Unknown
	for name, c := range map[string]struct {
		want string
		ops  []history.Op
	}{
		"handed over":                {"", []history.Op{own(1, 1, 0, 10, ok), own(2, 2, 10, 20, ok)}},
		"a zombie is late":           {"", []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok)}},
		"two in a generation":        {OneOwner, []history.Op{own(1, 1, 0, 5, ok), own(2, 1, 6, 9, ok)}},
		"a zombie in its own":        {OneOwner, []history.Op{own(1, 1, 0, 5, unknown), own(2, 1, 6, 9, ok)}},
		"given up late":              {OneOwner, []history.Op{own(1, 1, 0, 15, ok), own(2, 2, 10, 20, ok)}},
		"kept through generations":   {"", []history.Op{own(1, 1, 0, 10, ok), own(1, 2, 10, 15, ok), own(2, 3, 16, 20, ok)}},
		"nothing committed":          {"", []history.Op{told(-1, 0, 1)}},
		"committed and told":         {"", []history.Op{commit(5, 0, 1, ok), told(5, 2, 3)}},
		"told while it is committed": {"", []history.Op{commit(5, 0, 3, ok), told(5, 1, 2), told(5, 4, 5)}},
		"lost":                       {OffsetKept, []history.Op{commit(5, 0, 1, ok), told(-1, 2, 3)}},
		"unknown may be lost":        {"", []history.Op{commit(5, 0, 1, unknown), told(-1, 2, 3)}},
		"unknown, but told":          {OffsetKept, []history.Op{commit(5, 0, 1, unknown), told(5, 2, 3), told(-1, 4, 5)}},
		"went back":                  {OffsetKept, []history.Op{commit(5, 0, 1, ok), commit(4, 0, 1, unknown), told(4, 2, 3)}},
		"from nowhere":               {OffsetKnown, []history.Op{commit(5, 0, 1, ok), told(6, 2, 3)}},
		"before its time":            {OffsetKnown, []history.Op{told(6, 2, 3), commit(6, 4, 5, ok)}},
	} {
		h := &history.History{Header: history.Header{Topics: []history.Topic{history.Promised("t", 1)}}, Ops: c.ops}
		for i := range h.Ops {
			h.Ops[i].ID = int64(i + 1)
		}
		v := Judge(h, Options{})
		got := ""
		if len(v.Violations) > 0 {
			got = v.Violations[0].Invariant
		}
		if got != c.want || len(v.Unknown) > 0 {
			t.Errorf("%s: %q %v, want %q", name, got, v.Unknown, c.want)
		}
	}
}
