package server

import (
	"time"

	"barnabas/broker/env"
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
}

// Server listens on one address and serves its connections.
type Server struct{}

// Listen binds the address. Connections are accepted by the system, but nobody serves them before Start.
func Listen(o Options) (*Server, error) { panic("unfinished") }

// Addr is the bound address, with its real port.
func (s *Server) Addr() string { panic("unfinished") }

// Start serves connections. It returns at once.
func (s *Server) Start() { panic("unfinished") }

// Close stops listening and reading, waits up to grace for the replies in flight to be sent, then closes what is left.
// When it returns, or grace is over, no handler will be called again.
func (s *Server) Close(grace time.Duration) { panic("unfinished") }
