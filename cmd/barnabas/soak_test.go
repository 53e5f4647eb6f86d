package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/reports"
	"barnabas/scenarios"
)

// Goal: the shard is read from the flag, or as each CI system tells it.
func TestShardIsFoundInTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		flag, env, want string
	}{
		{"2/4", "CI_NODE_INDEX=1 CI_NODE_TOTAL=9", "2/4"},
		{"", "BARNABAS_SHARD=3/3", "3/3"},
		{"", "CI_NODE_INDEX=4 CI_NODE_TOTAL=4", "4/4"},
		{"", "CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=2", "1/2"},
		{"", "BUILDKITE_PARALLEL_JOB=3 BUILDKITE_PARALLEL_JOB_COUNT=4", "4/4"},
		{"", "SLURM_ARRAY_TASK_ID=11 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10", "2/3"},
		{"", "JOB_COMPLETION_INDEX=0 BARNABAS_SHARDS=8", "1/8"},
		{"", "JOB_COMPLETION_INDEX=0", "1/1"},
		{"", "", "1/1"},
		{"5/4", "", ""}, {"x", "", ""}, {"", "CI_NODE_INDEX=5 CI_NODE_TOTAL=4", ""},
	} {
		getenv := func(name string) string {
			for _, pair := range strings.Fields(c.env) {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return value
				}
			}
			return ""
		}
		s, err := findShard(c.flag, getenv)
		if got := s.String(); err == nil && got != c.want || err != nil && c.want != "" {
			t.Errorf("%q %q: %s %v, want %s", c.flag, c.env, got, err, c.want)
		}
	}
}

// Goal: shards together do every piece once, and scenarios get seeds by their weights.
func TestPiecesAreSpread(t *testing.T) {
	a, b := &scenarios.Scenario{Name: "a", Weight: 3}, &scenarios.Scenario{Name: "b"}
	p, err := newPieces([]*scenarios.Scenario{a, b}, 100)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for n := range 400 {
		if w := p.at(n + len(p.past)); w.seed != uint64(100+n) {
			t.Fatalf("piece %d has seed %d", n, w.seed)
		} else {
			count[w.scenario.Name]++
		}
	}
	if count["a"] != 300 || count["b"] != 100 {
		t.Error(count)
	}
	for n := range 100 {
		takers := 0
		for i := range 3 {
			if (shard{i + 1, 3}).takes(n) {
				takers++
			}
		}
		if takers != 1 {
			t.Errorf("piece %d has %d takers", n, takers)
		}
	}
}

func soakOnce(t *testing.T, f soakFlags, names ...string) (*reports.Soak, error) {
	t.Helper()
	f.jobs = 2
	if f.limit == 0 {
		f.limit = 1 << 40
	}
	s, err := newSoak(names, f)
	if err != nil {
		t.Fatal(err)
	}
	err = s.run()
	sum, rerr := readSoak(filepath.Join(f.out, fileSoak))
	if rerr != nil {
		t.Fatal(rerr)
	}
	return sum, err
}

