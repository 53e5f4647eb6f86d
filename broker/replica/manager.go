package replica

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/quota"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options are what a Manager needs.
type Options struct {
	Env       env.Env
	Config    *config.Broker
	Logs      *log.Manager
	Metadata  *metadata.Cache
	Purgatory *purgatory.Purgatory[wire.TopicPartition] // woken when a partition's offsets, ISR or role change

	// BrokerEpoch is this broker's epoch, -1 before registration. It is called with locks held and must not wait.
	BrokerEpoch func() int64
	// AlterPartition sends to the controller, wherever it is, and waits for its answer. An error means that none came.
	AlterPartition func(*kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error)
	// TopicConfig is the configuration of a topic whose replica is made now. Nil takes the broker's defaults.
	TopicConfig func(topic string) config.Topic
	// LeaderThrottle and FollowerThrottle are told which replicas are throttled; the second bounds what fetchers take (KIP-73). May be nil.
	LeaderThrottle, FollowerThrottle *quota.Replication
	// MoveThrottle bounds what is copied between log directories (KIP-113). May be nil.
	MoveThrottle *quota.Replication
	// OnDirFailed is called once for each log directory that fails, by some task with no lock held: the controller must
	// hear of it. It must not wait. May be nil.
	OnDirFailed func(dir string)
	// OnOffline is called once, by some task with no lock held, when the last log directory has failed. May be nil.
	OnOffline func(error)
	// OnRole is told, in their order, of the roles that partitions take: leader in that epoch, or no leader (any more). It is
	// called with locks held and must not wait. May be nil.
	OnRole func(tp wire.TopicPartition, leader bool, epoch int32)
	// OnDeleted is told of partitions that the controller has deleted, on the same terms.
	OnDeleted func([]wire.TopicPartition)
}

// Manager holds the partitions of this broker. Safe for use by many tasks.
type Manager struct {
	o Options

	// changes is held through a whole LeaderAndIsr, StopReplica or UpdateMetadata request, disk and all: they are obeyed one at
	// a time. It comes before all other locks.
	changes         env.Mutex
	controllerEpoch int32 // of the newest controller heard, under changes
	sequence        int64 // of its latest request obeyed, 0 if it does not number them; under changes

	mu       env.Mutex // short
	stop     env.Cond  // stopped, for tasks that sleep
	stopped  bool
	offline  bool // OnOffline was called
	leaving  bool // Leave was called
	fetchers map[fetcherKey]*fetcher
	movers   map[string]*mover // by the log directory that they fill

	hws    map[wire.TopicPartition]int64                   // high watermarks of the last checkpoint before this life
	hosted atomic.Pointer[map[wire.TopicPartition]*hosted] // copied on write, under changes
	listed atomic.Pointer[[]*partition.Partition]          // those of hosted that have a log, sorted; replaced with it
	alter  *alterSender
	tasks  *env.Group
}

// hosted is a partition that this broker has, or would have if its log directory had not failed.
type hosted struct {
	p *partition.Partition // nil if the log could not be opened
}

// NewManager makes a manager without partitions: they come with LeaderAndIsr.
func NewManager(o Options) *Manager {
	m := &Manager{o: o, changes: o.Env.NewMutex(), mu: o.Env.NewMutex(), controllerEpoch: -1,
		hws: o.Logs.HighWatermarks(), fetchers: map[fetcherKey]*fetcher{}, movers: map[string]*mover{}, tasks: env.NewGroup(o.Env)}
	m.stop = o.Env.NewCond(m.mu)
	m.hosted.Store(&map[wire.TopicPartition]*hosted{})
	m.listed.Store(&[]*partition.Partition{})
	m.alter = newAlterSender(m)
	return m
}

// Start starts the periodic tasks.
func (m *Manager) Start() {
	m.o.Logs.OnFailure(m.logDirFailed)
	m.tasks.Go("isr-shrink", m.every(m.o.Config.ReplicaLagTimeMax/2, m.shrinkISRs))
	m.tasks.Go("hw-checkpoint", m.every(m.o.Config.ReplicaHighWatermarkCheckpoint, m.checkpoint))
	m.tasks.Go("alter-partition", m.alter.run)
}

