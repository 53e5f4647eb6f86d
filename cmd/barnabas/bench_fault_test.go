package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"barnabas/bench"
	"barnabas/reports/load"
)

// binary builds the program for one test.
func binary(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "barnabas")
	if out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return file
}

// Goal: a run through a fault in the real world kills the leader of a cluster of its own, sees the cost, and leaves no process behind.
func TestInteropBenchThroughAFault(t *testing.T) {
	needInterop(t)
	out := t.TempDir()
	cmd := exec.Command(binary(t), "bench", "replicated-5k", "--scenario", "leader-failover", "--allow-noise", "--out", out, "--repetitions", "1", "--set", "load.rate=500",
		"--set", "phases.measure=24s", "--set", "phases.warmup=2s")
	text, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(text), "every repetition is void") { // a busy machine
		t.Fatalf("%v\n%s", err, text)
	}
	runs, err := load.LoadDir(out)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	r := &runs[0].Repetitions[0]
	if f := r.Fault; f == nil || f.Silent < 1 || f.Worst < 1e6 || f.Failed > 0 {
		t.Errorf("%+v, events %+v", f, r.Events)
	}
	for _, e := range r.Happened() { // the session's time-out is 3 s; a client that may not ask who leads for 5 s would take longer
		if e.Kind == "leader" {
			if after := e.At - r.Fault.At; after > 5.5 {
				t.Errorf("%.1f s after the fault: %s", after, e.Text)
			}
			break
		}
	}
	if n := r.Produce.Count(); n < 11_900 || n > 12_100 {
		t.Errorf("%d of 12,000 records came through", n)
	}
}

