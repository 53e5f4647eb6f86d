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
	in := func(generation int32, op history.Op) history.Op { op.Generation = generation; return op }
	of := func(partition int32, op history.Op) history.Op { op.Partition = partition; return op }
	const ok, unknown = history.OK, history.Unknown
	for name, c := range map[string]struct {
		want string
		ops  []history.Op
	}{
		"handed over":                   {"", []history.Op{own(1, 1, 0, 10, ok), own(2, 2, 10, 20, ok)}},
		"a zombie is late":              {"", []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok)}},
		"two in a generation":           {OneOwner, []history.Op{own(1, 1, 0, 5, ok), own(2, 1, 6, 9, ok)}},
		"a zombie in its own":           {OneOwner, []history.Op{own(1, 1, 0, 5, unknown), own(2, 1, 6, 9, ok)}},
		"given up late":                 {OneOwner, []history.Op{own(1, 1, 0, 15, ok), own(2, 2, 10, 20, ok)}},
		"kept through generations":      {"", []history.Op{own(1, 1, 0, 10, ok), own(1, 2, 10, 15, ok), own(2, 3, 16, 20, ok)}},
		"a zombie commits":              {GroupFenced, []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok), in(1, commit(5, 11, 12, ok))}},
		"a zombie of another partition": {GroupFenced, []history.Op{own(1, 1, 0, 30, unknown), of(1, own(2, 2, 10, 20, ok)), in(1, commit(5, 11, 12, ok))}},
		"a zombie is refused":           {"", []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok), in(1, commit(5, 11, 12, history.Failed))}},
		"a zombie may have":             {"", []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok), in(1, commit(5, 11, 12, unknown))}},
		"called in time":                {"", []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok), in(1, commit(5, 10, 12, ok))}},
		"no member commits":             {"", []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok), commit(5, 11, 12, ok)}},
		"the newest commits":            {"", []history.Op{own(1, 1, 0, 30, unknown), own(2, 2, 10, 20, ok), in(2, commit(5, 11, 12, ok)), in(3, commit(6, 13, 14, ok))}},
		"nothing committed":             {"", []history.Op{told(-1, 0, 1)}},
		"committed and told":            {"", []history.Op{commit(5, 0, 1, ok), told(5, 2, 3)}},
		"told while it is committed":    {"", []history.Op{commit(5, 0, 3, ok), told(5, 1, 2), told(5, 4, 5)}},
		"lost":                          {OffsetKept, []history.Op{commit(5, 0, 1, ok), told(-1, 2, 3)}},
		"unknown may be lost":           {"", []history.Op{commit(5, 0, 1, unknown), told(-1, 2, 3)}},
		"unknown, but told":             {OffsetKept, []history.Op{commit(5, 0, 1, unknown), told(5, 2, 3), told(-1, 4, 5)}},
		"went back":                     {OffsetKept, []history.Op{commit(5, 0, 1, ok), commit(4, 0, 1, unknown), told(4, 2, 3)}},
		"from nowhere":                  {OffsetKnown, []history.Op{commit(5, 0, 1, ok), told(6, 2, 3)}},
		"before its time":               {OffsetKnown, []history.Op{told(6, 2, 3), commit(6, 4, 5, ok)}},
	} {
		h := &history.History{Header: history.Header{Topics: []history.Topic{history.Promised("t", 2)}}, Ops: c.ops}
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

// Goal: a commit of what the members have not read is found, in whatever order they read; and an offset may be gone after the retention, and not before, and then the group
// begins anew. Method: small histories by hand.
func TestGroupsProcessAndExpire(t *testing.T) {
	const kept = 100
	at := func(kind history.Kind, from, to int64) history.Op {
		op := history.NewOp(kind, "t", 0)
		op.Call, op.Return, op.Outcome, op.Group = from, to, history.OK, "g"
		return op
	}
	read := func(from, next, returned int64) history.Op {
		op := at(history.Fetch, returned-1, returned)
		op.From, op.Next, op.Seek, op.Process = from, next, true, int32(returned)
		return op
	}
	commit := func(offset, call int64) history.Op {
		op := at(history.Commit, call, call+1)
		op.Offset = offset
		return op
	}
	told := func(offset, call int64) history.Op {
		op := at(history.OffsetFetch, call, call+1)
		op.Offset = offset
		return op
	}
	own := func(process, generation int32, from, to int64) history.Op {
		op := at(history.Own, from, to)
		op.Process, op.Generation = process, generation
		return op
	}
	for name, c := range map[string]struct {
		want string
		ops  []history.Op
	}{
		"read, then committed":         {"", []history.Op{read(0, 5, 1), commit(5, 2)}},
		"in pieces":                    {"", []history.Op{read(3, 5, 1), read(0, 3, 2), commit(5, 3)}},
		"twice":                        {"", []history.Op{read(0, 4, 1), read(2, 6, 2), commit(6, 3)}},
		"nothing read of it":           {Processed, []history.Op{read(0, 5, 1), commit(6, 2)}},
		"a hole":                       {Processed, []history.Op{read(0, 2, 1), read(3, 5, 2), commit(5, 3)}},
		"read too late":                {Processed, []history.Op{read(0, 2, 1), commit(5, 3), read(2, 5, 9)}},
		"committed again":              {"", []history.Op{read(0, 2, 1), commit(2, 2), commit(1, 3)}},
		"gone in time":                 {"", []history.Op{read(0, 5, 1), commit(5, 2), told(-1, 2+kept)}},
		"gone too early":               {OffsetKept, []history.Op{read(0, 5, 1), commit(5, 2), told(-1, kept)}},
		"went back in place of going":  {OffsetKept, []history.Op{read(0, 5, 1), commit(4, 2), commit(5, 5), told(4, 10+kept)}},
		"anew, and back":               {OffsetKept, []history.Op{read(0, 5, 1), commit(5, 2), told(-1, 2+kept), commit(3, 5+kept), told(2, 8+kept)}},
		"anew":                         {"", []history.Op{read(0, 5, 1), commit(5, 2), told(-1, 2+kept), commit(3, 5+kept), told(3, 8+kept)}},
		"a group of the same name":     {"", []history.Op{own(1, 1, 0, 5), own(2, 1, 8, 9)}},
		"two in a generation, at once": {OneOwner, []history.Op{own(1, 1, 0, 5), own(2, 1, 4, 9)}},
	} {
		h := &history.History{Header: history.Header{Topics: []history.Topic{{Name: "t", Partitions: 1, OffsetsRetention: kept}}}, Ops: c.ops}
		for i := range h.Ops {
			h.Ops[i].ID = int64(i + 1)
		}
		v := Judge(h, Options{DrainOptional: true})
		got := ""
		if len(v.Violations) > 0 {
			got = v.Violations[0].Invariant
		}
		if got != c.want || len(v.Unknown) > 0 {
			t.Errorf("%s: %q %v, want %q", name, got, v.Unknown, c.want)
		}
	}
}
