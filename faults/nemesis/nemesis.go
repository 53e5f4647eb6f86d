package nemesis

import (
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
type Nemesis struct{}

// New makes a nemesis; Start sets it going.
func New(o Options) *Nemesis { panic("unfinished") }

// Start registers all faults and the final healing with the timers.
func (n *Nemesis) Start() {}

// HealAll heals everything now, except what is for=forever, and begins nothing more. It runs by itself at the end.
func (n *Nemesis) HealAll() {}

// Timeline lists every fault of the schedule so far, in the order they began.
func (n *Nemesis) Timeline() []Entry { panic("unfinished") }

// Counts tells for each kind what became of its faults.
func (n *Nemesis) Counts() Counts { panic("unfinished") }

// Status is what became of a fault.
type Status uint8

const (
	Applied  Status = iota // it began, and had an effect or may still have one
	NoEffect               // the world had nothing to do it to
	Withheld               // Admit refused it
)

// Entry is one fault on the timeline.
type Entry struct {
	Index  int          // in the schedule
	Fault  faults.Fault // roles resolved
	Start  env.Instant
	End    env.Instant // env.Never while it lasts
	Status Status
	Fired  bool   // it really had an effect; for links and disks known when it ends
	Note   string // why it was withheld or had no effect; what the world said
}

// Count is what became of the faults of one kind.
type Count struct {
	Planned, Fired, NoEffect, Withheld int
}

// Counts are indexed by kind.
type Counts [faults.KindCount]Count
