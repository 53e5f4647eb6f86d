package scenarios

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/faults"
	"barnabas/faults/nemesis"
	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios/oracle"
	"barnabas/scenarios/workload"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
	"barnabas/sim/rng"
	"barnabas/sim/trace"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Options say what to run.
type Options struct {
	Scenario *Scenario
	Seed     uint64
	Schedule *faults.File // plays these faults instead of those drawn from the seed
	Bugs     bug.Set
	Trace    trace.Options
	// Changes make the trial smaller or let it take another way. A Schedule's own are taken if these are zero.
	Changes faults.Changes
	// Masked are invariants that are known to break: a run goes on when one does, and what else breaks comes before it.
	Masked []string
	// StateAt, if not zero, asks for Result.State.
	StateAt time.Duration
	// AllRare has every rare point strike now and then, for the test of them.
	AllRare bool
}

// Result is everything about one run.
type Result struct {
	Report   *reports.Run
	Schedule faults.Schedule // as it was planned
	History  *history.History
	Trace    *trace.Log
	Changes  faults.Changes
	State    string // every replica and partition at Options.StateAt, a line each
}

// lookEvery is how many scheduling points lie between two looks of the all-seeing checker.
const lookEvery = 256

// replicasPerLook is how many replicas the topic may have for the checker to look each time.
const replicasPerLook = 100

// run is one run under way.
type run struct {
	o        Options
	plan     *Plan
	w        *cluster.World
	c        *simCluster
	view     *registry
	oracle   *oracle.Oracle
	recorder history.Recorder
	load     *workload.Load
	online   *check.Online // judges each operation at once
	nemesis  *nemesis.Nemesis
	world    *faultWorld
	schedule faults.Schedule
	slices   []slice
	report   *reports.Run
	looks    int
	operated int // operations that operators did with success
	state    string
}

// Run runs one seed and judges it.
func Run(o Options) *Result {
	r := newRun(o)
	defer r.w.Close()
	r.prepare()
	r.play()
	r.judge()
	return &Result{Report: r.report, Schedule: r.schedule, History: &r.recorder.History, Trace: r.w.Trace(), Changes: r.o.Changes, State: r.state}
}

func newRun(o Options) *run {
	if o.Schedule != nil && o.Changes == (faults.Changes{}) {
		o.Changes = o.Schedule.Header.Changes
	}
	return &run{o: o, w: cluster.New(cluster.Options{Seed: worldSeed(o), Trace: o.Trace, HookEvery: lookEvery, Rare: true, AllRare: o.AllRare, Redraws: o.Changes.RedrawAt > 0})}
}

// worldSeed decides everything but the plan and the schedule, which are the seed's own.
func worldSeed(o Options) uint64 {
	if c := o.Changes; c.Redraw != 0 && c.RedrawAt == 0 {
		return rng.New(o.Seed).Uint64(fmt.Sprint("redraw/", c.Redraw))
	}
	return o.Seed
}

