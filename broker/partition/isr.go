package partition

import (
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Change is a change to an ISR on its way through the controller. It never changes once it is made, and is the same
// change only if it is the same pointer.
type Change struct {
	TP             wire.TopicPartition
	TopicID        [16]byte
	LeaderEpoch    int32
	PartitionEpoch int32 // which the change is built on
	ISR            []Member
	Added          int32 // the replica that is to come in, -1 when the ISR shrinks
	EmptyELR       bool  // asks for an empty list of eligible leader replicas; the ISR stays
}

// Member is a broker in a proposed ISR.
type Member struct {
	Broker int32
	Epoch  int64 // of the life that the leader knows; -1 if it has not heard of it (KIP-903)
}

// inSync is the in-sync replica set as the controller last confirmed it, and the change that is under way. It is pure.
//
// Source: kafka.cluster.PartitionState: CommittedPartitionState, PendingExpandIsr, PendingShrinkIsr (KIP-497).
type inSync struct {
	committed []int32
	least     int // what the controller says with the ISR: nothing is committed with fewer; 0 for nothing said
	pending   *Change
	stalled   bool // the controller refused pending in a way that only a new LeaderAndIsr can resolve
}

// maximal reports whether the broker is in the ISR, or may be already without our knowing: committed, or being added. A replica that
// is being removed stays until that is confirmed. The high watermark counts all of these, so that whichever of the two ISRs
// the controller has, everything below the watermark is on all its members.
func (s *inSync) maximal(id int32) bool {
	return slices.Contains(s.committed, id) || (s.pending != nil && s.pending.Added == id)
}

// leaving reports whether the broker is being removed.
func (s *inSync) leaving(id int32) bool {
	return s.pending != nil && s.pending.Added < 0 && !slices.ContainsFunc(s.pending.ISR, func(m Member) bool { return m.Broker == id })
}

// maximalSize is the number of brokers that maximal holds for.
func (s *inSync) maximalSize() int {
	if s.pending != nil && s.pending.Added >= 0 && !slices.Contains(s.committed, s.pending.Added) {
		return len(s.committed) + 1
	}
	return len(s.committed)
}

// maximalSet lists them. Nobody changes the list.
func (s *inSync) maximalSet() []int32 {
	if s.maximalSize() > len(s.committed) {
		return append(slices.Clone(s.committed), s.pending.Added)
	}
	return s.committed
}

// inCommitted reports whether the broker is in the ISR that the controller has confirmed.
func (s *inSync) inCommitted(id int32) bool { return slices.Contains(s.committed, id) }

// proposed lists the brokers of the ISR that is asked for, nil if nothing is.
func (s *inSync) proposed() []int32 {
	if s.pending == nil {
		return nil
	}
	set := make([]int32, len(s.pending.ISR))
	for i, member := range s.pending.ISR {
		set[i] = member.Broker
	}
	return set
}

// commit takes what the controller says, and forgets what was under way.
func (s *inSync) commit(isr []int32, least int) {
	*s = inSync{committed: slices.Clone(isr), least: least}
}

// mayJoin reports whether a follower has earned its place: it has everything that is committed, and has reached the start
// of the leader's epoch. The second is for the new leader whose high watermark lags: a follower at that watermark may miss
// what an earlier leader committed above it (KAFKA-7128). Source: Partition#isFollowerInSync.
func mayJoin(r *replica, hw, epochStart int64) bool {
	return r.logEndOffset >= hw && epochStart >= 0 && r.logEndOffset >= epochStart
}

// lagging lists the members of isr, us apart, that have not been caught up for longer than lagMax; and those that are not
// among the followers at all. Source: Partition#getOutOfSyncReplicas.
func lagging(isr []int32, us int32, followers []replica, leaderEnd int64, now env.Instant, lagMax time.Duration) []int32 {
	var out []int32
	for _, id := range isr {
		if id == us {
			continue
		}
		i := slices.IndexFunc(followers, func(r replica) bool { return r.id == id })
		if i < 0 || !followers[i].caughtUp(leaderEnd, now, lagMax) {
			out = append(out, id)
		}
	}
	return out
}

// watermark is the offset below which everything is on all replicas for which counts holds, the leader's end among them.
// Source: Partition#maybeIncrementLeaderHW.
func watermark(leaderEnd int64, followers []replica, counts func(*replica) bool) int64 {
	hw := leaderEnd
	for i := range followers {
		if r := &followers[i]; r.logEndOffset < hw && counts(r) {
			hw = r.logEndOffset
		}
	}
	return hw
}
