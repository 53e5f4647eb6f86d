package scenarios

import (
	"strings"
	"time"

	"barnabas/faults"
	"barnabas/reports"
	"barnabas/sim/cluster"
)

// isLog tells the files that hold records of the scenario's topic: the only ones whose corruption is told from a bug, as
// every record carries its checksum.
func isLog(name string) bool {
	return strings.HasSuffix(name, ".log") && strings.Contains(name, "/"+topic+"-")
}

func (f *faultWorld) LoseEntry(n faults.Node) faults.Outcome {
	name := f.name(n)
	wasUp := f.c.up(name)
	lost := f.c.w.LoseEntry(name, isLog)
	if wasUp {
		f.c.note(name, "down")
	}
	if lost == "" {
		return faults.Outcome{Applied: wasUp, Detail: "no log had a file to lose"}
	}
	f.view.lostPower(int32(n))
	return applied("%s is gone", lost)
}

func (f *faultWorld) FlipBits(n faults.Node, bits int) faults.Outcome {
	turned := f.c.w.FlipBits(f.name(n), bits, isLog)
	if turned == 0 {
		return refused("no log holds anything")
	}
	f.c.beyond()
	f.c.displaced()
	return applied("%d bits", turned)
}

// SwapDisks notes who has whose disk: while a disk is in another's machine, nothing may destroy what is on it.
func (f *faultWorld) SwapDisks(a, b faults.Node) faults.Outcome {
	for _, name := range []string{f.name(a), f.name(b)} {
		if f.c.up(name) {
			f.c.note(name, "down")
		}
	}
	f.c.w.SwapDisks(f.name(a), f.name(b))
	f.view.swapped = !f.view.swapped
	return applied("")
}

func (f *faultWorld) HalfOpen(from, to faults.Node) faults.Outcome {
	n := 0
	for _, a := range f.hosts(from) {
		for _, b := range f.hosts(to) {
			n += f.c.w.HalfOpen(a, b)
		}
	}
	if n == 0 {
		return refused("no connections")
	}
	return applied("%d connections", n)
}

func (f *faultWorld) HoldBack(from, to faults.Node, d time.Duration) faults.Outcome {
	for _, a := range f.hosts(from) {
		for _, b := range f.hosts(to) {
			f.c.w.HoldBack(a, b, d)
		}
	}
	return applied("")
}

func (f *faultWorld) SetWatchLoss(n faults.Node, on bool) faults.Outcome {
	f.deaf[f.name(n)] = on
	f.hookWatches()
	return applied("")
}

// hookWatches tells ZooKeeper's present life whose watches are lost.
func (f *faultWorld) hookWatches() {
	if f.c.zk == nil {
		return
	}
	f.c.zk.BreakOnWatch(func(peer string) bool {
		host, _, _ := strings.Cut(peer, ":")
		if f.deaf[host] {
			f.lost++
		}
		return f.deaf[host]
	})
}

func (f *faultWorld) PauseClient(number int) faults.Outcome {
	if len(f.clients) == 0 {
		return refused("no clients")
	}
	name := f.client(number)
	if f.c.w.Status(name) != cluster.Running {
		return refused("%s does not run", name)
	}
	f.clientLane(name)
	f.load.Sleeps(name, f.c.w.Now())
	f.c.w.Pause(name)
	f.c.note(name, "paused")
	return applied("%s", name)
}

func (f *faultWorld) ResumeClient(number int) faults.Outcome {
	name := f.client(number)
	if f.c.w.Status(name) != cluster.Paused {
		return refused("%s is not paused", name)
	}
	f.c.w.Resume(name)
	f.c.note(name, "up")
	return applied("%s", name)
}

// clientLane gives a client a lane in the timeline; it has none before something happens to it.
func (f *faultWorld) clientLane(name string) {
	for _, n := range f.c.nodes {
		if n.Node == name {
			return
		}
	}
	f.c.nodes = append(f.c.nodes, reports.NodeChange{At: f.began, Node: name, State: "up"})
}

func (f *faultWorld) StartTwin(number int) faults.Outcome {
	if len(f.clients) == 0 {
		return refused("no clients")
	}
	c := f.clients[(number-1)%len(f.clients)]
	twin := f.load.Twin(c.name)
	f.c.w.AddNode(twin, c.main(twin))
	f.twins = append(f.twins, twin)
	f.load.Starting(twin)
	f.c.startNode(twin)
	return applied("%s", twin)
}

// mendDisks puts a new, empty disk into every machine whose disk holds other bytes than were written, as an operator
// does who is told of records that cannot be read; the broker then has it all from the others.
func (f *faultWorld) mendDisks() {
	for _, n := range f.c.brokers {
		if f.c.w.Disk(n.name).Corrupted() {
			f.Wipe(faults.Node(n.id))
			f.c.startNode(n.name)
		}
	}
}
