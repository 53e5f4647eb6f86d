package nemesis

import (
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
)

// link is one direction between two nodes.
type link struct{ from, to faults.Node }

// felt tells whether a fault of this kind counts as fired only once somebody has felt it: a link that nobody uses can
// be cut without effect.
func felt(k faults.Kind) bool {
	switch k {
	case faults.Partition, faults.PartitionOneWay, faults.Isolate, faults.SlowLink, faults.SlowDisk, faults.FailSync,
		faults.ZooKeeperCut, faults.Clog, faults.Refuse, faults.Halves, faults.Ring, faults.StallDisk, faults.FailRead, faults.FailWrite, faults.FullDisk, faults.FailDir,
		faults.Loss, faults.Bandwidth, faults.HoldBack, faults.TornWrite, faults.Misdirect, faults.ZooKeeperLoseWatch:
		return true
	}
	return false
}

// strikesLinks tells whether faults of the kind are about links, and not about what is at their ends.
func strikesLinks(k faults.Kind) bool {
	switch k {
	case faults.Partition, faults.PartitionOneWay, faults.Isolate, faults.SlowLink, faults.ZooKeeperCut, faults.Clog, faults.Reset, faults.Halves, faults.Ring,
		faults.Loss, faults.HalfOpen, faults.Bandwidth, faults.HoldBack:
		return true
	}
	return false
}

