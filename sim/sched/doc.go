// Package sched runs the tasks of one simulated world, one at a time, in virtual time.
//
// # What it owns
//
// Tasks are coroutines (iter.Pull); the goroutine that calls Run is the loop that resumes them. Env calls are scheduling
// points (Point): there a Policy, drawn from the seed, decides whether the task goes on, which costs a few nanoseconds,
// or gives way to another. A task that must wait (Wait, Sleep, Mutex, Cond) always gives way. When none can run, the
// clock jumps to the next timer; ties go by the order in which timers were armed. Every scheduling point also costs
// StepCost of virtual time, so that a task that polls the clock gets somewhere.
//
// A Group is one life of a node. Kill ends it: the env call in progress in each of its tasks panics with a private
// sentinel, in the order in which the tasks were made, and the task's root recovers it. Deferred functions run. From
// then on calls that could wait panic again, so that no loop spins, and others do nothing. Any other panic is a crash:
// it is reported to Options.OnPanic.
//
// # What it never does
//
// It starts no thread and takes no lock: one world is one thread, and worlds share nothing. It cannot stop a task that
// never makes an env call. It does not know what nodes, networks and disks are.
//
// # Its sources
//
// Priority is PCT: Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs" (ASPLOS
// 2010). The idea of the whole is FoundationDB's.
package sched
