package cluster

import (
	"barnabas/sim/rng"
	"barnabas/sim/sched"
)

// Policy says how the scheduler chooses among tasks that can run.
type Policy uint8

const (
	Drawn    Policy = iota // one of the others, and its parameter, drawn from the seed
	Random                 // any, and sometimes before the running one waits
	FIFO                   // in turn, seldom before the running one waits
	Priority               // the highest of random priorities, which change now and then (PCT)
)

func newPolicy(p Policy, src rng.Source) sched.Policy {
	draw := src.Stream("sched/draw")
	r := src.Stream("sched/policy")
	if p == Drawn {
		switch draw.IntN(10) {
		case 0:
			p = FIFO
		case 1, 2:
			p = Priority
		default:
			p = Random
		}
	}
	switch p {
	case FIFO:
		return sched.FIFO()
	case Priority:
		return sched.Priority(r, []int{30, 300, 3000, 30000}[draw.IntN(4)])
	default:
		return sched.Random(r, []int{1, 2, 4, 8, 16, 64, 256}[draw.IntN(7)])
	}
}
