package config

import (
	"sync/atomic"
	"time"

	"barnabas/broker/bug"
)

// Windows are the samples that a quota's rate is made of: how many, and how long each is.
type Windows struct {
	Num    int
	Length time.Duration
}

// Broker is the configuration of one broker (kafka.server.KafkaConfig). Fields are named after Kafka's keys, units
// last. Make one with Default or Load; after that it is read-only. What can be set while the broker runs is read through Live and
// TopicDefaults.
type Broker struct {
	BrokerID            int32    // broker.id; -1 until the broker has found one (FoundBrokerID)
	BrokerIDGeneration  bool     // broker.id.generation.enable
	ReservedBrokerIDMax int32    // reserved.broker.max.id
	ClusterID           string   // not a Kafka key: "" takes /cluster/id, or makes one
	Rack                string   // broker.rack
	ListenAddr          string   // host:port of listeners (one PLAINTEXT listener)
	AdvertisedHost      string   // of advertised.listeners; "" takes ListenAddr's
	AdvertisedPort      int32    // of advertised.listeners; 0 takes the bound port
	LogDirs             []string // log.dirs
	ZookeeperConnect    []string // zookeeper.connect, host:port each
	ZookeeperChroot     string   // zookeeper.connect's trailing path
	ZookeeperSessionMs  int32    // zookeeper.session.timeout.ms
	ZookeeperConnectMs  int32    // zookeeper.connection.timeout.ms; 0 takes ZookeeperSessionMs; see ConnectTimeout

	NumPartitions            int32 // num.partitions
	DefaultReplicationFactor int16 // default.replication.factor
	AutoCreateTopics         bool  // auto.create.topics.enable
	DeleteTopicEnable        bool  // delete.topic.enable

	AutoLeaderRebalance       bool          // auto.leader.rebalance.enable
	LeaderImbalanceCheck      time.Duration // leader.imbalance.check.interval.seconds
	LeaderImbalancePercentage int           // leader.imbalance.per.broker.percentage

	EligibleLeaderReplicas bool // barnabas.eligible.leader.replicas.enable: heirs of an ISR that has lost its data, see decision 001

	ReplicaLagTimeMax              time.Duration // replica.lag.time.max.ms
	ReplicaFetchWaitMax            time.Duration // replica.fetch.wait.max.ms
	ReplicaFetchBytesMax           int32         // replica.fetch.max.bytes, a partition
	ReplicaFetchBytesMin           int32         // replica.fetch.min.bytes, a response
	ReplicaFetchResponseBytesMax   int32         // replica.fetch.response.max.bytes
	ReplicaFetchBackoff            time.Duration // replica.fetch.backoff.ms
	ReplicaSocketTimeout           time.Duration // replica.socket.timeout.ms
	ReplicaHighWatermarkCheckpoint time.Duration // replica.high.watermark.checkpoint.interval.ms
	Quotas                         Windows       // quota.window.num, .size.seconds
	ReplicationQuotas              Windows       // replication.quota.window.num, .size.seconds
	MoveQuotas                     Windows       // alter.log.dirs.replication.quota.window.num, .size.seconds
	ControllerQuotas               Windows       // controller.quota.window.num, .size.seconds
	NumReplicaFetchers             int           // num.replica.fetchers
	NumNetworkThreads              int           // num.network.threads, without effect
	NumIOThreads                   int           // num.io.threads, without effect
	NumRecoveryThreads             int           // num.recovery.threads.per.data.dir
	BackgroundThreads              int           // background.threads, without effect
	ControllerSocketTimeout        time.Duration // controller.socket.timeout.ms
	ControlledShutdownEnable       bool          // controlled.shutdown.enable
	ControlledShutdownRetriesMax   int           // controlled.shutdown.max.retries
	ControlledShutdownRetryBackoff time.Duration // controlled.shutdown.retry.backoff.ms
	RequestBytesMax                int32         // socket.request.max.bytes
	RequestsInFlightMax            int           // barnabas.requests.in.flight.max: replies waiting on one connection
	ConnectionsIdleMax             time.Duration // connections.max.idle.ms
	ConnectionsMax                 int           // max.connections
	ConnectionsPerAddressMax       int           // max.connections.per.ip
	ConnectionsPerAddress          string        // max.connections.per.ip.overrides; AddressOverrides takes it apart
	ConnectionRateMax              int           // max.connection.creation.rate
	LogFlushOffsetCheckpoint       time.Duration // log.flush.offset.checkpoint.interval.ms
	LogFlushSchedulerInterval      time.Duration // log.flush.scheduler.interval.ms
	LogCleanerEnable               bool          // log.cleaner.enable
	LogCleanerThreads              int           // log.cleaner.threads
	LogCleanerIOBytesPerSecondMax  float64       // log.cleaner.io.max.bytes.per.second, reads and writes of all threads
	LogCleanerDedupeBufferBytes    int64         // log.cleaner.dedupe.buffer.size, of all threads
	LogCleanerIOBufferBytes        int32         // log.cleaner.io.buffer.size, a thread
	LogCleanerLoadFactor           float64       // log.cleaner.io.buffer.load.factor
	LogCleanerBackoff              time.Duration // log.cleaner.backoff.ms
	FetchBytesMax                  int32         // fetch.max.bytes, a response
	RackAwareSelector              bool          // replica.selector.class is RackAwareReplicaSelector
	FetchSessionSlots              int           // max.incremental.fetch.session.cache.slots
	LogRetentionCheck              time.Duration // log.retention.check.interval.ms
	ProducerIDExpiration           time.Duration // producer.id.expiration.ms

	GroupInitialRebalanceDelay    time.Duration // group.initial.rebalance.delay.ms
	GroupSizeMax                  int           // group.max.size
	GroupSessionTimeoutMin        time.Duration // group.min.session.timeout.ms
	GroupSessionTimeoutMax        time.Duration // group.max.session.timeout.ms
	OffsetMetadataBytesMax        int           // offset.metadata.max.bytes
	OffsetsCommitTimeout          time.Duration // offsets.commit.timeout.ms
	OffsetsRetention              time.Duration // offsets.retention.minutes
	OffsetsRetentionCheckInterval time.Duration // offsets.retention.check.interval.ms
	OffsetsTopicPartitions        int32         // offsets.topic.num.partitions
	OffsetsTopicReplicationFactor int16         // offsets.topic.replication.factor
	OffsetsTopicSegmentBytes      int32         // offsets.topic.segment.bytes

	TransactionTimeoutMax             time.Duration // transaction.max.timeout.ms
	TransactionVerification           bool          // transaction.partition.verification.enable
	TransactionalIDExpiration         time.Duration // transactional.id.expiration.ms
	TransactionalIDExpirationCheck    time.Duration // transaction.remove.expired.transaction.cleanup.interval.ms
	TransactionTopicPartitions        int32         // transaction.state.log.num.partitions
	TransactionTopicReplicationFactor int16         // transaction.state.log.replication.factor
	TransactionTopicMinISR            int           // transaction.state.log.min.isr
	TransactionTopicSegmentBytes      int32         // transaction.state.log.segment.bytes
	TransactionVersion                int16         // barnabas.transaction.version: the feature's level

	Topic Topic   // the defaults of topics (log.* keys)
	Bugs  bug.Set // the bug zoo's switches; zero for every real broker

	brokerIDFound bool // BrokerID is not what the file says

	explicit map[string]string // the keys given in the file and their values, for DescribeConfigs' source
	dynamic  *atomic.Pointer[Dynamic]
}

