package controller

import (
	"slices"

	"barnabas/broker/zookeeper"
)

// Eligible leader replicas (KIP-966): who may lead when everybody in the ISR has lost what it was in the ISR for.
//
// A replica that leaves the ISR while fewer than min.insync.replicas stay has everything that is committed, for as long as
// the leader commits nothing with so few. Whoever writes a state keeps a list of such replicas, the ELR:
//
//	ISR [1 2 3], min 2     1 and 2 leave     ISR [3],   ELR [1 2]
//	                       2 comes back      ISR [3 2], ELR []       there are enough again: 1 misses what comes now
//	                       2 leaves          ISR [3],   ELR [2]
//
// Each stands there with the broker epoch in which it was known to be in the ISR, as members do (stamped). A registration
// says since which of its broker's epochs nothing was lost: who is listed with an earlier one may have lost what it had.
//
// That the leader commits nothing does not follow from its topic's min.insync.replicas: settings reach brokers one by
// one, and the controller may know another. So the list goes with a number, ELRMin, and the leader is told the number
// with each ISR: while it has one, it commits nothing unless so many are in the ISR. If its own min.insync.replicas
// says that fewer will do, it asks the controller for an empty list first. Leaders of which it is not known that they heed
// the number, Kafka's, have no list.
//
// DEVIATION(KIP-966): Kafka has this with KRaft alone, and takes a clean stop for the only proof that a broker has kept its data.
//
// These rules are pure. Their model (eligible_test.go) has them obeyed by brokers to which anything may happen; succession.go is
// how the machine obeys them.

// life is what a broker's registration says of its past.
type life struct {
	Epoch  int64
	Since  int64 // epoch in which the present process began, at most Epoch
	Intact int64 // epoch since which the broker's disks have lost nothing that it had, at most Epoch
	Heeds  bool  // as a leader it obeys ELRMin
}

// succession is what the rules look at.
type succession struct {
	replicas []int32        // assigned, when the state has been written
	minISR   int            // min.insync.replicas, at most the number of replicas, as the controller knows it: it may be out of date
	brokers  map[int32]life // registered, as the controller knows them
	failed   func(int32) bool
}

// follow completes a state that is to be written in the place of old (nil for a new partition): the epochs of its ISR, and
// its ELR. The maps that it makes are replaced, and never changed.
func (s succession) follow(old *zookeeper.PartitionState, next zookeeper.PartitionState) zookeeper.PartitionState {
	if old == nil {
		old = &zookeeper.PartitionState{Leader: noLeader}
	}
	next.ISREpochs = s.epochs(old, next)
	next.ELR, next.ELRMin = s.eligible(old, next), 0
	if len(next.ELR) > 0 {
		next.ELRMin = s.minISR
	}
	return next
}

// epochs are those in which we know the members of the ISR. Of a member that is not registered, the last that was known
// stays. So it does of one that has lost its data and stays because it is the last, until it is elected in spite of it: or
// the next election would not know. Who comes into the ISR has caught up in the life that is registered, whatever it lost before.
func (s succession) epochs(old *zookeeper.PartitionState, next zookeeper.PartitionState) map[int32]int64 {
	epochs := map[int32]int64{}
	for _, id := range next.ISR {
		known, was := epochOf(old, id)
		b, up := s.brokers[id]
		joins := !slices.Contains(old.ISR, id)
		believed := next.Leader == id && old.Leader != id
		switch {
		case up && (!was || known >= b.Intact || joins || believed):
			epochs[id] = b.Epoch
		case was:
			epochs[id] = known
		}
	}
	return epochs
}

// eligible is the next ELR: who was in the ISR or the ELR and is in the ISR no more, if too few are left in it to commit.
// It is empty after an election that may have lost something.
func (s succession) eligible(old *zookeeper.PartitionState, next zookeeper.PartitionState) map[int32]int64 {
	switch {
	case len(next.ISR) >= s.minISR, next.Recovery != zookeeper.Recovered:
		return nil
	case next.Leader != noLeader && (!s.brokers[next.Leader].Heeds || s.lost(old, next.Leader)):
		return nil
	}
	elr := map[int32]int64{}
	for _, id := range s.replicas {
		epoch, listed := epochOf(old, id)
		if listed && !slices.Contains(next.ISR, id) && !s.lost(old, id) && !s.failed(id) {
			elr[id] = epoch
		}
	}
	return elr
}

// epochOf is the epoch in which the broker is known to have had everything that is committed.
func epochOf(s *zookeeper.PartitionState, id int32) (epoch int64, known bool) {
	if epoch, known = s.ELR[id]; !known {
		epoch, known = s.ISREpochs[id]
	}
	return epoch, known
}

// lost reports whether it is known that the broker may have lost what it had when it was in the ISR.
func (s succession) lost(now *zookeeper.PartitionState, id int32) bool {
	epoch, known := epochOf(now, id)
	b, up := s.brokers[id]
	return known && up && epoch < b.Intact
}

// heirs are those of the ELR that are not known to have lost their data, in the order of the replicas. Some may be down.
func (s succession) heirs(now *zookeeper.PartitionState) []int32 {
	return keep(s.replicas, func(id int32) bool {
		_, listed := now.ELR[id]
		return listed && !s.lost(now, id)
	})
}

// keeps reports whether a member of the ISR may have everything: it is not known to have lost it.
func (s succession) keeps(now *zookeeper.PartitionState) bool {
	return slices.ContainsFunc(now.ISR, func(id int32) bool { return !s.lost(now, id) })
}

// bereft reports whether all members of the ISR are known to have lost their data, while somebody of the ELR may have them: then
// only an heir may lead, and nothing else may be done to the partition that believes the ISR, such as the end of a reassignment.
func (s succession) bereft(now *zookeeper.PartitionState) bool {
	return !s.keeps(now) && len(s.heirs(now)) > 0
}

// elect decides an election as electorate.elect does, among those who have what is committed: members of the ISR that
// have not lost it, or where there are none, dead ones included, the heirs. The result is to be completed by follow.
//
// If the topic would rather have any leader than none, an heir is better than any. And if nobody is known to have
// everything, then the ISR is as good as it is in Kafka.
func (s succession) elect(now *zookeeper.PartitionState, e electorate, why election) (zookeeper.PartitionState, bool) {
	e.state = *now
	asKafka := e
	heirs := s.heirs(now)
	known := s.keeps(now)
	if !known && len(heirs) == 0 {
		return asKafka.elect(why)
	}
	e.live = func(id int32) bool { return asKafka.live(id) && !s.lost(now, id) }
	e.unclean = false
	if why == electUnclean {
		why, asKafka.unclean = electOffline, true
	}
	if !known && why == electOffline {
		e.state.ISR = heirs
	}
	next, ok := e.elect(why)
	if ok || why != electOffline || !asKafka.unclean {
		return next, ok
	}
	e.state.ISR = heirs
	if next, ok = e.elect(why); ok {
		return next, ok
	}
	return asKafka.elect(why)
}
