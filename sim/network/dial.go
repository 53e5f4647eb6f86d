package network

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/sched"
)

// Stack is the network as one process sees it: an env.Net. It ends with its process; the Host goes on.
type Stack struct{ h *Host }

type listener struct {
	h       *Host
	port    int
	closed  bool
	backlog []*endpoint
	waiters sched.WaitList
}

// Listen binds a port of the own host; port 0 picks one.
func (st *Stack) Listen(addr string) (env.Listener, error) {
	h := st.h
	h.n.s.Point()
	name, port, err := split(addr)
	if err != nil {
		return nil, err
	}
	switch {
	case !h.isSelf(name):
		return nil, fmt.Errorf("listen %s: not an address of %s", addr, h.name)
	case port == 0:
		port = h.ephemeral()
	case h.listener(port) != nil:
		return nil, fmt.Errorf("listen %s: address already in use", addr)
	}
	l := &listener{h: h, port: port}
	h.listeners = append(h.listeners, l)
	return l, nil
}

func (h *Host) isSelf(name string) bool {
	return name == "" || name == h.name || name == "localhost" || name == "0.0.0.0" || name == "127.0.0.1"
}

func split(addr string) (host string, port int, err error) {
	i := strings.LastIndexByte(addr, ':')
	if i >= 0 {
		port, err = strconv.Atoi(addr[i+1:])
	}
	if i < 0 || err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: want host:port", addr)
	}
	return addr[:i], port, nil
}

// Accept waits for a connection.
func (l *listener) Accept() (env.Conn, error) {
	s := l.h.n.s
	s.Point()
	for {
		if l.closed {
			return nil, fmt.Errorf("accept %s: %w", l.Addr(), env.ErrClosed)
		}
		if len(l.backlog) > 0 {
			e := l.backlog[0]
			l.backlog[0] = nil
			l.backlog = l.backlog[1:]
			return e, nil
		}
		s.Wait(&l.waiters, env.Never, "accept")
	}
}

// Addr is the bound address.
func (l *listener) Addr() string { return l.h.address(l.port) }

// Close unbinds the port. Connections not yet accepted are reset.
func (l *listener) Close() error {
	s := l.h.n.s
	if s.Dead() {
		return nil
	}
	s.Point()
	if l.closed {
		return nil
	}
	l.closed = true
	for i, other := range l.h.listeners {
		if other == l {
			l.h.listeners = append(l.h.listeners[:i], l.h.listeners[i+1:]...)
			break
		}
	}
	for _, e := range l.backlog {
		if !e.closed && e.err == nil {
			e.closed = true
			e.forget()
			e.abort()
		}
	}
	l.backlog = nil
	s.WakeAll(&l.waiters)
	return nil
}

const (
	synRetryFirst = time.Second     // Linux
	synRetryMax   = 4 * time.Second // less than Linux: a healed network shall be used soon
	dialTimeout   = 127 * time.Second
)

// Dial connects, sending SYNs until one is answered. A timeout ≤ 0 is Linux's own, 127 s.
func (st *Stack) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	h, n := st.h, st.h.n
	n.s.Point()
	name, port, err := split(addr)
	if err != nil {
		return nil, err
	}
	to := n.byName[name]
	if h.isSelf(name) {
		to = h
	}
	if to == nil {
		return nil, fmt.Errorf("dial %s: no such host: %w", addr, env.ErrRefused)
	}
	if timeout <= 0 {
		timeout = dialTimeout
	}
	deadline := n.s.Now().Add(timeout)
	for retry := synRetryFirst; ; retry = min(2*retry, synRetryMax) {
		next := min(n.s.Now().Add(retry), deadline)
		l, answer := h.handshake(to, port, next)
		switch answer {
		case accepted:
			return n.connect(h, to, l, addr), nil
		case refused:
			n.event(to.name, evRefuse, int64(port))
			return nil, fmt.Errorf("dial %s: %w", addr, env.ErrRefused)
		}
		if now := n.s.Now(); now < next {
			n.s.Sleep(next.Sub(now))
		}
		if n.s.Now() >= deadline {
			n.fired[KindDialTimeout]++
			return nil, fmt.Errorf("dial %s: %w", addr, env.ErrTimeout)
		}
	}
}

type answer uint8

const (
	silence answer = iota
	accepted
	refused
)

// handshake sends one SYN and waits for its answer, not beyond deadline.
func (h *Host) handshake(to *Host, port int, deadline env.Instant) (*listener, answer) {
	n := h.n
	there := h.links[to.index]
	back := there.back()
	if !there.carry(deadline) {
		return nil, silence
	}
	if !to.up {
		n.fired[KindHostDown]++
		return nil, silence
	}
	l := to.listener(port)
	if l != nil && len(l.backlog) >= max(n.profile.Backlog, 1) {
		n.fired[KindBacklog]++
		return nil, silence
	}
	refuse := l == nil
	if to.refuse > 0 && to != h {
		n.fired[KindRefuse]++
		refuse = true
	}
	if !back.carry(deadline) {
		return nil, silence
	}
	if refuse {
		return nil, refused
	}
	return l, accepted
}

// carry lets the running task wait as a SYN or its answer travels, and reports whether it arrived in time.
func (l *link) carry(deadline env.Instant) bool {
	s := l.n.s
	if l.cut() {
		l.cutFired()
		return false
	}
	at := s.Now().Add(l.delay())
	if l.clogged > at {
		at = l.clogged
		l.n.fired[KindClog]++
	}
	if at >= deadline {
		return false
	}
	s.Sleep(at.Sub(s.Now()))
	if l.cut() {
		l.cutFired()
		return false
	}
	return true
}

// connect makes both ends. The server's is handed to its listener when the first segment, the handshake's last, gets
// there; what the client writes comes behind it.
func (n *Network) connect(from, to *Host, l *listener, addr string) *endpoint {
	n.connSeq += 2
	local := from.address(from.ephemeral())
	client := n.newEndpoint(from, local, addr)
	server := n.newEndpoint(to, to.address(l.port), local)
	there := newPipe(n, n.connSeq, from.links[to.index])
	back := newPipe(n, n.connSeq+1, to.links[from.index])
	there.src, there.dst, there.accept = client, server, l
	back.src, back.dst = server, client
	client.out, client.in = there, back
	server.out, server.in = back, there
	if !to.up || l.closed { // it died while its answer was on the way
		server.forget()
		server.closed, server.gone = true, true
		back.retire()
	}
	there.send(nil, open)
	return client
}
