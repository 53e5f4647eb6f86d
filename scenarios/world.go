package scenarios

import (
	"fmt"
	"time"

	"barnabas/broker/zookeeper"
	"barnabas/faults"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
	"barnabas/sim/network"
)

// faultWorld lets a nemesis loose on a simCluster (faults.World).
type faultWorld struct {
	c       *simCluster
	clients []string
	view    *registry
}

func newFaultWorld(c *simCluster, view *registry, clients []string) *faultWorld {
	return &faultWorld{c: c, view: view, clients: clients}
}

func applied(format string, args ...any) faults.Outcome {
	return faults.Outcome{Applied: true, Detail: fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) faults.Outcome {
	return faults.Outcome{Detail: fmt.Sprintf(format, args...)}
}

func (f *faultWorld) Brokers() []faults.Node {
	var nodes []faults.Node
	for _, n := range f.c.brokers {
		nodes = append(nodes, faults.Node(n.id))
	}
	return nodes
}

func (f *faultWorld) Resolve(role faults.Node) (faults.Node, bool) {
	var id int32
	switch role {
	case faults.Leader:
		id = f.view.leader(0)
	case faults.Controller:
		id = f.view.controller()
	default:
		return role, true
	}
	return faults.Node(id), f.c.node(id) != nil
}

// name is the machine of a node; hosts also knows the clients, who are many.
func (f *faultWorld) name(n faults.Node) string {
	if n == faults.ZooKeeper {
		return zkName
	}
	return fmt.Sprintf("b%d", n)
}

func (f *faultWorld) hosts(n faults.Node) []string {
	if n == faults.Clients {
		return f.clients
	}
	return []string{f.name(n)}
}

func (f *faultWorld) CrashProcess(n faults.Node) faults.Outcome {
	name := f.name(n)
	if !f.c.up(name) {
		return refused("%s is down", name)
	}
	f.c.w.Crash(name)
	f.c.note(name, "down")
	return applied("")
}

func (f *faultWorld) PowerLoss(n faults.Node, keep faults.Keep) faults.Outcome {
	name := f.name(n)
	wasUp := f.c.up(name)
	loss := f.c.w.PowerLoss(name, disk.Keep(keep))
	if wasUp {
		f.c.note(name, "down")
	}
	f.view.lostPower(int32(n))
	return faults.Outcome{Applied: wasUp || loss.Bytes > 0 || loss.Files > 0 || loss.DirectoryOps > 0, Detail: fmt.Sprintf("%d bytes lost in %d files", loss.Bytes, loss.Files)}
}

func (f *faultWorld) Restart(n faults.Node) faults.Outcome {
	name := f.name(n)
	if f.c.up(name) {
		return refused("%s is up", name)
	}
	f.c.startNode(name)
	return applied("")
}

func (f *faultWorld) Pause(n faults.Node) faults.Outcome {
	name := f.name(n)
	if f.c.w.Status(name) != cluster.Running {
		return refused("%s does not run", name)
	}
	f.c.w.Pause(name)
	f.c.note(name, "paused")
	return applied("")
}

func (f *faultWorld) Resume(n faults.Node) faults.Outcome {
	name := f.name(n)
	if f.c.w.Status(name) != cluster.Paused {
		return refused("%s is not paused", name)
	}
	f.c.w.Resume(name)
	f.c.note(name, "up")
	return applied("")
}

func (f *faultWorld) SetLink(from, to faults.Node, l faults.Link) faults.Outcome {
	for _, a := range f.hosts(from) {
		for _, b := range f.hosts(to) {
			f.c.w.SetLink(a, b, network.Condition{Cut: l.Cut, Delay: l.Delay})
		}
	}
	return applied("")
}

func (f *faultWorld) LinkHurt(from, to faults.Node) int64 {
	var n int64
	for _, a := range f.hosts(from) {
		for _, b := range f.hosts(to) {
			n += f.c.w.LinkHurt(a, b)
		}
	}
	return n
}

func (f *faultWorld) SetDisk(n faults.Node, d faults.Disk) faults.Outcome {
	dev := f.c.w.Disk(f.name(n))
	dev.SetSlow(float64(max(1, d.Slow)))
	dev.SetFail(disk.OpSync, d.FailSync)
	var under []string
	for _, number := range d.FailDirs {
		if dirs := f.c.plan.logDirs(); number <= len(dirs) {
			under = append(under, dirs[number-1])
		}
	}
	dev.SetFailUnder(under...)
	return applied("")
}

func (f *faultWorld) DiskHurt(n faults.Node) faults.DiskHurt {
	fired := f.c.w.Disk(f.name(n)).Fired()
	return faults.DiskHurt{Slow: fired.Slow, FailSync: fired.Fail[disk.OpSync], FailDir: fired.Under}
}

// ExpireSession makes ZooKeeper expire the session that holds the broker's registration.
func (f *faultWorld) ExpireSession(n faults.Node) faults.Outcome {
	if f.c.zk == nil {
		return refused("ZooKeeper is down")
	}
	_, stat, ok := f.c.zk.Get(zookeeper.PathBrokerID(int32(n)))
	if !ok || stat.EphemeralOwner == 0 {
		return refused("broker %d is not registered", n)
	}
	f.c.zk.ExpireSession(stat.EphemeralOwner)
	return applied("session %#x", stat.EphemeralOwner)
}

// restartDead starts brokers and ZooKeeper whose process ended by itself (a failed disk ends a broker), as an operator
// would. It is for the heal and after.
func (f *faultWorld) restartDead() {
	for _, name := range f.c.w.Nodes() {
		if s := f.c.w.Status(name); (name == zkName || f.isBroker(name)) && (s == cluster.Exited || s == cluster.Off || s == cluster.PowerOff) {
			f.c.startNode(name)
		}
	}
}

func (f *faultWorld) isBroker(name string) bool {
	for _, n := range f.c.brokers {
		if n.name == name {
			return true
		}
	}
	return false
}

// restartPause is how long a process that ended by itself stays down while faults go on.
const restartPause = 2 * time.Second
