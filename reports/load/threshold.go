package load

import (
	"fmt"
	"math"
	"os"
)

// Threshold is one line of a threshold file: what a figure must not pass. Without a label or rate it holds for every row of
// the workload.
type Threshold struct {
	Workload string  `yaml:"workload"`
	Label    string  `yaml:"label,omitempty"`
	Rate     float64 `yaml:"rate,omitempty"`
	Figure   string  `yaml:"figure"` // see Figures
	// One of the following.
	Max     *float64 `yaml:"max,omitempty"`
	Min     *float64 `yaml:"min,omitempty"`
	WorseBy *float64 `yaml:"worse_by,omitempty"` // than the same row of the baseline, as a share of it
	// Against another cluster in the same report, MaxRatio or MinRatio of the figures, in interleaved pairs.
	Against  string   `yaml:"against,omitempty"`
	MaxRatio *float64 `yaml:"max_ratio,omitempty"`
	MinRatio *float64 `yaml:"min_ratio,omitempty"`
}

// rowFigures are the figures that a threshold or a trend can name.
var rowFigures = []struct {
	name string
	unit string
	less bool // is better
	of   func(Row) float64
}{
	{"p50", "µs", true, func(r Row) float64 { return r.P50 }},
	{"p99", "µs", true, func(r Row) float64 { return r.P99 }},
	{"p99.9", "µs", true, func(r Row) float64 { return r.P999 }},
	{"max", "µs", true, func(r Row) float64 { return r.Max }},
	{"produced", "MB/s", false, func(r Row) float64 { return r.ProducedMBs }},
	{"consumed", "MB/s", false, func(r Row) float64 { return r.ConsumedMBs }},
	{"cpu", "s/GB", true, func(r Row) float64 { return r.CPUPerGB }},
	{"rss", "MB", true, func(r Row) float64 { return r.RSS }},
}

// Figures names what a threshold can hold.
func Figures() []string {
	var names []string
	for _, f := range rowFigures {
		names = append(names, f.name)
	}
	return names
}

// ReadThresholds reads a threshold file, strictly: an unknown key is an error with its line.
func ReadThresholds(file string) ([]Threshold, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []Threshold
	if err := Strict(file, data, &list); err != nil {
		return nil, err
	}
	for i, t := range list {
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("%s: threshold %d (%s, %s): %w", file, i+1, t.Workload, t.Figure, err)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no threshold", file)
	}
	return list, nil
}

func (t Threshold) check() error {
	if t.Workload == "" {
		return fmt.Errorf("no workload")
	}
	if t.figure() < 0 {
		return fmt.Errorf("figure %q is none of %v", t.Figure, Figures())
	}
	n := 0
	for _, v := range []*float64{t.Max, t.Min, t.WorseBy, t.MaxRatio, t.MinRatio} {
		if v != nil {
			n++
			if math.IsNaN(*v) {
				return fmt.Errorf("a bound is not a number")
			}
		}
	}
	if n != 1 {
		return fmt.Errorf("give one of max, min, worse_by, max_ratio and min_ratio")
	}
	if (t.Against != "") != (t.MaxRatio != nil || t.MinRatio != nil) {
		return fmt.Errorf("against goes with max_ratio or min_ratio")
	}
	return nil
}

func (t Threshold) figure() int {
	for i, f := range rowFigures {
		if f.name == t.Figure {
			return i
		}
	}
	return -1
}

func (t Threshold) meets(r Row) bool {
	return r.Workload == t.Workload && (t.Label == "" || r.Label == t.Label) && (t.Rate == 0 || r.Offered == t.Rate)
}

// Verdict is how one threshold fared on one row.
type Verdict struct {
	OK   bool
	Text string // in a sentence
}

// Check holds runs to thresholds; baseline may be empty where no threshold asks for it. A threshold that no row meets, and a
// row of which no repetition counts, fail: a check that looked at nothing proves nothing.
func Check(list []Threshold, runs, baseline []*Run) []Verdict {
	var verdicts []Verdict
	rows, old := Summary(runs), Summary(baseline)
	for _, t := range list {
		met := false
		for _, r := range rows {
			if t.meets(r) && r.Label != t.Against {
				met = true
				verdicts = append(verdicts, t.judge(r, rows, old))
			}
		}
		if !met {
			verdicts = append(verdicts, Verdict{false, fmt.Sprintf("%s, %s: the report has no such row", t.Workload, t.Figure)})
		}
	}
	return verdicts
}

func (t Threshold) judge(r Row, rows, old []Row) Verdict {
	f := rowFigures[t.figure()]
	what := fmt.Sprintf("%s, %s: %s", r.Workload, r.name(), f.name)
	if r.Counted == 0 {
		return Verdict{false, what + ": every repetition is void"}
	}
	v := f.of(r)
	say := func(ok bool, bound string, b float64) Verdict {
		word := "keeps"
		if !ok {
			word = "BREAKS"
		}
		return Verdict{ok, fmt.Sprintf("%s %s %s %s %s %s", what, Number(v), f.unit, word, bound, Number(b))}
	}
	other := func(from []Row, label string) (Row, bool) {
		for _, o := range from {
			if o.Workload == r.Workload && o.Label == label && o.Offered == r.Offered && o.Counted > 0 {
				return o, true
			}
		}
		return Row{}, false
	}
	switch {
	case t.Max != nil:
		return say(v <= *t.Max, "at most", *t.Max)
	case t.Min != nil:
		return say(v >= *t.Min, "at least", *t.Min)
	case t.WorseBy != nil:
		o, ok := other(old, r.Label)
		if !ok {
			return Verdict{false, what + ": the baseline has no such row (--baseline DIR)"}
		}
		was := f.of(o)
		bound := was * (1 + *t.WorseBy)
		if !f.less {
			bound = was * (1 - *t.WorseBy)
		}
		ok = v <= bound == f.less || v == bound
		return say(ok, fmt.Sprintf("the baseline's %s with a margin:", Number(was)), bound)
	}
	o, ok := other(rows, t.Against)
	if !ok || f.of(o) == 0 {
		return Verdict{false, fmt.Sprintf("%s: no figure of %s to compare with", what, t.Against)}
	}
	what += " over that of " + t.Against
	f.unit = ""
	v /= f.of(o)
	if t.MaxRatio != nil {
		return say(v <= *t.MaxRatio, "at most", *t.MaxRatio)
	}
	return say(v >= *t.MinRatio, "at least", *t.MinRatio)
}
