package server

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/quota"
)

// Options configure a Server.
type Options struct {
	Env  env.Env
	Addr string // host:port to listen on; port 0 picks one
	// Handle is called by the reader task of each connection; many run at once.
	Handle Handler
	// FrameBytesMax is socket.request.max.bytes.
	FrameBytesMax int32
	// InFlightMax is how many replies of one connection may wait at once (config.Broker.RequestsInFlightMax).
	InFlightMax int
	// IdleMax is connections.max.idle.ms; ≤ 0 means never.
	IdleMax time.Duration
	// Limits are the bounds of connections as they are now (see LimitsChanged); nil is none.
	Limits func() Limits
	// RateWindows are the samples of the rate that Limits bound; the zero value is Kafka's default.
	RateWindows quota.Windows
}

// acceptBackoff is the pause after a failed accept: most likely there are no descriptors left.
const acceptBackoff = 100 * time.Millisecond

var (
	evListening    = env.NewKind("listening", env.Info)
	evAcceptFailed = env.NewKind("accept-failed", env.Error)
)

// Server listens on one address and serves its connections.
type Server struct {
	o        Options
	env      env.Env
	listener env.Listener
	buffers  *bufferPool
	bad      *limiter
	tasks    *env.Group
	gate     *gate // nil without limits

	mu      env.Mutex // guards what follows
	changed env.Cond  // with limits: a connection is over, the limits are others, or the server is closing
	conns   []*conn   // in no order of meaning, but the same in every run
	closing bool
}

// Listen binds the address. Connections are accepted by the system, but nobody serves them before Start.
func Listen(o Options) (*Server, error) {
	assert.That(o.InFlightMax > 0, "INV-SERVER-OPTIONS: %d replies in flight", o.InFlightMax)
	assert.That(o.FrameBytesMax > 0, "INV-SERVER-OPTIONS: frames of %d bytes", o.FrameBytesMax)
	listener, err := o.Env.Listen(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Addr, err)
	}
	s := &Server{
		o:        o,
		env:      o.Env,
		listener: listener,
		buffers:  newBufferPool(o.Env),
		bad:      newLimiter(o.Env),
		tasks:    env.NewGroup(o.Env),
		mu:       o.Env.NewMutex(),
	}
	s.changed = o.Env.NewCond(s.mu)
	if o.Limits != nil {
		s.gate = newGate(s)
	}
	return s, nil
}

// Addr is the bound address, with its real port.
func (s *Server) Addr() string { return s.listener.Addr() }

// Start serves connections. It returns at once.
func (s *Server) Start() {
	s.env.Emit(env.Event{Kind: evListening, Text: s.listener.Addr()})
	s.tasks.Go("acceptor", s.accept)
}

// StopReading stops listening and reading. Replies in flight are still sent, and a connection ends when all of its own are.
func (s *Server) StopReading() {
	s.mu.Lock()
	s.closing = true
	s.gate.wake()
	s.mu.Unlock()
	s.listener.Close()
	for _, c := range s.open() {
		c.stopReading()
	}
}

// Close stops reading if that has not been done, waits up to grace for the replies in flight to be sent, then cuts what is left.
// After it no handler is called again; one that has not returned by then is not waited for any longer.
func (s *Server) Close(grace time.Duration) {
	s.StopReading()
	if s.tasks.WaitUntil(s.env.Mono().Add(grace)) {
		return
	}
	for _, c := range s.open() {
		c.abort()
	}
}

// open lists the connections of this moment.
func (s *Server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conns)
}

func (s *Server) accept() {
	for {
		socket, err := s.listener.Accept()
		switch {
		case err == nil:
			if s.gate != nil {
				s.gate.wait()
				if wait := s.gate.tooSoon(addressOf(socket.RemoteAddr())); wait > 0 {
					s.gate.hold(socket, wait)
					continue
				}
			}
			s.serve(socket)
		case errors.Is(err, env.ErrClosed):
			return
		default:
			s.env.Emit(env.Event{Kind: evAcceptFailed, Text: err.Error()})
			s.env.Sleep(acceptBackoff)
		}
	}
}

// serve starts a connection's two tasks.
func (s *Server) serve(socket env.Conn) {
	c := newConn(s, socket)
	s.mu.Lock()
	if s.closing || s.gate != nil && !s.gate.enter(addressOf(c.peer)) {
		s.mu.Unlock()
		socket.Close()
		return
	}
	c.index = len(s.conns)
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	s.tasks.Go("reader", c.read)
	s.tasks.Go("writer", c.write)
}

// forget drops a connection that is over.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.conns) - 1
	s.conns[c.index] = s.conns[last]
	s.conns[c.index].index = c.index
	s.conns[last] = nil
	s.conns = s.conns[:last]
	if s.gate != nil {
		s.gate.leave(addressOf(c.peer))
	}
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
