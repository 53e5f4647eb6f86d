package server

import (
	"time"

	"barnabas/broker/env"
)

const (
	complaintsWindow = time.Second
	complaintsMax    = 10 // in a window
)

// limiter keeps a peer that sends rubbish from filling the log.
type limiter struct {
	env env.Env

	mu         env.Mutex
	window     env.Instant // when it began
	n          int
	suppressed int64
}

func newLimiter(e env.Env) *limiter { return &limiter{env: e, mu: e.NewMutex()} }

// allow reports whether one more may be logged, and how many were not since the last that was.
func (l *limiter) allow() (ok bool, suppressed int64) {
	now := l.env.Mono()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.window) >= complaintsWindow {
		l.window, l.n = now, 0
	}
	if l.n >= complaintsMax {
		l.suppressed++
		return false, 0
	}
	l.n++
	suppressed, l.suppressed = l.suppressed, 0
	return true, suppressed
}
