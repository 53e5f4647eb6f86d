package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Goal: a Go broker's collections are marked where they were: those of the stretch, that are worth it, of the process that is watched.
// Method: a trace written by hand, in front of which, between whose lines and behind which other things stand.
func TestGoCollectionsAreMarked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log.txt")
	before := "gc 1 @2.500s 1%: 0.01+9.0+0.02 ms clock, 0.1+0/0/0+0.1 ms cpu, 4->4->0 MB, 4 MB goal, 2 P\n"
	text := before + `level=info msg="gc 9 @3.000s 1%: 0.01+9.0+0.02 ms clock"
gc 2 @2.600s 1%: 0.010+5.5+0.030 ms clock, 0.1+0/0/0+0.1 ms cpu, 4->4->0 MB, 4 MB goal, 2 P
gc 3 @4.000s 1%: 0.010+0.5+0.030 ms clock, 0.1+0/0/0+0.1 ms cpu, 4->4->0 MB, 4 MB goal, 2 P
gc 4 @4.500s 1%: 0.100+2.0+0.150 ms clock, 0.1+0/0/0+0.1 ms cpu, 4->4->0 MB, 4 MB goal, 2 P (forced)
gc 5 @13.500s 1%: 0.100+2.0+0.150 ms clock, 0.1+0/0/0+0.1 ms cpu, 4->4->0 MB, 4 MB goal, 2 P
gc 1 @4.600s 1%: 0.100+2.0+0.150 ms clock, 0.1+0/0/0+0.1 ms cpu, 4->4->0 MB, 4 MB goal, 2 P
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	trace := goTrace{pid: 7, file: file, started: start, from: int64(len(before))}
	events := trace.events(start.Add(3*time.Second), 10)
	if len(events) != 1 || events[0].At != 1.5 || events[0].Kind != "gc" || !strings.Contains(events[0].Text, "pid 7 collected garbage for 2.2 ms, and stood still for 0.25 ms") {
		t.Errorf("%+v", events)
	}
	var many strings.Builder
	for range 100 {
		many.WriteString("gc 4 @4.500s 1%: 0.100+2.0+0.150 ms clock, x\n")
	}
	os.WriteFile(file, []byte(many.String()), 0o644)
	if events := brokerCollections(nil, []goTrace{{pid: 7, file: file, started: start}}, start, 10); len(events) != 34 || !strings.Contains(events[0].Text, "one of 3") {
		t.Errorf("of 100 collections %d are marked", len(events))
	}
}

// Goal: a process's start is known to some hundredths. Method: this one's, which was before now and after the machine's.
func TestProcessStart(t *testing.T) {
	if at, ok := processStart(os.Getpid()); !ok || time.Since(at) < 0 || time.Since(at) > 10*time.Minute {
		t.Errorf("this process began at %v, %v", at, ok)
	}
}
