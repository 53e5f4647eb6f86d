package load

import (
	"fmt"
	"image/color"
	"math"
	"sort"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// Plot is one picture, as SVG for the page and PNG for slides.
type Plot struct {
	Name    string // of the PNG file
	Caption string
	SVG     []byte
	Narrow  []byte // the same for a phone: as high, half as wide
	PNG     []byte
}

// Plots draws what the runs give, workload by workload.
func Plots(runs []*Run) ([]Plot, error) {
	var names []string
	by := map[string][]Row{}
	for _, row := range Summary(runs) {
		if by[row.Workload] == nil {
			names = append(names, row.Workload)
		}
		by[row.Workload] = append(by[row.Workload], row)
	}
	var plots []Plot
	for _, name := range names {
		rows := by[name]
		for _, draw := range []func(string, []Row) (*Plot, error){percentilePlot, curvePlot, throughputPlot, timePlot, cpuPlot, memoryPlot, trafficPlot} {
			p, err := draw(name, rows)
			if err != nil {
				return nil, fmt.Errorf("plot of %s: %w", name, err)
			}
			if p != nil {
				plots = append(plots, *p)
			}
		}
		labels := map[string]bool{}
		for _, row := range openRows(rows) {
			if labels[row.Label] || len(labels) == 4 {
				continue
			}
			labels[row.Label] = true
			p, err := heatPlot(fmt.Sprintf("%s-heat-%d", name, len(labels)), row)
			if err != nil {
				return nil, fmt.Errorf("plot of %s: %w", name, err)
			}
			if p != nil {
				plots = append(plots, *p)
			}
		}
	}
	return plots, nil
}

func ms(us int64) float64 { return math.Max(float64(us), 1) / 1000 }

func openRows(rows []Row) []Row {
	var open []Row
	for _, r := range rows {
		if r.Mode == "open" && r.merged.Count() > 0 {
			open = append(open, r)
		}
	}
	return open
}

// percentilePlot is latency by percentile, the axis stretched towards 100 %.
func percentilePlot(name string, rows []Row) (*Plot, error) {
	rows = openRows(rows)
	if len(rows) == 0 {
		return nil, nil
	}
	if len(rows) > 12 {
		rows = rows[:12]
	}
	p := newPlot("Latency by percentile: "+name, "percentile", "ms, "+rows[0].Latency)
	most := 0.0
	for i, r := range rows {
		var xy plotter.XYs
		for _, b := range r.merged.CumulativeDistributionWithTicks(8) {
			if b.Quantile >= 100 {
				break
			}
			x := math.Log10(1 / (1 - b.Quantile/100))
			xy = append(xy, plotter.XY{X: x, Y: ms(b.ValueAt)})
		}
		last := math.Log10(float64(max(r.merged.Count(), 10)))
		xy = append(xy, plotter.XY{X: last, Y: ms(r.merged.Max())})
		sort.Slice(xy, func(i, j int) bool { return xy[i].X < xy[j].X })
		most = max(most, last)
		if err := addLine(p, i, r.name(), xy, false); err != nil {
			return nil, err
		}
	}
	logAxis(&p.Y)
	p.X.Min, p.X.Max = 0, most
	var ticks plot.ConstantTicks
	for _, q := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999} {
		if x := math.Log10(1 / (1 - q/100)); x <= most {
			ticks = append(ticks, plot.Tick{Value: x, Label: fmt.Sprintf("%g %%", q)})
		}
	}
	p.X.Tick.Marker = ticks
	out, err := render(p, name+"-percentiles", "Every repetition that counts, together. The last point of a line is the largest value seen.", plotHeight)
	return &out, err
}

