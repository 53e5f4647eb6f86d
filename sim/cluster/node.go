package cluster

import (
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/disk"
	"barnabas/sim/network"
	"barnabas/sim/sched"
)

// node is a machine: what outlives its lives.
type node struct {
	w      *World
	name   string
	main   func(env.Env)
	status Status
	lives  int
	boots  int   // how often the machine has come up again after a loss of power
	life   *life // the present one, or nil
	host   *network.Host
	disk   *disk.Disk

	// The wall clock shows the world's time plus offset plus drift (ppm) times the time since driftSince.
	offset     time.Duration
	drift      float64
	driftSince env.Instant
}

// Status is what a node does.
type Status uint8

const (
	Off      Status = iota // never started, or killed by Crash
	Running                // its main function runs
	Paused                 // it would, but for Pause
	Exited                 // its main function returned
	Panicked               // one of its tasks panicked: see Crashes
	PowerOff               // PowerLoss; the host is down
)

func (s Status) String() string {
	return [...]string{"off", "running", "paused", "exited", "panicked", "power-off"}[min(s, PowerOff)]
}

// Crash is a verdict: a task of a node panicked.
type Crash struct {
	Node  string
	Life  int // counted from 1
	Task  string
	At    env.Instant
	Value string // what it panicked with
	Stack string
}

func (c Crash) String() string {
	return fmt.Sprintf("%s/%s panicked at %v in life %d: %s\n%s", c.Node, c.Task, c.At.Sub(0), c.Life, c.Value, c.Stack)
}

// Events of lives in the world's hash.
var (
	evStart     = env.NewKind("start", env.Info, "life")
	evExit      = env.NewKind("exit", env.Info, "life")
	evPanic     = env.NewKind("panic", env.Error, "life")
	evCrash     = env.NewKind("crash", env.Info, "life")
	evPowerLoss = env.NewKind("power-loss", env.Info, "life", "files", "bytes", "names")
	evPause     = env.NewKind("pause", env.Info)
	evResume    = env.NewKind("resume", env.Info)
)

// AddNode adds a node, off, with an empty disk. Its host name is its name. main is run by each of its lives; when it
// returns, the process exits: what is left of its tasks ends, its connections close.
func (w *World) AddNode(name string, main func(env.Env)) {
	if w.byName[name] != nil || name == "harness" {
		panic(fmt.Sprintf("cluster: the name %q is taken", name))
	}
	n := w.newNode(name, main)
	w.nodes = append(w.nodes, n)
	w.byName[name] = n
}

func (w *World) newNode(name string, main func(env.Env)) *node {
	return &node{
		w: w, name: name, main: main, host: w.net.AddHost(name),
		disk: disk.New(name, w.src.Sub("disk"), *w.opts.Disk),
	}
}

// SetMain changes what the node's next lives run.
func (w *World) SetMain(name string, main func(env.Env)) { w.node(name).main = main }

// Nodes are the names of all nodes, in the order they were added.
func (w *World) Nodes() []string {
	names := make([]string, len(w.nodes))
	for i, n := range w.nodes {
		names[i] = n.name
	}
	return names
}

// Start begins a new life of a node that is not running. It panics if it is.
func (w *World) Start(name string) {
	n := w.node(name)
	if n.life != nil {
		panic("cluster: " + name + " is already " + n.status.String())
	}
	l := w.begin(n)
	main := n.main
	w.s.Go(l.group, "main", func() {
		main(l)
		if n.life == l && n.status == Running {
			w.event(evExit, name, "", int64(l.number))
			w.endLife(n, Exited)
		}
	})
}

// Restart crashes the node if it is running, and starts it.
func (w *World) Restart(name string) {
	w.Crash(name)
	w.Start(name)
}

// begin makes the Env of a new life.
func (w *World) begin(n *node) *life {
	n.lives++
	l := &life{w: w, n: n, number: n.lives, group: w.s.NewGroup(n.name, n)}
	l.src = w.src.Sub("node").Sub(fmt.Sprintf("%s/%d", n.name, n.lives))
	l.Stack = n.host.Boot()
	l.FS = n.disk.FS(diskHost{l})
	n.life, n.status = l, Running
	w.event(evStart, n.name, "", int64(l.number))
	return l
}

// endLife unwinds the tasks first, so that nothing runs any more when kernel and disk learn of it.
func (w *World) endLife(n *node, status Status) {
	if n.life == nil {
		return
	}
	w.s.Kill(n.life.group)
	n.life, n.status = nil, status
	switch status {
	case Exited:
		n.host.Exit()
		n.disk.CrashProcess()
	case PowerOff:
		n.host.PowerLoss() // and the caller ends the disk's life
	default:
		n.host.Crash()
		n.disk.CrashProcess()
	}
}

// panicked is told by the scheduler. A harness task's panic is a verdict too, but ends only that task.
func (w *World) panicked(p sched.Panic) {
	n := p.Group.Owner.(*node)
	c := Crash{Node: n.name, Life: n.lives, Task: p.Task, At: w.s.Now(), Value: fmt.Sprint(p.Value), Stack: string(p.Stack)}
	w.crashes = append(w.crashes, c)
	w.event(evPanic, n.name, c.Task+": "+c.Value, int64(c.Life))
	if n != w.harness {
		w.endLife(n, Panicked)
	}
}

// Status tells what the node does.
func (w *World) Status(name string) Status { return w.node(name).status }

// Life is the number of the node's present or last life, counted from 1.
func (w *World) Life(name string) int { return w.node(name).lives }

// Crashes are the verdicts so far. The harness's own tasks have the node "harness".
func (w *World) Crashes() []Crash { return w.crashes }

// Env is the env of the node's present life, nil without one: for looking, not for calling.
func (w *World) Env(name string) env.Env {
	if l := w.node(name).life; l != nil {
		return l
	}
	return nil
}
