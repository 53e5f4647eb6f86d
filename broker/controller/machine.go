package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
)

// znodes is the part of zookeeper.Store that the machine decides with. An error that it returns as such, not in a
// result, ends the term.
type znodes interface {
	Topic(topic string, watch bool) (zookeeper.TopicAssignment, error)
	CreateTopic(f zookeeper.Fence, topic string, t zookeeper.TopicAssignment, configs map[string]string) error
	SetTopic(f zookeeper.Fence, topic string, t zookeeper.TopicAssignment) (version int32, err error)
	MarkTopicDeletion(f zookeeper.Fence, topic string) (already bool, err error)
	ClearTopicDeletion(f zookeeper.Fence, topic string) error
	DeleteTopic(f zookeeper.Fence, topic string) error
	PartitionStates(tps []wire.TopicPartition) ([]zookeeper.PartitionResult, error)
	CreatePartitionStates(f zookeeper.Fence, writes []zookeeper.PartitionWrite) ([]zookeeper.PartitionResult, error)
	UpdatePartitionStates(f zookeeper.Fence, writes []zookeeper.PartitionWrite) ([]zookeeper.PartitionResult, error)
	EntityConfig(entityType, entity string, watch bool) (map[string]string, error)
	EntityConfigs(entityType string, entities []string) ([]map[string]string, error)
	AllocateProducerIDs(f zookeeper.Fence, brokerID int32) (zookeeper.ProducerIDBlock, error)
	SetReassignment(f zookeeper.Fence, wanted map[wire.TopicPartition][]int32) error
	ClearPreferredElection(f zookeeper.Fence) error
	Feature() (zookeeper.Feature, int32, error)
	SetFeature(f zookeeper.Fence, feature zookeeper.Feature, version int32) error
}

// Events of the trace.
var (
	evElected       = env.NewKind("controller-elected", env.Info, "epoch")
	evResigned      = env.NewKind("controller-resigned", env.Info, "epoch")
	evLeader        = env.NewKind("leader-elected", env.Info, "leader", "epoch", "partition-epoch", "unclean")
	evNoLeader      = env.NewKind("leader-missing", env.Warn, "epoch")
	evISR           = env.NewKind("isr-changed", env.Info, "leader", "epoch", "partition-epoch")
	evBrokerOnline  = env.NewKind("broker-online", env.Info, "broker", "broker-epoch")
	evBrokerOffline = env.NewKind("broker-offline", env.Info, "broker", "broker-epoch")
	evBrokerLeaving = env.NewKind("broker-shutting-down", env.Info, "broker", "remaining")
	evTopicCreated  = env.NewKind("topic-created", env.Info, "partitions")
	evTopicDeleting = env.NewKind("topic-deleting", env.Info)
	evTopicDeleted  = env.NewKind("topic-deleted", env.Info)
	evReplicaDown   = env.NewKind("replica-offline", env.Warn, "broker", "code")
	evRefused       = env.NewKind("controller-request-refused", env.Warn, "broker", "key", "code")
	evTrouble       = env.NewKind("controller-trouble", env.Error)
)

// machine is the controller without its surroundings: it is told what happened, writes znodes, and lays requests to
// brokers into its outbox. One task owns it.
type machine struct {
	*clusterContext
	config *config.Broker
	store  znodes
	emit   func(env.Event)
	newID  func() [16]byte // a random topic id

	features map[string]featureRange // that this broker supports: none, as Kafka's in ZooKeeper mode (decision 010)

	sequence int64 // of the latest request of this term

	asked  map[wire.TopicPartition][]int32 // what stands in /admin/reassign_partitions, nil without it
	batch  batch
	outbox []outgoing // to be sent, in order
}

// outgoing is one request to one broker.
type outgoing struct {
	broker int32
	req    wireRequest
}

func newMachine(fence zookeeper.Fence, cfg *config.Broker, store znodes, emit func(env.Event), newID func() [16]byte) *machine {
	return &machine{clusterContext: newContext(fence), config: cfg, store: store, emit: emit, newID: newID, batch: newBatch()}
}

// takeOutbox returns what is to be sent, and empties it.
func (m *machine) takeOutbox() []outgoing {
	out := m.outbox
	m.outbox = nil
	return out
}

// loaded is what a new controller finds in ZooKeeper.
type loaded struct {
	brokers   []zookeeper.BrokerInfo
	topics    map[string]zookeeper.TopicAssignment
	states    []zookeeper.PartitionResult
	deletions []string
}

