package reports

import (
	"fmt"
	"io"
)

// realLines are the lines of a card that only the real world has.
func realLines(w io.Writer, r *Run) {
	for i := range r.Measures {
		fmt.Fprintf(w, "  measured   %s\n", r.Measures[i].Line())
	}
	for _, text := range r.LeftOut {
		fmt.Fprintf(w, "  left out   %s\n", text)
	}
	for _, text := range r.Notes {
		fmt.Fprintf(w, "  note       %s\n", text)
	}
}

// Line is the measure in words.
func (m *Measure) Line() string {
	if m.Samples == 0 {
		return m.Name + ": never, undisturbed"
	}
	text := fmt.Sprintf("%s: median %s, 99th percentile %s, longest %s of %d", m.Name, round(m.P50), round(m.P99), round(m.Max), m.Samples)
	switch of := map[bool]string{true: "longest", false: "99th percentile"}[m.OfMax]; {
	case m.Limit == 0:
	case m.Within():
		text += fmt.Sprintf("; %s within %s", of, m.Limit)
	default:
		text += fmt.Sprintf("; %s OVER the limit of %s", of, m.Limit)
	}
	return text
}
