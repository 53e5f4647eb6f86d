package partition

import (
	"barnabas/broker/config"
	"barnabas/broker/log"
	"barnabas/broker/wire"
)

// AppendOptions are the conditions of a leader's append.
type AppendOptions struct {
	// Acks as in the Produce request: 0, 1 or -1. With -1 the append is refused while the ISR is below
	// min.insync.replicas.
	Acks int16
	// LeaderEpoch is the epoch the caller believes in, -1 if it does not say.
	LeaderEpoch int32
	// Coordinator marks records that this broker writes itself (group and transaction coordinators).
	Coordinator bool
	// Verified and Guard are those of log.AppendOptions.
	Verified bool
	Guard    *log.Guard
}

// AppendResult tells where a leader's append went.
type AppendResult struct {
	BaseOffset     int64 // of the first record; of the first attempt's if Duplicate
	LastOffset     int64 // of the last record
	LogAppendTime  int64 // milliseconds since 1970, -1 unless the topic uses LogAppendTime
	LogStartOffset int64 // of a refused append too, or -1
	LeaderEpoch    int32 // the epoch it was appended in
	RequiredOffset int64 // acks=all is answered when the high watermark has reached it: see Replicated
	Duplicate      bool  // the producer sent it before: nothing was appended
}

// ReadOptions say what to read and for whom.
type ReadOptions struct {
	Offset             int64
	MaxBytes           int32
	MinOne             bool  // return the first batch even if it is larger than MaxBytes
	CurrentLeaderEpoch int32 // -1 if the reader does not say (KIP-320)
	LastFetchedEpoch   int32 // -1 if the reader does not say (KIP-595)
	ReplicaID          int32 // -1 for a consumer
	ReplicaEpoch       int64 // the replica's broker epoch, -1 if it does not say (KIP-903)
	LogStartOffset     int64 // the replica's own, -1 for a consumer
	ReadCommitted      bool  // bound by the last stable offset, not by the high watermark
	// AllowFollower lets a consumer read where this broker follows (KIP-392): set it for Fetch v11+ with a rack.
	AllowFollower bool
	// Again marks a second look at the same request, for one that waited in purgatory. What it tells about the replica
	// was recorded the first time, and is not news any more.
	Again bool
}

// EpochEnd is the end offset of a leader epoch: the epoch found, and the offset behind its last record. Both are -1 if
// there is none.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// ReadResult is what a read found. The offsets are those of the moment before the read, so that a response never claims
// more than its records show.
type ReadResult struct {
	Slice            wire.Slice // whole batches; call Done once. Empty at the bound, and with Diverging
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	LogEndOffset     int64
	LeaderEpoch      int32
	Aborted          []log.AbortedTxn // with ReadCommitted: what of the records the reader must leave out
	Config           *config.Topic    // the topic's, for the form that an old client gets; not to be changed
	Diverging        *EpochEnd        // set if the reader's LastFetchedEpoch is not in this log where it thinks (KIP-595)
}

// Timestamps that ListOffset understands besides real ones.
const (
	TimestampLatest   int64 = -1 // the high watermark, last stable offset or, for a replica, the log end
	TimestampEarliest int64 = -2
	TimestampMax      int64 = -3 // the record with the largest timestamp (KIP-734)
	// TimestampEarliestLocal is TimestampEarliest where no tier is remote (KIP-405).
	TimestampEarliestLocal int64 = -4
)

// ListOptions say which offset to look up and for whom.
type ListOptions struct {
	Timestamp          int64 // milliseconds since 1970, or one of the constants
	CurrentLeaderEpoch int32 // -1 if the asker does not say
	Replica            bool  // asked by a broker or a debugging tool: no isolation, latest is the log end offset
	ReadCommitted      bool
	AllowFollower      bool // debugging consumers (replica id -2) only
	// SegmentsMax asks, if above 0, for the offsets of up to so many segments (ListOffsets v0) and nothing else.
	SegmentsMax int32
}

// ListResult is an offset found; all are -1 if there is none at or after the timestamp.
type ListResult struct {
	Offset      int64
	Timestamp   int64 // milliseconds since 1970; -1 for latest and earliest
	LeaderEpoch int32
	Segments    []int64 // with SegmentsMax: where segments begin, and the end, descending
}
