package network_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
	"barnabas/sim/network"
)

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
