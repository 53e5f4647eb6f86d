package scenarios

import (
	"strings"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/faults"
	"barnabas/reports"
	"barnabas/sim/trace"
)

// Goal: a branch has the run's past and another future, and the same branch is the same run. Method: the traces agree up
// to the moment and part after it.
func TestBranchSharesThePastOnly(t *testing.T) {
	skipUnderRace(t)
	s := find(t, "leader-failover")
	const at = 9 * time.Second
	o := Options{Scenario: s, Seed: 5, Trace: trace.Options{Last: 1 << 22, NoChoices: true}}
	whole := Run(o)
	o.Changes = faults.Changes{Redraw: 3, RedrawAt: at}
	branch, again := Run(o), Run(o)
	if branch.Report.Hash != again.Report.Hash {
		t.Errorf("one branch gave two hashes, %s and %s", branch.Report.Hash, again.Report.Hash)
	}
	if branch.Report.Hash == whole.Report.Hash {
		t.Error("the branch is the run")
	}
	a, b := whole.Trace.Entries(), branch.Trace.Entries()
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		if time.Duration(a[i].At) < at {
			t.Errorf("the branch parts before %s:\n%s\n%s", at, a[i], b[i])
		}
		if time.Duration(a[i].At) > at+time.Second {
			t.Errorf("the branch parts only at %s", a[i])
		}
		return
	}
	t.Error("the traces are equal")
}

// Goal: asking for the state at a moment changes nothing, and shows every replica.
func TestStateIsShownAndChangesNothing(t *testing.T) {
	skipUnderRace(t)
	o := Options{Scenario: find(t, "steady"), Seed: 4}
	plain := Run(o)
	o.StateAt = 12345 * time.Millisecond
	shown := Run(o)
	if plain.Report.Hash != shown.Report.Hash {
		t.Error("looking changed the run")
	}
	for _, want := range []string{"at 12.345s", "t-0  leader", "b1  ", "b3  ", "high watermark"} {
		if !strings.Contains(shown.State, want) {
			t.Errorf("no %q in\n%s", want, shown.State)
		}
	}
}

// Goal: changes make the trial what they say, and a schedule's header alone carries them.
func TestChangesMakeTheTrialSmaller(t *testing.T) {
	file, err := faults.Parse("x", []byte("# scenario=leader-failover seed=2 brokers=2 partitions=1 producers=1 consumers=0 records=5 heal=5s\n3s crash node=leader for=1s\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := Run(Options{Scenario: find(t, "leader-failover"), Seed: 2, Schedule: &file})
	if c := r.Report.Counts; r.Report.Verdict != reports.Pass || c.RecordsAcked != 5 || c.RecordsRead != 0 || c.RecordsDrained != 5 || len(r.History.Drains) != 1 {
		t.Errorf("\n%s", describe(r.Report))
	}
	file.Schedule[0].Node = 3
	if r := Run(Options{Scenario: find(t, "leader-failover"), Seed: 2, Schedule: &file}).Report; r.Verdict != reports.Error || !strings.Contains(r.Reason, "broker 3") {
		t.Errorf("a fault for a broker that is not there:\n%s", describe(r))
	}
}

// Goal: when every copy is gone, the run is judged by the weaker promise. Method: three brokers lose their disks at once,
// which happens only where a run is asked to go beyond what Kafka promises.
func TestEmptiedDisksAreJudgedByTheWeakerPromise(t *testing.T) {
	skipUnderRace(t)
	file, err := faults.Parse("x", []byte("8s wipe node=1 for=3s\n8.1s wipe node=2 for=3s\n8.2s wipe node=3 for=3s\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := Run(Options{Scenario: find(t, "leader-failover"), Seed: 3, Schedule: &file, Changes: faults.Changes{Beyond: 1}})
	if r.Report.Verdict != reports.Pass || r.History.Header.Topics[0].Durable {
		t.Errorf("durable %t\n%s", r.History.Header.Topics[0].Durable, describe(r.Report))
	}
}

// Goal: a known failure hides nobody else: with its invariant masked a run goes on past it and names what else is broken first, and
// one that breaks nothing else is still a failure of that name. Method: seeds with two bugs planted, each run as it is and masked.
func TestMaskedInvariantsHideNobodyElse(t *testing.T) {
	skipUnderRace(t)
	const mask = "INV-READ-BELOW-HW"
	others, alone := 0, 0
	for seed := uint64(1); seed <= 8 && (others == 0 || alone == 0); seed++ {
		for _, bugs := range []bug.Set{bug.ReadAboveHW | bug.TruncateToHW, bug.ReadAboveHW} {
			o := Options{Scenario: find(t, "leader-failover"), Seed: seed, Bugs: bugs}
			open := Run(o).Report
			o.Masked = []string{mask}
			masked := Run(o).Report
			if open.Broken() != mask {
				continue
			}
			if masked.Virtual <= open.Virtual {
				t.Errorf("seed %d with %s: the masked run ends at %s, the other at %s", seed, bugs, masked.Virtual, open.Virtual)
			}
			switch {
			case masked.Broken() == mask:
				alone++
			case masked.Verdict == reports.Pass:
				t.Errorf("seed %d with %s: what is masked is a pass", seed, bugs)
			case masked.Verdict == reports.Safety && !masked.Breaks(mask):
				t.Errorf("seed %d with %s: nothing is said of what is masked", seed, bugs)
			default:
				others++
			}
		}
	}
	if others == 0 || alone == 0 {
		t.Errorf("%d runs named what else was broken, %d broke nothing else", others, alone)
	}
}
