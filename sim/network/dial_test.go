package network_test

import (
	"errors"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
	"barnabas/sim/network"
)

// Goal: a dial fails as it would: refused without a listener, timed out without an answer, in the time allowed.
func TestDialFailures(t *testing.T) {
	p := network.LAN()
	p.Backlog = 2
	w := cluster.New(cluster.Options{Seed: 1, Network: &p})
	defer w.Close()
	w.AddNode("off", nil)
	w.AddNode("cut", func(e env.Env) { e.Listen(":1"); e.Sleep(time.Hour) })
	w.AddNode("b1", func(e env.Env) {
		if _, err := e.Listen("elsewhere:1"); err == nil {
			t.Error("listens on another host's address")
		}
		l, _ := e.Listen("b1:0")
		if _, err := e.Listen(l.Addr()); err == nil {
			t.Error("two listeners on one port")
		}
		e.Listen(":7")
		e.Sleep(time.Hour)
	})
	w.Start("cut")
	w.Start("b1")
	dial := func(e env.Env, addr string, want error, least, most time.Duration) {
		start := e.Mono()
		_, err := e.Dial(addr, 5*time.Second)
		if took := e.Mono().Sub(start); !errors.Is(err, want) || (want == nil) != (err == nil) || took < least || took > most {
			t.Errorf("dial %s: %v after %v, want %v in %v to %v", addr, err, took, want, least, most)
		}
	}
	var refuse, heal func()
	w.AddNode("c1", func(e env.Env) {
		e.Sleep(time.Second)
		dial(e, "b1:8", env.ErrRefused, 0, time.Second)
		dial(e, "nowhere:8", env.ErrRefused, 0, time.Second)
		dial(e, "off:8", env.ErrTimeout, 5*time.Second, 5100*time.Millisecond)
		dial(e, "cut:1", env.ErrTimeout, 5*time.Second, 5100*time.Millisecond)
		dial(e, "b1:7", nil, 0, 3*time.Second)
		dial(e, "localhost:7", env.ErrRefused, 0, time.Millisecond)
		dial(e, "b1:7", nil, 0, 3*time.Second)
		e.Sleep(time.Second)
		dial(e, "b1:7", env.ErrTimeout, 5*time.Second, 5100*time.Millisecond) // the backlog of 2 is full
		refuse = w.RefuseDials("cut")
		heal()
		dial(e, "cut:1", env.ErrRefused, 0, time.Second)
		refuse()
		dial(e, "cut:1", nil, 0, 3*time.Second)
	})
	heal = w.Partition([]string{"c1"}, []string{"cut"}, false)
	w.Start("c1")
	w.RunUntil(func() bool { return w.Status("c1") != cluster.Running }, env.Instant(time.Minute))
	for _, k := range []network.Kind{network.KindRefuse, network.KindBacklog, network.KindHostDown, network.KindPartition, network.KindDialTimeout} {
		if w.Network().Fired(k) == 0 {
			t.Errorf("%v never fired", k)
		}
	}
	if w.Status("c1") != cluster.Exited {
		t.Error(w.Crashes(), w.Stuck())
	}
}

// Goal: a dial that starts in a partition succeeds when it heals in time.
func TestDialOutlastsAPartition(t *testing.T) {
	var at env.Instant
	p := newPair(t, 1, nil, func(e env.Env, c env.Conn) {}, func(e env.Env, c env.Conn) { at = e.Mono() })
	heal := p.Partition([]string{"c1"}, []string{"b1"}, true)
	p.after(4*time.Second, heal)
	p.finish(time.Minute)
	if at < env.Instant(4*time.Second) || at > env.Instant(9*time.Second) {
		t.Errorf("connected at %v", at.Sub(0))
	}
}

// Goal: a listener's close wakes Accept and resets who was not accepted.
func TestListenerClose(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	var accept, read error
	w.AddNode("b1", func(e env.Env) {
		l, _ := e.Listen(":1")
		other, _ := e.Listen(":2")
		e.Go("closer", func() { e.Sleep(2 * time.Second); l.Close(); other.Close() })
		_, accept = l.Accept()
		e.Sleep(time.Minute)
	})
	w.AddNode("c1", func(e env.Env) {
		e.Sleep(time.Second)
		c, err := e.Dial("b1:2", time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		_, read = c.Read(make([]byte, 1))
	})
	w.Start("b1")
	w.Start("c1")
	w.Run(env.Instant(10 * time.Second))
	if !errors.Is(accept, env.ErrClosed) || !errors.Is(read, env.ErrReset) {
		t.Error(accept, read)
	}
}
