package partition

import (
	"errors"
	"fmt"

	"barnabas/broker/bug"
	"barnabas/broker/record"
)

// ErrMoved says that the partition does not follow in this epoch any more, or that its log is elsewhere than the caller
// thinks: what the caller holds is of no use, and it should look again.
var ErrMoved = errors.New("the follower has moved on")

// FetchPosition is where a follower goes on fetching.
type FetchPosition struct {
	Offset         int64 // the log end offset
	LastEpoch      int32 // of the last batch, -1 for an empty log
	LogStartOffset int64
}

// BeginFollowing prepares the log for fetching in this leader epoch.
//
// Nothing is cut here: the first fetch carries the epoch of our last batch, and the leader's answer says where to cut
// (KIP-595), see TruncateToEpochEnd. Only a log that holds records but knows no epochs is cut at the high watermark.
// Errors: ErrMoved, KAFKA_STORAGE_ERROR. Source: AbstractFetcherThread#partitionFetchState.
func (p *Partition) BeginFollowing(leaderEpoch int32) error {
	return p.asFollower("begin following", leaderEpoch, func() error {
		if p.o.Bugs.Has(bug.TruncateToHW) {
			p.mu.Lock()
			p.epochless = true
			p.mu.Unlock()
			return p.cut(p.hw)
		}
		if p.log().LatestEpoch() < 0 && p.log().EndOffset() > p.log().StartOffset() {
			markLogWithoutEpochs.Hit()
			return p.cut(p.hw)
		}
		return nil
	})
}

// Position is where to fetch from. Errors: ErrMoved, KAFKA_STORAGE_ERROR.
func (p *Partition) Position(leaderEpoch int32) (FetchPosition, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.following(leaderEpoch); err != nil {
		return FetchPosition{}, p.fail("position", err)
	}
	pos := FetchPosition{Offset: p.log().EndOffset(), LastEpoch: p.log().LatestEpoch(), LogStartOffset: p.log().StartOffset()}
	if p.epochless {
		pos.LastEpoch = noEpoch
	}
	return pos, nil
}

// following checks that we follow in this epoch. The caller holds the lock.
func (p *Partition) following(leaderEpoch int32) error {
	if err := p.usable(); err != nil {
		return err
	}
	if p.role != Follower || p.leaderEpoch != leaderEpoch {
		return fmt.Errorf("%s in epoch %d, not follower in %d: %w", p.role, p.leaderEpoch, leaderEpoch, ErrMoved)
	}
	return nil
}

// Fetched is what a leader's answer says of one partition.
type Fetched struct {
	LeaderEpoch    int32 // in which the fetch was made
	Offset         int64 // that it asked for
	Batches        []byte
	HighWatermark  int64 // the leader's
	LogStartOffset int64 // the leader's
}

// AppendAsFollower appends what was fetched and takes the leader's high watermark, as far as our log reaches, and its log start.
// It returns the number of bytes appended.
//
// Batches of a later leader epoch than the one we follow in are refused with ErrMoved: the leader was deposed and truncated its log
// between its check and the sending of the file, and these bytes are not its own.
//
// DEVIATION(KIP-101): Kafka 3.9 takes them (KAFKA-18723 is the later remedy).
// Errors: ErrMoved, CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR. Source: ReplicaFetcherThread#processPartitionData.
func (p *Partition) AppendAsFollower(f Fetched) (bytes int, err error) {
	p.mu.Lock()
	for p.changing {
		p.turn.Wait()
	}
	if err := p.following(f.LeaderEpoch); err != nil {
		p.mu.Unlock()
		return 0, p.fail("append as follower", err)
	}
	p.users++
	p.mu.Unlock()

	bytes, err = p.appendFetched(f)

	p.mu.Lock()
	moved := false
	if err == nil {
		if hw := max(min(f.HighWatermark, p.log().EndOffset()), p.log().StartOffset()); hw != p.hw {
			p.setHW(hw)
			moved = true
		}
	}
	p.leave()
	p.mu.Unlock()
	if moved || bytes > 0 {
		p.o.Notify(p.tp)
	}
	if err != nil {
		return bytes, p.fail("append as follower", err)
	}
	return bytes, nil
}

