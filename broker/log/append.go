package log

import (
	"errors"
	"fmt"
	"math"

	"barnabas/broker/assert"
	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// rareRoll begins a new segment though the active one has room.
var rareRoll = env.NewRare("segment-rolls-early")

var evRoll = env.NewKind("log-roll", env.Debug, "base", "bytes", "new-base")

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
	// Verified has the first batch of a transaction refused unless Guard is of a verification that nothing has ended since (KIP-890).
	Verified bool
	Guard    *Guard
}

// AppendInfo says what an append did.
type AppendInfo struct {
	FirstOffset    int64 // of the first record; of the earlier append for a duplicate; -1 when there was nothing to append
	LastOffset     int64
	LogAppendTime  int64 // ms; -1 unless the topic's timestamps are log-append time
	MaxTimestamp   int64 // ms; -1 if none
	LogStartOffset int64
	Batches        int
	Bytes          int
	Duplicate      bool // an idempotent producer sent again what the log has: nothing was appended
}

// AppendAsLeader validates the batches, checks their producers, gives them the next offsets and the leader's epoch in
// place (the caller's bytes change), and writes them. With flush.messages they are synced before it returns, and
// before they can be read.
//
// Messages of the formats before the batch become one batch, in other memory.
//
// Errors: those of record.Validate and record.Upconvert; RECORD_LIST_TOO_LARGE for more than a segment holds; INVALID_PRODUCER_EPOCH,
// OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE (also of a batch that is not verified), TRANSACTION_COORDINATOR_FENCED; FENCED_LEADER_EPOCH when the log has
// seen a later epoch; KAFKA_STORAGE_ERROR when the log is offline or goes so now.
//
// Source: UnifiedLog#appendAsLeader, #analyzeAndValidateProducerState.
func (l *Log) AppendAsLeader(batches []byte, leaderEpoch int32, o AppendOptions) (AppendInfo, error) {
	cfg := l.config.Load()
	rules := l.rules(cfg, o)
	if record.IsOld(batches) {
		converted, err := record.Upconvert(nil, batches, rules)
		if err != nil {
			return AppendInfo{}, fmt.Errorf("append to %s: %w", l.tp, err)
		}
		batches = converted
	}
	n, size, err := record.Validate(batches, rules)
	if err != nil {
		return AppendInfo{}, fmt.Errorf("append to %s: %w", l.tp, err)
	}
	if batches, err = l.recompress(batches[:size], cfg); err != nil {
		return AppendInfo{}, fmt.Errorf("append to %s: %w", l.tp, err)
	}
	size = len(batches)
	if size > int(cfg.SegmentBytes) {
		markAppendAsLeaderRecordListTooLarge.Hit()
		return AppendInfo{}, fmt.Errorf("append to %s: %d bytes, a segment holds %d: %w", l.tp, size, cfg.SegmentBytes, kerr.RecordListTooLarge)
	}
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return AppendInfo{}, err
	}
	if latest := l.LatestEpoch(); leaderEpoch < latest {
		markAppendAsLeaderFencedLeaderEpoch.Hit()
		return AppendInfo{}, fmt.Errorf("append to %s: leader epoch %d is older than %d: %w", l.tp, leaderEpoch, latest, kerr.FencedLeaderEpoch)
	}
	info := AppendInfo{FirstOffset: l.end, LogAppendTime: -1, MaxTimestamp: -1, LogStartOffset: l.start.Load(), Batches: n, Bytes: size}
	if cfg.MessageTimestampLogAppend {
		info.LogAppendTime = l.env.Now().UnixMilli()
	}
	c, dup, sentBefore, err := l.checkProducers(batches, o)
	if err != nil {
		return AppendInfo{}, fmt.Errorf("append to %s: %w", l.tp, err)
	}
	if sentBefore {
		info.FirstOffset, info.LastOffset, info.MaxTimestamp, info.Duplicate = dup.firstOffset(), dup.lastOffset, dup.timestamp, true
		if cfg.MessageTimestampLogAppend {
			info.LogAppendTime = dup.timestamp
		}
		return info, l.awaitSync(dup.lastOffset + 1) // the first attempt may be waiting for its sync
	}
	end := l.end
	for rest := batches; len(rest) > 0; {
		var b record.Batch
		b, rest, _ = record.Next(rest) // validated above
		b.SetBaseOffset(end)
		b.SetLeaderEpoch(leaderEpoch)
		if cfg.MessageTimestampLogAppend {
			b.SetLogAppendTime(info.LogAppendTime)
		}
		info.MaxTimestamp = max(info.MaxTimestamp, b.MaxTimestamp())
		end = b.NextOffset()
	}
	info.LastOffset = end - 1
	return info, l.write(batches, end, c)
}