// prepare draws the plan and builds the world.
func (r *run) prepare() {
	own := rng.New(r.o.Seed).Sub("harness")
	r.plan = drawPlan(r.o.Scenario, r.o.Seed)
	if r.o.Changes.Beyond > 0 {
		r.plan.goBeyond()
	}
	r.schedule = r.plan.scheduled(own)
	if r.o.Schedule != nil {
		r.schedule = r.o.Schedule.Schedule
	}
	r.plan.change(r.o.Changes)
	r.c = newSimCluster(r.w, r.plan, r.o.Bugs)
	r.plan.Load.Bootstrap = r.c.bootstrap()
	r.plan.Load.Groups.KeepRevoked = r.o.Bugs.Has(bug.GroupTwoOwners)
	r.plan.Load.Groups.CommitFetched = r.o.Bugs.Has(bug.CommitUnread)
	r.load = workload.New(r.plan.Load, &r.recorder, r.observe)
	r.view = newRegistry(r.c)
	r.oracle = oracle.New(disks{r.c})
	clients := r.addClients()
	r.world = newFaultWorld(r.c, r.view, r.load, clients)
	r.nemesis = nemesis.New(nemesis.Options{World: r.world, Timers: timers{r.w}, Schedule: r.schedule, End: env.Instant(r.plan.HealAt), Admit: r.view.admit})
	cfg := r.c.config(1)
	r.report = &reports.Run{Scenario: r.o.Scenario.Name, Summary: r.o.Scenario.Summary, Seed: r.o.Seed, World: "sim", Bugs: r.o.Bugs.String(),
		Settings: append(r.plan.settings(cfg), reports.Setting{Name: "scheduling", Value: r.w.PolicyName()}), Converged: -1, HealedAt: r.plan.HealAt}
	r.recorder.History.Header = history.Header{Scenario: r.o.Scenario.Name, Seed: r.o.Seed, Bugs: r.o.Bugs.String(), World: "sim",
		Topics: r.plan.promises(), Pipelines: r.plan.pipelines()}
	r.report.Changes = r.o.Changes.String()
	if i, why := stranger(r.schedule, r.plan.Brokers, r.plan.LogDirs); i >= 0 {
		r.c.errs = append(r.c.errs, errors.New("the schedule's "+why))
	}
	if at := r.o.Changes.RedrawAt; at > 0 {
		r.w.At(env.Instant(at), func() { r.w.Redraw(r.o.Changes.Redraw) })
	}
	if r.o.StateAt > 0 {
		r.w.At(env.Instant(r.o.StateAt), func() { r.state = r.describeState() })
	}
	r.c.beyond = func() {
		for i := range r.recorder.History.Header.Topics {
			t := &r.recorder.History.Header.Topics[i]
			t.Durable, t.Once, t.Ordered = false, false, false
		}
		r.oracle.AllowLoss()
	}
	r.online = check.NewOnline(r.recorder.History.Header.Topics, 0)
	r.online.Mask(r.o.Masked)
	r.c.displaced = func() {
		for i := range r.recorder.History.Header.Topics {
			r.recorder.History.Header.Topics[i].Displaced = true
		}
	}
	r.c.zooKeeperUp = r.world.hookWatches
	if r.plan.Beyond {
		r.c.beyond()
	}
	r.w.OnStep(r.look)
}

// stranger says which fault of the schedule names what is not in the cluster, and what; or -1.
func stranger(s faults.Schedule, brokers, logDirs int) (int, string) {
	for i, f := range s {
		for _, n := range append(append([]faults.Node{f.Node}, f.From...), f.To...) {
			if int(n) > brokers {
				return i, fmt.Sprintf("%q names broker %d; there are %d", f, n, brokers)
			}
		}
		if f.Dir > max(1, logDirs) {
			return i, fmt.Sprintf("%q names log directory %d; each broker has %d", f, f.Dir, max(1, logDirs))
		}
	}
	return -1, ""
}

// Fits checks that the cluster of this scenario and seed has what the schedule names. The error (*faults.ParseError) says in which
// line of its file it does not. brokers, if not 0, is how many there are whatever the seed says.
func Fits(s *Scenario, seed uint64, file *faults.File, brokers int) error {
	plan := drawPlan(s, seed)
	plan.change(file.Header.Changes)
	if brokers == 0 {
		brokers = plan.Brokers
	}
	if i, why := stranger(file.Schedule, brokers, plan.LogDirs); i >= 0 {
		return file.Wrong(i, fmt.Sprintf("%s with seed %d: %s", s.Name, seed, why), "name others, or give another --seed")
	}
	return nil
}

// promise is what Kafka promises of the topic in this plan.
func (p *Plan) promise() history.Topic {
	t := history.Promised(p.Load.Topic, p.Partitions)
	t.Replication, t.MinInsync = p.Replicas, int16(p.MinInsync)
	t.Compacted, t.DeleteRetention = p.Compacted, int64(p.DeleteRetention)
	t.Retention, t.OffsetsRetention = p.Retention, int64(p.Load.OffsetsRetention)
	t.Ordered = p.Load.Idempotent // the others send one batch at a time, or none again that may be there
	return t
}

func (r *run) addClients() (clients []clientNode) {
	add := func(n int, name func(int) string, main func(string, int) func(env.Env)) {
		for i := range n {
			c := clientNode{name: name(i + 1), main: func(as string) func(env.Env) { return main(as, i+1) }}
			r.w.AddNode(c.name, c.main(c.name))
			clients = append(clients, c)
		}
	}
	add(r.plan.Producers, workload.ProducerName, r.load.ProduceAs)
	add(r.plan.Consumers, workload.ConsumerName, r.load.ConsumeAs)
	add(r.plan.Transactional, workload.TxnName, func(as string, i int) func(env.Env) { return r.c.lateEnds(r.load.TxnProduceAs(as, i)) })
	add(r.plan.Processors, workload.ProcessorName, r.load.ProcessAs)
	add(r.plan.Members, workload.MemberName, r.load.MemberAs)
	add(r.plan.Legacy, workload.MemberName, func(name string, index int) func(env.Env) { return r.load.LegacyMember(name, index, zkAddr) })
	return clients
}

