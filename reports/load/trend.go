package load

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// Line is one row followed through many reports: the same workload, label and rate, oldest first.
type Line struct {
	Name   string
	Points []Row
}

// Trend joins the rows of many runs, taken at many times, into lines. A line has at least two points.
func Trend(runs []*Run) []Line {
	by := map[string]*Line{}
	var order []string
	for _, r := range Summary(runs) {
		if r.Counted == 0 {
			continue
		}
		name := r.Workload + ", " + r.name()
		if by[name] == nil {
			by[name] = &Line{Name: name}
			order = append(order, name)
		}
		by[name].Points = append(by[name].Points, r)
	}
	var lines []Line
	for _, name := range order {
		l := by[name]
		sort.SliceStable(l.Points, func(i, j int) bool { return l.Points[i].run.Started.Before(l.Points[j].run.Started) })
		if len(l.Points) > 1 {
			lines = append(lines, *l)
		}
	}
	return lines
}

// trendPlots draws each figure that any line has. A step of the axis is a report.
func trendPlots(lines []Line) ([]Plot, error) {
	reports := reportsOf(lines)
	at := map[string]float64{}
	for i, r := range reports {
		at[r.dir] = float64(i + 1)
	}
	var plots []Plot
	for _, f := range rowFigures {
		unit, scale, latency := f.unit, 1.0, f.unit == "µs"
		if latency {
			unit, scale = "ms", 1e-3
		}
		p := newPlot(f.name+" through time", "report", unit)
		n := 0
		for _, l := range lines {
			var xy plotter.XYs
			for _, r := range l.Points {
				if v := f.of(r); v > 0 && !(latency && r.Mode != "open") { // a closed loop's latency is the queue that the client keeps full
					xy = append(xy, plotter.XY{X: at[reportOf(r.run)], Y: v * scale})
				}
			}
			if len(xy) < 2 || n >= 12 {
				continue
			}
			if err := addLine(p, n, l.Name, xy, true); err != nil {
				return nil, err
			}
			n++
		}
		if n == 0 {
			continue
		}
		if latency {
			const least = 3.0 // a stretch of less than this factor would make a mountain of chance
			if mid := math.Sqrt(p.Y.Min * p.Y.Max); p.Y.Max < least*p.Y.Min {
				p.Y.Min, p.Y.Max = mid/math.Sqrt(least), mid*math.Sqrt(least)
			}
			logAxis(&p.Y)
		} else {
			p.Y.Min = 0
		}
		p.X.Tick.Marker = reports
		out, err := render(p, "trend-"+strings.ReplaceAll(f.name, ".", ""), "Medians over the repetitions that count of each run, report by report, oldest first.", plotHeight)
		if err != nil {
			return nil, err
		}
		plots = append(plots, out)
	}
	return plots, nil
}

// reportOf is the report that a run is of: what stands in one directory, or the run alone where it was never kept.
func reportOf(r *Run) string {
	if r.File == "" {
		return r.Started.String()
	}
	return filepath.Dir(r.File)
}

// reportTicks are the reports of a trend, oldest first, as ticks of an axis.
type reportTicks []struct {
	dir   string
	began time.Time
}

func reportsOf(lines []Line) reportTicks {
	began := map[string]time.Time{}
	for _, l := range lines {
		for _, r := range l.Points {
			dir := reportOf(r.run)
			if t, seen := began[dir]; !seen || r.run.Started.Before(t) {
				began[dir] = r.run.Started
			}
		}
	}
	var list reportTicks
	for dir, t := range began { // put in order below
		list = append(list, struct {
			dir   string
			began time.Time
		}{dir, t})
	}
	sort.Slice(list, func(i, j int) bool {
		return list[i].began.Before(list[j].began) || list[i].began.Equal(list[j].began) && list[i].dir < list[j].dir
	})
	return list
}

// Ticks names a dozen reports at most by their day, and with the hour where days repeat.
func (list reportTicks) Ticks(low, high float64) []plot.Tick {
	form, seen := "2 Jan", map[string]bool{}
	for _, r := range list {
		day := r.began.Format("2 Jan 06")
		if seen[day] {
			form = "2 Jan 15:04"
		}
		seen[day] = true
	}
	var ticks []plot.Tick
	for i := 0; i < len(list); i += max(1, (len(list)+7)/8) {
		if x := float64(i + 1); x >= low && x <= high {
			ticks = append(ticks, plot.Tick{Value: x, Label: list[i].began.Format(form)})
		}
	}
	return ticks
}

