package partition

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ToHighWatermark as the offset of DeleteRecords means everything that is committed.
const ToHighWatermark int64 = -1

// DeleteRecords raises the leader's log start to offset, or to the high watermark, and returns the offset it meant. What
// is below goes, first from the readers' sight, then from the disk, segment by segment. Followers take the new start
// with their next fetch; LowWatermark tells when all have.
//
// Errors: NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE above the high watermark or negative, POLICY_VIOLATION where cleanup.policy is
// not delete, KAFKA_STORAGE_ERROR. Source: Partition#deleteRecordsOnLeader, KIP-107.
func (p *Partition) DeleteRecords(offset int64) (int64, error) {
	hw, err := p.enterDeletion()
	if err != nil {
		return unknownOffset, p.fail("delete records", err)
	}
	if offset == ToHighWatermark {
		offset = hw
	}
	switch {
	case !p.log().Config().CleanupPolicyDelete:
		err = fmt.Errorf("cleanup.policy keeps them: %w", kerr.PolicyViolation)
	case offset < 0 || offset > hw:
		err = fmt.Errorf("offset %d is not from 0 to the high watermark %d: %w", offset, hw, kerr.OffsetOutOfRange)
	default:
		err = p.log().AdvanceStartOffset(offset)
	}
	p.mu.Lock()
	p.leave()
	p.mu.Unlock()
	if err != nil {
		return unknownOffset, p.fail("delete records", err)
	}
	p.o.Notify(p.tp)
	return offset, nil
}

func (p *Partition) enterDeletion() (hw int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter(); err != nil {
		return 0, err
	}
	if err := p.checkRole(noEpoch, false); err != nil {
		p.leave()
		return 0, err
	}
	return p.hw, nil
}

// LowWatermark is the lowest log start of all replicas on live brokers, -1 while one has not told its own.
//
// Errors: NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR. Source: Partition#lowWatermarkIfLeader.
func (p *Partition) LowWatermark() (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.usable(); err != nil {
		return unknownOffset, p.fail("low watermark", err)
	}
	if p.role != Leader {
		return unknownOffset, p.fail("low watermark", kerr.NotLeaderForPartition)
	}
	low := p.log().StartOffset()
	for i := range p.followers {
		if r := &p.followers[i]; r.logStartOffset < low && p.o.Alive(r.id) {
			low = r.logStartOffset
		}
	}
	return low, nil
}