// clientNode is a client's machine, and what runs on it, or on another that takes itself for it.
type clientNode struct {
	name string
	main func(as string) func(env.Env)
}

// look is called between events.
func (r *run) look() {
	// With many replicas a look costs more than what happens in between: it comes as much less often.
	if r.looks++; r.looks%max(1, int(r.plan.Partitions)*int(r.plan.Replicas)/replicasPerLook) != 0 {
		return
	}
	r.view.look()
	r.oracle.Look(r.view.promised(r.view.view()))
}

// play takes the run through its phases. A phase that fails ends it; judge says what that means.
func (r *run) play() {
	if len(r.c.errs) > 0 {
		return
	}
	r.c.start()
	if why := r.serve(); why != "" {
		r.end(reports.Liveness, "before any fault: "+why)
		return
	}
	r.world.began = time.Duration(r.w.Now())
	for _, c := range r.world.clients {
		r.load.Starting(c.name)
		r.w.Start(c.name)
	}
	r.nemesis.Start()
	r.tryZooKeeper()
	r.operate()
	r.keepAlive()
	r.churn()
	if !r.advance(env.Instant(r.plan.HealAt)) {
		return
	}
	r.nemesis.HealAll()
	r.world.mendDisks()
	r.world.restartDead()
	if !r.converge() {
		return
	}
	if !r.advance(r.w.Now().Add(r.plan.Settled)) {
		return
	}
	r.load.Stop()
	within := r.plan.Load.DeliveryTimeout*2 + 10*time.Second
	if r.plan.Load.Txns.Timeout > 0 {
		within += 4 * r.plan.Load.DeliveryTimeout // a commit, and an abort
	}
	if !r.until("the clients to end", within, func() bool { return r.load.Active() == 0 }) {
		return
	}
	if !r.settleTransactions() {
		return
	}
	if r.plan.Retention && !r.advance(r.w.Now().Add(retentionRest)) {
		return
	}
	r.drain()
}

// retentionRest is how long after the last record retention can still take something: the drain must not see that.
const retentionRest = 5 * time.Second

// serve waits for the cluster and makes the topic.
func (r *run) serve() string {
	var created error
	done := false
	r.w.AddNode("admin", func(e env.Env) {
		c := client.New(e, client.Options{Bootstrap: r.c.bootstrap(), ClientID: "admin", DialTimeout: time.Second, RequestTimeout: 3 * time.Second})
		defer c.Close()
		deadline := e.Mono().Add(r.plan.ReadyBy)
		for e.Mono() < deadline && r.view.converged() != "" && !r.allReady() {
			e.Sleep(50 * time.Millisecond)
		}
		for {
			created = client.NewAdmin(c).CreateTopics(r.plan.ReadyBy, r.plan.newTopics()...)
			if errors.Is(created, kerr.TopicAlreadyExists) { // made at an attempt whose answer was lost
				created = nil
			}
			if created == nil || e.Mono() >= deadline {
				break
			}
			e.Sleep(200 * time.Millisecond)
		}
		done = true
	})
	r.w.Start("admin")
	deadline := env.Instant(2 * r.plan.ReadyBy)
	r.w.RunUntil(func() bool { return r.crashed() || done && (created != nil || r.view.converged() == "") }, deadline)
	switch {
	case created != nil:
		return "the topic could not be created: " + created.Error()
	case r.crashed():
		return "a node crashed"
	}
	return r.view.converged()
}

func (r *run) allReady() bool {
	for _, n := range r.c.brokers {
		if n.broker == nil || !n.broker.Ready() {
			return false
		}
	}
	return true
}

func (r *run) crashed() bool { return len(r.w.Crashes()) > 0 }

// advance runs to the instant; false if the run is over before.
func (r *run) advance(to env.Instant) bool {
	r.w.RunUntil(func() bool { return r.crashed() || r.broken() }, to)
	return !r.crashed() && !r.broken()
}

// broken reports whether the all-seeing checker has found enough to stop.
func (r *run) broken() bool {
	return r.online.First() != nil || slices.ContainsFunc(r.oracle.Violations(), func(v oracle.Violation) bool { return !slices.Contains(r.o.Masked, v.ID) })
}

