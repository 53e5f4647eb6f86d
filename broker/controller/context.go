package controller

import (
	"maps"
	"slices"

	"barnabas/broker/assert"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
)

// noLeader is the leader of a partition without one (LeaderAndIsr.NoLeader).
const noLeader int32 = -1

// partitionPhase is where a partition stands in its life (PartitionState).
type partitionPhase uint8

const (
	partitionNew     partitionPhase = iota // assigned, and never had a leader
	partitionOnline                        // has a live leader
	partitionOffline                       // had one
	partitionGone                          // its topic is being deleted (NonExistentPartition)
)

func (p partitionPhase) String() string {
	return [...]string{"new", "online", "offline", "gone"}[p]
}

// replicaPhase is where a replica stands in its life (ReplicaState).
type replicaPhase uint8

const (
	replicaNone replicaPhase = iota // NonExistentReplica
	replicaNew
	replicaOnline
	replicaOffline
	deletionStarted
	deletionSuccessful
	deletionIneligible // its broker is down, or failed to delete it
)

func (p replicaPhase) String() string {
	return [...]string{"none", "new", "online", "offline", "deletion-started", "deletion-successful", "deletion-ineligible"}[p]
}

// partition is what the controller knows about one partition.
type partition struct {
	tp         wire.TopicPartition
	assignment zookeeper.ReplicaAssignment
	phase      partitionPhase
	leadership *zookeeper.PartitionState // as in its znode; nil before the first election
	replicas   map[int32]replicaPhase    // of the brokers in the assignment
}

// led reports whether the broker leads the partition.
func (p *partition) led(broker int32) bool {
	return p.leadership != nil && p.leadership.Leader == broker
}

// topic is what the controller knows about one topic.
type topic struct {
	name       string
	id         [16]byte
	version    int32 // of its znode
	partitions map[int32]*partition
}

// sorted lists the topic's partitions by number.
func (t *topic) sorted() []*partition {
	var ps []*partition
	for _, n := range slices.Sorted(maps.Keys(t.partitions)) {
		ps = append(ps, t.partitions[n])
	}
	return ps
}

// clusterContext is everything the controller knows about the cluster (ControllerContext). It has one owner, the
// machine, and no lock. Whatever it hands out in a list is sorted.
type clusterContext struct {
	fence        zookeeper.Fence
	brokers      map[int32]zookeeper.BrokerInfo // live ones, those shutting down included
	shuttingDown map[int32]bool                 // asked for a controlled shutdown; a subset of brokers
	topics       map[string]*topic
	topicNames   map[[16]byte]string
	offlineDirs  map[int32]map[wire.TopicPartition]bool // replicas, by broker, that answered KAFKA_STORAGE_ERROR

	minISRs map[string]int // the topics' own min.insync.replicas as far as they were needed, 0 for none

	deleting   map[string]bool // topics to be deleted
	begun      map[string]bool // of those: their partitions have been taken offline
	ineligible map[string]bool // of those: cannot be deleted now, since a broker is down

	all []*partition // every partition, sorted; nil when it must be made anew
}

func newContext(fence zookeeper.Fence) *clusterContext {
	return &clusterContext{fence: fence, brokers: map[int32]zookeeper.BrokerInfo{}, shuttingDown: map[int32]bool{},
		topics: map[string]*topic{}, topicNames: map[[16]byte]string{}, offlineDirs: map[int32]map[wire.TopicPartition]bool{},
		minISRs:  map[string]int{},
		deleting: map[string]bool{}, begun: map[string]bool{}, ineligible: map[string]bool{}}
}

// partitions lists all partitions, sorted.
func (c *clusterContext) partitions() []*partition {
	if c.all == nil {
		for _, name := range slices.Sorted(maps.Keys(c.topics)) {
			c.all = append(c.all, c.topics[name].sorted()...)
		}
	}
	return c.all
}

// partitionsWhere lists the partitions for which keep holds, sorted.
func (c *clusterContext) partitionsWhere(keep func(*partition) bool) []*partition {
	var ps []*partition
	for _, p := range c.partitions() {
		if keep(p) {
			ps = append(ps, p)
		}
	}
	return ps
}

