package sched_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/rng"
	"barnabas/sim/sched"
	"barnabas/sim/trace"
)

type world struct {
	*sched.Scheduler
	log    *trace.Log
	panics []sched.Panic
}

func newWorld(seed uint64, policy string) *world {
	src := rng.New(seed)
	w := &world{log: trace.New(trace.Options{Last: 100000})}
	var p sched.Policy
	switch policy {
	case "fifo":
		p = sched.FIFO()
	case "random":
		p = sched.Random(src.Stream("policy"), 4)
	case "priority":
		p = sched.Priority(src.Stream("policy"), 20)
	}
	w.Scheduler = sched.New(sched.Options{
		Policy: p, Rand: src.Stream("wake"), Trace: w.log, StepCost: 100, Spurious: 50,
		OnPanic: func(p sched.Panic) { w.panics = append(w.panics, p); w.Kill(p.Group) },
	})
	return w
}

var policies = []string{"fifo", "random", "priority"}

// workload lets tasks count under a mutex with scheduling points in between, and returns what went wrong.
func workload(w *world, tasks, rounds int) (faults *int, done *int) {
	faults, done = new(int), new(int)
	g := w.NewGroup("n", nil)
	m := w.NewMutex()
	inside := 0
	for i := range tasks {
		w.Go(g, fmt.Sprint("t", i), func() {
			for range rounds {
				m.Lock()
				inside++
				w.Point()
				if inside != 1 {
					*faults++
				}
				inside--
				m.Unlock()
			}
			*done++
		})
	}
	return faults, done
}

// Goal: a mutex excludes, and nobody starves, under every policy.
func TestMutexExcludes(t *testing.T) {
	for _, policy := range policies {
		for seed := range uint64(20) {
			w := newWorld(seed, policy)
			faults, done := workload(w, 5, 50)
			if r := w.Run(env.Never, nil); r != sched.Finished || *done != 5 || *faults != 0 {
				t.Errorf("%s seed %d: %v, %d of 5 done, %d faults", policy, seed, r, *done, *faults)
			}
		}
	}
}

// Goal: the seed decides the interleaving, and nothing else does. Method: hash twice, on another GOMAXPROCS and beside
// other worlds.
func TestSameSeedSameHash(t *testing.T) {
	hash := func(seed uint64, policy string) uint64 {
		w := newWorld(seed, policy)
		workload(w, 5, 50)
		w.Run(env.Never, nil)
		return w.log.Hash()
	}
	for _, policy := range policies {
		seen := map[uint64]bool{}
		for seed := range uint64(20) {
			want := hash(seed, policy)
			seen[want] = true
			old := runtime.GOMAXPROCS(1)
			got := hash(seed, policy)
			runtime.GOMAXPROCS(old)
			beside := make(chan uint64, 4)
			for range cap(beside) {
				go func() { beside <- hash(seed, policy) }()
			}
			for range cap(beside) {
				if h := <-beside; h != want || got != want {
					t.Fatalf("%s seed %d: hashes %x %x %x", policy, seed, want, got, h)
				}
			}
		}
		if min := map[string]int{"fifo": 1, "random": 20, "priority": 20}[policy]; len(seen) < min {
			t.Errorf("%s: %d different runs of 20 seeds, want %d", policy, len(seen), min)
		}
	}
}

// Goal: the clock jumps to the next timer; sleepers wake in order and in time.
func TestClockJumps(t *testing.T) {
	w := newWorld(1, "random")
	g := w.NewGroup("n", nil)
	var order []string
	for _, d := range []time.Duration{3, 1, 2} {
		w.Go(g, "sleeper", func() {
			w.Sleep(d * time.Hour)
			order = append(order, fmt.Sprint(int64(d), w.Now().Sub(0).Truncate(time.Second)))
		})
	}
	w.At(env.Instant(90*time.Minute), func() { order = append(order, "timer") })
	if r := w.Run(env.Never, nil); r != sched.Finished {
		t.Error(r)
	}
	if got := strings.Join(order, " "); got != "1 1h0m0s timer 2 2h0m0s 3 3h0m0s" {
		t.Error(got)
	}
}

