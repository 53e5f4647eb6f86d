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

func (w *realWorld) SetLink(from, to faults.Node, l faults.Link) faults.Outcome {
	a, b := nodeName(from), nodeName(to)
	w.mu.Lock()
	if key := [2]string{a, b}; l == (faults.Link{}) {
		delete(w.links, key)
	} else {
		w.links[key] = l
	}
	w.mu.Unlock()
	return w.tellLink(a, b)
}

// tellLink tells both ends of a link how things stand.
func (w *realWorld) tellLink(a, b string) faults.Outcome {
	err := w.tell(a, w.linkOrder(a, b))
	if err == nil {
		err = w.tell(b, w.linkOrder(b, a))
	}
	if err != nil {
		return refused("%v", err)
	}
	return applied("")
}

// linkOrder is what the node's hook is to know of the links with peer, both ways.
func (w *realWorld) linkOrder(name, peer string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	in, out := w.links[[2]string{peer, name}], w.links[[2]string{name, peer}]
	o := linkOrder{cutIn: in.Cut, delayIn: in.Delay, lossIn: in.OneIn, rateIn: in.Bytes, noDial: out.Cut, refuse: w.deny[peer]}
	if !w.p.Hooked(peer) { // it holds nothing back by itself
		o.cutOut, o.delayOut = out.Cut, out.Delay
	}
	return o.text(w.p.Host(peer))
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

// holdBack makes the connections of controllers to brokers slow from now on; 0 for no longer.
func (w *realWorld) holdBack(most time.Duration) {
	w.mu.Lock()
	w.held = most
	w.mu.Unlock()
	for _, name := range w.r.c.brokerNames() {
		if err := w.tell(name, "hold-control "+most.String()); err != nil {
			w.r.say("%s: %v", name, err)
		}
	}
}

func (w *realWorld) LinkHurt(from, to faults.Node) int64 {
	a, b := nodeName(from), nodeName(to)
	return w.count(b, "in "+w.p.Host(a)) + w.count(a, "out "+w.p.Host(b))
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

func (w *realWorld) SetDisk(n faults.Node, d faults.Disk) faults.Outcome {
	name := nodeName(n)
	if !w.p.Hooked(name) {
		return refused("%s has no hook", name)
	}
	var broken []string
	dirs := w.r.c.logDirs(name)
	for _, number := range d.FailDirs {
		if number <= len(dirs) {
			broken = append(broken, dirs[number-1])
		}
	}
	order := diskOrder(d, broken)
	w.mu.Lock()
	w.disks[name] = order
	w.mu.Unlock()
	if err := w.tell(name, order); err != nil {
		return refused("%v", err)
	}
	return applied("")
}

func (w *realWorld) DiskHurt(n faults.Node) faults.DiskHurt {
	name := nodeName(n)
	of := func(what string) int64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		f := w.feltOf(name)
		return f.before["disk "+what] + f.now["disk "+what]
	}
	w.ask(name)
	return faults.DiskHurt{Slow: of("slow"), FailSync: of("sync"), FailRead: of("read"), FailWrite: of("write"), Full: of("full"), Torn: of("torn"), Stall: of("stall"), FailDir: of("dir")}
}

func (w *realWorld) Clog(from, to faults.Node, d time.Duration) faults.Outcome {
	a, b := nodeName(from), nodeName(to)
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if err := w.tell(pair[0], fmt.Sprintf("hold %s %s", w.p.Host(pair[1]), d)); err != nil {
			return refused("%v", err)
		}
	}
	return applied("")
}

func (w *realWorld) Reset(from, to faults.Node) faults.Outcome {
	a, b := nodeName(from), nodeName(to)
	total := 0
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if !w.p.Hooked(pair[0]) || pair[0] != clientsName && w.p.State(pair[0]) != ProcessRunning {
			continue
		}
		words, err := w.p.Order(pair[0], "reset "+w.p.Host(pair[1]))
		n := 0
		if err == nil {
			fmt.Sscan(words, &n)
		}
		total += n
	}
	if total == 0 {
		return refused("no connections")
	}
	return applied("%d ends of connections", total)
}

// HalfOpen makes the first node forget its connections; the second learns of it when it next says something.
func (w *realWorld) HalfOpen(from, to faults.Node) faults.Outcome {
	words, err := w.ask1(nodeName(from), "forget "+w.p.Host(nodeName(to)))
	if err != nil || words == "0" {
		return refused("no connections")
	}
	return applied("%s connections", words)
}

// HoldBack is at the end that receives.
func (w *realWorld) HoldBack(from, to faults.Node, d time.Duration) faults.Outcome {
	words, err := w.ask1(nodeName(to), fmt.Sprintf("hold-back %s %s", w.p.Host(nodeName(from)), d))
	if err != nil || words == "0" {
		return refused("no connections")
	}
	return applied("%s connections", words)
}

// ask1 gives an order to a node that runs and has a hook, and returns the answer.
func (w *realWorld) ask1(name, order string) (string, error) {
	if !w.p.Hooked(name) || name != clientsName && w.p.State(name) != ProcessRunning {
		return "0", nil
	}
	return w.p.Order(name, order)
}

// SetWatchLoss is left out.
func (w *realWorld) SetWatchLoss(faults.Node, bool) faults.Outcome {
	return refused("%s", w.cannot(faults.ZooKeeperLoseWatch))
}

func (w *realWorld) SetRefuse(n faults.Node, on bool) faults.Outcome {
	name := nodeName(n)
	w.mu.Lock()
	w.deny[name] = on
	w.mu.Unlock()
	for _, peer := range append([]string{zkName, clientsName}, w.r.c.brokerNames()...) {
		if peer == name {
			continue
		}
		if err := w.tell(peer, w.linkOrder(peer, name)); err != nil {
			return refused("%v", err)
		}
	}
	return applied("")
}