// curvePlot is latency against throughput, where there are several rates.
func curvePlot(name string, rows []Row) (*Plot, error) {
	by := map[string][]Row{}
	var labels []string
	for _, r := range openRows(rows) {
		if by[r.Label] == nil {
			labels = append(labels, r.Label)
		}
		by[r.Label] = append(by[r.Label], r)
	}
	several := false
	p := newPlot("Throughput against latency: "+name, "records a second, acknowledged", "ms")
	n := 0
	for _, label := range labels {
		rows := by[label]
		ramp := rows[0].ramp()
		several = several || len(rows) > 1 || ramp
		for _, q := range []struct {
			name string
			at   float64
			of   func(Row) float64
		}{{"p50", 50, func(r Row) float64 { return r.P50 }}, {"p99", 99, func(r Row) float64 { return r.P99 }}} {
			var xy plotter.XYs
			for _, r := range rows {
				if !ramp {
					xy = append(xy, plotter.XY{X: math.Max(r.ProducedRate, 1), Y: math.Max(q.of(r), 1) / 1000})
					continue
				}
				for _, i := range r.reps[0].Intervals { // each interval of a ramp has a rate of its own
					if pick(i).Count() > 0 && i.Produced.Records > 0 {
						xy = append(xy, plotter.XY{X: i.Produced.Rate(), Y: ms(pick(i).At(q.at))})
					}
				}
			}
			if len(xy) == 0 {
				continue
			}
			sort.Slice(xy, func(i, j int) bool { return xy[i].X < xy[j].X })
			if err := addLine(p, n, label+" "+q.name, xy, true); err != nil {
				return nil, err
			}
			n++
		}
	}
	if !several {
		return nil, nil
	}
	logAxis(&p.X)
	logAxis(&p.Y)
	caption := "Medians over repetitions, open loop: latency counts from the intended time."
	if rows := by[labels[0]]; rows[0].ramp() {
		caption = "A point is an interval of the ramp, of the first repetition that counts; open loop: latency counts from the intended time."
	}
	out, err := render(p, name+"-curve", caption, plotHeight)
	return &out, err
}

// wholeStretch has a time axis reach from the start to the end of what was measured: points are in the middle of intervals, and events
// before the first or after the last would be cut off.
func wholeStretch(p *plot.Plot, reps []*Repetition) {
	p.X.Min = 0
	for _, r := range reps {
		p.X.Max = math.Max(p.X.Max, r.Seconds)
	}
}

// throughputPlot is MB/s over time.
func throughputPlot(name string, rows []Row) (*Plot, error) {
	p := newPlot("Throughput over time: "+name, "seconds", "MB/s")
	var shown []*Repetition
	n := 0
	for _, r := range rows {
		if len(r.reps) == 0 || n >= 8 || r.Mode == "open" && r.reps[0].Fault == nil {
			continue
		}
		var xy plotter.XYs
		for _, i := range r.reps[0].Intervals {
			xy = append(xy, plotter.XY{X: i.At + i.Seconds/2, Y: math.Max(i.Produced.MBs(), i.Consumed.MBs())})
		}
		if len(xy) < 2 {
			continue
		}
		if err := addLine(p, n, r.name(), xy, len(xy) <= 100); err != nil { // points of very many intervals would be a band
			return nil, err
		}
		shown = append(shown, r.reps[0])
		n++
	}
	if n == 0 {
		return nil, nil
	}
	addMarks(p, shown)
	wholeStretch(p, shown)
	p.Y.Min = 0
	out, err := render(p, name+"-throughput", "The first repetition that counts of each.", plotHeight)
	return &out, err
}

// cpuPlot, memoryPlot and trafficPlot are what the brokers used over time: of soaks, ramps and runs through a fault, where it moves.
func cpuPlot(name string, rows []Row) (*Plot, error) {
	return resourcePlot(name, "cpu", "Brokers' CPU over time: ", "cores", rows, func(i Interval) float64 { return i.BrokerCPU })
}

func memoryPlot(name string, rows []Row) (*Plot, error) {
	return resourcePlot(name, "memory", "Brokers' memory over time: ", "MB, resident", rows, func(i Interval) float64 { return float64(i.BrokerRSS) / 1e6 })
}

func trafficPlot(name string, rows []Row) (*Plot, error) {
	return resourcePlot(name, "traffic", "Brokers' network and disk writes over time: ", "MB/s, together", rows, func(i Interval) float64 { return i.BrokerNet + i.BrokerDsk })
}

func resourcePlot(name, suffix, title, unit string, rows []Row, of func(Interval) float64) (*Plot, error) {
	p := newPlot(title+name, "seconds", unit)
	var shown []*Repetition
	for _, r := range rows {
		if !r.Local || len(r.reps) == 0 || len(shown) >= 8 || r.reps[0].Fault == nil && r.run.Drift == nil && !r.ramp() {
			continue
		}
		var xy plotter.XYs
		used := 0.0
		for _, i := range r.reps[0].Intervals {
			xy = append(xy, plotter.XY{X: i.At + i.Seconds/2, Y: of(i)})
			used += of(i)
		}
		if len(xy) < 2 || used == 0 {
			continue
		}
		if err := addLine(p, len(shown), r.name(), xy, len(xy) <= 100); err != nil {
			return nil, err
		}
		shown = append(shown, r.reps[0])
	}
	if len(shown) == 0 {
		return nil, nil
	}
	addMarks(p, shown)
	wholeStretch(p, shown)
	p.Y.Min = 0
	out, err := render(p, name+"-"+suffix, "All brokers together; the first repetition that counts of each.", plotHeight)
	return &out, err
}

