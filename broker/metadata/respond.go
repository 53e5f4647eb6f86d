package metadata

import (
	"slices"
	"strconv"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// operationsUnknown is how a response says that nobody asked for the authorized operations.
const operationsUnknown int32 = -2147483648

// Metadata answers a Metadata request, v0 to v13, for the endpoints of listener. A topic that is not known gets
// UNKNOWN_TOPIC_OR_PARTITION, or UNKNOWN_TOPIC_ID where it was asked for by id; the caller may create it and ask again.
//
// Source: KafkaApis#handleTopicMetadataRequest, ZkMetadataCache#getTopicMetadata.
func (s *Snapshot) Metadata(req *kmsg.MetadataRequest, clusterID, listener string) *kmsg.MetadataResponse {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.ClusterID = &clusterID
	resp.ControllerID = s.controllerFor(listener)
	resp.AuthorizedOperations = operationsUnknown
	for _, b := range s.Brokers {
		ep := b.Endpoint(listener)
		if ep == nil {
			continue
		}
		rb := kmsg.NewMetadataResponseBroker()
		rb.NodeID, rb.Host, rb.Port, rb.Rack = b.ID, ep.Host, ep.Port, rackPointer(b.Rack)
		resp.Brokers = append(resp.Brokers, rb)
	}
	// v0 has no null: an empty list asks for all topics there, for none later.
	if req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0) {
		for _, t := range s.Topics() {
			resp.Topics = append(resp.Topics, s.TopicMetadata(t, req.Version, listener))
		}
		return resp
	}
	asked := distinct(req.Topics)
	for i := range asked {
		resp.Topics = append(resp.Topics, s.requestedTopic(&asked[i], req.Version, listener))
	}
	return resp
}

// distinct is what a request asks for, each topic once, where it is named first; of a request that has any topic id, the ids alone
// (KafkaApis#handleTopicMetadataRequest, which makes sets of both).
func distinct(asked []kmsg.MetadataRequestTopic) []kmsg.MetadataRequestTopic {
	if len(asked) < 2 {
		return asked
	}
	byID := slices.ContainsFunc(asked, func(t kmsg.MetadataRequestTopic) bool { return t.TopicID != TopicID{} })
	type key struct {
		id   TopicID
		name string
	}
	seen := make(map[key]bool, len(asked))
	var out []kmsg.MetadataRequestTopic
	for _, t := range asked {
		k := key{id: t.TopicID}
		if !byID && t.Topic != nil {
			k.name = *t.Topic
		}
		if seen[k] || byID && k.id == (TopicID{}) {
			continue
		}
		seen[k] = true
		out = append(out, t)
	}
	return out
}

func (s *Snapshot) requestedTopic(asked *kmsg.MetadataRequestTopic, version int16, listener string) kmsg.MetadataResponseTopic {
	var topic *Topic
	missing := kerr.UnknownTopicOrPartition
	switch {
	case asked.TopicID != (TopicID{}):
		topic, missing = s.TopicByID(asked.TopicID), kerr.UnknownTopicID
	case asked.Topic != nil:
		topic = s.Topic(*asked.Topic)
	}
	if topic != nil {
		return s.TopicMetadata(topic, version, listener)
	}
	rt := kmsg.NewMetadataResponseTopic()
	rt.ErrorCode, rt.TopicID = missing.Code, asked.TopicID
	if asked.TopicID == (TopicID{}) {
		rt.Topic = asked.Topic
	}
	rt.AuthorizedOperations = operationsUnknown
	if rt.Topic != nil {
		rt.IsInternal = IsInternal(*rt.Topic)
	} else if version < 12 {
		rt.Topic = new(string) // the name may be null from v12 on
	}
	return rt
}

