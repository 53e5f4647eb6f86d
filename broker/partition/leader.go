package partition

import (
	"errors"
	"fmt"

	"barnabas/broker/bug"
	"barnabas/broker/log"

	"github.com/twmb/franz-go/pkg/kerr"
)

// AcksAll is the acks of a produce that is answered when the whole ISR has it.
const AcksAll int16 = -1

// AppendAsLeader validates and appends batches, whose bytes it changes (offsets, epoch), and wakes those who wait on the
// partition. With acks=all the caller then waits for Replicated. With an error only LogStartOffset of the result means something.
//
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_ENOUGH_REPLICAS, KAFKA_STORAGE_ERROR, and
// those of log.AppendAsLeader. Source: Partition#appendRecordsToLeader.
func (p *Partition) AppendAsLeader(batches []byte, o AppendOptions) (AppendResult, error) {
	epoch, err := p.enterAppend(o)
	if err != nil {
		return p.refusal(err), p.fail("append", err)
	}
	origin := log.FromClient
	if o.Coordinator {
		origin = log.FromCoordinator
	}
	info, err := p.log().AppendAsLeader(batches, epoch, log.AppendOptions{Origin: origin, Verified: o.Verified, Guard: o.Guard})
	now := p.o.Env.Mono()

	p.mu.Lock()
	if err == nil {
		p.advanceHW(now) // the ISR may be us alone
	}
	p.leave()
	p.mu.Unlock()
	if err != nil {
		return p.refusal(err), p.fail("append", err)
	}
	p.o.Notify(p.tp) // followers wait for the log end
	return AppendResult{BaseOffset: info.FirstOffset, LastOffset: info.LastOffset, LogAppendTime: info.LogAppendTime,
		LogStartOffset: info.LogStartOffset, LeaderEpoch: epoch, RequiredOffset: info.LastOffset + 1,
		Duplicate: info.Duplicate}, nil
}

// refusal is the result of an append that failed. A leader tells its log start, by which an idempotent client knows whether its records were
// deleted; but not with the errors that Kafka takes for everyday ones. Source: ReplicaManager#appendToLocalLog.
func (p *Partition) refusal(err error) AppendResult {
	res := AppendResult{BaseOffset: unknownOffset, LastOffset: unknownOffset, LogAppendTime: -1, LogStartOffset: unknownOffset}
	for _, silent := range []error{kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition, kerr.MessageTooLarge, kerr.RecordListTooLarge,
		kerr.CorruptMessage, kerr.KafkaStorageError} {
		if errors.Is(err, silent) {
			return res
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.usable() == nil && p.role == Leader {
		res.LogStartOffset = p.log().StartOffset()
	}
	return res
}

// enterAppend enters the role for an append, and returns the epoch in which it happens.
func (p *Partition) enterAppend(o AppendOptions) (epoch int32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter(); err != nil {
		return 0, err
	}
	if err := p.checkRole(o.LeaderEpoch, false); err != nil {
		p.leave()
		return 0, err
	}
	if have, need := len(p.isr.committed), p.minISRNow(); o.Acks == AcksAll && have < need {
		p.leave()
		markEnterAppendNotEnoughReplicas.Hit()
		return 0, fmt.Errorf("%d in sync, min.insync.replicas is %d: %w", have, need, kerr.NotEnoughReplicas)
	}
	return p.leaderEpoch, nil
}

// Replicated answers for a purgatory whether an acks=all append is settled: done without an error once the high watermark
// has reached requiredOffset.
//
// Errors, with done: NOT_LEADER_OR_FOLLOWER if leadership has been lost since leaderEpoch, even if it has come back: another
// leader may have put other records at these offsets; NOT_ENOUGH_REPLICAS_AFTER_APPEND if the ISR is below
// min.insync.replicas by now; KAFKA_STORAGE_ERROR. Source: Partition#checkEnoughReplicasReachOffset.
//
// DEVIATION(KIP-101): Kafka does not look at the epoch here, and relies on being asked once while it follows.
func (p *Partition) Replicated(requiredOffset int64, leaderEpoch int32) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(); err != nil {
		return true, p.fail("replicate", err)
	}
	if p.role != Leader || leaderEpoch < p.leaderSince {
		markReplicatedNotLeaderForPartition.Hit()
		return true, p.fail("replicate", kerr.NotLeaderForPartition)
	}
	if p.o.Bugs.Has(bug.AckBeforeISR) { // not noted as acknowledged: that it is lost, clients see
		return true, nil
	}
	if p.hw < requiredOffset {
		return false, nil
	}
	if have, need := p.isr.maximalSize(), p.minISRNow(); have < need {
		markReplicatedNotEnoughReplicasAfterAppend.Hit()
		return true, p.fail("replicate", fmt.Errorf("%d in sync, min.insync.replicas is %d: %w", have, need, kerr.NotEnoughReplicasAfterAppend))
	}
	p.acked = max(p.acked, requiredOffset)
	return true, nil
}
