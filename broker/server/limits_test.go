package server_test

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/server"
	"barnabas/sim/cluster"
)

// limited is a server with bounds that the test may change; its handler answers at once.
func limited(t *testing.T, e env.Env, first server.Limits) (b *bench, set func(server.Limits)) {
	var now atomic.Pointer[server.Limits]
	now.Store(&first)
	b = start(t, e, server.Options{Limits: func() server.Limits { return *now.Load() }}, func(r *server.Request) server.Reply { return server.Now(answer(r)) })
	return b, func(l server.Limits) {
		now.Store(&l)
		b.server.LimitsChanged()
	}
}

const anyNumber = 1 << 30

// served reports whether a request on the connection is answered within a second.
func (b *bench) served(c env.Conn) bool {
	b.t.Helper()
	b.send(c, ask(1))
	c.SetReadDeadline(b.e.Mono().Add(time.Second))
	n, _ := c.Read(make([]byte, 1000))
	return n > 0
}

// closed reports whether the server has closed the connection, within a second.
func (b *bench) closed(c env.Conn) bool {
	c.SetReadDeadline(b.e.Mono().Add(time.Second))
	_, err := io.Copy(io.Discard, c) // answers that nobody has read yet
	return !errors.Is(err, env.ErrTimeout)
}

// Goal: of one address no more connections are served than it may have, the others are closed; an override goes before; who leaves makes room.
func TestConnectionsOfAnAddress(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		b, set := limited(t, e, server.Limits{Connections: anyNumber, PerAddress: 2, Rate: anyNumber})
		first, second := b.dial(), b.dial()
		if !b.served(first) || !b.served(second) {
			t.Fatal("within the bound, and not served")
		}
		if !b.closed(b.dial()) {
			t.Error("a third connection stays open")
		}
		first.Close()
		e.Sleep(time.Second)
		if !b.served(b.dial()) {
			t.Error("the place of one that left is not given away")
		}
		set(server.Limits{Connections: anyNumber, PerAddress: 0, Overrides: map[string]int{"b1": 3, "elsewhere": 9}, Rate: anyNumber})
		if !b.served(b.dial()) {
			t.Error("an override does not hold")
		}
		if !b.closed(b.dial()) {
			t.Error("an override bounds nothing")
		}
	})
}

// Goal: while there are as many connections as there may be, others wait to be accepted; they are let in when one leaves, or when more may be.
// When fewer may be, those go that were not used for the longest time.
func TestConnectionsInAll(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		b, set := limited(t, e, server.Limits{Connections: 2, PerAddress: anyNumber, Rate: anyNumber})
		first, second := b.dial(), b.dial()
		if !b.served(first) || !b.served(second) {
			t.Fatal("within the bound, and not served")
		}
		third := b.dial()
		if b.served(third) {
			t.Error("a third connection is served")
		}
		second.Close()
		e.Sleep(time.Second)
		if !b.served(third) || b.server.Connections() != 2 {
			t.Error("it is not let in when another has left")
		}
		fourth := b.dial()
		e.Sleep(time.Second)
		set(server.Limits{Connections: 3, PerAddress: anyNumber, Rate: anyNumber})
		if !b.served(fourth) {
			t.Error("it is not let in when more may be")
		}
		if !b.served(first) { // third is the one that was not used for the longest time
			t.Error("the first is gone")
		}
		set(server.Limits{Connections: 2, PerAddress: anyNumber, Rate: anyNumber})
		if !b.closed(third) {
			t.Error("the connection that was not used for the longest time stays open")
		}
		if !b.served(first) || !b.served(fourth) {
			t.Error("others are closed, too")
		}
	})
}