// rules are what a batch must keep to before it gets its place.
func (l *Log) rules(cfg *config.Topic, o AppendOptions) record.Rules {
	r := record.Rules{BatchBytesMax: cfg.MessageBytesMax, KeyRequired: cfg.CleanupPolicyCompact, Coordinator: o.Origin == FromCoordinator}
	unbounded := cfg.TimestampBeforeMax == math.MaxInt64 && cfg.TimestampAfterMax == math.MaxInt64
	if !cfg.MessageTimestampLogAppend && !r.Coordinator && !unbounded {
		now := l.env.Now().UnixMilli()
		r.TimestampBound, r.Oldest, r.Newest = true, now-cfg.TimestampBeforeMax.Milliseconds(), now+cfg.TimestampAfterMax.Milliseconds()
	}
	return r
}

// recompress gives the batches the topic's codec, if it has one of its own (compression.type), in other memory.
func (l *Log) recompress(batches []byte, cfg *config.Topic) ([]byte, error) {
	if cfg.CompressionType == "" || cfg.CompressionType == "producer" {
		return batches, nil
	}
	codec, err := record.ParseCodec(cfg.CompressionType)
	if err != nil || record.Uniform(batches, codec) {
		return batches, err
	}
	out, err := record.Recompress(make([]byte, 0, len(batches)), batches, codec, levelOf(cfg, codec), 0)
	if err != nil {
		return nil, err
	}
	for rest := out; len(rest) > 0 && cfg.MessageBytesMax > 0; {
		var b record.Batch
		b, rest, _ = record.Next(rest)
		if len(b) > int(cfg.MessageBytesMax) {
			return nil, fmt.Errorf("batch of %d bytes in %s, at most %d allowed: %w", len(b), codec, cfg.MessageBytesMax, kerr.MessageTooLarge)
		}
	}
	return out, nil
}

// levelOf is the codec's level in a topic (KIP-390).
func levelOf(cfg *config.Topic, codec record.Codec) int {
	switch codec {
	case record.Gzip:
		return cfg.GzipLevel
	case record.LZ4:
		return cfg.LZ4Level
	case record.Zstd:
		return cfg.ZstdLevel
	}
	return 0
}

// checkProducers judges the batches' producers before anything changes. With sentBefore, dup is the earlier append of a
// batch that the log has already, and nothing must be written.
func (l *Log) checkProducers(batches []byte, o AppendOptions) (c *change, dup sent, sentBefore bool, err error) {
	c = l.producers.change()
	first, check := l.end, checkAll
	if o.Origin == FromCoordinator {
		check = checkEpoch
	}
	unchecked := l.bugs.Has(bug.DupOnRetry)
	if unchecked {
		check = believe
	}
	for rest := batches; len(rest) > 0; {
		var b record.Batch
		b, rest, _ = record.Next(rest)
		if o.Origin == FromClient && !unchecked {
			if s, ok := l.producers.duplicate(b); ok {
				return nil, s, true, nil
			}
		}
		if err := l.checkVerified(b, o); err != nil {
			return nil, sent{}, false, err
		}
		if err := c.add(b, first, check); err != nil {
			return nil, sent{}, false, err
		}
		first += int64(b.LastOffsetDelta()) + 1
	}
	return c, sent{}, false, nil
}

