package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/client"
	"barnabas/broker/zookeeper/jute"
	"barnabas/broker/zookeeper/server"
	"barnabas/sim/cluster"
)

// world is a server "zk:2181" with ticks of a second, beside what the test does.
type world struct {
	*cluster.World
	t      *testing.T
	server *server.Server
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{World: cluster.New(cluster.Options{Seed: seed}), t: t}
	t.Cleanup(w.Close)
	w.AddNode("zk", func(e env.Env) {
		s, err := server.New(e, server.Config{Addr: "zk:2181", DataDir: "/zk", TickMs: 1000})
		if err == nil {
			w.server = s
			err = s.Run()
		}
		if err != nil {
			t.Errorf("server: %v", err)
		}
	})
	w.Start("zk")
	return w
}

// do runs f as a task and requires that it ends.
func (w *world) do(f func(e env.Env)) {
	w.t.Helper()
	done := false
	w.Go("test", func(e env.Env) {
		f(e)
		done = true
	})
	w.RunUntil(func() bool { return done }, w.Now().Add(10*time.Minute))
	for _, c := range w.Crashes() {
		w.t.Error(c)
	}
	if !done && !w.t.Failed() {
		w.t.Errorf("the test does not end\n%s", w.Stuck())
	}
}

func (w *world) open(e env.Env, servers ...string) zookeeper.Session {
	w.t.Helper()
	s, err := client.Open(e, servers, 6000, e.Mono().Add(time.Minute))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) create(s zookeeper.Session, path string, mode zookeeper.CreateMode) {
	w.t.Helper()
	if _, _, err := s.Create(path, nil, mode); err != nil {
		w.t.Fatal(err)
	}
}

