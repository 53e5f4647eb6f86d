package metadata

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"barnabas/broker/wire"
)

// TopicID is a topic's uuid. The zero TopicID is that of a topic without an id.
type TopicID = [16]byte

// NoLeader is the leader of a partition that has none (LeaderAndIsr.NoLeader).
const NoLeader int32 = -1

// LeaderDuringDelete is the leader that UpdateMetadata names for a partition that is being deleted
// (LeaderAndIsr.LeaderDuringDelete): the cache forgets such a partition.
const LeaderDuringDelete int32 = -2

// NoController is the controller id before any controller has been heard of.
const NoController int32 = -1

// Broker is one live broker.
type Broker struct {
	ID        int32
	Endpoints []Endpoint // in the order of registration; never empty
	Rack      string     // "" without one
}

// Endpoint is where one listener of a broker is reached.
type Endpoint struct {
	Listener         string // "PLAINTEXT"
	SecurityProtocol int16  // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
	Host             string
	Port             int32
}

// Partition is the state of one partition as the controller last told it. Slices belong to the snapshot: do not
// change them.
type Partition struct {
	TP              wire.TopicPartition
	ControllerEpoch int32 // of the controller that decided it
	Leader          int32 // NoLeader if there is none
	LeaderEpoch     int32
	PartitionEpoch  int32   // version of the state znode
	ISR             []int32 // in znode order
	Replicas        []int32 // in order of preference
	Offline         []int32 // replicas that are not online
}

// Topic is one topic with at least one partition.
type Topic struct {
	Name       string
	ID         TopicID      // zero if the controller told none
	Partitions []*Partition // by ascending number; numbers may have gaps
}

// Partition returns the partition with this number, or nil.
func (t *Topic) Partition(number int32) *Partition {
	i, ok := slices.BinarySearchFunc(t.Partitions, number, func(p *Partition, n int32) int {
		return cmp.Compare(p.TP.Partition, n)
	})
	if !ok {
		return nil
	}
	return t.Partitions[i]
}

// Internal reports whether the topic is one of Kafka's own (Topic#isInternal).
func (t *Topic) Internal() bool { return IsInternal(t.Name) }

// IsInternal reports whether name is that of one of Kafka's own topics (Topic#isInternal).
func IsInternal(name string) bool {
	return name == "__consumer_offsets" || name == "__transaction_state"
}

// Snapshot is one consistent state of the cache. It never changes, so it may be read without a lock and kept.
type Snapshot struct {
	ControllerID    int32     // NoController before the first update
	ControllerEpoch int32     // of the last update applied; 0 before the first
	Brokers         []*Broker // live ones, by ascending id

	topics map[string]*Topic
	ids    map[TopicID]string
}

func emptySnapshot() *Snapshot {
	return &Snapshot{ControllerID: NoController, topics: map[string]*Topic{}, ids: map[TopicID]string{}}
}

// Broker returns the live broker with this id, or nil.
func (s *Snapshot) Broker(id int32) *Broker {
	i, ok := slices.BinarySearchFunc(s.Brokers, id, func(b *Broker, id int32) int { return cmp.Compare(b.ID, id) })
	if !ok {
		return nil
	}
	return s.Brokers[i]
}

// Alive reports whether the controller counts the broker among the living. A leader asks this before it proposes a
// replica for the ISR (KIP-841, Partition#isReplicaIsrEligible); the controller, which knows of brokers shutting down
// too, has the last word.
func (s *Snapshot) Alive(id int32) bool { return s.Broker(id) != nil }

// Topic returns the topic of this name, or nil.
func (s *Snapshot) Topic(name string) *Topic { return s.topics[name] }

// TopicByID returns the topic with this id, or nil. The zero id names no topic.
func (s *Snapshot) TopicByID(id TopicID) *Topic {
	if name, ok := s.ids[id]; ok {
		return s.topics[name]
	}
	return nil
}

// Topics lists all topics, by name.
func (s *Snapshot) Topics() []*Topic {
	return slices.SortedFunc(maps.Values(s.topics), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
}

// Partition returns the partition, or nil.
func (s *Snapshot) Partition(tp wire.TopicPartition) *Partition {
	if t := s.topics[tp.Topic]; t != nil {
		return t.Partition(tp.Partition)
	}
	return nil
}
