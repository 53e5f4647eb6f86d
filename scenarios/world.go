package scenarios

import (
	"fmt"
	"time"

	"barnabas/broker/zookeeper"
	"barnabas/faults"
	"barnabas/scenarios/workload"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
	"barnabas/sim/network"
)

// faultWorld lets a nemesis loose on a simCluster (faults.World).
type faultWorld struct {
	c       *simCluster
	clients []clientNode
	view    *registry
	load    *workload.Load
	began   time.Duration     // when the clients started
	refuses map[string]func() // heals, of those that refuse dials
	deaf    map[string]bool   // brokers that lose what ZooKeeper tells them
	lost    int64             // events of watches that were lost
	twins   []string          // nodes of clients' doubles
}

func newFaultWorld(c *simCluster, view *registry, load *workload.Load, clients []clientNode) *faultWorld {
	return &faultWorld{c: c, view: view, load: load, clients: clients, refuses: map[string]func(){}, deaf: map[string]bool{}}
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
		var names []string
		for _, c := range f.clients {
			names = append(names, c.name)
		}
		return append(names, f.twins...)
	}
	return []string{f.name(n)}
}

// struck are the nodes that a fault strikes, its roles resolved, by name.
func (f *faultWorld) struck(x faults.Fault) []string {
	var names []string
	add := func(n faults.Node) {
		if n.IsBroker() && f.c.node(int32(n)) != nil || n == faults.ZooKeeper {
			names = append(names, f.name(n))
		}
	}
	switch {
	case (x.Kind == faults.ClientCrash || x.Kind == faults.ClientPause || x.Kind == faults.ClientTwin) && len(f.clients) > 0:
		return []string{f.client(x.Client)}
	case x.Kind == faults.ZooKeeperRestart || x.Kind == faults.ZooKeeperOutage || x.Kind == faults.ZooKeeperPause:
		return []string{zkName}
	case len(x.From) > 0:
		for _, n := range append(append([]faults.Node(nil), x.From...), x.To...) {
			add(n)
		}
		return names
	}
	add(x.Node)
	return names
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
	if !f.c.plan.SyncEveryAppend {
		f.view.lostPower(int32(n))
	}
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
			f.c.w.SetLink(a, b, network.Condition{Cut: l.Cut, Delay: l.Delay, LossOneIn: l.OneIn, BytesPerSecond: int64(l.Bytes)})
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
	dev.SetFail(disk.OpRead, d.FailRead)
	dev.SetFail(disk.OpWrite, d.FailWrite)
	dev.SetTorn(d.Torn)
	dev.SetMisdirect(nil)
	if d.Misdirect {
		dev.SetMisdirect(isLog)
		f.c.beyond()
		f.c.displaced()
	}
	dev.SetCapacity(0)
	if d.Full {
		dev.SetCapacity(max(1, dev.Used()))
	}
	dev.Stall(0)
	if d.Stall > 0 {
		dev.Stall(f.c.w.Now().Add(d.Stall))
	}
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
	return faults.DiskHurt{Slow: fired.Slow, FailSync: fired.Fail[disk.OpSync], FailRead: fired.Fail[disk.OpRead],
		FailWrite: fired.Fail[disk.OpWrite], Full: fired.NoSpace, Stall: fired.Stalled, FailDir: fired.Under,
		Torn: fired.Torn, Misdirect: fired.Misdirected}
}

func (f *faultWorld) Clog(from, to faults.Node, d time.Duration) faults.Outcome {
	f.c.w.Clog(f.hosts(from), f.hosts(to), d)
	return applied("")
}

func (f *faultWorld) Reset(from, to faults.Node) faults.Outcome {
	n := f.c.w.ResetLinks(f.hosts(from), f.hosts(to))
	if n == 0 {
		return refused("no connections")
	}
	return applied("%d connections", n)
}

func (f *faultWorld) SetRefuse(n faults.Node, on bool) faults.Outcome {
	name := f.name(n)
	heal, is := f.refuses[name]
	switch {
	case on && !is:
		f.refuses[name] = f.c.w.RefuseDials(name)
	case !on && is:
		heal()
		delete(f.refuses, name)
	}
	return applied("")
}

func (f *faultWorld) Hurt(k faults.Kind) int64 {
	switch k {
	case faults.Clog:
		return f.c.w.Network().Fired(network.KindClog)
	case faults.Refuse:
		return f.c.w.Network().Fired(network.KindRefuse)
	case faults.HoldBack:
		return f.c.w.Network().Fired(network.KindHoldBack)
	case faults.ZooKeeperLoseWatch:
		return f.lost
	}
	return 0
}

func (f *faultWorld) SetClock(n faults.Node, off time.Duration, drift int) faults.Outcome {
	f.c.w.SetWallOffset(f.name(n), off)
	f.c.w.SetWallDrift(f.name(n), float64(drift))
	return applied("")
}

func (f *faultWorld) Wipe(n faults.Node) faults.Outcome {
	name := f.name(n)
	wasUp := f.c.up(name)
	f.c.w.Wipe(name)
	if wasUp {
		f.c.note(name, "down")
	}
	f.view.lostPower(int32(n))
	return applied("")
}

// client is the node of a client's number; numbers go around.
func (f *faultWorld) client(number int) string { return f.clients[(number-1)%len(f.clients)].name }

func (f *faultWorld) CrashClient(number int) faults.Outcome {
	if len(f.clients) == 0 {
		return refused("no clients")
	}
	name := f.client(number)
	if !f.c.up(name) {
		return refused("%s is down", name)
	}
	f.load.Crashed(name, f.c.w.Now())
	f.c.w.Crash(name)
	f.clientLane(name)
	f.c.note(name, "down")
	return applied("%s", name)
}

func (f *faultWorld) RestartClient(number int) faults.Outcome {
	name := f.client(number)
	if f.c.up(name) {
		return refused("%s is up", name)
	}
	f.load.Starting(name)
	f.c.startNode(name)
	return applied("%s", name)
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
