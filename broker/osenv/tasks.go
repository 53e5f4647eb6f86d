package osenv

import (
	"context"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"barnabas/broker/env"
)

// Now is the wall clock. See env.Clock.
func (e *Env) Now() time.Time {
	if e.hook != nil {
		return e.hook.now()
	}
	return time.Now()
}

// Mono counts nanoseconds since New, on the monotonic clock.
func (e *Env) Mono() env.Instant { return env.Instant(time.Since(e.base)) }

// Sleep waits for d.
func (e *Env) Sleep(d time.Duration) {
	if d <= 0 {
		runtime.Gosched()
		return
	}
	time.Sleep(d)
}

// at is the moment of a deadline as package net wants it, on the monotonic clock; the zero time for Never.
func (e *Env) at(t env.Instant) time.Time {
	if t == env.Never {
		return time.Time{}
	}
	return e.base.Add(time.Duration(t))
}

// Go starts f as a goroutine. Profiles show it under the label "task".
func (e *Env) Go(name string, f func()) {
	go pprof.Do(context.Background(), pprof.Labels("task", name), func(context.Context) { f() })
}

// NewMutex makes an unlocked mutex.
func (e *Env) NewMutex() env.Mutex { return new(sync.Mutex) }

// NewCond makes a condition variable on m.
func (e *Env) NewCond(m env.Mutex) env.Cond { return &cond{env: e, m: m} }

// cond is a queue of waiters, each with a channel of its own. sync.Cond has no deadlines, and one channel for all
// would lose the order.
type cond struct {
	env *Env
	m   env.Mutex // the caller's, held on entry to Wait

	mu         sync.Mutex // guards the queue, as Signal may come without m
	head, tail *waiter
}

// waiter is one task in a cond's queue. Waiters are pooled: none is in a queue, has a token in its channel or a running
// timer while it is in the pool.
type waiter struct {
	ready      chan struct{} // gets one token from whoever takes the waiter out of the queue
	timer      *time.Timer
	queued     bool
	prev, next *waiter
}

var waiters = sync.Pool{New: func() any { return &waiter{ready: make(chan struct{}, 1)} }}

// Wait waits for a Signal or Broadcast. See env.Cond.
func (c *cond) Wait() {
	w := c.enqueue()
	c.m.Unlock()
	<-w.ready
	waiters.Put(w)
	c.m.Lock()
}

// WaitUntil is Wait with a deadline. See env.Cond.
func (c *cond) WaitUntil(deadline env.Instant) bool {
	if deadline == env.Never {
		c.Wait()
		return true
	}
	left := deadline.Sub(c.env.Mono())
	if left <= 0 {
		c.m.Unlock()
		c.m.Lock()
		return false
	}
	w := c.enqueue()
	c.m.Unlock()
	if w.timer == nil {
		w.timer = time.NewTimer(left)
	} else {
		w.timer.Reset(left)
	}
	signalled := true
	select {
	case <-w.ready:
		w.timer.Stop()
	case <-w.timer.C:
		if signalled = !c.leave(w); signalled {
			<-w.ready // the signal and the deadline came together; the signal must not be lost
		}
	}
	waiters.Put(w)
	c.m.Lock()
	return signalled
}

// Signal wakes the longest waiting task.
func (c *cond) Signal() {
	c.mu.Lock()
	if w := c.head; w != nil {
		c.remove(w)
		w.ready <- struct{}{}
	}
	c.mu.Unlock()
}

// Broadcast wakes all waiting tasks.
func (c *cond) Broadcast() {
	c.mu.Lock()
	for w := c.head; w != nil; w = c.head {
		c.remove(w)
		w.ready <- struct{}{}
	}
	c.mu.Unlock()
}

func (c *cond) enqueue() *waiter {
	w := waiters.Get().(*waiter)
	c.mu.Lock()
	w.queued, w.prev = true, c.tail
	if c.tail != nil {
		c.tail.next = w
	} else {
		c.head = w
	}
	c.tail = w
	c.mu.Unlock()
	return w
}

// leave takes w out of the queue; it reports false if a signal has done so already.
func (c *cond) leave(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !w.queued {
		return false
	}
	c.remove(w)
	return true
}

func (c *cond) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		c.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		c.tail = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
}
