package log

import (
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Options say which log to open, and what is known of it.
type Options struct {
	Dir     string // the log directory; the partition's own is below it
	TP      wire.TopicPartition
	TopicID [16]byte // zero: not known; then partition.metadata is left as it is

	Config               config.Topic
	RecoveryPoint        int64 // everything below it was synced, says the checkpoint
	StartOffset          int64 // LogStartOffset, says the checkpoint
	CleanShutdown        bool  // nothing needs recovery
	Bugs                 bug.Set
	ProducerIDExpiration time.Duration // 0: Kafka's default of one day

	// OnFailure is told, once and with no lock held, that a write or sync failed and the log is offline.
	OnFailure func(error)
}

// Recovery says what Open had to do to a log.
type Recovery struct {
	Clean          bool  // the last stop was clean, and nothing was looked at
	From           int64 // the offset from which batches were verified
	End            int64 // LogEndOffset afterwards
	Batches        int64 // verified
	Bytes          int64 // verified
	CutBytes       int64 // removed behind the last good batch, later segments included
	CutSegments    int   // later segments removed
	CutReason      string
	IndexesRebuilt int
}

// Origin says where an append comes from (AppendOrigin).
type Origin uint8

const (
	// FromClient appends are checked in full.
	FromClient Origin = iota
	// FromCoordinator appends come from this cluster's group or transaction coordinator: control batches are allowed,
	// and sequences are not checked.
	FromCoordinator
)

// AppendOptions are what an append may ask for.
type AppendOptions struct {
	Origin Origin
}

// AppendInfo says what an append did.
type AppendInfo struct {
	FirstOffset    int64 // of the first record; of the earlier append for a duplicate
	LastOffset     int64
	LogAppendTime  int64 // ms; -1 unless the topic's timestamps are log-append time
	MaxTimestamp   int64 // ms; -1 if none
	LogStartOffset int64
	Batches        int
	Bytes          int
	Duplicate      bool // an idempotent producer sent again what the log has: nothing was appended
}

// Log is the log of one partition. It is safe for concurrent use.
type Log struct{}

// Open opens the log, making it if there is none, and recovers it unless the last stop was clean.
//
// Errors: INCONSISTENT_TOPIC_ID, and those of the disk.
func Open(e env.Env, o Options) (*Log, Recovery, error) { panic("unfinished") }

// AppendAsLeader validates the batches, checks their producers, gives them the next offsets and the leader's epoch in
// place (the caller's bytes change), and writes them. With flush.messages they are synced before it returns, and
// before they can be read.
//
// Errors: those of record.Validate; RECORD_LIST_TOO_LARGE for more than a segment holds; INVALID_PRODUCER_EPOCH,
// OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE, TRANSACTION_COORDINATOR_FENCED; FENCED_LEADER_EPOCH when the log has
// seen a later epoch; KAFKA_STORAGE_ERROR when the log is offline or goes so now.
func (l *Log) AppendAsLeader(batches []byte, leaderEpoch int32, o AppendOptions) (AppendInfo, error) {
	panic("unfinished")
}

// AppendAsFollower writes batches as the leader sent them. They must continue at LogEndOffset; a partial batch at the
// end is left out. Errors: CORRUPT_MESSAGE, OFFSET_OUT_OF_RANGE when they do not continue the log, KAFKA_STORAGE_ERROR.
func (l *Log) AppendAsFollower(batches []byte) (AppendInfo, error) { panic("unfinished") }

// Read finds the batches from the one that holds offset on: whole ones, of one segment, below upper (a batch is in if
// its last offset is below upper), in at most maxBytes; with minOne the first even if it is larger. An empty slice
// means that there is nothing yet. Errors: OFFSET_OUT_OF_RANGE outside of [StartOffset, EndOffset], KAFKA_STORAGE_ERROR.
func (l *Log) Read(offset int64, maxBytes int32, upper int64, minOne bool) (Slice, error) {
	panic("unfinished")
}

// Slice is a run of whole batches in a segment's file. The holder calls Release exactly once; until then the file
// stays open. The bytes stay what they are, unless the log is truncated below them: then they are gone, and reading
// them, or sending the file, comes up short.
type Slice struct {
	File    env.File // nil when Len is 0
	Pos     int64    // bytes
	Len     int32    // bytes
	Release func()   // never nil in what Read returns
}

// Bytes reads the slice. Errors: NOT_LEADER_OR_FOLLOWER when the log was truncated since, KAFKA_STORAGE_ERROR.
func (s Slice) Bytes() ([]byte, error) { panic("unfinished") }

// TruncateTo cuts the log so that LogEndOffset ≤ offset: whole batches that reach beyond it go, as do producer state
// and leader epochs. It is durable when it returns. An offset at or above the end does nothing.
func (l *Log) TruncateTo(offset int64) error { panic("unfinished") }

// TruncateFullyAndStartAt empties the log and lets it begin, and end, at offset.
func (l *Log) TruncateFullyAndStartAt(offset int64) error { panic("unfinished") }

// StartOffset is LogStartOffset; EndOffset is LogEndOffset, the offset that the next record gets. Neither takes a lock.
func (l *Log) StartOffset() int64 { panic("unfinished") }
func (l *Log) EndOffset() int64   { panic("unfinished") }

// AdvanceStartOffset raises LogStartOffset, never beyond LogEndOffset, and drops segments wholly below it.
func (l *Log) AdvanceStartOffset(offset int64) error { panic("unfinished") }

// LatestEpoch is the last leader epoch that the log knows, -1 if none. It takes no lock.
func (l *Log) LatestEpoch() int32 { panic("unfinished") }

// Epochs are the leader epochs and where they start, ascending. The caller must not change them. It takes no lock.
func (l *Log) Epochs() []EpochEntry { panic("unfinished") }

// EpochEntry is a leader epoch and the offset of the first record that its leader wrote, or would have.
type EpochEntry struct {
	Epoch       int32
	StartOffset int64
}

// EndOffsetForEpoch is the largest epoch ≤ the asked one that the log knows, and where it ended: the start of the next
// epoch, or LogEndOffset for the latest. (-1, -1) if unknown.
//
// Source: LeaderEpochFileCache#endOffsetFor. KIP-101, KIP-279.
func (l *Log) EndOffsetForEpoch(epoch int32) (int32, int64) { panic("unfinished") }

// AssignEpoch records that the leader epoch begins at startOffset: on becoming leader. Durable when it returns.
//
// Source: LeaderEpochFileCache#assign.
func (l *Log) AssignEpoch(epoch int32, startOffset int64) error { panic("unfinished") }

// TimestampMax asks OffsetForTimestamp for the record with the largest timestamp (ListOffsets -3, KIP-734).
const TimestampMax int64 = -3

// OffsetForTimestamp finds the first record whose timestamp is at least ts (ms), and its leader epoch. (-1, -1, -1) if
// there is none.
func (l *Log) OffsetForTimestamp(ts int64) (offset, timestamp int64, epoch int32, err error) {
	panic("unfinished")
}

// SetHighWatermark tells the log what is committed; HighWatermark is the last it was told.
func (l *Log) SetHighWatermark(hw int64) { panic("unfinished") }
func (l *Log) HighWatermark() int64      { panic("unfinished") }

// LastStableOffset is the offset below which, given the high watermark, every transaction is decided: hw, or the start
// of the first open transaction below it.
func (l *Log) LastStableOffset(hw int64) int64 { panic("unfinished") }

// Flush makes everything appended so far durable and raises the recovery point.
func (l *Log) Flush() error { panic("unfinished") }

// RecoveryPoint is the offset below which everything is durable. It takes no lock.
func (l *Log) RecoveryPoint() int64 { panic("unfinished") }

// Close flushes, writes a producer snapshot and closes the files. Slices stay readable until they are released.
func (l *Log) Close() error { panic("unfinished") }

// Size is the number of bytes in all segments.
func (l *Log) Size() int64 { panic("unfinished") }

// TP names the partition; TopicID is its topic's id, zero if not known.
func (l *Log) TP() wire.TopicPartition { panic("unfinished") }
func (l *Log) TopicID() [16]byte       { panic("unfinished") }

// SetConfig changes the topic's configuration for what comes.
func (l *Log) SetConfig(c config.Topic) { panic("unfinished") }

// Config is the topic's configuration.
func (l *Log) Config() config.Topic { panic("unfinished") }

// Err is nil, or a KAFKA_STORAGE_ERROR when the log is offline. It takes no lock.
func (l *Log) Err() error { panic("unfinished") }
