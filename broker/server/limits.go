package server

import (
	"math"
	"slices"
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/quota"
)

// Limits bound the connections of a server.
//
// Source: ConnectionQuotas (KIP-402, KIP-612).
type Limits struct {
	Connections int            // max.connections: while there are so many, new ones wait to be accepted
	PerAddress  int            // max.connections.per.ip: what comes above is closed
	Overrides   map[string]int // max.connections.per.ip.overrides: by address, in place of PerAddress
	Rate        int            // max.connection.creation.rate: what comes sooner waits to be accepted
}

// perAddress is how many connections an address may have.
func (l *Limits) perAddress(address string) int {
	if n, ok := l.Overrides[address]; ok {
		return n
	}
	return l.PerAddress
}

// unbounded is a number that bounds nothing.
const unbounded = math.MaxInt32

var evTooMany = env.NewKind("too-many-connections", env.Warn, "most", "suppressed")

// gate lets connections in, one after the other, as the limits say.
type gate struct {
	s      *Server
	limits func() Limits
	rate   *quota.Rate
	window time.Duration

	// Guarded by the server's mutex:
	counts  map[string]int // connections of each address
	waiting bool           // the acceptor waits for a place, or for its time
}

func newGate(s *Server) *gate {
	w := s.o.RateWindows
	if w == (quota.Windows{}) {
		w = quota.DefaultWindows
	}
	return &gate{s: s, limits: s.o.Limits, rate: quota.NewRate(w), window: w.Length, counts: map[string]int{}}
}

// wait returns when one more connection may be served, or the server is closing.
func (g *gate) wait() {
	pause := g.pause()
	if pause <= 0 && g.limits().Connections >= unbounded {
		return
	}
	s := g.s
	s.mu.Lock()
	defer s.mu.Unlock()
	g.waiting = true
	for until := s.env.Mono().Add(pause); !s.closing && pause > 0 && s.env.Mono() < until; {
		s.changed.WaitUntil(until)
	}
	for !s.closing && len(s.conns) >= g.limits().Connections {
		s.changed.Wait()
	}
	g.waiting = false
}

// enter counts a connection; it is false if its address has too many. The caller holds the server's mutex.
func (g *gate) enter(address string) bool {
	limits := g.limits()
	if most := limits.perAddress(address); g.counts[address] >= most {
		if ok, suppressed := g.s.bad.allow(); ok {
			g.s.env.Emit(env.Event{Kind: evTooMany, V: [4]int64{int64(most), suppressed}, Text: address})
		}
		return false
	}
	g.counts[address]++
	return true
}

// leave counts a connection that is over. The caller holds the server's mutex.
func (g *gate) leave(address string) {
	if g.counts[address]--; g.counts[address] <= 0 {
		delete(g.counts, address)
	}
	g.wake()
}

// wake has the acceptor look again, if it waits. The caller holds the server's mutex.
func (g *gate) wake() {
	if g != nil && g.waiting {
		g.s.changed.Broadcast()
	}
}

// pause counts one more connection, and says for how long it has come too soon: a window at most, as Kafka has it.
func (g *gate) pause() time.Duration {
	rate := g.limits().Rate
	if rate >= unbounded {
		return 0
	}
	now := g.s.env.Mono()
	g.rate.Record(1, now)
	return min(g.rate.Excess(float64(rate), now), g.window)
}

// LimitsChanged has the server look at its limits again: whoever waits may be let in, and of too many connections those are closed that were not
// used for the longest time (SocketServer.Processor#closeExcessConnections).
func (s *Server) LimitsChanged() {
	if s.gate == nil {
		return
	}
	most := s.gate.limits().Connections
	s.mu.Lock()
	excess := slices.Clone(s.conns)
	s.gate.wake()
	s.mu.Unlock()
	slices.SortStableFunc(excess, func(a, b *conn) int { return int(a.used.Load()) - int(b.used.Load()) })
	for _, c := range excess[:max(0, len(excess)-most)] {
		c.abort()
	}
}

// addressOf is the address of a peer, host:port, without its port and without the brackets of an IPv6 address.
func addressOf(peer string) string {
	if i := strings.LastIndexByte(peer, ':'); i >= 0 {
		peer = peer[:i]
	}
	return strings.Trim(peer, "[]")
}