// TopicMetadata is the part of a Metadata response of the given version about one topic.
func (s *Snapshot) TopicMetadata(t *Topic, version int16, listener string) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	name := t.Name
	rt.Topic, rt.TopicID, rt.IsInternal = &name, t.ID, t.Internal()
	rt.AuthorizedOperations = operationsUnknown
	for _, p := range t.Partitions {
		rp := kmsg.NewMetadataResponseTopicPartition()
		rp.Partition, rp.Leader, rp.LeaderEpoch = p.TP.Partition, p.Leader, p.LeaderEpoch
		rp.Replicas, rp.ISR, rp.OfflineReplicas = p.Replicas, p.ISR, p.Offline
		if version == 0 { // such clients cannot bear a replica that is not among the brokers
			rp.Replicas, rp.ISR = s.reachable(p.Replicas, listener), s.reachable(p.ISR, listener)
		}
		leader := s.Broker(p.Leader)
		switch {
		case leader == nil:
			rp.ErrorCode, rp.Leader = kerr.LeaderNotAvailable.Code, NoLeader
		case leader.Endpoint(listener) == nil:
			rp.ErrorCode, rp.Leader = kerr.ListenerNotFound.Code, NoLeader
			if version < 6 {
				rp.ErrorCode = kerr.LeaderNotAvailable.Code
			}
		case len(rp.Replicas) < len(p.Replicas) || len(rp.ISR) < len(p.ISR):
			rp.ErrorCode = kerr.ReplicaNotAvailable.Code
		}
		rt.Partitions = append(rt.Partitions, rp)
	}
	return rt
}

// DescribeCluster answers a DescribeCluster request, v0 to v1 (v2 in so far as no broker is fenced in ZooKeeper mode).
func (s *Snapshot) DescribeCluster(req *kmsg.DescribeClusterRequest, clusterID, listener string) *kmsg.DescribeClusterResponse {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ClusterAuthorizedOperations = operationsUnknown
	if req.Version >= 1 && req.EndpointType != 1 { // 1: brokers; there are no KRaft controllers here
		refusal := kerr.UnsupportedEndpointType
		if req.EndpointType == 2 { // controllers
			refusal = kerr.MismatchedEndpointType
		}
		text := "this is a broker, not an endpoint of type " + strconv.Itoa(int(req.EndpointType))
		resp.ErrorCode, resp.ErrorMessage = refusal.Code, &text
		return resp
	}
	resp.EndpointType = 1
	resp.ClusterID, resp.ControllerID = clusterID, s.controllerFor(listener)
	for _, b := range s.Brokers {
		if ep := b.Endpoint(listener); ep != nil {
			rb := kmsg.NewDescribeClusterResponseBroker()
			rb.NodeID, rb.Host, rb.Port, rb.Rack = b.ID, ep.Host, ep.Port, rackPointer(b.Rack)
			resp.Brokers = append(resp.Brokers, rb)
		}
	}
	return resp
}

// LeadersKnown reports whether every one of the topic's partitions 0 to count-1 has a live leader, which is what a
// CreateTopics waits for (DelayedCreatePartitions).
func (s *Snapshot) LeadersKnown(topic string, count int32) bool {
	for number := range count {
		p := s.Partition(wire.TopicPartition{Topic: topic, Partition: number})
		if p == nil || !s.Alive(p.Leader) {
			return false
		}
	}
	return true
}

// Endpoint returns the broker's endpoint of this listener, or nil.
func (b *Broker) Endpoint(listener string) *Endpoint {
	for i := range b.Endpoints {
		if b.Endpoints[i].Listener == listener {
			return &b.Endpoints[i]
		}
	}
	return nil
}

// controllerFor is the controller's id if it can be reached at listener: clients take any id for one of the brokers.
func (s *Snapshot) controllerFor(listener string) int32 {
	if b := s.Broker(s.ControllerID); b != nil && b.Endpoint(listener) != nil {
		return s.ControllerID
	}
	return NoController
}

func (s *Snapshot) reachable(ids []int32, listener string) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool {
		b := s.Broker(id)
		return b == nil || b.Endpoint(listener) == nil
	})
}

func rackPointer(rack string) *string {
	if rack == "" {
		return nil
	}
	return &rack
}
