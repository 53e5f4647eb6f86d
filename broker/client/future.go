package client

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/env"
)

// future is an answer that comes later, for one task to wait for.
type future struct {
	mu   env.Mutex
	came env.Cond
	done bool
	resp kmsg.Response
	err  error
}

func newFuture(e env.Env) *future {
	mu := e.NewMutex()
	return &future{mu: mu, came: e.NewCond(mu)}
}

func (f *future) set(resp kmsg.Response, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.resp, f.err = true, resp, err
	f.came.Signal()
}

func (f *future) wait() (kmsg.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.done {
		f.came.Wait()
	}
	return f.resp, f.err
}
