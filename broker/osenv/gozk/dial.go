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
		s.complain(err.Error())
		return nil, err
	}
	c := newConn(s, nc)
	s.mu.Lock()
	s.link = c
	s.mu.Unlock()
	return c, nil
}

// complain tells that no server can be reached, the first time and then now and again.
func (s *session) complain(why string) {
	s.mu.Lock()
	now := s.e.Mono()
	quiet := s.complained != 0 && now.Sub(s.complained) < complaintPause
	if !quiet {
		s.complained = max(now, 1)
	}
	s.mu.Unlock()
	if !quiet {
		s.e.Emit(env.Event{Kind: evUnreachable, Text: why})
	}
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
