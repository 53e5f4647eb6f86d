package scenarios

import (
	"testing"

	"barnabas/reports"
)

// redraws is how many other ways a regression may take to its failure: a change of the broker shifts every random choice,
// and what lasts is the schedule, not the seed.
const redraws = 60

// Goal: no failure of the past comes back, and each file still reproduces what it is kept for. Method: every file runs
// without its bugs and must pass; and with them, in its own way or a redrawn one, it must break its invariant.
func TestRegressions(t *testing.T) {
	skipUnderRace(t)
	list, err := Regressions()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no regression files")
	}
	for _, r := range list {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			if got := Run(r.Options(0)).Report; got.Verdict != reports.Pass && got.Verdict != reports.Vacuous {
				t.Errorf("without a bug:\n%s", describe(got))
			}
			if r.Bugs == 0 {
				return
			}
			o := r.Options(r.Bugs)
			o.Changes = r.File.Header.Changes
			for range redraws {
				if Run(o).Report.Breaks(r.File.Header.Invariant) {
					return
				}
				o.Changes.Redraw++
			}
			t.Errorf("with %s it does not break %s any more, in %d ways", r.Bugs, r.File.Header.Invariant, redraws)
		})
	}
}
