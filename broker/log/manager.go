package log

import (
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Meta is what meta.properties says of a log directory: to which cluster and broker it belongs.
type Meta struct {
	ClusterID string // "" when the file is missing
	BrokerID  int32  // -1 when missing
}

// Manager owns the log directories of one broker and all logs in them. It is safe for concurrent use.
type Manager struct{}

// OpenManager opens the log directories, making those that are missing, loads all logs, and recovers those of
// directories that were not shut down cleanly. A directory that fails is offline; when all do, it is an error.
func OpenManager(e env.Env, cfg *config.Broker) (*Manager, error) { panic("unfinished") }

// Start begins the background work: syncing rolled segments and writing checkpoints. Shutdown ends it.
func (m *Manager) Start() { panic("unfinished") }

// Shutdown closes all logs. If clean, everything is synced first and a marker says so: the next start recovers nothing.
func (m *Manager) Shutdown(clean bool) error { panic("unfinished") }

// Get returns the log of a partition, nil if there is none.
func (m *Manager) Get(tp wire.TopicPartition) *Log { panic("unfinished") }

// GetOrCreate returns the log of a partition, making it in the directory with the fewest if there is none.
// Errors: INCONSISTENT_TOPIC_ID; KAFKA_STORAGE_ERROR, also when a directory is offline that may hold it.
func (m *Manager) GetOrCreate(tp wire.TopicPartition, topicID [16]byte, cfg config.Topic) (*Log, error) {
	panic("unfinished")
}

// Delete takes the log away and removes its files. A crash half-way is finished at the next start. A log that does not
// exist is no error.
func (m *Manager) Delete(tp wire.TopicPartition) error { panic("unfinished") }

// List names all partitions that have a log, sorted.
func (m *Manager) List() []wire.TopicPartition { panic("unfinished") }

// HighWatermarks are those that the checkpoints held when the manager opened. A partition without one is missing.
func (m *Manager) HighWatermarks() map[wire.TopicPartition]int64 { panic("unfinished") }

// CheckpointHighWatermarks writes replication-offset-checkpoint. A partition that has a log but is missing from hws
// keeps what the checkpoint said before.
func (m *Manager) CheckpointHighWatermarks(hws map[wire.TopicPartition]int64) error {
	panic("unfinished")
}

// CheckpointRecoveryPoints writes recovery-point-offset-checkpoint and log-start-offset-checkpoint.
func (m *Manager) CheckpointRecoveryPoints() error { panic("unfinished") }

// OnFailure sets what is told, with no lock held, when a log directory goes offline. Directories that failed earlier
// are told at once.
func (m *Manager) OnFailure(f func(dir string, err error)) { panic("unfinished") }

// OfflineDirs lists the log directories that failed, in the order of the configuration.
func (m *Manager) OfflineDirs() []string { panic("unfinished") }

// Meta is what meta.properties of the first directory that has one says.
func (m *Manager) Meta() Meta { panic("unfinished") }

// SetMeta writes meta.properties where it is missing. Errors: INCONSISTENT_CLUSTER_ID when a directory belongs to
// another cluster, and a plain error when it belongs to another broker.
func (m *Manager) SetMeta(meta Meta) error { panic("unfinished") }

// Recoveries says what opening did to each log, sorted by partition.
func (m *Manager) Recoveries() []Recovered { panic("unfinished") }

// Recovered is what opening did to one log.
type Recovered struct {
	TP wire.TopicPartition
	Recovery
}
