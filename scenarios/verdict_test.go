package scenarios

import (
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
	"barnabas/reports"
)

// Goal: a broker that panics ends the run as a crash, whatever else is wrong, and the record says which, where and when.
// Method: a task of a broker that panics, in a run that is well but for that.
func TestPanicOfABrokerIsACrash(t *testing.T) {
	crashed := runWith(t, Options{Scenario: find(t, "steady"), Seed: 1}, func(r *run) {
		r.w.At(env.Instant(5*time.Second), func() {
			r.w.Go("b2", func(env.Env) { panic("planted by a test") })
		})
	})
	if p := crashed.report; p.Verdict != reports.Crash || p.Verdict.ExitCode() != 10 || !strings.Contains(p.Reason, "b2") ||
		!strings.Contains(p.Reason, "at 5.0") || !strings.Contains(p.Reason, "planted by a test") || !strings.Contains(p.Stack, "TestPanicOfABrokerIsACrash") {
		t.Errorf("\n%s\n%s", describe(p), p.Stack)
	}
}

// runWith is Run with something done to the run between its preparation and its play.
func runWith(t *testing.T, o Options, tamper func(*run)) *run {
	t.Helper()
	r := newRun(o)
	t.Cleanup(r.w.Close)
	r.prepare()
	tamper(r)
	r.play()
	r.judge()
	return r
}

// Goal: a schedule of somebody's own whose faults all miss proves nothing, and one without faults is a choice.
// Method: a fault that comes when everything is over, none, and one that strikes.
func TestScheduleThatMissesIsVacuous(t *testing.T) {
	for text, want := range map[string]reports.Verdict{
		"9999s crash node=1":     reports.Vacuous,
		"":                       reports.Pass,
		"5s crash node=1 for=1s": reports.Pass,
		"5s pause node=1 for=1s\n9999s crash node=1": reports.Pass,
	} {
		file, err := faults.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if r := Run(Options{Scenario: find(t, "steady"), Seed: 1, Schedule: &file}).Report; r.Verdict != want {
			t.Errorf("%q:\n%s", text, describe(r))
		}
	}
}
