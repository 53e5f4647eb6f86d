package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/faults"
)

// realWorld lets a nemesis loose on real processes (faults.World): signals for processes, orders to their hooks for
// links, disks and clocks. It is called from the timers' task; orders also from whoever starts a process.
type realWorld struct {
	r *realRun
	p Processes

	mu    env.Mutex
	links map[[2]string]faults.Link // directed, from and to; only those that are not healthy
	deny  map[string]bool           // who refuses dials
	disks map[string]string         // the order that holds for a disk
	clock map[string]string
	felt  map[string]*feltSoFar
	bad   map[string]bool // nodes whose disks hold other bytes than were written
	held  time.Duration   // how long controllers' requests are held back at most
}

// feltSoFar counts over the lives of a process: what its former lives had felt, and this one when it was last asked.
type feltSoFar struct {
	before, now map[string]int64
}

func newRealWorld(r *realRun) *realWorld {
	return &realWorld{r: r, p: r.o.Processes, mu: r.e.NewMutex(), links: map[[2]string]faults.Link{}, deny: map[string]bool{},
		bad: map[string]bool{}, disks: map[string]string{}, clock: map[string]string{}, felt: map[string]*feltSoFar{}}
}

// playable parts the faults that this world can do from those that it cannot, with a line of words for each kind of these.
func (w *realWorld) playable(s faults.Schedule) (playable faults.Schedule, leftOut []string) {
	count := map[faults.Kind]int{}
	for _, f := range s {
		if w.cannot(f.Kind) == "" {
			playable = append(playable, f)
			continue
		}
		count[f.Kind]++
	}
	for k := range faults.KindCount {
		if count[k] > 0 {
			leftOut = append(leftOut, fmt.Sprintf("%d of %s: %s", count[k], k, w.cannot(k)))
		}
	}
	return playable, leftOut
}

// cannot says why this world cannot do faults of the kind, or "".
func (w *realWorld) cannot(k faults.Kind) string {
	switch {
	case k == faults.Power || k == faults.Blackout:
		return "no process can make its machine lose power"
	case k == faults.ZooKeeperLoseWatch || k == faults.Misdirect:
		return "no process here does that by order"
	case k == faults.ZooKeeperExpire && !w.p.Hooked(zkName):
		return "Apache ZooKeeper expires no session by order"
	}
	return ""
}

// remaining are the kinds that this world can do.
func remaining(kinds []faults.Kind, w *realWorld) []faults.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k faults.Kind) bool { return w.cannot(k) != "" })
}

// admit weakens the promise when more will be destroyed than Kafka promises to bear.
func (w *realWorld) admit(f faults.Fault) (bool, string) {
	switch f.Kind {
	case faults.Wipe, faults.LoseEntry, faults.BitFlip, faults.SwapDisks:
		t := &w.r.recorder.History.Header.Topics[0]
		t.Durable, t.Once, t.Ordered = false, false, false
	}
	return true, ""
}

func (w *realWorld) Brokers() []faults.Node {
	var nodes []faults.Node
	for _, id := range w.r.brokerIDs() {
		nodes = append(nodes, faults.Node(id))
	}
	return nodes
}

func (w *realWorld) Resolve(role faults.Node) (faults.Node, bool) {
	var id int32
	switch role {
	case faults.Leader:
		id = w.r.view.leader(0)
	case faults.Controller:
		id = w.r.view.holder()
	default:
		return role, true
	}
	return faults.Node(id), id >= 1 && int(id) <= w.r.plan.Brokers
}

func nodeName(n faults.Node) string {
	switch n {
	case faults.ZooKeeper:
		return zkName
	case faults.Clients:
		return clientsName
	}
	return brokerName(int32(n))
}