// links lists the directed links that the fault changes.
func (n *Nemesis) links(f faults.Fault) []link {
	from, to := f.From, f.To
	switch f.Kind {
	case faults.Isolate:
		from, to = []faults.Node{f.Node}, append(slices.Clone(n.o.World.Brokers()), faults.ZooKeeper, faults.Clients)
	case faults.ZooKeeperCut:
		from, to = []faults.Node{f.Node}, []faults.Node{faults.ZooKeeper}
	case faults.Ring:
		return ring(f.From)
	}
	var out []link
	add := func(l link) {
		if l.from != l.to && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	for _, a := range from {
		for _, b := range to {
			add(link{a, b})
			if f.Kind != faults.PartitionOneWay {
				add(link{b, a})
			}
		}
	}
	return out
}

// ring lists the links between brokers that are no neighbours in the ring.
func ring(order []faults.Node) []link {
	var out []link
	for i, a := range order {
		for j, b := range order {
			if apart := (j - i + len(order)) % len(order); apart > 1 && apart < len(order)-1 {
				out = append(out, link{a, b})
			}
		}
	}
	return out
}

// apply makes the world suffer the fault, which is among the active ones if it lasts.
func (n *Nemesis) apply(r *running) faults.Outcome {
	w, f := n.o.World, r.fault
	switch f.Kind {
	case faults.Crash:
		return w.CrashProcess(f.Node)
	case faults.Power:
		return w.PowerLoss(f.Node, f.Keep)
	case faults.Pause:
		return w.Pause(f.Node)
	case faults.Partition, faults.PartitionOneWay, faults.Isolate, faults.SlowLink, faults.ZooKeeperCut, faults.Halves, faults.Ring, faults.Loss, faults.Bandwidth:
		return n.setLinks(r.links)
	case faults.SlowDisk, faults.FailSync, faults.StallDisk, faults.FailRead, faults.FailWrite, faults.FullDisk, faults.FailDir, faults.TornWrite, faults.Misdirect:
		return n.setDisk(f.Node)
	case faults.Clog:
		return n.each(f, func(a, b faults.Node) faults.Outcome { return w.Clog(a, b, n.left(f)) })
	case faults.Reset:
		return n.each(f, w.Reset)
	case faults.Refuse:
		return n.setRefuse(f.Node)
	case faults.Wipe:
		return w.Wipe(f.Node)
	case faults.ClockJump:
		n.jumped[f.Node] += f.Wall
		return n.setClock(f.Node)
	case faults.ClockOffset, faults.ClockDrift:
		return n.setClock(f.Node)
	case faults.ClientCrash:
		return w.CrashClient(f.Client)
	case faults.ZooKeeperExpire:
		return w.ExpireSession(f.Node)
	case faults.ZooKeeperOutage:
		return w.CrashProcess(faults.ZooKeeper)
	case faults.ZooKeeperRestart:
		out := w.CrashProcess(faults.ZooKeeper)
		if out.Applied && !n.heldDown(faults.ZooKeeper) {
			w.Restart(faults.ZooKeeper)
		}
		return out
	}
	return n.applyMore(r)
}

// undo ends the fault's effect; it is not among the active ones any more.
func (n *Nemesis) undo(r *running) {
	switch node := downs(r.fault); r.fault.Kind {
	case faults.Crash, faults.Power, faults.ZooKeeperOutage, faults.Wipe, faults.LoseEntry:
		if !n.heldDown(node) {
			n.o.World.Restart(node)
		}
	case faults.Pause:
		if !n.paused(r.fault.Node) {
			n.o.World.Resume(r.fault.Node)
			if n.owed[r.fault.Node] && !n.heldDown(r.fault.Node) {
				n.o.World.CrashProcess(r.fault.Node)
				n.o.World.Restart(r.fault.Node)
			}
			delete(n.owed, r.fault.Node)
		}
	case faults.SlowDisk, faults.StallDisk:
		n.setDisk(r.fault.Node)
	case faults.Clog: // ends by itself
	case faults.Refuse:
		n.setRefuse(r.fault.Node)
	case faults.ClockOffset, faults.ClockDrift:
		n.setClock(r.fault.Node)
	case faults.ClientCrash:
		if !slices.ContainsFunc(n.active, func(o *running) bool { return o.fault.Kind == faults.ClientCrash && o.fault.Client == r.fault.Client }) {
			n.o.World.RestartClient(r.fault.Client)
		}
	case faults.Blackout, faults.SwapDisks, faults.HoldBack, faults.ZooKeeperPause, faults.ZooKeeperLoseWatch, faults.ClientPause, faults.ClientTwin:
		n.undoMore(r)
	case faults.FailSync, faults.FailRead, faults.FailWrite, faults.FullDisk, faults.TornWrite, faults.Misdirect:
		n.setDisk(r.fault.Node)
		if !n.heldDown(r.fault.Node) {
			// A broker that lost its only log directory has stopped; an operator mends the disk and starts it again.
			n.o.World.Restart(r.fault.Node)
		}
	case faults.FailDir:
		n.setDisk(r.fault.Node)
		switch {
		case n.heldDown(r.fault.Node): // it starts anew anyway
		case n.paused(r.fault.Node):
			n.owed[r.fault.Node] = true
		default:
			// What failed stays offline until the broker starts anew: the operator sees to that, too.
			n.o.World.CrashProcess(r.fault.Node)
			n.o.World.Restart(r.fault.Node)
		}
	default:
		n.setLinks(r.links)
	}
}

// downs is the node whose process a fault takes down.
func downs(f faults.Fault) faults.Node {
	if f.Kind == faults.ZooKeeperOutage {
		return faults.ZooKeeper
	}
	return f.Node
}

// heldDown tells whether an active fault keeps the node's process down.
func (n *Nemesis) heldDown(node faults.Node) bool {
	return slices.ContainsFunc(n.active, func(r *running) bool {
		switch r.fault.Kind {
		case faults.Crash, faults.Power, faults.ZooKeeperOutage, faults.Wipe, faults.LoseEntry:
			return downs(r.fault) == node
		case faults.Blackout:
			return slices.Contains(r.fault.From, node)
		}
		return false
	})
}

func (n *Nemesis) paused(node faults.Node) bool {
	return slices.ContainsFunc(n.active, func(r *running) bool {
		return r.fault.Kind == faults.Pause && r.fault.Node == node || r.fault.Kind == faults.ZooKeeperPause && node == faults.ZooKeeper
	})
}

// setLinks gives each link the condition that all active faults together make.
func (n *Nemesis) setLinks(links []link) faults.Outcome {
	total := faults.Outcome{Detail: "no such link"}
	for _, l := range links {
		var c faults.Link
		for _, r := range n.active {
			if !slices.Contains(r.links, l) {
				continue
			}
			switch r.fault.Kind {
			case faults.SlowLink:
				c.Delay = max(c.Delay, r.fault.Delay)
			case faults.Loss:
				c.OneIn = least(c.OneIn, r.fault.OneIn)
			case faults.Bandwidth:
				c.Bytes = least(c.Bytes, r.fault.Bytes)
			case faults.Clog, faults.HoldBack, faults.SwapDisks, faults.Blackout:
			default:
				c.Cut = true
			}
		}
		if out := n.o.World.SetLink(l.from, l.to, c); out.Applied || !total.Applied {
			total = out
		}
	}
	return total
}

// setDisk gives the node's disk the condition that all active faults together make.
func (n *Nemesis) setDisk(node faults.Node) faults.Outcome {
	var d faults.Disk
	for _, r := range n.active {
		if r.fault.Node != node {
			continue
		}
		switch r.fault.Kind {
		case faults.SlowDisk:
			d.Slow = max(d.Slow, r.fault.Slow)
		case faults.FailSync:
			d.FailSync = true
		case faults.FailRead:
			d.FailRead = true
		case faults.FailWrite:
			d.FailWrite = true
		case faults.FullDisk:
			d.Full = true
		case faults.TornWrite:
			d.Torn = true
		case faults.Misdirect:
			d.Misdirect = true
		case faults.StallDisk:
			d.Stall = max(d.Stall, n.entryEnd(r).Sub(n.o.Timers.Now()))
		case faults.FailDir:
			if !slices.Contains(d.FailDirs, r.fault.Dir) {
				d.FailDirs = append(d.FailDirs, r.fault.Dir)
			}
		}
	}
	slices.Sort(d.FailDirs)
	return n.o.World.SetDisk(node, d)
}

// left is how long a fault that begins now lasts.
func (n *Nemesis) left(f faults.Fault) time.Duration {
	now := n.o.Timers.Now()
	if f.For == faults.UntilEnd || f.For == faults.Forever {
		return n.o.End.Sub(now)
	}
	return min(f.For, n.o.End.Sub(now))
}

// entryEnd is when an active fault will have ended.
func (n *Nemesis) entryEnd(r *running) env.Instant {
	if f := r.fault; f.For != faults.UntilEnd && f.For != faults.Forever {
		return min(r.began.Add(f.For), n.o.End)
	}
	return n.o.End
}

// each does something between every node of one side and every one of the other; it is applied if any of it was.
func (n *Nemesis) each(f faults.Fault, do func(a, b faults.Node) faults.Outcome) faults.Outcome {
	total := faults.Outcome{Detail: "no such link"}
	for _, a := range f.From {
		for _, b := range f.To {
			if out := do(a, b); out.Applied || !total.Applied {
				total = out
			}
		}
	}
	return total
}

// setRefuse makes the node refuse dials as long as any active fault says so.
func (n *Nemesis) setRefuse(node faults.Node) faults.Outcome {
	return n.o.World.SetRefuse(node, slices.ContainsFunc(n.active, func(r *running) bool {
		return r.fault.Kind == faults.Refuse && r.fault.Node == node
	}))
}

// setClock gives the node's wall clock the jumps so far and what all active faults together make.
func (n *Nemesis) setClock(node faults.Node) faults.Outcome {
	off, drift := n.jumped[node], 0
	for _, r := range n.active {
		if f := r.fault; f.Node == node && f.Kind == faults.ClockOffset {
			off += f.Wall
		} else if f.Node == node && f.Kind == faults.ClockDrift {
			drift += f.Drift
		}
	}
	return n.o.World.SetClock(node, off, drift)
}

// hurt is what the world has counted so far where the fault strikes.
func (n *Nemesis) hurt(r *running) int64 {
	disk := func() faults.DiskHurt { return n.o.World.DiskHurt(r.fault.Node) }
	switch r.fault.Kind {
	case faults.SlowDisk:
		return disk().Slow
	case faults.FailSync:
		return disk().FailSync
	case faults.FailRead:
		return disk().FailRead
	case faults.FailWrite:
		return disk().FailWrite
	case faults.FullDisk:
		return disk().Full
	case faults.StallDisk:
		return disk().Stall
	case faults.TornWrite:
		return disk().Torn
	case faults.Misdirect:
		return disk().Misdirect
	case faults.Clog, faults.Refuse, faults.HoldBack, faults.ZooKeeperLoseWatch:
		return n.o.World.Hurt(r.fault.Kind)
	case faults.FailDir:
		return disk().FailDir
	}
	var total int64
	for _, l := range r.links {
		total += n.o.World.LinkHurt(l.from, l.to)
	}
	return total
}