// Goal: timers fire in the order of their instants, those of one instant in the order they were armed; a disarmed one
// does not fire, a moved one only later. Method: random instants against a sorted list.
func TestTimersFireInOrder(t *testing.T) {
	w := newWorld(1, "fifo")
	r := rng.New(1).Stream("timers")
	type shot struct{ at, n int }
	var want, got []shot
	for n := range 1000 {
		s := shot{r.IntN(50), n}
		timer := w.At(env.Instant(s.at), func() { got = append(got, s) })
		switch r.IntN(4) {
		case 0:
			w.Disarm(timer)
		case 1:
			s.at += 20
			w.Arm(timer, env.Instant(s.at))
			fallthrough
		default:
			want = append(want, s)
		}
	}
	slices.SortStableFunc(want, func(a, b shot) int { return a.at - b.at })
	w.Run(env.Never, nil)
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// Goal: a cond wakes by signal or by deadline, and says which.
func TestCondSignalsAndDeadlines(t *testing.T) {
	for _, policy := range policies {
		for seed := range uint64(50) {
			w := newWorld(seed, policy)
			g := w.NewGroup("n", nil)
			m := w.NewMutex()
			c := m.NewCond()
			tickets, taken, late := 0, 0, 0
			for i := range 4 {
				w.Go(g, fmt.Sprint("waiter", i), func() {
					m.Lock()
					defer m.Unlock()
					for tickets == 0 {
						if !c.WaitUntil(env.Instant(time.Second)) {
							if w.Now() < env.Instant(time.Second) {
								t.Errorf("deadline came at %v", w.Now())
							}
							late++
							return
						}
					}
					tickets--
					taken++
				})
			}
			w.Go(g, "signaller", func() {
				w.Sleep(time.Millisecond)
				for range 2 {
					m.Lock()
					tickets++
					c.Signal()
					m.Unlock()
				}
			})
			if r := w.Run(env.Never, nil); r != sched.Finished || taken != 2 || late != 2 {
				t.Errorf("%s seed %d: %v taken %d late %d", policy, seed, r, taken, late)
			}
		}
	}
}

// Goal: Kill unwinds every task, oldest first, whatever it waits for; their env calls are inert from then on; loops end.
func TestKillUnwindsAndMakesInert(t *testing.T) {
	for _, policy := range policies {
		w := newWorld(3, policy)
		g, other := w.NewGroup("n", nil), w.NewGroup("other", nil)
		m := w.NewMutex()
		c := m.NewCond()
		var list sched.WaitList
		var order []string
		start := func(name string, f func()) {
			w.Go(g, name, func() {
				defer func() {
					order = append(order, name)
					m.Unlock()
					c.Broadcast()
					w.Go(g, "never", func() { t.Error("a dead group started a task") })
				}()
				for {
					f()
				}
			})
		}
		start("sleeps", func() { w.Sleep(time.Hour) })
		start("holds", func() { m.Lock(); w.Sleep(time.Hour) })
		start("locks", func() { w.Sleep(time.Millisecond); m.Lock() })
		start("waits", func() { w.Wait(&list, env.Never, "list") })
		start("spins", func() { w.Sleep(0) })
		start("deadline", func() { w.Wait(&list, env.Instant(2*time.Hour), "list") })
		alive := 0
		w.Go(other, "alive", func() { w.Sleep(2 * time.Second); alive++ })
		w.Run(env.Instant(10*time.Millisecond), nil)
		w.Kill(g)
		if got := strings.Join(order, " "); got != "sleeps holds locks waits spins deadline" {
			t.Errorf("%s: unwound %q", policy, got)
		}
		if !g.Empty() || list.Len() != 0 {
			t.Errorf("%s: tasks or waiters are left", policy)
		}
		if r := w.Run(env.Never, nil); r != sched.Finished || alive != 1 || len(w.panics) != 0 {
			t.Errorf("%s: %v alive %d panics %v", policy, r, alive, w.panics)
		}
	}
}

// Goal: a task may kill its own group, and other tasks of a group may be killed from a task of another one.
func TestKillFromInside(t *testing.T) {
	w := newWorld(3, "random")
	g, h := w.NewGroup("n", nil), w.NewGroup("harness", nil)
	w.Go(g, "sleeper", func() { w.Sleep(time.Hour) })
	w.Go(g, "self", func() {
		w.Sleep(1)
		w.Kill(g)
		w.Point()
		t.Error("it goes on after its death")
	})
	victims := w.NewGroup("victims", nil)
	w.Go(victims, "v", func() { w.Sleep(time.Hour) })
	killed := false
	w.Go(h, "nemesis", func() {
		w.Sleep(time.Millisecond)
		w.Kill(victims)
		killed = victims.Empty()
		w.Point()
	})
	if r := w.Run(env.Never, nil); r != sched.Finished || !killed || w.Now() > env.Instant(time.Second) {
		t.Error(r, killed, w.Now())
	}
}

// Goal: nothing of a paused group runs; its timers are late.
func TestPauseMakesLate(t *testing.T) {
	for _, policy := range policies {
		w := newWorld(3, policy)
		g := w.NewGroup("n", nil)
		ticks, woke := 0, env.Instant(0)
		w.Go(g, "ticker", func() {
			for {
				w.Sleep(time.Millisecond)
				ticks++
			}
		})
		w.Go(g, "sleeper", func() { w.Sleep(10 * time.Millisecond); woke = w.Now() })
		w.Run(env.Instant(5*time.Millisecond+1), nil)
		w.Pause(g)
		before := ticks
		w.Run(env.Instant(time.Second), nil)
		if ticks != before || woke != 0 {
			t.Errorf("%s: a paused task ran", policy)
		}
		w.Resume(g)
		w.Run(env.Instant(2*time.Second), nil)
		if woke < env.Instant(time.Second) || ticks < 900 {
			t.Errorf("%s: woke at %v, %d ticks", policy, woke, ticks)
		}
		w.Pause(g)
		w.Kill(g)
		if !g.Empty() {
			t.Errorf("%s: tasks survive", policy)
		}
	}
}

// Goal: a panic is reported with its stack, and only its own group dies.
func TestPanicIsAVerdict(t *testing.T) {
	w := newWorld(3, "random")
	g, other := w.NewGroup("n", nil), w.NewGroup("other", nil)
	w.Go(g, "bystander", func() {
		defer func() { panic("a dead task's deferred panic is no verdict") }()
		w.Sleep(time.Hour)
	})
	w.Go(g, "culprit", func() { w.Sleep(1); var m map[string]int; m["x"] = 1 })
	ok := false
	w.Go(other, "alive", func() { w.Sleep(time.Second); ok = true })
	r := w.Run(env.Never, nil)
	if r != sched.Finished || !ok || len(w.panics) != 1 {
		t.Fatal(r, ok, w.panics)
	}
	p := w.panics[0]
	if p.Group != g || p.Task != "culprit" || !strings.Contains(string(p.Stack), "TestPanicIsAVerdict") {
		t.Errorf("%s %v\n%s", p.Task, p.Value, p.Stack)
	}
}

// Goal: Run tells a deadlock from an end, and Tasks says who waits for what.
func TestDeadlockIsTold(t *testing.T) {
	w := newWorld(3, "random")
	g := w.NewGroup("n", nil)
	a, b := w.NewMutex(), w.NewMutex()
	w.Go(g, "ab", func() { a.Lock(); w.Sleep(1); b.Lock() })
	w.Go(g, "ba", func() { b.Lock(); w.Sleep(1); a.Lock() })
	if r := w.Run(env.Never, nil); r != sched.Deadlock {
		t.Error(r)
	}
	if got := w.Tasks(); got != "n/ab: waits for mutex\nn/ba: waits for mutex\n" {
		t.Error(got)
	}
	w.Close()
	if r := w.Run(env.Never, nil); r != sched.Finished {
		t.Error(r)
	}
}

// Goal: a task that polls the clock does not hang the world.
func TestPollingTheClockEnds(t *testing.T) {
	for _, policy := range policies {
		w := newWorld(3, policy)
		g := w.NewGroup("n", nil)
		w.Go(g, "poller", func() {
			for {
				w.Tick()
			}
		})
		fired := false
		w.At(env.Instant(time.Millisecond), func() { fired = true })
		if r := w.Run(env.Instant(2*time.Millisecond), nil); r != sched.Reached || !fired {
			t.Error(r, fired)
		}
		w.Close()
	}
}

// Goal: a closed world leaves no goroutines and no memory. Method: count both over many worlds.
func TestClosedWorldsLeaveNothing(t *testing.T) {
	measure := func(n int) (goroutines int, heap uint64) {
		for seed := range uint64(n) {
			w := newWorld(seed, "random")
			workload(w, 5, 1000)
			g := w.NewGroup("n", nil)
			for range 20 {
				data := make([]byte, 10000)
				w.Go(g, "sleeper", func() { w.Sleep(time.Hour); data[0]++ })
			}
			w.Run(env.Instant(time.Microsecond*100), nil)
			w.Close()
		}
		runtime.GC()
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		return runtime.NumGoroutine(), ms.HeapAlloc
	}
	g1, h1 := measure(20)
	g2, h2 := measure(200)
	if g2 > g1 || h2 > h1+2<<20 {
		t.Errorf("goroutines %d → %d, heap %d → %d", g1, g2, h1, h2)
	}
}

// Goal: switching allocates nothing.
func TestSwitchesDoNotAllocate(t *testing.T) {
	w := newWorld(1, "fifo")
	g := w.NewGroup("n", nil)
	for range 2 {
		w.Go(g, "t", func() {
			for {
				w.Sleep(0)
				w.Sleep(10)
			}
		})
	}
	until := env.Instant(time.Millisecond)
	w.Run(until, nil)
	allocs := testing.AllocsPerRun(10, func() { until = until.Add(time.Millisecond); w.Run(until, nil) })
	if allocs > 4 {
		t.Errorf("%.0f allocations per millisecond of thousands of switches", allocs)
	}
	w.Close()
}

func benchmark(b *testing.B, policy sched.Policy, tasks int, call func(s *sched.Scheduler)) {
	s := sched.New(sched.Options{Policy: policy, Rand: rng.New(1).Stream("wake"), Trace: trace.New(trace.Options{}), StepCost: 100})
	g := s.NewGroup("n", nil)
	for range tasks {
		s.Go(g, "t", func() {
			for {
				call(s)
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	s.Run(env.Never, func() bool { return s.Steps() >= uint64(b.N) })
	b.ReportMetric(float64(s.Steps())/b.Elapsed().Seconds()/1e6, "Mpoints/s")
	s.Close()
}

func BenchmarkSwitch(b *testing.B) {
	benchmark(b, sched.FIFO(), 10, func(s *sched.Scheduler) { s.Sleep(0) })
}

func BenchmarkSleep(b *testing.B) {
	benchmark(b, sched.FIFO(), 100, func(s *sched.Scheduler) { s.Sleep(time.Millisecond) })
}

func BenchmarkPoint(b *testing.B) {
	for _, mean := range []int{1, 4, 16} {
		b.Run(fmt.Sprint("random", mean), func(b *testing.B) {
			benchmark(b, sched.Random(rng.New(1).Stream("p"), mean), 10, func(s *sched.Scheduler) { s.Point() })
		})
	}
	b.Run("priority", func(b *testing.B) {
		benchmark(b, sched.Priority(rng.New(1).Stream("p"), 20), 10, func(s *sched.Scheduler) { s.Point() })
	})
}