// appendFetched is the part of AppendAsFollower without the lock.
func (p *Partition) appendFetched(f Fetched) (bytes int, err error) {
	if end := p.log().EndOffset(); f.Offset != end {
		return 0, fmt.Errorf("fetched from %d, the log ends at %d: %w", f.Offset, end, ErrMoved)
	}
	for rest := f.Batches; len(rest) > 0; {
		batch, after, err := record.Next(rest)
		if errors.Is(err, record.ErrPartial) {
			markPartialBatchFetched.Hit()
			break // the log leaves it out
		}
		if err != nil {
			return 0, err
		}
		if epoch := batch.LeaderEpoch(); epoch > f.LeaderEpoch && !p.o.Bugs.Has(bug.NoFetchEpoch) {
			return 0, fmt.Errorf("batch at %d is of epoch %d, fetched in %d: %w", batch.BaseOffset(), epoch, f.LeaderEpoch, ErrMoved)
		}
		rest = after
	}
	if len(f.Batches) > 0 {
		info, err := p.log().AppendAsFollower(f.Batches)
		if err != nil {
			return 0, err
		}
		bytes = info.Bytes
	}
	if f.LogStartOffset > p.log().StartOffset() {
		markFollowerAdvancesLogStart.Hit()
		if err := p.log().AdvanceStartOffset(min(f.LogStartOffset, p.log().EndOffset())); err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

// TruncateToEpochEnd cuts the log where it parts from the leader's, given the largest epoch that the leader has up to the one we
// asked with, and its end there. One step may not reach the point: then the next fetch carries an earlier epoch, and the leader
// answers anew.
//
// Worked example (KIP-279). Ours: epoch 1 from 0, epoch 2 from 10, end 20. The leader's: epoch 1 from 0, epoch 3 from 15, end 30.
//
//	fetch 20, last epoch 2   leader: epoch 1 ends at 15   we know epoch 1, which ends at 10 here: cut to min(10, 15) = 10
//	fetch 10, last epoch 1   the leader has epoch 1 up to 15 ≥ 10: the logs are one
//
// Had we not known epoch 1, but an epoch 0 that ends at 5, we would have cut to 5 and asked again with epoch 0.
// offset is the one that the fetch had asked for. progress reports whether the log's end or its last epoch are others now.
// Errors: ErrMoved, KAFKA_STORAGE_ERROR. Source: AbstractFetcherThread#getOffsetTruncationState.
func (p *Partition) TruncateToEpochEnd(leaderEpoch int32, offset int64, leader EpochEnd) (progress bool, err error) {
	err = p.asFollower("truncate", leaderEpoch, func() error {
		end, last := p.log().EndOffset(), p.log().LatestEpoch()
		if end != offset {
			return fmt.Errorf("fetched from %d, the log ends at %d: %w", offset, end, ErrMoved)
		}
		known, ourEnd := p.log().EndOffsetForEpoch(leader.Epoch)
		err := p.cut(truncation(leader, EpochEnd{Epoch: known, EndOffset: ourEnd}, p.hw))
		progress = p.log().EndOffset() != end || p.log().LatestEpoch() != last
		return err
	})
	return progress, err
}

// truncation is where to cut, given what the leader says and what we know of the same epoch. It is pure.
func truncation(leader, ours EpochEnd, hw int64) int64 {
	switch {
	case leader.EndOffset < 0:
		markLeaderKnowsNoEpoch.Hit()
		return hw // the leader knows nothing: what is committed is all we can be sure of
	case leader.Epoch < 0 || ours.Epoch < 0 || ours.EndOffset < 0:
		markEpochlessLeader.Hit()
		return leader.EndOffset
	case ours.Epoch != leader.Epoch:
		markEpochsDifferOnTruncation.Hit()
		return ours.EndOffset // an epoch that the leader may not have: ask again with it
	default:
		return min(ours.EndOffset, leader.EndOffset)
	}
}

// ResetTo handles an offset that the leader does not have, given its log: a follower that is ahead is cut to the leader's end,
// one that is behind the leader's start begins anew there, and else it may go on where it is. progress reports whether the log
// is another now.
// Errors: ErrMoved, KAFKA_STORAGE_ERROR. Source: AbstractFetcherThread#fetchOffsetAndTruncate.
func (p *Partition) ResetTo(leaderEpoch int32, leaderStart, leaderEnd int64) (progress bool, err error) {
	err = p.asFollower("reset", leaderEpoch, func() error {
		end := p.log().EndOffset()
		switch {
		case leaderEnd < end:
			markLeaderEndsBeforeFollower.Hit()
			progress = true
			return p.cut(leaderEnd)
		case leaderStart > end:
			markLeaderStartsAfterFollower.Hit()
			progress = true
			return p.beginAnew(leaderStart)
		}
		return nil
	})
	return progress, err
}

// beginAnew empties the log and lets it begin at offset, which is behind its end.
func (p *Partition) beginAnew(offset int64) error {
	p.emit(evTruncate, "fully", offset, p.log().EndOffset(), p.hw, int64(p.leaderEpoch))
	if err := p.log().TruncateFullyAndStartAt(offset); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setHW(offset)
	return nil
}

// asFollower runs f with nobody else inside, if we follow in this epoch.
func (p *Partition) asFollower(operation string, leaderEpoch int32, f func() error) error {
	if err := p.beginChange(); err != nil {
		return p.fail(operation, err)
	}
	p.mu.Lock()
	err := p.following(leaderEpoch)
	p.mu.Unlock()
	if err == nil {
		err = f()
	}
	p.endChange()
	p.o.Notify(p.tp)
	return wrapped(p, operation, err)
}

// cut truncates the log to offset, with the high watermark brought down first: it must not be above the log end even in
// between.
func (p *Partition) cut(offset int64) error {
	end := p.log().EndOffset()
	offset = min(max(offset, p.log().StartOffset()), end)
	p.emit(evTruncate, "", offset, end, p.hw, int64(p.leaderEpoch))
	p.lowerHW(offset)
	if err := p.log().TruncateTo(offset); err != nil {
		return err
	}
	p.lowerHW(p.log().EndOffset()) // the cut may be inside a batch, which goes as a whole
	return p.forgetUnwrittenEpochs()
}

// forgetUnwrittenEpochs removes from the log the epochs that begin at its end: those which we began as a leader and wrote no
// record in. A cut must do that even where there is no record to cut: else the follower would name such an epoch as its last, the
// leader would not know it, and they would never agree. Source: UnifiedLog#truncateTo ("always truncate epoch cache").
func (p *Partition) forgetUnwrittenEpochs() error {
	end, known := p.log().EndOffset(), p.log().Epochs()
	written := len(known)
	for written > 0 && known[written-1].StartOffset >= end {
		written--
	}
	switch {
	case written == len(known):
		return nil
	case written == 0:
		return p.log().TruncateFullyAndStartAt(end) // there are no records: each would have its epoch
	default:
		last := known[written-1]
		return p.log().AssignEpoch(last.Epoch, last.StartOffset) // which removes what is later
	}
}

// lowerHW brings the high watermark down to offset if it is above. What was committed goes: only an unclean election can ask for it.
func (p *Partition) lowerHW(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if offset < p.hw {
		markTruncatedBelowHighWatermark.Hit()
		p.emit(evTruncateBelow, "", offset, p.hw)
		p.cutBelow = Cut{Times: p.cutBelow.Times + 1, To: offset, HighWatermark: p.hw}
		p.setHW(offset)
	}
}
