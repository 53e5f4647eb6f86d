package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	"barnabas/faults"
	"barnabas/faults/nemesis"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios/workload"
	"barnabas/sim/rng"
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

func (r *realRun) changes() faults.Changes {
	c := faults.Changes{}
	if r.o.Schedule != nil {
		c = r.o.Schedule.Header.Changes
	}
	c.Brokers = cmp.Or(r.o.Brokers, c.Brokers)
	if r.o.For > 0 {
		c.Heal = r.plan.HealAt
	}
	return c
}

// realPlan draws a seed's plan for the real world.
func realPlan(o RealOptions) *Plan {
	p := drawPlan(o.Scenario, o.Seed)
	p.ReadyBy, p.ConvergeMax = max(p.ReadyBy, 30*time.Second), max(p.ConvergeMax, 60*time.Second)
	if o.Scenario.Real != nil {
		o.Scenario.Real(p)
	}
	if o.Schedule != nil {
		p.change(o.Schedule.Header.Changes)
	}
	if o.Schedule != nil && o.Schedule.Header.Changes.Beyond > 0 {
		p.goBeyond()
	}
	if o.Brokers > 0 {
		p.brokers(o.Brokers)
		p.Replicas = int16(min(int(p.Replicas), p.Brokers))
		p.MinInsync = min(p.MinInsync, int(p.Replicas))
	}
	if o.For > 0 {
		p.last(o.For)
	}
	if o.Processes == nil {
		p.Load.Topic, p.Load.Negotiate = o.Topic, true
		p.Load.Begin = 0
		p.Operators, p.Churn = nil, Churn{}
		p.Least = Least{Acked: p.Least.Acked, Read: p.Least.Read, Transactions: p.Least.Transactions, Processed: p.Least.Processed}
	}
	return p
}

// last makes faults and load last for d, and what is expected of the run fit that.
func (p *Plan) last(d time.Duration) {
	whole := p.HealAt - p.Faults.Start
	p.HealAt = p.Faults.Start + d
	p.Faults.End = p.HealAt
	if d >= whole {
		return
	}
	part := float64(d) / float64(whole)
	p.Least.ISRChanges, p.Least.Elections, p.Least.Racks = 0, 0, 0 // what leads to them may be planned for later
	for _, n := range []*int{&p.Least.Acked, &p.Least.Read, &p.Least.Commits, &p.Least.Owned, &p.Least.Operations, &p.Least.Transactions, &p.Least.Processed} {
		if *n > 0 {
			*n = max(1, int(float64(*n)*part/2)) // half: a short run begins slowly
		}
	}
}

// RealBudget is how long a run takes at most: each of its phases is bounded.
func RealBudget(o RealOptions) time.Duration {
	p := realPlan(o)
	return 2*p.ReadyBy + (p.HealAt - p.Faults.Start) + p.ConvergeMax + p.Settled + p.endMax() + retentionRest + 2*p.Load.Txns.Timeout + 20*time.Second + p.DrainMax + 40*time.Second
}

// endMax bounds the end of the clients.
func (p *Plan) endMax() time.Duration { return 2*p.Load.DeliveryTimeout + 10*time.Second }

// RealBrokers is how many brokers the run will have.
func RealBrokers(o RealOptions) int { return realPlan(o).Brokers }

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
	if why := stranger(r.schedule, r.plan.Brokers); why != "" {
		r.errs = append(r.errs, errors.New(why))
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

// end sets the verdict unless one stands.
func (r *realRun) end(v reports.Verdict, why string) {
	if r.report.Verdict == "" {
		r.report.Verdict, r.report.Reason = v, why
	}
}

// finish ends the clients, whatever state they are in, and what else of the run still goes on. It leaves the processes.
func (r *realRun) finish() {
	r.load.Stop()
	r.mu.Lock()
	lives := make([]Life, 0, len(r.lives))
	for _, life := range r.lives { // unordered: all are killed
		lives = append(lives, life)
	}
	r.mu.Unlock()
	for _, life := range lives {
		life.Kill()
	}
	if r.view != nil {
		r.view.stop()
	}
	r.timers.stop()
	if r.c == nil && r.created && r.report.Verdict == "" {
		c := client.New(r.e, client.Options{Bootstrap: r.plan.Load.Bootstrap, ClientID: "admin", DialTimeout: 2 * time.Second, RequestTimeout: 10 * time.Second, Negotiate: true})
		defer c.Close()
		if err := client.NewAdmin(c).DeleteTopics(10*time.Second, r.plan.topicNames()...); err != nil {
			r.report.Notes = append(r.report.Notes, fmt.Sprintf("topic %s is still there: %v", r.plan.Load.Topic, err))
		}
	}
}

// judge decides the verdict and completes the record, in the order of precedence that the simulated world has.
func (r *realRun) judge() {
	p := r.report
	p.Virtual = time.Duration(r.e.Mono())
	r.mu.Lock()
	errs := r.errs
	r.mu.Unlock()
	if len(errs) > 0 {
		r.end(reports.Error, errs[0].Error())
	}
	r.account()
	drained := r.created && len(r.recorder.History.Drains) == r.load.Drains()
	if r.created {
		if unknown := judgeHistory(p, &r.recorder.History, drained); unknown != "" {
			r.end(reports.Error, unknown)
		}
	}
	if drained && p.Verdict == "" {
		r.compareLogs()
	}
	if r.created && r.plan.meetExpectation(p) {
		r.end(reports.Vacuous, "it was expected to fail, and did not")
	}
	if len(p.Failures) > 0 {
		p.Verdict, p.Reason = reports.Safety, p.Failures[0].ID+": "+p.Failures[0].Message
	}
	if r.o.Processes != nil {
		if name, stack := r.o.Processes.Panicked(); name != "" {
			first, _, _ := strings.Cut(stack, "\n")
			p.Verdict, p.Reason, p.Stack = reports.Crash, name+": "+first, stack
		}
	}
	if p.Verdict == "" {
		p.Verdict = reports.Pass
		if why := vacuous(r.plan, p, r.load.Counts(), r.operated, r.o.Schedule != nil); why != "" {
			p.Verdict, p.Reason = reports.Vacuous, why
		}
	}
}

// account fills in what happened.
func (r *realRun) account() {
	p, c := r.report, r.load.Counts()
	p.Counts = reports.Counts{OK: c.OK, Failed: c.Failed, Unknown: c.Unknown, RecordsAcked: c.RecordsAcked, RecordsRead: c.RecordsRead, RecordsDrained: c.RecordsDrained}
	for _, s := range r.slices {
		p.Slices = append(p.Slices, s.summary())
	}
	if r.c == nil {
		return
	}
	r.mu.Lock()
	p.Nodes = r.nodes
	r.mu.Unlock()
	sort.SliceStable(p.Nodes, func(i, j int) bool { return p.Nodes[i].At < p.Nodes[j].At })
	r.view.account(p)
	if r.nemesis != nil {
		tellFaults(p, r.nemesis, &r.recorder, r.world.struck)
		p.Measures = r.measure()
	}
}
