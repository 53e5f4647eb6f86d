package replica

import (
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options are what a Manager needs.
type Options struct {
	Env       env.Env
	Config    *config.Broker
	// Logs      *log.Manager
	Metadata  *metadata.Cache
	Purgatory *purgatory.Purgatory[wire.TopicPartition] // woken when a partition's offsets, ISR or role change
	// BrokerEpoch is this broker's epoch, -1 before registration.
	BrokerEpoch func() int64
	// AlterPartition sends to the controller, wherever it is, and waits for its answer. An error means that none came.
	AlterPartition func(*kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error)
	// OnOffline is called once, by some task with no lock held, when the last log directory has failed.
	OnOffline func(error)
}

// Manager holds the partitions of this broker. Safe for use by many tasks.
type Manager struct{}

// NewManager makes a manager without partitions: they come with LeaderAndIsr.
func NewManager(o Options) *Manager { panic("unfinished") }

// Start starts the periodic tasks.
func (m *Manager) Start() { panic("unfinished") }

// Shutdown stops fetchers and tasks, refuses further appends, and writes the last checkpoint of high watermarks.
func (m *Manager) Shutdown() { panic("unfinished") }

// Partition returns a hosted partition. Errors: KAFKA_STORAGE_ERROR if its directory failed, NOT_LEADER_OR_FOLLOWER if it lives on other
// brokers, UNKNOWN_TOPIC_OR_PARTITION if nobody told of it. Source: ReplicaManager#getPartitionOrError.
func (m *Manager) Partition(tp wire.TopicPartition) (*partition.Partition, error) {
	panic("unfinished")
}

// BecomeLeaderOrFollower obeys a LeaderAndIsr request, v2 to v7. The response is by topic id from v5 on.
// Errors, for the whole: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH; per partition: STALE_CONTROLLER_EPOCH for an older leader epoch,
// INCONSISTENT_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION if this broker is no replica, KAFKA_STORAGE_ERROR.
// Source: ReplicaManager#becomeLeaderOrFollower.
func (m *Manager) BecomeLeaderOrFollower(req *kmsg.LeaderAndISRRequest) *kmsg.LeaderAndISRResponse {
	panic("unfinished")
}

// StopReplicas obeys a StopReplica request, v1 to v4. Source: ReplicaManager#stopReplicas.
func (m *Manager) StopReplicas(req *kmsg.StopReplicaRequest) *kmsg.StopReplicaResponse {
	panic("unfinished")
}

// UpdateMetadata obeys an UpdateMetadata request, v5 to v8: it is fenced like the others and then given to the metadata
// cache. Source: KafkaApis#handleUpdateMetadataRequest, ReplicaManager#maybeUpdateMetadataCache.
func (m *Manager) UpdateMetadata(req *kmsg.UpdateMetadataRequest) *kmsg.UpdateMetadataResponse {
	panic("unfinished")
}

// SetTopicConfig gives the topic's partitions a new configuration.
func (m *Manager) SetTopicConfig(topic string, c config.Topic) { panic("unfinished") }

// Snapshot is the state of every partition, sorted. It takes no lock: it is for the simulator's checker between events.
func (m *Manager) Snapshot() []partition.State { panic("unfinished") }