// partition returns a partition, or nil.
func (c *clusterContext) partition(tp wire.TopicPartition) *partition {
	if t := c.topics[tp.Topic]; t != nil {
		return t.partitions[tp.Partition]
	}
	return nil
}

// replicasOn lists the replicas on some brokers, sorted.
func (c *clusterContext) replicasOn(brokers ...int32) []replica {
	var rs []replica
	for _, p := range c.partitions() {
		for _, broker := range p.assignment.Replicas {
			if slices.Contains(brokers, broker) {
				rs = append(rs, replica{p, broker})
			}
		}
	}
	return rs
}

// replica is one replica of a partition.
type replica struct {
	*partition
	broker int32
}

func replicasOf(ps []*partition) []replica {
	var rs []replica
	for _, p := range ps {
		for _, broker := range p.assignment.Replicas {
			rs = append(rs, replica{p, broker})
		}
	}
	return rs
}

// live reports whether a broker is up and not about to go down (liveBrokerIds).
func (c *clusterContext) live(broker int32) bool {
	_, up := c.brokers[broker]
	return up && !c.shuttingDown[broker]
}

// online reports whether a replica can serve: its broker is live, and its log directory too (isReplicaOnline).
func (c *clusterContext) online(broker int32, tp wire.TopicPartition) bool {
	return c.live(broker) && !c.offlineDirs[broker][tp]
}

// up is online, but a broker that is shutting down counts.
func (c *clusterContext) up(broker int32, tp wire.TopicPartition) bool {
	_, up := c.brokers[broker]
	return up && !c.offlineDirs[broker][tp]
}

// brokerIDs lists the brokers that requests can be sent to (liveOrShuttingDownBrokerIds), sorted.
func (c *clusterContext) brokerIDs() []int32 { return slices.Sorted(maps.Keys(c.brokers)) }

// leaderOnline reports whether the partition has a leader that can serve.
func (c *clusterContext) leaderOnline(p *partition) bool {
	return p.leadership != nil && c.online(p.leadership.Leader, p.tp)
}

// putTopic adds a topic, or replaces what is known of its id and version; its partitions are put one by one.
func (c *clusterContext) putTopic(name string, id [16]byte, version int32) *topic {
	t := c.topics[name]
	if t == nil {
		t = &topic{name: name, partitions: map[int32]*partition{}}
		c.topics[name] = t
	}
	t.id, t.version = id, version
	if id != ([16]byte{}) {
		other, taken := c.topicNames[id]
		assert.That(!taken || other == name, "INV-TOPIC-ID: %s and %s have the same id", other, name)
		c.topicNames[id] = name
	}
	c.all = nil
	return t
}

// putPartition adds a partition that is not known yet, as new, with replicas that do not exist.
func (c *clusterContext) putPartition(t *topic, number int32, assignment zookeeper.ReplicaAssignment) *partition {
	p := &partition{tp: wire.TopicPartition{Topic: t.name, Partition: number}, assignment: assignment,
		phase: partitionNew, replicas: map[int32]replicaPhase{}}
	t.partitions[number] = p
	c.all = nil
	return p
}

// removeTopic forgets a topic.
func (c *clusterContext) removeTopic(name string) {
	if t := c.topics[name]; t != nil {
		delete(c.topicNames, t.id)
		for broker := range c.offlineDirs {
			for _, p := range t.partitions {
				delete(c.offlineDirs[broker], p.tp)
			}
		}
	}
	delete(c.topics, name)
	delete(c.deleting, name)
	delete(c.begun, name)
	delete(c.ineligible, name)
	delete(c.minISRs, name)
	c.all = nil
}

// setLeadership records what has been written to, or read from, a partition's state znode.
func (c *clusterContext) setLeadership(p *partition, s zookeeper.PartitionState) {
	if old := p.leadership; old != nil {
		assert.That(s.LeaderEpoch >= old.LeaderEpoch, "INV-EPOCH-MONOTONIC: %s leader epoch %d after %d", p.tp, s.LeaderEpoch, old.LeaderEpoch)
		assert.That(s.PartitionEpoch >= old.PartitionEpoch, "INV-EPOCH-MONOTONIC: %s partition epoch %d after %d", p.tp, s.PartitionEpoch, old.PartitionEpoch)
	}
	p.leadership = &s
}
