package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barnabas/reports"
	"barnabas/scenarios"
)

// codeOf is the exit code that an error ends the process with.
func codeOf(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	}
	return 1
}

// Goal: seeds that make no sense are refused with a reason, at once and whatever the arithmetic.
func TestSeedsAreChecked(t *testing.T) {
	for text, want := range map[string]int{
		"1": 1, "7..9": 3, "18446744073709551615": 1, "1..1000000": 1_000_000,
		"": 0, "a": 0, "1..": 0, "2..1": 0, "-1..2": 0, "1..2..3": 0, "1...3": 0, "18446744073709551616": 0,
		"0..18446744073709551615": 0, "1..18446744073709551615": 0, "1..99999999999999": 0, "1..1000001": 0,
	} {
		got, err := parseSeeds(text)
		if want == 0 && (codeOf(err) != 2 || !strings.Contains(err.Error(), "--seeds")) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if want > 0 && (err != nil || got.count() != want) {
			t.Errorf("%q: %d seeds, %v", text, got.count(), err)
		}
	}
}

// Goal: a schedule that the cluster cannot play is refused before anything runs, with its file and line. Method: faults on what is not there.
func TestScheduleIsCheckedAgainstTheCluster(t *testing.T) {
	for text, want := range map[string]string{
		"# mine\n5s crash node=99":                            `faults.txt:2: steady with seed 1: "5.000s crash node=99" names broker 99; there are`,
		"9s crash node=1\n\n5s partition from=1 to=2,77":      "faults.txt:3: ",
		"5s ring order=1,2,55":                                "faults.txt:1: ",
		"5s blackout nodes=1,44 keep=none for=1s":             "faults.txt:1: ",
		"5s swap-disks from=1 to=33 for=1s":                   "faults.txt:1: ",
		"5s disk node=1 log-dir=99 broken for=1s":             "names log directory 99; each broker has 1",
		"5s crash node=0":                                     "faults.txt:1: node=0 is no node",
		"# scenario=steady seed=1 brokers=3\n5s crash node=4": "there are 3",
		"5s crash node=1 for=1s":                              "",
	} {
		name := filepath.Join(t.TempDir(), "faults.txt")
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := newPlan("steady", runFlags{seed: 1, world: "sim", jobs: 1, schedule: name}, true)
		if want == "" && err != nil || want != "" && (codeOf(err) != 2 || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := newPlan("steady", runFlags{seed: 1, world: "sim", jobs: 1, schedule: filepath.Join(t.TempDir(), "none")}, true); codeOf(err) != 2 {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Goal: a schedule plays with the seed that it was made with, unless another is asked for.
func TestScheduleBringsItsSeed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "faults.txt")
	if err := os.WriteFile(name, []byte("# scenario=steady seed=8812\n5s crash node=1 for=1s\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		scenario string
		given    bool
		want     uint64
	}{{"steady", false, 8812}, {"steady", true, 1}, {"leader-failover", false, 1}} {
		p, err := newPlan(test.scenario, runFlags{seed: 1, world: "sim", jobs: 1, schedule: name}, test.given)
		if err != nil || p.seeds != (seedRange{test.want, test.want}) {
			t.Errorf("%+v: %v, %v", test, p.seeds, err)
		}
	}
}

// Goal: a place where nothing can be written is told before the work, not after it. Method: a directory below a file, and a run that would
// take its time.
func TestOutIsCheckedFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	p := &plan{flags: runFlags{jobs: 1, world: "sim", out: filepath.Join(file, "out")}, seeds: seedRange{1, 1}, scenario: &scenarios.Scenario{
		Name: "never", Draw: func(*rand.Rand, *scenarios.Plan) { t.Error("it ran") }}}
	if err := p.run(); codeOf(err) != 2 || !strings.Contains(err.Error(), "--out") {
		t.Errorf("%v", err)
	}
}

// Goal: a run that depends on more than its seed is found by --twice, ends in exit code 13, and the first event that differs is named.
// Method: a scenario that looks at the wall clock.
func TestWallClockIsFoundOut(t *testing.T) {
	skipUnderRace(t)
	steady, err := scenarios.Find("steady")
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{flags: runFlags{jobs: 1, world: "sim", twice: true, out: t.TempDir()}, seeds: seedRange{3, 3}, scenario: &scenarios.Scenario{
		Name: "wall-clock", Summary: "depends on when it runs", Draw: func(r *rand.Rand, p *scenarios.Plan) {
			steady.Draw(r, p)
			p.Load.Pause += time.Duration(time.Now().UnixNano() % 1_000_003)
		}}}
	if err := p.run(); codeOf(err) != 13 {
		t.Errorf("exit code %d, %v", codeOf(err), err)
	}
	if r := p.one(3); r.Verdict != reports.Nondeterminism || !strings.Contains(r.Reason, " differs\n") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// Goal: the exit code is that of what happened to the first seed that failed. Method: runs of a scenario whose clients do nothing.
func TestIdleRunIsExit14(t *testing.T) {
	steady, err := scenarios.Find("steady")
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{flags: runFlags{jobs: 1, world: "sim", out: t.TempDir()}, seeds: seedRange{1, 2}, scenario: &scenarios.Scenario{
		Name: "idle", Draw: func(r *rand.Rand, p *scenarios.Plan) { steady.Draw(r, p); p.Producers = 0 }}}
	if err := p.run(); codeOf(err) != 14 {
		t.Errorf("exit code %d, %v", codeOf(err), err)
	}
}

// Goal: what a run of many seeds keeps of each does not hold what happened in it, but for what the report shows. Method: passes in any order,
// a failure among them.
func TestPassesAreKeptAsRows(t *testing.T) {
	p := &plan{flags: runFlags{jobs: 3}, seeds: seedRange{1, 50}}
	records := p.runAll(func(seed uint64) *reports.Run {
		r := &reports.Run{Seed: seed, Verdict: reports.Pass, Hash: "00ff", Counts: reports.Counts{OK: 7}, Fired: []reports.FaultCount{{Fired: 1}},
			Slices: make([]reports.Slice, 300), Leaders: make([]reports.Leadership, 40)}
		if seed == 30 {
			r.Verdict = reports.Safety
		}
		time.Sleep(time.Duration(50-seed) * 50 * time.Microsecond)
		return r
	}, func(r *reports.Run) {
		if len(r.Slices) == 0 {
			t.Errorf("seed %d was told without what happened", r.Seed)
		}
	})
	for _, r := range records {
		if whole := len(r.Slices) > 0 && len(r.Leaders) > 0; whole != (r.Seed == 1 || r.Seed == 30) {
			t.Errorf("seed %d: %d slices", r.Seed, len(r.Slices))
		}
		if r.Hash == "" || r.Counts.OK != 7 || len(r.Fired) != 1 {
			t.Errorf("seed %d lost its row: %+v", r.Seed, r)
		}
	}
}

// Goal: a command that there is not is an error of usage, asked for help or not, and help about one that there is is help.
func TestUnknownCommandsAreRefused(t *testing.T) {
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"nosuch"}, 2}, {[]string{"help", "nosuch"}, 2}, {[]string{"help", "run"}, 0}, {[]string{"help"}, 0}, {[]string{"help", "report", "merge"}, 0},
		{[]string{"run", "steady", "--nosuch"}, 2}, {[]string{"run"}, 2}, {[]string{"run", "nosuch"}, 2}, {[]string{"run", "steady", "--bug", "nosuch"}, 2},
	} {
		root := rootCommand()
		root.SetArgs(test.args)
		root.SetOut(io.Discard)
		if err := root.Execute(); codeOf(err) != test.want {
			t.Errorf("%v: exit code %d, %v", test.args, codeOf(err), err)
		}
	}
}
