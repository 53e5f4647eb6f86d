package nemesis

import (
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
)

// Timers calls back at virtual (or real) times, one callback at a time.
type Timers interface {
	Now() env.Instant
	// At calls f at t, or at once if t is past.
	At(t env.Instant, f func())
}

// Options configure New.
type Options struct {
	World    faults.World
	Timers   Timers
	Schedule faults.Schedule
	// Start is the instant that the faults' times count from.
	Start env.Instant
	// End is when everything heals that is not for=forever; faults planned for then or later do not begin.
	End env.Instant
	// Admit is asked before each fault begins, its roles resolved; nil admits all. A fault that is not admitted is
	// counted as withheld, with the reason.
	Admit func(f faults.Fault) (ok bool, why string)
	// Observe is told about each entry of the timeline when it begins and again when it has ended; may be nil.
	Observe func(e Entry)
}

// Nemesis plays one schedule. It is not safe for concurrent use.
type Nemesis struct {
	o       Options
	entries []Entry
	active  []*running // applied and not healed, in the order they began
	ended   bool
	jumped  map[faults.Node]time.Duration // how far each wall clock has jumped in all
	owed    map[faults.Node]bool          // brokers that are to be started anew when they run again
}

// running is a fault that was applied and lasts.
type running struct {
	fault faults.Fault // roles resolved
	entry int          // its index in the timeline
	links []link       // those it changes
	began env.Instant
	hurt  int64 // what the world had counted on them, or on the disk, before
}

// New makes a nemesis; Start sets it going.
func New(o Options) *Nemesis {
	return &Nemesis{o: o, jumped: map[faults.Node]time.Duration{}, owed: map[faults.Node]bool{}}
}

// Start registers all faults and the final healing with the timers. Call it once.
func (n *Nemesis) Start() {
	for i, f := range n.o.Schedule {
		at := n.o.Start.Add(f.At)
		if at < n.o.End {
			n.o.Timers.At(at, func() { n.begin(i) })
			continue
		}
		n.record(Entry{Index: i, Fault: f, Start: at, End: at, Status: NoEffect,
			Note: "planned for after the end of the faults"})
	}
	n.o.Timers.At(n.o.End, n.HealAll)
}

// HealAll heals everything now, except what is for=forever, and begins nothing more. It runs by itself at the end.
func (n *Nemesis) HealAll() {
	n.ended = true
	for _, r := range slices.Clone(n.active) {
		if r.fault.For != faults.Forever {
			n.heal(r)
		}
	}
}

// begin asks whether the fault may begin, and applies it.
func (n *Nemesis) begin(index int) {
	if n.ended {
		return
	}
	now := n.o.Timers.Now()
	n.healDue(now) // what ends now ends before anything begins, whatever the order of the timers
	e := Entry{Index: index, Start: now, End: now, Status: NoEffect}
	f, missing := n.resolve(n.o.Schedule[index])
	e.Fault = f
	if missing != "" {
		e.Note = missing
		n.record(e)
		return
	}
	if n.o.Admit != nil {
		if ok, why := n.o.Admit(f); !ok {
			e.Status, e.Note = Withheld, why
			n.record(e)
			return
		}
	}
	r := &running{fault: f, entry: len(n.entries), began: now}
	if strikesLinks(f.Kind) {
		for _, l := range n.links(f) {
			e.Links = append(e.Links, [2]faults.Node{l.from, l.to})
		}
	}
	if f.Kind.Lasts() {
		r.links = n.links(f)
		r.hurt = n.hurt(r)
		n.active = append(n.active, r)
	}
	out := n.apply(r)
	e.Note = out.Detail
	if !out.Applied {
		n.drop(r)
		n.record(e)
		return
	}
	e.Status, e.Fired = Applied, !felt(f.Kind)
	if f.Kind.Lasts() {
		e.End = env.Never
		if f.For != faults.UntilEnd && f.For != faults.Forever {
			n.o.Timers.At(now.Add(f.For), func() { n.heal(r) })
		}
	}
	n.record(e)
}

func (n *Nemesis) healDue(now env.Instant) {
	for _, r := range slices.Clone(n.active) {
		if f := r.fault; f.For != faults.UntilEnd && f.For != faults.Forever && n.entries[r.entry].Start.Add(f.For) <= now {
			n.heal(r)
		}
	}
}

// heal ends a fault. Faults that still last keep their effect, even on the same node or link.
func (n *Nemesis) heal(r *running) {
	if !slices.Contains(n.active, r) {
		return
	}
	e := &n.entries[r.entry]
	n.settle(r, e)
	e.End = n.o.Timers.Now()
	n.drop(r)
	n.undo(r)
	n.observe(*e)
}

// settle looks whether the world felt the fault by now.
func (n *Nemesis) settle(r *running, e *Entry) {
	if felt(r.fault.Kind) && n.hurt(r) > r.hurt {
		e.Fired = true
	}
}

func (n *Nemesis) drop(r *running) {
	n.active = slices.DeleteFunc(n.active, func(a *running) bool { return a == r })
}

func (n *Nemesis) record(e Entry) {
	n.entries = append(n.entries, e)
	n.observe(e)
}

func (n *Nemesis) observe(e Entry) {
	if n.o.Observe != nil {
		n.o.Observe(e)
	}
}

// resolve replaces roles by the nodes that hold them now; missing tells which role nobody holds.
func (n *Nemesis) resolve(f faults.Fault) (resolved faults.Fault, missing string) {
	one := func(node faults.Node) faults.Node {
		if !node.IsRole() {
			return node
		}
		found, ok := n.o.World.Resolve(node)
		if !ok {
			missing = "nobody is " + node.String()
			return node
		}
		return found
	}
	f.Node = one(f.Node)
	side := func(nodes, others []faults.Node) []faults.Node {
		var out []faults.Node
		for _, node := range nodes {
			if node != faults.Others {
				out = append(out, one(node))
				continue
			}
			for _, broker := range n.o.World.Brokers() {
				if !slices.Contains(others, broker) {
					out = append(out, broker)
				}
			}
		}
		return out
	}
	if slices.Contains(f.From, faults.Others) { // the other side tells who they are, so it comes first
		f.To = side(f.To, nil)
		f.From = side(f.From, f.To)
		return f, missing
	}
	f.From = side(f.From, nil)
	f.To = side(f.To, f.From)
	return f, missing
}
