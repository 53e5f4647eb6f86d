package partition

import (
	"fmt"
	"slices"

	"barnabas/broker/assert"
	"barnabas/broker/bug"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Assignment is what the controller says of one partition: the state in a LeaderAndIsr request. The partition keeps no
// slice of it.
type Assignment struct {
	Leader          int32 // -1 for none
	LeaderEpoch     int32
	PartitionEpoch  int32 // version of the state znode
	ControllerEpoch int32
	ISR             []int32
	Replicas        []int32 // in order of preference
	// ISRMin is the size of the ISR below which the leader commits nothing, whatever min.insync.replicas it goes by: there are eligible
	// leader replicas, and they have what is committed for as long. 0 without any.
	ISRMin int
}

// admit decides what an assignment means beside what is known: stale (an error), old news (false), or to be obeyed. The leader
// epoch alone orders leaders. Within one, the partition epoch orders ISRs: an AlterPartition answer may have overtaken the
// request, so one that is behind is skipped.
//
// Errors: STALE_CONTROLLER_EPOCH for an older leader epoch, or another leader in the same one.
func (p *Partition) admit(a Assignment) (bool, error) {
	switch {
	case a.LeaderEpoch < p.leaderEpoch:
		markAdmitStaleControllerEpoch.Hit()
		return false, fmt.Errorf("leader epoch %d is older than %d: %w", a.LeaderEpoch, p.leaderEpoch, kerr.StaleControllerEpoch)
	case a.LeaderEpoch == p.leaderEpoch && a.Leader != p.leaderID:
		markAdmitStaleControllerEpoch2.Hit()
		return false, fmt.Errorf("epoch %d has leader %d already, not %d: %w", a.LeaderEpoch, p.leaderID, a.Leader, kerr.StaleControllerEpoch)
	case a.LeaderEpoch == p.leaderEpoch && a.PartitionEpoch < p.partitionEpoch:
		markOlderPartitionEpochOfTheSameLeaderEpoch.Hit()
		return false, nil
	}
	return true, nil
}

// BecomeLeader makes this broker the partition's leader, or tells the leader of a new epoch, ISR or replica set.
//
// The new epoch is written down with the log end as its start before anything else happens in it, so that a follower that
// asks for any earlier epoch is told the right end (KIP-101). The high watermark stays where it is: what an earlier leader
// committed is found out as the followers fetch.
//
// Errors: STALE_CONTROLLER_EPOCH, NOT_LEADER_OR_FOLLOWER if the partition is closed, KAFKA_STORAGE_ERROR. Source: Partition#makeLeader.
func (p *Partition) BecomeLeader(a Assignment) error {
	assert.That(a.Leader == p.o.BrokerID, "INV-LEADER-ID: %s: %d is made leader %d", p.tp, p.o.BrokerID, a.Leader)
	if err := p.beginChange(); err != nil {
		return p.fail("become leader", err)
	}
	notify, resend, err := p.changeToLeader(a)
	p.endChange()
	if notify {
		p.o.Notify(p.tp)
	}
	if resend {
		p.o.RequestAlter(p.tp)
	}
	return wrapped(p, "become leader", err)
}

// changeToLeader is BecomeLeader inside of the change. It reports what to tell afterwards.
func (p *Partition) changeToLeader(a Assignment) (notify, resend bool, err error) {
	if ok, err := p.admit(a); !ok {
		return false, false, err
	}
	newEpoch := a.LeaderEpoch > p.leaderEpoch
	start := p.epochStart
	if newEpoch {
		start = p.log().EndOffset()
		if !p.o.Bugs.Has(bug.EpochNotPersisted) {
			if err := p.log().AssignEpoch(a.LeaderEpoch, start); err != nil {
				return false, false, err
			}
		}
	}
	notify, resend = p.lead(a, start, newEpoch)
	return notify, resend, nil
}

// lead sets a leader's fields in one go: between events nobody must see half of it.
func (p *Partition) lead(a Assignment, start int64, newEpoch bool) (notify, resend bool) {
	now := p.o.Env.Mono()
	p.mu.Lock()
	sameNews := !newEpoch && a.PartitionEpoch == p.partitionEpoch && p.isr.pending != nil
	p.resetFollowers(a, now, start, newEpoch)
	if p.role != Leader {
		p.leaderSince = a.LeaderEpoch
	}
	if newEpoch {
		p.acked = 0
	}
	p.role, p.leaderID, p.leaderEpoch, p.epochStart = Leader, a.Leader, a.LeaderEpoch, start
	p.partitionEpoch, p.controllerEpoch = a.PartitionEpoch, a.ControllerEpoch
	p.replicas = slices.Clone(a.Replicas)
	if sameNews {
		markToldTheSameAgain.Hit()
		// DEVIATION(KIP-497): Kafka with ZooKeeper does not look at what comes in the epoch that it is in (STALE_CONTROLLER_EPOCH), and with KRaft
		// forgets the change that is under way. Ours takes a newer ISR from it. With the same one the controller may still be about to make the
		// change, and would then have a member in the ISR that our high watermark does not count. So it stays, and is asked for again if it was
		// refused: the answer tells which of the two is true.
		p.isr.stalled, p.isr.least = false, a.ISRMin
	} else {
		p.isr.commit(a.ISR, a.ISRMin)
	}
	moved := p.advanceHW(now)
	hw := p.hw
	asked := p.proposeEmptyELR()
	p.mu.Unlock()

	if newEpoch {
		p.emit(evBecomeLeader, fmt.Sprintf("isr=%v replicas=%v", a.ISR, a.Replicas), int64(a.LeaderEpoch), start, hw, int64(a.PartitionEpoch))
	}
	if asked != nil {
		p.emit(evISRPropose, "", int64(asked.LeaderEpoch), int64(asked.PartitionEpoch), -1, int64(len(asked.ISR)))
	}
	return newEpoch || moved, sameNews || asked != nil
}

// resetFollowers makes the followers' states those of the assignment. The caller holds the lock.
//
// DEVIATION(KIP-101): Kafka keeps the log ends of followers whenever a leader is made leader again. But a leader that was cut
// off and has missed epochs does not know who led in them: to that one its followers may have truncated what they had told
// us, and their old ends would commit what nobody else has. So ends are kept from one epoch to the very next alone.
func (p *Partition) resetFollowers(a Assignment, now env.Instant, start int64, newEpoch bool) {
	missedEpochs := a.LeaderEpoch > p.leaderEpoch+1
	if missedEpochs && p.role == Leader {
		markLeaderAgainAfterMissedEpochs.Hit()
	}
	followers := make([]replica, 0, len(a.Replicas))
	for _, id := range a.Replicas {
		if id == p.o.BrokerID {
			continue
		}
		inISR := slices.Contains(a.ISR, id)
		known := p.follower(id)
		switch {
		case known == nil || p.role != Leader || missedEpochs:
			followers = append(followers, newReplica(id, now, inISR))
		case newEpoch:
			followers = append(followers, known.newEpoch(now, start, inISR))
		default:
			followers = append(followers, *known)
		}
	}
	slices.SortFunc(followers, func(a, b replica) int { return int(a.id) - int(b.id) })
	p.followers = slices.CompactFunc(followers, func(a, b replica) bool { return a.id == b.id })
}

// BecomeFollower makes this broker a follower, of nobody if a.Leader is -1, and reports whether the epoch is new: then its
// fetching begins anew, even from the same leader. Whoever waits for an acks=all append learns that leadership is lost.
//
// Errors: those of BecomeLeader. Source: Partition#makeFollower.
func (p *Partition) BecomeFollower(a Assignment) (newEpoch bool, err error) {
	assert.That(a.Leader != p.o.BrokerID, "INV-LEADER-ID: %s: %d would follow itself", p.tp, a.Leader)
	if err := p.beginChange(); err != nil {
		return false, p.fail("become follower", err)
	}
	newEpoch, err = p.changeToFollower(a)
	p.endChange()
	if newEpoch {
		p.o.Notify(p.tp)
	}
	return newEpoch, wrapped(p, "become follower", err)
}

func (p *Partition) changeToFollower(a Assignment) (newEpoch bool, err error) {
	if ok, err := p.admit(a); !ok {
		return false, err
	}
	p.mu.Lock()
	newEpoch = a.LeaderEpoch > p.leaderEpoch
	p.role, p.leaderID, p.leaderEpoch, p.epochStart = Follower, a.Leader, a.LeaderEpoch, -1
	p.leaderSince = noEpoch
	p.partitionEpoch, p.controllerEpoch = a.PartitionEpoch, a.ControllerEpoch
	p.replicas = slices.Clone(a.Replicas)
	p.followers = nil
	p.isr = inSync{}
	hw := p.hw
	p.mu.Unlock()
	if newEpoch {
		p.emit(evBecomeFollower, "", int64(a.LeaderEpoch), int64(a.Leader), p.log().EndOffset(), hw)
	}
	return newEpoch, nil
}

// Close ends the partition's work: it waits for what is in the log, and refuses everything from then on with
// NOT_LEADER_OR_FOLLOWER. For a replica that is deleted, and for a broker that stops.
func (p *Partition) Close() {
	if p.beginChange() != nil {
		return // closed or offline already
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.endChange()
	p.o.Notify(p.tp)
}

// MarkOffline says that the log directory failed: everything is refused with KAFKA_STORAGE_ERROR. It waits for nobody, as
// it may be called from inside an operation whose write has just failed.
func (p *Partition) MarkOffline() {
	p.mu.Lock()
	already := p.offline
	p.offline = true
	p.mu.Unlock()
	if !already {
		p.emit(evOffline, "")
		p.o.Notify(p.tp)
	}
}

// wrapped is fail, but nil stays nil.
func wrapped(p *Partition, operation string, err error) error {
	if err == nil {
		return nil
	}
	return p.fail(operation, err)
}
