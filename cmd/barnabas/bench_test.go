package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"barnabas/bench"
	"barnabas/reports/load"
)

// Goal: a broker that stands still for half a second shows as half a second, end to end, although the client goes on.
// Method: a real broker process gets SIGSTOP in the middle of an open loop, SIGCONT 500 ms later.
func TestInteropBenchSeesAStall(t *testing.T) {
	needInterop(t)
	c := startCluster(t, "--brokers", "1")
	c.mu.Lock()
	pid := c.pids["broker-1"]
	c.mu.Unlock()
	file := filepath.Join(t.TempDir(), "w.yaml")
	text := "name: stall\ntitle: t\nrecords: {size: 100}\nload: {mode: open, rate: 1000}\nconsumers: [{mode: tail}]\n" +
		"phases: {warmup: 1s, measure: 4s, cooldown: 100ms, repetitions: 1}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := bench.Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	var stall time.Duration
	timer := time.AfterFunc(2500*time.Millisecond, func() {
		syscall.Kill(pid, syscall.SIGSTOP)
		began := time.Now()
		time.Sleep(500 * time.Millisecond)
		stall = time.Since(began)
		syscall.Kill(pid, syscall.SIGCONT)
	})
	defer timer.Stop()
	run, err := bench.Run(context.Background(), w, bench.Options{Bootstrap: c.bootstrap, AllowNoise: true})
	if err != nil {
		t.Fatal(err)
	}
	r := &run.Repetitions[0]
	if r.Brokers.Processes != 1 || len(r.Errors) > 0 || r.Unfinished > 0 || len(r.Intervals) != 4 {
		t.Errorf("%+v", r)
	}
	for name, h := range map[string]*load.Histogram{"produce": r.Produce, "end to end": r.EndToEnd} {
		if n := h.Count(); n < 3990 || n > 4010 {
			t.Errorf("%s: %d records, want 4000", name, n)
		}
		limit := int64(150_000)
		if got, want := h.At(100), stall.Microseconds(); got < want-limit || got > want+limit {
			t.Errorf("%s: max %d µs, the stall was %d", name, got, want)
		}
		// An eighth of the records waits, evenly: p99 is eight hundredths below the top.
		if got, want := h.At(99), stall.Microseconds()-40_000; got < want-limit || got > want+limit {
			t.Errorf("%s: p99 %d µs, want %d", name, got, want)
		}
		if got := h.At(50); got > 100_000 {
			t.Errorf("%s: p50 %d µs", name, got)
		}
	}
}

// Goal: a closed loop, catch-up reads and a comparison run on a real broker, and a topic of another shape is refused in words.
func TestInteropBenchKinds(t *testing.T) {
	needInterop(t)
	c := startCluster(t, "--brokers", "1", "--topic", "taken:2:1")
	o := bench.Options{Bootstrap: c.bootstrap, Label: "a", AllowNoise: true}
	short := []string{"phases.warmup=100ms", "phases.measure=500ms", "phases.interval=100ms", "phases.repetitions=2"}
	read := func(name string, sets ...string) *bench.Workload {
		w, err := bench.Read(name, append(sets, short...))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	ra, rb, err := bench.Compare(context.Background(), read("produce-64k"), o, bench.Options{Bootstrap: c.bootstrap, Label: "b", AllowNoise: true})
	if err != nil || len(load.Compare(ra, rb)) == 0 || ra.Repetitions[0].Produced.Records == 0 {
		t.Fatalf("compare: %v", err)
	}
	w := read("consume")
	w.Consumers[0].Backlog = 8 << 20
	run, err := bench.Run(context.Background(), w, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := run.Repetitions[0].Consumed.Bytes; got < 8<<20 || got > 9<<20 {
		t.Errorf("read %d bytes of a backlog of 8 MiB", got)
	}
	if config := strings.Join(run.Target.Config, " "); !strings.Contains(config, "offsets.topic.replication.factor=1") || strings.Contains(config, "log.dirs") {
		t.Errorf("of the broker's configuration the report says %q", config)
	}
	_, err = bench.Run(context.Background(), read("produce-64k", "topic.name=taken"), o)
	if err == nil || !strings.Contains(err.Error(), "exists with 2 partitions, the workload wants 1") {
		t.Errorf("a topic of another shape: %v", err)
	}
	_, err = bench.Run(context.Background(), w, bench.Options{Bootstrap: "127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), "no Kafka-compatible cluster answers at 127.0.0.1:1") {
		t.Errorf("no cluster: %v", err)
	}
}
