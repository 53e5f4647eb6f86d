package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"barnabas/reports"
	"barnabas/scenarios"
)

// built is the command as a binary, made once for all tests.
var built struct {
	sync.Once
	dir string
	err error
}

// TestMain removes what buildBinary made.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// buildBinary builds the command, under the race detector if the test is.
func buildBinary(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "barnabas-test-"); built.err != nil {
			return
		}
		args := []string{"build", "-o", filepath.Join(built.dir, "barnabas")}
		if raceEnabled {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "barnabas")
}

// skipUnderRace spares the race detector what runs the simulator, which runs one task at a time, many times over; package scenarios has it run.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("many runs of the simulator")
	}
}

// realPlanOf is a run of seed 1 in the real world whose processes are those of the binary.
func realPlanOf(t *testing.T, name string, f runFlags) *reals {
	t.Helper()
	f.world, f.out, f.jobs, f.seed, f.real.level = "real", t.TempDir(), 1, 1, "info"
	p, err := newPlan(name, f, true)
	if err != nil {
		t.Fatal(err)
	}
	r := p.newReals()
	r.binary = buildBinary(t)
	return r
}

// Goal: a scenario on real processes passes, under a schedule that breaks a link, a disk, a process and a client, each of which is
// felt; the files are there, and nothing of the cluster is left.
func TestRunRealWorld(t *testing.T) {
	schedule := filepath.Join(t.TempDir(), "faults.txt")
	text := "3.2s disk node=1 op=all slow=20 for=500ms\n3.4s partition from=2 to=1,3 for=700ms\n3.6s client crash number=1 for=300ms\n4.6s crash node=leader for=400ms\n5.4s pause node=3 for=300ms\n"
	if err := os.WriteFile(schedule, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := realPlanOf(t, "steady", runFlags{schedule: schedule, real: realFlags{brokers: 3, duration: 3 * time.Second, keep: true}})
	report := r.one(1)
	if report.Verdict != reports.Pass {
		logs, _ := os.ReadFile(filepath.Join(report.Dir, "logs", "run.txt"))
		t.Fatalf("%s: %s\n%s%s", report.Verdict, report.Reason, report.Stack, logs)
	}
	for _, f := range report.Fired {
		if f.Fired == 0 && f.Kind != "slow-disk" { // in half a second, a disk may have had nothing to do
			t.Errorf("%s: planned %d, none fired", f.Kind, f.Planned)
		}
	}
	for _, name := range []string{fileRecord, fileCard, fileHistory, fileSchedule, "logs/b1.txt", "logs/zk.txt", "logs/run.txt"} {
		if info, err := os.Stat(filepath.Join(report.Dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if page, err := os.ReadFile(filepath.Join(report.Dir, filePage)); err != nil || !strings.Contains(string(page), "broker-started") {
		t.Errorf("the page has no logs: %v", err)
	}
	if _, _, err := readRun(report.Dir); err == nil {
		t.Error("a run of the real world can be replayed")
	}
	nothingLeft(t, r.binary)
}

// nothingLeft checks that no process of the binary lives.
func nothingLeft(t *testing.T, binary string) {
	t.Helper()
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.TrimSuffix(target, " (deleted)") == binary {
			t.Errorf("%s is still there", filepath.Dir(link))
		}
	}
}

// Goal: a planted bug is found on real processes, too: the checks are not blind there. Method: whoever is asked acks before
// its followers have the records, and the leader is cut off from them and then killed.
func TestInteropRealWorldFindsBug(t *testing.T) {
	needInterop(t)
	schedule := filepath.Join(t.TempDir(), "faults.txt")
	text := "# scenario=leader-failover partitions=1\n4.500s partition from=leader to=others for=4s\n5.500s crash node=leader for=3s\n"
	if err := os.WriteFile(schedule, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := realPlanOf(t, "leader-failover", runFlags{bugs: "ack-before-isr", schedule: schedule, real: realFlags{brokers: 3, duration: 8 * time.Second}})
	report := r.one(1)
	if report.Verdict != reports.Safety {
		t.Fatalf("%s: %s", report.Verdict, report.Reason)
	}
	nothingLeft(t, r.binary)
}

// Goal: a run that cannot go on ends by its budget, as not live, and leaves nothing behind. Method: no broker gets to ZooKeeper.
func TestRunRealWorldBudget(t *testing.T) {
	if raceEnabled {
		t.Skip("one run of real processes under the race detector is enough")
	}
	r := realPlanOf(t, "steady", runFlags{real: realFlags{brokers: 3, budget: 2 * time.Second}})
	binary := r.binary
	script := filepath.Join(t.TempDir(), "barnabas")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = zookeeper ] && exec sleep 600\nexec "+binary+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.binary = script
	if report := r.one(1); report.Verdict != reports.Liveness || !strings.Contains(report.Reason, "budget") {
		t.Errorf("%s: %s", report.Verdict, report.Reason)
	}
	nothingLeft(t, binary)
}

// Goal: an interrupt ends the run with exit code 1, and nothing of the cluster is left.
func TestRunRealWorldInterrupted(t *testing.T) {
	if raceEnabled {
		t.Skip("one run of real processes under the race detector is enough")
	}
	binary := buildBinary(t)
	out := t.TempDir()
	cmd := exec.Command(binary, "run", "steady", "--world", "real", "--brokers", "3", "--out", out)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(out, "steady-1", fileRecord)
	log := filepath.Join(out, "steady-1", "logs", "b1.txt")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if data, _ := os.ReadFile(log); strings.Contains(string(data), "broker-started") {
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatal("no broker started")
		}
	}
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	var report reports.Run
	if data, err := os.ReadFile(record); err != nil || json.Unmarshal(data, &report) != nil || report.Reason != "interrupted" {
		t.Errorf("the record: %v, %q", err, report.Reason)
	}
	nothingLeft(t, binary)
}

// Goal: flags that do not go together are refused with a reason and exit code 2, before anything starts.
func TestRunRealWorldUsage(t *testing.T) {
	for name, f := range map[string]runFlags{
		"no such world":      {world: "dream"},
		"twice":              {world: "real", twice: true},
		"brokers":            {world: "real", real: realFlags{brokers: 101}},
		"sim with brokers":   {world: "sim", real: realFlags{brokers: 3}},
		"sim for":            {world: "sim", real: realFlags{duration: time.Second}},
		"bootstrap, no port": {world: "sim", real: realFlags{bootstrap: "localhost"}},
		"bootstrap and bug":  {world: "sim", bugs: "truncate-to-hw", real: realFlags{bootstrap: "localhost:1"}},
		"comma in out":       {world: "real", out: "a,b"},
		"no jar":             {world: "real", real: realFlags{zkJar: "/no/such.jar"}},
	} {
		f.jobs = 1
		var exit *exitError
		if _, err := newPlan("steady", f, true); !errors.As(err, &exit) || exit.code != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: nobody at the bootstrap address is an error that says so, soon. Method: a budget of seconds.
func TestRunBootstrapNobody(t *testing.T) {
	f := runFlags{world: "sim", out: t.TempDir(), jobs: 1, seed: 1, real: realFlags{bootstrap: "127.0.0.1:1", budget: 3 * time.Second, level: "info"}}
	p, err := newPlan("steady", f, true)
	if err != nil {
		t.Fatal(err)
	}
	report := p.newReals().one(1)
	if report.Verdict == reports.Pass || report.Counts.RecordsAcked > 0 {
		t.Errorf("%s: %s", report.Verdict, report.Reason)
	}
}

var _ scenarios.Processes = (*procs)(nil)
