package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// topicKeys are the configs of a topic, sorted by name.
var topicKeys = []*Key[Topic]{
	{Name: "cleanup.policy", Type: List, Default: "delete", Broker: "log.cleanup.policy",
		Doc: "What happens to old segments: delete, compact, both, or, if it is empty, nothing.",
		set: setCleanupPolicy, get: getCleanupPolicy},
	level("compression.gzip.level", -1, 1, 9, func(t *Topic) *int { return &t.GzipLevel }),
	level("compression.lz4.level", 9, 1, 17, func(t *Topic) *int { return &t.LZ4Level }),
	withBroker("compression.type", oneOf(text("compression.type", "producer", func(t *Topic) *string { return &t.CompressionType },
		"The codec batches are stored with; producer keeps what the producer chose."), "producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")),
	level("compression.zstd.level", 3, -131072, 22, func(t *Topic) *int { return &t.ZstdLevel }),
	withBroker("log.cleaner.delete.retention.ms", millis("delete.retention.ms", Long, 24*3600*1000, 0, func(t *Topic) *time.Duration { return &t.DeleteRetention },
		"Time that compaction keeps tombstones, and the markers of transactions.")),
	withBroker("log.segment.delete.delay.ms", millis("file.delete.delay.ms", Long, 60000, 0, func(t *Topic) *time.Duration { return &t.FileDeleteDelay },
		"Time a deleted file stays on disk under another name.")),
	withBroker("log.flush.interval.messages", longKey("flush.messages", math.MaxInt64, 1, func(t *Topic) *int64 { return &t.FlushMessages },
		"Records after which the log is synced; 1 syncs every append before it is answered.")),
	withBroker("log.flush.interval.ms", millis("flush.ms", Long, math.MaxInt64, 0, func(t *Topic) *time.Duration { return &t.Flush },
		"Time after which unsynced records are synced.")),
	throttledReplicas("follower.replication.throttled.replicas", func(t *Topic) *string { return &t.FollowerThrottledReplicas },
		"Followers that fetch no faster than follower.replication.throttled.rate while they are not in sync: * or partition:broker, comma-separated."),
	withBroker("log.index.interval.bytes", int32Key("index.interval.bytes", 4096, 0, func(t *Topic) *int32 { return &t.IndexIntervalBytes },
		"Bytes of log between two index entries.")),
	throttledReplicas("leader.replication.throttled.replicas", func(t *Topic) *string { return &t.LeaderThrottledReplicas },
		"Leaders that send no faster than leader.replication.throttled.rate to replicas which are not in sync: * or partition:broker, comma-separated."),
	withBroker("log.cleaner.max.compaction.lag.ms", millis("max.compaction.lag.ms", Long, math.MaxInt64, 1, func(t *Topic) *time.Duration { return &t.MaxCompactionLag },
		"Time after which a record is compacted whatever the dirty ratio.")),
	withBroker("message.max.bytes", int32Key("max.message.bytes", 1048588, 0, func(t *Topic) *int32 { return &t.MessageBytesMax },
		"The largest record batch, as stored.")),
	withBroker("log.message.downconversion.enable", boolean("message.downconversion.enable", true, func(t *Topic) *bool { return &t.Downconversion },
		"Whether clients of Fetch v0 to v3 get records in their old format; else UNSUPPORTED_VERSION.")),
	withBroker("log.message.format.version", &Key[Topic]{Name: "message.format.version", Type: String, Default: "3.0-IV1",
		Doc: "Deprecated: checked, and without effect, as in Kafka from inter.broker.protocol.version 3.0 on. Batches are version 2.",
		set: setMessageFormat, get: func(t *Topic) string { return t.MessageFormat }}),
	withBroker("log.message.timestamp.after.max.ms", millis("message.timestamp.after.max.ms", Long, math.MaxInt64, 0, func(t *Topic) *time.Duration { return &t.TimestampAfterMax },
		"How far ahead of the broker's clock a record's timestamp may be (CreateTime only).")),
	withBroker("log.message.timestamp.before.max.ms", millis("message.timestamp.before.max.ms", Long, math.MaxInt64, 0, func(t *Topic) *time.Duration { return &t.TimestampBeforeMax },
		"How far behind the broker's clock a record's timestamp may be (CreateTime only).")),
	withBroker("log.message.timestamp.difference.max.ms", millis("message.timestamp.difference.max.ms", Long, math.MaxInt64, 0, func(t *Topic) *time.Duration { return &t.TimestampDifferenceMax },
		"Deprecated: stands for message.timestamp.before.max.ms and after.max.ms where they are left at their defaults.")),
	withBroker("log.message.timestamp.type", &Key[Topic]{Name: "message.timestamp.type", Type: String, Default: "CreateTime",
		Doc: "Whose timestamp a record keeps: CreateTime or LogAppendTime.",
		set: setTimestampType, get: getTimestampType}),
	withBroker("log.cleaner.min.cleanable.ratio", decimal("min.cleanable.dirty.ratio", 0.5, 0, 1, func(t *Topic) *float64 { return &t.MinCleanableDirtyRatio },
		"The part of a log that must be dirty before it is compacted.")),
	withBroker("log.cleaner.min.compaction.lag.ms", millis("min.compaction.lag.ms", Long, 0, 0, func(t *Topic) *time.Duration { return &t.MinCompactionLag },
		"Time that a record stays whatever comes behind it.")),
	withBroker("min.insync.replicas", intKey("min.insync.replicas", 1, 1, func(t *Topic) *int { return &t.MinInsyncReplicas },
		"In-sync replicas without which acks=all is refused.")),
	withBroker("log.preallocate", boolean("preallocate", false, func(t *Topic) *bool { return &t.Preallocate },
		"Whether segment files are allocated whole; accepted, and without effect here.")),
	withBroker("log.retention.bytes", longKey("retention.bytes", -1, -1, func(t *Topic) *int64 { return &t.RetentionBytes },
		"Bytes a partition may keep; -1 for no bound.")),
	withBroker("log.retention.ms", millis("retention.ms", Long, 7*24*3600*1000, -1, func(t *Topic) *time.Duration { return &t.Retention },
		"Time a segment is kept; -1 for no bound.")),
	withBroker("log.segment.bytes", int32Key("segment.bytes", 1<<30, 14, func(t *Topic) *int32 { return &t.SegmentBytes },
		"Size at which a segment rolls.")),
	withBroker("log.index.size.max.bytes", int32Key("segment.index.bytes", 10<<20, 4, func(t *Topic) *int32 { return &t.SegmentIndexBytes },
		"Size of an index at which a segment rolls.")),
	withBroker("log.roll.jitter.ms", millis("segment.jitter.ms", Long, 0, 0, func(t *Topic) *time.Duration { return &t.SegmentJitter },
		"By how much, at most, a segment rolls before segment.ms, so that not all roll at once.")),
	withBroker("log.roll.ms", millis("segment.ms", Long, 7*24*3600*1000, 1, func(t *Topic) *time.Duration { return &t.Segment },
		"Age at which a segment rolls.")),
	withBroker("unclean.leader.election.enable", boolean("unclean.leader.election.enable", false, func(t *Topic) *bool { return &t.UncleanElection },
		"Whether a replica outside the ISR may lead when nobody else can.")),
}

