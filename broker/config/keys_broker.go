package config

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// brokerKeys are the keys of server.properties that have an effect, but for the log.* defaults of topics, which come
// from topicKeys. Sorted by name.
var brokerKeys = []*Key[Broker]{
	{Name: "advertised.listeners", Type: String, Default: "", Doc: "What clients are told to connect to, PLAINTEXT://host:port; by default what listeners says.",
		set: setAdvertised, get: getAdvertised},
	intKey("alter.log.dirs.replication.quota.window.num", 11, 1, func(b *Broker) *int { return &b.MoveQuotas.Num }, "Samples of which the rate of moves between log directories is made."),
	seconds("alter.log.dirs.replication.quota.window.size.seconds", Int, 1, 1, func(b *Broker) *time.Duration { return &b.MoveQuotas.Length }, "Time of each of them."),
	boolean("auto.create.topics.enable", true, func(b *Broker) *bool { return &b.AutoCreateTopics }, "Whether asking for a topic that does not exist creates it."),
	boolean("auto.leader.rebalance.enable", true, func(b *Broker) *bool { return &b.AutoLeaderRebalance }, "Whether the controller moves leaders back to preferred replicas by itself."),
	intKey("background.threads", 10, 1, func(b *Broker) *int { return &b.BackgroundThreads }, "Accepted, and without effect here: background work has its own tasks."),
	boolean("barnabas.eligible.leader.replicas.enable", false, func(b *Broker) *bool { return &b.EligibleLeaderReplicas }, "Whether replicas that left the ISR while it was below min.insync.replicas may lead when everybody in it has lost its data (KIP-966), and brokers say whether they have kept theirs. Barnabas's own."),
	intKey("barnabas.requests.in.flight.max", 64, 1, func(b *Broker) *int { return &b.RequestsInFlightMax }, "Replies that may wait on one connection before it is no longer read. Barnabas's own."),
	integer("barnabas.transaction.version", Short, 0, 0, 2, func(b *Broker) *int16 { return &b.TransactionVersion }, "The level of the feature transaction.version: 0 as in Kafka 3.9; 2 has every transaction end with a new producer epoch (KIP-890). Barnabas's own."),
	brokerID(),
	boolean("broker.id.generation.enable", true, func(b *Broker) *bool { return &b.BrokerIDGeneration }, "Whether a broker without broker.id takes one that no other has; ids that are given must then stay below these."),
	text("broker.rack", "", func(b *Broker) *string { return &b.Rack }, "The rack this broker stands in."),
	millis("connections.max.idle.ms", Long, 600000, -1, func(b *Broker) *time.Duration { return &b.ConnectionsIdleMax }, "Time after which an idle connection is closed."),
	boolean("controlled.shutdown.enable", true, func(b *Broker) *bool { return &b.ControlledShutdownEnable }, "Whether leadership is handed over before a stop."),
	intKey("controlled.shutdown.max.retries", 3, 0, func(b *Broker) *int { return &b.ControlledShutdownRetriesMax }, "Tries of a controlled shutdown."),
	millis("controlled.shutdown.retry.backoff.ms", Long, 5000, 0, func(b *Broker) *time.Duration { return &b.ControlledShutdownRetryBackoff }, "Time between those tries."),
	intKey("controller.quota.window.num", 11, 1, func(b *Broker) *int { return &b.ControllerQuotas.Num }, "Samples of which the burst of partitions that a client may create and delete at once, beside its rate, is made."),
	seconds("controller.quota.window.size.seconds", Int, 1, 1, func(b *Broker) *time.Duration { return &b.ControllerQuotas.Length }, "Time of each of them."),
	millis("controller.socket.timeout.ms", Int, 30000, 1, func(b *Broker) *time.Duration { return &b.ControllerSocketTimeout }, "Time the controller waits for a broker's answer."),
	integer("default.replication.factor", Short, 1, 1, math.MaxInt16, func(b *Broker) *int16 { return &b.DefaultReplicationFactor }, "Replicas of a topic created without saying."),
	boolean("delete.topic.enable", true, func(b *Broker) *bool { return &b.DeleteTopicEnable }, "Whether topics can be deleted."),
	int32Key("fetch.max.bytes", 55<<20, 1024, func(b *Broker) *int32 { return &b.FetchBytesMax }, "The most bytes of one fetch response."),
	millis("group.initial.rebalance.delay.ms", Int, 3000, 0, func(b *Broker) *time.Duration { return &b.GroupInitialRebalanceDelay }, "Time an empty group waits for further members before its first rebalance."),
	millis("group.max.session.timeout.ms", Int, 1800000, 1, func(b *Broker) *time.Duration { return &b.GroupSessionTimeoutMax }, "The longest session a group member may ask for."),
	intKey("group.max.size", math.MaxInt32, 1, func(b *Broker) *int { return &b.GroupSizeMax }, "Members a group may have."),
	millis("group.min.session.timeout.ms", Int, 6000, 1, func(b *Broker) *time.Duration { return &b.GroupSessionTimeoutMin }, "The shortest session a group member may ask for."),
	seconds("leader.imbalance.check.interval.seconds", Long, 300, 1, func(b *Broker) *time.Duration { return &b.LeaderImbalanceCheck }, "Time between the controller's looks at the balance of leaders."),
	intKey("leader.imbalance.per.broker.percentage", 10, 0, func(b *Broker) *int { return &b.LeaderImbalancePercentage }, "Part of its preferred leaderships that a broker may be without before leaders are moved back."),
	{Name: "listeners", Type: String, Default: "PLAINTEXT://:9092", Doc: "The address to listen on, PLAINTEXT://host:port; port 0 picks a free one.",
		set: setListeners, get: func(b *Broker) string { return "PLAINTEXT://" + b.ListenAddr }},
	millis("log.cleaner.backoff.ms", Long, 15000, 0, func(b *Broker) *time.Duration { return &b.LogCleanerBackoff }, "Pause of a cleaner that finds nothing to compact."),
	longKey("log.cleaner.dedupe.buffer.size", 134217728, 1<<20, func(b *Broker) *int64 { return &b.LogCleanerDedupeBufferBytes }, "Memory for the keys that compaction compares, of all its threads."),
	boolean("log.cleaner.enable", true, func(b *Broker) *bool { return &b.LogCleanerEnable }, "Whether topics with cleanup.policy=compact are compacted."),
	decimal("log.cleaner.io.buffer.load.factor", 0.9, 0, 1, func(b *Broker) *float64 { return &b.LogCleanerLoadFactor }, "How full that memory may be."),
	int32Key("log.cleaner.io.buffer.size", 524288, 1024, func(b *Broker) *int32 { return &b.LogCleanerIOBufferBytes }, "Bytes of a log that a cleaner thread reads at once."),
	decimal("log.cleaner.io.max.bytes.per.second", math.MaxFloat64, 1, math.MaxFloat64, func(b *Broker) *float64 { return &b.LogCleanerIOBytesPerSecondMax }, "Bytes a second that all cleaner threads may read and write."),
	intKey("log.cleaner.threads", 1, 1, func(b *Broker) *int { return &b.LogCleanerThreads }, "Tasks that compact."),
	{Name: "log.dirs", Type: List, Default: "/tmp/kafka-logs", Doc: "Directories that hold the logs, comma-separated.",
		set: setLogDirs, get: func(b *Broker) string { return strings.Join(b.LogDirs, ",") }},
	millis("log.flush.offset.checkpoint.interval.ms", Int, 60000, 1, func(b *Broker) *time.Duration { return &b.LogFlushOffsetCheckpoint }, "Time between recovery-point checkpoints."),
	millis("log.flush.scheduler.interval.ms", Long, math.MaxInt64, 1, func(b *Broker) *time.Duration { return &b.LogFlushSchedulerInterval }, "Time between looks for logs to flush."),
	millis("log.retention.check.interval.ms", Long, 300000, 1, func(b *Broker) *time.Duration { return &b.LogRetentionCheck }, "Time between looks for segments that retention lets go."),
	intKey("max.connection.creation.rate", math.MaxInt32, 0, func(b *Broker) *int { return &b.ConnectionRateMax }, "New connections a second; what comes sooner waits to be accepted."),
	intKey("max.connections", math.MaxInt32, 0, func(b *Broker) *int { return &b.ConnectionsMax }, "Connections that are open at once; while there are so many, new ones wait to be accepted."),
	intKey("max.connections.per.ip", math.MaxInt32, 0, func(b *Broker) *int { return &b.ConnectionsPerAddressMax }, "Connections of one address; what comes above is closed."),
	{Name: "max.connections.per.ip.overrides", Type: String, Default: "", Doc: "The same for some addresses, address:connections, comma-separated.",
		set: setAddressOverrides, get: func(b *Broker) string { return b.ConnectionsPerAddress }},
	intKey("max.incremental.fetch.session.cache.slots", 1000, 0, func(b *Broker) *int { return &b.FetchSessionSlots }, "Fetch sessions that the broker keeps."),
	intKey("num.io.threads", 8, 1, func(b *Broker) *int { return &b.NumIOThreads }, "Accepted, and without effect here: every connection has its own tasks."),
	intKey("num.network.threads", 3, 1, func(b *Broker) *int { return &b.NumNetworkThreads }, "Accepted, and without effect here: every connection has its own tasks."),
	int32Key("num.partitions", 1, 1, func(b *Broker) *int32 { return &b.NumPartitions }, "Partitions of a topic created without saying."),
	intKey("num.recovery.threads.per.data.dir", 1, 1, func(b *Broker) *int { return &b.NumRecoveryThreads }, "Logs of a directory that are opened, and recovered, at once; at least 4."),
	intKey("num.replica.fetchers", 1, 1, func(b *Broker) *int { return &b.NumReplicaFetchers }, "Fetcher tasks per source broker."),
	intKey("offset.metadata.max.bytes", 4096, 0, func(b *Broker) *int { return &b.OffsetMetadataBytesMax }, "Bytes of metadata that may go with a committed offset."),
	millis("offsets.commit.timeout.ms", Int, 5000, 1, func(b *Broker) *time.Duration { return &b.OffsetsCommitTimeout }, "Time a commit waits for its replication."),
	millis("offsets.retention.check.interval.ms", Long, 600000, 1, func(b *Broker) *time.Duration { return &b.OffsetsRetentionCheckInterval }, "Time between looks for expired offsets."),
	minutes("offsets.retention.minutes", 7*24*60, 1, func(b *Broker) *time.Duration { return &b.OffsetsRetention }, "Time that offsets are kept once their group is empty, or nobody of it reads the topic."),
	int32Key("offsets.topic.num.partitions", 50, 1, func(b *Broker) *int32 { return &b.OffsetsTopicPartitions }, "Partitions of __consumer_offsets when it is created."),
	integer("offsets.topic.replication.factor", Short, 3, 1, math.MaxInt16, func(b *Broker) *int16 { return &b.OffsetsTopicReplicationFactor }, "Replicas of __consumer_offsets when it is created."),
	int32Key("offsets.topic.segment.bytes", 100<<20, 1, func(b *Broker) *int32 { return &b.OffsetsTopicSegmentBytes }, "Bytes of a segment of __consumer_offsets."),
	millis("producer.id.expiration.ms", Int, 86400000, 1, func(b *Broker) *time.Duration { return &b.ProducerIDExpiration }, "Time after which an idle producer's state is forgotten."),
	intKey("quota.window.num", 11, 1, func(b *Broker) *int { return &b.Quotas.Num }, "Samples of which the rate of a client is made."),
	seconds("quota.window.size.seconds", Int, 1, 1, func(b *Broker) *time.Duration { return &b.Quotas.Length }, "Time of each of them."),
	millis("replica.fetch.backoff.ms", Int, 1000, 0, func(b *Broker) *time.Duration { return &b.ReplicaFetchBackoff }, "Pause of a partition's fetcher after an error."),
	int32Key("replica.fetch.max.bytes", 1<<20, 0, func(b *Broker) *int32 { return &b.ReplicaFetchBytesMax }, "Bytes a follower asks for per partition."),
	int32Key("replica.fetch.min.bytes", 1, 0, func(b *Broker) *int32 { return &b.ReplicaFetchBytesMin }, "Bytes that a follower's fetch waits for, at most replica.fetch.wait.max.ms."),
	int32Key("replica.fetch.response.max.bytes", 10<<20, 0, func(b *Broker) *int32 { return &b.ReplicaFetchResponseBytesMax }, "Bytes a follower asks for in all."),
	millis("replica.fetch.wait.max.ms", Int, 500, 1, func(b *Broker) *time.Duration { return &b.ReplicaFetchWaitMax }, "Time a leader holds a follower's fetch when there is nothing new."),
	millis("replica.high.watermark.checkpoint.interval.ms", Long, 5000, 1, func(b *Broker) *time.Duration { return &b.ReplicaHighWatermarkCheckpoint }, "Time between checkpoints of the high watermarks."),
	millis("replica.lag.time.max.ms", Long, 30000, 1, func(b *Broker) *time.Duration { return &b.ReplicaLagTimeMax }, "Time behind after which a follower leaves the ISR."),
	{Name: "replica.selector.class", Type: String, Default: "", Doc: "How the replica is chosen that a consumer reads from: LeaderSelector or RackAwareReplicaSelector, with their package org.apache.kafka.common.replica.",
		set: setReplicaSelector, get: getReplicaSelector},
	millis("replica.socket.timeout.ms", Int, 30000, 1, func(b *Broker) *time.Duration { return &b.ReplicaSocketTimeout }, "Time a follower waits for the leader's answer."),
	intKey("replication.quota.window.num", 11, 1, func(b *Broker) *int { return &b.ReplicationQuotas.Num }, "Samples of which the rate of throttled replicas is made."),
	seconds("replication.quota.window.size.seconds", Int, 1, 1, func(b *Broker) *time.Duration { return &b.ReplicationQuotas.Length }, "Time of each of them."),
	int32Key("reserved.broker.max.id", 1000, 0, func(b *Broker) *int32 { return &b.ReservedBrokerIDMax }, "The greatest broker.id while broker.id.generation.enable is true; those that are generated are above it."),
	int32Key("socket.request.max.bytes", 100<<20, 1, func(b *Broker) *int32 { return &b.RequestBytesMax }, "The largest request."),
	millis("transaction.max.timeout.ms", Int, 900000, 1, func(b *Broker) *time.Duration { return &b.TransactionTimeoutMax }, "The longest transaction that a producer may ask for."),
	boolean("transaction.partition.verification.enable", true, func(b *Broker) *bool { return &b.TransactionVerification }, "Whether leaders ask the coordinator, before the first record of a transaction, if the partition is part of it (KIP-890)."),
	millis("transaction.remove.expired.transaction.cleanup.interval.ms", Int, 3600000, 1, func(b *Broker) *time.Duration { return &b.TransactionalIDExpirationCheck }, "Time between looks for expired transactional ids."),
	intKey("transaction.state.log.min.isr", 2, 1, func(b *Broker) *int { return &b.TransactionTopicMinISR }, "min.insync.replicas of __transaction_state when it is created."),
	int32Key("transaction.state.log.num.partitions", 50, 1, func(b *Broker) *int32 { return &b.TransactionTopicPartitions }, "Partitions of __transaction_state when it is created."),
	integer("transaction.state.log.replication.factor", Short, 3, 1, math.MaxInt16, func(b *Broker) *int16 { return &b.TransactionTopicReplicationFactor }, "Replicas of __transaction_state when it is created."),
	int32Key("transaction.state.log.segment.bytes", 100<<20, 1, func(b *Broker) *int32 { return &b.TransactionTopicSegmentBytes }, "Bytes of a segment of __transaction_state."),
	millis("transactional.id.expiration.ms", Int, 604800000, 1, func(b *Broker) *time.Duration { return &b.TransactionalIDExpiration }, "Time after which a transactional id without a transaction is forgotten."),
	{Name: "zookeeper.connect", Type: String, Default: "", Doc: "host:port[,host:port…][/chroot]",
		set: setZookeeperConnect, get: func(b *Broker) string { return strings.Join(b.ZookeeperConnect, ",") + b.ZookeeperChroot }},
	{Name: "zookeeper.connection.timeout.ms", Type: Int, Default: "", Doc: "Time that a start waits for ZooKeeper; by default zookeeper.session.timeout.ms.",
		set: setConnectTimeout, get: getConnectTimeout},
	int32Key("zookeeper.session.timeout.ms", 18000, 1, func(b *Broker) *int32 { return &b.ZookeeperSessionMs }, "Time without contact after which ZooKeeper declares this broker dead."),
}

