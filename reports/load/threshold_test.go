package load

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func thresholds(t *testing.T, text string) ([]Threshold, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "t.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return ReadThresholds(file)
}

// Goal: a threshold that holds passes, one that is broken, that meets nothing, or whose row is void fails, in words.
func TestThresholds(t *testing.T) {
	slow, fast := sample("A", 2), sample("B", 1) // A's p99 is about twice B's
	old := sample("A", 1)
	void := sample("C", 1)
	for i := range void.Repetitions {
		void.Repetitions[i].Void = []string{"x"}
	}
	for _, c := range []struct {
		text string
		ok   bool
		want string
	}{
		{"- {workload: w, label: A, rate: 1000, figure: p99, max: 5000}", true, "keeps at most 5,000"},
		{"- {workload: w, label: A, rate: 1000, figure: p99, max: 3000}", false, "BREAKS at most 3,000"},
		{"- {workload: w, label: A, rate: 1000, figure: produced, min: 1}", true, "keeps at least"},
		{"- {workload: w, label: B, rate: 1000, figure: p99, against: A, max_ratio: 0.6}", true, "over that of A"},
		{"- {workload: w, label: B, rate: 1000, figure: p99, against: A, max_ratio: 0.4}", false, "BREAKS"},
		{"- {workload: w, label: A, rate: 1000, figure: p99, worse_by: 1.5}", true, "baseline"},
		{"- {workload: w, label: A, rate: 1000, figure: p99, worse_by: 0.5}", false, "baseline"},
		{"- {workload: w, label: A, rate: 1000, figure: produced, worse_by: 0}", true, "baseline"},
		{"- {workload: w, label: B, rate: 1000, figure: p99, worse_by: 0.5}", false, "no such row (--baseline DIR)"},
		{"- {workload: other, figure: p99, max: 1}", false, "no such row"},
		{"- {workload: w, label: C, rate: 1000, figure: p99, max: 1e9}", false, "void"},
	} {
		list, err := thresholds(t, c.text)
		if err != nil {
			t.Fatal(err)
		}
		verdicts := Check(list, []*Run{slow, fast, void}, []*Run{old})
		if len(verdicts) != 1 || verdicts[0].OK != c.ok || !strings.Contains(verdicts[0].Text, c.want) {
			t.Errorf("%s: %+v", c.text, verdicts)
		}
	}
	for text, want := range map[string]string{
		"- {workload: w, figure: p98, max: 1}":         `"p98" is none of`,
		"- {workload: w, figure: p99}":                 "give one of",
		"- {workload: w, figure: p99, max: 1, min: 1}": "give one of",
		"- {workload: w, figure: p99, max_ratio: 1}":   "against goes with",
		"- {workload: w, figure: p99, maximum: 1}":     "t.yaml:1: unknown field",
		"- {figure: p99, max: 1}":                      "no workload",
		"[]":                                           "no threshold",
	} {
		if _, err := thresholds(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Goal: runs of many days make lines with one point a run, and one page with them.
func TestTrend(t *testing.T) {
	var runs []*Run
	for day := range 5 {
		r := sample("A", int64(1+day))
		r.Started = r.Started.Add(time.Duration(5-day) * 24 * time.Hour) // not in order
		runs = append(runs, r)
	}
	lines := Trend(append(runs, sample("alone", 1)))
	if len(lines) != 2 || len(lines[0].Points) != 5 {
		t.Fatalf("%d lines: %+v", len(lines), lines)
	}
	for i := 1; i < 5; i++ {
		if lines[0].Points[i].P99 >= lines[0].Points[i-1].P99 { // the newest is the fastest
			t.Errorf("point %d: p99 %v after %v", i, lines[0].Points[i].P99, lines[0].Points[i-1].P99)
		}
	}
	var days []string
	for _, tick := range reportsOf(lines).Ticks(0, 9) {
		days = append(days, tick.Label)
	}
	if last := runs[0].Started.Format("2 Jan"); len(days) != 5 || days[4] != last {
		t.Errorf("the axis says %q, and the last is of %s", days, last)
	}
	dir := t.TempDir()
	if err := WriteTrend(dir, runs); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "trend.html"))
	if err != nil || strings.Count(string(page), "<svg") < 4 || strings.Contains(string(page), "src=") {
		t.Errorf("%v, %d pictures", err, strings.Count(string(page), "<svg"))
	}
	if err := WriteTrend(dir, runs[:1]); err == nil {
		t.Error("one run made a trend")
	}
}

// Goal: two reports on one page are compared by Welch's t, unpaired. Method: the textbook's formula by hand for two and three values.
func TestJoinedReportsAreCompared(t *testing.T) {
	e := math.Exp
	r := welch([]float64{e(1), e(2), e(3)}, []float64{e(0), e(1)})
	// means 2 and .5; variances 1 and .5; errors 1/3 and .5/2; freedom (7/12)²/((1/3)²/2+(1/4)²/1) = 2.88, taken as 2: t = 4.303
	half := 4.303 * math.Sqrt(1.0/3+.25)
	if math.Abs(r.Ratio-e(1.5)) > 1e-9 || math.Abs(r.Low-e(1.5-half)) > 1e-6 || math.Abs(r.High-e(1.5+half)) > 1e-6 || !r.Undecided {
		t.Errorf("%+v", r)
	}
	joined := Joined([]*Run{sample("A", 2)}, []*Run{sample("A", 1)}, "before", "after")
	found := false
	for _, c := range Comparisons(joined) {
		if c.Figure == "p99 µs" && c.Offered == 1000 {
			found = math.Abs(c.Ratio-2) < .05 && c.A == "A (before)" && c.B == "A (after)"
		}
	}
	if !found {
		t.Errorf("%+v", Comparisons(joined))
	}
}
