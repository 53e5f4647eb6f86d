package log

import (
	"fmt"
	"math"
	"path"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Options say which log to open, and what is known of it.
type Options struct {
	Dir     string // the log directory; the partition's own is below it
	TP      wire.TopicPartition
	TopicID [16]byte // zero: not known; then partition.metadata is left as it is

	Config               config.Topic
	RecoveryPoint        int64 // everything below it was synced, says the checkpoint
	StartOffset          int64 // LogStartOffset, says the checkpoint
	Cleaned              int64 // the cleaner has been up to here, says the checkpoint
	CleanShutdown        bool  // nothing needs recovery
	foreign              bool  // somebody else has written in the directory, see renew.go
	rewrite              bool  // what is recovered is written over itself, see doubt.go
	Bugs                 bug.Set
	ProducerIDExpiration time.Duration // 0: Kafka's default of one day

	// OnFailure is told, once and with no lock held, that a write or sync failed and the log is offline.
	OnFailure func(error)

	health   *health // of the log directory, when a manager shares it among logs
	future   string  // the directory's name, of a copy that is being made (move.go)
	dirLater bool    // the manager calls MakeDir, or not
}

// Log is the log of one partition. It is safe for concurrent use.
type Log struct {
	env    env.Env
	tp     wire.TopicPartition
	path   string
	bugs   bug.Set
	health *health

	producerExpiration time.Duration
	copying            bool // it is a copy of another log of ours, gaps and all (move.go)

	config atomic.Pointer[config.Topic]
	// checkpoint writes the directory's recovery points and log starts; rolled is told that a segment was sealed. All
	// three are nil without a manager.
	checkpoint func() error
	rolled     func(*Log)
	doom       func(*Log, []string) // has files removed after file.delete.delay.ms; nil: they go at once

	mu           env.Mutex
	synced       env.Cond // a sync ended, for appends that wait to be durable
	syncing      bool     // one is under way
	mustSync     int64    // nothing is published before everything below this offset is durable
	topicID      [16]byte
	unborn       bool       // see bear
	homeless     bool       // it has no directory yet
	held         bool       // nothing is retained: see Promote
	epochsBehind bool       // leader-epoch-checkpoint is: see deferEpochs
	listed       []string   // the directory's files, while it is loaded and none has come or gone
	segments     []*segment // ascending; the last one is active. Never empty while the log is open
	end          int64      // LogEndOffset of what was written; published as leo once it may be seen
	producers    *producers
	verifying    map[int64]*verification // by producer id
	unflushed    int64                   // records since the last sync
	snapped      []int64                 // producer snapshots, by offset, that are not synced yet
	closed       bool
	found        found
	// uncleanable says that the cleaner met a batch that it cannot read, and leaves the log alone.
	uncleanable bool

	// Written with mu held, read without.
	leo           atomic.Int64
	start         atomic.Int64
	recoveryPoint atomic.Int64
	indexes       atomic.Int64 // below it the indexes of sealed segments are durable too
	activeBase    atomic.Int64
	hw            atomic.Int64
	unstable      atomic.Int64 // first offset of an undecided transaction, or math.MaxInt64
	size          atomic.Int64
	first         atomic.Int64  // base offset of the first segment
	cleaned       atomic.Int64  // offset up to which the cleaner has been; 0: nowhere
	flushed       atomic.Int64  // env.Instant of the last sync of everything
	generation    atomic.Uint64 // counts truncations
	epochs        atomic.Pointer[epochs]
}

// withDefaults fills in Kafka's defaults where the configuration says nothing.
func withDefaults(c config.Topic) *config.Topic {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 1 << 30
	}
	if c.Segment <= 0 {
		c.Segment = 7 * 24 * time.Hour
	}
	if c.SegmentIndexBytes <= 0 {
		c.SegmentIndexBytes = 10 << 20
	}
	if c.IndexIntervalBytes <= 0 {
		c.IndexIntervalBytes = 4096
	}
	if c.CleanupPolicyCompact && c.MaxCompactionLag > 0 { // what is in the active segment cannot be compacted
		c.Segment = min(c.Segment, c.MaxCompactionLag)
	}
	if c.FlushMessages <= 0 {
		c.FlushMessages = math.MaxInt64
	}
	if c.TimestampBeforeMax == 0 && c.TimestampAfterMax == 0 && c.TimestampDifferenceMax == 0 {
		c.TimestampBeforeMax, c.TimestampAfterMax, c.TimestampDifferenceMax = math.MaxInt64, math.MaxInt64, math.MaxInt64
	}
	if c.TimestampBeforeMax == math.MaxInt64 {
		c.TimestampBeforeMax = c.TimestampDifferenceMax
	}
	if c.TimestampAfterMax == math.MaxInt64 {
		c.TimestampAfterMax = c.TimestampDifferenceMax
	}
	return &c
}

