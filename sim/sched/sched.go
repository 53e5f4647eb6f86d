package sched

import (
	"fmt"
	"math/rand/v2"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/trace"
)

// Options make a Scheduler.
type Options struct {
	Policy   Policy
	Rand     *rand.Rand    // who of several waiters wakes
	Trace    *trace.Log    // gets every choice
	StepCost time.Duration // virtual time of a scheduling point
	StepsMax uint64        // 0: no limit
	// OnPanic is told on the loop, with nothing running, that a task of a living group panicked. It should Kill the group.
	OnPanic func(p Panic)
	// OnStep is called on the loop before each choice that comes at least StepEvery scheduling points after the last one.
	OnStep    func()
	StepEvery uint64
	// Spurious makes about one in so many waits on a Cond end without a reason; 0: none.
	Spurious int
}

// Panic is what a task panicked with.
type Panic struct {
	Group *Group
	Task  string
	Value any
	Stack []byte
}

// Scheduler runs the tasks of one world.
type Scheduler struct {
	opts     Options
	policy   Policy
	log      *trace.Log
	now      env.Instant
	cost     env.Instant
	due      env.Instant // up to here the running task may go on without the loop: next timer, or the end of Run
	steps    uint64
	nextHook uint64
	timers   timerHeap
	timerSeq uint64
	taskSeq  uint64
	tasks    int // not yet ended
	current  *Task
	inRun    bool
	groups   []*Group
	idle     []*coro // coroutines that wait for a task
	mutexes  []Mutex // not given out yet
	conds    []Cond
}

// New makes a scheduler without tasks, at Instant 0.
func New(o Options) *Scheduler {
	return &Scheduler{opts: o, policy: o.Policy, log: o.Trace, cost: env.Instant(o.StepCost)}
}

// Now is the virtual time.
func (s *Scheduler) Now() env.Instant { return s.now }

// Steps counts the scheduling points so far.
func (s *Scheduler) Steps() uint64 { return s.steps }

// Current is the running task, nil on the loop.
func (s *Scheduler) Current() *Task { return s.current }

// Outcome says why Run ended.
type Outcome uint8

const (
	Reached   Outcome = iota // the deadline
	Satisfied                // the predicate
	Finished                 // no task is left, and no timer
	Deadlock                 // tasks are left, but none can run, and there is no timer
	StepLimit                // Options.StepsMax
)

func (o Outcome) String() string {
	return [...]string{"deadline reached", "satisfied", "finished", "deadlock", "step limit"}[min(o, StepLimit)]
}

// Run runs until the instant, until pred holds (asked before each choice; nil: never), or until nothing can happen any
// more; then the clock stands at until too. It must be called from outside of all tasks, timers and hooks.
func (s *Scheduler) Run(until env.Instant, pred func() bool) Outcome {
	if s.inRun || s.current != nil {
		panic("sched: Run inside of Run")
	}
	s.inRun = true
	defer func() { s.inRun = false }()
	for {
		if s.opts.OnStep != nil && s.steps >= s.nextHook {
			s.nextHook = s.steps + s.opts.StepEvery
			s.opts.OnStep()
		}
		switch {
		case pred != nil && pred():
			return Satisfied
		case s.now >= until:
			return Reached
		case s.opts.StepsMax > 0 && s.steps >= s.opts.StepsMax:
			return StepLimit
		case len(s.timers) > 0 && s.timers[0].at <= s.now:
			s.fire()
			continue
		}
		t := s.policy.next()
		if t != nil {
			s.due = until
			if len(s.timers) > 0 {
				s.due = min(s.due, s.timers[0].at)
			}
			s.run(t)
			continue
		}
		if len(s.timers) == 0 {
			if until != env.Never {
				s.now = until
			}
			if s.tasks == 0 {
				return Finished
			}
			return Deadlock
		}
		s.now = min(s.timers[0].at, until)
	}
}

// fire takes the first timer and does what it is for.
func (s *Scheduler) fire() {
	t := s.timers[0].timer
	s.timers.remove(t)
	if t.task != nil {
		t.task.timedOut = true
		s.unwait(t.task)
		s.makeReady(t.task)
		return
	}
	t.fn()
}

// run resumes a task until it gives way or ends.
func (s *Scheduler) run(t *Task) {
	s.log.Choice(s.now, t.group.name, t.name, t.id)
	s.steps++
	s.now += s.cost
	s.resume(t)
	if t.panicked != nil {
		p := *t.panicked
		t.panicked = nil
		if s.opts.OnPanic == nil {
			panic(fmt.Sprintf("task %s/%s: %v\n%s", t.group.name, t.name, p.Value, p.Stack))
		}
		s.opts.OnPanic(p)
	}
}

// Point is a scheduling point: the running task may give way to others here. It does not return if the task's group
// is dead: it unwinds the task.
func (s *Scheduler) Point() {
	t := s.current
	if t == nil {
		panic("sched: an env call outside of any task")
	}
	s.steps++
	s.now += s.cost
	if t.group.state == running && s.now < s.due && !s.policy.preempt(t) {
		return
	}
	s.giveWay(t)
}

// Tick is the scheduling point of calls that read the clock: the policy is not asked, which makes them cheap, but a
// timer that is due, or the end of Run, interrupts a task that polls. On the loop it does nothing.
func (s *Scheduler) Tick() {
	t := s.current
	if t == nil || t.group.state == dead {
		return
	}
	s.steps++
	s.now += s.cost
	if s.now >= s.due {
		s.giveWay(t)
	}
}

// Dead reports whether the running task belongs to a dead group: env calls then do nothing.
func (s *Scheduler) Dead() bool {
	if s.current == nil {
		panic("sched: an env call outside of any task")
	}
	return s.current.group.state == dead
}

// CheckAlive unwinds the running task if its group is dead.
func (s *Scheduler) CheckAlive() {
	if s.Dead() {
		panic(killed{})
	}
}

// Sleep lets the running task wait for d. A d ≤ 0 is a scheduling point where others go first.
func (s *Scheduler) Sleep(d time.Duration) {
	s.CheckAlive()
	t := s.current
	if d <= 0 {
		s.steps++
		s.now += s.cost
		s.policy.yielded(t)
		s.giveWay(t)
		return
	}
	s.steps++
	t.why = "sleep"
	t.state = waiting
	s.Arm(&t.timer, s.now.Add(d))
	s.park(t)
}

func (s *Scheduler) giveWay(t *Task) {
	if t.group.state == dead {
		panic(killed{})
	}
	s.makeReady(t)
	s.park(t)
}

// park goes back to the loop until the task is resumed, and unwinds it if that is because it was killed.
func (s *Scheduler) park(t *Task) {
	t.coro.yield(struct{}{})
	if t.group.state == dead {
		panic(killed{})
	}
}

// makeReady lets the policy choose t, unless its group is paused.
func (s *Scheduler) makeReady(t *Task) {
	t.state = ready
	if t.group.state == paused {
		t.group.held = append(t.group.held, t)
		return
	}
	s.policy.add(t)
}
