package cluster

import (
	"time"

	"barnabas/broker/env"
	"barnabas/sim/disk"
)

// Crash kills the node's process: its tasks end, the disk keeps its cache, peers get a FIN or a RST.
func (w *World) Crash(name string) {}

// PowerLoss cuts the node's power: its tasks end, unsynced data may be lost, nobody is told.
func (w *World) PowerLoss(name string, keep disk.Keep) disk.Loss { panic("unfinished") }

// Pause stops the node's tasks until Resume, as SIGSTOP does; its kernel goes on receiving.
func (w *World) Pause(name string) {}

// Resume ends a pause: everything that was due is late.
func (w *World) Resume(name string) {}

// Partition cuts the links from the hosts in from to those in to, and unless oneWay, back. heal undoes it.
func (w *World) Partition(from, to []string, oneWay bool) (heal func()) { panic("unfinished") }

// SlowLink multiplies the latency of these links, both ways.
func (w *World) SlowLink(from, to []string, factor float64) (heal func()) { panic("unfinished") }

// Clog lets nothing pass these links, both ways, for d; then everything at once.
func (w *World) Clog(from, to []string, d time.Duration) {}

// ResetLinks resets every connection between these hosts and tells how many there were.
func (w *World) ResetLinks(from, to []string) int { panic("unfinished") }

// RefuseDials makes the node's host refuse new connections.
func (w *World) RefuseDials(name string) (heal func()) { panic("unfinished") }

// SetWallOffset sets how far the node's wall clock is off; it jumps there.
func (w *World) SetWallOffset(name string, d time.Duration) {}

// SetWallDrift makes the node's wall clock gain so many parts per million from now on.
func (w *World) SetWallDrift(name string, ppm float64) {}

// Disk is the node's disk, with its faults (SetSlow, SetFail, Stall, …).
func (w *World) Disk(name string) *disk.Disk { panic("unfinished") }

// Heal ends everything that may be ended: partitions, slow links, refusals, disk faults, pauses, clock drift. It does not start
// nodes, and does not put wall clocks right.
func (w *World) Heal() {}

// Fired is how often one kind of fault really touched something.
type Fired struct {
	Kind  string
	Count int64
}

// Fired lists all kinds of faults and their counts, always in the same order.
func (w *World) Fired() []Fired { panic("unfinished") }

// Nodes are the names of all nodes, in the order they were added.
func (w *World) Nodes() []string { panic("unfinished") }

// Env is the env of the node's present life, nil without one: for looking, not for calling.
func (w *World) Env(name string) env.Env { panic("unfinished") }
