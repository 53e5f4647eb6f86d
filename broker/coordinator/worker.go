package coordinator

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/purgatory"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// timer is a time at which something is to be looked at.
type timer struct {
	at   env.Instant
	n    uint64 // in the order of arming, among equals
	fire func()
}

// timers is a heap, the earliest first.
type timers struct {
	list []timer
	n    uint64
}

func (t *timers) Len() int { return len(t.list) }
func (t *timers) Less(i, j int) bool {
	a, b := &t.list[i], &t.list[j]
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.n, b.n)) < 0
}
func (t *timers) Swap(i, j int) { t.list[i], t.list[j] = t.list[j], t.list[i] }
func (t *timers) Push(x any)    { t.list = append(t.list, x.(timer)) }
func (t *timers) Pop() any {
	last := t.list[len(t.list)-1]
	t.list[len(t.list)-1] = timer{}
	t.list = t.list[:len(t.list)-1]
	return last
}

func (t *timers) push(x timer) {
	t.n++
	x.n = t.n
	heap.Push(t, x)
}

// due takes the earliest timer if its time has come.
func (t *timers) due(now env.Instant) (timer, bool) {
	if len(t.list) == 0 || t.list[0].at > now {
		return timer{}, false
	}
	return heap.Pop(t).(timer), true
}

// Soon has the worker call f, with no lock held: in the order of the calls, and before anything that waits for a time.
func (r *Runtime[S]) Soon(f func()) { r.At(0, f) }

// At has the worker call f at a time, with no lock held.
func (r *Runtime[S]) At(at env.Instant, f func()) {
	r.mu.Lock()
	r.timers.push(timer{at: at, fire: f})
	r.mu.Unlock()
	r.Poke()
}

var rareLateWorker = env.NewRare("worker-late")

const rareWorkerDelay = 20 * time.Millisecond

// work is the worker: it sees appends through their replication, and lets time pass.
func (r *Runtime[S]) work() {
	for {
		keys, deadline, ok := r.plan()
		if !ok {
			return
		}
		r.o.Purgatory.Watch(keys, deadline, r.something).Wait()
		if rareLateWorker.Strikes(r.e) {
			r.e.Sleep(rareWorkerDelay)
		}
		for _, o := range r.outcomes() {
			o.tellLocked(r.Now())
		}
		for {
			r.mu.Lock()
			t, ok := r.timers.due(r.e.Mono())
			r.mu.Unlock()
			if !ok {
				break
			}
			t.fire()
		}
	}
}

// plan says what the worker waits for next; not ok at the end.
func (r *Runtime[S]) plan() (keys []wire.TopicPartition, deadline env.Instant, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, 0, false
	}
	keys, deadline = append(keys, r.wakeKey), env.Never
	if len(r.timers.list) > 0 {
		deadline = r.timers.list[0].at
	}
	for _, s := range r.busy {
		keys = append(keys, wire.TopicPartition{Topic: r.o.Topic, Partition: s.Partition})
		for i := range s.waiting {
			if !s.waiting[i].told {
				deadline = min(deadline, s.waiting[i].deadline)
				break // deadlines are in order
			}
		}
	}
	r.wakeAt = deadline
	return keys, deadline, true
}

// something reports whether there is something for the worker to do before its deadline. It is asked by whoever notifies.
func (r *Runtime[S]) something(purgatory.Set) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.poked || r.closed {
		return true
	}
	for _, s := range r.busy {
		if done, _ := s.p.Replicated(s.waiting[0].required, s.waiting[0].epoch); done {
			return true
		}
	}
	return false
}

// Poke wakes the worker. No lock but a shard's may be held.
func (r *Runtime[S]) Poke() {
	r.mu.Lock()
	r.poked = true
	r.mu.Unlock()
	r.o.Purgatory.Notify(r.wakeKey)
}

// outcome is an append that is settled, or late.
type outcome[S any] struct {
	s    *Shard[S]
	tell func(Now)
}

func (o outcome[S]) tellLocked(now Now) {
	if o.tell == nil {
		return
	}
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	o.tell(now)
}

// outcomes takes what has become of appends.
func (r *Runtime[S]) outcomes() []outcome[S] {
	now := r.e.Mono()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poked = false
	var out []outcome[S]
	for _, s := range r.busy {
		n := 0
		for n < len(s.waiting) {
			a := s.waiting[n]
			settled, err := s.p.Replicated(a.required, a.epoch)
			if !settled {
				break
			}
			out = append(out, outcome[S]{s, func(now Now) { a.Done(now, err) }})
			n++
		}
		s.waiting = slices.Delete(s.waiting, 0, n)
		for i := range s.waiting {
			a := &s.waiting[i]
			if a.deadline > now {
				break
			}
			if !a.told {
				a.told = true
				out = append(out, outcome[S]{s, a.Late})
			}
		}
	}
	r.busy = slices.DeleteFunc(r.busy, func(s *Shard[S]) bool { return len(s.waiting) == 0 })
	return out
}

// abandoned gives up every append that is not replicated: the broker stops.
func (r *Runtime[S]) abandoned() []outcome[S] {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []outcome[S]
	for _, s := range r.busy {
		for _, a := range s.waiting {
			out = append(out, outcome[S]{s, func(now Now) { a.Done(now, kerr.NotLeaderForPartition) }})
		}
		s.waiting = nil
	}
	r.busy = nil
	return out
}
