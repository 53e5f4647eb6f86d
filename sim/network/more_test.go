package network_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/network"
)

// Goal: loss is delay: everything arrives, in order, later than without it.
func TestLossIsDelay(t *testing.T) {
	took := func(one int) time.Duration {
		var got []byte
		var at env.Instant
		p := newPair(t, 5, nil, func(e env.Env, c env.Conn) {
			got, _ = readAll(c)
			at = e.Mono()
		}, func(e env.Env, c env.Conn) {
			for i := range 100 {
				c.Write([]byte{byte(i)})
				e.Sleep(time.Millisecond)
			}
			c.Close()
		})
		p.Run(env.Instant(10 * time.Millisecond))
		p.SetLink("c1", "b1", network.Condition{LossOneIn: one})
		p.finish(time.Minute)
		for i, b := range got {
			if int(b) != i {
				t.Fatalf("byte %d is %d", i, b)
			}
		}
		if len(got) != 100 || (p.LinkHurt("c1", "b1") > 0) != (one > 0) {
			t.Errorf("%d bytes, %d losses with one in %d", len(got), p.LinkHurt("c1", "b1"), one)
		}
		return at.Sub(0)
	}
	if with, without := took(3), took(0); with < without+200*time.Millisecond {
		t.Errorf("took %v with loss, %v without", with, without)
	}
}

// Goal: a capped link passes so many bytes a second and no more.
func TestBandwidthIsCapped(t *testing.T) {
	var began, ended env.Instant
	p := newPair(t, 5, nil, func(e env.Env, c env.Conn) {
		got, _ := readAll(c)
		if ended = e.Mono(); len(got) != 100_000 {
			t.Errorf("%d bytes", len(got))
		}
	}, func(e env.Env, c env.Conn) {
		e.Sleep(time.Second)
		began = e.Mono()
		for range 100 {
			c.Write(make([]byte, 1000))
		}
		c.Close()
	})
	p.SetLink("c1", "b1", network.Condition{BytesPerSecond: 50_000})
	p.finish(time.Minute)
	if took := ended.Sub(began); took < 2*time.Second || took > 2500*time.Millisecond || p.LinkHurt("c1", "b1") == 0 {
		t.Errorf("100,000 bytes at 50,000 a second took %v", took)
	}
}

// Goal: a host that forgets a connection sees it broken at once; the other side learns of it when it next sends.
func TestHalfOpenConnection(t *testing.T) {
	var forgot, learned env.Instant
	p := newPair(t, 5, nil, func(e env.Env, c env.Conn) {
		_, err := c.Read(make([]byte, 1))
		(&pair{t: t}).is("the read of who forgot", err, env.ErrReset)
		forgot = e.Mono()
	}, func(e env.Env, c env.Conn) {
		c.SetReadDeadline(env.Instant(5 * time.Second))
		_, err := c.Read(make([]byte, 1))
		(&pair{t: t}).is("the read of who was not told", err, env.ErrTimeout)
		c.SetReadDeadline(env.Never)
		c.Write([]byte("x"))
		_, err = c.Read(make([]byte, 1))
		(&pair{t: t}).is("the read after a word", err, env.ErrReset)
		learned = e.Mono()
	})
	p.after(time.Second, func() {
		if n := p.HalfOpen("b1", "c1"); n != 1 {
			t.Errorf("%d connections forgotten", n)
		}
	})
	p.finish(time.Minute)
	if forgot < env.Instant(time.Second) || forgot > env.Instant(1100*time.Millisecond) || learned < env.Instant(5*time.Second) {
		t.Errorf("forgot at %v, learned at %v", forgot.Sub(0), learned.Sub(0))
	}
}

// Goal: what a connection carries is held back, a newer connection is free, and what was held back comes in the end,
// though its sender has closed long since.
func TestHeldBackComesAfterWhatWasSaidLater(t *testing.T) {
	var heard []string
	p := newPair(t, 5, nil, func(e env.Env, c env.Conn) {
		got, _ := readAll(c)
		heard = append(heard, string(got))
		if e.Mono() < env.Instant(11*time.Second) {
			t.Errorf("heard at %v", e.Mono().Sub(0))
		}
	}, func(e env.Env, c env.Conn) {
		e.Sleep(2 * time.Second)
		c.Write([]byte("early"))
		c.Close()
		e.Sleep(time.Second)
		later, err := e.Dial("b2:1", time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		later.Write([]byte("late"))
		later.Close()
	})
	p.AddNode("b2", func(e env.Env) { // another process on the same way
		l, _ := e.Listen(":1")
		c, err := l.Accept()
		if err == nil {
			got, _ := readAll(c)
			heard = append(heard, string(got))
		}
	})
	p.Start("b2")
	p.after(time.Second, func() {
		p.HoldBack("c1", "b1", 10*time.Second)
		p.HoldBack("c1", "b2", 10*time.Second)
	})
	p.finish(time.Minute)
	if len(heard) != 2 || heard[0] != "late" || heard[1] != "early" || p.Network().Fired(network.KindHoldBack) == 0 {
		t.Errorf("heard %q", heard)
	}
}
