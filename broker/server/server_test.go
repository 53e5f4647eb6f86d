package server_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/purgatory"
	"barnabas/broker/server"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// bench is a server with a handler of the test, and a client on the same node.
type bench struct {
	t      *testing.T
	e      env.Env
	server *server.Server
}

func start(t *testing.T, e env.Env, o server.Options, handle server.Handler) *bench {
	o.Env, o.Addr, o.Handle = e, "b1:0", handle
	o.FrameBytesMax = max(o.FrameBytesMax, 1<<20)
	o.InFlightMax = max(o.InFlightMax, 1)
	s, err := server.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	return &bench{t: t, e: e, server: s}
}

func (b *bench) dial() env.Conn {
	c, err := b.e.Dial(b.server.Addr(), time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// ask is a request that the tests' handlers know by its BrokerID.
func ask(id int32) *kmsg.ControlledShutdownRequest {
	req := kmsg.NewPtrControlledShutdownRequest()
	req.Version, req.BrokerID = 3, id
	return req
}

func (b *bench) send(c env.Conn, reqs ...kmsg.Request) {
	var frames []byte
	for _, req := range reqs {
		id := int32(0)
		if r, ok := req.(*kmsg.ControlledShutdownRequest); ok {
			id = r.BrokerID
		}
		frames = wire.AppendRequest(frames, "test", id, req)
	}
	if _, err := c.Write(frames); err != nil {
		b.t.Fatal(err)
	}
}

// receive reads one response and returns its correlation id.
func (b *bench) receive(c env.Conn) (int32, error) {
	frame, err := wire.ReadFrame(c, 1<<30, nil)
	if err != nil {
		return 0, err
	}
	return wire.Correlation(frame)
}

func inWorlds(t *testing.T, seeds uint64, main func(e env.Env)) {
	t.Helper()
	for seed := range seeds {
		cluster.Test(t, seed, main)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func answer(r *server.Request) kmsg.Response {
	resp := r.Body.ResponseKind()
	resp.SetVersion(r.Body.GetVersion())
	return resp
}

// Handlers run in the order of the requests without waiting for one another's replies, and replies go out in that order
// although their waits end in any.
func TestRepliesComeInTheOrderOfRequests(t *testing.T) {
	const n = 20
	inWorlds(t, 60, func(e env.Env) {
		p := purgatory.New[int32](e, "test")
		random := e.Rand("test")
		var handled []int32
		inFlight, inFlightMost := 0, 0
		b := start(t, e, server.Options{InFlightMax: n}, func(r *server.Request) server.Reply {
			id := r.Body.(*kmsg.ControlledShutdownRequest).BrokerID
			handled = append(handled, id)
			if random.IntN(3) == 0 {
				return server.Now(answer(r))
			}
			inFlight++
			inFlightMost = max(inFlightMost, inFlight)
			deadline := e.Mono().Add(time.Duration(random.IntN(5000)) * time.Microsecond)
			return server.When(p.Watch([]int32{id}, deadline, func(purgatory.Set) bool { return false }), func(ready bool) server.Answer {
				if ready {
					t.Error("ready")
				}
				inFlight--
				return server.Answer{Message: answer(r)}
			})
		})
		c := b.dial()
		var sent []int32
		for id := range int32(n) {
			b.send(c, ask(id))
			sent = append(sent, id)
		}
		for _, want := range sent {
			if got, err := b.receive(c); err != nil || got != want {
				t.Fatalf("reply %d: %d %v", want, got, err)
			}
		}
		if !slices.Equal(handled, sent) {
			t.Errorf("handled %v", handled)
		}
		if inFlightMost < 2 {
			t.Errorf("at most %d in flight: not pipelined", inFlightMost)
		}
		b.server.Close(time.Second)
		p.Close()
	})
}

// A client that sends and sends is not read any more once so many of its replies wait.
func TestInFlightIsBounded(t *testing.T) {
	const limit = 4
	inWorlds(t, 20, func(e env.Env) {
		p := purgatory.New[int32](e, "test")
		handled, open := 0, false
		b := start(t, e, server.Options{InFlightMax: limit}, func(r *server.Request) server.Reply {
			handled++
			return server.When(p.Watch([]int32{1}, env.Never, func(purgatory.Set) bool { return open }), func(bool) server.Answer {
				return server.Answer{Message: answer(r)}
			})
		})
		c := b.dial()
		for id := range int32(50) {
			b.send(c, ask(id))
		}
		e.Sleep(time.Second)
		if handled > limit+2 { // those that wait, the one the writer awaits, the one the reader brings
			t.Errorf("%d handled", handled)
		}
		open = true
		p.Notify(1)
		for id := range int32(50) {
			if got, err := b.receive(c); err != nil || got != id {
				t.Fatalf("reply %d: %d %v", id, got, err)
			}
		}
		b.server.Close(time.Second)
		p.Close()
	})
}

// What is not a request closes its connection, is logged once with the peer, and hurts nobody else.
func TestMalformedFramesHurtNobodyElse(t *testing.T) {
	bad := map[string][]byte{
		"oversized":       {0x7f, 0xff, 0xff, 0xff},
		"negative":        {0xff, 0xff, 0xff, 0xff},
		"unknown key":     {0, 0, 0, 10, 3, 232, 0, 0, 0, 0, 0, 1, 255, 255},
		"unknown version": {0, 0, 0, 10, 0, 1, 0, 99, 0, 0, 0, 1, 255, 255},
		"short body":      {0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 255, 255},
		"empty frame":     {0, 0, 0, 0},
		"http":            []byte("GET / HTTP/1.1\r\nHost: b1\r\n\r\n"),
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range bad {
			if !yield(name) {
				return
			}
		}
	}) {
		w := cluster.New(cluster.Options{Seed: 7})
		var complaints []string
		w.OnEmit(func(_ string, ev env.Event) {
			if ev.Kind.Name == "bad-frame" {
				complaints = append(complaints, ev.Text)
			}
		})
		peer := ""
		w.AddNode("b1", func(e env.Env) {
			b := start(t, e, server.Options{}, func(r *server.Request) server.Reply { return server.Now(answer(r)) })
			good, evil := b.dial(), b.dial()
			peer = evil.LocalAddr()
			b.send(good, ask(1))
			if _, err := evil.Write(bad[name]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := b.receive(evil); err == nil {
				t.Errorf("%s: answered", name)
			}
			b.send(good, ask(2))
			for _, want := range []int32{1, 2} {
				if got, err := b.receive(good); err != nil || got != want {
					t.Errorf("%s: the other connection: %d %v", name, got, err)
				}
			}
			b.server.Close(time.Second)
		})
		w.Start("b1")
		w.Run(env.Instant(time.Minute))
		for _, crash := range w.Crashes() {
			t.Errorf("%s: %s", name, crash)
		}
		if len(complaints) != 1 || !strings.Contains(complaints[0], peer) {
			t.Errorf("%s: logged %q, peer %s", name, complaints, peer)
		}
		w.Close()
	}
}

// A frame that its sender never finishes is a malformed one.
func TestTruncatedFrame(t *testing.T) {
	inWorlds(t, 5, func(e env.Env) {
		b := start(t, e, server.Options{}, func(r *server.Request) server.Reply {
			t.Error("handled")
			return server.Now(answer(r))
		})
		for _, part := range [][]byte{{0, 0}, {0, 0, 0, 99, 1, 2, 3}, {0, 1, 0, 0, 1}} {
			c := b.dial()
			if _, err := c.Write(part); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		e.Sleep(time.Second)
		if n := b.server.Connections(); n != 0 {
			t.Errorf("%d connections left", n)
		}
		b.server.Close(time.Second)
	})
}

// HangUp closes the connection, after everything before it has been sent; what comes behind it is not looked at.
func TestHangUpSendsWhatCameBefore(t *testing.T) {
	inWorlds(t, 30, func(e env.Env) {
		p := purgatory.New[int32](e, "test")
		b := start(t, e, server.Options{InFlightMax: 10}, func(r *server.Request) server.Reply {
			switch r.Body.(*kmsg.ControlledShutdownRequest).BrokerID {
			case 1:
				deadline := e.Mono().Add(3 * time.Millisecond)
				return server.When(p.Watch([]int32{1}, deadline, func(purgatory.Set) bool { return false }), func(bool) server.Answer {
					return server.Answer{Message: answer(r)}
				})
			case 2:
				return server.Nothing()
			case 3:
				return server.HangUp()
			default:
				t.Error("handled what came behind")
				return server.Nothing()
			}
		})
		c := b.dial()
		b.send(c, ask(1), ask(2), ask(3), ask(4))
		if got, err := b.receive(c); err != nil || got != 1 {
			t.Fatalf("%d %v", got, err)
		}
		if got, err := b.receive(c); err == nil {
			t.Fatalf("a reply %d behind the end", got)
		}
		b.server.Close(time.Second)
		p.Close()
	})
}

// Close answers what is in flight, lets nobody in, and leaves nothing behind.
func TestCloseDrains(t *testing.T) {
	inWorlds(t, 60, func(e env.Env) {
		p := purgatory.New[int32](e, "test")
		b := start(t, e, server.Options{InFlightMax: 10}, func(r *server.Request) server.Reply {
			deadline := e.Mono().Add(100 * time.Millisecond)
			return server.When(p.Watch([]int32{1}, deadline, func(purgatory.Set) bool { return false }), func(bool) server.Answer {
				return server.Answer{Message: answer(r)}
			})
		})
		c, idle := b.dial(), b.dial()
		b.send(c, ask(1), ask(2))
		e.Sleep(50 * time.Millisecond)
		before := e.Mono()
		b.server.Close(10 * time.Second)
		if took := e.Mono().Sub(before); took > time.Second {
			t.Errorf("took %v", took)
		}
		for _, want := range []int32{1, 2} {
			if got, err := b.receive(c); err != nil || got != want {
				t.Errorf("reply %d: %d %v", want, got, err)
			}
		}
		if _, err := b.receive(idle); err == nil {
			t.Error("the idle connection is still open")
		}
		if _, err := e.Dial(b.server.Addr(), time.Second); !errors.Is(err, env.ErrRefused) {
			t.Errorf("dial: %v", err)
		}
		if n := b.server.Connections(); n != 0 || p.Waiting() != 0 {
			t.Errorf("%d connections, %d waiters left", n, p.Waiting())
		}
		p.Close()
	})
}

// At the end of its grace Close cuts what still waits.
func TestCloseCutsAtTheDeadline(t *testing.T) {
	inWorlds(t, 30, func(e env.Env) {
		p := purgatory.New[int32](e, "test")
		dropped := false
		b := start(t, e, server.Options{}, func(r *server.Request) server.Reply {
			return server.When(p.Watch([]int32{1}, env.Never, func(purgatory.Set) bool { return false }), func(bool) server.Answer {
				return server.Answer{Message: answer(r)}
			}).OrElse(func() { dropped = true })
		})
		c := b.dial()
		b.send(c, ask(1))
		e.Sleep(10 * time.Millisecond)
		b.server.Close(time.Second)
		if _, err := b.receive(c); err == nil {
			t.Error("answered")
		}
		e.Sleep(time.Second)
		if n := b.server.Connections(); n != 0 || p.Waiting() != 0 || !dropped {
			t.Errorf("%d connections, %d waiters left; dropped: %v", n, p.Waiting(), dropped)
		}
		p.Close()
	})
}

// A connection on which nothing happens is closed; one that waits for an answer is not idle.
func TestIdleConnectionsAreClosed(t *testing.T) {
	inWorlds(t, 10, func(e env.Env) {
		p := purgatory.New[int32](e, "test")
		b := start(t, e, server.Options{IdleMax: time.Minute}, func(r *server.Request) server.Reply {
			deadline := e.Mono().Add(3 * time.Minute)
			return server.When(p.Watch([]int32{1}, deadline, func(purgatory.Set) bool { return false }), func(bool) server.Answer {
				return server.Answer{Message: answer(r)}
			})
		})
		idle, waiting := b.dial(), b.dial()
		b.send(waiting, ask(1))
		e.Sleep(59 * time.Second)
		if n := b.server.Connections(); n != 2 {
			t.Errorf("%d connections after 59 s", n)
		}
		e.Sleep(10 * time.Second)
		if n := b.server.Connections(); n != 1 {
			t.Errorf("%d connections after 69 s", n)
		}
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("idle: %v", err)
		}
		if got, err := b.receive(waiting); err != nil || got != 1 {
			t.Errorf("waiting: %d %v", got, err)
		}
		b.server.Close(time.Second)
		p.Close()
	})
}
