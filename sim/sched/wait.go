package sched

import "barnabas/broker/env"

// WaitList holds tasks that wait for one thing. The zero value is empty. All waiting but Sleep goes through lists, so
// that a task can be taken off when it is killed or its deadline comes.
type WaitList struct {
	tasks []*Task
	one   [1]*Task // room for the first: most lists never see two at once
}

// Len is the number of tasks waiting.
func (l *WaitList) Len() int { return len(l.tasks) }

// Wait lets the running task wait on the list. It reports false if the deadline came first. why is for Tasks.
func (s *Scheduler) Wait(l *WaitList, deadline env.Instant, why string) bool {
	s.CheckAlive()
	t := s.current
	s.steps++
	t.why = why
	t.state = waiting
	t.timedOut = false
	t.list, t.listPos = l, len(l.tasks)
	if l.tasks == nil {
		l.tasks = l.one[:0]
	}
	l.tasks = append(l.tasks, t)
	if deadline != env.Never {
		s.Arm(&t.timer, max(deadline, s.now))
	}
	s.park(t)
	return !t.timedOut
}

// WakeOne wakes one waiter, by a seeded choice, and returns it; nil if nobody waits.
func (s *Scheduler) WakeOne(l *WaitList) *Task {
	var t *Task
	switch n := len(l.tasks); n {
	case 0:
		return nil
	case 1:
		t = l.tasks[0]
	default:
		t = l.tasks[s.opts.Rand.IntN(n)]
	}
	s.wake(t)
	return t
}

// WakeAll wakes all waiters.
func (s *Scheduler) WakeAll(l *WaitList) {
	for len(l.tasks) > 0 {
		s.wake(l.tasks[len(l.tasks)-1])
	}
}

func (s *Scheduler) wake(t *Task) {
	s.unwait(t)
	s.Disarm(&t.timer)
	s.makeReady(t)
}

// unwait takes the task off its list, if it is on one. The last one takes its place.
func (s *Scheduler) unwait(t *Task) {
	l := t.list
	if l == nil {
		return
	}
	n := len(l.tasks) - 1
	last := l.tasks[n]
	l.tasks[t.listPos] = last
	last.listPos = t.listPos
	l.tasks[n] = nil
	l.tasks = l.tasks[:n]
	t.list = nil
}
