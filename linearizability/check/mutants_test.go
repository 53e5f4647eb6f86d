package check_test

import (
	"slices"
	"strings"
	"testing"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

// ofGroups are anomalies of groups, each beside a sound history of a log.
var ofGroups = map[string]func(h *history.History){
	check.OneOwner: func(h *history.History) {
		for i, outcome := range []history.Outcome{history.OK, history.OK} {
			op := extra(h, history.Own)
			op.Group, op.Generation, op.Process, op.Outcome = "g", 1, int32(90+i), outcome
		}
	},
	check.GroupFenced: func(h *history.History) {
		op := extra(h, history.Own)
		op.Group, op.Generation, op.Process = "g", 2, 91
		op = extra(h, history.Commit)
		op.Group, op.Generation, op.Process, op.Offset = "g", 1, 90, 5
	},
	check.OffsetKept: func(h *history.History) {
		op := extra(h, history.Commit)
		op.Group, op.Offset = "g", 5
		op = extra(h, history.OffsetFetch)
		op.Group, op.Offset = "g", -1
	},
	check.Processed: func(h *history.History) {
		op := extra(h, history.Fetch)
		op.Group, op.Seek, op.From, op.Next, op.Records = "g", true, 0, 0, nil
		op = extra(h, history.Commit)
		op.Group, op.Offset = "g", 5
	},
	check.OffsetKnown: func(h *history.History) {
		op := extra(h, history.OffsetFetch)
		op.Group, op.Offset = "g", 7
	},
}

// compacted is a sound history of a compacted topic: keys 1 to 3, key 2 deleted at offset 3, and a reader who meets it in time.
func compacted() *history.History {
	topic := history.Promised("t", 1)
	topic.Compacted, topic.DeleteRetention = true, 1000
	h := &history.History{Header: history.Header{Topics: []history.Topic{topic}}}
	for i, key := range []int64{1, 2, 1, -2, 3, 1} {
		op := history.NewOp(history.Produce, "t", 0)
		op.ID, op.Process, op.Acks, op.Outcome = int64(i+1), 1, -1, history.OK
		op.Call, op.Return, op.Offset = int64(10*i+1), int64(10*i+5), int64(i)
		op.Records, op.Keys = []history.Record{{Offset: history.None, Value: int64(i + 1), Sum: 9}}, []int64{key}
		h.Ops = append(h.Ops, op)
	}
	read := func(id int64, process int32, at int64, drain bool, offsets ...int64) {
		op := history.NewOp(history.Fetch, "t", 0)
		op.ID, op.Process, op.Outcome, op.Seek, op.Drain = id, process, history.OK, true, drain
		op.Call, op.Return, op.From, op.Next, op.HighWatermark = at, at+5, 0, 6, 6
		for _, o := range offsets {
			op.Records = append(op.Records, history.Record{Offset: o, Value: o + 1, Sum: 9})
		}
		h.Ops = append(h.Ops, op)
	}
	read(7, 2, 100, false, 3, 4, 5) // the cleaner has been there
	read(8, 3, 2000, true, 4, 5)    // and again, when the tombstone's time was over
	h.Drains = []history.Drain{{Topic: "t", Start: 0, End: 6, Time: 2005}}
	return h
}

// ofCompaction are anomalies of a compacted topic.
var ofCompaction = map[string]func(h *history.History){
	check.CompactLast: func(h *history.History) { h.Ops[6].Records = h.Ops[6].Records[1:] },
}

// Goal: a compacted log may lack what was superseded, and a tombstone whose time is over; never the last word of a key.
func TestCompaction(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(h *history.History)
		want  string
	}{
		"sound": {func(h *history.History) {}, ""},
		"the tombstone is read long after": {func(h *history.History) {
			h.Ops[7].Records = slices.Insert(h.Ops[7].Records, 0, history.Record{Offset: 3, Value: 4, Sum: 9})
		}, ""},
		"the tombstone is gone early":        {ofCompaction[check.CompactLast], check.CompactLast},
		"kept for ever, and gone":            {func(h *history.History) { h.Header.Topics[0].DeleteRetention = 0 }, check.CompactLast},
		"the last word of a key is lost":     {func(h *history.History) { h.Ops[7].Records = h.Ops[7].Records[1:] }, check.NoLostWrite},
		"the last word of a key is skipped":  {func(h *history.History) { h.Ops[6].Records = h.Ops[6].Records[:2] }, check.NoSkip},
		"superseded only by what has failed": {func(h *history.History) { h.Ops[5].Outcome, h.Ops[5].Offset = history.Failed, history.None; drop(h, 5) }, check.NoLostWrite},
		"of unknown end, and not there": {func(h *history.History) {
			h.Ops[3].Outcome, h.Ops[3].Offset = history.Unknown, history.None
			drop(h, 3)
		}, ""},
		"not compacted": {func(h *history.History) { h.Header.Topics[0].Compacted = false }, check.NoLostWrite},
	} {
		h := compacted()
		c.spoil(h)
		v := check.Judge(h, check.Options{})
		if len(v.Unknown) > 0 || v.OK != (c.want == "") || !v.OK && v.Violations[0].Invariant != c.want {
			t.Errorf("%s: %v %v", name, v.Unknown, v.Violations)
		}
	}
}

