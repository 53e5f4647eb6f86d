package osenv

import (
	"sync/atomic"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/env/envtest"
)

// Goal: while it lives, a Mortal does what package env says.
func TestMortalConformsToEnv(t *testing.T) {
	for _, c := range envtest.Env() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(New(Options{}).NewMortal(), "127.0.0.1:0", t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Goal: a kill ends every task of the life, wherever it waits: asleep, on a condition, on a mutex that a dead task holds,
// reading; and deferred functions run.
func TestMortalKill(t *testing.T) {
	world := New(Options{})
	l, err := world.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := world.NewMortal()
	ended := make(chan string, 8)
	start := func(name string, f func()) {
		m.Go(name, func() {
			defer func() { ended <- name }()
			f()
			t.Errorf("%s outlived its life", name)
		})
	}
	mu := m.NewMutex()
	cond := m.NewCond(mu)
	other := m.NewMutex()
	holds := make(chan struct{})
	start("sleeper", func() { m.Sleep(1 << 50) })
	start("waiter", func() {
		mu.Lock()
		defer mu.Unlock()
		cond.Wait()
	})
	start("holder", func() {
		other.Lock()
		close(holds)
		m.Sleep(1 << 50)
	})
	<-holds
	start("blocked", func() { other.Lock() })
	dialled := make(chan struct{})
	start("reader", func() {
		c, err := m.Dial(l.Addr(), 1<<40)
		close(dialled)
		if err != nil {
			t.Error(err)
			return
		}
		c.SetReadDeadline(env.Never)
		for {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				m.Sleep(1)
			}
		}
	})
	<-dialled
	m.Kill()
	m.Kill()
	for range 5 {
		<-ended
	}
}

// Goal: while a life is paused none of its tasks goes on; afterwards all do; a kill ends them, paused or not.
func TestMortalPause(t *testing.T) {
	m := New(Options{}).NewMortal()
	mu := m.NewMutex()
	var beats atomic.Int64
	ended := make(chan bool)
	m.Go("beat", func() {
		defer close(ended)
		for {
			mu.Lock()
			beats.Add(1)
			mu.Unlock()
			m.Sleep(time.Millisecond)
		}
	})
	waitUntil(t, func() bool { return beats.Load() > 2 })
	m.Pause()
	time.Sleep(20 * time.Millisecond) // the beat under way
	before := beats.Load()
	time.Sleep(50 * time.Millisecond)
	if after := beats.Load(); after != before {
		t.Errorf("%d beats while paused", after-before)
	}
	m.Resume()
	waitUntil(t, func() bool { return beats.Load() > before })
	m.Pause()
	m.Kill()
	<-ended
}