// until runs until pred holds, and ends the run as not live if it does not within the time.
func (r *run) until(what string, within time.Duration, pred func() bool) bool {
	outcome := r.w.RunUntil(func() bool { return r.crashed() || r.broken() || pred() }, r.w.Now().Add(within))
	if r.crashed() || r.broken() {
		return false
	}
	if outcome != cluster.Satisfied {
		r.end(reports.Liveness, fmt.Sprintf("waited %s for %s", within, what))
		return false
	}
	return true
}

// tryZooKeeper starts the clients of ZooKeeper. No fault is about them.
func (r *run) tryZooKeeper() {
	for i := range r.plan.ZKClients {
		name := workload.ZKName(i + 1)
		r.w.AddNode(name, r.load.ZKSessions(name, zkAddr))
		r.load.Starting(name)
		r.w.Start(name)
	}
}

// keepAlive starts again, a while after, what ended by itself or did not survive its start.
func (r *run) keepAlive() {
	var tick func()
	tick = func() {
		for _, n := range append([]string{zkName}, brokerNames(r.c)...) {
			if r.w.Status(n) == cluster.Exited {
				r.c.startNode(n)
			}
		}
		if time.Duration(r.w.Now()) < r.plan.HealAt+r.plan.ConvergeMax {
			r.w.At(r.w.Now().Add(restartPause), tick)
		}
	}
	r.w.At(r.w.Now().Add(restartPause), tick)
}

// churn kills members of the group, now and then, and brings them back as new ones.
func (r *run) churn() {
	if r.plan.Churn.Gap <= 0 || r.plan.Members+r.plan.Legacy == 0 {
		return
	}
	draw := r.w.Rand().Stream("churn")
	var kill func()
	kill = func() {
		if time.Duration(r.w.Now()) >= r.plan.HealAt-r.plan.Churn.Down {
			return
		}
		name := workload.MemberName(1 + draw.IntN(r.plan.Members+r.plan.Legacy))
		if r.w.Status(name) == cluster.Running {
			r.w.Crash(name)
			r.w.At(r.w.Now().Add(r.plan.Churn.Down), func() {
				r.load.Starting(name)
				r.w.Start(name)
			})
		}
		r.w.At(r.w.Now().Add(time.Duration((0.5+draw.Float64())*float64(r.plan.Churn.Gap))), kill)
	}
	r.w.At(r.w.Now().Add(time.Duration(draw.Float64()*float64(r.plan.Churn.Gap))), kill)
}

func brokerNames(c *simCluster) []string {
	var names []string
	for _, n := range c.brokers {
		names = append(names, n.name)
	}
	return names
}

// converge waits until the healed cluster is well.
func (r *run) converge() bool {
	why := ""
	began := r.w.Now()
	outcome := r.w.RunUntil(func() bool {
		if r.crashed() || r.broken() {
			return true
		}
		why = r.view.converged()
		return why == ""
	}, began.Add(r.plan.ConvergeMax))
	if r.crashed() || r.broken() {
		return false
	}
	if outcome != cluster.Satisfied {
		r.end(reports.Liveness, fmt.Sprintf("%s after everything healed, %s", r.plan.ConvergeMax, why))
		return false
	}
	r.report.Converged = r.w.Now().Sub(began)
	return true
}

// drain reads everything back with a fresh client.
func (r *run) drain() {
	err := errors.New("not finished")
	done := false
	r.w.AddNode("drain", r.load.Drain(r.plan.DrainMax, func(e error) { err, done = e, true }))
	r.w.Start("drain")
	if r.until("the final drain", r.plan.DrainMax+10*time.Second, func() bool { return done }) && err != nil {
		r.end(reports.Liveness, err.Error())
	}
}

// end sets the verdict unless one stands.
func (r *run) end(v reports.Verdict, why string) {
	if r.report.Verdict == "" {
		r.report.Verdict, r.report.Reason = v, why
	}
}

// timers lets the nemesis wait.
type timers struct{ *cluster.World }

func (t timers) At(at env.Instant, f func()) { t.World.At(at, f) }

// disks lets the oracle read the brokers' files.
type disks struct{ c *simCluster }

func (d disks) Find(broker int32, dir string, tp wire.TopicPartition, name string) oracle.File {
	return &file{d.c.w, d.c.node(broker).name, disk.NewPeeker(path.Join(dir, tp.String(), name))}
}

// file is a file of the disk that is in a node at the time.
type file struct {
	w      *cluster.World
	node   string
	peeker *disk.Peeker
}

func (f *file) Peek(p []byte, offset int64) int { return f.peeker.Peek(f.w.Disk(f.node), p, offset) }
