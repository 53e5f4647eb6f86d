package reports

import (
	"fmt"
	"html"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// Colours are Okabe and Ito's, told apart by colour-blind readers and in grey print.
var brokerColours = []string{"#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"}

const (
	inkOK, inkFailed, inkUnknown = "#0072B2", "#999999", "#D55E00"

	timelineWidth = 1120.0 // of the whole drawing, in user units
	timelineLeft  = 120.0  // of the lanes: before it stand their names
	timelineRight = 1072.0
	rowHeight     = 9.0
	laneGap       = 8.0
)

// timeline draws one run as SVG: what clients saw, who was up, who led and who was in sync, and the faults, all over
// the same virtual time.
type timeline struct {
	b     strings.Builder
	run   *Run
	end   time.Duration
	y     float64
	lanes []laneMark
}

type laneMark struct {
	name string
	y    float64
}

// Timeline is the run's picture.
func Timeline(r *Run) string {
	t := &timeline{run: r, end: max(r.Virtual, time.Second), y: 8}
	t.throughput()
	t.latency()
	t.nodes()
	t.partitions()
	t.faults()
	t.axis()
	t.moments()
	return fmt.Sprintf(`<svg class="timeline" viewBox="0 0 %.0f %.0f" role="img" aria-label="timeline of %s seed %d">%s</svg>`,
		timelineWidth, t.y, html.EscapeString(r.Scenario), r.Seed, t.b.String())
}

func (t *timeline) x(at time.Duration) float64 {
	return timelineLeft + (timelineRight-timelineLeft)*math.Min(1, float64(at)/float64(t.end))
}

func (t *timeline) rect(x0, y, x1, height float64, style, title string) {
	fmt.Fprintf(&t.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" %s>`, x0, y, math.Max(x1-x0, 0.8), height, style)
	if title != "" {
		fmt.Fprintf(&t.b, `<title>%s</title>`, html.EscapeString(title))
	}
	t.b.WriteString(`</rect>`)
}

func (t *timeline) label(x, y float64, anchor, class, text string) {
	fmt.Fprintf(&t.b, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(text))
}

func (t *timeline) name(y float64, text string) { t.label(timelineLeft-8, y, "end", "name", text) }

// throughput stacks what clients were told, a bar a slice.
func (t *timeline) throughput() {
	const height = 64.0
	most := 1
	for _, s := range t.run.Slices {
		most = max(most, s.OK+s.Failed+s.Unknown)
	}
	t.name(t.y+12, "operations")
	t.label(timelineLeft-8, t.y+26, "end", "unit", fmt.Sprintf("a second, to %d", most*int(time.Second/SliceLength)))
	floor := t.y + height
	for i, s := range t.run.Slices {
		at := time.Duration(i) * SliceLength
		x0, x1 := t.x(at), t.x(at+SliceLength)
		y := floor
		for _, part := range []struct {
			n   int
			ink string
			say string
		}{{s.OK, inkOK, "ok"}, {s.Failed, inkFailed, "failed"}, {s.Unknown, inkUnknown, "unknown"}} {
			if part.n == 0 {
				continue
			}
			h := height * float64(part.n) / float64(most)
			y -= h
			t.rect(x0, y, x1-0.3, h, `fill="`+part.ink+`"`, fmt.Sprintf("%s: %d %s", seconds(at), part.n, part.say))
		}
	}
	t.rule(floor)
	t.y = floor + laneGap
}

// latency draws the median and the worst of each slice on a log scale.
func (t *timeline) latency() {
	const height = 56.0
	lowest, highest := math.Inf(1), 0.0
	for _, s := range t.run.Slices {
		if s.LatencyMax > 0 {
			lowest = math.Min(lowest, math.Max(float64(s.LatencyP50), 1e5))
			highest = math.Max(highest, float64(s.LatencyMax))
		}
	}
	if highest == 0 {
		return
	}
	lowest, highest = math.Pow(10, math.Floor(math.Log10(lowest))), math.Pow(10, math.Ceil(math.Log10(highest)))
	floor := t.y + height
	y := func(d time.Duration) float64 {
		v := math.Max(float64(d), lowest)
		return floor - height*math.Log10(v/lowest)/math.Max(math.Log10(highest/lowest), 1)
	}
	t.name(t.y+12, "latency")
	t.label(timelineLeft-8, t.y+26, "end", "unit", "median, worst")
	for v := lowest; v <= highest*1.01; v *= 10 {
		at := y(time.Duration(v))
		fmt.Fprintf(&t.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="grid"/>`, timelineLeft, timelineRight, at, at)
		t.label(timelineRight+4, at+3, "start", "unit", time.Duration(v).Round(100*time.Microsecond).String())
	}
	for i, s := range t.run.Slices {
		if s.LatencyMax == 0 {
			continue
		}
		at := time.Duration(i)*SliceLength + SliceLength/2
		fmt.Fprintf(&t.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#bbb" stroke-width="1"/>`, t.x(at), t.x(at), y(s.LatencyP50), y(s.LatencyMax))
		fmt.Fprintf(&t.b, `<circle cx="%.1f" cy="%.1f" r="1.4" fill="%s"><title>%s: median %s, worst %s</title></circle>`,
			t.x(at), y(s.LatencyP50), inkOK, seconds(at), round(s.LatencyP50), round(s.LatencyMax))
		fmt.Fprintf(&t.b, `<circle cx="%.1f" cy="%.1f" r="1.1" fill="#777"/>`, t.x(at), y(s.LatencyMax))
	}
	t.rule(floor)
	t.y = floor + laneGap*2
}

// nodes draws a lane a node: filled while it is up, striped while paused, empty while down.
func (t *timeline) nodes() {
	changes := map[string][]NodeChange{}
	var names []string
	for _, c := range t.run.Nodes {
		if changes[c.Node] == nil {
			names = append(names, c.Node)
		}
		changes[c.Node] = append(changes[c.Node], c)
	}
	sort.Strings(names)
	for _, name := range names {
		list := changes[name]
		t.name(t.y+10, name)
		t.rect(timelineLeft, t.y, timelineRight, 12, `class="down"`, "")
		for i, c := range list {
			until := t.end
			if i+1 < len(list) {
				until = list[i+1].At
			}
			if c.State != "down" {
				t.rect(t.x(c.At), t.y, t.x(until), 12, `class="`+c.State+`"`, fmt.Sprintf("%s %s from %s to %s", name, c.State, seconds(c.At), seconds(until)))
			}
		}
		t.y += 12 + 3
	}
	if len(names) > 0 {
		t.y += laneGap
	}
}

// partitions draws a lane a partition and in it a row a broker: strong while it leads, pale while it is in the ISR.
func (t *timeline) partitions() {
	changes := map[string][]Leadership{}
	brokers := map[int32]bool{}
	for _, l := range t.run.Leaders {
		changes[l.Partition] = append(changes[l.Partition], l)
		for _, id := range l.ISR {
			brokers[id] = true
		}
	}
	var names []string
	for name := range changes {
		names = append(names, name)
	}
	sort.Strings(names)
	var ids []int32
	for id := range brokers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, name := range names {
		t.name(t.y+rowHeight*float64(len(ids))/2+3, name)
		for row, id := range ids {
			y := t.y + float64(row)*rowHeight
			t.label(timelineLeft-1, y+7.5, "end", "row", fmt.Sprint(id))
			t.rect(timelineLeft, y, timelineRight, rowHeight-1, `class="out"`, "")
			t.replica(changes[name], id, y)
		}
		t.y += rowHeight*float64(len(ids)) + laneGap
	}
}

// replica joins the stretches in which broker id's standing in the partition is the same.
func (t *timeline) replica(list []Leadership, id int32, y float64) {
	colour := brokerColours[int(uint32(id)-1)%len(brokerColours)]
	standing := func(l Leadership) string {
		switch {
		case l.Leader == id:
			return fmt.Sprintf("leads in epoch %d", l.Epoch)
		case slices.Contains(l.ISR, id):
			return "is in the ISR"
		}
		return ""
	}
	for i := 0; i < len(list); {
		is := standing(list[i])
		from := list[i].At
		for i++; i < len(list) && standing(list[i]) == is; i++ {
		}
		if is == "" {
			continue
		}
		until := t.end
		if i < len(list) {
			until = list[i].At
		}
		opacity := "0.28"
		if strings.HasPrefix(is, "leads") {
			opacity = "1"
		}
		t.rect(t.x(from), y, t.x(until), rowHeight-1, fmt.Sprintf(`fill="%s" fill-opacity="%s"`, colour, opacity),
			fmt.Sprintf("broker %d %s of %s, %s to %s", id, is, list[0].Partition, seconds(from), seconds(until)))
	}
}

// faults packs the faults into as few rows as do not overlap.
func (t *timeline) faults() {
	faults := slices.Clone(t.run.Faults)
	slices.SortStableFunc(faults, func(a, b Fault) int { return int(a.Start - b.Start) })
	var busy []float64
	top := t.y
	for _, f := range faults {
		x0, x1 := t.x(f.Start), t.x(max(f.End, f.Start))
		needs := math.Max(x1, x0+6.2*float64(len(f.Kind)+2))
		row := 0
		for row < len(busy) && busy[row] > x0 {
			row++
		}
		if row == len(busy) {
			busy = append(busy, 0)
		}
		busy[row] = needs + 4
		y := top + float64(row)*15
		class := "fault"
		if f.Outcome != "applied" {
			class = "fault void"
		}
		t.rect(x0, y, x1, 12, `class="`+class+`"`, strings.TrimSpace(f.Text+"  "+f.Outcome+" "+f.Why))
		t.label(x0+2, y+9.5, "start", "faultname", f.Kind)
	}
	if len(busy) > 0 {
		t.name(top+10, "faults")
		t.y = top + float64(len(busy))*15 + laneGap
	}
}

func (t *timeline) rule(y float64) {
	fmt.Fprintf(&t.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="rule"/>`, timelineLeft, timelineRight, y, y)
}

func (t *timeline) axis() {
	t.rule(t.y)
	step := time.Second
	for _, s := range []time.Duration{1, 2, 5, 10, 20, 30, 60, 120, 300, 600} {
		if step = s * time.Second; t.end/step <= 16 {
			break
		}
	}
	for at := time.Duration(0); at <= t.end; at += step {
		fmt.Fprintf(&t.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="rule"/>`, t.x(at), t.x(at), t.y, t.y+4)
		t.label(t.x(at), t.y+14, "middle", "unit", fmt.Sprintf("%gs", at.Seconds()))
	}
	t.y += 22
}

// moments marks, over all lanes, when the faults ended and when an invariant broke.
func (t *timeline) moments() {
	if t.run.HealedAt > 0 {
		x := t.x(t.run.HealedAt)
		fmt.Fprintf(&t.b, `<line x1="%.1f" x2="%.1f" y1="4" y2="%.1f" class="healed"><title>healed at %s</title></line>`, x, x, t.y-20, seconds(t.run.HealedAt))
	}
	for _, f := range t.run.Failures[:min(len(t.run.Failures), 8)] {
		x := t.x(f.At)
		fmt.Fprintf(&t.b, `<line x1="%.1f" x2="%.1f" y1="4" y2="%.1f" class="broken"><title>%s at %s: %s</title></line>`,
			x, x, t.y-20, html.EscapeString(f.ID), seconds(f.At), html.EscapeString(f.Message))
	}
}
