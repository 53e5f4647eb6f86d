package nemesis

import (
	"slices"

	"barnabas/faults"
)

// applyMore is apply for the kinds that strike several nodes at once, or clients.
func (n *Nemesis) applyMore(r *running) faults.Outcome {
	w, f := n.o.World, r.fault
	switch f.Kind {
	case faults.Blackout:
		return n.blackout(f)
	case faults.SwapDisks:
		return n.swap(r)
	case faults.HalfOpen:
		return n.each(f, w.HalfOpen)
	case faults.HoldBack:
		return n.each(f, func(a, b faults.Node) faults.Outcome { return w.HoldBack(a, b, n.left(f)) })
	case faults.BitFlip:
		return w.FlipBits(f.Node, f.Bits)
	case faults.LoseEntry:
		return w.LoseEntry(f.Node)
	case faults.ZooKeeperPause:
		return w.Pause(faults.ZooKeeper)
	case faults.ZooKeeperLoseWatch:
		return n.setWatchLoss(f.Node)
	case faults.ClientPause:
		return w.PauseClient(f.Client)
	case faults.ClientTwin:
		out := w.PauseClient(f.Client)
		if out.Applied {
			out = w.StartTwin(f.Client)
		}
		if !out.Applied {
			w.ResumeClient(f.Client)
		}
		return out
	}
	return faults.Outcome{Detail: "a kind that no nemesis knows"}
}

// undoMore is undo for them. What is held back comes by itself.
func (n *Nemesis) undoMore(r *running) {
	w, f := n.o.World, r.fault
	switch f.Kind {
	case faults.Blackout:
		for _, node := range f.From {
			if !n.heldDown(node) {
				w.Restart(node)
			}
		}
	case faults.SwapDisks:
		w.SwapDisks(f.From[0], f.To[0])
		n.startSwapped(f)
	case faults.ZooKeeperPause:
		if !n.paused(faults.ZooKeeper) {
			w.Resume(faults.ZooKeeper)
		}
	case faults.ZooKeeperLoseWatch:
		n.setWatchLoss(f.Node)
	case faults.ClientPause, faults.ClientTwin:
		if !slices.ContainsFunc(n.active, func(o *running) bool {
			return (o.fault.Kind == faults.ClientPause || o.fault.Kind == faults.ClientTwin) && o.fault.Client == f.Client
		}) {
			w.ResumeClient(f.Client)
		}
	}
}

// blackout takes the power of all nodes at one moment.
func (n *Nemesis) blackout(f faults.Fault) faults.Outcome {
	total := faults.Outcome{Detail: "nobody had power"}
	for _, node := range f.From {
		if out := n.o.World.PowerLoss(node, f.Keep); out.Applied || !total.Applied {
			total = out
		}
	}
	return total
}

// swap exchanges two brokers' disks and starts both: each must see that the disk is not its own. A disk that is in
// another's machine already stays there, or nobody could tell where it belongs.
func (n *Nemesis) swap(r *running) faults.Outcome {
	f := r.fault
	for _, o := range n.active {
		if o == r || o.fault.Kind != faults.SwapDisks {
			continue
		}
		for _, node := range append(slices.Clone(o.fault.From), o.fault.To...) {
			if node == f.From[0] || node == f.To[0] {
				return faults.Outcome{Detail: "the disk of " + node.String() + " is in another machine already"}
			}
		}
	}
	if f.From[0] == f.To[0] {
		return faults.Outcome{Detail: "one disk"}
	}
	out := n.o.World.SwapDisks(f.From[0], f.To[0])
	if out.Applied {
		n.startSwapped(f)
	}
	return out
}

func (n *Nemesis) startSwapped(f faults.Fault) {
	for _, node := range append(slices.Clone(f.From), f.To...) {
		if !n.heldDown(node) {
			n.o.World.Restart(node)
		}
	}
}

// setWatchLoss makes the node lose what ZooKeeper tells it as long as any active fault says so.
func (n *Nemesis) setWatchLoss(node faults.Node) faults.Outcome {
	return n.o.World.SetWatchLoss(node, slices.ContainsFunc(n.active, func(r *running) bool {
		return r.fault.Kind == faults.ZooKeeperLoseWatch && r.fault.Node == node
	}))
}

// least is the smaller of two bounds, of which 0 is none.
func least(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
