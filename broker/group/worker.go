package group

import (
	"cmp"
	"container/heap"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// timer is a time at which a group wants to be looked at.
type timer struct {
	at env.Instant
	n  uint64 // in the order of arming, among equals
	s  *shard
	g  *Group
}

// timers is a heap, the earliest first. A group's later entries are left in it when it is armed for earlier: they are nothing when they come.
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

// work is the worker: it sees appends through their replication, and lets time pass for the groups.
func (c *Coordinator) work() {
	for {
		keys, deadline, ok := c.plan()
		if !ok {
			return
		}
		c.o.Purgatory.Watch(keys, deadline, c.something).Wait()
		c.settle()
		c.endTxns()
		c.fire()
	}
}

// plan says what the worker waits for next; not ok at the end.
func (c *Coordinator) plan() (keys []wire.TopicPartition, deadline env.Instant, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, 0, false
	}
	keys, deadline = append(keys, wakeKey), c.sweep
	if len(c.timers.list) > 0 {
		deadline = min(deadline, c.timers.list[0].at)
	}
	for _, s := range c.busy {
		keys = append(keys, wire.TopicPartition{Topic: Topic, Partition: s.partition})
		for i := range s.waiting {
			if !s.waiting[i].told {
				deadline = min(deadline, s.waiting[i].deadline)
				break // deadlines are in order
			}
		}
	}
	c.wakeAt = deadline
	return keys, deadline, true
}

// something reports whether there is something for the worker to do before its deadline. It is asked by whoever notifies.
func (c *Coordinator) something() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poked || c.closed {
		return true
	}
	for _, s := range c.busy {
		if done, _ := s.p.Replicated(s.waiting[0].required, s.waiting[0].epoch); done {
			return true
		}
	}
	return false
}

// poke wakes the worker. No lock but a shard's may be held.
func (c *Coordinator) poke() {
	c.mu.Lock()
	c.poked = true
	c.mu.Unlock()
	c.o.Purgatory.Notify(wakeKey)
}

// outcome is an append that is settled, or late.
type outcome struct {
	s    *shard
	tell func(Now)
}

// settle tells what has become of appends.
func (c *Coordinator) settle() {
	for _, o := range c.outcomes() {
		o.s.mu.Lock()
		o.tell(c.now())
		o.s.mu.Unlock()
	}
}

func (c *Coordinator) outcomes() []outcome {
	now := c.e.Mono()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poked = false
	var out []outcome
	for _, s := range c.busy {
		n := 0
		for n < len(s.waiting) {
			w := s.waiting[n]
			settled, err := s.p.Replicated(w.required, w.epoch)
			if !settled {
				break
			}
			out = append(out, outcome{s, func(now Now) { w.done(now, err) }})
			n++
		}
		s.waiting = slices.Delete(s.waiting, 0, n)
		for i := range s.waiting {
			w := &s.waiting[i]
			if w.deadline > now {
				break
			}
			if !w.told {
				w.told = true
				out = append(out, outcome{s, w.late})
			}
		}
	}
	c.busy = slices.DeleteFunc(c.busy, func(s *shard) bool { return len(s.waiting) == 0 })
	return out
}

// abandoned gives up every append that is not replicated: the broker stops.
func (c *Coordinator) abandoned() []outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []outcome
	for _, s := range c.busy {
		for _, w := range s.waiting {
			out = append(out, outcome{s, func(now Now) { w.done(now, kerr.NotLeaderForPartition) }})
		}
		s.waiting = nil
	}
	c.busy = nil
	return out
}

// fire lets time pass for the groups whose timers have come, and looks for expired offsets now and then.
func (c *Coordinator) fire() {
	now := c.now()
	for {
		c.mu.Lock()
		t, ok := c.timers.due(now.Mono)
		c.mu.Unlock()
		if !ok {
			break
		}
		t.s.mu.Lock()
		if t.s.gone.Load() || t.g.armed != t.at || t.s.groups[t.g.ID] != t.g {
			t.s.mu.Unlock()
			continue
		}
		t.g.armed = env.Never
		t.g.Tick(now)
		t.s.leave(t.g)
	}
	c.mu.Lock()
	sweep := c.sweep <= now.Mono
	if sweep {
		c.sweep = now.Mono.Add(c.o.Config.OffsetsRetentionCheckInterval)
	}
	c.mu.Unlock()
	if sweep {
		c.sweepExpired()
	}
}
