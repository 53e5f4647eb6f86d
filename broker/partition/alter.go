package partition

import (
	"slices"

	"barnabas/broker/bug"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ShrinkISR proposes an ISR without those who have lagged for longer than replica.lag.time.max.ms, if we lead, and no
// other change is under way. Source: Partition#maybeShrinkIsr.
func (p *Partition) ShrinkISR() {
	now := p.o.Env.Mono()
	p.mu.Lock()
	proposed := p.proposeShrink(now)
	if proposed == nil && !p.changing {
		proposed = p.proposeEmptyELR()
	}
	p.mu.Unlock()
	if proposed != nil {
		p.proposed(proposed)
	}
}

// proposeShrink makes the change pending. The caller holds the lock.
func (p *Partition) proposeShrink(now env.Instant) *Change {
	if p.role != Leader || p.changing || p.usable() != nil || p.isr.pending != nil {
		return nil
	}
	out := lagging(p.isr.committed, p.o.BrokerID, p.followers, p.log().EndOffset(), now, p.o.ReplicaLagTimeMax)
	if len(out) == 0 {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(p.isr.committed), func(id int32) bool { return slices.Contains(out, id) })
	return p.propose(rest, -1)
}

// rareExpand passes over a follower that has caught up.
var rareExpand = env.NewRare("isr-expands-later")

// proposeExpand proposes an ISR with this follower, if it has earned it and no other change is under way. The caller holds the
// lock. Source: Partition#maybeExpandIsr.
func (p *Partition) proposeExpand(r *replica) *Change {
	if p.isr.pending != nil || slices.Contains(p.isr.committed, r.id) || !mayJoin(r, p.hw, p.epochStart) || !p.o.Alive(r.id) {
		return nil
	}
	if rareExpand.Strikes(p.o.Env) {
		return nil // its next fetch will do as well
	}
	return p.propose(append(slices.Clone(p.isr.committed), r.id), r.id)
}

// proposeEmptyELR asks for an empty list of eligible leader replicas where it is only for the list that nothing is committed: our
// min.insync.replicas is content with the ISR. Until the controller has answered, nothing is (decision 001, rule 4). The caller holds the lock.
func (p *Partition) proposeEmptyELR() *Change {
	have := len(p.isr.committed)
	if p.isr.least == 0 || p.role != Leader || p.usable() != nil || have >= p.isr.least || have < p.minISRNow() || p.isr.pending != nil {
		return nil
	}
	change := p.propose(slices.Clone(p.isr.committed), -1)
	change.EmptyELR = true
	markEmptyElrAskedFor.Hit()
	return change
}

// propose makes a change pending. Each member goes with the epoch of the life that we know, so that the controller can
// refuse one that has rebooted since (KIP-903).
//
// DEVIATION(KIP-903): Kafka sends -1 for all in ZooKeeper mode, and a ZooKeeper-mode controller does not look. Ours does.
func (p *Partition) propose(isr []int32, added int32) *Change {
	change := &Change{TP: p.tp, TopicID: p.TopicID(), LeaderEpoch: p.leaderEpoch, PartitionEpoch: p.partitionEpoch, Added: added}
	for _, id := range isr {
		epoch := int64(-1)
		if p.o.Bugs.Has(bug.StaleISRExpand) {
			// as Kafka before KIP-903: members have no epochs
		} else if id == p.o.BrokerID {
			epoch = p.o.BrokerEpoch()
		} else if r := p.follower(id); r != nil {
			epoch = r.brokerEpoch
		}
		change.ISR = append(change.ISR, Member{Broker: id, Epoch: epoch})
	}
	p.isr.pending, p.isr.stalled = change, false
	return change
}

// proposed tells the world of a change that propose has made. No lock is held.
func (p *Partition) proposed(c *Change) {
	p.emit(evISRPropose, "", int64(c.LeaderEpoch), int64(c.PartitionEpoch), int64(c.Added), int64(len(c.ISR)))
	p.o.RequestAlter(p.tp)
}

// PendingChange is the ISR change that the controller should be asked for, nil if there is none, or not any more.
func (p *Partition) PendingChange() *Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.role != Leader || p.usable() != nil || p.isr.stalled {
		return nil
	}
	return p.isr.pending
}

// AlterResult is the controller's answer about one partition.
type AlterResult struct {
	Code           int16
	LeaderEpoch    int32
	PartitionEpoch int32
	ISR            []int32
	ISRMin         int // see Assignment
}

// CompleteChange takes the controller's answer to c, and reports whether the same change must be sent again. An answer that a
// LeaderAndIsr request has overtaken is not looked at.
//
// Source: Partition#submitAlterPartition, handleAlterPartitionUpdate, handleAlterPartitionError.
func (p *Partition) CompleteChange(c *Change, r AlterResult) (again bool) {
	now := p.o.Env.Mono()
	p.mu.Lock()
	if p.isr.pending != c || p.role != Leader || p.usable() != nil {
		markIsrAnswerTooLate.Hit()
		p.mu.Unlock()
		return false
	}
	if r.Code != 0 {
		again = p.refused(r.Code)
		p.mu.Unlock()
		p.emit(evISRRefused, kerr.ErrorForCode(r.Code).Error(), int64(c.LeaderEpoch), int64(c.PartitionEpoch), int64(r.Code))
		return again
	}
	// An equal partition epoch means that the ISR was what we proposed already. An older one, or another leader epoch: news
	// that a LeaderAndIsr request will overtake, or has.
	if r.LeaderEpoch != p.leaderEpoch || r.PartitionEpoch < p.partitionEpoch {
		markIsrAnswerOfAnotherEpoch.Hit()
		p.isr.stalled = true
		p.mu.Unlock()
		return false
	}
	before := len(p.isr.committed)
	p.isr.commit(r.ISR, r.ISRMin)
	p.partitionEpoch = r.PartitionEpoch
	p.advanceHW(now) // the ISR could be us alone by now
	next := p.proposeEmptyELR()
	p.mu.Unlock()

	kind := evISRExpand
	if len(r.ISR) < before {
		markIsrShrunk.Hit()
		kind = evISRShrink
	}
	p.emit(kind, "", int64(r.LeaderEpoch), int64(r.PartitionEpoch), int64(len(r.ISR)))
	p.o.Notify(p.tp)
	if next != nil {
		p.proposed(next)
	}
	return false
}

// refused does what an error code asks for. The caller holds the lock.
func (p *Partition) refused(code int16) (again bool) {
	switch code {
	case kerr.OperationNotAttempted.Code, kerr.IneligibleReplica.Code:
		markIsrChangeNotAttempted.Hit()
		// The controller says that our partition epoch is current and that it did nothing: it is safe to go back to what
		// was committed. The next fetch, or the next look at who lags, proposes anew.
		p.isr.pending = nil
		return false
	case kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code, kerr.FencedLeaderEpoch.Code, kerr.InvalidUpdateVersion.Code,
		kerr.InvalidRequest.Code, kerr.NewLeaderElected.Code:
		// We may be out of date, and the change may have been made by an earlier attempt: stay with the maximal ISR
		// until a LeaderAndIsr request says what is.
		p.isr.stalled = true
		return false
	default:
		return true
	}
}
