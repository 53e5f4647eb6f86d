package reports

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"strings"
	"testing"
	"time"
)

// sample is a run with something of everything in it, including characters that HTML and XML must escape.
func sample(verdict Verdict) *Run {
	r := &Run{
		Scenario: "leader-failover", Summary: "the leader dies & another leads", Seed: 7, World: "sim", Verdict: verdict,
		Hash: "00ff", Events: 1234567, Virtual: 24 * time.Second, Wall: 200 * time.Millisecond,
		HealedAt: 18 * time.Second, Converged: 1500 * time.Millisecond,
		Settings: []Setting{{"brokers", "3"}, {"min.insync.replicas", "2"}},
		Counts:   Counts{OK: 4100, Failed: 20, Unknown: 6, RecordsAcked: 3000, RecordsRead: 9000, RecordsDrained: 3004, Elections: 4, ISRChanges: 9, Controllers: 2},
		Faults: []Fault{
			{Text: "4.000s crash node=1 for=5s", Kind: "crash", Start: 4 * time.Second, End: 9 * time.Second, Outcome: "applied"},
			{Text: "6.000s partition from=2 to=1,3 for=4s", Kind: "partition", Start: 6 * time.Second, End: 10 * time.Second, Outcome: "applied", Links: []string{"b2>b1", "b1>b2", "b2>b3", "b3>b2"}},
			{Text: "12.000s power node=3 for=2s", Kind: "power", Start: 12 * time.Second, End: 14 * time.Second, Outcome: "withheld", Why: "the only <copy>"},
		},
		Fired: []FaultCount{{"crash", 1, 1, 1, 0}, {"partition", 1, 1, 40, 0}, {"power", 1, 0, 0, 1}},
		Leaders: []Leadership{
			{time.Second, "t-0", 1, 0, []int32{1, 2, 3}}, {7 * time.Second, "t-0", 2, 1, []int32{2, 3}}, {11 * time.Second, "t-0", 2, 1, []int32{2, 3, 1}},
			{time.Second, "t-1", 2, 0, []int32{2, 3, 1}}, {7 * time.Second, "t-1", 2, 0, []int32{2, 3}},
		},
		Nodes: []NodeChange{{0, "b1", "up"}, {4 * time.Second, "b1", "down"}, {9 * time.Second, "b1", "up"}, {0, "b2", "up"}, {15 * time.Second, "b2", "paused"}, {16 * time.Second, "b2", "up"}, {0, "zk", "up"}},
	}
	for i := range 240 {
		s := Slice{OK: 15 + i%7, LatencyP50: time.Duration(1500+i*3) * time.Microsecond, LatencyMax: time.Duration(9+i%30) * time.Millisecond}
		if i >= 40 && i < 70 {
			s = Slice{Failed: 2, Unknown: i % 2, OK: 2, LatencyP50: 30 * time.Millisecond, LatencyMax: 2 * time.Second}
		}
		r.Slices = append(r.Slices, s)
	}
	if verdict != Pass {
		r.Reason = "an acked record is gone"
		r.Dir = "out/leader-failover-7"
	}
	if verdict == Safety {
		r.Failures = []Failure{{ID: "INV-NO-LOST-WRITE", Anomaly: "lost-write", Message: "record p3/17 acked at t-0 offset 412 is not in the final drain", At: 9317 * time.Millisecond, Witness: []string{"p3 produce t-0 p3/17 -> ok 412"}}}
	}
	return r
}

// Goal: the card tells the verdict, and a failure ends in the line that replays it.
func TestCardEndsInTheReplayLine(t *testing.T) {
	var b strings.Builder
	Card(&b, sample(Safety))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if got := lines[len(lines)-2]; got != "FAIL safety INV-NO-LOST-WRITE leader-failover seed=7 at=9.317s" {
		t.Errorf("verdict line %q", got)
	}
	if got := lines[len(lines)-1]; got != "replay: barnabas replay out/leader-failover-7" {
		t.Errorf("last line %q", got)
	}
	if !strings.Contains(b.String(), "4 100 ok, 20 failed, 6 unknown") || !strings.Contains(b.String(), "power 0/1 (1 withheld)") {
		t.Errorf("card:\n%s", b.String())
	}
}

