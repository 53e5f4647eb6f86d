package load

import (
	"fmt"
	"math"
)

// Ratio is one figure of A over that of B, from pairs of repetitions: the geometric mean, and where it lies with 95 %
// confidence (Student's t over the logarithms; no bounds with fewer than two pairs).
type Ratio struct {
	Workload  string  `json:"workload"`
	A         string  `json:"a"`
	B         string  `json:"b"`
	Offered   float64 `json:"offered,omitempty"`
	Figure    string  `json:"figure"`
	Ratio     float64 `json:"ratio"`
	Low       float64 `json:"low,omitempty"`
	High      float64 `json:"high,omitempty"`
	Pairs     int     `json:"pairs"`
	ValueA    float64 `json:"median_a"`
	ValueB    float64 `json:"median_b"`
	LessWins  bool    `json:"less_is_better"`
	Undecided bool    `json:"undecided"` // the interval holds 1
}

func (r Ratio) String() string {
	return fmt.Sprintf("%s: %s %s, %s %s, ratio %s", r.Figure, r.A, Number(r.ValueA), r.B, Number(r.ValueB), r.Text())
}

// Text is the ratio with its interval.
func (r Ratio) Text() string {
	if r.Pairs < 2 {
		return times(r.Ratio) + " (one pair)"
	}
	return fmt.Sprintf("%s (%s–%s)", times(r.Ratio), times(r.Low), times(r.High))
}

// times writes a ratio: two digits behind the point, or as many as say something.
func times(v float64) string {
	switch {
	case v >= 100:
		return count(v)
	case v >= 0.1 || v == 0:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// Verdict is the ratio in a word.
func (r Ratio) Verdict() string {
	switch {
	case r.Pairs < 2:
		return "one pair"
	case r.Undecided:
		return "no difference shown"
	case (r.Ratio < 1) == r.LessWins:
		return r.A + " better"
	default:
		return r.B + " better"
	}
}

// student is the 97.5 % quantile of Student's t by degrees of freedom, from 1.
var student = []float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
	2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042}

var figures = []struct {
	name string
	less bool
	of   func(*Repetition) float64
}{
	{"produced MB/s", false, func(r *Repetition) float64 {
		if r.Mode != "closed" {
			return 0 // an open loop's rate is its schedule's
		}
		return r.Produced.MBs()
	}},
	{"consumed MB/s", false, func(r *Repetition) float64 {
		if r.Mode != "none" {
			return 0
		}
		return r.Consumed.MBs()
	}},
	{"p50 µs", true, latencyAt(50)},
	{"p99 µs", true, latencyAt(99)},
	{"p99.9 µs", true, latencyAt(99.9)},
	{"broker CPU s/GB", true, (*Repetition).CPUPerGB},
	{"broker RSS MB", true, func(r *Repetition) float64 { return float64(r.Brokers.RSSMax) / 1e6 }},
}

func latencyAt(p float64) func(*Repetition) float64 {
	return func(r *Repetition) float64 {
		if r.Mode != "open" {
			return 0
		}
		h, _ := r.latency()
		return float64(h.At(p))
	}
}

// Compare pairs the repetitions of two runs of one workload, in order. A pair counts when both of it do.
func Compare(a, b *Run) []Ratio {
	var ratios []Ratio
	var rates []float64
	seen := map[float64]bool{}
	for i := range min(len(a.Repetitions), len(b.Repetitions)) {
		if rate := a.Repetitions[i].Offered; !seen[rate] {
			seen[rate] = true
			rates = append(rates, rate)
		}
	}
	for _, rate := range rates {
		for _, f := range figures {
			var va, vb []float64
			for i := range min(len(a.Repetitions), len(b.Repetitions)) {
				ra, rb := &a.Repetitions[i], &b.Repetitions[i]
				x, y := f.of(ra), f.of(rb)
				if ra.Offered == rate && rb.Offered == rate && len(ra.Void)+len(rb.Void) == 0 && x > 0 && y > 0 {
					va, vb = append(va, x), append(vb, y)
				}
			}
			if len(va) > 0 {
				r := newRatio(va, vb)
				r.Workload, r.A, r.B, r.Offered, r.Figure, r.LessWins = a.Workload, a.Label, b.Label, rate, f.name, f.less
				ratios = append(ratios, r)
			}
		}
	}
	return ratios
}

func newRatio(a, b []float64) Ratio {
	n := len(a)
	logs, mean := make([]float64, n), 0.0
	for i := range a {
		logs[i] = math.Log(a[i] / b[i])
		mean += logs[i] / float64(n)
	}
	r := Ratio{Pairs: n, Ratio: math.Exp(mean), ValueA: median(a), ValueB: median(b), Undecided: true}
	if n < 2 {
		return r
	}
	sum := 0.0
	for _, l := range logs {
		sum += (l - mean) * (l - mean)
	}
	half := studentAt(n-1) * math.Sqrt(sum/float64(n-1)/float64(n))
	r.Low, r.High = math.Exp(mean-half), math.Exp(mean+half)
	r.Undecided = r.Low <= 1 && r.High >= 1
	return r
}

// Comparisons finds pairs of runs of one workload in a report that were run together: the same settings, two labels, the
// same number of repetitions, or both interrupted.
func Comparisons(runs []*Run) []Ratio {
	var all []Ratio
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if a.pairedWith != "" && a.pairedWith == b.pairedWith && a.Workload == b.Workload {
				all = append(all, unpaired(a, b)...)
				continue
			}
			if a.pairedWith == "" && a.Workload == b.Workload && a.Settings == b.Settings && a.Label != b.Label && a.Goal == nil && b.Goal == nil && (len(a.Repetitions) == len(b.Repetitions) || a.Interrupted && b.Interrupted) {
				all = append(all, Compare(a, b)...)
			}
		}
	}
	return all
}
