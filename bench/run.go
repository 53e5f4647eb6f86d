package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sort"
	"time"

	"barnabas/reports/load"
)

// Options are what a run needs besides its workload.
type Options struct {
	Bootstrap  string
	Label      string                           // whose cluster; by default its address
	AllowNoise bool                             // other processes' CPU is a caveat, not a reason to void
	Pids       []int                            // of broker processes, where they are not found by their ports
	GCLogs     []string                         // the brokers' garbage collection logs, for marks in the plots
	Scenario   *Scenario                        // a fault in the middle of each repetition; nil: none
	Say        func(format string, args ...any) // progress, a line each; may be nil
}

// Run measures a workload against a cluster. When ctx ends, what is done so far is returned, marked. An error means that
// there is no measurement: the cluster cannot be reached, the topic is another, the client cannot be made.
func Run(ctx context.Context, w *Workload, o Options) (*load.Run, error) {
	s, err := newSession(ctx, w, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for n := range w.Phases.Repetitions {
		for _, rate := range w.rates() {
			if err := s.repeat(ctx, rate, n); err != nil {
				return s.run, err
			}
			if s.run.Interrupted {
				return s.run, nil
			}
		}
	}
	return s.run, nil
}

// session is one cluster and one workload, for as many repetitions as its user likes.
type session struct {
	w       *Workload
	o       Options
	cluster *cluster
	run     *load.Run
	clock   clock
	kept    *stage // of catch-up reads: one backlog for all repetitions
	sockets *sockets
}

func newSession(ctx context.Context, w *Workload, o Options) (*session, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	c, err := connect(ctx, o.Bootstrap)
	if err != nil {
		return nil, err
	}
	if len(o.Pids) > 0 {
		c.pids, c.info.Local = o.Pids, nil
		for _, pid := range o.Pids {
			c.info.Local = append(c.info.Local, commandLine(pid))
		}
	}
	if o.Label == "" {
		o.Label = o.Bootstrap
	}
	s := &session{w: w, o: o, cluster: c, clock: newClock(), sockets: newSockets(portsOf(c.addrs))}
	s.run = &load.Run{Workload: w.Name, Title: w.Title, Question: w.Question, Label: o.Label, Started: time.Now().UTC().Truncate(time.Millisecond),
		Settings: w.YAML(), Target: c.info, Machine: thisMachine()}
	// The pacing thread and the network's goroutines must not wait for each other inside Go's scheduler: the kernel's is fairer.
	runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	return s, nil
}

func (s *session) close() {
	if s.kept != nil {
		s.kept.close()
	}
	s.cluster.close()
}

// repeat does one repetition and adds it to the run.
func (s *session) repeat(ctx context.Context, rate float64, n int) error {
	r, err := s.measure(ctx, rate)
	if ctx.Err() != nil {
		s.run.Interrupted = true
		if r != nil && r.Seconds > 0 {
			r.Caveats = append(r.Caveats, fmt.Sprintf("interrupted: %.1f s were measured", r.Seconds))
			s.run.Repetitions = append(s.run.Repetitions, *r)
			s.o.Say("%s", Line(s.run.Label, n+1, r))
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.run.Repetitions = append(s.run.Repetitions, *r)
	s.o.Say("%s", Line(s.run.Label, n+1, r))
	return nil
}

// Line is a repetition in one line.
func Line(label string, n int, r *load.Repetition) string {
	text := fmt.Sprintf("%s #%d", label, n)
	if r.Offered > 0 {
		text += fmt.Sprintf(" %.0f/s offered", r.Offered)
	}
	if r.Produced.Records > 0 {
		text += fmt.Sprintf(" | produced %.0f/s %.1f MB/s, p50 %s p99 %s p99.9 %s", r.Produced.Rate(), r.Produced.MBs(), micros(r.Produce.At(50)), micros(r.Produce.At(99)), micros(r.Produce.At(99.9)))
	}
	if r.Consumed.Records > 0 {
		text += fmt.Sprintf(" | consumed %.0f/s %.1f MB/s", r.Consumed.Rate(), r.Consumed.MBs())
	}
	if r.EndToEnd.Count() > 0 {
		text += fmt.Sprintf(" | end to end p50 %s p99 %s p99.9 %s", micros(r.EndToEnd.At(50)), micros(r.EndToEnd.At(99)), micros(r.EndToEnd.At(99.9)))
	}
	if r.Commit.Count() > 0 {
		text += fmt.Sprintf(" | commit p50 %s p99 %s", micros(r.Commit.At(50)), micros(r.Commit.At(99)))
	}
	if r.Brokers.Processes > 0 {
		text += fmt.Sprintf(" | broker %.2f s/GB, %.2f cores, %.0f MB", r.CPUPerGB(), r.Brokers.Cores(), float64(r.Brokers.RSSMax)/1e6)
	}
	if r.Slip.Count() > 0 {
		text += fmt.Sprintf(" | slip p50 %.1f p99 %.1f µs", float64(r.Slip.At(50))/1e3, float64(r.Slip.At(99))/1e3)
	}
	if f := r.Fault; f != nil {
		text += "\n  " + f.Sentence()
	}
	for _, e := range r.Errors {
		text += fmt.Sprintf("\n  %d errors: %s", e.Count, e.Error)
	}
	for _, v := range r.Void {
		text += "\n  VOID: " + v
	}
	for _, c := range r.Caveats {
		text += "\n  note: " + c
	}
	return text
}

func micros(us int64) string {
	if us < 10_000 {
		return fmt.Sprintf("%d µs", us)
	}
	if us < 1e6 {
		return fmt.Sprintf("%.1f ms", float64(us)/1000)
	}
	return fmt.Sprintf("%.2f s", float64(us)/1e6)
}

// measure does one repetition at one rate.
func (s *session) measure(ctx context.Context, rate float64) (*load.Repetition, error) {
	if s.w.Load.Mode == "none" {
		return s.measureCatchup(ctx)
	}
	st, err := s.newStage(ctx)
	if err != nil {
		return nil, err
	}
	defer st.close()
	r := &load.Repetition{Mode: s.w.Load.Mode, Offered: rate}
	seen := newMeter()
	times := &st.times
	readers, err := s.startReaders(ctx, st, seen, true)
	if err != nil {
		return nil, err
	}
	stopReaders := func() {
		for _, c := range readers {
			c.stop()
		}
	}
	defer stopReaders()
	g := st.generator
	from := s.clock.now() + int64(s.w.Phases.Warmup) + int64(50*time.Millisecond)
	to := from + int64(s.w.Phases.Measure)
	g.begin(from, to)
	seen.begin(from, to)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	start := s.clock.now() + int64(20*time.Millisecond)
	go func() {
		defer close(ended)
		if r.Mode == "open" {
			g.open(sending, newArrivals(s.w.Load.Arrivals, s.w.rate(rate, from-start), rand.New(rand.NewPCG(7, uint64(rate)))), start)
		} else {
			g.closed(sending, 0)
		}
	}()
	s.sleepUntil(ctx, from)
	times.fetch.reset()
	times.commit.reset()
	traces := goTraces(s.cluster.pids)
	watch := newWatch(s, r, g.acked, seen)
	watch.times = times
	behind, err := s.startReaders(ctx, st, seen, false) // those that catch up do so while it is measured
	if readers = append(readers, behind...); err != nil {
		return nil, err
	}
	stopEvents := s.watchEvents(ctx, st.topic, from)
	fault := s.startScenario(ctx, st.topic, from)
	for at := from; at < to && ctx.Err() == nil; {
		at = min(at+int64(s.w.Phases.Interval), to)
		s.sleepUntil(ctx, at)
		watch.cut()
	}
	watch.end()
	stretch := float64(min(watch.at, to)-from) / 1e9 // of the schedule; the samples may begin and end late
	s.sleepUntil(ctx, to+int64(s.w.Phases.Cooldown))
	stop()
	<-ended
	st.endTransactions()
	r.Unfinished = g.drain(15 * time.Second)
	fault.wait()
	r.Events = append(append(stopEvents(), fault.take()...), brokerCollections(s.o.GCLogs, traces, watch.began, r.Seconds)...)
	sort.SliceStable(r.Events, func(i, j int) bool { return r.Events[i].At < r.Events[j].At })
	s.finish(r, stretch, g, seen, readers, times)
	return r, nil
}

// startReaders starts the consumers of one mode.
func (s *session) startReaders(ctx context.Context, st *stage, m *meter, tail bool) (list []*consumers, err error) {
	for _, o := range s.w.Consumers {
		if (o.Mode == "tail") != tail {
			continue
		}
		src, err := st.source(ctx, tail)
		var c *consumers
		if err == nil {
			c, err = startConsumers(context.WithoutCancel(ctx), s.clock, src, o, m, &st.times)
		}
		if err != nil {
			for _, c := range list {
				c.stop()
			}
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// finish takes what came late, makes the totals and judges; the schedule was followed for stretch seconds.
func (s *session) finish(r *load.Repetition, stretch float64, g *generator, seen *meter, readers []*consumers, times *requestTimes) {
	r.Produced, r.Produce = g.acked.total(stretch)
	if len(readers) > 0 {
		want := int64(0)
		for _, o := range s.w.Consumers {
			want += int64(o.Fanout) * r.Produce.Count()
		}
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if r.Consumed, r.EndToEnd = seen.total(stretch); r.EndToEnd.Count() >= want {
				break
			}
		}
		if n := want - r.EndToEnd.Count(); n > 0 {
			r.Caveats = append(r.Caveats, fmt.Sprintf("%d records had not reached their consumers five seconds after the end: the consumers lag, and the end-to-end figures leave these out", n))
		}
	}
	r.Fetch, r.Commit = times.fetch.total(), times.commit.total()
	g.mu.Lock()
	r.Slip = load.NewSlip()
	r.Slip.Add(g.slip)
	r.Blocked = float64(g.blocked) / 1e9
	g.mu.Unlock()
	r.Errors = append(g.acked.errorCounts(), seen.errorCounts()...)
	r.Fault = faultCost(r)
	judge(r, s.w.meant(r.Offered, stretch), s.o.AllowNoise)
}

// measureCatchup lets consumers read the backlog, with nobody writing.
func (s *session) measureCatchup(ctx context.Context) (*load.Repetition, error) {
	if s.kept == nil {
		st, err := s.newStage(ctx)
		if err != nil {
			return nil, err
		}
		s.kept = st
		if s.w.Phases.Warmup > 0 {
			if _, err := s.readBacklog(ctx, st); err != nil {
				return nil, err
			}
		}
	}
	return s.readBacklog(ctx, s.kept)
}

var errStuck = errors.New("catch-up: no record came for 30 seconds")

func (s *session) readBacklog(ctx context.Context, st *stage) (*load.Repetition, error) {
	r := &load.Repetition{Mode: "none"}
	seen := newMeter()
	o := *s.w.catchup()
	from := s.clock.now()
	seen.begin(from, 1<<62)
	st.times.fetch.reset()
	st.times.commit.reset()
	traces := goTraces(s.cluster.pids)
	watch := newWatch(s, r, nil, seen)
	watch.times = &st.times
	src, err := st.source(ctx, false)
	if err != nil {
		return nil, err
	}
	c, err := startConsumers(ctx, s.clock, src, o, seen, &st.times)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	want := st.backlog * int64(o.Fanout)
	last, lastAt, cutAt := int64(0), s.clock.now(), from
	for ctx.Err() == nil && c.read.Load() < want {
		time.Sleep(200 * time.Microsecond)
		now := s.clock.now()
		if n := c.read.Load(); n != last {
			last, lastAt = n, now
		} else if now-lastAt > int64(30*time.Second) {
			return nil, fmt.Errorf("%w: %d of %d", errStuck, n, want)
		}
		if now-cutAt >= int64(s.w.Phases.Interval) {
			watch.cut()
			cutAt = now
		}
	}
	watch.cut()
	watch.end()
	r.Events = brokerCollections(s.o.GCLogs, traces, watch.began, r.Seconds)
	r.Consumed, _ = seen.total(r.Seconds)
	r.Fetch, r.Commit = st.times.fetch.total(), st.times.commit.total()
	r.Errors = seen.errorCounts()
	judge(r, 0, s.o.AllowNoise)
	return r, nil
}

func (s *session) sleepUntil(ctx context.Context, at int64) {
	timer := time.NewTimer(time.Duration(at - s.clock.now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