// Goal: CI systems count what happened. Method: read the XML back.
func TestJUnitCounts(t *testing.T) {
	var b strings.Builder
	if err := JUnit(&b, []*Run{sample(Pass), sample(Safety), sample(Error)}); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 3 || got.Failures != 1 || got.Errors != 1 || len(got.Suites) != 1 || len(got.Suites[0].Cases) != 3 {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(got.Suites[0].Cases[1].Failure.Text, "replay: ") {
		t.Error("the failure does not say how to replay it")
	}
	for _, c := range got.Suites[0].Cases {
		if len(c.Properties) != 1 || c.Properties[0] != (junitProperty{Name: "hash", Value: sample(Pass).Hash}) {
			t.Errorf("%s: properties %v", c.Name, c.Properties)
		}
	}
}

// Goal: the page holds the failure and its picture, escapes what it is given, and asks nothing of the network.
func TestPageStandsAlone(t *testing.T) {
	var b strings.Builder
	if err := Page(&b, []*Run{sample(Pass), sample(Safety)}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"1 of 2 runs passed", "INV-NO-LOST-WRITE", "barnabas replay out/leader-failover-7", "<svg class=\"timeline\"", "dies &amp; another", "the only &lt;copy&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "<script", "NaN", "Inf"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q in the page", bad)
		}
	}
	if out := os.Getenv("BARNABAS_PAGE"); out != "" {
		if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Goal: an empty run draws without dividing by nothing.
func TestTimelineOfNothing(t *testing.T) {
	if svg := Timeline(&Run{}); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
}

// Goal: the record reads back as it was written, and exit codes are those of the documentation.
func TestRunRoundTrips(t *testing.T) {
	data, err := sample(Safety).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Run
	if err := json.Unmarshal(data, &back); err != nil || back.Failures[0].ID != "INV-NO-LOST-WRITE" || back.Seed != 7 {
		t.Errorf("%+v, %v", back.Failures, err)
	}
	for v, want := range map[Verdict]int{Pass: 0, Error: 1, Crash: 10, Liveness: 11, Safety: 12, Nondeterminism: 13, Vacuous: 14} {
		if v.ExitCode() != want {
			t.Errorf("%s exits with %d", v, v.ExitCode())
		}
	}
}

// Goal: what broke the same is told apart by where: of a panic by the function, not its lines and arguments, of a cluster that did
// not get well by what it lacked, not by how much of it.
func TestTopOfTheTrace(t *testing.T) {
	stack := "goroutine 5 [running]:\nruntime/debug.Stack()\n\t/go/debug/stack.go:26 +0x5e\npanic({0x1, 0x2})\n\t/go/panic.go:783 +0x132\n" +
		"barnabas/broker/assert.That(...)\n\t/b/assert.go:9\nbarnabas/broker/log.(*Log).cut(0xc000, 0x1)\n\t/b/truncate.go:99 +0x1\nbarnabas/broker/log.(*Log).TruncateTo(0xc000)\n"
	for _, c := range []struct {
		r    Run
		want string
	}{
		{Run{Verdict: Crash, Stack: stack}, "barnabas/broker/log.(*Log).cut"},
		{Run{Verdict: Crash}, ""},
		{Run{Verdict: Liveness, Reason: "20s after everything healed, t-3 has ISR [1 2]"}, "after everything healed has ISR"},
		{Run{Verdict: Safety, Reason: "INV-X: 3"}, ""},
	} {
		if got := c.r.Top(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	var s Soak
	for _, at := range []string{"cut", "drop", "cut"} {
		s.Add(&Run{Scenario: "a", Verdict: Crash, Stack: strings.ReplaceAll(stack, "cut", at)}, "", 1)
	}
	if len(s.Failures) != 2 || s.Failures[0].Count != 2 || s.Failures[0].Signature() == s.Failures[1].Signature() {
		t.Errorf("%+v", s.Failures)
	}
}
