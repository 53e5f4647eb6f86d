package coordinator

import (
	"sync/atomic"

	"barnabas/broker/env"
)

// Promise is an answer that comes later. It is what a server.Reply waits for.
type Promise[T any] struct {
	mu        env.Mutex
	come      env.Cond
	state     atomic.Uint32
	value     T
	cancelled bool
}

// NewPromise makes one that nobody has kept yet.
func NewPromise[T any](e env.Env) *Promise[T] {
	mu := e.NewMutex()
	return &Promise[T]{mu: mu, come: e.NewCond(mu)}
}

// Done reports whether Wait would return at once.
func (p *Promise[T]) Done() bool { return p.state.Load() != 0 }

// Wait waits for the answer; false after Cancel.
func (p *Promise[T]) Wait() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.state.Load() == 0 {
		p.come.Wait()
	}
	return !p.cancelled
}

// WaitUntil is Wait with a deadline: false if that comes first.
func (p *Promise[T]) WaitUntil(deadline env.Instant) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.state.Load() == 0 {
		if !p.come.WaitUntil(deadline) && p.state.Load() == 0 {
			return false
		}
	}
	return !p.cancelled
}

// Cancel says that nobody waits any more. What was asked for goes on.
func (p *Promise[T]) Cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Load() == 0 {
		p.cancelled = true
		p.state.Store(1)
		p.come.Broadcast()
	}
}

// Value is the answer, once it is there.
func (p *Promise[T]) Value() T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.value
}

// Set gives the answer. What comes after the first, or after Cancel, is not heard.
func (p *Promise[T]) Set(v T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Load() == 0 {
		p.value = v
		p.state.Store(1)
		p.come.Broadcast()
	}
}