// Goal: a soak finds a planted bug, calls it new, then ongoing, then gone; masks hide nobody else; two shards merge.
// Method: small soaks of one scenario in one directory.
func TestSoakTellsNewOngoingAndGone(t *testing.T) {
	if testing.Short() {
		t.Skip("some dozens of runs")
	}
	out := t.TempDir()
	runs := 8 + regressions(t)
	first, err := soakOnce(t, soakFlags{out: out, runs: runs, bugs: "truncate-to-hw", recheck: 4}, "leader-failover")
	if exitCode(err) != 12 || len(first.Problems()) == 0 || first.Problems()[0].Standing != reports.StandingNew {
		t.Fatalf("%v: %+v", err, first.Failures)
	}
	f := first.Problems()[0]
	for _, name := range []string{"index.html", "summary.md", "junit.xml", filepath.Join(f.Dir, fileTimeline), filepath.Join(f.Dir, fileSchedule)} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	second, _ := soakOnce(t, soakFlags{out: out, runs: runs, bugs: "truncate-to-hw"}, "leader-failover")
	if i := slices.IndexFunc(second.Failures, func(o reports.SoakFailure) bool { return o.Signature() == f.Signature() }); i < 0 || second.Failures[i].Standing != reports.StandingOngoing {
		t.Errorf("second: %+v", second.Failures)
	}
	if second.Scenarios[0].SeedLast == first.Scenarios[0].SeedLast { // the first ones are those of regressions
		t.Error("the second soak ran the seeds of the first")
	}
	third, err := soakOnce(t, soakFlags{out: out, runs: runs}, "leader-failover")
	if err != nil || len(third.Failures) == 0 || third.Failures[0].Standing != reports.StandingGone || len(third.Earlier) != 2 {
		t.Errorf("third: %v %+v", err, third.Failures)
	}
	known := filepath.Join(out, "known.txt")
	if err := os.WriteFile(known, []byte("# masks\n"+f.Broken+" * issue 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fourth, _ := soakOnce(t, soakFlags{out: out, runs: runs, bugs: "truncate-to-hw", known: known}, "leader-failover")
	for _, x := range fourth.Failures {
		if want := x.Broken == f.Broken; (x.Standing == reports.StandingKnown) != want {
			t.Errorf("masked: %+v", x)
		}
	}
	joint := filepath.Join(out, "joint")
	_ = mergeSoaks([]string{out, out}, joint, "", nil)
	merged, err := readSoak(filepath.Join(joint, fileSoak))
	if err != nil || merged.Scenarios[0].Runs != 2*fourth.Scenarios[0].Runs {
		t.Errorf("merged: %v", err)
	}
}

// Goal: a soak that was killed goes on where it was, even with a torn last line, and counts nothing twice. Method: the
// file of runs is cut as a kill leaves it.
func TestSoakGoesOnAfterAKill(t *testing.T) {
	out := t.TempDir()
	head := soakHead{Scenarios: []string{"steady"}, Shard: "1/1", Commit: commit(), First: 40}
	store, done, err := openStore(out, &head, false)
	if err != nil || len(done) != 0 {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := store.add(soakLine{Piece: i, Elapsed: 7, Run: &reports.Run{Scenario: "steady", Seed: uint64(40 + i), Verdict: reports.Pass}}); err != nil {
			t.Fatal(err)
		}
	}
	store.close()
	name := filepath.Join(out, fileRuns)
	data, _ := os.ReadFile(name)
	if err := os.WriteFile(name, data[:len(data)-20], 0o644); err != nil {
		t.Fatal(err)
	}
	if busy, _, err := openStore(out, &soakHead{}, false); err != nil {
		t.Error(err)
	} else {
		if _, _, err := openStore(out, &soakHead{}, true); exitCode(err) != 2 {
			t.Errorf("two soaks at once in one directory: %v", err)
		}
		busy.close()
		if err := os.WriteFile(name, data[:len(data)-20], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	again := soakHead{Scenarios: []string{"steady"}, Shard: "1/1", Commit: commit(), First: 1}
	store, done, err = openStore(out, &again, false)
	if err != nil || len(done) != 2 || again.First != 40 {
		t.Fatalf("%v: %d lines, first seed %d", err, len(done), again.First)
	}
	if err := store.add(soakLine{Piece: 2, Run: &reports.Run{Scenario: "steady", Seed: 42, Verdict: reports.Pass}}); err != nil {
		t.Fatal(err)
	}
	store.close()
	data, _ = os.ReadFile(name)
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		var l soakLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Piece != i {
			t.Errorf("line %d: %v %s", i, err, line)
		}
	}
	other := soakHead{Scenarios: []string{"power-loss"}, Shard: "1/1"}
	if _, done, _ := openStore(out, &other, false); len(done) != 0 {
		t.Error("another soak went on with this one's runs")
	}
}

// Goal: where a failure's files are is told the same way by a soak that went on after a kill as by one that did not. Method: a soak of a bug
// that is found at once, and what it wrote about its runs counted again.
func TestSoakThatGoesOnKnowsWhereItsFailuresAre(t *testing.T) {
	skipUnderRace(t)
	if testing.Short() {
		t.Skip("a few runs")
	}
	out := t.TempDir()
	s, err := newSoak([]string{"leader-failover"}, soakFlags{out: out, limit: 1 << 40, runs: 1, jobs: 1, bugs: "truncate-to-hw"})
	if err != nil {
		t.Fatal(err)
	}
	head := soakHead{}
	if s.store, _, err = openStore(out, &head, true); err != nil {
		t.Fatal(err)
	}
	s.sum = &reports.Soak{Passed: map[string]*reports.Run{}}
	s.began = time.Now()
	for seed := uint64(1); len(s.sum.Failures) == 0 && seed < 6; seed++ {
		s.one(piece{number: int(seed), scenario: s.list[0], seed: seed})
	}
	s.store.close()
	if len(s.sum.Failures) == 0 {
		t.Skip("the bug is not found at once any more")
	}
	want := s.sum.Failures[0].Dir
	_, done, err := openStore(out, &head, false)
	if err != nil {
		t.Fatal(err)
	}
	again := &soak{sum: &reports.Soak{Passed: map[string]*reports.Run{}}}
	again.restore(done)
	if len(again.sum.Failures) != 1 || again.sum.Failures[0].Dir != want {
		t.Errorf("%+v; want the directory %s", again.sum.Failures, want)
	}
}

// Goal: a failing run shrinks to one that fails in the same way and is no larger, whatever time the machine gives it. (How
// small it gets is the matter of package shrink's own tests.) Method: a bug that is found at once.
func TestShrinkWritesARegression(t *testing.T) {
	skipUnderRace(t)
	if testing.Short() {
		t.Skip("some hundreds of runs")
	}
	out := t.TempDir()
	p, err := newPlan("leader-failover", runFlags{seed: 1, world: "sim", bugs: "truncate-to-hw", jobs: 1, out: out}, true)
	if err != nil {
		t.Fatal(err)
	}
	if code := exitCode(p.run()); code != 12 {
		t.Skipf("the bug is not found at seed 1 any more: exit code %d", code)
	}
	dir := filepath.Join(out, "leader-failover-1-truncate-to-hw")
	_, whole, err := readRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shrinkRun(io.Discard, dir, shrinkFlags{limit: 15e9, jobs: 2}); err != nil {
		t.Fatal(err)
	}
	small, file, err := readRun(filepath.Join(dir, "shrunk"))
	if err != nil || small.Verdict != reports.Safety || len(file.Schedule) > len(whole.Schedule) {
		t.Errorf("%v: %v, %d faults", err, small, len(file.Schedule))
	}
}

func regressions(t *testing.T) int {
	list, err := scenarios.Regressions()
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func exitCode(err error) int {
	if e, ok := err.(*exitError); ok {
		return e.code
	}
	return 0
}

// Goal: the broker has at least 150 points that a soak asks for, besides its kinds of events, each with a name of its own.
func TestThereAreMarksToReach(t *testing.T) {
	placed := 0
	seen := map[string]bool{}
	for _, m := range env.Marks() {
		if seen[m.Name] {
			t.Errorf("%s is the name of two marks", m.Name)
		}
		if seen[m.Name] = true; !strings.Contains(m.Name, "/event ") {
			placed++
		}
	}
	if placed < 150 {
		t.Errorf("%d marks", placed)
	}
}
