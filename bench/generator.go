package bench

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"barnabas/reports/load"
)

// sink takes records. send may return before the record is through; the item's promise tells when it is.
type sink interface{ send(*item) }

// generator sends records to sinks, in turn, and measures how well it kept its own schedule.
type generator struct {
	clock clock
	sinks []sink
	maker *maker
	limit int64 // records held before sending waits
	acked *meter

	inFlight atomic.Int64
	from, to atomic.Int64 // the measured stretch, for the slip

	slip *load.Histogram // of the goroutine that sends; for others once it has ended

	mu      sync.Mutex
	blocked int64 // ns
}

func newGenerator(c clock, topic string, w *Workload, sinks []sink) *generator {
	g := &generator{clock: c, sinks: sinks, acked: newMeter(), slip: load.NewSlip()}
	g.limit = max(1, int64(w.Producers.Buffer/w.maxSize()))
	g.maker = newMaker(topic, w.Records, w.maxSize(), 1, g.done)
	return g
}

func (g *generator) begin(from, to int64) {
	g.acked.begin(from, to)
	g.mu.Lock()
	g.slip.Reset()
	g.blocked = 0
	g.mu.Unlock()
	g.from.Store(from)
	g.to.Store(to)
}

// done is every record's promise.
func (g *generator) done(it *item, err error) {
	if err != nil {
		g.acked.fail(err)
	} else {
		g.acked.add(it.intended, g.clock.now(), len(it.rec.Key)+len(it.rec.Value))
	}
	g.maker.give(it)
	g.inFlight.Add(-1)
}

// open sends on a schedule, until ctx ends. One thread does it for all sinks: pacing spins, and there are few cores.
//
// A record that is late because the client's buffer is full, or because the generator is catching up after that, is the
// cluster's doing: it counts in the latency and in blocked, not in the slip. Every other lateness is the generator's.
func (g *generator) open(ctx context.Context, a *arrivals, start int64) {
	defer lockThread()()
	var ended atomic.Bool // cheaper to ask than a context
	defer context.AfterFunc(ctx, func() { ended.Store(true) })()
	coarse := runtime.NumCPU() < coarseCores && a.rate.gap() < coarseGap
	catchingUp := false
	for i := 0; ; i++ {
		intended := start + a.next()
		now := g.clock.now()
		for intended-now > int64(200*time.Millisecond) { // slow rates must still end
			g.clock.waitUntil(now + int64(100*time.Millisecond))
			if ended.Load() {
				return
			}
			now = g.clock.now()
		}
		if intended > now {
			if coarse {
				g.clock.nap(intended, int64(coarseStep))
			} else {
				g.clock.waitUntil(intended)
			}
			now = g.clock.now()
		}
		if ended.Load() {
			return
		}
		if g.inFlight.Load() >= g.limit {
			catchingUp = true
			if !g.waitForRoom(ctx) {
				return
			}
			now = g.clock.now()
		}
		late := now - intended
		if catchingUp && late < int64(100*time.Microsecond) {
			catchingUp = false
		}
		if !catchingUp && intended >= g.from.Load() && intended < g.to.Load() {
			g.slip.Record(late)
		}
		g.inFlight.Add(1)
		g.sinks[i%len(g.sinks)].send(g.maker.make(intended))
	}
}

func (g *generator) waitForRoom(ctx context.Context) bool {
	began := g.clock.now()
	for g.inFlight.Load() >= g.limit {
		if ctx.Err() != nil {
			return false
		}
		g.clock.waitUntil(g.clock.now() + int64(300*time.Microsecond))
	}
	g.mu.Lock()
	if began >= g.from.Load() && began < g.to.Load() {
		g.blocked += g.clock.now() - began
	}
	g.mu.Unlock()
	return true
}

// closed sends as fast as the sinks take it, with a bounded number of records held, until ctx ends or bytes are sent
// (0: no bound).
func (g *generator) closed(ctx context.Context, bytes int64) {
	var wg sync.WaitGroup
	var sent atomic.Int64
	share := max(1, g.limit/int64(len(g.sinks)))
	for _, s := range g.sinks {
		wg.Go(func() {
			m := newMaker(g.maker.topic, g.maker.shape, Size(g.maker.size), rand.Uint64(), nil)
			held := newTokens(share)
			m.done = func(it *item, err error) {
				if err != nil {
					g.acked.fail(err)
				} else {
					g.acked.add(it.intended, g.clock.now(), len(it.rec.Key)+len(it.rec.Value))
				}
				m.give(it)
				g.inFlight.Add(-1)
				held.put()
			}
			for held.take(ctx) {
				g.inFlight.Add(1)
				it := m.make(g.clock.now())
				n := int64(len(it.rec.Value))
				s.send(it)
				if total := sent.Add(n); bytes > 0 && total >= bytes {
					return
				}
			}
		})
	}
	wg.Wait()
}

// drain waits for what is in flight, and returns how many records never came back.
func (g *generator) drain(within time.Duration) int64 {
	deadline := time.Now().Add(within)
	for g.inFlight.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	return g.inFlight.Load()
}

// tokens bounds how many records a closed loop holds. Its waiter wakes when a quarter is free, not for every record.
type tokens struct {
	mu    sync.Mutex
	cond  *sync.Cond
	free  int64
	wake  int64
	ended bool
}

func newTokens(n int64) *tokens {
	t := &tokens{free: n, wake: max(1, n/4)}
	t.cond = sync.NewCond(&t.mu)
	return t
}

func (t *tokens) take(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == 0 {
		stop := context.AfterFunc(ctx, func() {
			t.mu.Lock()
			t.ended = true
			t.cond.Broadcast()
			t.mu.Unlock()
		})
		defer stop()
		for t.free < t.wake && !t.ended {
			t.cond.Wait()
		}
	}
	if t.ended || ctx.Err() != nil {
		return false
	}
	t.free--
	return true
}

func (t *tokens) put() {
	t.mu.Lock()
	if t.free++; t.free == t.wake {
		t.cond.Signal()
	}
	t.mu.Unlock()
}