// unlock releases the lock and, with none held, passes a failure of the directory on.
func (l *Log) unlock() {
	l.mu.Unlock()
	l.health.tell()
}

// usable is nil if the log can be written and read.
func (l *Log) usable() error {
	if err := l.health.err(); err != nil {
		return fmt.Errorf("%s: %w", l.tp, err)
	}
	if l.closed {
		markUsableNotLeaderForPartition.Hit()
		return fmt.Errorf("%s: log is closed: %w", l.tp, kerr.NotLeaderForPartition)
	}
	return nil
}

// fail takes the log's directory offline.
func (l *Log) fail(op string, cause error) error {
	if l.bugs.Has(bug.AppendAfterIOError) {
		return fmt.Errorf("%s: %s: %w: %w", l.tp, op, cause, kerr.KafkaStorageError)
	}
	return l.health.fail(l.tp.String()+": "+op, cause)
}

func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }

func (l *Log) interval() int64 { return int64(l.config.Load().IndexIntervalBytes) }

// segmentFor is the number of the segment that holds, or would hold, offset: the last whose base is not above it, or
// the first.
func (l *Log) segmentFor(offset int64) int {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].base > offset })
	return max(i-1, 0)
}

// publish lets everybody see the log up to its end.
func (l *Log) publish() {
	l.measure()
	l.unstable.Store(l.firstUnstable(l.hw.Load()))
	l.leo.Store(l.end)
}

// measure tells how large the log is and where its files begin.
func (l *Log) measure() {
	var bytes int64
	for _, g := range l.segments {
		bytes += g.size
	}
	l.size.Store(bytes)
	l.first.Store(l.segments[0].base)
	l.activeBase.Store(l.active().base)
}

// firstUnstable is where the first undecided transaction begins, or the log, if that has lost the beginning
// (UnifiedLog#maybeIncrementFirstUnstableOffset).
func (l *Log) firstUnstable(hw int64) int64 {
	return max(l.producers.firstUnstable(hw), l.start.Load())
}

// FirstOffset is the base offset of the first segment: what lies between it and StartOffset is still on disk, but not
// part of the log any more. It takes no lock.
func (l *Log) FirstOffset() int64 { return l.first.Load() }

// StartOffset is LogStartOffset: records below it are gone. It takes no lock.
func (l *Log) StartOffset() int64 { return l.start.Load() }

// EndOffset is LogEndOffset, the offset that the next record gets. It takes no lock.
func (l *Log) EndOffset() int64 { return l.leo.Load() }

// RecoveryPoint is the offset below which everything is durable. It takes no lock.
func (l *Log) RecoveryPoint() int64 { return l.recoveryPoint.Load() }

// verified is the offset from which on the next start must verify the log: RecoveryPoint, or where the first sealed
// segment begins whose indexes are not durable yet.
func (l *Log) verified() int64 {
	if indexes := l.indexes.Load(); indexes < l.activeBase.Load() {
		return min(l.recoveryPoint.Load(), indexes)
	}
	return l.recoveryPoint.Load()
}

// Size is the number of bytes in all segments. It takes no lock.
func (l *Log) Size() int64 { return l.size.Load() }

// TP names the partition.
func (l *Log) TP() wire.TopicPartition { return l.tp }

// TopicID is its topic's id, zero if not known.
func (l *Log) TopicID() [16]byte {
	l.mu.Lock()
	defer l.unlock()
	return l.topicID
}

// Dir is the log directory that the log is in.
func (l *Log) Dir() string { return path.Dir(l.path) }

// SetConfig changes the topic's configuration for what comes.
func (l *Log) SetConfig(c config.Topic) { l.config.Store(withDefaults(c)) }

// Config is the topic's configuration, with Kafka's defaults where it said nothing.
func (l *Log) Config() config.Topic { return *l.config.Load() }

