package network_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
	"barnabas/sim/network"
)

// pair is a world with a server "b1" that accepts one connection and a client "c1" that dials it. Each side runs its
// function with its end and the world; what goes wrong is an error of the test.
type pair struct {
	t *testing.T
	*cluster.World
}

type side func(e env.Env, c env.Conn)

func newPair(t *testing.T, seed uint64, change func(p *network.Profile), server, client side) *pair {
	p := network.LAN()
	if change != nil {
		change(&p)
	}
	w := cluster.New(cluster.Options{Seed: seed, Network: &p})
	w.AddNode("b1", func(e env.Env) {
		l, err := e.Listen(":9092")
		if err != nil {
			panic(err)
		}
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		server(e, c)
	})
	w.AddNode("c1", func(e env.Env) {
		c, err := e.Dial("b1:9092", 10*time.Second)
		for errors.Is(err, env.ErrRefused) {
			c, err = e.Dial("b1:9092", 10*time.Second)
		}
		if err != nil {
			panic(err)
		}
		client(e, c)
	})
	w.Start("b1")
	w.Start("c1")
	return &pair{t, w}
}

// finish runs until both have exited, or until now+d.
func (p *pair) finish(d time.Duration) {
	p.t.Helper()
	defer p.World.Close()
	p.run(d)
	for _, c := range p.Crashes() {
		p.t.Error(c)
	}
}

func (p *pair) run(d time.Duration) {
	p.RunUntil(func() bool { return p.Status("b1") == cluster.Exited && p.Status("c1") == cluster.Exited }, p.Now().Add(d))
}

func (p *pair) after(d time.Duration, f func()) { p.At(p.Now().Add(d), f) }

func (p *pair) is(what string, err, want error) {
	p.t.Helper()
	if !errors.Is(err, want) || (want == nil && err != nil) {
		p.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func readAll(c env.Conn) ([]byte, error) {
	var all []byte
	buf := make([]byte, 9000)
	for {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return all, err
		}
	}
}

// Goal: a stream is whole and in order, whatever the links do, and ends in io.EOF. Method: writes of all sizes over a
// lossy link with short reads.
func TestStreamIsWholeAndInOrder(t *testing.T) {
	want := pattern(700_000)
	for seed := range uint64(20) {
		p := newPair(t, seed, func(p *network.Profile) { p.LossOneIn, p.ShortReadOneIn, p.SlowOneIn = 10, 3, 5 },
			func(e env.Env, c env.Conn) {
				if got, err := readAll(c); err != io.EOF || !bytes.Equal(got, want) {
					t.Errorf("seed %d: read %d of %d bytes: %v", seed, len(got), len(want), err)
				}
			}, func(e env.Env, c env.Conn) {
				r := e.Rand("sizes")
				for rest := want; len(rest) > 0; {
					n := min(len(rest), 1+r.IntN(1<<r.IntN(19)))
					if k, err := c.Write(rest[:n]); err != nil || k != n {
						t.Error(k, err)
					}
					rest = rest[n:]
				}
				c.Close()
				c.Close()
			})
		p.finish(time.Hour)
		if p.Status("b1") != cluster.Exited {
			t.Errorf("seed %d: not done\n%s", seed, p.Stuck())
		}
	}
}

// Goal: a writer waits for the reader when the window is full, and no longer.
func TestWindowHoldsTheWriterBack(t *testing.T) {
	var written env.Instant
	p := newPair(t, 1, func(p *network.Profile) { p.Window = 10_000 },
		func(e env.Env, c env.Conn) {
			e.Sleep(time.Second)
			readAll(c)
		}, func(e env.Env, c env.Conn) {
			c.Write(make([]byte, 10_000))
			if e.Mono() > env.Instant(100*time.Millisecond) {
				t.Error("a write that fits the window waited")
			}
			c.Write(make([]byte, 1))
			written = e.Mono()
			c.SetWriteDeadline(e.Mono().Add(time.Second))
		})
	p.finish(time.Minute)
	if written < env.Instant(time.Second) {
		t.Errorf("the write behind the window ended at %v", written.Sub(0))
	}
}

// Goal: deadlines end reads and writes, also when they are set while a call waits; Close wakes both; errors say which.
func TestDeadlinesAndCloseWakeWaiters(t *testing.T) {
	p := newPair(t, 1, func(p *network.Profile) { p.Window = 100 },
		func(e env.Env, c env.Conn) { e.Sleep(time.Minute) },
		func(e env.Env, c env.Conn) {
			pt := &pair{t: t}
			buf := make([]byte, 1)
			c.SetReadDeadline(e.Mono().Add(time.Second))
			_, err := c.Read(buf)
			pt.is("read past its deadline", err, env.ErrTimeout)
			if now := e.Mono(); now < env.Instant(time.Second) || now > env.Instant(1100*time.Millisecond) {
				t.Errorf("the deadline came at %v", now.Sub(0))
			}
			c.SetReadDeadline(env.Never)
			e.Go("later", func() { e.Sleep(time.Second); c.SetReadDeadline(e.Mono()) })
			_, err = c.Read(buf)
			pt.is("read with a deadline set while it waits", err, env.ErrTimeout)
			c.SetWriteDeadline(e.Mono().Add(time.Second))
			n, err := c.Write(make([]byte, 150))
			pt.is("write past its deadline", err, env.ErrTimeout)
			if n != 100 {
				t.Errorf("wrote %d bytes, want the window's 100", n)
			}
			c.SetReadDeadline(env.Never)
			c.SetWriteDeadline(env.Never)
			g := env.NewGroup(e)
			g.Go("reader", func() { _, err := c.Read(buf); pt.is("read of a closed one", err, env.ErrClosed) })
			g.Go("writer", func() { _, err := c.Write(buf); pt.is("write to a closed one", err, env.ErrClosed) })
			e.Sleep(time.Second)
			c.Close()
			g.Wait()
		})
	p.finish(time.Hour)
}

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

// Goal: a process that ends without closing its connections leaves a FIN.
func TestExitClosesConnections(t *testing.T) {
	p := newPair(t, 1, nil, func(e env.Env, c env.Conn) { c.Write([]byte("bye")) }, func(e env.Env, c env.Conn) {
		if got, err := readAll(c); err != io.EOF || string(got) != "bye" {
			t.Errorf("%q %v", got, err)
		}
	})
	p.finish(time.Minute)
	if p.Status("c1") != cluster.Exited {
		t.Error("the peer never noticed")
	}
}

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
	p.At(env.Instant(1500*time.Millisecond), func() { heal = p.SlowLink([]string{"b1"}, []string{"c1"}, 100) })
	p.At(env.Instant(2500*time.Millisecond), func() { heal(); p.Clog([]string{"b1"}, []string{"c1"}, time.Second) })
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

// Goal: SendFile sends the file's bytes, and says how many when the file is too short.
func TestSendFile(t *testing.T) {
	want := pattern(300_000)
	p := newPair(t, 1, nil, func(e env.Env, c env.Conn) {
		got, err := readAll(c)
		if err != io.EOF || !bytes.Equal(got, append(append([]byte("head"), want[1000:201_000]...), want[290_000:]...)) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}, func(e env.Env, c env.Conn) {
		f, err := e.Open("f", env.Create)
		if err == nil {
			_, err = f.WriteAt(want, 0)
		}
		(&pair{t: t}).is("write", err, nil)
		c.WriteMore([]byte("head"))
		n, err := c.SendFile(f, 1000, 200_000)
		if n != 200_000 || err != nil {
			t.Error(n, err)
		}
		n, err = c.SendFile(f, 290_000, 20_000)
		if n != 10_000 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(n, err)
		}
		c.Close()
	})
	p.finish(time.Minute)
}

