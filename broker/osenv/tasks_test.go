package osenv

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"barnabas/broker/env"
)

// waiting counts the tasks in the cond's queue.
func waiting(c *cond) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for w := c.head; w != nil; w = w.next {
		n++
	}
	return n
}

// Goal: Signal wakes in the order of waiting.
func TestSignalWakesTheLongestWaiting(t *testing.T) {
	e := New(Options{})
	mu := e.NewMutex()
	c := e.NewCond(mu).(*cond)
	woken := make(chan int)
	for i := range 5 {
		go func() {
			mu.Lock()
			c.WaitUntil(e.Mono().Add(time.Minute))
			mu.Unlock()
			woken <- i
		}()
		for waiting(c) != i+1 {
			runtime.Gosched()
		}
	}
	for i := range 5 {
		c.Signal()
		if got := <-woken; got != i {
			t.Fatalf("signal %d woke waiter %d", i, got)
		}
	}
}

// Goal: no signal is lost to a waiter whose deadline comes at the same time, and none wakes two.
// Method: tokens handed over one by one to waiters with tiny deadlines, counted on both sides.
func TestSignalsAreNeitherLostNorDoubled(t *testing.T) {
	e := New(Options{})
	mu := e.NewMutex()
	c := e.NewCond(mu).(*cond)
	var trues atomic.Int64
	var sent int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				if c.WaitUntil(e.Mono().Add(time.Duration(i+1) * time.Microsecond * 10)) {
					trues.Add(1)
				}
				mu.Unlock()
			}
		})
	}
	for range 20_000 {
		c.mu.Lock()
		if c.head != nil {
			w := c.head
			c.remove(w)
			w.ready <- struct{}{}
			sent++
		}
		c.mu.Unlock()
		runtime.Gosched()
	}
	close(stop)
	wg.Wait()
	if trues.Load() != sent || sent < 100 {
		t.Errorf("%d signals, %d woken", sent, trues.Load())
	}
	if n := waiting(c); n != 0 {
		t.Errorf("%d left in the queue", n)
	}
}

// Goal: waiting with a deadline takes no goroutine and, once warm, hardly any memory.
func TestWaitUntilIsCheap(t *testing.T) {
	e := New(Options{})
	mu := e.NewMutex()
	c := e.NewCond(mu)
	mu.Lock()
	defer mu.Unlock()
	goroutines := runtime.NumGoroutine()
	allocs := testing.AllocsPerRun(200, func() { c.WaitUntil(e.Mono().Add(time.Microsecond)) })
	if allocs > 1 {
		t.Errorf("%.1f allocations a wait", allocs)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more", n-goroutines)
	}
}

// Goal: streams follow the seed if there is one, and differ between two Envs if there is none.
func TestRandFollowsItsSeed(t *testing.T) {
	draw := func(seed uint64, name string) uint64 { return New(Options{Seed: seed}).Rand(name).Uint64() }
	if draw(5, "a") != draw(5, "a") {
		t.Error("a seed gave two streams")
	}
	if draw(5, "a") == draw(6, "a") || draw(5, "a") == draw(5, "b") {
		t.Error("different seeds or names gave one stream")
	}
	if draw(0, "a") == draw(0, "a") {
		t.Error("no seed gave the same stream twice")
	}
}

// BenchmarkCond is a hand-over between two tasks, with deadlines.
func BenchmarkCond(b *testing.B) {
	e := New(Options{})
	q, back := env.NewQueue[int](e, 1), env.NewQueue[int](e, 1)
	go func() {
		for {
			v, ok := q.GetUntil(e.Mono().Add(time.Hour))
			if !ok {
				return
			}
			back.Put(v)
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		q.Put(1)
		back.GetUntil(e.Mono().Add(time.Hour))
	}
	q.Close()
}
