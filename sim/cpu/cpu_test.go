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