// timePlot is p99 over time.
func timePlot(name string, rows []Row) (*Plot, error) {
	p := newPlot("p99 over time: "+name, "seconds", "ms")
	var shown []*Repetition
	n := 0
	for _, r := range openRows(rows) {
		if n >= 8 {
			break
		}
		var xy plotter.XYs
		for _, i := range r.reps[0].Intervals {
			h := i.EndToEnd
			if h.Count() == 0 {
				h = i.Produce
			}
			y := math.NaN() // nothing came through: a gap
			if h.Count() > 0 {
				y = ms(h.At(99))
			}
			xy = append(xy, plotter.XY{X: i.At + i.Seconds/2, Y: y})
		}
		if len(xy) < 2 {
			continue
		}
		if err := addLine(p, n, r.name(), xy, len(xy) <= 100); err != nil { // points of very many intervals would be a band
			return nil, err
		}
		shown = append(shown, r.reps[0])
		n++
	}
	if n == 0 {
		return nil, nil
	}
	addMarks(p, shown)
	wholeStretch(p, shown)
	logAxis(&p.Y)
	out, err := render(p, name+"-p99", "The first repetition that counts of each, by interval of completion.", plotHeight)
	return &out, err
}

// heat is a heat map of latency over time: intervals by classes of latency.
type heat struct {
	at      []float64
	classes []float64 // ms, lower bounds, log-spaced
	z       [][]float64
}

func (h heat) Dims() (c, r int)   { return len(h.at), len(h.classes) }
func (h heat) X(c int) float64    { return h.at[c] }
func (h heat) Y(r int) float64    { return math.Log10(h.classes[r]) }
func (h heat) Z(c, r int) float64 { return h.z[c][r] }

// shades go from pale to dark: they read in grey too.
type shades struct{}

func (shades) Colors() []color.Color {
	list := make([]color.Color, 64)
	for i := range list {
		t := float64(i) / 63
		list[i] = color.RGBA{uint8(235 - t*230), uint8(242 - t*190), uint8(248 - t*140), 255}
	}
	return list
}

func heatPlot(name string, r Row) (*Plot, error) {
	h := heat{}
	low, high := 1e12, 0.0
	for _, i := range r.reps[0].Intervals {
		if g := pick(i); g.Count() > 0 {
			low, high = math.Min(low, float64(g.Min())), math.Max(high, float64(g.Max()))
		}
	}
	if high == 0 || len(r.reps[0].Intervals) < 4 {
		return nil, nil
	}
	const classes = 40
	bottom, top := math.Log10(math.Max(low, 1)), math.Log10(math.Max(high, 10))+.01
	step := (top - bottom) / classes
	for c := range classes {
		h.classes = append(h.classes, math.Pow(10, bottom+(float64(c)+.5)*step)/1000)
	}
	for _, i := range r.reps[0].Intervals {
		g := pick(i)
		col := make([]float64, classes)
		for c := range col {
			col[c] = math.NaN()
		}
		if g.Count() > 0 {
			for _, bar := range g.Distribution() {
				if bar.Count == 0 {
					continue
				}
				c := int((math.Log10(math.Max(float64(bar.From), 1)) - bottom) / step)
				c = min(max(c, 0), classes-1)
				if math.IsNaN(col[c]) {
					col[c] = 0
				}
				col[c] += float64(bar.Count)
			}
			for c := range col {
				col[c] = math.Log10(col[c] / float64(g.Count()))
			}
		}
		h.at = append(h.at, i.At+i.Seconds/2)
		h.z = append(h.z, col)
	}
	p := newPlot("Latency over time: "+r.name(), "seconds", "ms")
	m := plotter.NewHeatMap(h, shades{})
	m.Min, m.Max, m.NaN = -5, 0, color.Transparent
	p.Add(m)
	p.Y.Tick.Marker = logLabels{}
	out, err := render(p, name, "Each column is an interval, each cell how much of it took that long (dark: most; the scale is logarithmic, so that single slow records are seen).", plotHeight)
	return &out, err
}

func pick(i Interval) *Histogram {
	if i.EndToEnd.Count() > 0 {
		return i.EndToEnd
	}
	return i.Produce
}