// brokerID is broker.id as it was configured, whatever id the broker has found for itself (as with KafkaConfig, where only the field changes).
func brokerID() *Key[Broker] {
	k := int32Key("broker.id", -1, -1, func(b *Broker) *int32 { return &b.BrokerID }, "This broker's id; -1 takes the one in meta.properties, or has one generated.")
	configured := k.get
	k.get = func(b *Broker) string {
		if b.brokerIDFound {
			return k.Default
		}
		return configured(b)
	}
	return k
}

func hostPort(text, key string) (host string, port int32, err error) {
	rest, ok := strings.CutPrefix(text, "PLAINTEXT://")
	if !ok {
		return "", 0, fmt.Errorf("%q: one listener of the form PLAINTEXT://host:port is supported in %s", text, key)
	}
	return SplitHostPort(rest)
}

// SplitHostPort takes "host:port" apart; an IPv6 address stands in brackets.
func SplitHostPort(text string) (host string, port int32, err error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", 0, fmt.Errorf("%q has no port", text)
	}
	n, err := strconv.ParseUint(text[i+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: the port must be a number from 0 to 65535", text)
	}
	host = strings.Trim(text[:i], "[]")
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, fmt.Errorf("%q: %w", text, err)
		}
	}
	return host, int32(n), nil
}

