package network_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
	"barnabas/sim/network"
)

// Goal: a two-way partition holds what was sent, and all of it comes after the heal.
func TestPartitionHoldsAndHealDelivers(t *testing.T) {
	for seed := range uint64(20) {
		var got []byte
		var at env.Instant
		p := newPair(t, seed, nil, func(e env.Env, c env.Conn) {
			got, _ = readAll(c)
			at = e.Mono()
		}, func(e env.Env, c env.Conn) {
			for i := range 100 {
				c.Write([]byte{byte(i)})
				e.Sleep(20 * time.Millisecond)
			}
			c.Close()
		})
		p.Run(env.Instant(time.Second))
		heal := p.Partition([]string{"c1"}, []string{"b1"}, false)
		p.after(10*time.Second, heal)
		p.finish(time.Minute)
		if len(got) != 100 || got[99] != 99 || at < env.Instant(11*time.Second) || p.Network().Fired(network.KindPartition) == 0 {
			t.Errorf("seed %d: %d bytes at %v", seed, len(got), at.Sub(0))
		}
	}
}

// Goal: a one-way partition lets the other direction's data through, but not its acknowledgements.
func TestOneWayPartitionBlocksAcknowledgements(t *testing.T) {
	received, written := 0, 0
	p := newPair(t, 3, func(p *network.Profile) { p.Window = 1000 },
		func(e env.Env, c env.Conn) {
			e.Sleep(time.Second)
			for {
				n, err := c.Write(make([]byte, 100))
				written += n
				if err != nil {
					return
				}
			}
		}, func(e env.Env, c env.Conn) {
			buf := make([]byte, 100)
			for {
				n, err := c.Read(buf)
				received += n
				if err != nil {
					return
				}
				e.Sleep(10 * time.Millisecond)
			}
		})
	p.Run(env.Instant(500 * time.Millisecond))
	heal := p.Partition([]string{"c1"}, []string{"b1"}, true) // c1 → b1 is cut, b1 → c1 is not
	if !p.Severed("c1", "b1") || !p.Severed("b1", "c1") {
		t.Error("half a link is whole")
	}
	p.RunFor(10 * time.Second)
	if received != 1000 || written != 1000 {
		t.Errorf("with acknowledgements cut: %d written, %d received, want the window of 1000", written, received)
	}
	heal()
	p.RunFor(10 * time.Second)
	if received < 10_000 {
		t.Errorf("after the heal: %d received", received)
	}
	heal = p.Partition([]string{"c1"}, []string{"b1"}, true)
	p.RunFor(20 * time.Second)
	heal()
	if p.RunFor(20 * time.Second); p.Status("b1") != cluster.Running {
		t.Error("the writer gave up though the link healed in time")
	}
	p.Partition([]string{"c1"}, []string{"b1"}, true)
	if p.RunFor(33 * time.Second); p.Status("b1") != cluster.Exited {
		t.Error("the writer did not give up for lack of acknowledgements")
	}
	p.World.Close()
}

// Goal: a connection that makes no progress breaks with ErrTimeout; an idle one does not notice.
func TestLongPartitionBreaksWhoSends(t *testing.T) {
	p := newPair(t, 3, nil, func(e env.Env, c env.Conn) {
		c.SetReadDeadline(env.Instant(5 * time.Minute))
		_, err := c.Read(make([]byte, 1))
		(&pair{t: t}).is("the idle side's read", err, env.ErrTimeout)
		if e.Mono() < env.Instant(5*time.Minute) {
			t.Errorf("the idle side broke at %v", e.Mono().Sub(0))
		}
	}, func(e env.Env, c env.Conn) {
		e.Sleep(2 * time.Second)
		c.Write([]byte("x"))
		_, err := c.Read(make([]byte, 1))
		(&pair{t: t}).is("the sender's read", err, env.ErrTimeout)
		if at := e.Mono().Sub(0); at < 32*time.Second || at > 33*time.Second {
			t.Errorf("the sender broke at %v, want about 32 s", at)
		}
		_, err = c.Write([]byte("x"))
		(&pair{t: t}).is("the sender's write", err, env.ErrTimeout)
	})
	p.Run(env.Instant(time.Second))
	p.Partition([]string{"c1"}, []string{"b1"}, false)
	p.finish(time.Hour)
}