// struck are the nodes that a fault strikes, its roles resolved, by name.
func (w *realWorld) struck(x faults.Fault) []string {
	var names []string
	add := func(n faults.Node) {
		if n.IsBroker() && int(n) <= w.r.plan.Brokers || n == faults.ZooKeeper {
			names = append(names, nodeName(n))
		}
	}
	switch {
	case (x.Kind == faults.ClientCrash || x.Kind == faults.ClientPause || x.Kind == faults.ClientTwin) && len(w.r.clients) > 0:
		return []string{w.client(x.Client)}
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

func (w *realWorld) CrashProcess(n faults.Node) faults.Outcome {
	name := nodeName(n)
	if s := w.p.State(name); s != ProcessRunning && s != ProcessPaused {
		return refused("%s is down", name)
	}
	w.endLife(name)
	if n.IsBroker() {
		w.r.killed(int32(n))
	}
	if !w.p.Kill(name) {
		return refused("%s is down", name)
	}
	w.r.note(name, "down")
	return applied("")
}

func (w *realWorld) PowerLoss(faults.Node, faults.Keep) faults.Outcome {
	return refused("%s", w.cannot(faults.Power))
}

func (w *realWorld) Restart(n faults.Node) faults.Outcome {
	name := nodeName(n)
	if s := w.p.State(name); s == ProcessRunning || s == ProcessPaused {
		return refused("%s is up", name)
	}
	if err := w.r.c.startNode(name); err != nil {
		return refused("%v", err)
	}
	return applied("")
}

func (w *realWorld) Pause(n faults.Node) faults.Outcome {
	name := nodeName(n)
	w.ask(name) // it cannot tell while it is paused
	if w.p.State(name) != ProcessRunning || !w.p.Pause(name) {
		return refused("%s does not run", name)
	}
	w.r.note(name, "paused")
	return applied("")
}

func (w *realWorld) Resume(n faults.Node) faults.Outcome {
	name := nodeName(n)
	if w.p.State(name) != ProcessPaused || !w.p.Resume(name) {
		return refused("%s is not paused", name)
	}
	w.r.note(name, "up")
	w.repeat(name) // what changed meanwhile
	return applied("")
}

// repeat tells a process that runs all that holds for it now.
func (w *realWorld) repeat(name string) {
	for _, line := range w.orders(name) {
		if w.tell(name, line) != nil {
			return
		}
	}
}

// tell gives an order to a node that can hear it. One that is down or paused is told when it is up again.
func (w *realWorld) tell(name, order string) error {
	if !w.p.Hooked(name) || name != clientsName && w.p.State(name) != ProcessRunning {
		return nil
	}
	_, err := w.p.Order(name, order)
	if err != nil && name != clientsName && w.p.State(name) != ProcessRunning {
		return nil // it has died meanwhile
	}
	return err
}

// orders are all that hold for the node now: for its next life, or after a pause.
func (w *realWorld) orders(name string) []string {
	if !w.p.Hooked(name) {
		return nil
	}
	var lines []string
	for _, peer := range append([]string{zkName, clientsName}, w.r.c.brokerNames()...) {
		if peer != name {
			lines = append(lines, w.linkOrder(name, peer))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.disks[name]; o != "" {
		lines = append(lines, o)
	}
	if o := w.clock[name]; o != "" {
		lines = append(lines, o)
	}
	if w.held > 0 && name != zkName && name != clientsName {
		lines = append(lines, "hold-control "+w.held.String())
	}
	return lines
}

func (w *realWorld) SetClock(n faults.Node, off time.Duration, drift int) faults.Outcome {
	name := nodeName(n)
	if !w.p.Hooked(name) {
		return refused("%s has no hook", name)
	}
	order := fmt.Sprintf("clock offset=%s drift=%d", off, drift)
	return w.stands(w.clock, name, order)
}

// stands gives a process an order that stands until the next of its kind, for its next lives, too.
func (w *realWorld) stands(orders map[string]string, name, order string) faults.Outcome {
	w.mu.Lock()
	orders[name] = order
	w.mu.Unlock()
	if err := w.tell(name, order); err != nil {
		return refused("%v", err)
	}
	return applied("")
}

// ask asks a process that runs what it has felt.
func (w *realWorld) ask(name string) {
	if !w.p.Hooked(name) || name != clientsName && w.p.State(name) != ProcessRunning {
		return
	}
	words, err := w.p.Order(name, "felt")
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feltOf(name).now = parseFelt(words)
}

func (w *realWorld) feltOf(name string) *feltSoFar {
	f := w.felt[name]
	if f == nil {
		f = &feltSoFar{before: map[string]int64{}}
		w.felt[name] = f
	}
	return f
}

// endLife keeps what a life has felt that is about to end.
func (w *realWorld) endLife(name string) {
	w.ask(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.feltOf(name)
	for what, n := range f.now { // unordered: a sum for each
		f.before[what] += n
	}
	f.now = nil
}

func (w *realWorld) count(name, what string) int64 {
	w.ask(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.feltOf(name)
	return f.before[what] + f.now[what]
}

// ask1 gives an order to a node that runs and has a hook, and returns the answer.
func (w *realWorld) ask1(name, order string) (string, error) {
	if !w.p.Hooked(name) || name != clientsName && w.p.State(name) != ProcessRunning {
		return "0", nil
	}
	return w.p.Order(name, order)
}

// ExpireSession makes the embedded ZooKeeper expire the session that holds the broker's registration.
func (w *realWorld) ExpireSession(n faults.Node) faults.Outcome {
	owner := w.r.view.owner(int32(n))
	if owner == 0 {
		return refused("broker %d is not registered", n)
	}
	if w.p.State(zkName) != ProcessRunning {
		return refused("ZooKeeper is down")
	}
	answer, err := w.p.Order(zkName, fmt.Sprintf("expire %d", owner))
	if err != nil {
		return refused("%v", err)
	}
	return applied("session %#x %s", owner, strings.TrimSpace(answer))
}