// startup takes over the cluster as it was found (KafkaController#onControllerFailover after the loading).
func (m *machine) startup(l loaded) error {
	for _, b := range l.brokers {
		m.brokers[b.ID] = b
	}
	for _, name := range slices.Sorted(maps.Keys(l.topics)) {
		if err := m.learnTopic(name, l.topics[name]); err != nil {
			return err
		}
	}
	for _, r := range l.states {
		if p := m.partition(r.TP); p != nil && r.Err == nil {
			m.setLeadership(p, m.believed(r.State))
		}
	}
	restarted := m.restarted()
	for _, p := range m.partitions() {
		switch {
		case p.leadership == nil:
			p.phase = partitionNew
		case m.leaderOnline(p):
			p.phase = partitionOnline
		default:
			p.phase = partitionOffline
		}
	}
	if err := m.startDeletions(l.deletions); err != nil {
		return err
	}
	if err := m.dropRestarted(restarted); err != nil {
		return err
	}
	dead := m.startReplicas()
	if err := m.triggerOnline(); err != nil {
		return err
	}
	// Elections have cut the ISRs already where they found a leader; what is left are dead followers, and partitions that
	// nobody can lead.
	if err := m.replicasOffline(dead, false); err != nil {
		return err
	}
	// Brokers must hear of the live brokers before they are told whom to follow.
	// DEVIATION(KIP-291): Kafka says who lives before it elects. In between, clients are told that the dead ones' partitions have no leader and
	// their groups no coordinator, for as long as the elections take: some give up on it. Ours hear of both at once.
	m.addMetadata(m.partitions())
	m.flushMetadata()
	if err := m.resumeDeletions(); err != nil {
		return err
	}
	if err := m.resumeReassignments(nil); err != nil {
		return err
	}
	m.flush()
	return nil
}

// startReplicas tells every live broker about its replicas, and returns the dead ones (ReplicaStateMachine#startup).
func (m *machine) startReplicas() (dead []replica) {
	var online []replica
	for _, r := range replicasOf(m.partitions()) {
		switch {
		case m.online(r.broker, r.tp):
			r.replicas[r.broker] = replicaOnline
			online = append(online, r)
		case m.deleting[r.tp.Topic]:
			r.replicas[r.broker] = deletionIneligible
		default:
			r.replicas[r.broker] = replicaOffline
			dead = append(dead, r)
		}
	}
	m.replicasOnline(online)
	return dead
}

// learnTopic adds a topic and its partitions from its znode, giving it an id if it has none.
func (m *machine) learnTopic(name string, t zookeeper.TopicAssignment) error {
	if t.ID == ([16]byte{}) { // made by a tool or a broker older than 2.8
		t.ID = m.newID()
		version, err := m.store.SetTopic(m.fence, name, t)
		if conflict(err) {
			return nil // it has changed or gone meanwhile: the watch on it will tell
		}
		if errors.Is(err, zookeeper.ErrTooLarge) {
			m.emit(env.Event{Kind: evTrouble, Topic: name, Text: "has no topic id, and no room for one, and is left alone: " + err.Error()})
			return nil
		}
		if err != nil {
			return err
		}
		t.Version = version
	}
	if other, taken := m.topicNames[t.ID]; taken && other != name {
		m.emit(env.Event{Kind: evTrouble, Topic: name, Text: "has the topic id of " + other + " and is left alone"})
		return nil
	}
	known := m.putTopic(name, t.ID, t.Version)
	for _, n := range slices.Sorted(maps.Keys(t.Partitions)) {
		if known.partitions[n] == nil {
			m.putPartition(known, n, t.Partitions[n])
		}
	}
	return nil
}

// unclean reads whether a topic allows unclean elections. That its configuration cannot be read means no.
func (m *machine) unclean(topic string) bool {
	configs, err := m.store.EntityConfig(zookeeper.ConfigTopics, topic, false)
	if err != nil {
		return false
	}
	if text, ok := configs["unclean.leader.election.enable"]; ok {
		return strings.EqualFold(text, "true")
	}
	return m.config.TopicDefaults().UncleanElection
}

// attemptsMax bounds how often a write is tried again because somebody else has written the znode meanwhile. Nobody but
// brokers of old versions and tools does that.
const attemptsMax = 5

// conflict reports whether err is about the node that was to be written, and not about the fence or the session.
func conflict(err error) bool {
	return !errors.Is(err, zookeeper.ErrControllerMoved) &&
		(errors.Is(err, zookeeper.ErrNoNode) || errors.Is(err, zookeeper.ErrBadVersion) || errors.Is(err, zookeeper.ErrNodeExists))
}

// refresh reads the states of partitions that somebody else has written. A state of a later controller ends the term.
func (m *machine) refresh(ps []*partition) error {
	tps := make([]wire.TopicPartition, len(ps))
	for i, p := range ps {
		tps[i] = p.tp
	}
	results, err := m.store.PartitionStates(tps)
	if err != nil {
		return err
	}
	for i, r := range results {
		if old := ps[i].leadership; r.Err != nil || (old != nil && (r.State.PartitionEpoch < old.PartitionEpoch || r.State.LeaderEpoch < old.LeaderEpoch)) {
			continue // gone, or gone and made anew: the watch on the topics will tell
		}
		if r.State.ControllerEpoch > m.fence.Epoch {
			return fmt.Errorf("%s was written by controller epoch %d: %w", r.TP, r.State.ControllerEpoch, zookeeper.ErrControllerMoved)
		}
		m.setLeadership(ps[i], m.believed(r.State))
	}
	return nil
}
