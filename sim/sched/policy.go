package sched

import (
	"fmt"
	"math/rand/v2"
)

// Policy holds the tasks that can run and chooses among them. A Policy belongs to one Scheduler.
type Policy interface {
	// String names the policy and its parameters.
	String() string

	add(t *Task)          // t can run
	next() *Task          // takes the one to run; nil if there is none
	remove(t *Task)       // t, which was added, shall not run
	preempt(t *Task) bool // at a scheduling point of t, the running one: shall another run?
	yielded(t *Task)      // t, the running one, said that others may run (Sleep(0))
}

// FIFO runs tasks in turn and interrupts none that waits now and then.
func FIFO() Policy { return &fifo{} }

// slice is how many scheduling points in a row FIFO grants a task that never waits.
const slice = 1000

type fifo struct {
	ready []*Task
	head  int
	left  int
}

func (p *fifo) String() string { return "fifo" }

func (p *fifo) add(t *Task) { p.ready = append(p.ready, t) }

func (p *fifo) next() *Task {
	if p.head == len(p.ready) {
		return nil
	}
	p.left = slice
	t := p.ready[p.head]
	p.ready[p.head] = nil
	p.head++
	if p.head == len(p.ready) {
		p.ready, p.head = p.ready[:0], 0
	} else if p.head > 64 && p.head*2 > len(p.ready) {
		n := copy(p.ready, p.ready[p.head:])
		clear(p.ready[n:])
		p.ready, p.head = p.ready[:n], 0
	}
	return t
}

func (p *fifo) remove(t *Task) {
	for i := p.head; i < len(p.ready); i++ {
		if p.ready[i] == t {
			copy(p.ready[i:], p.ready[i+1:])
			p.ready[len(p.ready)-1] = nil
			p.ready = p.ready[:len(p.ready)-1]
			return
		}
	}
}

func (p *fifo) preempt(*Task) bool {
	p.left--
	return p.left <= 0
}

func (p *fifo) yielded(*Task) {}

// Random runs any task, and interrupts the running one after about every mean scheduling points (at least 1).
func Random(r *rand.Rand, mean int) Policy {
	return &random{r: r, mean: max(mean, 1), left: 1}
}

type random struct {
	r     *rand.Rand
	mean  int
	left  int // scheduling points until the next interruption
	ready []*Task
}

func (p *random) String() string { return fmt.Sprintf("random/%d", p.mean) }

func (p *random) add(t *Task) { p.ready = append(p.ready, t) }

func (p *random) next() *Task {
	n := len(p.ready)
	if n == 0 {
		return nil
	}
	i := 0
	if n > 1 {
		i = p.r.IntN(n)
	}
	return p.take(i)
}

func (p *random) take(i int) *Task {
	n := len(p.ready)
	t := p.ready[i]
	p.ready[i] = p.ready[n-1]
	p.ready[n-1] = nil
	p.ready = p.ready[:n-1]
	return t
}

func (p *random) remove(t *Task) {
	for i, other := range p.ready {
		if other == t {
			p.take(i)
			return
		}
	}
}

func (p *random) preempt(*Task) bool {
	if p.left--; p.left > 0 {
		return false
	}
	p.left = 1 + p.r.IntN(2*p.mean)
	return len(p.ready) > 0
}

func (p *random) yielded(*Task) {}

// Priority gives each task a random priority and always runs the highest one that can run. After about every mean
// scheduling points the running one falls behind all others (a change point).
func Priority(r *rand.Rand, mean int) Policy {
	return &priority{r: r, mean: max(mean, 1), left: 1 + r.IntN(2*max(mean, 1)), top: lowest}
}

const lowest = -1 << 62

type priority struct {
	r     *rand.Rand
	mean  int
	left  int   // scheduling points until the next change point
	below int64 // the lowest priority given out, going down
	top   int64 // the highest priority that is ready
	ready []*Task
}

func (p *priority) String() string { return fmt.Sprintf("priority/%d", p.mean) }

func (p *priority) add(t *Task) {
	if t.priority == 0 {
		t.priority = 1 + p.r.Int64N(1<<40)
	}
	p.top = max(p.top, t.priority)
	p.ready = append(p.ready, t)
}

func (p *priority) next() *Task {
	best := -1
	for i, t := range p.ready {
		if best < 0 || t.priority > p.ready[best].priority {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return p.take(best)
}

func (p *priority) take(i int) *Task {
	t := p.ready[i]
	copy(p.ready[i:], p.ready[i+1:])
	p.ready[len(p.ready)-1] = nil
	p.ready = p.ready[:len(p.ready)-1]
	p.top = lowest
	for _, other := range p.ready {
		p.top = max(p.top, other.priority)
	}
	return t
}

func (p *priority) remove(t *Task) {
	for i, other := range p.ready {
		if other == t {
			p.take(i)
			return
		}
	}
}

func (p *priority) preempt(t *Task) bool {
	if p.left--; p.left <= 0 {
		p.left = 1 + p.r.IntN(2*p.mean)
		p.yielded(t)
	}
	return p.top > t.priority
}

func (p *priority) yielded(t *Task) {
	p.below--
	t.priority = p.below
}