// level is that of a codec, from low to high, or the default one (KIP-390).
func level(name string, def, low, high int64, field func(*Topic) *int) *Key[Topic] {
	k := integer(name, Int, def, min(low, def), high, field, "How hard the broker tries where compression.type names this codec, and the producer has used another.")
	parse := k.set
	k.set = func(t *Topic, text string) error {
		if v, err := parseInt(text, min(low, def), high); err == nil && v < low && v != def {
			return fmt.Errorf("%d is out of range; it must be from %d to %d, or %d", v, low, high, def)
		}
		return parse(t, text)
	}
	return withBroker(name, k)
}

func withBroker(name string, k *Key[Topic]) *Key[Topic] {
	k.Broker = name
	return k
}

func setCleanupPolicy(t *Topic, text string) error {
	var compact, del bool
	if strings.TrimSpace(text) == "" {
		t.CleanupPolicyCompact, t.CleanupPolicyDelete = false, false
		return nil
	}
	for word := range strings.SplitSeq(text, ",") {
		switch strings.TrimSpace(word) {
		case "compact":
			compact = true
		case "delete":
			del = true
		default:
			return fmt.Errorf("%q is not one of compact, delete", strings.TrimSpace(word))
		}
	}
	t.CleanupPolicyCompact, t.CleanupPolicyDelete = compact, del
	return nil
}

func getCleanupPolicy(t *Topic) string {
	switch {
	case t.CleanupPolicyCompact && t.CleanupPolicyDelete:
		return "compact,delete"
	case t.CleanupPolicyCompact:
		return "compact"
	case t.CleanupPolicyDelete:
		return "delete"
	}
	return ""
}

func setTimestampType(t *Topic, text string) error {
	switch text {
	case "CreateTime", "LogAppendTime":
		t.MessageTimestampLogAppend = text == "LogAppendTime"
		return nil
	}
	return fmt.Errorf("%q is not one of CreateTime, LogAppendTime", text)
}

func getTimestampType(t *Topic) string {
	if t.MessageTimestampLogAppend {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// TopicKeys lists the configs a topic can have, sorted by name.
func TopicKeys() []*Key[Topic] { return topicKeys }

// TopicKey finds a topic config by name.
func TopicKey(name string) (*Key[Topic], bool) {
	for _, k := range topicKeys {
		if k.Name == name {
			return k, true
		}
	}
	return nil, false
}

// conflict is what no single key can tell.
//
// Source: LogConfig#validateValues.
func (t *Topic) conflict() error {
	if t.MaxCompactionLag > 0 && t.MinCompactionLag > t.MaxCompactionLag {
		return fmt.Errorf("min.compaction.lag.ms is %d, more than max.compaction.lag.ms, %d", t.MinCompactionLag.Milliseconds(), t.MaxCompactionLag.Milliseconds())
	}
	return nil
}

// Validate is WithOverrides for configs that somebody asks for: they must fit together, too. What is kept already is taken as it is.
func (base Topic) Validate(overrides map[string]string) error {
	t, err := base.WithOverrides(overrides)
	if err != nil {
		return err
	}
	return t.conflict()
}

// WithOverrides is base with the given configs put over it. An unknown name or a value that does not fit is an error
// that names it (INVALID_CONFIG on the wire).
func (base Topic) WithOverrides(overrides map[string]string) (Topic, error) {
	t := base
	for _, k := range topicKeys { // in a fixed order, so that the first error is always the same
		if v, ok := overrides[k.Name]; ok {
			if err := k.parse(&t, v); err != nil {
				return base, fmt.Errorf("topic config %s: %w", k.Name, err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if _, ok := TopicKey(name); ok {
			continue
		}
		if why, ok := refusal(name); ok {
			return base, fmt.Errorf("topic config %s is not supported: %s", name, why)
		}
		return base, fmt.Errorf("unknown topic config %s", name)
	}
	return t, nil
}
