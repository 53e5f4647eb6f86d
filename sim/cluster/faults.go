package cluster

import (
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/disk"
	"barnabas/sim/network"
)

// Crash kills the node's process, if there is one: its tasks end, the disk keeps its cache, peers get a FIN or a RST.
func (w *World) Crash(name string) {
	n := w.node(name)
	if n.life == nil {
		return
	}
	w.event(evCrash, name, "", int64(n.lives))
	w.endLife(n, Off)
}

// PowerLoss cuts the node's power: its tasks end, unsynced data may be lost, nobody is told. A node without a process
// loses what its disk's cache holds.
func (w *World) PowerLoss(name string, keep disk.Keep) disk.Loss {
	n := w.node(name)
	if n.life != nil {
		w.endLife(n, PowerOff)
	} else {
		n.host.PowerLoss()
		n.status = PowerOff
	}
	n.boots++
	loss := n.disk.PowerLoss(keep)
	w.event(evPowerLoss, name, "", int64(n.lives), int64(loss.Files), loss.Bytes, int64(loss.DirectoryOps))
	return loss
}

// PowerLossChosen is PowerLoss with a say in what of the disk's unsynced changes survives: see disk.PowerLossChosen.
func (w *World) PowerLossChosen(name string, survives func() bool) disk.Loss {
	n := w.node(name)
	if n.life != nil {
		w.endLife(n, PowerOff)
	} else {
		n.host.PowerLoss()
		n.status = PowerOff
	}
	n.boots++
	loss := n.disk.PowerLossChosen(survives)
	w.event(evPowerLoss, name, "", int64(n.lives), int64(loss.Files), loss.Bytes, int64(loss.DirectoryOps))
	return loss
}

// Unsynced is how many decisions PowerLossChosen would ask for now.
func (w *World) Unsynced(name string) int { return w.node(name).disk.Units() }

// Pause stops the node's tasks until Resume, as SIGSTOP does; its kernel goes on receiving. It does nothing to a node
// that is not running.
func (w *World) Pause(name string) {
	n := w.node(name)
	if n.status == Running {
		w.event(evPause, name, "")
		n.status = Paused
		w.s.Pause(n.life.group)
	}
}

// Resume ends a pause: everything that was due is late.
func (w *World) Resume(name string) {
	n := w.node(name)
	if n.status == Paused {
		w.event(evResume, name, "")
		n.status = Running
		w.s.Resume(n.life.group)
	}
}

// Events of faults in the world's hash.
var (
	evFault = env.NewKind("fault", env.Info)
	evHeal  = env.NewKind("heal", env.Info)
)

// Wipe kills the node's process, if there is one, and empties its disk.
func (w *World) Wipe(name string) {
	n := w.node(name)
	w.event(evWipe, name, "", int64(n.lives))
	w.endLife(n, Off)
	n.disk.Erase()
}

var evWipe = env.NewKind("wipe", env.Info, "life")

// Partition cuts the links from the hosts in from to those in to, and unless oneWay, back. heal undoes it.
func (w *World) Partition(from, to []string, oneWay bool) (heal func()) {
	return w.healer(w.net.Partition(from, to, oneWay), "partition "+hosts(from, to))
}

// SlowLink multiplies the latency of these links, both ways.
func (w *World) SlowLink(from, to []string, factor float64) (heal func()) {
	return w.healer(w.net.Slow(from, to, factor), "slow "+hosts(from, to))
}

// RefuseDials makes the node's host refuse new connections.
func (w *World) RefuseDials(name string) (heal func()) {
	return w.healer(w.net.Refuse(name), "refuse "+name)
}

func (w *World) healer(f *network.Fault, text string) func() {
	w.event(evFault, "", text)
	return func() {
		w.event(evHeal, "", text)
		f.Heal()
	}
}

func hosts(from, to []string) string { return strings.Join(from, ",") + "|" + strings.Join(to, ",") }

// Clog lets nothing pass these links, both ways, for d; then everything at once.
func (w *World) Clog(from, to []string, d time.Duration) {
	w.event(evFault, "", "clog "+hosts(from, to))
	w.net.Clog(from, to, d)
}

// ResetLinks resets every connection between these hosts and tells how many there were.
func (w *World) ResetLinks(from, to []string) int {
	w.event(evFault, "", "reset "+hosts(from, to))
	return w.net.Reset(from, to)
}

// HalfOpen makes one node's host forget its connections with another, and tells how many there were.
func (w *World) HalfOpen(from, to string) int {
	w.event(evFault, "", "half-open "+from+">"+to)
	return w.net.HalfOpen(from, to)
}

