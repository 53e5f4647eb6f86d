package nemesis

import (
	"fmt"
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
)

// Status is what became of a fault.
type Status uint8

const (
	Applied  Status = iota // it began, and had an effect or may still have one
	NoEffect               // the world had nothing to do it to
	Withheld               // Admit refused it
)

// String is the status in words: applied, no-effect, withheld.
func (s Status) String() string { return [...]string{"applied", "no-effect", "withheld"}[s%3] }

// Entry is one fault on the timeline.
type Entry struct {
	Index  int          // in the schedule
	Fault  faults.Fault // roles resolved
	Start  env.Instant
	End    env.Instant // env.Never while it lasts
	Status Status
	Fired  bool   // it really had an effect; for links and disks known when it ends
	Note   string // why it was withheld or had no effect; what the world said
	// Links are the directed links that it changes, of kinds that strike links.
	Links [][2]faults.Node
}

// String is the entry as a line: "3.200s..7.200s applied fired partition from=2 to=1,3 for=4s: note". The fault's own
// time is left out; the first is when it really began.
func (e Entry) String() string {
	_, what, _ := strings.Cut(e.Fault.String(), " ")
	end := "end"
	if e.End != env.Never {
		end = seconds(e.End)
	}
	fired := ""
	if e.Fired {
		fired = " fired"
	}
	note := ""
	if e.Note != "" {
		note = ": " + e.Note
	}
	return fmt.Sprintf("%s..%s %s%s %s%s", seconds(e.Start), end, e.Status, fired, what, note)
}

func seconds(t env.Instant) string { return fmt.Sprintf("%.3fs", time.Duration(t).Seconds()) }

// Timeline lists every fault of the schedule so far, in the order they began.
func (n *Nemesis) Timeline() []Entry {
	for _, r := range n.active {
		n.settle(r, &n.entries[r.entry])
	}
	return append([]Entry(nil), n.entries...)
}

// Count is what became of the faults of one kind. A fault that was applied and had ended before anybody felt it counts
// as NoEffect; one that lasts unfelt counts nowhere yet.
type Count struct {
	Planned, Fired, NoEffect, Withheld int
}

// Counts are indexed by kind.
type Counts [faults.KindCount]Count

// Counts tells for each kind what became of its faults.
func (n *Nemesis) Counts() Counts {
	var counts Counts
	for _, f := range n.o.Schedule {
		counts[f.Kind].Planned++
	}
	for _, e := range n.Timeline() {
		switch c := &counts[e.Fault.Kind]; {
		case e.Status == Withheld:
			c.Withheld++
		case e.Fired:
			c.Fired++
		case e.Status == NoEffect || e.End != env.Never:
			c.NoEffect++
		}
	}
	return counts
}

// Total adds up all kinds.
func (c Counts) Total() Count {
	var total Count
	for _, k := range c {
		total.Planned += k.Planned
		total.Fired += k.Fired
		total.NoEffect += k.NoEffect
		total.Withheld += k.Withheld
	}
	return total
}

// String lists the kinds that were planned: "crash 2/3 fired; power 0/1 fired, 1 withheld".
func (c Counts) String() string {
	var parts []string
	for kind, k := range c {
		if k.Planned == 0 {
			continue
		}
		part := fmt.Sprintf("%s %d/%d fired", faults.Kind(kind), k.Fired, k.Planned)
		if k.NoEffect > 0 {
			part += fmt.Sprintf(", %d without effect", k.NoEffect)
		}
		if k.Withheld > 0 {
			part += fmt.Sprintf(", %d withheld", k.Withheld)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}
