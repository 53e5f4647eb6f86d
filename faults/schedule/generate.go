package schedule

import (
	"math/rand/v2"
	"time"

	"barnabas/faults"
)

// Plan is what Generate draws from.
type Plan struct {
	Brokers []faults.Node
	// Start and End bound the faults: none begins before Start, and all have healed by End.
	Start, End time.Duration
	// Weights say how often a kind comes up, before the seed's swarm changes them; 0 leaves it out.
	Weights [faults.KindCount]int
	// Gap is the typical time from one fault to the next; the seed makes it up to 3 times shorter or longer.
	Gap time.Duration
	// Must are kinds that the swarm never switches off, and of which each schedule has at least one fault.
	Must   []faults.Kind
	Budget Budget
}

// Budget bounds what goes wrong at once. A broker is impaired while it is down, paused, cut off or its disk fails its
// syncs, and for Settle after.
type Budget struct {
	// Impaired is how many brokers may be impaired at once.
	Impaired int
	// Settle is how long a broker takes to be whole again once its fault is over.
	Settle time.Duration
	// PowerLosses is how many power losses a schedule may have.
	PowerLosses int
	// PowerAlone lets a broker lose power only while no other broker is impaired.
	PowerAlone bool
	// ZooKeeperAlone lets ZooKeeper be down only while no broker is impaired.
	ZooKeeperAlone bool
}

// Generate draws a schedule. The same stream and plan give the same schedule.
func Generate(r *rand.Rand, p Plan) faults.Schedule { panic("unfinished") }

// Check tells which faults exceed the budget, in order; a schedule written by hand may, and is then judged by the
// weaker promise.
func (b Budget) Check(s faults.Schedule) []Excess { panic("unfinished") }

// Excess is one fault beyond the budget.
type Excess struct {
	Index int // in the schedule
	Why   string
}
