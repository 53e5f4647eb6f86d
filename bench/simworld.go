package bench

import (
	"context"
	"fmt"
	"time"

	"barnabas/broker"
	"barnabas/broker/config"
	"barnabas/broker/env"
	zkclient "barnabas/broker/zookeeper/client"
	zkserver "barnabas/broker/zookeeper/server"
	"barnabas/reports/load"
	sim "barnabas/sim/cluster"
	"barnabas/sim/cpu"
	"barnabas/sim/network"
)

// SimOptions are what a run in the simulated world needs besides its workload.
type SimOptions struct {
	Profile  *Profile
	Brokers  int
	Seed     uint64
	Label    string // by default the profile's name
	Scenario string // a fault in the middle of each repetition; "": none
	Say      func(format string, args ...any)
}

// Simulate measures a workload on a cluster that exists in the simulator alone: our brokers and our client, on the
// machines, links and disks of a profile. The same workload, profile and seed give the same record, figure for figure. Errors: what the
// cluster refuses, and a workload that cannot be simulated.
func Simulate(ctx context.Context, w *Workload, o SimOptions) (*load.Run, error) {
	run, err := newSimRun(w, &o)
	if err != nil {
		return nil, err
	}
	for n := range w.Phases.Repetitions {
		for _, rate := range w.rates() {
			if err := simRepeat(ctx, run, w, o, rate, n); err != nil || run.Interrupted {
				return run, err
			}
		}
	}
	return run, nil
}

