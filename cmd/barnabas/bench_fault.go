package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"barnabas/bench"
	"barnabas/reports/load"
)

// ownCluster starts a cluster of real processes for one bench, with free ports and files that go when it stops.
func ownCluster(ctx context.Context, brokers int, overrides ...string) (*cluster, func(), error) {
	dir, err := os.MkdirTemp("", "barnabas-bench-")
	if err != nil {
		return nil, nil, err
	}
	c := &cluster{flags: upFlags{brokers: brokers, dir: dir, host: "127.0.0.1", restart: true, level: "warn", overrides: overrides, traceGC: true},
		procs: map[string]*exec.Cmd{}, failed: make(chan error, brokers+1), hold: map[string]chan struct{}{}}
	stop := func() {
		c.stop()
		os.RemoveAll(dir)
	}
	if c.binary, err = os.Executable(); err == nil {
		err = c.start()
	}
	if err == nil {
		err = c.awaitReady(ctx, 30*time.Second)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return c, stop, nil
}

// throughFault runs a workload on a cluster of its own, one of whose brokers gets the fault.
func (f *benchFlags) throughFault(ctx context.Context, w *bench.Workload) (*load.Run, error) {
	if w.Topic.Replication < 2 {
		return nil, usage("--scenario %s with replication %d: nobody could take over; use replicated-5k, or --set topic.replication=3", f.scenario, w.Topic.Replication)
	}
	brokers := max(f.brokers, int(w.Topic.Replication))
	c, stop, err := ownCluster(ctx, brokers)
	if err != nil {
		return nil, err
	}
	defer stop()
	o := f.options()
	o.Bootstrap = strings.Join(c.addrs, ",")
	if o.Label == "" {
		o.Label = fmt.Sprintf("Barnabas, %d brokers, %s", brokers, f.scenario)
	}
	o.Scenario = &bench.Scenario{Name: f.scenario, Inject: func(id int32) (bench.Act, error) { return c.inject(f.scenario, id) }}
	run, err := bench.Run(ctx, w, o)
	if run != nil {
		run.Scenario = f.scenario
	}
	return run, err
}

// inject does a fault to a broker that this process has started.
func (c *cluster) inject(scenario string, id int32) (bench.Act, error) {
	name := fmt.Sprintf("broker-%d", id)
	c.mu.Lock()
	p := c.procs[name]
	c.mu.Unlock()
	if p == nil {
		return bench.Act{}, fmt.Errorf("%s does not run", name)
	}
	if scenario == "leader-pause" {
		if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
			return bench.Act{}, err
		}
		return bench.Act{Text: name + " stands still", Heal: func() (string, error) { return name + " goes on", p.Process.Signal(syscall.SIGCONT) }}, nil
	}
	back := make(chan struct{})
	c.mu.Lock()
	c.hold[name] = back
	c.mu.Unlock()
	if err := p.Process.Kill(); err != nil {
		return bench.Act{}, err
	}
	return bench.Act{Text: name + " is killed", Heal: func() (string, error) {
		c.mu.Lock()
		delete(c.hold, name)
		c.mu.Unlock()
		close(back)
		return name + " starts again", nil
	}}, nil
}

// path is a path in a bench's own output directory.
func (f *benchFlags) path(name string) string { return filepath.Join(f.out, name) }
