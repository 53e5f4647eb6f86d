package bench

import (
	"context"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/reports/load"
	sim "barnabas/sim/cluster"
	"barnabas/sim/cpu"
)

// simulate does one repetition at one rate, in a world of its own.
func simulate(ctx context.Context, w *Workload, o SimOptions, rate float64, seed uint64) (*load.Repetition, error) {
	c := newSimCluster(w, &o, seed)
	defer c.w.Close()
	c.w.Start(simZooKeeper)
	for _, b := range c.brokers {
		c.w.Start(b)
	}
	l := newSimLoad(c, w, rate)
	var harness env.Env
	c.w.Go("set-up", func(e env.Env) {
		harness = c.client.Wrap(e)
		l.setUp(harness)
	})
	c.placeZones()
	if err := c.run(ctx, l, func() bool { return l.ready }, time.Minute); err != nil {
		return nil, err
	}
	if entry := w.catchup(); entry != nil {
		if err := c.preload(ctx, l, int64(entry.Backlog)); err != nil {
			return nil, err
		}
	}
	r := &load.Repetition{Started: time.Now().UTC().Truncate(time.Millisecond), Mode: w.Load.Mode, Offered: rate}
	watch := &simWatch{c: c, l: l, r: r}
	var err error
	if w.Load.Mode == "none" {
		err = c.readBacklog(ctx, l, watch)
	} else {
		err = c.measure(ctx, l, watch)
	}
	if ctx.Err() != nil && r.Seconds == 0 {
		return nil, nil
	}
	watch.finish(ctx.Err() != nil)
	return r, err
}

// run goes on until pred holds, at most d of virtual time.
func (c *simCluster) run(ctx context.Context, l *simLoad, pred func() bool, d time.Duration) error {
	deadline := c.w.Now().Add(d)
	for !pred() {
		next := min(deadline, c.w.Now().Add(50*time.Millisecond))
		switch outcome := c.w.RunUntil(pred, next); {
		case len(c.w.Crashes()) > 0:
			return fmt.Errorf("the simulated cluster broke: %s", c.w.Crashes()[0])
		case c.broken != nil:
			return c.broken
		case l.failed != nil:
			return l.failed
		case ctx.Err() != nil:
			return ctx.Err()
		case outcome == sim.Satisfied:
			return nil
		case c.w.Now() >= deadline:
			return fmt.Errorf("the simulated cluster did not come as far within %s: %s", d, c.w.Stuck())
		case outcome == sim.Deadlock || outcome == sim.Finished:
			return fmt.Errorf("the simulated cluster stands still: %s", c.w.Stuck())
		}
	}
	return nil
}

func (c *simCluster) measure(ctx context.Context, l *simLoad, watch *simWatch) error {
	w := l.w
	from := c.w.Now().Add(time.Duration(w.Phases.Warmup) + 20*time.Millisecond)
	to := from.Add(time.Duration(w.Phases.Measure))
	l.acked.begin(int64(from), int64(to))
	l.seen.begin(int64(from), int64(to))
	c.w.Go("load", func(env.Env) { l.play(l.e, from, to) })
	c.planFault(from)
	if err := c.runTo(ctx, l, from); err != nil {
		return err
	}
	watch.begin()
	for _, o := range w.Consumers {
		if o.Mode == "catchup" {
			c.w.Go("catch-up", func(env.Env) { l.startReaders(o) })
		}
	}
	for at := from; at < to; {
		at = min(at.Add(time.Duration(w.Phases.Interval)), to)
		if err := c.runTo(ctx, l, at); err != nil {
			return err
		}
		watch.cut()
	}
	if err := c.runTo(ctx, l, to.Add(time.Duration(w.Phases.Cooldown))); err != nil {
		return err
	}
	want := func() int64 {
		n := int64(0)
		for _, o := range w.Consumers {
			n += int64(o.Fanout)
		}
		return n
	}()
	l.stopProducing()
	// What is under way comes through, to the acknowledgement and to the consumers.
	through := func() bool { return l.done && l.inFlight == 0 && (want == 0 || l.seenAll(want)) }
	if err := c.run(ctx, l, through, 15*time.Second); err != nil && !l.done {
		return err
	}
	return nil
}

// stopProducing lets the producers end; the consumers go on.
func (l *simLoad) stopProducing() { l.halt = true }

// seenAll reports whether every record that was meant for the stretch has reached all its readers.
func (l *simLoad) seenAll(readers int64) bool {
	return l.seen.count() >= readers*l.acked.count()
}

func (c *simCluster) runTo(ctx context.Context, l *simLoad, at env.Instant) error {
	return c.run(ctx, l, func() bool { return c.w.Now() >= at }, at.Sub(c.w.Now())+time.Second)
}

// preload writes the backlog of catch-up readers.
func (c *simCluster) preload(ctx context.Context, l *simLoad, bytes int64) error {
	l.acked.begin(0, 1<<62)
	c.w.Go("backlog", func(env.Env) { l.closed(bytes) })
	if err := c.run(ctx, l, func() bool { return l.done && l.inFlight == 0 }, 10*time.Minute); err != nil {
		return fmt.Errorf("backlog: %w", err)
	}
	for _, e := range l.acked.errorCounts() {
		return fmt.Errorf("backlog: %d records: %s", e.Count, e.Error)
	}
	l.done, l.sent, l.written = false, 0, 0
	asked := false
	c.w.Go("ends", func(env.Env) { l.failed = l.findEnds(); asked = true })
	return c.run(ctx, l, func() bool { return asked }, time.Minute)
}