// Goal: a reset breaks both ends at once.
func TestResetBreaksBothEnds(t *testing.T) {
	broken := 0
	wait := func(e env.Env, c env.Conn) {
		_, err := c.Read(make([]byte, 1))
		(&pair{t: t}).is("read", err, env.ErrReset)
		_, err = c.Write(make([]byte, 1))
		(&pair{t: t}).is("write", err, env.ErrReset)
		broken++
	}
	p := newPair(t, 3, nil, wait, wait)
	p.after(time.Second, func() {
		if n := p.ResetLinks([]string{"b1"}, []string{"c1"}); n != 1 {
			t.Errorf("%d connections reset, want 1", n)
		}
	})
	p.finish(time.Minute)
	if broken != 2 {
		t.Errorf("%d ends broke", broken)
	}
}

// Goal: when a process crashes, its kernel tells the peers, by FIN or by RST, both of which happen.
func TestCrashedProcessIsNoticed(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(20) {
		p := newPair(t, seed, nil, func(e env.Env, c env.Conn) { e.Sleep(time.Hour) }, func(e env.Env, c env.Conn) {
			_, err := c.Read(make([]byte, 1))
			switch {
			case err == io.EOF:
				seen["eof"]++
			case errors.Is(err, env.ErrReset):
				seen["reset"]++
			}
			for err = nil; err == nil; e.Sleep(time.Second) {
				_, err = c.Write([]byte("x"))
			}
			(&pair{t: t}).is("write to a dead process", err, env.ErrReset)
			if at := e.Mono().Sub(0); at > 10*time.Second {
				t.Errorf("noticed at %v", at)
			}
		})
		p.after(time.Second, func() { p.Crash("b1") })
		p.run(time.Minute)
		p.finish(0)
	}
	if seen["eof"] == 0 || seen["reset"] == 0 || seen["eof"]+seen["reset"] != 20 {
		t.Error(seen)
	}
}

// Goal: after a power loss nobody says a word: a write vanishes, until the host is back and answers with a RST, or the
// sender gives up.
func TestPowerLossIsSilent(t *testing.T) {
	for _, restart := range []bool{true, false} {
		var broke time.Duration
		var got error
		p := newPair(t, 4, nil, func(e env.Env, c env.Conn) { e.Sleep(time.Hour) }, func(e env.Env, c env.Conn) {
			e.Sleep(2 * time.Second)
			if _, err := c.Write([]byte("x")); err != nil {
				t.Error("the write into the void:", err)
			}
			_, got = c.Read(make([]byte, 1))
			broke = e.Mono().Sub(0)
		})
		p.after(time.Second, func() { p.PowerLoss("b1", disk.KeepAll) })
		if restart {
			p.after(10*time.Second, func() { p.Start("b1") })
		}
		p.finish(2 * time.Minute)
		if restart {
			p.is("after the restart", got, env.ErrReset)
			if broke < 10*time.Second || broke > 13*time.Second || p.Network().Fired(network.KindHalfOpen) == 0 {
				t.Errorf("broke at %v", broke)
			}
		} else {
			p.is("without a restart", got, env.ErrTimeout)
			if broke < 32*time.Second || broke > 33*time.Second {
				t.Errorf("gave up at %v", broke)
			}
		}
	}
}

// Goal: a writer that waits for a window hears that the other side died. Method: power loss and restart while it waits.
func TestWaitingWriterHearsOfADeath(t *testing.T) {
	var at time.Duration
	p := newPair(t, 4, nil, func(e env.Env, c env.Conn) { e.Sleep(time.Hour) }, func(e env.Env, c env.Conn) {
		_, err := c.Write(make([]byte, 10<<20))
		(&pair{t: t}).is("write", err, env.ErrReset)
		at = e.Mono().Sub(0)
	})
	p.after(5*time.Second, func() { p.PowerLoss("b1", disk.KeepAll) })
	p.after(6*time.Second, func() { p.Start("b1") })
	p.finish(time.Minute)
	if at < 6*time.Second || at > 25*time.Second {
		t.Errorf("it heard at %v", at)
	}
}

