package scenarios

import (
	"slices"

	"barnabas/broker/env"
)

// realTimers calls back at real times, from one task (nemesis.Timers).
type realTimers struct {
	e       env.Env
	mu      env.Mutex
	changed env.Cond
	due     []timer // by time, then by the order they were set in
	stopped bool
}

type timer struct {
	at env.Instant
	f  func()
}

func newRealTimers(e env.Env) *realTimers {
	mu := e.NewMutex()
	t := &realTimers{e: e, mu: mu, changed: e.NewCond(mu)}
	e.Go("timers", t.run)
	return t
}

// Now is the present.
func (t *realTimers) Now() env.Instant { return t.e.Mono() }

// At calls f at that time, or as soon as may be. After stop it does nothing.
func (t *realTimers) At(at env.Instant, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.due, func(o timer) bool { return o.at > at })
	if i < 0 {
		i = len(t.due)
	}
	t.due = slices.Insert(t.due, i, timer{at, f})
	t.changed.Broadcast()
}

// do calls f from the timers' task and returns when it has; after stop, it calls it from the caller's.
func (t *realTimers) do(f func()) {
	done := false
	call := func() {
		f()
		t.mu.Lock()
		done = true
		t.changed.Broadcast()
		t.mu.Unlock()
	}
	t.At(t.e.Mono(), call)
	t.mu.Lock()
	defer t.mu.Unlock()
	for !done && !t.stopped {
		t.changed.Wait()
	}
}

// stop ends the task; what was due later is not called.
func (t *realTimers) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	t.changed.Broadcast()
}

func (t *realTimers) run() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.stopped {
		if len(t.due) == 0 {
			t.changed.Wait()
			continue
		}
		next := t.due[0]
		if t.e.Mono() < next.at {
			t.changed.WaitUntil(next.at)
			continue
		}
		t.due = t.due[1:]
		t.mu.Unlock()
		next.f()
		t.mu.Lock()
	}
}
