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
// These rules are pure, and are not in force: decision 001 says what is missing. They stand beside their model
// (eligible_test.go) until it is there.

// standing is a partition's state with its ELR.
type standing struct {
	zookeeper.PartitionState
	ELR    map[int32]int64 // id → broker epoch; nobody of the ISR; its maps are replaced and never changed
	ELRMin int             // the ISR size below which the leader commits nothing; 0 without an ELR
}

// life is what a broker's registration says of its past.
type life struct {
	Epoch  int64
	Since  int64 // epoch in which the present process began, at most Epoch
	Intact int64 // epoch since which the broker's disks have lost nothing that it had, at most Since
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
// its ELR.
func (s succession) follow(old *standing, next zookeeper.PartitionState) standing {
	if old == nil {
		old = &standing{PartitionState: zookeeper.PartitionState{Leader: noLeader}}
	}
	next.ISREpochs = s.epochs(old, next)
	out := standing{PartitionState: next}
	out.ELR = s.eligible(old, next)
	if len(out.ELR) > 0 {
		out.ELRMin = s.minISR
	}
	return out
}

// epochs are those in which we know the members of the ISR. Of a member that is not registered, the last that was known
// stays. So it does of one that has lost its data and stays because it is the last, until it is elected in spite of it: or
// the next election would not know.
func (s succession) epochs(old *standing, next zookeeper.PartitionState) map[int32]int64 {
	epochs := map[int32]int64{}
	for _, id := range next.ISR {
		known, was := old.epochOf(id)
		b, up := s.brokers[id]
		believed := next.Leader == id && old.Leader != id
		switch {
		case up && (!was || known >= b.Intact || believed):
			epochs[id] = b.Epoch
		case was:
			epochs[id] = known
		}
	}
	return epochs
}

// eligible is the next ELR: who was in the ISR or the ELR and is in the ISR no more, if too few are left in it to commit.
// It is empty after an election that may have lost something.
func (s succession) eligible(old *standing, next zookeeper.PartitionState) map[int32]int64 {
	switch {
	case len(next.ISR) >= s.minISR, next.Recovery != zookeeper.Recovered:
		return nil
	case next.Leader != noLeader && (!s.brokers[next.Leader].Heeds || s.lost(old, next.Leader)):
		return nil
	}
	elr := map[int32]int64{}
	for _, id := range s.replicas {
		epoch, listed := old.epochOf(id)
		if listed && !slices.Contains(next.ISR, id) && !s.lost(old, id) && !s.failed(id) {
			elr[id] = epoch
		}
	}
	return elr
}

// epochOf is the epoch in which the broker is known to have had everything that is committed.
func (s *standing) epochOf(id int32) (epoch int64, known bool) {
	if epoch, known = s.ELR[id]; !known {
		epoch, known = s.ISREpochs[id]
	}
	return epoch, known
}

// lost reports whether it is known that the broker may have lost what it had when it was in the ISR.
func (s succession) lost(now *standing, id int32) bool {
	epoch, known := now.epochOf(id)
	b, up := s.brokers[id]
	return known && up && epoch < b.Intact
}

// heirs are those of the ELR that are not known to have lost their data, in the order of the replicas. Some may be down.
func (s succession) heirs(now *standing) []int32 {
	return keep(s.replicas, func(id int32) bool {
		_, listed := now.ELR[id]
		return listed && !s.lost(now, id)
	})
}

// bereft reports whether all members of the ISR are known to have lost their data, while somebody of the ELR may have them: then
// only an heir may lead, and nothing else may be done to the partition that believes the ISR, such as the end of a reassignment.
func (s succession) bereft(now *standing) bool {
	return !slices.ContainsFunc(now.ISR, func(id int32) bool { return !s.lost(now, id) }) && len(s.heirs(now)) > 0
}

// elect decides an election as electorate.elect does, among those who have what is committed: members of the ISR that
// have not lost it, or where there are none, dead ones included, the heirs. The result is to be completed by follow.
//
// If the topic would rather have any leader than none, an heir is better than any. And if nobody is known to have
// everything, then the ISR is as good as it is in Kafka.
func (s succession) elect(now *standing, e electorate, why election) (zookeeper.PartitionState, bool) {
	e.state = now.PartitionState
	asKafka := e
	heirs := s.heirs(now)
	known := slices.ContainsFunc(now.ISR, func(id int32) bool { return !s.lost(now, id) })
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
