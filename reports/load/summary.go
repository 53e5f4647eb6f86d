package load

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Row is a run at one rate: medians over its repetitions that count. When none counts, it says so and has no figures.
type Row struct {
	Workload string  `json:"workload"`
	Title    string  `json:"title"`
	Label    string  `json:"label"`
	Mode     string  `json:"mode"`
	Offered  float64 `json:"offered,omitempty"` // records/s
	Counted  int     `json:"counted"`           // repetitions
	Void     int     `json:"void,omitempty"`

	ProducedRate float64 `json:"produced_per_second"`
	ProducedMBs  float64 `json:"produced_mb_s"`
	ConsumedMBs  float64 `json:"consumed_mb_s"`
	MBsLow       float64 `json:"mb_s_low"` // of the busier direction, over repetitions
	MBsHigh      float64 `json:"mb_s_high"`
	Latency      string  `json:"latency"` // which one: end to end, or to the ack
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	P999         float64 `json:"p99.9_us"`
	Max          float64 `json:"max_us"`
	CPUPerGB     float64 `json:"broker_cpu_seconds_per_gb"`
	Cores        float64 `json:"broker_cores"`
	RSS          float64 `json:"broker_rss_mb"`
	SlipP99      float64 `json:"slip_p99_us"`
	Local        bool    `json:"brokers_measured"`

	merged *Histogram
	run    *Run
	reps   []*Repetition
}

// latency picks what a reader cares for: the way to the consumer, if there is one.
func (r *Repetition) latency() (*Histogram, string) {
	if r.EndToEnd.Count() > 0 {
		return r.EndToEnd, "end to end"
	}
	return r.Produce, "to the ack"
}

// Summary makes the rows of all runs, those of one workload together.
func Summary(runs []*Run) []Row {
	var rows []Row
	first := map[string]int{}
	for i, run := range runs {
		if _, seen := first[run.Workload]; !seen {
			first[run.Workload] = i
		}
	}
	runs = slices.Clone(runs)
	slices.SortStableFunc(runs, func(a, b *Run) int { return first[a.Workload] - first[b.Workload] })
	for _, run := range runs {
		var rates []float64
		byRate := map[float64][]*Repetition{}
		for i := range run.Repetitions {
			r := &run.Repetitions[i]
			if byRate[r.Offered] == nil {
				rates = append(rates, r.Offered)
			}
			byRate[r.Offered] = append(byRate[r.Offered], r)
		}
		sort.Float64s(rates)
		for _, rate := range rates {
			rows = append(rows, newRow(run, rate, byRate[rate]))
		}
	}
	return rows
}

func newRow(run *Run, rate float64, all []*Repetition) Row {
	row := Row{Workload: run.Workload, Title: run.Title, Label: run.Label, Mode: all[0].Mode, Offered: rate, run: run, merged: NewLatency()}
	for _, r := range all {
		if len(r.Void) == 0 {
			row.reps = append(row.reps, r)
		}
	}
	row.Counted, row.Void = len(row.reps), len(all)-len(row.reps)
	med := func(f func(*Repetition) float64) float64 {
		v := make([]float64, len(row.reps))
		for i, r := range row.reps {
			v[i] = f(r)
		}
		return median(v)
	}
	at := func(p float64) float64 {
		return med(func(r *Repetition) float64 { h, _ := r.latency(); return float64(h.At(p)) })
	}
	row.ProducedRate = med(func(r *Repetition) float64 { return r.Produced.Rate() })
	row.ProducedMBs = med(func(r *Repetition) float64 { return r.Produced.MBs() })
	row.ConsumedMBs = med(func(r *Repetition) float64 { return r.Consumed.MBs() })
	row.P50, row.P99, row.P999, row.Max = at(50), at(99), at(99.9), at(100)
	row.CPUPerGB = med((*Repetition).CPUPerGB)
	row.Cores = med(func(r *Repetition) float64 { return r.Brokers.Cores() })
	row.RSS = med(func(r *Repetition) float64 { return float64(r.Brokers.RSSMax) / 1e6 })
	row.SlipP99 = med(func(r *Repetition) float64 { return float64(r.Slip.At(99)) / 1e3 })
	for i, r := range row.reps {
		h, what := r.latency()
		row.merged.Add(h)
		row.Latency = what
		row.Local = r.Brokers.Processes > 0
		v := max(r.Produced.MBs(), r.Consumed.MBs())
		if i == 0 {
			row.MBsLow, row.MBsHigh = v, v
		}
		row.MBsLow, row.MBsHigh = min(row.MBsLow, v), max(row.MBsHigh, v)
	}
	if row.merged.Count() == 0 {
		row.Latency = ""
	}
	return row
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// ramp tells whether the row's load was one.
func (r Row) ramp() bool { return strings.Contains(r.run.Settings, "\n  ramp:\n") }

// When is the start of the row's run.
func (r Row) When() string { return r.run.Started.Format("2006-01-02 15:04") }

// Commit is the program that measured it.
func (r Row) Commit() string { return r.run.Machine.Commit }

// name is a row among the others of its report.
func (r Row) name() string {
	if r.Offered > 0 {
		return fmt.Sprintf("%s, %s/s", r.Label, count(r.Offered))
	}
	return r.Label
}

func count(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Number writes a figure with as many digits as say something: 0.3012, 29.2, 1,935.
func Number(v float64) string {
	if v >= 1000 {
		return count(v)
	}
	return fmt.Sprintf("%.4g", v)
}

func micros(us float64) string {
	switch {
	case us == 0:
		return "–"
	case us < 10_000:
		return count(us) + " µs"
	case us < 1e6:
		return fmt.Sprintf("%.1f ms", us/1000)
	default:
		return fmt.Sprintf("%.2f s", us/1e6)
	}
}
