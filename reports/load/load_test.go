package load

import (
	"bytes"
	"encoding/csv"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// sample is a run with two rates and two repetitions of each, the last void.
func sample(label string, factor int64) *Run {
	run := &Run{Workload: "w", Title: "A <title> & more", Label: label, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Settings: "name: w\n"}
	for n := range 4 {
		r := Repetition{Started: run.Started, Mode: "open", Offered: float64(1000 * (1 + n%2)), Seconds: 4,
			Produce: NewLatency(), EndToEnd: NewLatency(), Slip: NewSlip(), Brokers: Usage{Processes: 1, CPUSeconds: 1, Seconds: 4, RSSMax: 30e6}}
		for i := range 5 {
			part := Interval{At: float64(i), Seconds: 1, Produce: NewLatency(), EndToEnd: NewLatency()}
			for v := range int64(1000) {
				part.Produce.Record(factor*v + int64(n+1))
				part.EndToEnd.Record(2*factor*v + int64(n+1))
			}
			part.Produced = Flow{1000, 1 << 20, 1}
			r.Produce.Add(part.Produce)
			r.EndToEnd.Add(part.EndToEnd)
			r.Intervals = append(r.Intervals, part)
		}
		r.Produced = Flow{5000, 5 << 20, 4}
		run.Repetitions = append(run.Repetitions, r)
	}
	run.Repetitions[3].Void = []string{"a <reason>"}
	return run
}

// Goal: a run read back is the run that was written, histograms bucket by bucket; other files are told from it.
func TestRunsSurviveTheirFile(t *testing.T) {
	dir := t.TempDir()
	run := sample("A", 1)
	if err := run.Save(filepath.Join(dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "other.json"), []byte(`{"kind":"else"}`), 0o644)
	os.WriteFile(filepath.Join(dir, "broken.json"), []byte(`{`), 0o644)
	runs, err := LoadDir(dir)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	got := runs[0].Repetitions[1].EndToEnd
	if want := run.Repetitions[1].EndToEnd; !got.Equals(want.Histogram) || got.Unit != "us" {
		t.Error("the histogram is another")
	}
	data, _ := os.ReadFile(filepath.Join(dir, "a.json"))
	os.WriteFile(filepath.Join(dir, "a.json"), bytes.Replace(data, []byte(`"format": 1`), []byte(`"format": 9`), 1), 0o644)
	if _, err := LoadDir(dir); err == nil || !strings.Contains(err.Error(), "format 9") {
		t.Errorf("a later format: %v", err)
	}
	if _, err := LoadDir(t.TempDir()); err == nil {
		t.Error("an empty directory made a report")
	}
}

// Goal: every form of the report is made, stands alone, escapes what it is given, and holds the numbers.
func TestReportHasEveryForm(t *testing.T) {
	dir := t.TempDir()
	a, b := sample("A", 1), sample("B", 2)
	a.File, b.File = filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json")
	if err := Write(dir, []*Run{a, b}); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	page := read("report.html")
	for _, bad := range []string{"src=", "<script", "url(", "@import", "a <reason>", "<title> &"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := strings.Count(page, "<svg"); n < 3 {
		t.Errorf("%d pictures", n)
	}
	rows, err := csv.NewReader(strings.NewReader(read("report.csv"))).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Errorf("%d lines of CSV, %v", len(rows), err)
	}
	for _, name := range []string{"w-percentiles.png", "w-curve.png", "w-heat-1.png", "w-p99.png"} {
		if _, err := png.Decode(strings.NewReader(read(name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if md := read("report.md"); !strings.Contains(md, "A/B, 95 %") {
		t.Error("no comparison in the Markdown")
	}
	if hgrm := read("a-1000-end-to-end.hgrm"); !strings.Contains(hgrm, "Value\tPercentile\tTotalCount\t1/(1-Percentile)") {
		t.Errorf("not an HDR percentile file:\n%.200s", hgrm)
	}
	reader := hdr.NewHistogramLogReader(strings.NewReader(read("a.hlog")))
	n := int64(0)
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		n += h.TotalCount()
	}
	if n != 2*4*5*1000 {
		t.Errorf("the interval log holds %d values", n)
	}
}

// Goal: what the brokers used is drawn where it moves (a soak, a fault, a ramp) and known, and not else; a ramp's curve has its intervals for
// points.
func TestPlotsOfWhatMoves(t *testing.T) {
	names := func(run *Run) string {
		for i := range run.Repetitions {
			for n := range run.Repetitions[i].Intervals {
				run.Repetitions[i].Intervals[n].BrokerCPU = .5
			}
		}
		plots, err := Plots([]*Run{run})
		if err != nil {
			t.Fatal(err)
		}
		all := ""
		for _, p := range plots {
			all += p.Name + " "
		}
		return all
	}
	if all := names(sample("A", 1)); strings.Contains(all, "cpu") {
		t.Errorf("a plain run: %s", all)
	}
	soak := sample("A", 1)
	soak.Drift = []Drift{{Figure: "p99 µs"}}
	if all := names(soak); !strings.Contains(all, "w-cpu ") || strings.Contains(all, "memory") { // of which nothing is known
		t.Errorf("a soak: %s", all)
	}
	ramp := sample("A", 1)
	ramp.Settings = "name: w\nload:\n  ramp:\n    from: 1\n"
	ramp.Repetitions = ramp.Repetitions[:1]
	if all := names(ramp); !strings.Contains(all, "w-cpu ") || !strings.Contains(all, "w-curve ") {
		t.Errorf("a ramp: %s", all)
	}
}

// Goal: the interval of a ratio is the textbook's. Method: three pairs whose logarithms are 0.1, 0.2 and 0.3: mean 0.2, deviation
// 0.1, t(2) = 4.303, so ± 4.303 · 0.1 / √3 = 0.2484.
func TestRatioInterval(t *testing.T) {
	a := []float64{math.Exp(.1), math.Exp(.2), math.Exp(.3)}
	r := newRatio(a, []float64{1, 1, 1})
	for _, c := range []struct{ got, want float64 }{{r.Ratio, math.Exp(.2)}, {r.Low, math.Exp(.2 - .2484)}, {r.High, math.Exp(.2 + .2484)}} {
		if math.Abs(c.got-c.want) > 1e-4 {
			t.Errorf("%+v: %v, want %v", r, c.got, c.want)
		}
	}
	if !r.Undecided {
		t.Error("the interval holds 1 and the ratio is called decided")
	}
	ratios := Compare(sample("A", 1), sample("B", 2))
	for _, r := range ratios {
		if r.Figure == "p99 µs" && (math.Abs(r.Ratio-.5) > .01 || r.Offered == 1000 && r.Pairs != 2 || r.Offered == 2000 && r.Pairs != 1) {
			t.Errorf("%+v", r)
		}
	}
}
