package load

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Write makes every form of the report in dir.
func Write(dir string, runs []*Run) error {
	plots, err := Plots(runs)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for _, p := range plots {
		files[p.Name+".png"] = p.PNG
	}
	rows := Summary(runs)
	for _, form := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"report.html", func(w io.Writer) error { return Page(w, runs, plots) }},
		{"report.md", func(w io.Writer) error { return Markdown(w, runs, plots) }},
		{"report.csv", func(w io.Writer) error { return CSV(w, rows) }},
		{"report.json", func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", " ")
			return e.Encode(struct {
				Kind        string  `json:"kind"`
				Rows        []Row   `json:"rows"`
				Comparisons []Ratio `json:"comparisons,omitempty"`
			}{"barnabas-bench-report", rows, Comparisons(runs)})
		}},
	} {
		var b bytes.Buffer
		if err := form.write(&b); err != nil {
			return fmt.Errorf("%s: %w", form.name, err)
		}
		files[form.name] = b.Bytes()
	}
	for _, run := range runs {
		if err := histogramFiles(run, files); err != nil {
			return err
		}
	}
	for name, data := range files { // unordered: each is a file of its own
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// histogramFiles adds a percentile file a row and kind of latency, and one interval log a run.
func histogramFiles(run *Run, files map[string][]byte) error {
	base := strings.TrimSuffix(filepath.Base(run.File), ".json")
	for _, row := range Summary([]*Run{run}) {
		name := base
		if row.Offered > 0 {
			name += fmt.Sprintf("-%.0f", row.Offered)
		}
		for _, kind := range []struct {
			name string
			of   func(*Repetition) *Histogram
		}{{"produce", func(r *Repetition) *Histogram { return r.Produce }}, {"end-to-end", func(r *Repetition) *Histogram { return r.EndToEnd }},
			{"fetch", func(r *Repetition) *Histogram { return r.Fetch }}, {"commit", func(r *Repetition) *Histogram { return r.Commit }}} {
			all := NewLatency()
			for _, r := range row.reps {
				all.Add(kind.of(r))
			}
			if all.Count() == 0 {
				continue
			}
			var b bytes.Buffer
			if err := all.WriteHGRM(&b); err != nil {
				return err
			}
			files[name+"-"+kind.name+".hgrm"] = b.Bytes()
		}
	}
	var b bytes.Buffer
	if err := IntervalLog(&b, run); err != nil {
		return err
	}
	files[base+".hlog"] = b.Bytes()
	return nil
}

// IntervalLog writes every interval's latencies in the form of HdrHistogram's log, tagged with repetition and kind.
func IntervalLog(w io.Writer, run *Run) error {
	log := hdr.NewHistogramLogWriter(w)
	begin := run.Started.UnixMilli()
	for _, step := range []func() error{
		func() error { return log.OutputComment("[" + run.Workload + ", " + run.Label + "; values in µs]") },
		log.OutputLogFormatVersion,
		func() error { return log.OutputStartTime(begin) },
		log.OutputLegend,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	for n := range run.Repetitions {
		r := &run.Repetitions[n]
		for _, i := range r.Intervals {
			for _, kind := range []struct {
				name string
				h    *Histogram
			}{{"produce", i.Produce}, {"end-to-end", i.EndToEnd}, {"fetch", i.Fetch}, {"commit", i.Commit}} {
				if kind.h.Count() == 0 {
					continue
				}
				h := hdr.New(1, 600_000_000, 3)
				h.Merge(kind.h.Histogram)
				start := r.Started.UnixMilli() + int64(i.At*1000)
				h.SetStartTimeMs(start)
				h.SetEndTimeMs(start + int64(i.Seconds*1000))
				h.SetTag(fmt.Sprintf("%d-%s", n+1, kind.name))
				if err := log.OutputIntervalHistogram(h); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// CSV writes the rows.
func CSV(w io.Writer, rows []Row) error {
	c := csv.NewWriter(w)
	c.Write([]string{"workload", "label", "mode", "offered_per_second", "repetitions", "void", "produced_per_second", "produced_mb_s", "consumed_mb_s",
		"latency", "p50_us", "p99_us", "p99.9_us", "max_us", "broker_cpu_s_per_gb", "broker_cores", "broker_rss_mb", "slip_p99_us"})
	f := func(v float64) string { return fmt.Sprintf("%.3f", v) }
	for _, r := range rows {
		c.Write([]string{r.Workload, r.Label, r.Mode, f(r.Offered), fmt.Sprint(r.Counted), fmt.Sprint(r.Void), f(r.ProducedRate), f(r.ProducedMBs), f(r.ConsumedMBs),
			r.Latency, f(r.P50), f(r.P99), f(r.P999), f(r.Max), f(r.CPUPerGB), f(r.Cores), f(r.RSS), f(r.SlipP99)})
	}
	c.Flush()
	return c.Error()
}

// caveats is what a reader must know, each once.
func caveats(runs []*Run) []string {
	var list []string
	seen := map[string]bool{}
	add := func(s string) {
		if !seen[s] {
			seen[s] = true
			list = append(list, s)
		}
	}
	for _, run := range runs {
		if run.Interrupted {
			add(run.Workload + ", " + run.Label + ": the run was interrupted, or failed; what is here is what was measured until then.")
		}
		for i := range run.Repetitions {
			r := &run.Repetitions[i]
			at := fmt.Sprintf("%s, %s #%d: ", run.Workload, run.Label, i+1)
			for _, v := range r.Void {
				add(at + "void: " + v + ".")
			}
			for _, c := range r.Caveats {
				add(at + c + ".")
			}
			for _, e := range r.Errors {
				add(fmt.Sprintf("%s%d errors: %s.", at, e.Count, e.Error))
			}
		}
	}
	return list
}

// Markdown writes tables for a README.
func Markdown(w io.Writer, runs []*Run, plots []Plot) error {
	var b strings.Builder
	for _, r := range runs {
		if r.Interrupted {
			b.WriteString("**Not all of it was done: the run ended before its end.**\n\n")
			break
		}
	}
	b.WriteString("| workload | cluster | offered/s | MB/s produced | MB/s consumed | latency | p50 | p99 | p99.9 | broker s/GB | RSS MB | repetitions |\n|---|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range Summary(runs) {
		offered, cpu, rss := "", "", ""
		if r.Offered > 0 {
			offered = count(r.Offered)
		}
		if r.Local {
			cpu, rss = fmt.Sprintf("%.2f", r.CPUPerGB), fmt.Sprintf("%.0f", r.RSS)
		}
		times := fmt.Sprint(r.Counted)
		if r.Void > 0 {
			times += fmt.Sprintf(" (%d void)", r.Void)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f | %.1f | %s | %s | %s | %s | %s | %s | %s |\n", r.Workload, r.Label, offered, r.ProducedMBs, r.ConsumedMBs,
			r.Latency, micros(r.P50), micros(r.P99), micros(r.P999), cpu, rss, times)
	}
	if ratios := Comparisons(runs); len(ratios) > 0 {
		b.WriteString("\n| workload | figure | A | B | A/B, 95 % | pairs | |\n|---|---|--:|--:|--:|--:|---|\n")
		for _, r := range ratios {
			fmt.Fprintf(&b, "| %s | %s | %s %s | %s %s | %s | %d | %s |\n", r.Workload, r.Figure, r.A, Number(r.ValueA), r.B, Number(r.ValueB), r.Text(), r.Pairs, r.Verdict())
		}
	}
	for _, p := range plots {
		fmt.Fprintf(&b, "\n![%s](%s.png)\n", p.Caption, p.Name)
	}
	if list := caveats(runs); len(list) > 0 {
		b.WriteString("\n")
		for _, c := range list {
			b.WriteString("- " + c + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
