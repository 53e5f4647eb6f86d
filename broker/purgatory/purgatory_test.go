package purgatory_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/purgatory"
	"barnabas/sim/cluster"
)

// inWorlds runs main in many simulated worlds, each with another interleaving.
func inWorlds(t *testing.T, seeds uint64, main func(e env.Env)) {
	t.Helper()
	for seed := range seeds {
		cluster.Test(t, seed, main)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A waiter goes when one of its keys is notified and its condition holds, whatever the order of the two tasks: no
// wake-up may be lost between the first question and the registration.
func TestNotifyIsNeverLost(t *testing.T) {
	inWorlds(t, 300, func(e env.Env) {
		p := purgatory.New[string](e, "test")
		mu := e.NewMutex()
		value := 0
		e.Go("writer", func() {
			for range 3 {
				mu.Lock()
				value++
				mu.Unlock()
				p.Notify("b")
			}
		})
		for want := 1; want <= 3; want++ {
			w := p.Watch([]string{"a", "b"}, env.Never, func(purgatory.Set) bool {
				mu.Lock()
				defer mu.Unlock()
				return value >= want
			})
			if !w.Wait() || !w.Done() {
				t.Errorf("not ready for %d", want)
			}
		}
		if n := p.Waiting(); n != 0 {
			t.Errorf("%d waiters left", n)
		}
		p.Close()
	})
}

// Goal: who gives up while ready is being asked waits for its answer, and no longer. Method: Cancel comes in the middle of a question that
// is answered with no, and nothing else would end the wait.
func TestCancelWaitsForTheQuestion(t *testing.T) {
	inWorlds(t, 20, func(e env.Env) {
		p := purgatory.New[int](e, "test")
		asked, inside := 0, false
		w := p.Watch([]int{1}, env.Never, func(purgatory.Set) bool {
			if asked++; asked > 1 {
				inside = true
				e.Sleep(time.Millisecond)
				inside = false
			}
			return false
		})
		group := env.NewGroup(e)
		group.Go("notifier", func() { p.Notify(1) })
		for !inside {
			e.Sleep(10 * time.Microsecond)
		}
		if w.Cancel(); inside || asked != 2 {
			t.Errorf("inside %v, asked %d times", inside, asked)
		}
		group.Wait()
		if w.Wait() || p.Waiting() != 0 {
			t.Error("still there")
		}
		p.Close()
	})
}

// Goal: ready hears which keys have changed since it was asked last: every one of them, and, below the 64th, no other. Method: keys
// on both sides of the 64th are notified, some while ready is being asked.
func TestReadyHearsWhatChanged(t *testing.T) {
	inWorlds(t, 50, func(e env.Env) {
		p := purgatory.New[int](e, "test")
		keys := make([]int, 70)
		for i := range keys {
			keys[i] = i
		}
		told := make([]int, len(keys))
		asked := 0
		w := p.Watch(keys, env.Never, func(changed purgatory.Set) bool {
			if asked++; asked == 1 {
				if changed != purgatory.All {
					t.Errorf("first asked about %x", changed)
				}
				return false
			}
			for i := range keys {
				if changed.Has(i) {
					told[i]++
				}
			}
			e.Sleep(time.Microsecond)
			return told[66] >= 2
		})
		group := env.NewGroup(e)
		for _, key := range []int{3, 62, 3} {
			group.Go("notifier", func() { p.Notify(key) })
		}
		group.Wait()
		e.Sleep(time.Millisecond)
		if told[3] < 1 || told[3] > 2 || told[62] != 1 {
			t.Errorf("told %d times of key 3, and %d of 62", told[3], told[62])
		}
		for i, n := range told {
			if n > 0 && i != 3 && i != 62 {
				t.Errorf("told of key %d, which has not changed", i)
			}
		}
		p.Notify(66)
		p.Notify(69)
		if !w.Wait() || told[63] != 2 || told[66] != 2 {
			t.Errorf("keys from the 64th on, which share a place: told %d and %d times", told[63], told[66])
		}
		p.Close()
	})
}

// Without a notification a waiter goes at its deadline, not before it and at most a tick after.
func TestDeadlines(t *testing.T) {
	inWorlds(t, 20, func(e env.Env) {
		p := purgatory.New[int](e, "test")
		group := env.NewGroup(e)
		for _, after := range []time.Duration{1, time.Millisecond, 17500 * time.Microsecond, 400 * time.Millisecond, 9 * time.Second, 10 * time.Minute} {
			group.Go("waiter", func() {
				deadline := e.Mono().Add(after)
				if p.Watch([]int{1}, deadline, func(purgatory.Set) bool { return false }).Wait() {
					t.Errorf("after %v: ready", after)
				}
				if late := e.Mono().Sub(deadline); late < 0 || late > 2*time.Millisecond {
					t.Errorf("after %v: %v late", after, late)
				}
			})
		}
		group.Wait()
		asked := 0
		if p.Watch([]int{1}, e.Mono(), func(purgatory.Set) bool { asked++; return true }); asked != 1 {
			t.Errorf("a deadline in the past: asked %d times", asked)
		}
		p.Close()
	})
}

// ready is asked by one task at a time, and not after Wait or Cancel have returned.
func TestReadyIsNeverAskedTwiceAtOnce(t *testing.T) {
	inWorlds(t, 200, func(e env.Env) {
		p := purgatory.New[int](e, "test")
		inside, over, asked := false, false, 0
		ready := func(purgatory.Set) bool {
			if inside || over {
				t.Errorf("inside %v, over %v", inside, over)
			}
			inside = true
			e.Sleep(50 * time.Microsecond)
			inside = false
			asked++
			return asked >= 4
		}
		group := env.NewGroup(e)
		w := p.Watch([]int{1, 2}, e.Mono().Add(time.Millisecond), ready)
		for key := range 3 {
			group.Go("notifier", func() {
				for range 3 {
					p.Notify(key)
					e.Sleep(20 * time.Microsecond)
				}
			})
		}
		if e.Rand("test").IntN(2) == 0 {
			w.Cancel()
		}
		w.Wait()
		over = true
		group.Wait()
		p.Close()
	})
}

// Close lets everybody go, and everybody who comes later.
func TestClose(t *testing.T) {
	inWorlds(t, 20, func(e env.Env) {
		p := purgatory.New[int](e, "test")
		group := env.NewGroup(e)
		for i := range 5 {
			w := p.Watch([]int{i}, env.Never, func(purgatory.Set) bool { return false })
			group.Go("waiter", func() {
				if w.Wait() {
					t.Error("ready")
				}
			})
		}
		p.Close()
		group.Wait()
		if p.Watch([]int{1}, env.Never, func(purgatory.Set) bool { return false }).Wait() {
			t.Error("ready after Close")
		}
		if p.Waiting() != 0 {
			t.Errorf("%d waiters left", p.Waiting())
		}
	})
}

// An idle purgatory does nothing: in an hour its driver takes no step.
func TestIdlePurgatoryDoesNotPoll(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	w.AddNode("b1", func(e env.Env) {
		p := purgatory.New[int](e, "test")
		for range 100 { // and what has come and gone leaves nothing behind
			p.Watch([]int{1}, e.Mono().Add(time.Minute), func(purgatory.Set) bool { return false }).Cancel()
		}
		p.Watch([]int{1}, env.Never, func(purgatory.Set) bool { return false }).Wait()
	})
	w.Start("b1")
	w.Run(env.Instant(2 * time.Minute))
	before := w.Steps()
	w.Run(env.Instant(time.Hour))
	if steps := w.Steps() - before; steps > 2 {
		t.Errorf("%d steps", steps)
	}
}