// AppendAsFollower writes batches as the leader sent them. They must continue at LogEndOffset (only a compacted topic
// may have gaps); a partial batch at the end is left out. An empty log may begin inside of the first batch: the leader's does, if
// records were deleted up to there.
//
// Errors: CORRUPT_MESSAGE, OFFSET_OUT_OF_RANGE when they do not continue the log, KAFKA_STORAGE_ERROR.
//
// Source: UnifiedLog#appendAsFollower, Partition#appendRecordsToFollowerOrFutureReplica (UnexpectedAppendOffsetException).
//
// DEVIATION(KIP-101): Kafka takes any gap; we know that without compaction there is none, and that one is lost data. So
// a new replica of a topic that was compacted, and is no longer, waits until the compacted segments are deleted.
func (l *Log) AppendAsFollower(batches []byte) (AppendInfo, error) {
	l.mu.Lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return AppendInfo{}, err
	}
	info := AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTime: -1, MaxTimestamp: -1, LogStartOffset: l.start.Load()}
	c, end := l.producers.change(), l.end
	for rest := batches; ; info.Batches++ {
		var b record.Batch
		var err error
		if b, rest, err = record.Next(rest); errors.Is(err, record.ErrPartial) {
			break
		}
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			return AppendInfo{}, fmt.Errorf("append to %s: batch %d: %w", l.tp, info.Batches, err)
		}
		if info.Batches == 0 && b.BaseOffset() < end && b.LastOffset() >= end && l.isEmpty() {
			markFollowerBeginsInsideOfABatch.Hit()
			if err := l.bear(); err != nil {
				return AppendInfo{}, err
			}
			if err := l.rebase(b.BaseOffset()); err != nil {
				return AppendInfo{}, err
			}
		} else if b.BaseOffset() < end || b.BaseOffset() > end && !l.config.Load().CleanupPolicyCompact && !l.copying {
			markAppendAsFollowerOffsetOutOfRange.Hit()
			return AppendInfo{}, fmt.Errorf("append to %s: batch begins at %d, log ends at %d: %w", l.tp, b.BaseOffset(), end, kerr.OffsetOutOfRange)
		}
		if err := c.add(b, b.BaseOffset(), believe); err != nil {
			return AppendInfo{}, fmt.Errorf("append to %s: batch %d: %w", l.tp, info.Batches, err)
		}
		if info.FirstOffset < 0 {
			info.FirstOffset = b.BaseOffset()
		}
		if b.IsLogAppendTime() {
			info.LogAppendTime = b.MaxTimestamp()
		}
		info.MaxTimestamp = max(info.MaxTimestamp, b.MaxTimestamp())
		end = b.NextOffset()
		info.LastOffset = end - 1
		info.Bytes += len(b)
	}
	if info.Batches == 0 {
		return info, nil
	}
	return info, l.write(batches[:info.Bytes], end, c)
}

// write appends whole batches with their final offsets; the log then ends at end. Only after all of it is done, and
// synced where flush.messages wants it, can anybody see them.
func (l *Log) write(batches []byte, end int64, c *change) error {
	if end <= l.end { // the arguments of assert.That cost memory
		assert.That(false, "INV-APPEND-ASCENDS: %s: append ends at %d, log at %d", l.tp, end, l.end)
	}
	if err := l.learnEpochs(batches); err != nil {
		return err
	}
	if err := l.bear(); err != nil {
		return err
	}
	for at := l.end; len(batches) > 0; {
		run, next, err := l.room(batches, at)
		if err != nil {
			return err
		}
		if err := l.active().append(run, l.interval()); err != nil {
			return l.fail("append", err)
		}
		batches, at = batches[len(run):], next
	}
	l.unflushed += end - l.end
	l.end = end
	l.endVerifications(c)
	c.together = l.bugs.Has(bug.TxnIndexTogether)
	if err := l.noteAborted(l.producers.commit(c, end, l.env.Mono())); err != nil {
		return err
	}
	return l.settle(end)
}

