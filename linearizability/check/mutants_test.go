package check_test

import (
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
	check.OffsetKnown: func(h *history.History) {
		op := extra(h, history.OffsetFetch)
		op.Group, op.Offset = "g", 7
	},
}

// planted judges the sound history with each anomaly in turn, as this mutant, and tells which are flagged.
func planted(mutant string) (flagged map[string]bool, soundOK bool) {
	flagged = map[string]bool{}
	for _, set := range []map[string]func(*history.History){plants, ofGroups} {
		for id, plant := range set { // unordered: each by itself
			h := sound()
			plant(h)
			for _, v := range check.Judge(h, check.Options{Mutant: mutant}).Violations {
				if v.Invariant == id {
					flagged[id] = true
				}
			}
		}
	}
	v := check.Judge(sound(), check.Options{Mutant: mutant})
	return flagged, v.OK
}

// Goal: there is a planted anomaly for every invariant of the gate, and each is flagged as what it is.
func TestEveryInvariantHasAPlantedAnomaly(t *testing.T) {
	flagged, ok := planted("")
	if !ok {
		t.Error("a sound history is accused")
	}
	for _, id := range check.Invariants() {
		if _, elsewhere := plantedElsewhere[id]; !flagged[id] && !elsewhere {
			t.Errorf("%s: nothing is planted, or it is not flagged", id)
		}
	}
}

// plantedElsewhere are invariants with planted anomalies in a test of their own, by its name.
var plantedElsewhere = map[string]string{}

// notHere are mutants that the planted anomalies cannot tell; the differential test of package models does.
var notHere = map[string]bool{check.MutantReadsBoundNothing: true}

// Goal: the tests of the gate can fail: each mutant of it is told from the gate by a planted anomaly that it lets pass, or
// by a sound history that it accuses. Method: every mutant over every planted anomaly.
func TestMutatedCheckersAreSeenToFail(t *testing.T) {
	whole, _ := planted("")
	for _, mutant := range check.Mutants() {
		flagged, ok := planted(mutant)
		var missed []string
		for id := range whole {
			if !flagged[id] {
				missed = append(missed, id)
			}
		}
		switch {
		case ok && len(missed) == 0 && !notHere[mutant] && !elsewhere(mutant):
			t.Errorf("no test tells the mutant %q from the gate", mutant)
		case !ok:
			t.Logf("%-28s accuses a sound history", mutant)
		default:
			t.Logf("%-28s misses %v", mutant, missed)
		}
	}
}

func elsewhere(mutant string) bool {
	for id := range plantedElsewhere {
		if mutant == "without "+id {
			return true
		}
	}
	return false
}
