package network_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/cluster"
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
