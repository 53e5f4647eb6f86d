package controller

import "barnabas/broker/env"

// future is an answer that one task waits for and another gives.
type future[T any] struct {
	mu    env.Mutex
	given env.Cond
	done  bool
	value T
}

func newFuture[T any](t env.Tasks) *future[T] {
	mu := t.NewMutex()
	return &future[T]{mu: mu, given: t.NewCond(mu)}
}

// complete gives the answer; all but the first are ignored.
func (f *future[T]) complete(value T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done {
		f.done, f.value = true, value
		f.given.Broadcast()
	}
}

// wait waits for the answer, and reports false if the deadline came first.
func (f *future[T]) wait(deadline env.Instant) (T, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.done {
		if !f.given.WaitUntil(deadline) {
			break
		}
	}
	return f.value, f.done
}
