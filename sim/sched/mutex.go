package sched

import "barnabas/broker/env"

// Mutex is an env.Mutex. A task that unlocks and locks again may overtake those who wait, as with sync.Mutex, but not
// for ever: one that lost patience times is handed the mutex.
type Mutex struct {
	s       *Scheduler
	owner   *Task
	waiters WaitList
}

const patience = 4

// NewMutex makes an unlocked mutex.
func (s *Scheduler) NewMutex() *Mutex {
	m := take(&s.mutexes)
	m.s = s
	return m
}

// Lock waits until the mutex is free, and takes it. It panics if the task holds it already: that would never end.
func (m *Mutex) Lock() {
	m.s.Point()
	m.acquire()
}

func (m *Mutex) acquire() {
	t := m.s.current
	if m.owner == nil {
		m.owner = t
		return
	}
	if m.owner == t {
		panic("sched: task " + t.name + " locks a mutex that it holds")
	}
	t.tries = 0
	for {
		m.s.Wait(&m.waiters, env.Never, "mutex")
		if m.owner == nil || m.owner == t {
			m.owner = t
			return
		}
		t.tries++
	}
}

// Unlock frees the mutex and wakes a waiter. It panics if the mutex is not locked. It is no scheduling point: up to its next one the task
// touches nothing that a lock guards, and others can come in there.
func (m *Mutex) Unlock() {
	if !m.s.Dead() {
		m.release()
	}
}

func (m *Mutex) release() {
	if m.owner == nil {
		panic("sched: unlock of an unlocked mutex")
	}
	m.owner = nil
	if t := m.s.WakeOne(&m.waiters); t != nil && t.tries >= patience {
		m.owner = t
	}
}

// Cond is an env.Cond.
type Cond struct {
	m       *Mutex
	waiters WaitList
}

// NewCond makes a condition variable on m.
func (m *Mutex) NewCond() *Cond {
	c := take(&m.s.conds)
	c.m = m
	return c
}

// slab is how many mutexes, and conds, are allocated at once: a request or two has one.
const slab = 32

// take is the next of a slab.
func take[T any](left *[]T) *T {
	if len(*left) == 0 {
		*left = make([]T, slab)
	}
	one := &(*left)[0]
	*left = (*left)[1:]
	return one
}

// Wait is WaitUntil without a deadline.
func (c *Cond) Wait() { c.WaitUntil(env.Never) }

// WaitUntil releases the mutex, waits for Signal or Broadcast, and takes the mutex again. It reports false if the
// deadline came first. Now and then it returns true for no reason (Options.Spurious).
func (c *Cond) WaitUntil(deadline env.Instant) bool {
	s := c.m.s
	s.CheckAlive()
	if c.m.owner != s.current {
		panic("sched: Cond.Wait without its mutex")
	}
	if n := s.opts.Spurious; n > 0 && s.opts.Rand.IntN(n) == 0 {
		c.m.release()
		s.giveWay(s.current)
		c.m.acquire()
		return true
	}
	c.m.release()
	woken := s.Wait(&c.waiters, deadline, "cond")
	c.m.acquire()
	return woken
}

// Signal wakes one waiter, by a seeded choice.
func (c *Cond) Signal() {
	if !c.m.s.Dead() {
		c.m.s.WakeOne(&c.waiters)
	}
}

// Broadcast wakes all waiters.
func (c *Cond) Broadcast() {
	if !c.m.s.Dead() {
		c.m.s.WakeAll(&c.waiters)
	}
}
