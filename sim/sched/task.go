package sched

import (
	"fmt"
	"iter"
	"runtime/debug"
	"strings"
)

// Task is one coroutine.
type Task struct {
	id       uint64
	name     string
	group    *Group
	f        func()
	state    taskState
	why      string    // what it waits for
	list     *WaitList // where it waits, or nil
	listPos  int
	timer    Timer
	timedOut bool
	tries    int   // how often it found a mutex taken again
	priority int64 // of the Priority policy; 0: not drawn yet
	coro     *coro // that it runs on; nil before it first runs
	panicked *Panic

	newer, older *Task // the group's tasks, in the order they were made
}

// Name is the name it was given.
func (t *Task) Name() string { return t.name }

// Group is the group it belongs to.
func (t *Task) Group() *Group { return t.group }

type taskState uint8

const (
	ready   taskState = iota
	active            // running, or calling another task that it is just killing
	waiting           // on a list, or for its timer
	ended
)

type groupState uint8

const (
	running groupState = iota
	paused
	dead
)

// killed is what unwinds a task of a dead group. Nobody outside of this package can name or recover it by accident.
type killed struct{}

// Group is a set of tasks that live and die together: one life of a node.
type Group struct {
	s              *Scheduler
	name           string
	state          groupState
	oldest, newest *Task
	held           []*Task // could run, but for the pause
	Owner          any     // whoever made the group may find itself here
}

// NewGroup makes a group without tasks. The name is for traces.
func (s *Scheduler) NewGroup(name string, owner any) *Group {
	g := &Group{s: s, name: name, Owner: owner}
	s.groups = append(s.groups, g)
	return g
}

// Name is the name it was given.
func (g *Group) Name() string { return g.name }

// Dead reports whether Kill was called.
func (g *Group) Dead() bool { return g.state == dead }

// Empty reports whether all its tasks have ended.
func (g *Group) Empty() bool { return g.oldest == nil }

// Go makes a task of the group. It first runs when the policy chooses it. In a dead group it does nothing.
func (s *Scheduler) Go(g *Group, name string, f func()) {
	if g.state == dead {
		return
	}
	s.taskSeq++
	t := &Task{id: s.taskSeq, name: name, group: g, f: f, older: g.newest}
	t.timer.task = t
	if g.newest != nil {
		g.newest.newer = t
	} else {
		g.oldest = t
	}
	g.newest = t
	s.tasks++
	s.makeReady(t)
}

// resume runs t on top of the caller until it parks or ends.
func (s *Scheduler) resume(t *Task) {
	if t.coro == nil {
		t.coro = s.takeCoro()
		t.coro.task = t
	}
	caller := s.current
	s.current = t
	t.state = active
	t.coro.next()
	s.current = caller
}

// coro is a coroutine. It runs one task after the other: many are short, and a stack that has grown stays grown.
type coro struct {
	task  *Task
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

// idleMax is how many coroutines without a task are kept.
const idleMax = 64

// takeCoro is an idle coroutine, or a new one.
func (s *Scheduler) takeCoro() *coro {
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return c
	}
	c := &coro{}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			c.task.root()
			c.task.coro, c.task = nil, nil
			if len(s.idle) >= idleMax {
				return
			}
			s.idle = append(s.idle, c)
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

// root is the bottom of a task's stack: the one place that recovers.
func (t *Task) root() {
	returned := false
	defer func() {
		s := t.group.s
		s.end(t)
		if returned {
			return
		}
		v := recover()
		if v == nil { // runtime.Goexit, from a test's FailNow: iter.Pull hands it on to the loop
			s.current = nil
			return
		}
		// What a dead task's deferred functions trip over in its half-done state is no verdict.
		if _, ok := v.(killed); !ok && t.group.state != dead {
			t.panicked = &Panic{Group: t.group, Task: t.name, Value: v, Stack: debug.Stack()}
		}
	}()
	t.f()
	returned = true
}

// end takes t out of its group.
func (s *Scheduler) end(t *Task) {
	t.state = ended
	t.f = nil
	g := t.group
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		g.oldest = t.newer
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		g.newest = t.older
	}
	s.tasks--
}

// Kill ends all tasks of the group, oldest first, before it returns. If the running task is one of them, its next env
// call unwinds it.
func (s *Scheduler) Kill(g *Group) {
	if g.state == dead {
		return
	}
	wasPaused := g.state == paused
	g.state = dead
	g.held = nil
	for i, other := range s.groups {
		if other == g {
			s.groups = append(s.groups[:i], s.groups[i+1:]...)
			break
		}
	}
	for t := g.oldest; t != nil; {
		following := t.newer
		switch t.state {
		case ready:
			if !wasPaused {
				s.policy.remove(t)
			}
			s.unwind(t)
		case waiting:
			s.unwait(t)
			s.Disarm(&t.timer)
			s.unwind(t)
		}
		t = following
	}
}

func (s *Scheduler) unwind(t *Task) {
	if t.coro == nil { // never ran
		s.end(t)
		return
	}
	s.resume(t)
}

// Pause keeps the group's tasks from running. Its timers fire, but what they wake stays where it is.
func (s *Scheduler) Pause(g *Group) {
	if g.state != running {
		return
	}
	g.state = paused
	for t := g.oldest; t != nil; t = t.newer {
		if t.state == ready {
			s.policy.remove(t)
			g.held = append(g.held, t)
		}
	}
}

// Resume ends a pause.
func (s *Scheduler) Resume(g *Group) {
	if g.state != paused {
		return
	}
	g.state = running
	for _, t := range g.held {
		s.policy.add(t)
	}
	g.held = nil
}

// Close kills all groups and forgets all timers. Nothing can run any more.
func (s *Scheduler) Close() {
	if s.current != nil {
		panic("sched: Close inside of a task")
	}
	for len(s.groups) > 0 {
		s.Kill(s.groups[0])
	}
	for i := range s.timers {
		s.timers[i].timer.pos = 0
	}
	s.timers = nil
	for _, c := range s.idle {
		c.stop()
	}
	s.idle = nil
}

// Tasks describes the tasks that have not ended, one line each: "b1/fetcher-2: waits for mutex".
func (s *Scheduler) Tasks() string {
	var b strings.Builder
	for _, g := range s.groups {
		for t := g.oldest; t != nil; t = t.newer {
			fmt.Fprintf(&b, "%s/%s: ", g.name, t.name)
			switch t.state {
			case ready:
				b.WriteString("ready")
			case active:
				b.WriteString("running")
			case waiting:
				fmt.Fprintf(&b, "waits for %s", t.why)
				if t.timer.Armed() {
					fmt.Fprintf(&b, " until %v", s.timers[t.timer.pos-1].at.Sub(0))
				}
			}
			if g.state == paused {
				b.WriteString(" (paused)")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
