package cpu

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
	"barnabas/sim/network"
)

// Goal: cores are shared first come, first served, and the example of Spend is true. Method: tasks that spend at known times.
func TestTasksShareCores(t *testing.T) {
	for _, c := range []struct {
		cores int
		want  time.Duration // when the second task is done
	}{{1, 5 * time.Millisecond}, {2, 3 * time.Millisecond}} {
		cluster.Test(t, 1, func(e env.Env) {
			p := NewProcess(New(c.cores), Costs{})
			g := env.NewGroup(e)
			begin := e.Mono()
			var second time.Duration
			g.Go("a", func() { p.Spend(e, 3*time.Millisecond) })
			g.Go("b", func() {
				e.Sleep(time.Millisecond)
				p.Spend(e, 2*time.Millisecond)
				second = e.Mono().Sub(begin)
			})
			g.Wait()
			if d := second - c.want; d < 0 || d > 50*time.Microsecond { // env calls take a little virtual time
				t.Errorf("%d cores: the second task is done after %s, want %s", c.cores, second, c.want)
			}
			if p.Use().CPU != 5*time.Millisecond || p.cpu.Busy() != 5*time.Millisecond {
				t.Errorf("used %s and %s of 5 ms", p.Use().CPU, p.cpu.Busy())
			}
		})
	}
}

// Goal: each call costs what the table says, and bytes are counted. Method: an echo of 1000 bytes with a file written between.
func TestCallsCostTheirTime(t *testing.T) {
	net := network.Perfect()
	w := cluster.New(cluster.Options{Seed: 1, Network: &net, StepCost: 1})
	defer w.Close()
	costs := Costs{Read: 10 * time.Microsecond, Write: 20 * time.Microsecond, FileWrite: 40 * time.Microsecond, ReadByte: 1, WriteByte: 2, FileWriteByte: 3, SendByte: 5}
	p := NewProcess(New(1), costs)
	w.AddNode("s", func(e env.Env) {
		e = p.Wrap(e)
		l, err := e.Listen("s:1")
		if err != nil {
			t.Error(err)
			return
		}
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		buf := make([]byte, 1000)
		for at := 0; at < len(buf); {
			n, err := c.Read(buf[at:])
			if at += n; err != nil {
				t.Error(err)
				return
			}
		}
		f, err := e.Open("f", env.Create)
		if err != nil {
			t.Error(err)
			return
		}
		f.WriteAt(buf, 0)
		c.SendFile(f, 0, 1000)
		c.Write(buf)
	})
	done := false
	w.AddNode("c", func(e env.Env) {
		c, err := e.Dial("s:1", time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		c.Write(make([]byte, 1000))
		buf := make([]byte, 1000)
		for got := 0; got < 2000; {
			n, err := c.Read(buf)
			if got += n; err != nil {
				break
			}
		}
		done = true
	})
	w.Start("s")
	w.Start("c")
	if r := w.RunUntil(func() bool { return done }, env.Instant(time.Minute)); r != cluster.Satisfied {
		t.Fatal(r, w.Stuck())
	}
	u := p.Use()
	want := time.Duration(u.Reads)*costs.Read + 2*costs.Write + costs.FileWrite + 1000*(1+3+5+2)
	if u.CPU != want || u.NetIn != 1000 || u.NetOut != 2000 || u.FileOut != 1000 || u.FileIn != 1000 {
		t.Errorf("%+v, want %s", u, want)
	}
}

// Goal: a disturbed core is away for the share of time that it should be, and work waits for it. Method: 10 ms away every 30 ms, so a
// quarter of the time; work of 100 µs every millisecond for 20 s.
func TestDisturbedCores(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		c := New(1)
		c.Disturb(e.Rand("cpu"), 30*time.Millisecond, 10*time.Millisecond)
		p := NewProcess(c, Costs{})
		late, n := 0, 0
		for e.Mono() < env.Instant(20*time.Second) {
			began := e.Mono()
			p.Spend(e, 100*time.Microsecond)
			if e.Mono().Sub(began) > 200*time.Microsecond {
				late++
			}
			n++
			e.Sleep(900 * time.Microsecond)
		}
		// Work comes every ms, so being away for 10 ms makes one wait, not ten: some 20 s / 41 ms of them are late.
		if want := 20000 / 41; late < want*8/10 || late > want*12/10 {
			t.Errorf("%d of %d waited, want about %d", late, n, want)
		}
		if away := 20*time.Second - time.Duration(n)*time.Millisecond; away < 4*time.Second || away > 6*time.Second {
			t.Errorf("the core was away for %s of 20 s", away)
		}
	})
}