// Goal: connections that come sooner than the rate allows wait to be accepted, a second at a time. Method: one a second; ten seconds of it may come
// at once, and what follows waits a second each, as long as the first ten count.
func TestRateOfConnections(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		b, _ := limited(t, e, server.Limits{Connections: anyNumber, PerAddress: anyNumber, Rate: 1})
		began := e.Mono()
		for range 10 {
			if !b.served(b.dial()) {
				t.Fatal("within the rate, and not served")
			}
		}
		if took := e.Mono().Sub(began); took > 500*time.Millisecond {
			t.Errorf("ten at once took %s", took)
		}
		began = e.Mono()
		for range 3 {
			c := b.dial()
			b.send(c, ask(1))
			if _, err := c.Read(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		if took := e.Mono().Sub(began); took < 2500*time.Millisecond || took > 3500*time.Millisecond {
			t.Errorf("three above the rate took %s, want 3 s", took)
		}
	})
}

// Goal: connections that an address makes sooner than it may are not served, and closed when a window is over, not at once; those of an address
// without a bound are. What is turned away does not count, for neither rate. Method: one a second; ten seconds of it may come at once, and one
// when they are forgotten, however many were turned away in between; the server's own rate has room for those alone that are served.
func TestRateOfConnectionsOfAnAddress(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		var bound atomic.Int64
		bound.Store(1)
		b, _ := limited(t, e, server.Limits{Connections: anyNumber, PerAddress: anyNumber, Rate: 4, AddressRate: func(address string) int {
			if address != "b1" {
				t.Errorf("asked for the bound of %q", address)
			}
			return int(bound.Load())
		}})
		for range 10 {
			if !b.served(b.dial()) {
				t.Fatal("within the rate, and not served")
			}
		}
		first := e.Mono()
		e.Sleep(5 * time.Second)
		var early []env.Conn
		began := e.Mono()
		for range 40 { // with the ten above more than the server's rate has room for
			early = append(early, b.dial())
		}
		b.send(early[0], ask(1))
		early[0].SetReadDeadline(began.Add(500 * time.Millisecond))
		if n, err := early[0].Read(make([]byte, 1000)); n > 0 || !errors.Is(err, env.ErrTimeout) {
			t.Errorf("one that came too soon got %d bytes, %v", n, err)
		}
		for _, c := range early {
			if !b.closed(c) {
				t.Fatal("one that came too soon stays open")
			}
		}
		if took := e.Mono().Sub(began); took < 900*time.Millisecond || took > 2*time.Second {
			t.Errorf("closed after %s, want a window", took)
		}
		bound.Store(anyNumber << 1)
		began = e.Mono()
		for range 20 {
			if !b.served(b.dial()) {
				t.Fatal("without a bound, and not served")
			}
		}
		if took := e.Mono().Sub(began); took > 500*time.Millisecond {
			t.Errorf("what was turned away counts for the server: %s", took)
		}
		bound.Store(1)
		e.Sleep(11500*time.Millisecond - e.Mono().Sub(first))
		if !b.served(b.dial()) {
			t.Error("what was turned away counts for the address")
		}
	})
}

// Goal: a server that is closing waits for nobody who waits to be accepted, be it for a place or for the rate, and closes him.
func TestCloseWhileSomebodyWaits(t *testing.T) {
	for name, l := range map[string]server.Limits{
		"place": {Connections: 1, PerAddress: anyNumber, Rate: anyNumber}, "rate": {Connections: anyNumber, PerAddress: anyNumber, Rate: 0},
		"rate of the address": {Connections: anyNumber, PerAddress: anyNumber, Rate: anyNumber, AddressRate: func(string) int { return 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			cluster.Test(t, 1, func(e env.Env) {
				b, _ := limited(t, e, l)
				first, waits := b.dial(), b.dial()
				e.Sleep(10 * time.Millisecond)
				began := e.Mono()
				b.server.Close(time.Minute)
				if took := e.Mono().Sub(began); took > 100*time.Millisecond {
					t.Errorf("closing took %s", took)
				}
				if !b.closed(first) || !b.closed(waits) {
					t.Error("a connection stays open")
				}
			})
		})
	}
}