// WriteTrend makes trend.html and its plots in dir from the runs of many reports.
func WriteTrend(dir string, runs []*Run) error {
	lines := Trend(runs)
	if len(lines) == 0 {
		return fmt.Errorf("no workload, cluster and rate is in two of these runs: there is no trend")
	}
	plots, err := trendPlots(lines)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range plots {
		if err := os.WriteFile(filepath.Join(dir, p.Name+".png"), p.PNG, 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "trend.html"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := trendPage(f, lines, plots); err != nil {
		return err
	}
	return f.Close()
}

func trendPage(w io.Writer, lines []Line, plots []Plot) error {
	p := struct {
		Title, Sub string
		OK         bool
		Lines      []Line
		Plots      []picture
	}{Title: "Load tests through time", OK: true, Lines: lines}
	n := 0
	for _, l := range lines {
		n = max(n, len(l.Points))
	}
	p.Sub = fmt.Sprintf("%d lines over up to %d runs.", len(lines), n)
	for _, plot := range plots {
		p.Plots = append(p.Plots, picture{plot.Caption, inline(plot.SVG, "plot broad"), inline(plot.Narrow, "plot narrow")})
	}
	return trendTemplate().Execute(w, p)
}

// Joined is runs of two reports, for one page: their labels tell them apart. before and after name them.
func Joined(before, after []*Run, nameBefore, nameAfter string) []*Run {
	var all []*Run
	for _, side := range []struct {
		name string
		runs []*Run
	}{{nameBefore, before}, {nameAfter, after}} {
		for _, r := range side.runs {
			c := *r
			c.Label = r.Label + " (" + side.name + ")"
			c.pairedWith = r.Label
			all = append(all, &c)
		}
	}
	return all
}

// unpaired compares two runs of one workload that were not interleaved: the ratio of medians, with an interval by Welch's t over
// the logarithms, which no drift of the machine between the two widens.
func unpaired(a, b *Run) []Ratio {
	var ratios []Ratio
	ra, rb := Summary([]*Run{a}), Summary([]*Run{b})
	for _, x := range ra {
		for _, y := range rb {
			if x.Offered != y.Offered {
				continue
			}
			for _, f := range figures {
				va, vb := x.values(f.of), y.values(f.of)
				if len(va) == 0 || len(vb) == 0 {
					continue
				}
				r := welch(va, vb)
				r.Workload, r.A, r.B, r.Offered, r.Figure, r.LessWins = a.Workload, a.Label, b.Label, x.Offered, f.name, f.less
				ratios = append(ratios, r)
			}
		}
	}
	return ratios
}

// values is a figure of each repetition that counts and has it.
func (r Row) values(of func(*Repetition) float64) []float64 {
	var v []float64
	for _, rep := range r.reps {
		if x := of(rep); x > 0 {
			v = append(v, x)
		}
	}
	return v
}

func welch(a, b []float64) Ratio {
	la, va := logMean(a)
	lb, vb := logMean(b)
	r := Ratio{Pairs: min(len(a), len(b)), Ratio: math.Exp(la - lb), ValueA: median(a), ValueB: median(b), Undecided: true}
	na, nb := float64(len(a)), float64(len(b))
	if na < 2 || nb < 2 {
		return r
	}
	ea, eb := va/na, vb/nb
	freedom := 1.0
	if ea+eb > 0 {
		freedom = (ea + eb) * (ea + eb) / (ea*ea/(na-1) + eb*eb/(nb-1))
	}
	half := studentAt(int(freedom)) * math.Sqrt(ea+eb)
	r.Low, r.High = math.Exp(la-lb-half), math.Exp(la-lb+half)
	r.Undecided = r.Low <= 1 && r.High >= 1
	return r
}

// logMean is the mean and the variance of the logarithms.
func logMean(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += math.Log(x) / float64(len(v))
	}
	for _, x := range v {
		d := math.Log(x) - mean
		variance += d * d
	}
	return mean, variance / math.Max(1, float64(len(v)-1))
}

func studentAt(freedom int) float64 {
	if freedom < 1 {
		freedom = 1
	}
	if freedom > len(student) {
		return 1.960
	}
	return student[freedom-1]
}