// newSimRun is the record of a simulated run that has not begun. It fills what o leaves open.
func newSimRun(w *Workload, o *SimOptions) (*load.Run, error) {
	if err := simulable(w, o); err != nil {
		return nil, err
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Label == "" {
		o.Label = o.Profile.Name
	}
	run := &load.Run{Workload: w.Name, Title: w.Title, Question: w.Question, Label: o.Label, Started: time.Now().UTC().Truncate(time.Millisecond),
		Settings: w.YAML() + "---\n" + o.Profile.YAML(), World: "sim", Scenario: o.Scenario, Machine: thisMachine(),
		Target: load.Target{Bootstrap: fmt.Sprintf("%d simulated brokers, profile %s", o.Brokers, o.Profile.Name), Software: "Barnabas in the simulator"}}
	for i := range o.Brokers {
		run.Target.Brokers = append(run.Target.Brokers, fmt.Sprintf("%d b%d:%d", i+1, i+1, simPort))
	}
	run.Machine.Notes = append(run.Machine.Notes, fmt.Sprintf("simulated: %s; seed %d. This machine only computed it", o.Profile.Title, o.Seed))
	return run, nil
}

// simRepeat does the n-th repetition and adds it to the run.
func simRepeat(ctx context.Context, run *load.Run, w *Workload, o SimOptions, rate float64, n int) error {
	r, err := simulate(ctx, w, o, rate, o.Seed+uint64(n))
	if run.Interrupted = ctx.Err() != nil; r != nil {
		if run.Interrupted {
			r.Caveats = append(r.Caveats, fmt.Sprintf("interrupted: %.1f s were measured", r.Seconds))
		}
		run.Repetitions = append(run.Repetitions, *r)
		o.Say("%s", Line(run.Label, n+1, r))
	}
	if run.Interrupted {
		return nil
	}
	return err
}

// simBytesMax bounds what simulated disks, which are memory, may have to hold.
const simBytesMax = 8 << 30

func simulable(w *Workload, o *SimOptions) error {
	if o.Profile == nil {
		return unfit("a simulated run needs a profile: one of %v, or a file", ProfileNames())
	}
	if o.Brokers == 0 {
		o.Brokers = max(1, int(w.Topic.Replication))
	}
	if int(w.Topic.Replication) > o.Brokers {
		return unfit("replication %d needs as many brokers; there are %d (--brokers)", w.Topic.Replication, o.Brokers)
	}
	for _, rate := range w.rates() {
		if err := fitsMemory(w, rate); err != nil {
			return err
		}
	}
	if c := w.catchup(); c != nil && int64(c.Backlog)*int64(w.Topic.Replication) > simBytesMax {
		return unfit("workload %s: a backlog of %s is too much for simulated disks, which are memory (--set consumers=…)", w.Name, c.Backlog)
	}
	for _, name := range append([]string{""}, ScenarioNames...) {
		if name == o.Scenario {
			return nil
		}
	}
	return unfit("scenario %s: there are %v", o.Scenario, ScenarioNames)
}

// fitsMemory says whether a simulated disk can hold what a repetition writes at a rate.
func fitsMemory(w *Workload, rate float64) error {
	all := time.Duration(w.Phases.Warmup + w.Phases.Measure + w.Phases.Cooldown).Seconds()
	if bytes := rate * all * float64(w.maxSize()) * float64(w.Topic.Replication); bytes > simBytesMax {
		return unfit("workload %s at %.0f/s writes up to %.1f GB, and simulated disks are memory: shorten it (--set phases.measure=2s)", w.Name, rate, bytes/1e9)
	}
	return nil
}

// simCluster is a cluster in a simulated world, with the clients beside it.
type simCluster struct {
	w         *sim.World
	o         *SimOptions
	workload  *Workload
	brokers   []string
	processes []*cpu.Process
	client    *cpu.Process
	broken    error
	events    []load.Event
	from      env.Instant // of the measured stretch; 0: not yet known
	leads     int32       // who leads partition 0
}

const (
	simZooKeeper = "zk"
	simPort      = 9092
	simTickMs    = 2000
	simSessionMs = 6000 // as `barnabas up` configures
)

func newSimCluster(w *Workload, o *SimOptions, seed uint64) *simCluster {
	p := o.Profile
	world := sim.New(sim.Options{Seed: seed, Policy: sim.FIFO, StepCost: 1, HookEvery: 1 << 20, Network: p.Network.profile(), Disk: p.Disk.profile()})
	c := &simCluster{w: world, o: o, workload: w}
	machines := 0
	fresh := func() *cpu.CPU {
		machines++
		m := cpu.New(p.Machine.Cores)
		m.Disturb(world.Rand().Stream(fmt.Sprintf("cpu/%d", machines)), time.Duration(p.Machine.AwayEvery), time.Duration(p.Machine.AwayFor))
		return m
	}
	machine := fresh()
	own := func() *cpu.CPU {
		if p.Machine.Shared {
			return machine
		}
		return fresh()
	}
	zk := cpu.NewProcess(own(), p.Broker.costs())
	world.AddNode(simZooKeeper, func(e env.Env) { c.runZooKeeper(zk.Wrap(e)) })
	for i := range o.Brokers {
		name := fmt.Sprintf("b%d", i+1)
		process := cpu.NewProcess(own(), p.Broker.costs())
		c.brokers, c.processes = append(c.brokers, name), append(c.processes, process)
		world.AddNode(name, func(e env.Env) { c.runBroker(int32(i+1), process.Wrap(e)) })
	}
	c.client = cpu.NewProcess(own(), p.Client.costs())
	world.OnEmit(c.noteLeader)
	return c
}

// placeZones adds the way between zones. The clients and ZooKeeper are in the first.
func (c *simCluster) placeZones() {
	zones := c.o.Profile.Zones
	if zones.Count < 2 || zones.Between == 0 {
		return
	}
	hosts := append([]string{simZooKeeper, "harness"}, c.brokers...)
	zone := func(i int) int { return max(0, i-2) % zones.Count }
	for i, from := range hosts {
		for j, to := range hosts {
			if zone(i) != zone(j) {
				c.w.SetLink(from, to, network.Condition{Delay: time.Duration(zones.Between)})
			}
		}
	}
}

func (c *simCluster) runZooKeeper(e env.Env) {
	s, err := zkserver.New(e, zkserver.Config{Addr: simZooKeeper + ":2181", DataDir: "/data", TickMs: simTickMs})
	if err != nil {
		c.broken = fmt.Errorf("simulated ZooKeeper: %w", err)
		return
	}
	s.Run()
}

func (c *simCluster) runBroker(id int32, e env.Env) {
	cfg := config.Default()
	cfg.BrokerID = id
	cfg.ListenAddr = fmt.Sprintf("b%d:%d", id, simPort)
	cfg.LogDirs = []string{"/data"}
	cfg.ZookeeperConnect = []string{simZooKeeper + ":2181"}
	cfg.ZookeeperSessionMs = simSessionMs
	cfg.AutoCreateTopics = false
	cfg.GroupInitialRebalanceDelay = 0
	cfg.OffsetsTopicReplicationFactor = int16(min(3, c.o.Brokers))
	cfg.TransactionTopicReplicationFactor = cfg.OffsetsTopicReplicationFactor
	cfg.TransactionTopicMinISR = max(1, min(3, c.o.Brokers)-1)
	cfg.DefaultReplicationFactor = int16(min(3, c.o.Brokers))
	if n := c.o.Profile.Zones.Count; n > 1 {
		cfg.Rack = fmt.Sprintf("zone-%d", int(id-1)%n+1)
	}
	b := broker.New(broker.Options{Env: e, Config: cfg, OpenSession: zkclient.Open})
	if err := b.Run(); err != nil && c.broken == nil {
		c.broken = fmt.Errorf("simulated broker %d: %w", id, err)
	}
}

func (c *simCluster) bootstrap() []string {
	var list []string
	for _, b := range c.brokers {
		list = append(list, fmt.Sprintf("%s:%d", b, simPort))
	}
	return list
}

// event adds one to the repetition's, if the stretch has begun.
func (c *simCluster) event(kind, text string) {
	if c.from > 0 && c.w.Now() >= c.from {
		c.events = append(c.events, load.Event{At: c.w.Now().Sub(c.from).Seconds(), Kind: kind, Text: text})
	}
}

func (c *simCluster) noteLeader(node string, ev env.Event) {
	if ev.Kind.Name == "become-leader" && ev.Topic == simTopic {
		for i, b := range c.brokers {
			if b == node && ev.Partition == 0 {
				c.leads = int32(i + 1)
			}
		}
		c.event("leader", fmt.Sprintf("partition %d: leader %s in epoch %d", ev.Partition, node, ev.V[0]))
	}
}

// usage sums what the brokers used so far.
func (c *simCluster) usage() cpu.Use {
	var sum cpu.Use
	for _, p := range c.processes {
		u := p.Use()
		sum.CPU += u.CPU
		sum.NetIn += u.NetIn
		sum.NetOut += u.NetOut
		sum.FileIn += u.FileIn
		sum.FileOut += u.FileOut
	}
	return sum
}
