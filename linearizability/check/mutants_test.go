package check_test

import (
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
