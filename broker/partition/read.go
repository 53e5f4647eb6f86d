package partition

import (
	"fmt"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Read returns whole batches from o.Offset on, up to the reader's bound: the log end for a replica, the high watermark or
// the last stable offset for a consumer. For a replica it records its fetch state the first time (o.Again unset), which may
// advance the high watermark, wake waiters and ask for an ISR expansion.
//
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR.
// Source: Partition#fetchRecords.
func (p *Partition) Read(o ReadOptions) (ReadResult, error) {
	news := o.ReplicaID >= 0 && !o.Again
	var now env.Instant
	if news {
		now = p.o.Env.Mono()
	}
	p.mu.Lock()
	res, found, err := p.beginRead(o)
	if err == nil && found != nothing {
		p.users++
		p.mu.Unlock()
		res, err = p.readLog(o, res)
		p.mu.Lock()
		p.leave()
	}
	var told fetchNews
	if err == nil && news && res.Diverging == nil {
		told = p.recordFetch(o, res.LogEndOffset, now)
	}
	p.mu.Unlock()
	if told.wake {
		p.o.Notify(p.tp)
	}
	if told.change != nil {
		p.proposed(told.change)
	}
	if err != nil {
		return ReadResult{}, p.fail("read", err)
	}
	return res, nil
}

// ReadOwn returns whole batches from offset on, below upper, and at least one if there is one, for this broker's coordinators: whatever
// the role, and wherever the log is by now. The caller releases the slice.
//
// Errors: NOT_LEADER_OR_FOLLOWER once the replica is closed, and those of log.Read.
func (p *Partition) ReadOwn(offset int64, bytesMax int32, upper int64) (log.Slice, error) {
	p.mu.Lock()
	err := p.enter()
	p.mu.Unlock()
	if err != nil {
		return log.Slice{Release: func() {}}, p.fail("read", err)
	}
	slice, err := p.log().Read(offset, bytesMax, upper, true)
	p.mu.Lock()
	p.leave()
	p.mu.Unlock()
	return slice, err
}

// Available tells for a purgatory how many bytes Read would return now, without recording anything: 1 if there are any and no more than
// that is wanted, which saves looking them up. done reports whether the reader must be answered at once whatever its minimum: an error,
// or a diverging epoch.
func (p *Partition) Available(o ReadOptions, wanted int64) (bytes int64, done bool) {
	p.mu.Lock()
	res, found, err := p.beginRead(o)
	switch {
	case err != nil || found == nothing:
		p.mu.Unlock()
		return 0, err != nil
	case found == records && wanted <= 1:
		p.mu.Unlock()
		return 1, false
	}
	p.users++
	p.mu.Unlock()
	res, err = p.readLog(o, res)
	p.mu.Lock()
	p.leave()
	p.mu.Unlock()
	res.Slice.Done()
	return int64(res.Slice.Len), err != nil || res.Diverging != nil
}

// found is what a read will find, as far as that can be told without the log.
type found uint8

const (
	other   found = iota // the log must be asked
	records              // at least one batch
	nothing              // the reader is where it may read up to, or wants no bytes: most partitions of most fetches are such
)

// beginRead checks whether the reader may read. The offsets in its result are those of this moment, before the read: an append that comes
// in between must not keep a follower from being caught up. If found is nothing, the result is the whole answer. The caller holds the lock.
func (p *Partition) beginRead(o ReadOptions) (res ReadResult, _ found, err error) {
	if err = p.await(); err == nil {
		err = p.checkRole(o.CurrentLeaderEpoch, o.AllowFollower && o.ReplicaID < 0)
	}
	if err == nil && o.ReplicaID >= 0 {
		err = p.checkReplica(o)
	}
	if err != nil {
		return ReadResult{}, other, err
	}
	l := p.log()
	res = ReadResult{HighWatermark: p.hw, LastStableOffset: l.LastStableOffset(p.hw), LogStartOffset: l.StartOffset(), LogEndOffset: l.EndOffset(),
		LeaderEpoch: p.leaderEpoch, Config: l.TopicConfig()}
	return res, p.foretell(o, &res), nil
}

func (p *Partition) foretell(o ReadOptions, res *ReadResult) found {
	if o.Offset < res.LogStartOffset || o.Offset > res.LogEndOffset || p.o.Bugs&(bug.LSORace|bug.ReadAboveHW) != 0 {
		return other
	}
	if o.LastFetchedEpoch >= 0 {
		if diverging, err := p.divergence(o, res.LogStartOffset); err != nil || diverging != nil {
			return other
		}
	}
	switch {
	case o.Offset >= res.Bound(o) || o.MaxBytes <= 0 && !o.MinOne:
		return nothing
	case o.MinOne:
		return records
	}
	return other
}

// checkReplica checks that a fetching replica is assigned, and not an earlier life of itself. The caller holds the lock.
//
// An unassigned one that knows our epoch may have heard of a reassignment before us: it should try again.
// Source: Partition#followerReplicaOrThrow, Replica#updateFetchStateOrThrow.
//
// DEVIATION(KIP-903): Kafka compares with the broker epochs in KRaft metadata, and in ZooKeeper mode not at all; we compare with the
// latest life that has fetched.
func (p *Partition) checkReplica(o ReadOptions) error {
	r := p.follower(o.ReplicaID)
	switch {
	case r == nil && o.CurrentLeaderEpoch >= 0:
		markCheckReplicaUnknownLeaderEpoch.Hit()
		return fmt.Errorf("replica %d is not assigned: %w", o.ReplicaID, kerr.UnknownLeaderEpoch)
	case r == nil:
		markCheckReplicaNotLeaderForPartition.Hit()
		return fmt.Errorf("replica %d is not assigned: %w", o.ReplicaID, kerr.NotLeaderForPartition)
	case o.ReplicaEpoch >= 0 && o.ReplicaEpoch < r.brokerEpoch && !p.o.Bugs.Has(bug.StaleISRExpand):
		markCheckReplicaNotLeaderForPartition2.Hit()
		return fmt.Errorf("replica %d of broker epoch %d, which has epoch %d by now: %w", o.ReplicaID, o.ReplicaEpoch, r.brokerEpoch, kerr.NotLeaderForPartition)
	}
	return nil
}

// readLog does the reading, with no lock.
func (p *Partition) readLog(o ReadOptions, res ReadResult) (ReadResult, error) {
	if p.o.Bugs.Has(bug.LSORace) && res.LastStableOffset == res.HighWatermark { // nothing is open below it: it is asked for again
		res.LastStableOffset = p.HighWatermark()
	}
	if o.LastFetchedEpoch >= 0 {
		diverging, err := p.divergence(o, res.LogStartOffset)
		if err != nil || diverging != nil {
			res.Diverging = diverging
			return res, err
		}
	}
	if o.Offset < res.LogStartOffset || o.Offset > res.LogEndOffset {
		markReadLogOffsetOutOfRange.Hit()
		return res, fmt.Errorf("offset %d is not in [%d, %d]: %w", o.Offset, res.LogStartOffset, res.LogEndOffset, kerr.OffsetOutOfRange)
	}
	upper := res.Bound(o)
	if o.ReplicaID < 0 && p.o.Bugs.Has(bug.ReadAboveHW) {
		upper = res.LogEndOffset
	}
	if o.Offset >= upper || (o.MaxBytes <= 0 && !o.MinOne) {
		return res, nil
	}
	slice, err := p.log().Read(o.Offset, o.MaxBytes, upper, o.MinOne)
	res.Slice = wire.Slice{File: slice.File, Pos: slice.Pos, Len: slice.Len, Release: slice.Release}
	if err == nil && o.ReadCommitted && slice.Len > 0 {
		if res.Aborted, err = p.log().AbortedTransactions(slice, o.Offset); err != nil {
			res.Slice.Done()
			res.Slice = wire.Slice{}
		}
	}
	return res, err
}

// Bound is the offset below which the reader may read (FetchIsolation).
func (r *ReadResult) Bound(o ReadOptions) int64 {
	switch {
	case o.ReplicaID >= 0:
		return r.LogEndOffset
	case o.ReadCommitted:
		return r.LastStableOffset
	default:
		return r.HighWatermark
	}
}

// divergence compares the reader's last epoch with our log: if that epoch ended before the reader's offset, or is not here
// at all, the reader is told the largest epoch ≤ its own and its end, and truncates (KIP-595, Partition#readRecords).
func (p *Partition) divergence(o ReadOptions, logStart int64) (*EpochEnd, error) {
	epoch, end := p.endOfEpoch(o.LastFetchedEpoch)
	if epoch < 0 || end < 0 {
		markDivergenceOffsetOutOfRange.Hit()
		return nil, fmt.Errorf("last fetched epoch %d is not known: %w", o.LastFetchedEpoch, kerr.OffsetOutOfRange)
	}
	if o.Offset < logStart {
		markDivergenceOffsetOutOfRange2.Hit()
		return nil, fmt.Errorf("offset %d is below the log start %d: %w", o.Offset, logStart, kerr.OffsetOutOfRange)
	}
	if epoch < o.LastFetchedEpoch || end < o.Offset {
		markDivergingEpochFound.Hit()
		return &EpochEnd{Epoch: epoch, EndOffset: end}, nil
	}
	return nil, nil
}

// fetchNews is what a follower's fetch has brought about.
type fetchNews struct {
	wake   bool // the high watermark or a log start moved
	change *Change
}

// recordFetch records that a follower has everything below o.Offset. The caller holds the lock and is inside the role that
// checked the replica. Source: Partition#updateFollowerFetchState.
func (p *Partition) recordFetch(o ReadOptions, leaderEnd int64, now env.Instant) fetchNews {
	r := p.follower(o.ReplicaID)
	news := fetchNews{wake: r.logStartOffset != o.LogStartOffset} // the low watermark, for DeleteRecords
	moved := r.fetched(o.Offset, o.LogStartOffset, leaderEnd, o.ReplicaEpoch, now)
	news.change = p.proposeExpand(r)
	if moved && p.advanceHW(now) {
		news.wake = true
	}
	return news
}
