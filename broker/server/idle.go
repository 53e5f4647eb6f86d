package server

import (
	"sync/atomic"
	"time"

	"barnabas/broker/env"
)

// idleClock closes connections on which nothing has come or gone for max (connections.max.idle.ms). The deadlines are
// renewed only after a sixteenth of max, and set that much later, so that a busy connection hardly ever pays for it.
type idleClock struct {
	env     env.Env
	socket  env.Conn
	max     time.Duration
	read    env.Instant // when the deadlines were last set
	written env.Instant
	stopped atomic.Bool
}

// touch is called by the reader before each frame.
func (i *idleClock) touch() {
	now, renew := i.due(i.read)
	if !renew {
		return
	}
	i.read = now
	i.socket.SetReadDeadline(now.Add(i.max + i.max/16))
	if i.stopped.Load() {
		i.socket.SetReadDeadline(now) // stop came in between
	}
}

// touchWrite is called by whoever sends, before each answer.
func (i *idleClock) touchWrite() {
	now, renew := i.due(i.written)
	if renew {
		i.written = now
		i.socket.SetWriteDeadline(now.Add(i.max + i.max/16))
	}
}

// stop ends the wait for the next frame, now and for good. Any task may call it.
func (i *idleClock) stop() {
	i.stopped.Store(true)
	i.socket.SetReadDeadline(i.env.Mono())
}

func (i *idleClock) due(last env.Instant) (now env.Instant, renew bool) {
	if i.max <= 0 {
		return 0, false
	}
	now = i.env.Mono()
	return now, last == 0 || now.Sub(last) > i.max/16
}