// FoundBrokerID gives a broker that was configured without an id the one that it has found. It is for the start, before anybody reads the id.
func (b *Broker) FoundBrokerID(id int32) { b.BrokerID, b.brokerIDFound = id, true }

// Topic is the configuration of one topic (org.apache.kafka.storage.internals.log.LogConfig).
type Topic struct {
	SegmentBytes              int32         // segment.bytes
	Segment                   time.Duration // segment.ms
	SegmentJitter             time.Duration // segment.jitter.ms
	SegmentIndexBytes         int32         // segment.index.bytes
	IndexIntervalBytes        int32         // index.interval.bytes
	RetentionBytes            int64         // retention.bytes, -1 for no bound
	Retention                 time.Duration // retention.ms, -1 ms for no bound
	CleanupPolicyCompact      bool          // cleanup.policy
	CleanupPolicyDelete       bool
	MinCleanableDirtyRatio    float64       // min.cleanable.dirty.ratio
	MinCompactionLag          time.Duration // min.compaction.lag.ms
	MaxCompactionLag          time.Duration // max.compaction.lag.ms; 0 or math.MaxInt64 for no bound
	DeleteRetention           time.Duration // delete.retention.ms
	MessageBytesMax           int32         // max.message.bytes
	FlushMessages             int64         // flush.messages
	Flush                     time.Duration // flush.ms
	MinInsyncReplicas         int           // min.insync.replicas
	UncleanElection           bool          // unclean.leader.election.enable
	MessageTimestampLogAppend bool          // message.timestamp.type=LogAppendTime
	TimestampBeforeMax        time.Duration // message.timestamp.before.max.ms
	TimestampAfterMax         time.Duration // message.timestamp.after.max.ms
	TimestampDifferenceMax    time.Duration // message.timestamp.difference.max.ms, for both where they say nothing
	FileDeleteDelay           time.Duration // file.delete.delay.ms
	LeaderThrottledReplicas   string        // leader.replication.throttled.replicas
	FollowerThrottledReplicas string        // follower.replication.throttled.replicas
	CompressionType           string        // compression.type: producer, or a codec
	GzipLevel                 int           // compression.gzip.level: 1 to 9, or -1
	LZ4Level                  int           // compression.lz4.level: 1 to 17
	ZstdLevel                 int           // compression.zstd.level: up to 22
	Preallocate               bool          // preallocate
	Downconversion            bool          // message.downconversion.enable
	MessageFormat             string        // message.format.version; known, checked, and without effect
}

// Default is Kafka's own default configuration, with an id and nothing to connect to.
func Default() *Broker {
	b := &Broker{explicit: map[string]string{}, dynamic: &atomic.Pointer[Dynamic]{}}
	for _, k := range brokerKeys {
		mustSet(k.set(b, k.Default), k.Name)
	}
	for _, k := range topicKeys {
		mustSet(k.set(&b.Topic, k.Default), k.Name)
	}
	return b
}

// DefaultTopic is Kafka's own default configuration of a topic.
func DefaultTopic() Topic { return Default().Topic }

func mustSet(err error, name string) {
	if err != nil {
		panic("config: the default of " + name + " is not valid: " + err.Error())
	}
}
