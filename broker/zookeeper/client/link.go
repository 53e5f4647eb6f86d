package client

import (
	"bufio"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

// link is one connection to a server. All fields but net are guarded by the session's mutex.
type link struct {
	s        *Session
	net      env.Conn
	timeout  time.Duration // the session's
	out      []byte        // frames to be written
	calls    []*call       // sent or to be sent, in order, and not answered
	work     env.Cond      // out is not empty, or the link is broken
	lastSent env.Instant
	broken   bool
}

func newLink(s *Session, nc env.Conn) *link {
	return &link{s: s, net: nc, timeout: s.timeout, work: s.e.NewCond(s.mu), lastSent: s.e.Mono()}
}

// frameMax bounds an answer. The server's own limit is for requests; a list of many children may be longer.
const frameMax = 64 << 20

// send queues a request. The mutex is held.
func (l *link) send(c *call) error {
	before := len(l.out)
	l.out = c.request.Append(l.out)
	if n := len(l.out) - before - 4; n > jute.MaxFrame {
		l.out = l.out[:before]
		return fmt.Errorf("request of %d bytes, limit %d: %w", n, jute.MaxFrame, zookeeper.ErrTooLarge)
	}
	l.calls = append(l.calls, c)
	l.work.Signal()
	return nil
}

// write sends what is queued, and a ping when nothing was sent for a third of the session's time-out.
func (l *link) write() {
	var buf []byte
	ping := jute.Request{Xid: jute.XidPing, Op: jute.Op{Code: jute.OpPing}}
	for {
		l.s.mu.Lock()
		for !l.broken && len(l.out) == 0 {
			if !l.work.WaitUntil(l.lastSent.Add(l.timeout/3)) && len(l.out) == 0 {
				l.out = ping.Append(l.out)
			}
		}
		if l.broken {
			l.s.mu.Unlock()
			return
		}
		buf, l.out = l.out, buf[:0]
		l.s.mu.Unlock()

		now := l.s.e.Mono()
		l.net.SetWriteDeadline(now.Add(l.timeout))
		if _, err := l.net.Write(buf); err != nil {
			l.net.Close() // the reader sees it and says so
			return
		}
		l.s.mu.Lock()
		l.lastSent = now
		l.s.mu.Unlock()
	}
}

// read takes frames until the connection fails, or nothing is heard for two thirds of the session's time-out: one third
// until our ping, another for its answer, and the last is left to find another server.
func (l *link) read(r *bufio.Reader) error {
	var frame []byte
	for {
		l.net.SetReadDeadline(l.s.e.Mono().Add(l.timeout * 2 / 3))
		var err error
		if frame, err = jute.ReadFrame(r, frameMax, frame); err != nil {
			return err
		}
		if err := l.s.answer(l, frame); err != nil {
			return err
		}
		if cap(frame) > jute.MaxFrame {
			frame = nil
		}
	}
}
