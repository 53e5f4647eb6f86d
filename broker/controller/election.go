package controller

import (
	"slices"

	"barnabas/broker/assert"
	"barnabas/broker/bug"
	"barnabas/broker/zookeeper"
)

// election is why a leader is elected. What a reassignment does is not one of them: see settled.
type election uint8

const (
	// electOffline is for a partition whose leader is gone, or that never had one.
	electOffline election = iota
	// electShutdown moves the leader away from a broker that is going down.
	electShutdown
	// electPreferred moves the leader to the first replica, if that is live and in the ISR.
	electPreferred
	// electUnclean is electOffline where somebody has said that any live replica will do.
	electUnclean
)

// electorate is what an election looks at.
type electorate struct {
	replicas []int32 // assigned, in order of preference
	state    zookeeper.PartitionState
	live     func(int32) bool // can serve; for electShutdown those shutting down count too
	leaving  func(int32) bool // is shutting down
	unclean  bool             // the topic prefers to be available rather than whole
	bugs     bug.Set
}

// elect decides an election: the partition's next state, if there can be a leader.
//
// The leader is the first replica in order of preference that is live and in the ISR, so that it has every record
// that was acknowledged. Who is not live leaves the ISR. Where the topic allows it, and nobody in the ISR is live, any
// live replica will do: it is then alone in the ISR and marked as recovering (KIP-704).
//
// Source: Election and PartitionLeaderElectionAlgorithms.
func (e electorate) elect(why election) (next zookeeper.PartitionState, ok bool) {
	switch why {
	case electShutdown:
		next, ok = e.electShutdown()
	case electPreferred:
		next, ok = e.electPreferred()
	default:
		next, ok = e.electOffline()
	}
	assert.That(!ok || slices.Contains(next.ISR, next.Leader) && next.LeaderEpoch > e.state.LeaderEpoch,
		"INV-LEADER-IN-ISR: elected %d in epoch %d, isr %v", next.Leader, next.LeaderEpoch, next.ISR)
	return next, ok
}

func (e electorate) electOffline() (next zookeeper.PartitionState, ok bool) {
	inISR := func(id int32) bool { return slices.Contains(e.state.ISR, id) }
	leader, found := e.first(func(id int32) bool {
		return e.live(id) && (inISR(id) || e.bugs.Has(bug.UncleanElection))
	})
	if !found && e.unclean {
		leader, found = e.first(e.live)
	}
	if !found {
		return e.state, false
	}
	next = e.state
	next.Leader, next.LeaderEpoch = leader, e.state.LeaderEpoch+1
	if inISR(leader) {
		next.ISR = keep(e.state.ISR, e.live)
	} else {
		next.ISR, next.Recovery = []int32{leader}, zookeeper.Recovering
	}
	return next, true
}

func (e electorate) electShutdown() (next zookeeper.PartitionState, ok bool) {
	staying := func(id int32) bool { return !e.leaving(id) }
	leader, found := e.first(func(id int32) bool {
		return e.live(id) && slices.Contains(e.state.ISR, id) && staying(id)
	})
	if !found {
		return e.state, false
	}
	next = e.state
	next.Leader, next.LeaderEpoch, next.ISR = leader, e.state.LeaderEpoch+1, keep(e.state.ISR, staying)
	return next, true
}

// electPreferred leaves the ISR alone.
func (e electorate) electPreferred() (next zookeeper.PartitionState, ok bool) {
	if len(e.replicas) == 0 || !e.live(e.replicas[0]) || !slices.Contains(e.state.ISR, e.replicas[0]) {
		return e.state, false
	}
	next = e.state
	next.Leader, next.LeaderEpoch = e.replicas[0], e.state.LeaderEpoch+1
	return next, true
}

func (e electorate) first(fits func(int32) bool) (int32, bool) {
	if i := slices.IndexFunc(e.replicas, fits); i >= 0 {
		return e.replicas[i], true
	}
	return noLeader, false
}

// shrunk is the state after brokers have been taken out of the ISR, one after the other, and whether it differs. The
// last member stays, dead or not: it is the only one known to have everything, and the partition waits for it.
//
// Source: ReplicaStateMachine#doRemoveReplicasFromIsr.
func shrunk(s zookeeper.PartitionState, brokers []int32) (next zookeeper.PartitionState, changed bool) {
	next = s
	for _, broker := range brokers {
		if !slices.Contains(next.ISR, broker) && next.Leader != broker {
			continue
		}
		changed = true
		if next.Leader == broker {
			next.Leader = noLeader
		}
		if len(next.ISR) > 1 {
			next.ISR = keep(next.ISR, func(id int32) bool { return id != broker })
		}
	}
	// A partition that waits leaderless for its last member, and loses it once more, is where it was.
	//
	// DEVIATION(ReplicaStateMachine): Kafka writes that, too, in a leader epoch of its own, and so for every one of several brokers.
	if next.Leader == s.Leader && slices.Equal(next.ISR, s.ISR) {
		return s, false
	}
	next.LeaderEpoch = s.LeaderEpoch + 1
	assert.That(len(next.ISR) > 0 || len(s.ISR) == 0, "INV-ISR-NOT-EMPTY: %v without %v", s.ISR, brokers)
	return next, changed
}

// keep is the members of ids that fit, in their order, in a slice of its own.
func keep(ids []int32, fits func(int32) bool) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return !fits(id) })
}
