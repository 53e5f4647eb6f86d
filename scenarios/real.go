package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/faults"
	"barnabas/faults/nemesis"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios/workload"
	"barnabas/sim/rng"
)

// realRun is one run under way.
type realRun struct {
	o        RealOptions
	e        env.Env
	plan     *Plan
	c        *realCluster // nil for a cluster of somebody's
	view     *realView    // nil for a cluster of somebody's
	world    *realWorld   // nil for a cluster of somebody's
	nemesis  *nemesis.Nemesis
	timers   *realTimers
	load     *workload.Load
	schedule faults.Schedule
	report   *reports.Run

	mu        env.Mutex
	recorder  history.Recorder // of the load, which holds its own mutex
	slices    []slice          // likewise
	acks      acks             // likewise
	operated  int
	nodes     []reports.NodeChange
	errs      []error
	lives     map[string]Life
	mains     map[string]func(as string) func(env.Env)
	clients   []string
	troubles  []trouble
	created   bool
	operators int // that work
	healAt    env.Instant
	// playedFrom is when the clients started.
	playedFrom env.Instant
}

// RunReal runs a scenario in the real world and judges it. It ends within RealBudget of its plan, or when it is
// interrupted.
func RunReal(o RealOptions) *Result {
	r := &realRun{o: o, e: o.Env, lives: map[string]Life{}, mains: map[string]func(string) func(env.Env){}, mu: o.Env.NewMutex()}
	r.prepare()
	r.play()
	r.finish()
	r.judge()
	return &Result{Report: r.report, Schedule: r.schedule, History: &r.recorder.History, Changes: r.changes()}
}

// prepare draws the plan and the faults.
func (r *realRun) prepare() {
	r.plan = realPlan(r.o)
	r.report = &reports.Run{Scenario: r.o.Scenario.Name, Summary: r.o.Scenario.Summary, Seed: r.o.Seed, World: "real", Bugs: r.o.Bugs.String(), Converged: -1}
	if r.o.Processes != nil {
		r.schedule = r.plan.scheduled(rng.New(r.o.Seed).Sub("harness"))
	}
	if r.o.Schedule != nil {
		r.schedule = r.o.Schedule.Schedule
	}
	if i, why := stranger(r.schedule, r.plan.Brokers, r.plan.LogDirs); i >= 0 {
		r.errs = append(r.errs, errors.New("the schedule's "+why))
	}
	r.timers = newRealTimers(r.e)
	if r.o.Processes == nil {
		r.plan.Load.Bootstrap = r.o.Bootstrap
	} else {
		r.c = newRealCluster(r)
		r.plan.Load.Bootstrap = r.c.bootstrap()
	}
	r.plan.Load.Groups.KeepRevoked = r.o.Bugs.Has(bug.GroupTwoOwners)
	if r.c == nil {
		if g := &r.plan.Load.Groups; g.Group != "" {
			g.Group += "-" + r.plan.Load.Topic
		}
		if t := &r.plan.Load.Txns; t.Output != "" {
			t.Output = r.plan.Load.Topic + "-" + t.Output
		}
	}
	r.load = workload.New(r.plan.Load, &r.recorder, r.observe)
	r.load.Share(r.e.NewMutex())
	r.addClients()
	r.recorder.History.Header = history.Header{Scenario: r.o.Scenario.Name, Seed: r.o.Seed, Bugs: r.o.Bugs.String(), World: "real"}
	if r.c != nil {
		r.view = newRealView(r)
		r.world = newRealWorld(r)
	}
}

// observe is called with the load's mutex held.
func (r *realRun) observe(op history.Op) {
	r.slices = intoSlice(r.slices, op)
	r.acks.add(op)
}