// learnEpochs takes the batches' leader epochs into the cache, durably, before the batches are written: an epoch
// without records is cut at the next start, records without their epoch could never be told from others.
//
// Source: UnifiedLog#append (maybeAssignEpochStartOffset).
func (l *Log) learnEpochs(batches []byte) error {
	e, changed := *l.epochs.Load(), false
	for rest := batches; len(rest) > 0; {
		var b record.Batch
		b, rest, _ = record.Next(rest)
		if b.LeaderEpoch() < 0 {
			continue
		}
		var more bool
		e, more = e.assign(b.LeaderEpoch(), max(b.BaseOffset(), l.start.Load()))
		changed = changed || more
	}
	if !changed && !l.epochsBehind {
		return nil
	}
	return l.storeEpochs(e)
}

// room makes sure that the active segment can take a batch, rolling it if not, and returns as many as it can take, and
// the offset behind them. The log ends at at, where a new segment begins even if the batch, of a compacted topic,
// begins later: so recovery knows that between two segments nothing is missing.
//
// Source: LogSegment#shouldRoll.
func (l *Log) room(batches []byte, at int64) (run []byte, end int64, err error) {
	cfg := l.config.Load()
	g := l.active()
	first, _, _ := record.Next(batches)
	after := l.rollAfter(g, cfg).Milliseconds()
	old := g.firstTime >= 0 && first.MaxTimestamp() >= 0 && first.MaxTimestamp()-g.firstTime > after
	if g.firstTime < 0 && g.size > 0 {
		old = l.env.Now().UnixMilli()-g.createdMs > after
	}
	full := g.places.n >= int(cfg.SegmentIndexBytes/offsetEntrySize) || g.times.n >= int(cfg.SegmentIndexBytes/timeEntrySize)-1
	if g.size > 0 && (g.size+int64(len(first)) > int64(cfg.SegmentBytes) || rareRoll.Strikes(l.env) || old || full || first.LastOffset()-g.base > math.MaxInt32) {
		if err := l.roll(at); err != nil {
			return nil, 0, err
		}
		g = l.active()
	}
	n, next := len(first), first.NextOffset()
	for rest := batches[n:]; len(rest) > 0; {
		var b record.Batch
		b, rest, _ = record.Next(rest)
		if g.size+int64(n+len(b)) > int64(cfg.SegmentBytes) || b.LastOffset()-g.base > math.MaxInt32 {
			break
		}
		n, next = n+len(b), b.NextOffset()
	}
	return batches[:n], next, nil
}

// roll seals the active segment and begins one at base, where the log ends. The state of the producers at
// that point goes into a snapshot, which the next flush syncs: until then its CRC tells if it survived.
//
// Source: UnifiedLog#roll, LocalLog#roll.
func (l *Log) roll(base int64) error {
	g := l.active()
	assert.That(base > g.base && g.size > 0, "INV-ROLL: %s: roll from %d (%d bytes) to %d", l.tp, g.base, g.size, base)
	if err := g.seal(); err != nil {
		return l.fail("seal segment", err)
	}
	if l.producers.end == base { // else this append is being split; recovery reads from an earlier snapshot
		if err := l.writeSnapshot(false); err != nil {
			return err
		}
		l.snapped = append(l.snapped, base)
	}
	next, err := createSegment(l.env, l.path, base, l.env.Now().UnixMilli())
	if err != nil {
		return l.fail("roll", err)
	}
	l.segments = append(l.segments, next)
	l.env.Emit(env.Event{Kind: evRoll, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{g.base, g.size, base}})
	if l.rolled != nil {
		l.rolled(l)
	}
	return nil
}
