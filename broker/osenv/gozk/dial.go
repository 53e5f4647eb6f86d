package gozk

import (
	"errors"
	"fmt"
	"net"
	"time"

	"barnabas/broker/env"
)

// dial connects through env. After the session's end it refuses.
func (s *session) dial(_, address string, timeout time.Duration) (net.Conn, error) {
	s.mu.Lock()
	over := s.over()
	s.mu.Unlock()
	if over {
		return nil, errors.New("the session is over")
	}
	nc, err := s.e.Dial(address, timeout)
	if err != nil {
		return nil, err
	}
	return &conn{nc, s.e, s.timeout}, nil
}

// conn makes an env.Conn a net.Conn. It also bounds every read by the session's time-out, since go-zookeeper waits for
// the answer to its connect request for nearly seven times that, and for the second half of it forever.
type conn struct {
	env.Conn
	e     env.Env
	limit time.Duration
}

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

func (c *conn) LocalAddr() net.Addr  { return addr(c.Conn.LocalAddr()) }
func (c *conn) RemoteAddr() net.Addr { return addr(c.Conn.RemoteAddr()) }

func (c *conn) SetReadDeadline(t time.Time) error {
	wait := c.limit
	if !t.IsZero() {
		wait = min(wait, time.Until(t))
	}
	c.Conn.SetReadDeadline(c.e.Mono().Add(wait))
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.Conn.SetWriteDeadline(env.Never)
	} else {
		c.Conn.SetWriteDeadline(c.e.Mono().Add(time.Until(t)))
	}
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// hosts hands out the servers in turn, unresolved: go-zookeeper's own provider looks names up once and for all. After
// each round without success go-zookeeper waits a second.
type hosts struct {
	servers  []string
	next     int
	attempts int // since the last success
}

func (h *hosts) Init(servers []string) error {
	h.servers = servers
	return nil
}

func (h *hosts) Len() int { return len(h.servers) }

func (h *hosts) Next() (server string, retryStart bool) {
	server = h.servers[h.next]
	h.next = (h.next + 1) % len(h.servers)
	retryStart = h.attempts > 0 && h.attempts%len(h.servers) == 0
	h.attempts++
	return server, retryStart
}

func (h *hosts) Connected() { h.attempts = 0 }

// logger turns the library's words into events.
type logger struct{ e env.Env }

func (l logger) Printf(format string, args ...any) {
	l.e.Emit(env.Event{Kind: evLibrary, Text: fmt.Sprintf(format, args...)})
}
