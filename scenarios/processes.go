package scenarios

import (
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/faults"
	"barnabas/reports"
)

// Process states, as Processes tells them.
type ProcessState uint8

const (
	ProcessDown    ProcessState = iota // never started, or killed
	ProcessRunning                     // it lives
	ProcessPaused                      // it is stopped as by SIGSTOP
	ProcessExited                      // it ended by itself, or was asked to
)

// Processes are the processes of a cluster on trial: brokers "b1", "b2" … and "zk". Whoever has them sees to it that
// none outlives the run. All methods are safe for concurrent use.
type Processes interface {
	// Configure writes what the broker's next lives are to be configured by.
	Configure(name, properties string) error
	// Start starts a process that does not live. orders are lines for its hook, obeyed before it does anything else.
	Start(name string, orders []string) error
	// Kill ends it as kill -9 does, and returns when it is gone; false if it was.
	Kill(name string) bool
	// Stop asks it to end (SIGTERM) and does not wait.
	Stop(name string)
	// Pause and Resume are SIGSTOP and SIGCONT; false if it does not live.
	Pause(name string) bool
	Resume(name string) bool
	State(name string) ProcessState
	// Order gives a line to the hook of a process that runs, or of all clients ("clients"), and returns its answer
	// (docs/formats/control.md).
	Order(name, line string) (string, error)
	// Hooked tells whether the process has a hook: Apache ZooKeeper has none.
	Hooked(name string) bool
	// Host is the address that tells the process from others, Addr where it listens.
	Host(name string) string
	Addr(name string) string
	// Dir is the directory of its data; Wipe empties it.
	Dir(name string) string
	Wipe(name string) error
	// Panicked names the first process that panicked, with its stack; "" for none.
	Panicked() (name, stack string)
}

// Life is the world of one life of a client.
type Life interface {
	env.Env
	Kill()
	Pause()
	Resume()
}

// RealOptions say what to run in the real world.
type RealOptions struct {
	Scenario *Scenario
	Seed     uint64
	Schedule *faults.File // as in Options
	Bugs     bug.Set
	Brokers  int           // 0: as the seed says
	For      time.Duration // how long faults and load last; 0: as the scenario says

	Env         env.Env     // the harness's own; its monotonic clock begins with the run
	NewLife     func() Life // of a client; its monotonic clock is that of Env
	OpenSession zookeeper.Opener
	// Processes is the cluster. If nil, Bootstrap names brokers of a cluster of somebody's: no faults, the same workload
	// and checks, on a topic of its own.
	Processes Processes
	Bootstrap []string
	Topic     string // with Bootstrap: the name of that topic
	// Interrupted says why the run must end now, with the verdict it then gets; "" for no reason.
	Interrupted func() (why string, verdict reports.Verdict)
	// Progress is told, now and then, what goes on. May be nil.
	Progress func(at time.Duration, what string)
}
