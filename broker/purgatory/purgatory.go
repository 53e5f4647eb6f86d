package purgatory

import (
	"math"
	"sync/atomic"
	"time"

	"barnabas/broker/env"
)

const (
	tick      = time.Millisecond // the wheel's resolution: a deadline is met at most this much late, and never early
	wheelSize = 20
)

// Purgatory watches keys of type K for its waiters. Safe for use by many tasks.
type Purgatory[K comparable] struct {
	room
	lists map[K]*list[K]
}

// room is what does not depend on the type of the keys.
type room struct {
	env     env.Env
	waiting atomic.Int64 // registered waiters; Notify returns at once when there are none

	mu     env.Mutex // guards all below, and the fields of every waiter
	wake   env.Cond  // the driver sleeps on it
	alarm  int64     // the tick the driver sleeps to
	wheel  *wheel
	oldest *Waiter // registered waiters, oldest first, for Close
	newest *Waiter
	closed bool
}

// New makes a purgatory and starts its driver, a task named after it. Close ends the driver.
func New[K comparable](e env.Env, name string) *Purgatory[K] {
	p := &Purgatory[K]{lists: make(map[K]*list[K])}
	p.env = e
	p.mu = e.NewMutex()
	p.wake = e.NewCond(p.mu)
	p.wheel = newWheel(wheelSize, floorTick(e.Mono()))
	p.alarm = noTick
	e.Go(name+"-timer", p.drive)
	return p
}

// Watch registers ready under keys, and asks it (what changed before is not lost), after that once more for each Notify of one of keys,
// until it says yes or the deadline comes. A deadline that has passed still gets the first question. Who can tell at once should do so:
// a waiter costs more than a question.
//
// ready is told which of keys have changed since it was asked last: all of them, the first time. It is never asked by two tasks at once.
// It is called with no lock of the purgatory held, by the caller or by who notifies; it may take partition locks, but must not call
// Notify for its own keys, nor Cancel.
func (p *Purgatory[K]) Watch(keys []K, deadline env.Instant, ready func(changed Set) bool) *Waiter {
	own := &watch[K]{links: links[K]{purgatory: p}}
	w := &own.waiter
	w.room, w.ready = &p.room, ready
	now := p.env.Mono()
	if deadline <= now {
		if w.state.Store(stateExpired); ready(All) {
			w.state.Store(stateReady)
		}
		return w
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		w.state.Store(stateExpired)
		return w
	}
	w.timer = entry{at: ceilTick(deadline), waiter: w}
	p.enter(w, floorTick(now))
	own.link(keys)
	w.checking = true
	p.mu.Unlock()
	w.ask(All)
	return w
}

// Notify says that what key stands for has changed: everybody who watches it is asked again, oldest first. Call it with
// no lock held that a ready function takes.
func (p *Purgatory[K]) Notify(key K) {
	if p.waiting.Load() == 0 {
		return
	}
	var few [8]asking
	watchers := few[:0]
	p.mu.Lock()
	if l := p.lists[key]; l != nil {
		for n := l.first; n != nil; n = n.next {
			if changed, ok := n.waiter.claim(n.place); ok {
				watchers = append(watchers, asking{n.waiter, changed})
			}
		}
	}
	p.mu.Unlock()
	for _, w := range watchers {
		w.waiter.ask(w.changed)
	}
}

// asking is a question that Notify has the right to ask.
type asking struct {
	waiter  *Waiter
	changed Set
}

// Waiting is the number of waiters that are neither ready nor past their deadline.
func (p *Purgatory[K]) Waiting() int { return int(p.waiting.Load()) }

// Close lets everybody go as at the deadline, and everybody who comes later.
func (p *Purgatory[K]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wake.Signal()
	for w := p.oldest; w != nil; {
		next := w.newer
		w.expire()
		w = next
	}
}

// enter registers w with the clock and with Close.
func (r *room) enter(w *Waiter, now int64) {
	r.waiting.Add(1)
	if w.older = r.newest; w.older != nil {
		w.older.newer = w
	} else {
		r.oldest = w
	}
	r.newest = w
	if r.wheel.n == 0 {
		r.wheel.advance(now, nil) // so that an idle wheel's clock is not far behind
	}
	if w.timer.at == noTick {
		return
	}
	if !r.wheel.add(&w.timer) {
		// The wheel's clock is ahead of this task's reading of it: the driver lets w go at once.
		w.timer.at = r.wheel.first.now + 1
		r.wheel.add(&w.timer)
	}
	if next, ok := r.wheel.next(); ok && next < r.alarm {
		r.alarm = next
		r.wake.Signal()
	}
}

// leave undoes enter. It may be called once.
func (r *room) leave(w *Waiter) {
	r.waiting.Add(-1)
	if w.older != nil {
		w.older.newer = w.newer
	} else {
		r.oldest = w.newer
	}
	if w.newer != nil {
		w.newer.older = w.older
	} else {
		r.newest = w.older
	}
	w.older, w.newer = nil, nil
	r.wheel.remove(&w.timer)
	w.links.unlink()
}

// drive expires waiters, and sleeps until the next bucket of the wheel is due.
func (r *room) drive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		r.wheel.advance(floorTick(r.env.Mono()), func(e *entry) { e.waiter.expire() })
		next, ok := r.wheel.next()
		deadline := env.Never
		if ok {
			deadline = env.Instant(next * int64(tick))
			r.alarm = next
		} else {
			r.alarm = noTick
		}
		r.wake.WaitUntil(deadline)
	}
}

func floorTick(t env.Instant) int64 { return int64(t) / int64(tick) }

// noTick is the tick of env.Never, which the wheel does not hold.
const noTick = math.MaxInt64

// ceilTick rounds up, so that nobody is let go early.
func ceilTick(t env.Instant) int64 {
	if t == env.Never {
		return noTick
	}
	ticks := int64(t) / int64(tick)
	if int64(t)%int64(tick) != 0 {
		ticks++
	}
	return ticks
}