func (w *realWorld) Hurt(k faults.Kind) int64 {
	what := map[faults.Kind]string{faults.Clog: "hold", faults.Refuse: "refuse", faults.HoldBack: "hold-back"}[k]
	var n int64
	for _, name := range append([]string{zkName, clientsName}, w.r.c.brokerNames()...) {
		n += w.count(name, what)
	}
	return n
}

func (w *realWorld) SetClock(n faults.Node, off time.Duration, drift int) faults.Outcome {
	name := nodeName(n)
	if !w.p.Hooked(name) {
		return refused("%s has no hook", name)
	}
	order := fmt.Sprintf("clock offset=%s drift=%d", off, drift)
	w.mu.Lock()
	w.clock[name] = order
	w.mu.Unlock()
	if err := w.tell(name, order); err != nil {
		return refused("%v", err)
	}
	return applied("")
}

func (w *realWorld) Wipe(n faults.Node) faults.Outcome {
	name := nodeName(n)
	w.CrashProcess(n)
	if err := w.p.Wipe(name); err != nil {
		return refused("%v", err)
	}
	return applied("")
}

// LoseEntry takes away the newest segment of a log.
func (w *realWorld) LoseEntry(n faults.Node) faults.Outcome {
	name := nodeName(n)
	w.CrashProcess(n)
	path := w.r.aSegment(int32(n))
	if path == "" {
		return refused("%s has no log", name)
	}
	if err := w.r.e.Remove(path); err != nil {
		return refused("%v", err)
	}
	return applied("%s", path)
}

// FlipBits turns bits behind the broker's back.
func (w *realWorld) FlipBits(n faults.Node, bits int) faults.Outcome {
	path := w.r.aSegment(int32(n))
	if path == "" {
		return refused("%s has no log", nodeName(n))
	}
	f, err := w.r.e.Open(path, env.ReadWrite)
	if err != nil {
		return refused("%v", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size == 0 {
		return refused("%s is empty", path)
	}
	draw := w.r.e.Rand("bits")
	for range bits {
		at := draw.Int64N(size)
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return refused("%v", err)
		}
		b[0] ^= 1 << draw.IntN(8)
		if _, err := f.WriteAt(b[:], at); err != nil {
			return refused("%v", err)
		}
	}
	w.bad[nodeName(n)] = true
	return applied("%d bits in %s", bits, path)
}

// mendDisks empties the disks that hold other bytes than were written, as an operator does who is told of records that cannot
// be read; the brokers then have it all from the others.
func (w *realWorld) mendDisks() {
	for _, n := range w.Brokers() {
		if name := nodeName(n); w.bad[name] {
			w.bad[name] = false
			w.Wipe(n)
			w.r.c.tryStart(name)
		}
	}
}

// SwapDisks exchanges the directories of two nodes.
func (w *realWorld) SwapDisks(a, b faults.Node) faults.Outcome {
	w.CrashProcess(a)
	w.CrashProcess(b)
	x, y := w.p.Dir(nodeName(a)), w.p.Dir(nodeName(b))
	e := w.r.e
	for _, r := range [][2]string{{x, x + ".swap"}, {y, x}, {x + ".swap", y}} {
		if err := e.Rename(r[0], r[1]); err != nil {
			return refused("%v", err)
		}
	}
	return applied("")
}

// PauseClient, ResumeClient: nothing of the client goes on meanwhile but what the kernel does.
func (w *realWorld) PauseClient(number int) faults.Outcome {
	name, life := w.lifeOf(number)
	if life == nil {
		return refused("%s is down", name)
	}
	w.r.load.Sleeps(name, w.r.e.Mono())
	life.Pause()
	w.r.note(name, "paused")
	return applied("%s", name)
}

func (w *realWorld) ResumeClient(number int) faults.Outcome {
	name, life := w.lifeOf(number)
	if life == nil {
		return refused("%s is down", name)
	}
	life.Resume()
	w.r.note(name, "up")
	return applied("%s", name)
}

func (w *realWorld) lifeOf(number int) (string, Life) {
	if len(w.r.clients) == 0 {
		return "nobody", nil
	}
	name := w.client(number)
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return name, w.r.lives[name]
}

// StartTwin starts another that takes itself for the same client.
func (w *realWorld) StartTwin(number int) faults.Outcome {
	if len(w.r.clients) == 0 {
		return refused("no clients")
	}
	name := w.client(number)
	twin := w.r.load.Twin(name)
	w.r.startAs(name, twin)
	return applied("%s", twin)
}

// client is the node of a client's number; numbers go around.
func (w *realWorld) client(number int) string { return w.r.clients[(number-1)%len(w.r.clients)] }

func (w *realWorld) CrashClient(number int) faults.Outcome {
	if len(w.r.clients) == 0 {
		return refused("no clients")
	}
	name := w.client(number)
	w.r.mu.Lock()
	life := w.r.lives[name]
	delete(w.r.lives, name)
	w.r.mu.Unlock()
	if life == nil {
		return refused("%s is down", name)
	}
	life.Kill() // first: what it still does then reaches nobody
	w.r.load.Crashed(name, w.r.e.Mono())
	w.r.note(name, "down")
	return applied("%s", name)
}

func (w *realWorld) RestartClient(number int) faults.Outcome {
	name := w.client(number)
	w.r.mu.Lock()
	up := w.r.lives[name] != nil
	w.r.mu.Unlock()
	if up {
		return refused("%s is up", name)
	}
	w.r.startClient(name)
	w.r.note(name, "up")
	return applied("%s", name)
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