func (r *realRun) addClients() {
	add := func(n int, name func(int) string, main func(string, int) func(env.Env)) {
		for i := range n {
			r.clients = append(r.clients, name(i+1))
			r.mains[name(i+1)] = func(as string) func(env.Env) { return main(as, i+1) }
		}
	}
	add(r.plan.Producers, workload.ProducerName, r.load.ProduceAs)
	add(r.plan.Consumers, workload.ConsumerName, r.load.ConsumeAs)
	add(r.plan.Members, workload.MemberName, r.load.MemberAs)
	add(r.plan.Transactional, workload.TxnName, func(as string, i int) func(env.Env) {
		return r.plan.LateEnds.hold(r.load.TxnProduceAs(as, i), func() env.Instant { return r.healAt })
	})
	add(r.plan.Processors, workload.ProcessorName, r.load.ProcessAs)
	if r.c != nil {
		add(r.plan.Legacy, workload.MemberName, func(as string, i int) func(env.Env) { return r.load.LegacyMember(as, i, r.c.p.Addr(zkName)) })
	}
	if r.plan.Load.Acks != client.AcksAll || r.plan.Transactional+r.plan.Processors > 0 {
		return // a probe would tell of another promise than the load's, or be input to processors
	}
	for p := range min(r.plan.Partitions, probedMax) {
		r.mains[workload.ProbeName(p)] = func(string) func(env.Env) { return r.load.Probe(p, probeEvery) }
	}
}

// startClient begins a life of a client.
func (r *realRun) startClient(name string) { r.startAs(name, name) }

// startAs begins a life of a client under another name.
func (r *realRun) startAs(name, as string) {
	main := r.mains[name](as)
	name = as
	life := r.o.NewLife()
	r.mu.Lock()
	r.lives[name] = life
	r.mu.Unlock()
	r.load.Starting(name)
	life.Go(name, func() { main(life) })
}

func (r *realRun) note(node, state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes = append(r.nodes, reports.NodeChange{At: time.Duration(r.e.Mono()), Node: node, State: state})
}

func (r *realRun) say(format string, args ...any) {
	if r.o.Progress != nil {
		r.o.Progress(time.Duration(r.e.Mono()), fmt.Sprintf(format, args...))
	}
}

// play takes the run through its phases. A phase that fails ends it.
func (r *realRun) play() {
	if len(r.errs) > 0 || !r.serve() {
		return
	}
	now := r.e.Mono()
	start := now.Add(time.Second - r.plan.Faults.Start) // the schedule's times count from there
	r.playedFrom, r.healAt = now, start.Add(r.plan.HealAt)
	r.report.HealedAt = time.Duration(r.healAt)
	for _, name := range r.clients {
		r.startClient(name)
	}
	for p := range min(r.plan.Partitions, probedMax) {
		if name := workload.ProbeName(p); r.mains[name] != nil {
			r.startClient(name)
		}
	}
	r.disturb(start)
	r.say("faults and load for %s", (r.plan.HealAt - r.plan.Faults.Start).Round(time.Second))
	if !r.advance(r.healAt) {
		return
	}
	r.heal()
	if !r.converge() || !r.advance(r.e.Mono().Add(r.plan.Settled)) {
		return
	}
	r.say("the clients end")
	r.load.Stop()
	if !r.until("the clients to end", r.plan.endMax(), func() bool { return r.load.Active() == 0 }) {
		return
	}
	if !r.settleTransactions() || r.plan.Retention && !r.advance(r.e.Mono().Add(retentionRest)) {
		return
	}
	r.drain()
}

// disturb sets the faults and the operators going.
func (r *realRun) disturb(start env.Instant) {
	if r.c == nil {
		return
	}
	playable, leftOut := r.world.playable(r.schedule)
	r.report.LeftOut = append(r.report.LeftOut, leftOut...)
	if r.plan.AlterDelayMax > 0 || r.plan.WatchDelayMax > 0 {
		r.report.LeftOut = append(r.report.LeftOut, "late answers of the controller and late watches: only the simulated world has them")
	}
	r.plan.Least.Fired = remaining(r.plan.Least.Fired, r.world)
	if len(playable) == 0 && (len(r.schedule) > 0 || r.o.For > 0) {
		r.plan.Least.FiredAny = 0
		r.report.Notes = append(r.report.Notes, "no fault was planned that this world can do in this time")
	}
	r.nemesis = nemesis.New(nemesis.Options{World: r.world, Timers: r.timers, Schedule: playable, Start: start, End: r.healAt, Admit: r.world.admit,
		Observe: func(e nemesis.Entry) { r.say("%s", e) }})
	r.timers.do(r.nemesis.Start)
	if r.plan.ControlDelayMax > 0 {
		r.timers.do(func() { r.world.holdBack(r.plan.ControlDelayMax) })
	}
	r.operate()
	r.keepAlive()
	r.churn()
}

