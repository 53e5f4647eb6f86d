package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barnabas/reports"
	"barnabas/sim/trace"
)

// output is what f prints.
func output(t *testing.T, f func()) string {
	t.Helper()
	was := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	done := make(chan string)
	go func() {
		data, _ := io.ReadAll(r)
		done <- string(data)
	}()
	f()
	os.Stdout = was
	w.Close()
	return <-done
}

// Goal: a failure's directory alone is enough to run it again, event for event, to see any part of it, and to hear from when on
// it was inevitable. Method: a run with a bug, moved to another place.
func TestFailureIsUnderstoodFromItsDirectoryAlone(t *testing.T) {
	skipUnderRace(t)
	if testing.Short() {
		t.Skip("some dozens of runs")
	}
	out := t.TempDir()
	p, err := newPlan("leader-failover", runFlags{seed: 1, world: "sim", bugs: "truncate-to-hw", jobs: 1, out: out}, true)
	if err != nil {
		t.Fatal(err)
	}
	if code := exitCode(p.run()); code != 12 {
		t.Skipf("the bug is not found at seed 1 any more: exit code %d", code)
	}
	dir := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(filepath.Join(out, "leader-failover-1-truncate-to-hw"), dir); err != nil {
		t.Fatal(err)
	}
	recorded, _, err := readRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	at := recorded.Failures[0].At
	flags := replayFlags{last: 1 << 20, nodes: "b1,zk", from: (at - 3*time.Second).String(), until: at.String(), state: (at - time.Second).Round(time.Millisecond).String()}
	show, state, err := flags.filter()
	if err != nil {
		t.Fatal(err)
	}
	text := output(t, func() { err = replay(dir, trace.Options{Last: 1 << 20, NoChoices: true}, show, state) })
	if exitCode(err) != 12 || !strings.Contains(text, "the same run: hash "+recorded.Hash) {
		t.Errorf("replayed: %v\n%s", err, text)
	}
	if !strings.Contains(text, "t-0  leader") {
		t.Errorf("no state of the replicas in\n%s", text)
	}
	told, _, _ := strings.Cut(text, "\nat ")
	for _, line := range strings.Split(strings.TrimSpace(told), "\n") {
		moment, rest, _ := strings.Cut(line, " ")
		d, err := time.ParseDuration(moment)
		if err != nil || d < at-3*time.Second || d > at || !strings.HasPrefix(rest, "b1/") && !strings.HasPrefix(rest, "zk/") && strings.Contains(strings.Split(rest, " ")[0], "/") {
			t.Fatalf("not asked for: %s", line)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, fileTrace)); err != nil || info.Size() == 0 {
		t.Errorf("trace: %v", err)
	}
	if text = output(t, func() { err = cause(dir, 1, 2) }); err != nil || !strings.Contains(text, "inevitable") || !strings.Contains(text, recorded.Broken()) {
		t.Errorf("cause: %v\n%s", err, text)
	}
	if data, err := os.ReadFile(filepath.Join(dir, fileCause)); err != nil || !bytes.Contains(data, []byte("on redrawn")) {
		t.Errorf("cause.txt: %v\n%s", err, data)
	}
}

// Goal: a run that passed is nothing to explain or shrink, and the tools say so.
func TestNothingToExplain(t *testing.T) {
	out := t.TempDir()
	p, err := newPlan("steady", runFlags{seed: 1, world: "sim", jobs: 1, out: out}, true)
	if err != nil {
		t.Fatal(err)
	}
	r := p.attempt(1, trace.Options{})
	if r.Report.Verdict != reports.Pass {
		t.Fatal(r.Report.Title())
	}
	dir := filepath.Join(out, "it")
	if err := writeRun(dir, r); err != nil {
		t.Fatal(err)
	}
	if err := cause(dir, 1, 1); exitCode(err) != 2 {
		t.Errorf("cause: %v", err)
	}
	if _, err := shrinkRun(io.Discard, dir, shrinkFlags{limit: time.Second, jobs: 1}); exitCode(err) != 2 {
		t.Errorf("shrink: %v", err)
	}
	if r.Report.Verdict = reports.Safety; writeRun(dir, r) != nil {
		t.Fatal("not written")
	}
	if _, err := shrinkRun(io.Discard, dir, shrinkFlags{limit: time.Second, jobs: 1, to: filepath.Join(dir, "nowhere")}); exitCode(err) != 2 {
		t.Errorf("shrink --to a place that is not there: %v", err)
	}
}

// Goal: replay refuses what it cannot mean, says what there is when it was asked for something else, and calls a run of an edited
// schedule what it is, not nondeterminism. Method: wrong flags, and a short run whose schedule gets one more fault.
func TestReplaySaysWhatIsWrong(t *testing.T) {
	for _, f := range []replayFlags{{last: 1, from: "9s", until: "8s"}, {last: 0}, {last: 1, partition: "t"}, {last: 1, state: "-1s"}, {last: 1, from: "soon"}} {
		if _, _, err := f.filter(); exitCode(err) != 2 {
			t.Errorf("%+v: %v", f, err)
		}
	}
	p, err := newPlan("steady", runFlags{seed: 1, world: "sim", jobs: 1, out: t.TempDir()}, true)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "it")
	if err := writeRun(dir, p.attempt(1, trace.Options{})); err != nil {
		t.Fatal(err)
	}
	flags := replayFlags{last: 1000, nodes: "b9"}
	show, state, _ := flags.filter()
	text := output(t, func() { err = replay(dir, trace.Options{Last: 1000, NoChoices: true}, show, state) })
	if exitCode(err) != 0 || !strings.Contains(text, "the same run") || !strings.Contains(text, "nothing was told of that; there are nodes ") {
		t.Errorf("%v\n%s", err, text)
	}
	name := filepath.Join(dir, fileSchedule)
	data, _ := os.ReadFile(name)
	if err := os.WriteFile(name, append(data, "2s crash node=1 for=1s\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	text = output(t, func() { err = replay(dir, trace.Options{Last: 1000, NoChoices: true}, nil, 0) })
	if code := exitCode(err); code == 13 || !strings.Contains(text, "was edited since") {
		t.Errorf("exit code %d\n%s", code, text)
	}
}