// TopicConfig is Config, shared: the caller must not change it. It takes no lock and no memory.
func (l *Log) TopicConfig() *config.Topic { return l.config.Load() }

// Err is nil, or a KAFKA_STORAGE_ERROR when the log is offline. It takes no lock.
func (l *Log) Err() error { return l.health.err() }

// SetHighWatermark tells the log what is committed.
func (l *Log) SetHighWatermark(hw int64) {
	l.hw.Store(hw)
	if l.unstable.Load() == math.MaxInt64 {
		return
	}
	l.mu.Lock()
	defer l.unlock()
	l.unstable.Store(l.firstUnstable(hw))
}

// HighWatermark is the last that SetHighWatermark was told.
func (l *Log) HighWatermark() int64 { return l.hw.Load() }

// LastStableOffset is the offset below which, given the high watermark, every transaction is decided: hw, or the start
// of the first undecided transaction below it. It takes no lock.
//
// Source: UnifiedLog#lastStableOffset, ProducerStateManager#firstUnstableOffset.
func (l *Log) LastStableOffset(hw int64) int64 { return min(hw, l.unstable.Load()) }

// LatestEpoch is the last leader epoch that the log knows, -1 if none. It takes no lock.
func (l *Log) LatestEpoch() int32 { return l.epochs.Load().latest() }

// Epochs are the leader epochs and where they start, ascending. The caller must not change them. It takes no lock.
func (l *Log) Epochs() []EpochEntry { return *l.epochs.Load() }

// EpochAt is the leader epoch of the record at offset, -1 if unknown. It takes no lock.
func (l *Log) EpochAt(offset int64) int32 { return l.epochs.Load().at(offset) }

// EndOffsetForEpoch is the largest epoch ≤ the asked one that the log knows, and where it ended: the start of the next
// epoch, or LogEndOffset for the latest. (-1, -1) if unknown. It takes no lock.
//
// Source: LeaderEpochFileCache#endOffsetFor. KIP-101, KIP-279.
func (l *Log) EndOffsetForEpoch(epoch int32) (int32, int64) {
	return l.epochs.Load().endOffset(epoch, l.leo.Load())
}

// AssignEpoch records that the leader epoch begins at startOffset: on becoming leader. It is known at once, and durable with its
// first record at the latest: an epoch that begins at the log's end is cut at the next start anyway (trim), so that to write it
// would change nothing, and would have a broker that comes back sync two files for each partition that it leads.
//
// Source: LeaderEpochFileCache#assign. KAFKA-7415 is what happens when it is not known before its first record.
func (l *Log) AssignEpoch(epoch int32, startOffset int64) error {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	before := *l.epochs.Load()
	out, changed := before.assign(epoch, startOffset)
	if !changed {
		return nil
	}
	if kept, _ := out.truncateEnd(l.end); slices.Equal(kept, first(before.truncateEnd(l.end))) {
		l.deferEpochs(out)
		return nil
	}
	return l.storeEpochs(out)
}

func first(e epochs, _ bool) epochs { return e }

// deferEpochs lets leader epochs count that differ from those in the file by epochs at or behind the log's end alone, which the
// next Open cuts. They are written before the log grows (learnEpochs).
func (l *Log) deferEpochs(e epochs) {
	l.epochs.Store(&e)
	l.epochsBehind = true
}

// storeEpochs writes the leader epochs, durably, and only then lets them count. Those of a log that nothing was written to are
// written with its first record.
func (l *Log) storeEpochs(e epochs) error {
	if l.unborn {
		l.epochs.Store(&e)
		return nil
	}
	if err := env.ReplaceFile(l.env, path.Join(l.path, epochsFile), e.encode()); err != nil {
		return l.fail("write leader epochs", err)
	}
	l.epochs.Store(&e)
	l.epochsBehind = false
	return nil
}

// ExpireProducers forgets idempotent producers that have been silent for ProducerIDExpiration, and returns how many.
func (l *Log) ExpireProducers() int {
	l.mu.Lock()
	defer l.unlock()
	before := l.env.Mono() - env.Instant(l.producerExpiration)
	for id, v := range l.verifying { // unordered: each is judged by itself
		if v.since < before {
			delete(l.verifying, id)
		}
	}
	return l.producers.expire(before)
}

// Producers is the number of idempotent producers that the log remembers.
func (l *Log) Producers() int {
	l.mu.Lock()
	defer l.unlock()
	return len(l.producers.byID)
}
