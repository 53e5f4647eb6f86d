package purgatory

import (
	"math"
	"sync/atomic"

	"barnabas/broker/env"
)

// Waiter is one operation that waits in a purgatory.
type Waiter struct {
	room  *room
	ready func(changed Set) bool
	state atomic.Uint32 // written under room.mu once the waiter is registered

	checking   bool // a task is inside ready, or about to be
	changed    Set  // of its keys since ready was last asked: if a Notify comes while it is, it is asked once more
	expired    bool // the deadline came while it was: go when it comes back
	cancelling int  // tasks in Cancel that wait for checking to end
	cond       env.Cond

	timer        entry
	links        interface{ unlink() }
	older, newer *Waiter
}

const (
	stateWaiting uint32 = iota
	stateReady
	stateExpired
	stateCancelled
)

// Done reports whether Wait would return at once.
func (w *Waiter) Done() bool { return w.state.Load() != stateWaiting }

// Wait waits until ready has said yes (true), or the deadline has come, or Cancel or Close were called (false). After it
// ready is not asked again, and no task is inside it.
func (w *Waiter) Wait() (ready bool) {
	if w.state.Load() == stateWaiting {
		w.room.mu.Lock()
		for w.state.Load() == stateWaiting {
			w.sleep()
		}
		w.room.mu.Unlock()
	}
	return w.state.Load() == stateReady
}

// Cancel gives the operation up. When it returns no task is inside ready, nor will be. A waiter that was done already
// stays as it was.
func (w *Waiter) Cancel() {
	if w.state.Load() != stateWaiting {
		return
	}
	w.room.mu.Lock()
	w.cancelling++
	for w.checking {
		w.sleep()
	}
	w.cancelling--
	if w.state.Load() == stateWaiting {
		w.finish(stateCancelled)
	}
	w.room.mu.Unlock()
}

// Set is a set of a waiter's keys, by their places.
type Set uint64

// All holds every key.
const All Set = math.MaxUint64

// setSize is how many places a Set tells apart; the last stands for all from there on.
const setSize = 64

// Has reports whether the key at this place is in the set.
func (s Set) Has(place int) bool { return s&(1<<min(place, setSize-1)) != 0 }

// claim takes note that a key has changed, and the right to ask ready about it, unless somebody has that right, who then asks again.
// Called with room.mu held.
func (w *Waiter) claim(place int) (changed Set, ok bool) {
	if w.state.Load() != stateWaiting {
		return 0, false
	}
	w.changed |= 1 << min(place, setSize-1)
	if w.checking {
		return 0, false
	}
	changed, w.changed, w.checking = w.changed, 0, true
	return changed, true
}

// ask asks ready, for which the caller has the right, and gives the right back.
func (w *Waiter) ask(changed Set) {
	for {
		ready := w.ready(changed)
		w.room.mu.Lock()
		if !ready && !w.expired && w.changed != 0 {
			changed, w.changed = w.changed, 0
			w.room.mu.Unlock()
			continue
		}
		switch {
		case ready:
			w.finish(stateReady)
		case w.expired:
			w.finish(stateExpired)
		}
		w.checking = false
		if w.cancelling > 0 { // who is in Wait need not hear of a no
			w.cond.Broadcast()
		}
		w.room.mu.Unlock()
		return
	}
}

// expire lets the waiter go at its deadline. Called with room.mu held.
func (w *Waiter) expire() {
	if w.checking {
		w.expired = true // ready's answer comes first; only one task may touch what it touches
		return
	}
	w.finish(stateExpired)
}

// finish ends the wait. Called with room.mu held.
func (w *Waiter) finish(state uint32) {
	w.state.Store(state)
	w.room.leave(w)
	if w.cond != nil {
		w.cond.Broadcast()
	}
}

// sleep waits for a change of w. Called with room.mu held.
func (w *Waiter) sleep() {
	if w.cond == nil {
		w.cond = w.room.env.NewCond(w.room.mu)
	}
	w.cond.Wait()
}

// list is the waiters of one key, oldest first.
type list[K comparable] struct {
	first, last *node[K]
}

// node is a waiter's place in the list of one key.
type node[K comparable] struct {
	waiter     *Waiter
	key        K
	place      int // of the key among the waiter's
	prev, next *node[K]
}

// links is a waiter's places in all its lists.
type links[K comparable] struct {
	purgatory *Purgatory[K]
	nodes     []node[K]
}

// watch is a waiter and its places, in one piece of memory.
type watch[K comparable] struct {
	waiter Waiter
	links  links[K]
	few    [2]node[K]
}

// link puts the waiter at the end of the list of each key.
func (o *watch[K]) link(keys []K) {
	w, in, p := &o.waiter, &o.links, o.links.purgatory
	if in.nodes = o.few[:]; len(keys) > len(o.few) {
		in.nodes = make([]node[K], len(keys))
	}
	in.nodes = in.nodes[:len(keys)]
	w.links = in
	for i, key := range keys {
		l := p.lists[key]
		if l == nil {
			l = &list[K]{}
			p.lists[key] = l
		}
		n := &in.nodes[i]
		*n = node[K]{waiter: w, key: key, place: i, prev: l.last}
		if l.last != nil {
			l.last.next = n
		} else {
			l.first = n
		}
		l.last = n
	}
}

// unlink takes the waiter out of all lists, and drops those that are empty. Where Kafka leaves completed operations to
// a later purge, this costs as much as link did and leaves nothing behind.
func (in *links[K]) unlink() {
	for i := range in.nodes {
		n := &in.nodes[i]
		l := in.purgatory.lists[n.key]
		if n.prev != nil {
			n.prev.next = n.next
		} else {
			l.first = n.next
		}
		if n.next != nil {
			n.next.prev = n.prev
		} else {
			l.last = n.prev
		}
		if l.first == nil {
			delete(in.purgatory.lists, n.key)
		}
	}
}