// Goal: a RST that is lost in a partition, before it leaves or under way, leaves the peer half open until it sends. A
// FIN is sent again.
func TestCrashInAPartitionLeavesHalfOpen(t *testing.T) {
	for _, crashFirst := range []bool{true, false} {
		seen := map[string]int{}
		for seed := range uint64(20) {
			p := newPair(t, seed, nil, func(e env.Env, c env.Conn) { e.Sleep(time.Hour) }, func(e env.Env, c env.Conn) {
				c.SetReadDeadline(env.Instant(8 * time.Second))
				_, err := c.Read(make([]byte, 1))
				switch {
				case err == io.EOF && e.Mono() > env.Instant(3*time.Second):
					seen["fin"]++
				case errors.Is(err, env.ErrTimeout):
					seen["silence"]++
				default:
					t.Errorf("seed %d: heard %v at %v", seed, err, e.Mono().Sub(0))
				}
				c.SetReadDeadline(env.Never)
				c.Write([]byte("x"))
				e.Sleep(time.Second)
				_, err = c.Write([]byte("x"))
				(&pair{t: t}).is("write after the heal", err, env.ErrReset)
			})
			p.Run(env.Instant(time.Second))
			if crashFirst {
				p.Crash("b1")
			}
			heal := p.Partition([]string{"b1"}, []string{"c1"}, false)
			p.after(time.Second, func() { p.Crash("b1") })
			p.after(2*time.Second, heal)
			p.run(time.Minute)
			p.finish(0)
		}
		if seen["fin"] == 0 || seen["silence"] == 0 || seen["fin"]+seen["silence"] != 20 {
			t.Error(seen)
		}
	}
}

// Goal: slow and clogged links are late, and clogged ones deliver everything afterwards; conditions of SetLink count.
func TestSlowAndClog(t *testing.T) {
	var trips []time.Duration
	p := newPair(t, 1, func(p *network.Profile) { *p = network.Perfect() },
		func(e env.Env, c env.Conn) {
			buf := make([]byte, 1)
			for {
				if _, err := c.Read(buf); err != nil {
					return
				}
				c.Write(buf)
			}
		}, func(e env.Env, c env.Conn) {
			buf := make([]byte, 1)
			for i := range 5 {
				e.Sleep((env.Instant(i+1) * env.Instant(time.Second)).Sub(e.Mono()))
				start := e.Mono()
				c.Write(buf)
				c.Read(buf)
				trips = append(trips, e.Mono().Sub(start))
			}
			c.Close()
		})
	var heal func()
	severed := func(at time.Duration, want bool) {
		p.At(env.Instant(at), func() {
			if p.Severed("b1", "c1") != want || p.Severed("c1", "b1") != want {
				t.Errorf("at %v the link is severed: %v", at, !want)
			}
		})
	}
	p.At(env.Instant(1500*time.Millisecond), func() { heal = p.SlowLink([]string{"b1"}, []string{"c1"}, 100) })
	severed(2400*time.Millisecond, false)
	p.At(env.Instant(2500*time.Millisecond), func() { heal(); p.Clog([]string{"b1"}, []string{"c1"}, time.Second) })
	severed(2600*time.Millisecond, true)
	severed(3600*time.Millisecond, false)
	p.At(env.Instant(3700*time.Millisecond), func() { p.SetLink("b1", "c1", network.Condition{Delay: 30 * time.Millisecond}) })
	p.At(env.Instant(4700*time.Millisecond), func() { p.World.Heal() })
	p.finish(time.Minute)
	want := [][2]time.Duration{{50, 300}, {10_000, 13_000}, {500_000, 501_000}, {30_000, 31_000}, {50, 300}}
	for i, trip := range trips {
		if us := trip / time.Microsecond; us < want[i][0] || us > want[i][1] {
			t.Errorf("round trip %d took %v, want %v µs", i, trip, want[i])
		}
	}
	if len(trips) != 5 || p.LinkHurt("b1", "c1") != 1 || p.LinkHurt("c1", "b1") != 0 {
		t.Error(trips, p.LinkHurt("b1", "c1"))
	}
}