// HoldBack holds back for d what the connections that are open now carry from one node to the other.
func (w *World) HoldBack(from, to string, d time.Duration) {
	w.event(evFault, "", "hold-back "+from+">"+to)
	w.net.HoldBack(from, to, d)
}

// LoseEntry kills the node's process, if there is one, and takes the newest matching file out of its directory; it
// tells which, "" for none.
func (w *World) LoseEntry(name string, match func(file string) bool) string {
	n := w.node(name)
	w.endLife(n, Off)
	lost := n.disk.LoseEntry(match)
	w.event(evFault, name, "lose-entry "+lost)
	return lost
}

// FlipBits turns so many bits in matching files of the node's disk, and tells how many it could.
func (w *World) FlipBits(name string, bits int, match func(file string) bool) int {
	turned := w.node(name).disk.FlipBits(bits, match)
	w.event(evFault, name, "flip-bits", int64(turned))
	return turned
}

// SwapDisks kills both nodes' processes, if there are any, and puts each one's disk into the other's machine.
func (w *World) SwapDisks(a, b string) {
	w.event(evFault, "", "swap-disks "+a+"|"+b)
	w.endLife(w.node(a), Off)
	w.endLife(w.node(b), Off)
	disk.Swap(w.node(a).disk, w.node(b).disk)
}

// SetLink gives one directed link its condition from now on; the zero Condition is a healthy link. It adds to what
// Partition and SlowLink do.
func (w *World) SetLink(from, to string, c network.Condition) {
	w.event(evFault, "", "link "+from+">"+to)
	w.net.SetLink(from, to, c)
}

// LinkHurt counts what SetLink's conditions did to segments and dials on the directed link since the world began.
func (w *World) LinkHurt(from, to string) int64 { return w.net.LinkHurt(from, to) }

// Severed tells whether nothing passes between two nodes at this moment, one way or both.
func (w *World) Severed(a, b string) bool { return w.net.Severed(a, b) }

// SetWallOffset sets how far the node's wall clock is off; it jumps there.
func (w *World) SetWallOffset(name string, d time.Duration) {
	n := w.node(name)
	n.offset, n.driftSince = d, w.Now()
}

// SetWallDrift makes the node's wall clock gain so many parts per million from now on.
func (w *World) SetWallDrift(name string, ppm float64) {
	n := w.node(name)
	now := w.Now()
	n.offset += time.Duration(float64(now-n.driftSince) * n.drift / 1e6)
	n.drift, n.driftSince = ppm, now
}

// Disk is the node's disk, with its faults (SetSlow, SetFail, Stall, …) and its counters.
func (w *World) Disk(name string) *disk.Disk { return w.node(name).disk }

// Network is the network, with the faults that have no method here.
func (w *World) Network() *network.Network { return w.net }

// Heal ends everything that can be ended: network faults, disk faults, pauses, clock drift. It does not start nodes
// and does not put wall clocks right.
func (w *World) Heal() {
	w.event(evHeal, "", "all")
	w.net.Heal()
	for _, n := range w.nodes {
		n.disk.Heal()
		w.Resume(n.name)
		w.SetWallDrift(n.name, 0)
	}
}

// Fired is how often one kind of fault really touched something.
type Fired struct {
	Kind  string
	Count int64
}

// Fired lists all kinds of network and disk faults and their counts, always in the same order.
func (w *World) Fired() []Fired {
	var list []Fired
	for _, k := range network.Kinds() {
		list = append(list, Fired{k.String(), w.net.Fired(k)})
	}
	var sum disk.Fired
	for _, n := range w.nodes {
		f := n.disk.Fired()
		sum.Slow += f.Slow
		sum.NoSpace += f.NoSpace
		sum.Stalled += f.Stalled
		sum.Torn += f.Torn
		sum.Misdirected += f.Misdirected
		for op := range f.Fail {
			sum.Fail[op] += f.Fail[op]
		}
	}
	return append(list, Fired{"disk-slow", sum.Slow}, Fired{"disk-torn", sum.Torn}, Fired{"disk-misdirected", sum.Misdirected}, Fired{"disk-stall", sum.Stalled}, Fired{"disk-full", sum.NoSpace},
		Fired{"disk-fail-read", sum.Fail[disk.OpRead]}, Fired{"disk-fail-write", sum.Fail[disk.OpWrite]},
		Fired{"disk-fail-sync", sum.Fail[disk.OpSync]}, Fired{"disk-fail-meta", sum.Fail[disk.OpMeta]})
}