// shutdownPatience bounds how long Shutdown waits for its tasks. One that hangs in a call to the controller is left to find
// that there is nothing to do any more.
const shutdownPatience = time.Second

// Leave is called before leaderships are handed over: what this broker becomes a follower of from now on, it does not fetch
// any more. A leader that saw it fetch would take it into the ISR again, and wait for it.
// Source: ReplicaManager#makeFollowers (isShuttingDown).
func (m *Manager) Leave() {
	m.mu.Lock()
	m.leaving = true
	m.mu.Unlock()
}

// Resign stops fetchers and tasks, and refuses appends and reads from then on with NOT_LEADER_OR_FOLLOWER: it is for a broker that
// reads no more requests. Whoever waits for a partition is told so as well and turns to its new leader at once. What it waits for does not
// come any more: the followers' next fetches are not read.
//
// DEVIATION(SocketServer#stopProcessingRequests): Kafka closes the connections instead.
func (m *Manager) Resign() {
	m.mu.Lock()
	m.stopped = true
	m.stop.Broadcast()
	m.mu.Unlock()
	m.alter.close()
	for _, f := range m.takeFetchers(func(*fetcher) bool { return true }) {
		f.close()
	}
	for _, v := range m.sortedMovers() {
		v.close()
	}
	for _, p := range m.partitions() {
		p.Close()
	}
}

// Shutdown is Resign, if that has not been done or a request has been obeyed since, and writes the last checkpoint of high watermarks.
// The logs stay open: they are the log manager's.
func (m *Manager) Shutdown() {
	m.Resign()
	m.tasks.WaitUntil(m.o.Env.Mono().Add(shutdownPatience))
	m.checkpoint()
}

// Partition returns a hosted partition. Errors: KAFKA_STORAGE_ERROR if its directory failed, NOT_LEADER_OR_FOLLOWER if it lives on other
// brokers, UNKNOWN_TOPIC_OR_PARTITION if nobody told of it. Source: ReplicaManager#getPartitionOrError.
func (m *Manager) Partition(tp wire.TopicPartition) (*partition.Partition, error) {
	h := (*m.hosted.Load())[tp]
	switch {
	case h != nil && h.p != nil && h.p.Log().Err() == nil:
		return h.p, nil
	case h != nil:
		markPartitionKafkaStorageError.Hit()
		return nil, fmt.Errorf("partition %s: %w", tp, kerr.KafkaStorageError)
	case m.o.Metadata.Snapshot().Partition(tp) != nil:
		markPartitionNotLeaderForPartition.Hit()
		return nil, fmt.Errorf("partition %s is elsewhere: %w", tp, kerr.NotLeaderForPartition)
	default:
		markPartitionUnknownTopicOrPartition.Hit()
		return nil, fmt.Errorf("partition %s: %w", tp, kerr.UnknownTopicOrPartition)
	}
}

// Partitions lists the hosted partitions whose logs could be opened, sorted.
func (m *Manager) Partitions() []*partition.Partition { return slices.Clone(m.partitions()) }

// LogDirs describes the log directories.
func (m *Manager) LogDirs() []log.DirInfo { return m.o.Logs.Describe() }

// SetTopicConfig gives the topic's partitions a new configuration. A partition that is being made at the same time has
// either read the new one already, or gets it here.
func (m *Manager) SetTopicConfig(topic string, c config.Topic) {
	m.changes.Lock()
	defer m.changes.Unlock()
	m.setThrottles(topic, c)
	for _, p := range m.partitions() {
		if p.TP().Topic == topic {
			p.Log().SetConfig(c)
			if future := p.Future(); future != nil {
				future.SetConfig(c)
			}
			p.SetMinInsyncReplicas(c.MinInsyncReplicas)
		}
	}
}

