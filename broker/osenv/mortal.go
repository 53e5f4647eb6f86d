package osenv

import (
	"runtime"
	"sync"
	"time"

	"barnabas/broker/env"
)

// Mortal is an Env whose tasks can be killed, as the process of a simulated node is: one life of a client that shares
// its process with others. After Kill every call that would wait, and most others, end the calling task (its deferred
// functions run, and calls from these return errors or nothing); connections break at once. Only tasks started by Go of
// the same Mortal may use it.
type Mortal struct {
	*Env
	dead chan struct{}

	mu     sync.Mutex
	conns  map[env.Conn]struct{}
	paused chan struct{} // closed by Resume; nil while it runs
}

// NewMortal begins a life.
func (e *Env) NewMortal() *Mortal {
	return &Mortal{Env: e, dead: make(chan struct{}), conns: map[env.Conn]struct{}{}}
}

// Kill ends the life. It does not wait for the tasks.
func (m *Mortal) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.dead:
		return
	default:
	}
	close(m.dead)
	for c := range m.conns {
		c.Close()
	}
}

// Pause stops the tasks of this life, as SIGSTOP does, each at its next call of env; Resume lets them go on. What others send
// meanwhile waits in the kernel.
func (m *Mortal) Pause() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paused == nil {
		m.paused = make(chan struct{})
	}
}

// Resume is the end of Pause.
func (m *Mortal) Resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paused != nil {
		close(m.paused)
		m.paused = nil
	}
}

// pass waits while the life is paused, and ends the task if it is over.
func (m *Mortal) pass() {
	for {
		m.mu.Lock()
		paused := m.paused
		m.mu.Unlock()
		if m.isDead() {
			runtime.Goexit()
		}
		if paused == nil {
			return
		}
		select {
		case <-paused:
		case <-m.dead:
		}
	}
}

func (m *Mortal) isDead() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

// Sleep waits for d. See env.Clock.
func (m *Mortal) Sleep(d time.Duration) {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	select {
	case <-m.dead:
		runtime.Goexit()
	case <-timer.C:
	}
	m.pass()
}

// Go starts f as a task of this life.
func (m *Mortal) Go(name string, f func()) {
	m.pass()
	m.Env.Go(name, f)
}

// Dial connects. See env.Net.
func (m *Mortal) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	c, err := m.Env.Dial(addr, timeout)
	if err == nil && m.isDead() {
		c.Close()
	}
	m.pass()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.conns[c] = struct{}{}
	m.mu.Unlock()
	if m.isDead() {
		c.Close()
		runtime.Goexit()
	}
	return &mortalConn{c, m}, nil
}

type mortalConn struct {
	env.Conn
	m *Mortal
}

// Read, Write and WriteMore take no part while the life is paused: what was read in a call that had begun is handed over after.
func (c *mortalConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.m.isDead() {
		c.m.pass()
	}
	return n, err
}

func (c *mortalConn) Write(p []byte) (int, error) {
	if !c.m.isDead() {
		c.m.pass()
	}
	return c.Conn.Write(p)
}

func (c *mortalConn) WriteMore(p []byte) (int, error) {
	if !c.m.isDead() {
		c.m.pass()
	}
	return c.Conn.WriteMore(p)
}

func (c *mortalConn) Close() error {
	c.m.mu.Lock()
	delete(c.m.conns, c.Conn)
	c.m.mu.Unlock()
	return c.Conn.Close()
}

// NewMutex makes an unlocked mutex. One that a task has died with holds nobody up: all of its life die with it.
func (m *Mortal) NewMutex() env.Mutex { return &mortalMutex{m, make(chan struct{}, 1)} }

type mortalMutex struct {
	m    *Mortal
	held chan struct{} // holds a token while the mutex is locked
}

// Lock takes the mutex.
func (l *mortalMutex) Lock() {
	l.m.pass() // a free mutex is no way around it
	select {
	case l.held <- struct{}{}:
	case <-l.m.dead:
		runtime.Goexit()
	}
}

// Unlock gives it back. In deferred functions of a dead task the mutex may not be held any more.
func (l *mortalMutex) Unlock() {
	select {
	case <-l.held:
	default:
		if !l.m.isDead() {
			panic("unlock of a mutex that is not locked")
		}
	}
}

// NewCond makes a condition variable on mu.
func (m *Mortal) NewCond(mu env.Mutex) env.Cond { return &mortalCond{m: m, mu: mu} }

// mortalCond is a queue of waiters, like cond, whose waits end with the life.
type mortalCond struct {
	m  *Mortal
	mu env.Mutex

	queue   sync.Mutex
	waiters []chan struct{}
}

// Wait waits for a Signal or Broadcast. See env.Cond.
func (c *mortalCond) Wait() { c.WaitUntil(env.Never) }

// WaitUntil is Wait with a deadline. See env.Cond.
func (c *mortalCond) WaitUntil(deadline env.Instant) bool {
	ready := make(chan struct{}, 1)
	c.queue.Lock()
	c.waiters = append(c.waiters, ready)
	c.queue.Unlock()
	c.mu.Unlock()
	var timeout <-chan time.Time
	if deadline != env.Never {
		timer := time.NewTimer(max(0, deadline.Sub(c.m.Mono())))
		defer timer.Stop()
		timeout = timer.C
	}
	signalled := true
	select {
	case <-ready:
	case <-timeout:
		signalled = !c.leave(ready)
	case <-c.m.dead:
		runtime.Goexit()
	}
	c.mu.Lock() // which waits while the life is paused
	return signalled
}

// leave takes a waiter out of the queue; false if a signal has done so.
func (c *mortalCond) leave(ready chan struct{}) bool {
	c.queue.Lock()
	defer c.queue.Unlock()
	for i, w := range c.waiters {
		if w == ready {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			return true
		}
	}
	return false
}

// Signal wakes the longest waiting task.
func (c *mortalCond) Signal() {
	c.queue.Lock()
	defer c.queue.Unlock()
	if len(c.waiters) > 0 {
		c.waiters[0] <- struct{}{}
		c.waiters = c.waiters[1:]
	}
}

// Broadcast wakes all waiting tasks.
func (c *mortalCond) Broadcast() {
	c.queue.Lock()
	defer c.queue.Unlock()
	for _, w := range c.waiters {
		w <- struct{}{}
	}
	c.waiters = nil
}