// drop takes an offset out of every read.
func drop(h *history.History, offset int64) {
	for i := range h.Ops {
		h.Ops[i].Records = slices.DeleteFunc(slices.Clone(h.Ops[i].Records), func(r history.Record) bool { return r.Offset == offset })
	}
}

// planted judges a sound history with each anomaly in turn, as this mutant, and tells which are flagged.
// With only one id, the anomalies of others are left out.
func planted(t *testing.T, mutant, only string) (flagged map[string]bool, soundOK bool) {
	flagged = map[string]bool{}
	see := func(id string, h *history.History) {
		for _, v := range check.Judge(h, check.Options{Mutant: mutant}).Violations {
			if v.Invariant == id {
				flagged[id] = true
			}
		}
	}
	for _, set := range []map[string]func(*history.History){plants, ofGroups} {
		for id, plant := range set { // unordered: each by itself
			if only != "" && only != id {
				continue
			}
			h := sound()
			plant(h)
			see(id, h)
		}
	}
	for _, c := range txnPlants { // unordered: each by itself
		if only != "" && only != c.want {
			continue
		}
		h := soundTxns(11, 900)
		c.plant(t, h)
		see(c.want, h)
	}
	for id, plant := range zkPlants {
		if only == "" || only == id {
			h := soundZK(3)
			plant(h)
			see(id, h)
		}
	}
	for id, plant := range ofCompaction {
		if only == "" || only == id {
			h := compacted()
			plant(h)
			see(id, h)
		}
	}
	v := check.Judge(sound(), check.Options{Mutant: mutant})
	return flagged, v.OK
}

// Goal: there is a planted anomaly for every invariant of the gate, and each is flagged as what it is.
func TestEveryInvariantHasAPlantedAnomaly(t *testing.T) {
	flagged, ok := planted(t, "", "")
	if !ok {
		t.Error("a sound history is accused")
	}
	for _, id := range check.Invariants() {
		if !flagged[id] {
			t.Errorf("%s: nothing is planted, or it is not flagged", id)
		}
	}
}

// notHere are mutants that the planted anomalies cannot tell; the differential test of package models does.
var notHere = map[string]bool{check.MutantReadsBoundNothing: true}

// Goal: the tests of the gate can fail: each mutant of it is told from the gate by a planted anomaly that it lets pass, or
// by a sound history that it accuses. Method: every mutant over every planted anomaly.
func TestMutatedCheckersAreSeenToFail(t *testing.T) {
	whole, _ := planted(t, "", "")
	for _, mutant := range check.Mutants() {
		only, _ := strings.CutPrefix(mutant, "without ")
		if only == mutant {
			only = ""
		}
		flagged, ok := planted(t, mutant, only)
		var missed []string
		for id := range whole {
			if !flagged[id] && (only == "" || only == id) {
				missed = append(missed, id)
			}
		}
		switch {
		case ok && len(missed) == 0 && !notHere[mutant]:
			t.Errorf("no test tells the mutant %q from the gate", mutant)
		case !ok:
			t.Logf("%-28s accuses a sound history", mutant)
		default:
			t.Logf("%-28s misses %v", mutant, missed)
		}
	}
}