// Snapshot is the state of every partition, sorted. It takes no lock and makes no env call: it is for the simulator's checker, between
// events.
func (m *Manager) Snapshot() []partition.State {
	return m.AppendSnapshot(nil)
}

// AppendSnapshot is Snapshot into room that is there.
func (m *Manager) AppendSnapshot(states []partition.State) []partition.State {
	partitions := m.partitions()
	states = slices.Grow(states, len(partitions))
	for _, p := range partitions {
		states = append(states, p.Snapshot())
	}
	return states
}

// partitions lists the hosted partitions that have a log, sorted. Nobody changes the list.
func (m *Manager) partitions() []*partition.Partition {
	return *m.listed.Load()
}

// edit changes the map of hosted partitions. The caller holds changes.
func (m *Manager) edit(change func(map[wire.TopicPartition]*hosted)) {
	next := maps.Clone(*m.hosted.Load())
	change(next)
	list := make([]*partition.Partition, 0, len(next))
	for _, h := range next {
		if h.p != nil {
			list = append(list, h.p)
		}
	}
	slices.SortFunc(list, func(a, b *partition.Partition) int { return a.TP().Compare(b.TP()) })
	m.hosted.Store(&next)
	m.listed.Store(&list)
}

// topicConfig is what a topic's replicas are made with.
func (m *Manager) topicConfig(topic string) config.Topic {
	if m.o.TopicConfig == nil {
		return m.o.Config.Topic
	}
	return m.o.TopicConfig(topic)
}

// fence checks the epochs of a request from a controller, and its number, and remembers newer ones. The caller holds changes.
//
// A broker epoch above ours is of a registration that we have not heard the answer of yet: the controller was faster. Of requests of one
// controller, one that a later has overtaken is a copy of what was obeyed before; the one that came last may come again, as its answer may
// have been lost.
//
// Errors: STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH. Source: KafkaApis#isBrokerEpochStale, KIP-380; the number is our own.
func (m *Manager) fence(controllerEpoch int32, brokerEpoch int64, tags *kmsg.Tags) *kerr.Error {
	if brokerEpoch >= 0 && brokerEpoch < m.o.BrokerEpoch() && !m.o.Config.Bugs.Has(bug.NoBrokerEpoch) {
		markFenceStaleBrokerEpoch.Hit()
		return kerr.StaleBrokerEpoch
	}
	if controllerEpoch < m.controllerEpoch {
		markFenceStaleControllerEpoch.Hit()
		return kerr.StaleControllerEpoch
	}
	number := wire.Sequence(tags)
	if controllerEpoch == m.controllerEpoch && number > 0 && number < m.sequence && !m.o.Config.Bugs.Has(bug.OvertakenControl) && !m.o.Config.Bugs.Has(bug.NoBrokerEpoch) { // a life that obeys its predecessor's orders has no order in them
		markFenceOvertaken.Hit()
		return kerr.StaleControllerEpoch
	}
	m.controllerEpoch, m.sequence = controllerEpoch, number
	return nil
}

// UpdateMetadata obeys an UpdateMetadata request, v5 to v8: it is fenced like the others and then given to the metadata
// cache. Source: KafkaApis#handleUpdateMetadataRequest, ReplicaManager#maybeUpdateMetadataCache.
func (m *Manager) UpdateMetadata(req *kmsg.UpdateMetadataRequest) *kmsg.UpdateMetadataResponse {
	resp := req.ResponseKind().(*kmsg.UpdateMetadataResponse)
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.fence(req.ControllerEpoch, req.BrokerEpoch, &req.UnknownTags); err != nil {
		resp.ErrorCode = err.Code
		return resp
	}
	deleted, err := m.o.Metadata.Update(req)
	if err != nil {
		resp.ErrorCode = wire.Code(err)
	}
	if len(deleted) > 0 && m.o.OnDeleted != nil {
		m.o.OnDeleted(deleted)
	}
	return resp
}