// heal ends the faults and starts what is down.
func (r *realRun) heal() {
	r.say("everything heals")
	if r.c == nil {
		return
	}
	r.timers.do(func() {
		r.nemesis.HealAll()
		r.world.mendDisks()
		if r.plan.ControlDelayMax > 0 {
			r.world.holdBack(0)
		}
	})
	r.until("the operators to end", requestMax*3, func() bool { return r.operatorsLeft() == 0 })
	r.c.startDead()
}

// serve starts the cluster, if it is ours, and makes the topic.
func (r *realRun) serve() bool {
	if r.c != nil {
		r.say("the cluster starts")
		if err := r.c.start(); err != nil {
			r.errs = append(r.errs, err)
			return false
		}
		r.view.start()
		if !r.until("the brokers to serve", r.plan.ReadyBy, func() bool { return r.view.serving() == "" }) {
			return false
		}
	}
	done, created := r.e.NewMutex(), errors.New("not finished")
	finished := false
	r.e.Go("admin", func() {
		err := r.createTopic()
		done.Lock()
		created, finished = err, true
		done.Unlock()
	})
	ready := r.until("the topic", 2*r.plan.ReadyBy, func() bool {
		done.Lock()
		defer done.Unlock()
		return finished && (created != nil || r.c == nil || r.view.converged() == "")
	})
	if !ready {
		return false
	}
	if created != nil {
		r.end(reports.Liveness, "before any fault: the topic could not be created: "+created.Error())
		if r.c == nil {
			r.report.Verdict = reports.Error
		}
		return false
	}
	r.created = true
	r.recorder.History.Header.Topics, r.recorder.History.Header.Pipelines = r.plan.promises(), r.plan.pipelines()
	r.report.Settings = r.plan.settings(r.exampleConfig())
	if r.c == nil { // its brokers' settings are none of ours
		r.report.Settings = slices.DeleteFunc(r.report.Settings, func(s reports.Setting) bool { return strings.Contains(s.Name, ".") || s.Name == "faults" })
	}
	return true
}

// exampleConfig is what all brokers have in common.
func (r *realRun) exampleConfig() *config.Broker {
	return r.plan.config(1, "b1:9092", "zk:2181", []string{dataDir})
}

// foreignMax is how long somebody's cluster has to answer at all.
const foreignMax = 10 * time.Second

// createTopic makes the topic; on somebody's cluster with as many replicas as that allows.
func (r *realRun) createTopic() error {
	c := client.New(r.e, client.Options{Bootstrap: r.plan.Load.Bootstrap, ClientID: "admin", DialTimeout: 2 * time.Second, RequestTimeout: 10 * time.Second, Negotiate: r.c == nil})
	defer c.Close()
	if r.c == nil {
		if err := c.Refresh(r.e.Mono().Add(foreignMax)); err != nil {
			return fmt.Errorf("no broker of %s answers: %w", strings.Join(r.plan.Load.Bootstrap, ","), err)
		}
		brokers := len(c.Metadata().Brokers)
		r.plan.Brokers = brokers
		r.plan.Replicas = int16(min(int(r.plan.Replicas), brokers))
		r.plan.MinInsync = min(r.plan.MinInsync, int(r.plan.Replicas))
		if r.plan.Retention {
			r.plan.Retention = false // the cluster's own retention is none of ours
		}
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("cluster %s of %d brokers, topic %s with %d replicas", c.Metadata().ClusterID, brokers, r.plan.Load.Topic, r.plan.Replicas))
	}
	specs := r.plan.newTopics()
	if r.c == nil {
		for i := range specs {
			specs[i].Configs = []client.ConfigEntry{{Name: "min.insync.replicas", Value: fmt.Sprint(r.plan.MinInsync)}}
		}
	}
	return client.NewAdmin(c).CreateTopics(r.plan.ReadyBy, specs...)
}

