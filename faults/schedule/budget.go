package schedule

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"barnabas/faults"
)

// Budget bounds what goes wrong at once. A broker is impaired while it is down, paused, cut off, without a session or
// with a disk that fails or stalls, and for Settle after. Slow links and disks, a ring, wrong clocks and crashing clients
// impair no broker (see ClassOf). What Kafka promises nothing against is always beyond the budget, but for a power loss
// of several where PowerTogether allows it. A role (leader, controller) counts as a broker of its own, as it may be any.
type Budget struct {
	// Impaired is how many brokers may be impaired at once.
	Impaired int
	// Settle is how long a broker takes to be whole again once its fault is over.
	Settle time.Duration
	// PowerLosses is how many power losses a schedule may have.
	PowerLosses int
	// PowerTogether lets several lose power at once: brokers sync every append.
	PowerTogether bool
	// PowerAlone lets a broker lose power only while no other broker is impaired.
	PowerAlone bool
	// ZooKeeperAlone lets ZooKeeper be down only while no broker is impaired.
	ZooKeeperAlone bool
}

// Excess is one fault beyond the budget.
type Excess struct {
	Index int // in the schedule
	Why   string
}

// Check tells which faults exceed the budget, in order; a schedule written by hand may, and is then judged by the
// weaker promise. The schedule must be in the order of its times.
//
// What is impaired at once only grows when a fault begins, so it is enough to look at those moments.
func (b Budget) Check(s faults.Schedule) []Excess {
	var out []Excess
	power := 0
	for i, f := range s {
		if ClassOf(f.Kind) == Destroys {
			power++
		}
		if reason := b.exceeded(s[:i+1], power); reason != "" {
			out = append(out, Excess{i, reason})
		}
	}
	return out
}

// exceeded tells why the last fault of s is one too many, given what still lasts when it begins.
func (b Budget) exceeded(s faults.Schedule, power int) string {
	f := s[len(s)-1]
	strikes := impairs(f)
	switch {
	case f.Kind == faults.Blackout && b.PowerTogether:
		return ""
	case ClassOf(f.Kind) == Beyond:
		return why[f.Kind]
	case len(strikes) == 0:
		return ""
	}
	if ClassOf(f.Kind) == Destroys && power > b.PowerLosses {
		return fmt.Sprintf("power loss %d of at most %d", power, b.PowerLosses)
	}
	var nodes, powerless []faults.Node
	zooKeeper := false
	for _, g := range s {
		if b.end(g) <= f.At {
			continue
		}
		for _, n := range impairs(g) {
			switch {
			case n == faults.ZooKeeper:
				zooKeeper = true
			case !slices.Contains(nodes, n):
				nodes = append(nodes, n)
			}
			if ClassOf(g.Kind) == Destroys && n != faults.ZooKeeper {
				powerless = append(powerless, n)
			}
		}
	}
	switch {
	case len(nodes) > b.Impaired:
		return fmt.Sprintf("%d brokers impaired at once (%s), at most %d", len(nodes), names(nodes), b.Impaired)
	case b.PowerAlone && len(powerless) > 0 && len(nodes) > 1:
		return fmt.Sprintf("power loss of %s while another broker is impaired (%s)", names(powerless), names(nodes))
	case b.ZooKeeperAlone && zooKeeper && len(nodes) > 0:
		return fmt.Sprintf("ZooKeeper down while brokers are impaired (%s)", names(nodes))
	}
	return ""
}

// why says what of the kinds beyond the promise is too much.
var why = map[faults.Kind]string{
	faults.Blackout:  "power loss of several brokers at once: what none of them has synced is lost on all",
	faults.BitFlip:   "bits that turn on a disk: Kafka sees it, and mends nothing",
	faults.Misdirect: "a write that lands elsewhere on a disk: Kafka sees it, and mends nothing",
}

// end is when the fault's impairment is over.
func (b Budget) end(f faults.Fault) time.Duration {
	if f.Kind.Lasts() && (f.For == faults.UntilEnd || f.For == faults.Forever) {
		return math.MaxInt64
	}
	return f.At + f.For + b.Settle
}

// impairs lists whom the fault impairs: brokers, roles, or ZooKeeper.
func impairs(f faults.Fault) []faults.Node {
	switch f.Kind {
	case faults.Crash, faults.Power, faults.Pause, faults.Isolate, faults.FailSync, faults.FailDir, faults.ZooKeeperExpire,
		faults.Wipe, faults.LoseEntry, faults.TornWrite, faults.ZooKeeperCut, faults.StallDisk, faults.FailRead, faults.FailWrite, faults.FullDisk, faults.Refuse:
		return []faults.Node{f.Node}
	case faults.SwapDisks:
		return append(slices.Clone(f.From), f.To...)
	case faults.ZooKeeperRestart, faults.ZooKeeperOutage, faults.ZooKeeperPause:
		return []faults.Node{faults.ZooKeeper}
	case faults.Partition, faults.PartitionOneWay, faults.Halves, faults.Clog:
		return smallerSide(brokers(f.From), brokers(f.To))
	}
	return nil
}

// smallerSide is the side of a partition that is cut off: the one with fewer brokers, unless it has none.
func smallerSide(a, b []faults.Node) []faults.Node {
	others := func(side []faults.Node) bool { return slices.Contains(side, faults.Others) }
	switch {
	case len(a) == 0 || others(a):
		return b
	case len(b) == 0 || others(b) || len(a) <= len(b):
		return a
	}
	return b
}

// brokers leaves out ZooKeeper and the clients.
func brokers(side []faults.Node) []faults.Node {
	return slices.DeleteFunc(slices.Clone(side), func(n faults.Node) bool {
		return n == faults.ZooKeeper || n == faults.Clients
	})
}

func names(nodes []faults.Node) string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.String()
	}
	return strings.Join(out, ", ")
}
