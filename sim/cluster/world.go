package cluster

import (
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/disk"
	"barnabas/sim/network"
	"barnabas/sim/rng"
	"barnabas/sim/sched"
	"barnabas/sim/trace"
)

// Options describe a world. Only Seed is needed.
type Options struct {
	Seed      uint64
	Policy    Policy           // how the scheduler chooses; Drawn by default
	StepCost  time.Duration    // virtual time an env call costs; default 100 ns. A polling task gets somewhere in time
	StepsMax  uint64           // Run ends with StepLimit after so many scheduling points in all; 0: no limit
	Network   *network.Profile // default network.LAN
	Disk      *disk.Profile    // of every node added; default disk.NVMe
	Trace     trace.Options    // what is recorded besides the hash
	HookEvery int              // OnStep hooks run at least so many scheduling points apart; default 1
	// Rare makes rare things happen (env.Rare): each point on in one world of four, from then on one time in 20 to 1000.
	Rare    bool
	AllRare bool      // with Rare: every point strikes at its first chance, and then one time in 20
	Redraws bool      // Redraw will be called: remember every random stream
	Epoch   time.Time // the wall clock at Instant 0; default 2024-01-01 UTC
}

// Outcome says why Run ended.
type Outcome = sched.Outcome

const (
	Reached   = sched.Reached   // the deadline
	Satisfied = sched.Satisfied // the predicate
	Finished  = sched.Finished  // no task is left, and nothing will happen any more
	Deadlock  = sched.Deadlock  // tasks are left, none can run, and nothing will happen any more: see Stuck
	StepLimit = sched.StepLimit // Options.StepsMax
)

// World is a simulated world. It is one thread: its methods may be called by the goroutine that runs it, by its hooks
// and timers, and by harness tasks; never from another goroutine.
type World struct {
	opts    Options
	src     rng.Source
	s       *sched.Scheduler
	log     *trace.Log
	net     *network.Network
	nodes   []*node
	byName  map[string]*node
	harness *node // runs the tasks of Go; nil before the first
	policy  string
	crashes []Crash
	rares   map[string]*rare
	onStep  []func()
	onEmit  []func(node string, ev env.Event)
}

// New makes a world without nodes at Instant 0.
func New(o Options) *World {
	if o.StepCost <= 0 {
		o.StepCost = 100 * time.Nanosecond
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Network == nil {
		p := network.LAN()
		o.Network = &p
	}
	if o.Disk == nil {
		p := disk.NVMe
		o.Disk = &p
	}
	w := &World{opts: o, src: rng.New(o.Seed), log: trace.New(o.Trace), byName: map[string]*node{}}
	if o.Redraws {
		w.src = w.src.Remembering()
	}
	policy := newPolicy(o.Policy, w.src)
	w.policy = policy.String()
	w.s = sched.New(sched.Options{
		Policy: policy, Rand: w.src.Stream("sched/wake"), Trace: w.log, StepCost: o.StepCost, StepsMax: o.StepsMax,
		OnPanic: w.panicked, StepEvery: uint64(max(o.HookEvery, 1)), OnStep: w.step, Spurious: spuriousOneIn,
	})
	w.net = network.New(w.s, w.src.Sub("network"), *o.Network, w.log)
	return w
}

const spuriousOneIn = 256

// Close ends all lives and tasks and frees what they hold. Hash, Trace and the verdicts stay readable.
func (w *World) Close() {
	for _, n := range w.nodes {
		w.endLife(n, Off)
	}
	w.s.Close()
	w.onStep, w.onEmit = nil, nil
}

// Run runs until the instant, or until nothing can happen any more; then, too, the clock stands at until.
func (w *World) Run(until env.Instant) Outcome { return w.s.Run(until, nil) }

// RunFor is Run for d from now.
func (w *World) RunFor(d time.Duration) Outcome { return w.s.Run(w.Now().Add(d), nil) }

// RunUntil runs until pred holds; it is asked between events.
func (w *World) RunUntil(pred func() bool, deadline env.Instant) Outcome {
	return w.s.Run(deadline, pred)
}

// At calls f on the loop, between events, outside of any node, when the time has come. f must not make env calls.
func (w *World) At(at env.Instant, f func()) *sched.Timer { return w.s.At(at, f) }

// Cancel stops a timer of At.
func (w *World) Cancel(t *sched.Timer) { w.s.Disarm(t) }

// Go starts a harness task: outside of any node, never killed by faults, with an Env whose host is "harness", which
// has a disk and a place on the network of its own.
func (w *World) Go(name string, f func(e env.Env)) {
	if w.harness == nil {
		w.harness = w.newNode("harness", nil)
		w.begin(w.harness)
	}
	e := w.harness.life
	w.s.Go(e.group, name, func() { f(e) })
}

// OnStep calls f between events: for an all-seeing checker. f must not make env calls. It may use the world.
func (w *World) OnStep(f func()) { w.onStep = append(w.onStep, f) }

// OnEmit calls f for each event a node emits, in the emitting task. f may crash that node.
func (w *World) OnEmit(f func(node string, ev env.Event)) { w.onEmit = append(w.onEmit, f) }

func (w *World) step() {
	for _, f := range w.onStep {
		f()
	}
}

// Now is the virtual time.
func (w *World) Now() env.Instant { return w.s.Now() }

// Steps counts the scheduling points so far.
func (w *World) Steps() uint64 { return w.s.Steps() }

// Events counts what went into the hash.
func (w *World) Events() uint64 { return w.log.Count() }

// Hash is the rolling hash over every event so far. The same options, nodes and calls give the same hash.
func (w *World) Hash() uint64 { return w.log.Hash() }

// Trace is the log of events, recorded as Options.Trace says.
func (w *World) Trace() *trace.Log { return w.log }

// Rand is the source of random streams for the harness's own use.
func (w *World) Rand() rng.Source { return w.src.Sub("harness") }

// Redraw gives every random stream of the world other numbers from now on, so that what follows is another run with
// the same past. Options.Redraws must be set.
func (w *World) Redraw(salt uint64) { w.src.Redraw(salt) }

// PolicyName names the scheduler's policy and its parameters, for reports.
func (w *World) PolicyName() string { return w.policy }

// Stuck lists the tasks and what each waits for, one line each.
func (w *World) Stuck() string { return w.s.Tasks() }

// event puts something the world does into the trace.
func (w *World) event(kind *env.Kind, node, text string, v ...int64) {
	ev := env.Event{Kind: kind, Text: text}
	copy(ev.V[:], v)
	task := ""
	if t := w.s.Current(); t != nil {
		task = t.Name()
	}
	w.log.Add(w.s.Now(), trace.World, node, task, ev)
}

func (w *World) node(name string) *node {
	n := w.byName[name]
	if n == nil {
		panic(fmt.Sprintf("cluster: no node %q", name))
	}
	return n
}