// settleTransactions waits until every transaction has ended, by its producer or by its time-out: until what read_committed
// consumers may read ends where the log does.
func (r *realRun) settleTransactions() bool {
	timeout := r.plan.Load.Txns.Timeout
	if timeout == 0 {
		return true
	}
	r.say("transactions end")
	c := client.New(r.e, client.Options{Bootstrap: r.plan.Load.Bootstrap, ClientID: "settle", DialTimeout: 2 * time.Second, RequestTimeout: 5 * time.Second, Negotiate: r.c == nil})
	defer c.Close()
	admin := client.NewAdmin(c)
	return r.until("transactions to end", 2*timeout+20*time.Second, func() bool {
		for _, t := range r.plan.newTopics() {
			for p := range t.Partitions {
				tp := wire.TopicPartition{Topic: t.Name, Partition: p}
				stable, err := admin.ListOffsets(tp, client.Latest, true, 2*time.Second)
				if err != nil {
					return false
				}
				if end, err := admin.ListOffsets(tp, client.Latest, false, 2*time.Second); err != nil || stable.Offset < end.Offset {
					return false
				}
			}
		}
		return true
	})
}

// interrupted ends the run if somebody wants it to, or a process panicked.
func (r *realRun) interrupted() bool {
	if r.o.Processes != nil {
		if name, _ := r.o.Processes.Panicked(); name != "" {
			return true
		}
	}
	why, verdict := r.o.Interrupted()
	if why == "" {
		return false
	}
	r.end(verdict, why)
	return true
}

// lookPause is the time between two looks at what a phase waits for.
const lookPause = 20 * time.Millisecond

// advance waits for the instant; false if the run is over before.
func (r *realRun) advance(to env.Instant) bool {
	for r.e.Mono() < to {
		if r.interrupted() {
			return false
		}
		r.e.Sleep(min(lookPause, to.Sub(r.e.Mono())))
	}
	return !r.interrupted()
}

// until waits for pred, and ends the run as not live if it does not hold within the time.
func (r *realRun) until(what string, within time.Duration, pred func() bool) bool {
	deadline := r.e.Mono().Add(within)
	for {
		if r.interrupted() {
			return false
		}
		if pred() {
			return true
		}
		if r.e.Mono() >= deadline {
			why := ""
			if r.view != nil {
				if missing := r.view.converged(); missing != "" {
					why = "; " + missing
				}
			}
			r.end(reports.Liveness, fmt.Sprintf("waited %s for %s%s", within, what, why))
			return false
		}
		r.e.Sleep(lookPause)
	}
}

// converge waits until the healed cluster is well.
func (r *realRun) converge() bool {
	began := r.e.Mono()
	if r.c != nil {
		r.say("the cluster converges")
		if !r.until("the healed cluster to converge", r.plan.ConvergeMax, func() bool { return r.view.converged() == "" }) {
			return false
		}
	}
	r.report.Converged = r.e.Mono().Sub(began)
	return true
}

// drain reads everything back with a fresh client.
func (r *realRun) drain() {
	r.say("everything is read back")
	err, done := errors.New("not finished"), false
	r.e.Go("drain", func() {
		r.load.Drain(r.plan.DrainMax, func(e error) {
			r.mu.Lock()
			err, done = e, true
			r.mu.Unlock()
		})(r.e)
	})
	ok := r.until("the final drain", r.plan.DrainMax+10*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return done
	})
	if ok && err != nil {
		r.end(reports.Liveness, err.Error())
	}
}
