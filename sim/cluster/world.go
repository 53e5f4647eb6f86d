package cluster

import (
	"time"

	"barnabas/broker/env"
	"barnabas/sim/disk"
	"barnabas/sim/network"
	"barnabas/sim/rng"
	"barnabas/sim/trace"
)

// Options describe a world. Only Seed is needed.
type Options struct {
	Seed      uint64
	Policy    Policy           // how the scheduler chooses; Drawn by default
	StepCost  time.Duration    // virtual time an env call costs; default 100 ns. A spinning task gets somewhere in time
	StepsMax  uint64           // Run ends with StepLimit after so many scheduling points in all; 0: no limit
	Network   *network.Profile // default network.LAN
	Disk      *disk.Profile    // of every node added; default disk.NVMe
	Trace     trace.Options    // what is recorded besides the hash
	HookEvery int              // OnStep hooks run after every so many steps; default 1
	Epoch     time.Time        // the wall clock at Instant 0; default 2024-01-01 UTC
}

// Policy says how the scheduler chooses among tasks that can run.
type Policy uint8

const (
	Drawn    Policy = iota // one of the others, drawn from the seed
	Random                 // any, and sometimes before the running one waits
	FIFO                   // in turn, never before the running one waits
	Priority               // the highest of random priorities, which change now and then (PCT)
)

// Outcome says why Run ended.
type Outcome uint8

const (
	Reached   Outcome = iota // the deadline
	Satisfied                // the predicate
	Finished                 // no task is left, and nothing will happen any more
	Deadlock                 // tasks are left, none can run, and nothing will happen any more: see Stuck
	StepLimit                // Options.StepsMax
)

// World is a simulated world. It is one thread: its methods may be called by the goroutine that runs it, by its hooks
// and timers, and by harness tasks; never from another goroutine.
type World struct{}

// New makes a world without nodes at Instant 0.
func New(o Options) *World { panic("unfinished") }

// Close ends all lives and tasks and frees what they hold. Hash, Trace and the verdicts stay readable.
func (w *World) Close() {}

// AddNode adds a node, off, with an empty disk. Its host name is its name. main is run by each of its lives; when it
// returns, the process exits: what is left of its tasks ends, its connections close.
func (w *World) AddNode(name string, main func(env.Env)) {}

// SetMain changes what the node's next lives run.
func (w *World) SetMain(name string, main func(env.Env)) {}

// Start begins a new life of a node that is off. It panics if the node is running.
func (w *World) Start(name string) {}

// Run runs until the instant, or until nothing can happen any more.
func (w *World) Run(until env.Instant) Outcome { panic("unfinished") }

// RunUntil runs until pred holds; it is asked between events.
func (w *World) RunUntil(pred func() bool, deadline env.Instant) Outcome { panic("unfinished") }

// At calls f on the loop, between events, outside of any node, when the time has come. f must not make env calls.
func (w *World) At(at env.Instant, f func()) {}

// Go starts a harness task: outside of any node, never killed by faults, with an Env whose host is "harness".
func (w *World) Go(name string, f func(e env.Env)) {}

// OnStep calls f between events: for an all-seeing checker. f must not make env calls. It may use the world.
func (w *World) OnStep(f func()) {}

// OnEmit calls f for each event a node emits, in the emitting task. f may crash that node.
func (w *World) OnEmit(f func(node string, ev env.Event)) {}

// Now is the virtual time; Steps counts scheduling points, Events what went into the hash.
func (w *World) Now() env.Instant { panic("unfinished") }

func (w *World) Steps() uint64  { panic("unfinished") }
func (w *World) Events() uint64 { panic("unfinished") }

// Hash is the rolling hash over every event so far. The same options, nodes and calls give the same hash.
func (w *World) Hash() uint64 { panic("unfinished") }

// Trace is the log of events, recorded as Options.Trace says.
func (w *World) Trace() *trace.Log { panic("unfinished") }

// Rand is the source of the world's random streams, for a harness that wants one of its own.
func (w *World) Rand() rng.Source { panic("unfinished") }

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

// Status tells what the node does.
func (w *World) Status(name string) Status { panic("unfinished") }

// Crash is a verdict: a task of a node panicked.
type Crash struct {
	Node  string
	Life  int // counted from 1
	Task  string
	At    env.Instant
	Value string // what it panicked with
	Stack string
}

// Crashes are the verdicts so far. The harness's own tasks have the node "harness".
func (w *World) Crashes() []Crash { panic("unfinished") }

// Stuck lists the tasks and what each waits for, one line each.
func (w *World) Stuck() string { panic("unfinished") }