// Goal: transactions and groups run on a real broker, and their commits are timed.
func TestInteropBenchCommits(t *testing.T) {
	needInterop(t)
	c := startCluster(t, "--brokers", "1")
	for _, c2 := range []struct {
		name string
		sets []string
	}{{"transactions", []string{"producers.transaction=20", "load.rate=500", "phases.warmup=2s"}}, {"groups", []string{"load.rate=500", "phases.warmup=6s", "consumers=[{mode: tail, group: true, members: 2, commit: 200ms}]"}}} {
		w, err := bench.Read(c2.name, append(c2.sets, "phases.measure=2s", "phases.repetitions=1"))
		if err != nil {
			t.Fatal(err)
		}
		run, err := bench.Run(context.Background(), w, bench.Options{Bootstrap: c.bootstrap, AllowNoise: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &run.Repetitions[0]
		if r.Commit.Count() == 0 || len(r.Errors) > 0 || r.Unfinished > 0 || r.EndToEnd.Count() != r.Produce.Count() || r.Produce.Count() < 800 {
			t.Errorf("%s: %d commits, %d acknowledged, %d read, errors %+v", c2.name, r.Commit.Count(), r.Produce.Count(), r.EndToEnd.Count(), r.Errors)
		}
		if r.Brokers.NetIn == 0 || r.Brokers.NetOut == 0 {
			t.Errorf("%s: the broker's network is not known: %+v", c2.name, r.Brokers)
		}
	}
}

// Goal: bad input ends in a sentence and exit code 1 or 2, and an interrupted run keeps what it has, marked. Method: the real program.
func TestInteropBenchRefuses(t *testing.T) {
	needInterop(t)
	c := startCluster(t, "--brokers", "1", "--topic", "taken:2:1")
	program := binary(t)
	run := func(args ...string) (string, int) {
		out, err := exec.Command(program, append([]string{"bench"}, args...)...).CombinedOutput()
		code := 0
		if e, ok := err.(*exec.ExitError); ok {
			code = e.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(out), code
	}
	dir := t.TempDir()
	short := []string{"--repetitions", "1", "--allow-noise", "--bootstrap", c.bootstrap, "--set", "phases.warmup=100ms", "--set", "phases.measure=1s"}
	for _, k := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"tail-5k", "--bootstrap", "127.0.0.1:1", "--out", dir + "/0"}, 1, "no Kafka-compatible cluster answers at 127.0.0.1:1"},
		{append([]string{"produce-64k", "--set", "topic.name=taken", "--out", dir + "/1"}, short...), 1, "exists with 2 partitions, the workload wants 1"},
		{append([]string{"tail-5k", "--set", "load.rate=20000000", "--set", "producers.buffer=1MiB", "--out", dir + "/2"}, short...), 1, "could not keep up"},
		{append([]string{"tail-5k", "--set", "topic.name=set", "--set", `topic.config={retention.ms: "3600000"}`, "--set", "load.rate=100", "--out", dir + "/3"}, short...), -1, "report: "},
		{append([]string{"tail-5k", "--set", "topic.name=set", "--set", `topic.config={retention.ms: "7200000"}`, "--out", dir + "/4"}, short...), 1, "topic set exists with retention.ms=3600000, the workload wants 7200000"},
		{[]string{"tail-5k", "--repetitions", "-1"}, 2, "--repetitions -1: from 1 to 1000"},
		{[]string{"tail-5k", "--broker-pid", "99999999"}, 2, "there is no such process"},
		{[]string{"tail-5k", "--gc-log", dir + "/none"}, 2, "no such file"},
		{[]string{"tail-5k", "--bootstrap", ""}, 2, "--bootstrap is empty"},
		{[]string{"capacity", "produce-64k"}, 2, "needs load.mode: open"},
		{[]string{"capacity", "tail-5k", "--p99", "0s"}, 2, "the goal is a time above 0"},
		{[]string{"soak", "consume", "--for", "1s"}, 2, "a soak needs producers"},
		{[]string{"soak", "tail-5k", "--limit", "0"}, 2, "--limit 0: a share above 0"},
		{[]string{"generator", "--rate", "0"}, 2, "from 1 to 100,000,000 records a second"},
		{[]string{"consume", "--scenario", "leader-failover", "--set", "topic.replication=3"}, 2, "has no producers"},
		{[]string{"no-such-workload"}, 2, "none of the ready-made workloads"},
		{[]string{"tail-5k", "--set", "load.rat=1"}, 2, "unknown field"},
		{[]string{"tail-5k", "--world", "moon"}, 2, "real or sim"},
		{[]string{"tail-5k", "--scenario", "flood"}, 2, "there are leader-failover"},
		{[]string{"tail-5k", "--world", "sim", "--profile", "moon"}, 2, "none of the profiles"},
		{[]string{"tail-5k", "--scenario", "leader-failover"}, 2, "nobody could take over"},
		{[]string{"plan", dir}, 2, `required flag(s) "peak" not set`},
		{[]string{"plan", dir, "--peak", "1"}, 2, "holds no record of a load test"},
		{[]string{"check", dir, "--thresholds", dir + "/none"}, 2, "no such file"},
	} {
		if out, code := run(k.args...); code != k.code && k.code >= 0 || !strings.Contains(out, k.want) {
			t.Errorf("bench %s: exit code %d, want %d with %q:\n%s", strings.Join(k.args, " "), code, k.code, k.want, out)
		}
	}
	interrupt := func(after time.Duration, args ...string) string {
		t.Helper()
		cmd := exec.Command(program, append([]string{"bench"}, args...)...)
		var text bytes.Buffer
		cmd.Stdout, cmd.Stderr = &text, &text
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		cmd.Process.Signal(syscall.SIGINT)
		err := cmd.Wait()
		if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 1 {
			t.Errorf("an interrupted bench %v ends with %v, want exit code 1:\n%s", args, err, &text)
		}
		return text.String()
	}
	long := []string{"--bootstrap", c.bootstrap, "--allow-noise", "--set", "load.rate=100", "--set", "phases.warmup=100ms", "--set", "phases.measure=60s", "--set", "phases.interval=100ms"}
	if text := interrupt(time.Second, append(long, "tail-5k", "--set", "phases.warmup=50s", "--out", filepath.Join(dir, "early"))...); !strings.Contains(text, "interrupted before anything was measured") {
		t.Errorf("interrupted in the warm-up: %s", text)
	}
	both := filepath.Join(dir, "both")
	interrupt(3*time.Second, append([]string{"compare", "tail-5k", "--against", c.bootstrap, "--against-label", "b", "--label", "a", "--out", both}, long...)...)
	if runs, err := load.LoadDir(both); err != nil || len(runs) != 1 || runs[0].Label != "a" || !runs[0].Interrupted {
		t.Errorf("a comparison, interrupted in its first pair, left %+v, %v", runs, err)
	}
	out := filepath.Join(dir, "cut")
	interrupt(3*time.Second, append(long, "tail-5k", "--out", out)...)
	runs, err := load.LoadDir(out)
	if err != nil || len(runs) != 1 || !runs[0].Interrupted || len(runs[0].Repetitions) != 1 || len(runs[0].Repetitions[0].Intervals) == 0 {
		t.Fatalf("an interrupted run left %+v, %v", runs, err)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(string(page), "was interrupted") {
		t.Errorf("its report does not say so: %v", err)
	}
}
