package server

import (
	"cmp"
	"maps"
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
	// AddressRate is how many connections an address may make a second (connection_creation_rate of its, or the default, ip entity): what
	// comes sooner is not served. nil: no address has a bound.
	AddressRate func(address string) int
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

var (
	evTooMany = env.NewKind("too-many-connections", env.Warn, "most", "suppressed")
	evTooSoon = env.NewKind("connection-too-soon", env.Debug, "held_ms")
)

// gate lets connections in, one after the other, as the limits say.
type gate struct {
	s      *Server
	limits func() Limits
	rate   *quota.Rate

	windows quota.Windows
	window  time.Duration
	of      map[string]*quota.Rate // of each address that has a bound; of the acceptor alone
	swept   env.Instant

	// Guarded by the server's mutex:
	counts  map[string]int // connections of each address
	waiting bool           // the acceptor waits for a place, or for its time
	held    []heldSocket   // by the time until which they are held
	holding bool           // a task waits for the first of them
}

// heldSocket is a connection that came too soon.
type heldSocket struct {
	socket env.Conn
	until  env.Instant
}

func newGate(s *Server) *gate {
	w := s.o.RateWindows
	if w == (quota.Windows{}) {
		w = quota.DefaultWindows
	}
	return &gate{s: s, limits: s.o.Limits, rate: quota.NewRate(w), windows: w, window: w.Length, of: map[string]*quota.Rate{}, counts: map[string]int{}}
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
	if g != nil && (g.waiting || g.holding) {
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

// tooSoon counts one more connection of an address, and says for how long it has come too soon: 0 if it may come, a window at most. What may
// not come does not count, not for the server's rate either.
//
// Source: ConnectionQuotas#recordIpConnectionMaybeThrottle.
func (g *gate) tooSoon(address string) time.Duration {
	limits := g.limits()
	if limits.AddressRate == nil {
		return 0
	}
	bound := limits.AddressRate(address)
	if bound >= unbounded {
		return 0
	}
	now := g.s.env.Mono()
	r := g.of[address]
	if r == nil {
		g.sweep(now)
		r = quota.NewRate(g.windows)
		g.of[address] = r
	}
	r.Record(1, now)
	wait := min(r.Excess(float64(bound), now), g.window)
	if wait > 0 {
		r.Record(-1, now)
		if limits.Rate < unbounded {
			g.rate.Record(-1, now)
		}
	}
	return wait
}

// sweepEvery is how long rates of addresses that come no more may stay.
const sweepEvery = time.Minute

func (g *gate) sweep(now env.Instant) {
	if now.Sub(g.swept) >= sweepEvery {
		g.swept = now
		maps.DeleteFunc(g.of, func(_ string, r *quota.Rate) bool { return r.Idle(now) })
	}
}

// hold keeps a connection that came too soon, unserved, and closes it when its time is over: a client that is turned away at once comes again
// at once.
//
// Source: SocketServer.Acceptor#throttledSockets.
func (g *gate) hold(socket env.Conn, wait time.Duration) {
	s := g.s
	g.s.env.Emit(env.Event{Kind: evTooSoon, V: [4]int64{wait.Milliseconds()}, Text: addressOf(socket.RemoteAddr())})
	h := heldSocket{socket, s.env.Mono().Add(wait)}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(g.held, h, func(a, b heldSocket) int { return cmp.Compare(a.until, b.until) })
	g.held = slices.Insert(g.held, i, h)
	if !g.holding {
		g.holding = true
		s.tasks.Go("held", g.release)
	} else if i == 0 {
		s.changed.Broadcast()
	}
}

// release is the task that closes what is held, until nothing is.
func (g *gate) release() {
	s := g.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(g.held) > 0 {
		first := g.held[0]
		if !s.closing && s.env.Mono() < first.until {
			s.changed.WaitUntil(first.until)
			continue
		}
		g.held = slices.Delete(g.held, 0, 1)
		s.mu.Unlock()
		first.socket.Close()
		s.mu.Lock()
	}
	g.holding = false
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
