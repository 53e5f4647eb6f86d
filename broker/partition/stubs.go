package partition

import "barnabas/broker/wire"

// Partition is one partition on this broker. Safe for use by many tasks.
type Partition struct{}

// TP names the partition.
func (p *Partition) TP() wire.TopicPartition { panic("unfinished") }

// TopicID is the topic's id, zero if it has none.
func (p *Partition) TopicID() [16]byte { panic("unfinished") }

// AppendAsLeader validates and appends batches, whose bytes it changes (offsets, epoch), and wakes those who wait on the
// partition. With acks=all the caller then waits for Replicated.
//
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_ENOUGH_REPLICAS, KAFKA_STORAGE_ERROR, and
// those of log.AppendAsLeader. Source: Partition#appendRecordsToLeader.
func (p *Partition) AppendAsLeader(batches []byte, o AppendOptions) (AppendResult, error) {
	panic("unfinished")
}

// Replicated answers for a purgatory whether an acks=all append is settled: done without an error once the high watermark
// has reached requiredOffset.
//
// Errors, with done: NOT_LEADER_OR_FOLLOWER if leadership has been lost since leaderEpoch, NOT_ENOUGH_REPLICAS_AFTER_APPEND if
// the ISR is below min.insync.replicas by now, KAFKA_STORAGE_ERROR. Source: Partition#checkEnoughReplicasReachOffset.
func (p *Partition) Replicated(requiredOffset int64, leaderEpoch int32) (done bool, err error) {
	panic("unfinished")
}

// Read returns whole batches from o.Offset on, up to the reader's bound: the log end for a replica, the high watermark or
// the last stable offset for a consumer. For a replica it records its fetch state first time (o.Again unset), which may
// advance the high watermark, wake waiters and ask for an ISR expansion.
//
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR.
// Source: Partition#fetchRecords.
func (p *Partition) Read(o ReadOptions) (ReadResult, error) { panic("unfinished") }

// Available tells for a purgatory how many bytes Read would return now, without recording anything. done reports whether
// the reader must be answered at once whatever its minimum: an error, or a diverging epoch.
func (p *Partition) Available(o ReadOptions) (bytes int64, done bool) { panic("unfinished") }

// OffsetForLeaderEpoch finds the largest epoch ≤ epoch and where it ends. EpochEnd{-1, -1} if the epoch is not known.
//
// Errors: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
// Source: Partition#lastOffsetForLeaderEpoch, KIP-279.
func (p *Partition) OffsetForLeaderEpoch(currentLeaderEpoch, epoch int32) (EpochEnd, error) {
	panic("unfinished")
}

// ListOffset looks an offset up. A leader whose high watermark has not yet reached the start of its epoch answers
// OFFSET_NOT_AVAILABLE for latest, and for a timestamp beyond what may be fetched: it cannot know better yet.
//
// Errors: those of OffsetForLeaderEpoch, and OFFSET_NOT_AVAILABLE. Source: Partition#fetchOffsetForTimestamp.
func (p *Partition) ListOffset(o ListOptions) (ListResult, error) { panic("unfinished") }
