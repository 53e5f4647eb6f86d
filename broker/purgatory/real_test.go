package purgatory_test

import (
	"sync/atomic"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/broker/purgatory"
)

// Under real threads (and -race): writers move counters and notify, readers wait for the next value of theirs. Everybody must
// see every value, and ready functions of one waiter never meet.
func TestRealThreads(t *testing.T) {
	e := osenv.New(osenv.Options{})
	p := purgatory.New[int](e, "test")
	var values [3]atomic.Int64
	const last = 3000
	group := env.NewGroup(e)
	for key := range values {
		group.Go("writer", func() {
			for range last {
				values[key].Add(1)
				p.Notify(key)
			}
		})
		for range 2 {
			group.Go("reader", func() {
				for seen := int64(0); seen < last; {
					inside := 0 // plain: two tasks in ready at once would be a race
					w := p.Watch([]int{key, 99}, e.Mono().Add(10*time.Second), func(purgatory.Set) bool {
						inside++
						return values[key].Load() > seen
					})
					if !w.Wait() {
						t.Errorf("key %d: nothing after %d", key, seen)
						return
					}
					seen = values[key].Load()
				}
			})
		}
		group.Go("canceller", func() {
			for range last / 10 {
				w := p.Watch([]int{key}, e.Mono().Add(time.Duration(key+1)*time.Millisecond), func(purgatory.Set) bool { return false })
				p.Notify(key)
				if key == 0 {
					w.Cancel()
				}
				w.Wait()
			}
		})
	}
	group.Wait()
	if n := p.Waiting(); n != 0 {
		t.Errorf("%d waiters left", n)
	}
	p.Close()
}