// JoinHostPort is "host:port", with brackets around an IPv6 address.
func JoinHostPort(host string, port int32) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

func setListeners(b *Broker, text string) error {
	host, port, err := hostPort(text, "listeners")
	if err == nil {
		b.ListenAddr = JoinHostPort(host, port)
	}
	return err
}

func setAdvertised(b *Broker, text string) error {
	if text == "" {
		b.AdvertisedHost, b.AdvertisedPort = "", 0
		return nil
	}
	host, port, err := hostPort(text, "advertised.listeners")
	if err == nil && anyHost(host) {
		err = fmt.Errorf("%q: nobody can connect to %s; name an address that others reach", text, host)
	}
	if err == nil {
		b.AdvertisedHost, b.AdvertisedPort = host, port
	}
	return err
}

// anyHost says that a host stands for all of this machine's addresses: one to listen on, and none to connect to.
func anyHost(host string) bool { return host == "0.0.0.0" || host == "::" }

func getAdvertised(b *Broker) string {
	if b.AdvertisedHost == "" && b.AdvertisedPort == 0 {
		return ""
	}
	return "PLAINTEXT://" + JoinHostPort(b.AdvertisedHost, b.AdvertisedPort)
}

// The classes that replica.selector.class may name.
const (
	leaderSelector    = "org.apache.kafka.common.replica.LeaderSelector"
	rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
)

