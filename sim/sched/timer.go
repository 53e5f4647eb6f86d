package sched

import "barnabas/broker/env"

// Timer calls a function on the loop at an instant. The zero value is no timer; make one with NewTimer or Init. It may
// be armed again and again without allocating.
type Timer struct {
	fn   func()
	task *Task // a task's own timer ends its wait instead of calling fn
	pos  int   // place in the heap + 1; 0 when not armed
}

// NewTimer makes a timer that is not armed. fn runs on the loop, between the steps of tasks: it must make no env call.
func NewTimer(fn func()) *Timer { return &Timer{fn: fn} }

// Init makes a timer of one that is part of a larger struct.
func (t *Timer) Init(fn func()) { t.fn = fn }

// Armed reports whether the timer will fire.
func (t *Timer) Armed() bool { return t.pos != 0 }

// At arms a new timer for fn.
func (s *Scheduler) At(at env.Instant, fn func()) *Timer {
	t := NewTimer(fn)
	s.Arm(t, at)
	return t
}

// Arm makes the timer fire at the instant, at once if that has passed. An armed timer is moved.
func (s *Scheduler) Arm(t *Timer, at env.Instant) {
	if t.pos != 0 {
		s.timers.remove(t)
	}
	s.timerSeq++
	s.timers.push(entry{at, s.timerSeq, t})
	s.due = min(s.due, at)
}

// Disarm stops the timer if it is armed.
func (s *Scheduler) Disarm(t *Timer) {
	if t.pos != 0 {
		s.timers.remove(t)
	}
}

// entry holds its keys so that comparing does not follow pointers.
type entry struct {
	at    env.Instant
	seq   uint64
	timer *Timer
}

func (a entry) before(b entry) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// timerHeap is a binary heap, earliest first, ties in the order of arming.
type timerHeap []entry

func (h *timerHeap) push(e entry) {
	*h = append(*h, e)
	h.up(len(*h)-1, e)
}

func (h *timerHeap) remove(t *Timer) {
	i := t.pos - 1
	t.pos = 0
	n := len(*h) - 1
	last := (*h)[n]
	(*h)[n] = entry{}
	*h = (*h)[:n]
	if i == n {
		return
	}
	if i > 0 && last.before((*h)[(i-1)/2]) {
		h.up(i, last)
	} else {
		h.down(i, last)
	}
}

// up places e at i or above; what it passes moves down.
func (h *timerHeap) up(i int, e entry) {
	s := *h
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(s[parent]) {
			break
		}
		s[i] = s[parent]
		s[i].timer.pos = i + 1
		i = parent
	}
	s[i] = e
	e.timer.pos = i + 1
}

// down places e at i or below; what it passes moves up.
func (h *timerHeap) down(i int, e entry) {
	s := *h
	for {
		child := 2*i + 1
		if child >= len(s) {
			break
		}
		if child+1 < len(s) && s[child+1].before(s[child]) {
			child++
		}
		if !s[child].before(e) {
			break
		}
		s[i] = s[child]
		s[i].timer.pos = i + 1
		i = child
	}
	s[i] = e
	e.timer.pos = i + 1
}
