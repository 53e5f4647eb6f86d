package nemesis

import (
	"slices"

	"barnabas/faults"
)

// link is one direction between two nodes.
type link struct{ from, to faults.Node }

// lasts tells whether a fault of this kind has an end to wait for.
func lasts(k faults.Kind) bool { return k != faults.ZooKeeperExpire && k != faults.ZooKeeperRestart }

// felt tells whether a fault of this kind counts as fired only once somebody has felt it: a link that nobody uses can
// be cut without effect.
func felt(k faults.Kind) bool {
	switch k {
	case faults.Partition, faults.PartitionOneWay, faults.Isolate, faults.SlowLink, faults.SlowDisk, faults.FailSync, faults.FailDir:
		return true
	}
	return false
}

// links lists the directed links that the fault changes.
func (n *Nemesis) links(f faults.Fault) []link {
	from, to := f.From, f.To
	if f.Kind == faults.Isolate {
		from, to = []faults.Node{f.Node}, append(slices.Clone(n.o.World.Brokers()), faults.ZooKeeper, faults.Clients)
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
	case faults.Partition, faults.PartitionOneWay, faults.Isolate, faults.SlowLink:
		return n.setLinks(r.links)
	case faults.SlowDisk, faults.FailSync, faults.FailDir:
		return n.setDisk(f.Node)
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
	return faults.Outcome{Detail: "a kind that no nemesis knows"}
}

// undo ends the fault's effect; it is not among the active ones any more.
func (n *Nemesis) undo(r *running) {
	switch node := downs(r.fault); r.fault.Kind {
	case faults.Crash, faults.Power, faults.ZooKeeperOutage:
		if !n.heldDown(node) {
			n.o.World.Restart(node)
		}
	case faults.Pause:
		if !n.paused(r.fault.Node) {
			n.o.World.Resume(r.fault.Node)
		}
	case faults.SlowDisk:
		n.setDisk(r.fault.Node)
	case faults.FailSync:
		n.setDisk(r.fault.Node)
		if !n.heldDown(r.fault.Node) {
			// A broker that lost its only log directory has stopped; an operator mends the disk and starts it again.
			n.o.World.Restart(r.fault.Node)
		}
	case faults.FailDir:
		n.setDisk(r.fault.Node)
		if !n.heldDown(r.fault.Node) && !n.paused(r.fault.Node) {
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
		case faults.Crash, faults.Power, faults.ZooKeeperOutage:
			return downs(r.fault) == node
		}
		return false
	})
}

func (n *Nemesis) paused(node faults.Node) bool {
	return slices.ContainsFunc(n.active, func(r *running) bool {
		return r.fault.Kind == faults.Pause && r.fault.Node == node
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
			if r.fault.Kind == faults.SlowLink {
				c.Delay = max(c.Delay, r.fault.Delay)
			} else {
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
		case faults.FailDir:
			if !slices.Contains(d.FailDirs, r.fault.Dir) {
				d.FailDirs = append(d.FailDirs, r.fault.Dir)
			}
		}
	}
	slices.Sort(d.FailDirs)
	return n.o.World.SetDisk(node, d)
}

// hurt is what the world has counted so far where the fault strikes.
func (n *Nemesis) hurt(r *running) int64 {
	switch r.fault.Kind {
	case faults.SlowDisk:
		return n.o.World.DiskHurt(r.fault.Node).Slow
	case faults.FailSync:
		return n.o.World.DiskHurt(r.fault.Node).FailSync
	case faults.FailDir:
		return n.o.World.DiskHurt(r.fault.Node).FailDir
	}
	var total int64
	for _, l := range r.links {
		total += n.o.World.LinkHurt(l.from, l.to)
	}
	return total
}