func (c *simCluster) readBacklog(ctx context.Context, l *simLoad, watch *simWatch) error {
	flow, _ := l.acked.total(1)
	o := *l.w.catchup()
	l.seen.begin(int64(c.w.Now()), 1<<62)
	watch.begin()
	c.w.Go("catch-up", func(env.Env) { l.startReaders(o) })
	want := flow.Records * int64(o.Fanout)
	all := func() bool { return l.read >= want }
	for limit := c.w.Now().Add(10 * time.Minute); !all(); {
		next := c.w.Now().Add(time.Duration(l.w.Phases.Interval))
		if err := c.run(ctx, l, func() bool { return all() || c.w.Now() >= next }, time.Duration(l.w.Phases.Interval)+time.Second); err != nil {
			return err
		}
		watch.cut()
		if c.w.Now() > limit {
			return fmt.Errorf("%d of %d records were read in 10 minutes", l.read, want)
		}
	}
	return nil
}

// planFault arms the scenario's fault for the stretch that begins at from.
func (c *simCluster) planFault(from env.Instant) {
	c.from = from
	if c.o.Scenario == "" {
		return
	}
	measure := float64(c.workload.Phases.Measure)
	at := from.Add(time.Duration(faultAfter * measure))
	heal := from.Add(time.Duration((faultAfter + faultLasts) * measure))
	victim := ""
	c.w.At(at, func() {
		if victim = c.victim(); victim == "" {
			c.event("error", "no broker leads partition 0: nothing was done")
			return
		}
		if c.o.Scenario == "leader-pause" {
			c.w.Pause(victim)
			c.event("fault", victim+" stands still")
			return
		}
		c.w.Crash(victim)
		c.event("fault", victim+" is killed")
	})
	c.w.At(heal, func() {
		switch {
		case victim == "":
		case c.o.Scenario == "leader-pause":
			c.w.Resume(victim)
			c.event("heal", victim+" goes on")
		default:
			c.w.Start(victim)
			c.event("heal", victim+" starts again")
		}
	})
}

// victim is the broker that leads partition 0, or for follower-down one that does not.
func (c *simCluster) victim() string {
	for i, name := range c.brokers {
		if (c.leads == int32(i+1)) == (c.o.Scenario != "follower-down") {
			return name
		}
	}
	return ""
}

// simWatch takes the samples of a simulated repetition.
type simWatch struct {
	c        *simCluster
	l        *simLoad
	r        *load.Repetition
	at, from env.Instant
	first, b cpu.Use // of the brokers: at the start, at the last cut
	client   cpu.Use
	cl       cpu.Use
}

func (s *simWatch) begin() {
	s.l.times.fetch.reset()
	s.l.times.commit.reset()
	s.from = s.c.w.Now()
	s.at = s.from
	s.first, s.client = s.c.usage(), s.c.client.Use()
	s.b, s.cl = s.first, s.client
}

func (s *simWatch) cut() {
	now := s.c.w.Now()
	seconds := now.Sub(s.at).Seconds()
	if seconds <= 0 {
		return
	}
	i := load.Interval{At: s.at.Sub(s.from).Seconds(), Seconds: seconds}
	i.Produced, i.Produce, i.Errors = s.l.acked.cut(seconds)
	var failed int64
	i.Consumed, i.EndToEnd, failed = s.l.seen.cut(seconds)
	i.Errors += failed
	i.Fetch, i.Commit = s.l.times.fetch.cut(), s.l.times.commit.cut()
	b, cl := s.c.usage(), s.c.client.Use()
	i.BrokerCPU, i.ClientCPU = (b.CPU-s.b.CPU).Seconds()/seconds, (cl.CPU-s.cl.CPU).Seconds()/seconds
	i.BrokerNet, i.BrokerDsk = float64(b.NetIn+b.NetOut-s.b.NetIn-s.b.NetOut)/1e6/seconds, float64(b.FileOut-s.b.FileOut)/1e6/seconds
	s.b, s.cl, s.at = b, cl, now
	s.r.Seconds = now.Sub(s.from).Seconds()
	s.r.Intervals = append(s.r.Intervals, i)
}

// finish makes the totals.
func (s *simWatch) finish(interrupted bool) {
	r, l := s.r, s.l
	if r.Mode != "none" {
		r.Produced, r.Produce = l.acked.total(r.Seconds)
	}
	r.Consumed, r.EndToEnd = l.seen.total(r.Seconds)
	if r.Mode == "none" {
		r.EndToEnd = load.NewLatency() // the age of a backlog is no latency
	}
	r.Fetch, r.Commit = l.times.fetch.total(), l.times.commit.total()
	r.Blocked, r.Unfinished = l.blocked.Seconds(), l.inFlight
	r.Brokers = load.Usage{Processes: len(s.c.brokers), Seconds: r.Seconds, CPUSeconds: (s.b.CPU - s.first.CPU).Seconds(), WroteBytes: s.b.FileOut - s.first.FileOut,
		NetIn: s.b.NetIn - s.first.NetIn, NetOut: s.b.NetOut - s.first.NetOut}
	r.Client = load.Usage{Processes: 1, Seconds: r.Seconds, CPUSeconds: (s.cl.CPU - s.client.CPU).Seconds()}
	r.Errors = append(l.acked.errorCounts(), l.seen.errorCounts()...)
	r.Events = s.c.events
	r.Fault = faultCost(r)
	if r.Blocked > 0 && r.Mode == "open" {
		r.Caveats = append(r.Caveats, fmt.Sprintf("the cluster could not keep up: for %.1f s the client's buffer was full", r.Blocked))
	}
	if r.Unfinished > 0 && !interrupted {
		r.Caveats = append(r.Caveats, fmt.Sprintf("%d records were not answered 15 s after the end; their latency is missing", r.Unfinished))
	}
}
