package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// markOvertaken is a request that came after those which followed it.
var markOvertaken = env.NewMark("update-metadata-overtaken")

// Cache holds the latest Snapshot. All its methods may be called from several tasks at once.
type Cache struct {
	current atomic.Pointer[Snapshot]
	mu      env.Mutex // one writer at a time
	changed env.Cond
}

// New makes an empty cache: no brokers, no topics, no controller.
func New(t env.Tasks) *Cache {
	mu := t.NewMutex()
	c := &Cache{mu: mu, changed: t.NewCond(mu)}
	c.current.Store(emptySnapshot())
	return c
}

// Snapshot is the latest state. It costs one atomic load.
func (c *Cache) Snapshot() *Snapshot { return c.current.Load() }

// WaitUntil waits until ready holds for the latest snapshot, and reports false if the deadline came first. ready is
// called with the cache's lock held: it must only look at the snapshot.
func (c *Cache) WaitUntil(deadline env.Instant, ready func(*Snapshot) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !ready(c.current.Load()) {
		if !c.changed.WaitUntil(deadline) {
			return ready(c.current.Load())
		}
	}
	return true
}

// Update applies a controller's UpdateMetadata request, v5 or later. The list of live brokers replaces the old one; partition
// states are laid over the old ones, and those with LeaderDuringDelete are removed and returned, sorted.
//
// A request of a controller older than the last one heard fails with STALE_CONTROLLER_EPOCH and changes nothing. The
// broker epoch in the request is not looked at: that check needs the broker's own and belongs to its caller. One that a later request of
// the same controller has overtaken changes nothing, and is no error.
//
// Source: ZkMetadataCache#updateMetadata.
func (c *Cache) Update(req *kmsg.UpdateMetadataRequest) (deleted []wire.TopicPartition, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current.Load()
	if req.ControllerEpoch < old.ControllerEpoch {
		return nil, fmt.Errorf("update metadata: controller %d epoch %d is older than %d: %w",
			req.ControllerID, req.ControllerEpoch, old.ControllerEpoch, kerr.StaleControllerEpoch)
	}
	if old.overtaken(req) {
		markOvertaken.Hit()
		return nil, nil
	}
	next := &Snapshot{ControllerID: req.ControllerID, ControllerEpoch: req.ControllerEpoch,
		Brokers: liveBrokers(req.LiveBrokers), topics: old.topics, ids: old.ids}
	if req.ControllerID < 0 {
		next.ControllerID = NoController
	}
	if len(req.TopicStates) > 0 {
		next.topics, next.ids = maps.Clone(old.topics), maps.Clone(old.ids)
		for i := range req.TopicStates {
			deleted = append(deleted, next.apply(&req.TopicStates[i])...)
		}
		slices.SortFunc(deleted, wire.TopicPartition.Compare)
	}
	c.current.Store(next)
	c.changed.Broadcast()
	return deleted, nil
}

// overtaken reports whether the request is older than what s has from the same controller. A controller that hears no answer sends a request
// again, on another connection and the next ones behind it; what was under way on the first may come last of all. It then holds
// some partition as it was before. One without partitions cannot be told. (Our own controllers number their requests: see replica.Manager.)
//
// DEVIATION(ZkMetadataCache): Kafka applies it, and believes in the brokers and leaders of back then until the controller has something else to tell.
func (s *Snapshot) overtaken(req *kmsg.UpdateMetadataRequest) bool {
	if req.ControllerEpoch != s.ControllerEpoch {
		return false
	}
	for i := range req.TopicStates {
		state := &req.TopicStates[i]
		topic := s.topics[state.Topic]
		if topic == nil || topic.ID != state.TopicID {
			continue
		}
		for j := range state.PartitionStates {
			p := &state.PartitionStates[j]
			if known := topic.Partition(p.Partition); known != nil && p.Leader != LeaderDuringDelete && p.ZKVersion < known.PartitionEpoch {
				return true
			}
		}
	}
	return false
}

func liveBrokers(live []kmsg.UpdateMetadataRequestLiveBroker) []*Broker {
	brokers := make([]*Broker, 0, len(live))
	for i := range live {
		b := &Broker{ID: live[i].ID}
		if live[i].Rack != nil {
			b.Rack = *live[i].Rack
		}
		for _, ep := range live[i].Endpoints {
			b.Endpoints = append(b.Endpoints, Endpoint{Listener: ep.ListenerName, SecurityProtocol: ep.SecurityProtocol,
				Host: ep.Host, Port: ep.Port})
		}
		brokers = append(brokers, b)
	}
	slices.SortFunc(brokers, func(a, b *Broker) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(brokers, func(a, b *Broker) bool { return a.ID == b.ID })
}

// apply lays the states of one topic over s, whose maps are its own already, and returns the partitions it removed.
func (s *Snapshot) apply(state *kmsg.UpdateMetadataRequestTopicState) (deleted []wire.TopicPartition) {
	topic := &Topic{Name: state.Topic, ID: state.TopicID}
	old := s.topics[state.Topic]
	merged := map[int32]*Partition{}
	if old != nil {
		if topic.ID == (TopicID{}) {
			topic.ID = old.ID
		}
		// Another id under the same name is another topic: nothing of the old one may shine through.
		if topic.ID == old.ID || old.ID == (TopicID{}) {
			for _, p := range old.Partitions {
				merged[p.TP.Partition] = p
			}
		}
		delete(s.ids, old.ID)
	}
	for i := range state.PartitionStates {
		p := &state.PartitionStates[i]
		tp := wire.TopicPartition{Topic: state.Topic, Partition: p.Partition}
		if p.Leader == LeaderDuringDelete {
			delete(merged, p.Partition)
			deleted = append(deleted, tp)
			continue
		}
		merged[p.Partition] = &Partition{TP: tp, ControllerEpoch: p.ControllerEpoch, Leader: p.Leader,
			LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.ZKVersion, ISR: slices.Clone(p.ISR),
			Replicas: slices.Clone(p.Replicas), Offline: slices.Clone(p.OfflineReplicas)}
	}
	if len(merged) == 0 {
		delete(s.topics, state.Topic)
		return deleted
	}
	for _, number := range slices.Sorted(maps.Keys(merged)) {
		topic.Partitions = append(topic.Partitions, merged[number])
	}
	s.topics[state.Topic] = topic
	if topic.ID != (TopicID{}) {
		s.ids[topic.ID] = topic.Name
	}
	assert.That(s.TopicByID(topic.ID) == topic || topic.ID == (TopicID{}), "INV-TOPIC-ID: %s is found by its id", topic.Name)
	return deleted
}
