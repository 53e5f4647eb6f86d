package load

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Okabe and Ito's colours, which colour-blind people can tell apart; dashes for those who print in grey.
var (
	palette = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {60, 60, 60, 255}}
	dashes  = [][]vg.Length{nil, {vg.Points(6), vg.Points(3)}, {vg.Points(2), vg.Points(2)}, {vg.Points(8), vg.Points(3), vg.Points(2), vg.Points(3)}}
	ink     = color.RGBA{27, 31, 36, 255}
	soft    = color.RGBA{91, 101, 112, 255}
	faint   = color.RGBA{226, 230, 234, 255}
)

const plotWidth, plotHeight, narrowWidth = 8.4 * vg.Inch, 3.6 * vg.Inch, 4.5 * vg.Inch

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size, p.Title.TextStyle.Color = vg.Points(12), ink
	p.Title.Padding = vg.Points(6)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font.Size, a.Label.TextStyle.Color = vg.Points(10), soft
		a.Tick.Label.Font.Size, a.Tick.Label.Color = vg.Points(9), soft
		a.LineStyle.Color, a.Tick.LineStyle.Color = soft, soft
		a.LineStyle.Width, a.Tick.LineStyle.Width = vg.Points(.6), vg.Points(.6)
	}
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	p.Legend.TextStyle.Font.Size, p.Legend.TextStyle.Color = vg.Points(9), ink
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Points(2)
	p.X.Tick.Marker, p.Y.Tick.Marker = round{}, round{}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	grid.Vertical.Width, grid.Horizontal.Width = vg.Points(.5), vg.Points(.5)
	p.Add(grid)
	return p
}

// addLine draws the n-th line of a plot; where Y is NaN there is a gap.
func addLine(p *plot.Plot, n int, name string, xy plotter.XYs, points bool) error {
	style := draw.LineStyle{Color: palette[n%len(palette)], Width: vg.Points(1.6), Dashes: dashes[n%len(dashes)]}
	var part plotter.XYs
	flush := func() error {
		if len(part) == 0 {
			return nil
		}
		line, err := plotter.NewLine(part)
		if err != nil {
			return err
		}
		line.LineStyle = style
		p.Add(line)
		if points || len(part) == 1 {
			s, err := plotter.NewScatter(part)
			if err != nil {
				return err
			}
			s.Color, s.Radius, s.Shape = style.Color, vg.Points(2.2), draw.CircleGlyph{}
			p.Add(s)
		}
		part = nil
		return nil
	}
	for _, at := range xy {
		if !math.IsNaN(at.Y) {
			part = append(part, at)
		} else if err := flush(); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if name != "" {
		p.Legend.Add(name, markThumb{style})
	}
	return nil
}

// render draws a plot in both forms, its legend in a band above it where no line can be behind it.
func render(p *plot.Plot, name, caption string, height vg.Length) (Plot, error) {
	out := Plot{Name: name, Caption: caption}
	legend := p.Legend
	p.Legend = plot.NewLegend()
	legend.Top, legend.Left = true, true
	band := legend.Rectangle(draw.New(vgsvg.New(plotWidth, height))).Size().Y
	if band > 0 {
		band += vg.Points(6)
	}
	style := p.Title.TextStyle
	style.XAlign, style.YAlign = draw.XLeft, draw.YTop
	heading := p.Title.Text
	paint := func(c draw.Canvas, text string) {
		whole := c
		title := vg.Length(0)
		if text != "" { // above the legend, so that both read from the top
			title = style.Height(text) + p.Title.Padding + vg.Points(4)
			whole.FillText(style, vg.Point{X: whole.Min.X + vg.Points(4), Y: whole.Max.Y - vg.Points(2)}, text)
		}
		if band > 0 {
			legend.Draw(draw.Crop(whole, vg.Points(4), 0, 0, -title))
		}
		p.Title.Text = ""
		p.Draw(draw.Crop(whole, 0, -vg.Points(6), 0, -title-band))
		p.Title.Text = heading
	}
	// A title that is too long for the width has further lines, and the picture is higher by them.
	fit := func(width vg.Length) (string, vg.Length) {
		text := wrap(style, heading, width-vg.Points(8))
		return text, height + band + style.Height(text) - style.Height(heading)
	}
	var b bytes.Buffer
	for _, form := range []struct {
		svg   *[]byte
		width vg.Length
	}{{&out.SVG, plotWidth}, {&out.Narrow, narrowWidth}} {
		text, high := fit(form.width)
		svg := vgsvg.New(form.width, high)
		paint(draw.New(svg), text)
		b.Reset()
		if _, err := svg.WriteTo(&b); err != nil {
			return out, err
		}
		*form.svg = append([]byte(nil), b.Bytes()...)
	}
	text, high := fit(plotWidth)
	img := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, high), vgimg.UseDPI(160))}
	paint(draw.New(img), text)
	b.Reset()
	if _, err := img.WriteTo(&b); err != nil {
		return out, err
	}
	out.PNG = b.Bytes()
	return out, nil
}

