package partition

import (
	"fmt"

	"barnabas/broker/bug"
	"barnabas/broker/log"

	"github.com/twmb/franz-go/pkg/kerr"
)

// OffsetForLeaderEpoch finds the largest epoch ≤ epoch and where it ends. EpochEnd{-1, -1} if the epoch is not known.
//
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
// Source: Partition#lastOffsetForLeaderEpoch, KIP-279.
func (p *Partition) OffsetForLeaderEpoch(currentLeaderEpoch, epoch int32) (EpochEnd, error) {
	p.mu.Lock()
	err := p.enter()
	if err == nil {
		if err = p.checkRole(currentLeaderEpoch, false); err != nil {
			p.leave()
		}
	}
	p.mu.Unlock()
	if err != nil {
		return EpochEnd{Epoch: noEpoch, EndOffset: unknownOffset}, p.fail("offset for leader epoch", err)
	}
	found, end := p.endOfEpoch(epoch)
	p.mu.Lock()
	p.leave()
	p.mu.Unlock()
	return EpochEnd{Epoch: found, EndOffset: end}, nil
}

// endOfEpoch is the largest epoch ≤ asked that the log knows, and its end; both are -1 if there is none.
func (p *Partition) endOfEpoch(asked int32) (epoch int32, end int64) {
	if p.o.Bugs.Has(bug.SingleEpochLookup) {
		return p.endOfOneEpoch(asked)
	}
	return p.log().EndOffsetForEpoch(asked)
}

// endOfOneEpoch is what was answered before KIP-279: where the next epoch begins, in the name of the one that was asked for, even
// if that is not in the log at all.
func (p *Partition) endOfOneEpoch(asked int32) (epoch int32, end int64) {
	known := p.log().Epochs()
	for _, e := range known {
		if e.Epoch > asked {
			return asked, e.StartOffset
		}
	}
	if len(known) > 0 && known[len(known)-1].Epoch == asked {
		return asked, p.log().EndOffset()
	}
	return noEpoch, unknownOffset
}

// ListOffset looks an offset up. A leader whose high watermark has not yet reached the start of its epoch answers
// OFFSET_NOT_AVAILABLE for latest, and for a timestamp beyond what may be fetched: it cannot know better yet.
//
// Errors: those of OffsetForLeaderEpoch, and OFFSET_NOT_AVAILABLE. Source: Partition#fetchOffsetForTimestamp.
func (p *Partition) ListOffset(o ListOptions) (ListResult, error) {
	p.mu.Lock()
	err := p.enter()
	if err == nil {
		if err = p.checkRole(o.CurrentLeaderEpoch, o.AllowFollower); err != nil {
			p.leave()
		}
	}
	hw, epoch, epochStart := p.hw, p.leaderEpoch, p.epochStart
	p.mu.Unlock()
	if err == nil {
		var res ListResult
		res, err = p.lookUp(o, hw, epoch, epochStart)
		p.mu.Lock()
		p.leave()
		p.mu.Unlock()
		if err == nil {
			return res, nil
		}
	}
	return nowhere, p.fail("list offsets", err)
}

var nowhere = ListResult{Offset: unknownOffset, Timestamp: -1, LeaderEpoch: noEpoch}

func (p *Partition) lookUp(o ListOptions, hw int64, epoch int32, epochStart int64) (ListResult, error) {
	bound := p.log().EndOffset()
	switch {
	case o.Replica:
	case o.ReadCommitted:
		bound = p.log().LastStableOffset(hw)
	default:
		bound = hw
	}
	if o.SegmentsMax > 0 {
		return p.segmentOffsets(o, bound)
	}
	var notYet error
	if !o.Replica && epochStart > hw {
		notYet = fmt.Errorf("high watermark %d is behind the epoch's start %d: %w", hw, epochStart, kerr.OffsetNotAvailable)
	}
	switch o.Timestamp {
	case TimestampLatest:
		if notYet != nil {
			return nowhere, notYet
		}
		return ListResult{Offset: bound, Timestamp: -1, LeaderEpoch: epoch}, nil
	case TimestampEarliest, TimestampEarliestLocal:
		start := p.log().StartOffset()
		return ListResult{Offset: start, Timestamp: -1, LeaderEpoch: epochAt(p.log().Epochs(), start)}, nil
	default:
		offset, timestamp, at, err := p.log().OffsetForTimestamp(o.Timestamp)
		if err != nil {
			return nowhere, err
		}
		if offset >= 0 && offset < bound {
			return ListResult{Offset: offset, Timestamp: timestamp, LeaderEpoch: at}, nil
		}
		return nowhere, notYet
	}
}

// segmentOffsets is what ListOffsets v0 asks for. What lies above the bound stands for the bound, once.
//
// Source: Partition#legacyFetchOffsetsForTimestamp.
func (p *Partition) segmentOffsets(o ListOptions, bound int64) (ListResult, error) {
	offsets, err := p.log().OffsetsBefore(o.Timestamp, int(o.SegmentsMax))
	if err != nil {
		return nowhere, err
	}
	res, above := nowhere, false
	for _, offset := range offsets {
		if offset > bound {
			if above {
				continue
			}
			above, offset = true, bound
		} else if above && offset == bound {
			continue
		}
		res.Segments = append(res.Segments, offset)
	}
	return res, nil
}

// epochAt is the leader epoch of the record at offset, -1 if the cache does not reach back that far.
func epochAt(epochs []log.EpochEntry, offset int64) int32 {
	epoch := noEpoch
	for _, e := range epochs {
		if e.StartOffset > offset {
			break
		}
		epoch = e.Epoch
	}
	return epoch
}