func setReplicaSelector(b *Broker, text string) error {
	switch text {
	case "", leaderSelector, rackAwareSelector:
		b.RackAwareSelector = text == rackAwareSelector
		return nil
	}
	return fmt.Errorf("%q is not one of %s, %s", text, leaderSelector, rackAwareSelector)
}

func getReplicaSelector(b *Broker) string {
	if b.RackAwareSelector {
		return rackAwareSelector
	}
	return ""
}

func setLogDirs(b *Broker, text string) error {
	var dirs []string
	for dir := range strings.SplitSeq(text, ",") {
		if dir = strings.TrimSpace(dir); dir != "" {
			if first := slices.IndexFunc(dirs, func(d string) bool { return path.Clean(d) == path.Clean(dir) }); first >= 0 {
				return fmt.Errorf("%s is given twice, as %s before", dir, dirs[first])
			}
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return fmt.Errorf("at least one directory is needed")
	}
	b.LogDirs = dirs
	return nil
}

func setAddressOverrides(b *Broker, text string) error {
	if _, err := addressOverrides(text); err != nil {
		return err
	}
	b.ConnectionsPerAddress = text
	return nil
}

// AddressOverrides are the connections that single addresses may have (max.connections.per.ip.overrides).
func (b *Broker) AddressOverrides() map[string]int {
	overrides, _ := addressOverrides(b.ConnectionsPerAddress) // it was checked when it was set
	return overrides
}

// addressOverrides reads "address:connections,…".
//
// DEVIATION(KafkaConfig): Kafka takes names of hosts, too, and looks them up once, at the start.
func addressOverrides(text string) (map[string]int, error) {
	overrides := map[string]int{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		i := strings.LastIndexByte(item, ':')
		if i < 0 {
			return nil, fmt.Errorf("%q is not address:connections", item)
		}
		addr, err := netip.ParseAddr(strings.Trim(item[:i], "[]"))
		if err != nil {
			return nil, fmt.Errorf("%q is not address:connections: %w", item, err)
		}
		n, err := parseInt(strings.TrimSpace(item[i+1:]), 0, math.MaxInt32)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		overrides[addr.Unmap().String()] = int(n)
	}
	return overrides, nil
}

func setZookeeperConnect(b *Broker, text string) error {
	servers, chroot := text, ""
	if i := strings.IndexByte(text, '/'); i >= 0 {
		servers, chroot = text[:i], strings.TrimRight(text[i:], "/")
	}
	var list []string
	for s := range strings.SplitSeq(servers, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if !strings.Contains(s, ":") || strings.HasSuffix(s, "]") {
			s += ":2181"
		}
		if host, port, err := SplitHostPort(s); err != nil {
			return err
		} else if host == "" || port == 0 {
			return fmt.Errorf("%q is not host:port", s)
		}
		list = append(list, s)
	}
	b.ZookeeperConnect, b.ZookeeperChroot = list, chroot
	return nil
}

func setConnectTimeout(b *Broker, text string) error {
	if text == "" {
		b.ZookeeperConnectMs = 0
		return nil
	}
	ms, err := parseInt(text, 1, math.MaxInt32)
	if err == nil {
		b.ZookeeperConnectMs = int32(ms)
	}
	return err
}

func getConnectTimeout(b *Broker) string {
	if b.ZookeeperConnectMs == 0 {
		return ""
	}
	return strconv.Itoa(int(b.ZookeeperConnectMs))
}

// ConnectTimeout is how long a start waits for ZooKeeper.
//
// Source: KafkaConfig#zkConnectionTimeoutMs.
func (b *Broker) ConnectTimeout() time.Duration {
	if b.ZookeeperConnectMs > 0 {
		return time.Duration(b.ZookeeperConnectMs) * time.Millisecond
	}
	return time.Duration(b.ZookeeperSessionMs) * time.Millisecond
}

// BrokerKeys lists the keys of a broker, sorted by name, but for the defaults of topics.
func BrokerKeys() []*Key[Broker] { return brokerKeys }

// Explicit reports whether the key was given in the file rather than left at its default, and its text there.
func (b *Broker) Explicit(name string) (text string, ok bool) {
	text, ok = b.explicit[name]
	return text, ok
}