// wrap breaks a text between words where it is wider than width.
func wrap(style draw.TextStyle, text string, width vg.Length) string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if n := len(lines); n > 0 && style.Width(lines[n-1]+" "+word) <= width {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return strings.Join(lines, "\n")
}

// eventStyles tell kinds of events apart by colour and by dashes.
var eventStyles = map[string]draw.LineStyle{
	"fault":  {Color: color.RGBA{179, 64, 10, 255}, Width: vg.Points(1.4)},
	"error":  {Color: color.RGBA{179, 64, 10, 255}, Width: vg.Points(1.4)},
	"heal":   {Color: color.RGBA{0, 115, 92, 255}, Width: vg.Points(1.4), Dashes: []vg.Length{vg.Points(6), vg.Points(3)}},
	"leader": {Color: color.RGBA{0, 84, 138, 255}, Width: vg.Points(1), Dashes: []vg.Length{vg.Points(2), vg.Points(2)}},
	"gc":     {Color: color.RGBA{120, 120, 120, 255}, Width: vg.Points(.7), Dashes: []vg.Length{vg.Points(1), vg.Points(2)}},
}

// marks draws vertical lines where something happened.
type marks struct{ events []Event }

func (m marks) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for _, e := range m.events {
		style, ok := eventStyles[e.Kind]
		if at := x(e.At); ok && c.ContainsX(at) {
			c.StrokeLine2(style, at, c.Min.Y, at, c.Max.Y)
		}
	}
}

// Thumbnail of a mark in the legend.
type markThumb struct{ style draw.LineStyle }

func (m markThumb) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	c.StrokeLine2(m.style, c.Min.X, y, c.Max.X, y)
}

// addMarks draws the events of the repetitions that a plot shows, and says in the legend what the lines are.
func addMarks(p *plot.Plot, reps []*Repetition) {
	var all []Event
	seen := map[string]bool{}
	for _, r := range reps {
		for _, e := range r.Events {
			all = append(all, e)
			seen[e.Kind] = true
		}
	}
	if len(all) == 0 {
		return
	}
	p.Add(marks{all})
	for _, kind := range []struct{ kind, name string }{{"fault", "fault"}, {"heal", "heals"}, {"leader", "leader changes"}, {"gc", "garbage collection"}} {
		if seen[kind.kind] {
			p.Legend.Add(kind.name, markThumb{eventStyles[kind.kind]})
		}
	}
}

func logAxis(a *plot.Axis) {
	a.Scale = plot.LogScale{}
	a.Tick.Marker = decades{}
}

// decades labels plain numbers: of many decades each first one, of some 1, 2 and 5, of less than two every digit that there is room for.
type decades struct{}

func (decades) Ticks(low, high float64) []plot.Tick {
	for _, digits := range [][]float64{{1, 1.5, 2, 3, 4, 5, 6, 8}, {1, 2, 3, 5, 7}, {1, 2, 5}, {1, 3}, {1}} {
		if ticks := decadeTicks(low, high, digits); len(ticks) <= 9 {
			if len(ticks) < 3 {
				return round{}.Ticks(low, high)
			}
			return ticks
		}
	}
	return decadeTicks(low, high, []float64{1})
}

func decadeTicks(low, high float64, digits []float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range digits {
			if v := m * math.Pow(10, e); v >= low*.999 && v <= high*1.001 {
				ticks = append(ticks, plot.Tick{Value: v, Label: tidyNumber(v)})
			}
		}
	}
	return ticks
}

// tidyNumber writes large numbers in thousands.
func tidyNumber(v float64) string {
	if v >= 10_000 {
		return fmt.Sprintf("%gk", math.Round(v/100)/10)
	}
	return fmt.Sprintf("%.4g", v)
}

// round labels at most seven round numbers.
type round struct{}

func (round) Ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(high-low)))
	for _, f := range []float64{.1, .2, .5, 1} {
		if (high-low)/(step*f) <= 7 {
			step *= f
			break
		}
	}
	var ticks []plot.Tick
	for n := math.Ceil(low / step); n*step <= high*1.0001; n++ {
		if n == 0 {
			n = 0 // and not -0
		}
		ticks = append(ticks, plot.Tick{Value: n * step, Label: tidyNumber(n * step)})
	}
	return ticks
}

// logLabels labels an axis that holds logarithms.
type logLabels struct{}

func (logLabels) Ticks(low, high float64) []plot.Tick {
	ticks := decades{}.Ticks(math.Pow(10, low), math.Pow(10, high))
	for i := range ticks {
		ticks[i].Value = math.Log10(ticks[i].Value)
	}
	return ticks
}