// Goal: what is closed before its data was read is reset; what was sent before an orderly close is not lost.
func TestCloseWithUnreadDataResets(t *testing.T) {
	for _, unread := range []bool{true, false} {
		p := newPair(t, 1, nil, func(e env.Env, c env.Conn) {
			e.Sleep(time.Second)
			c.Write([]byte("bye"))
			if !unread {
				c.Read(make([]byte, 100))
			}
			c.Close()
			e.Sleep(10 * time.Second)
		}, func(e env.Env, c env.Conn) {
			c.Write([]byte("x"))
			got, err := readAll(c)
			if unread {
				(&pair{t: t}).is("read", err, env.ErrReset)
			} else if err != io.EOF || string(got) != "bye" {
				t.Errorf("%q %v", got, err)
			}
			for err = nil; err == nil; e.Sleep(time.Second) { // the other side is gone: some write must fail
				_, err = c.Write([]byte("y"))
			}
			(&pair{t: t}).is("write", err, env.ErrReset)
		})
		p.finish(time.Minute)
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

// Goal: a paused process's kernel goes on: it completes handshakes and takes data until the window is full.
func TestPausedProcessHasALivingKernel(t *testing.T) {
	wrote := 0
	p := newPair(t, 1, func(p *network.Profile) { p.Window = 1000 },
		func(e env.Env, c env.Conn) {
			buf := make([]byte, 100)
			for {
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		}, func(e env.Env, c env.Conn) {
			e.Sleep(2 * time.Second)
			for wrote < 10_000 {
				n, err := c.Write(make([]byte, 100))
				if wrote += n; err != nil {
					t.Error(err)
					return
				}
			}
			c.Close()
		})
	p.Run(env.Instant(time.Second))
	p.Pause("b1")
	p.RunFor(time.Hour)
	if wrote != 1000 {
		t.Errorf("%d bytes went out to a paused process, want the window", wrote)
	}
	p.Resume("b1")
	p.finish(time.Minute)
	if wrote != 10_000 {
		t.Errorf("%d bytes after the pause", wrote)
	}
}

func benchmarkEcho(b *testing.B, size int) {
	w := cluster.New(cluster.Options{Seed: 1, Policy: cluster.Random})
	defer w.Close()
	done := false
	w.AddNode("b1", func(e env.Env) {
		l, _ := e.Listen(":1")
		c, _ := l.Accept()
		buf := make([]byte, size)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			c.Write(buf[:n])
		}
	})
	w.AddNode("c1", func(e env.Env) {
		e.Sleep(time.Millisecond)
		c, err := e.Dial("b1:1", time.Second)
		if err != nil {
			panic(fmt.Sprint("dial: ", err))
		}
		buf := make([]byte, size)
		for range b.N {
			c.Write(buf)
			for n := 0; n < size; {
				k, _ := c.Read(buf)
				n += k
			}
		}
		done = true
	})
	w.Start("b1")
	w.Start("c1")
	b.ReportAllocs()
	b.ResetTimer()
	w.RunUntil(func() bool { return done }, env.Never)
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds()/1e3, "kmessages/s")
	b.SetBytes(int64(2 * size))
}

func BenchmarkEcho100B(b *testing.B)  { benchmarkEcho(b, 100) }
func BenchmarkEcho16KiB(b *testing.B) { benchmarkEcho(b, 16<<10) }