// Goal: a session finds the server among addresses where nobody is.
func TestSessionTriesEveryServer(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		w := newWorld(t, seed)
		w.AddNode("nobody", func(env.Env) {})
		w.do(func(e env.Env) {
			s := w.open(e, "nobody:2181", "zk:2181", "nobody:2182")
			w.create(s, "/a", zookeeper.Ephemeral)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Goal: a silent server is given up after two thirds of the session's time-out, calls under way fail then, and the
// session comes back, the same, if that is in time.
func TestSilenceIsALostConnection(t *testing.T) {
	w := newWorld(t, 1)
	w.do(func(e env.Env) {
		s := w.open(e, "zk:2181")
		id := s.ID()
		w.create(s, "/a", zookeeper.Ephemeral)
		heal := w.Partition([]string{"harness"}, []string{"zk"}, false)
		began := e.Mono()
		_, _, err := s.Get("/a", false)
		if took := e.Mono().Sub(began); !errors.Is(err, zookeeper.ErrConnectionLoss) || took > 4100*time.Millisecond || took < 3*time.Second {
			t.Errorf("get from a silent server: %v after %v", err, took)
		}
		began = e.Mono()
		if _, _, err := s.Get("/a", false); !errors.Is(err, zookeeper.ErrConnectionLoss) || e.Mono().Sub(began) > time.Millisecond {
			t.Errorf("get while disconnected: %v after %v", err, e.Mono().Sub(began))
		}
		heal()
		for _, want := range []zookeeper.State{zookeeper.StateConnected, zookeeper.StateDisconnected, zookeeper.StateConnected} {
			if ev, _ := s.Events().GetUntil(e.Mono().Add(time.Minute)); ev.State != want || ev.Type != zookeeper.EventSession {
				t.Fatalf("event %+v, want state %d", ev, want)
			}
		}
		if _, stat, err := s.Get("/a", false); err != nil || stat.EphemeralOwner != id || s.ID() != id {
			t.Errorf("after the silence: %+v, %v", stat, err)
		}
	})
}

// Goal: a session never decides itself that it has expired: not after hours, only when a server says so.
func TestOnlyAServerExpiresASession(t *testing.T) {
	w := newWorld(t, 1)
	w.do(func(e env.Env) {
		s := w.open(e, "zk:2181")
		heal := w.Partition([]string{"harness"}, []string{"zk"}, false)
		e.Sleep(time.Hour / 10)
		if len(w.server.Sessions()) != 0 {
			t.Error("the server keeps a session it has not heard of")
		}
		for s.Events().Len() > 0 {
			if ev, _ := s.Events().Get(); ev.State == zookeeper.StateExpired {
				t.Error("expired without a server's word")
			}
		}
		heal()
		if ev, _ := s.Events().GetUntil(e.Mono().Add(time.Minute)); ev.State != zookeeper.StateExpired {
			t.Errorf("event %+v, want expiry", ev)
		}
	})
}

// Goal: the session of a client that dies expires, with its ephemeral nodes, and not before its time-out.
func TestSessionOfADeadClientExpires(t *testing.T) {
	w := newWorld(t, 1)
	w.AddNode("client", func(e env.Env) {
		s := w.open(e, "zk:2181")
		w.create(s, "/a", zookeeper.Ephemeral)
		for {
			s.Events().Get()
		}
	})
	w.Start("client")
	w.do(func(e env.Env) {
		s := w.open(e, "zk:2181")
		for exists := false; !exists; {
			exists, _, _ = s.Exists("/a", true)
			e.Sleep(time.Millisecond)
		}
		for s.Events().Len() > 0 {
			s.Events().Get()
		}
		began := e.Mono()
		w.Crash("client")
		ev, _ := s.Events().GetUntil(e.Mono().Add(time.Minute))
		if took := e.Mono().Sub(began); ev.Type != zookeeper.EventNodeDeleted || took < 4*time.Second || took > 8*time.Second {
			t.Errorf("event %+v after %v", ev, took)
		}
	})
}

// Goal: Open gives up at its deadline, and leaves no session behind when the server answers late.
func TestOpenEndsAtItsDeadline(t *testing.T) {
	w := newWorld(t, 1)
	w.do(func(e env.Env) {
		w.Pause("zk")
		began := e.Mono()
		_, err := client.Open(e, []string{"zk:2181"}, 6000, began.Add(time.Second))
		if took := e.Mono().Sub(began); !errors.Is(err, zookeeper.ErrConnectionLoss) || took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("open: %v after %v", err, took)
		}
		w.Resume("zk")
		e.Sleep(2 * time.Second)
		if n := len(w.server.Sessions()); n != 0 {
			t.Errorf("%d sessions left behind", n)
		}
		if _, err := client.Open(e, nil, 6000, env.Never); !errors.Is(err, zookeeper.ErrBadArguments) {
			t.Errorf("open without servers: %v", err)
		}
	})
}

// Goal: a server that talks nonsense loses the client and does it no harm.
func TestNonsenseFromAServerIsALostConnection(t *testing.T) {
	welcome := (&jute.ConnectResponse{TimeoutMs: 6000, SessionID: 9, Password: make([]byte, 16)}).Append(nil)
	reply := func(h jute.ReplyHeader, body ...byte) []byte {
		frame := jute.AppendReply(nil, h, jute.OpPing, &jute.Response{})
		frame[3] += byte(len(body))
		return append(frame, body...)
	}
	for name, answers := range map[string][2][]byte{ // to the connect request, and to the first call
		"text":                {[]byte("HTTP/1.1 400 Bad Request\r\n")},
		"long frame":          {{0x7f, 0, 0, 0}},
		"short welcome":       {{0, 0, 0, 2, 0, 0}},
		"new session refused": {(&jute.ConnectResponse{Password: make([]byte, 16)}).Append(nil)},
		"short reply":         {welcome, {0, 0, 0, 1, 0}},
		"another xid":         {welcome, reply(jute.ReplyHeader{Xid: 77})},
		"body cut":            {welcome, reply(jute.ReplyHeader{Xid: 1}, 0, 0, 0, 9, 1)},
		"event cut":           {welcome, reply(jute.ReplyHeader{Xid: jute.XidNotification}, 0, 0)},
		"closed":              {welcome, {}},
	} {
		w := newWorld(t, 1)
		w.AddNode("nonsense", func(e env.Env) { talk(t, e, answers) })
		w.Start("nonsense")
		w.do(func(e env.Env) {
			s, err := client.Open(e, []string{"nonsense:2181"}, 6000, e.Mono().Add(3*time.Second))
			if answers[1] == nil {
				if !errors.Is(err, zookeeper.ErrConnectionLoss) {
					t.Errorf("%s: open: %v", name, err)
				}
				return
			}
			if err != nil {
				t.Errorf("%s: open: %v", name, err)
				return
			}
			if _, _, err := s.Get("/a", false); !errors.Is(err, zookeeper.ErrConnectionLoss) {
				t.Errorf("%s: get: %v", name, err)
			}
			s.Close()
		})
	}
}

// talk answers every connection the same.
func talk(t *testing.T, e env.Env, answers [2][]byte) {
	listener, err := e.Listen("nonsense:2181")
	if err != nil {
		t.Error(err)
		return
	}
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		e.Go("talk", func() {
			defer c.Close()
			for _, answer := range answers {
				if _, err := jute.ReadFrame(c, 1<<20, nil); err != nil {
					return
				}
				if _, err := c.Write(answer); err != nil && !strings.Contains(err.Error(), "reset") {
					return
				}
			}
			if answers[1] == nil || len(answers[1]) > 0 {
				c.Read(make([]byte, 1)) // it is for the client to end it
			}
		})
	}
}

// Goal: calls of many tasks are under way at once: one connection, far fewer round trips than calls.
func TestCallsArePipelined(t *testing.T) {
	w := newWorld(t, 1)
	w.do(func(e env.Env) {
		s := w.open(e, "zk:2181")
		w.create(s, "/a", zookeeper.Persistent)
		began := e.Mono()
		s.Set("/a", nil, zookeeper.AnyVersion)
		one := e.Mono().Sub(began)
		const n = 100
		group := env.NewGroup(e)
		began = e.Mono()
		for range n {
			group.Go("set", func() {
				if _, err := s.Set("/a", nil, zookeeper.AnyVersion); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if all := e.Mono().Sub(began); all > n/5*one {
			t.Errorf("%d calls took %v, one alone %v", n, all, one)
		}
	})
}
