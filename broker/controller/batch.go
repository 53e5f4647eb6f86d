package controller

import (
	"maps"
	"slices"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// wireRequest is a LeaderAndIsr, UpdateMetadata or StopReplica request.
type wireRequest = kmsg.Request

// Versions of the requests to brokers (KIP-866 is the latest for all three).
const (
	leaderAndISRVersion   = 7
	updateMetadataVersion = 8
	stopReplicaVersion    = 4
)

// Leaders and epochs with a meaning of their own on the wire (LeaderAndIsr).
const (
	leaderDuringDelete int32 = -2
	epochDuringDelete  int32 = -2
	epochNone          int32 = -1
)

// batch gathers whom to tell about which partitions during one event; what is told is read from the context only at
// the flush, so a partition that changed twice is told once (ControllerBrokerRequestBatch).
type batch struct {
	leaderAndISR map[int32]map[wire.TopicPartition]bool // broker → partition → is new
	stop         map[int32]map[wire.TopicPartition]bool // broker → partition → is to be deleted
	metadataTo   map[int32]bool
	metadata     map[wire.TopicPartition]bool
}

func newBatch() batch {
	return batch{leaderAndISR: map[int32]map[wire.TopicPartition]bool{}, stop: map[int32]map[wire.TopicPartition]bool{},
		metadataTo: map[int32]bool{}, metadata: map[wire.TopicPartition]bool{}}
}

// addLeaderAndISR tells brokers to lead or follow p, and everybody who leads it.
func (m *machine) addLeaderAndISR(p *partition, brokers []int32, isNew bool) {
	for _, id := range brokers {
		if m.batch.leaderAndISR[id] == nil {
			m.batch.leaderAndISR[id] = map[wire.TopicPartition]bool{}
		}
		m.batch.leaderAndISR[id][p.tp] = m.batch.leaderAndISR[id][p.tp] || isNew
	}
	m.addMetadata([]*partition{p})
}

// addStopReplica tells a broker to stop a replica, and perhaps to delete it.
func (m *machine) addStopReplica(r replica, remove bool) {
	if m.batch.stop[r.broker] == nil {
		m.batch.stop[r.broker] = map[wire.TopicPartition]bool{}
	}
	m.batch.stop[r.broker][r.tp] = m.batch.stop[r.broker][r.tp] || remove
}

// addMetadata tells every broker about partitions, and who is live.
func (m *machine) addMetadata(ps []*partition) { m.addMetadataTo(m.brokerIDs(), ps) }

// addMetadataTo is addMetadata for some brokers; partitions added for one go to all of a batch.
func (m *machine) addMetadataTo(brokers []int32, ps []*partition) {
	for _, id := range brokers {
		m.batch.metadataTo[id] = true
	}
	for _, p := range ps {
		m.batch.metadata[p.tp] = true
	}
}

// flush turns the batch into requests: for each broker at most one LeaderAndIsr, then one UpdateMetadata, then one
// StopReplica. Brokers that are gone get nothing.
func (m *machine) flush() {
	b := m.batch
	m.batch = newBatch()
	for _, id := range m.brokerIDs() {
		if tps := b.leaderAndISR[id]; len(tps) > 0 {
			m.send(id, m.leaderAndISRRequest(id, tps))
		}
	}
	m.sendMetadata(b)
	for _, id := range m.brokerIDs() {
		if tps := b.stop[id]; len(tps) > 0 {
			m.send(id, m.stopReplicaRequest(id, tps))
		}
	}
}

// flushMetadata sends the UpdateMetadata requests of the batch alone; the rest waits for flush.
func (m *machine) flushMetadata() {
	m.sendMetadata(m.batch)
	m.batch.metadataTo, m.batch.metadata = map[int32]bool{}, map[wire.TopicPartition]bool{}
}

func (m *machine) sendMetadata(b batch) {
	if len(b.metadataTo) == 0 {
		return
	}
	states := m.metadataStates(b.metadata)
	for _, id := range m.brokerIDs() {
		if b.metadataTo[id] {
			m.send(id, m.updateMetadataRequest(id, states))
		}
	}
}

// send numbers a request and puts it into the outbox.
//
// DEVIATION(KIP-380): Kafka's requests have no numbers. The sender tries again, on a new connection, what was not answered; the copy on the old one
// may come after the requests that followed it, and nothing in it need be older than what the broker has: a StopReplica that deletes, of a
// topic that has been made anew since, or an UpdateMetadata of brokers alone.
func (m *machine) send(broker int32, req wireRequest) {
	m.sequence++
	switch r := req.(type) {
	case *kmsg.LeaderAndISRRequest:
		wire.SetSequence(&r.UnknownTags, m.sequence)
	case *kmsg.UpdateMetadataRequest:
		wire.SetSequence(&r.UnknownTags, m.sequence)
	case *kmsg.StopReplicaRequest:
		wire.SetSequence(&r.UnknownTags, m.sequence)
	}
	m.outbox = append(m.outbox, outgoing{broker, req})
}

func sortedPartitions(tps map[wire.TopicPartition]bool) []wire.TopicPartition {
	return sortedPartitionsOf(tps)
}

func sortedPartitionsOf[V any](tps map[wire.TopicPartition]V) []wire.TopicPartition {
	return slices.SortedFunc(maps.Keys(tps), wire.TopicPartition.Compare)
}

func (m *machine) leaderAndISRRequest(broker int32, tps map[wire.TopicPartition]bool) *kmsg.LeaderAndISRRequest {
	req := kmsg.NewPtrLeaderAndISRRequest()
	req.Version = leaderAndISRVersion
	req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = m.config.BrokerID, m.fence.Epoch, m.brokers[broker].Epoch
	leaders := map[int32]bool{}
	for _, tp := range sortedPartitions(tps) {
		p := m.partition(tp)
		if p == nil || p.leadership == nil {
			continue
		}
		s := p.leadership
		if n := len(req.TopicStates); n == 0 || req.TopicStates[n-1].Topic != tp.Topic {
			t := kmsg.NewLeaderAndISRRequestTopicState()
			t.Topic, t.TopicID = tp.Topic, m.topics[tp.Topic].id
			req.TopicStates = append(req.TopicStates, t)
		}
		t := &req.TopicStates[len(req.TopicStates)-1]
		rp := kmsg.NewLeaderAndISRRequestTopicPartition()
		rp.Topic, rp.Partition, rp.ControllerEpoch = tp.Topic, tp.Partition, s.ControllerEpoch
		rp.Leader, rp.LeaderEpoch, rp.ISR, rp.ZKVersion = s.Leader, s.LeaderEpoch, s.ISR, s.PartitionEpoch
		rp.Replicas, rp.AddingReplicas, rp.RemovingReplicas = p.assignment.Replicas, p.assignment.Adding, p.assignment.Removing
		rp.IsNew, rp.LeaderRecoveryState = tps[tp], int8(s.Recovery)
		wire.SetISRMin(&rp.UnknownTags, s.ELRMin)
		t.PartitionStates = append(t.PartitionStates, rp)
		leaders[s.Leader] = true
	}
	for _, id := range m.brokerIDs() {
		if leaders[id] {
			l := kmsg.NewLeaderAndISRRequestLiveLeader()
			ep := interBroker(m.brokers[id])
			l.BrokerID, l.Host, l.Port = id, ep.Host, ep.Port
			req.LiveLeaders = append(req.LiveLeaders, l)
		}
	}
	return req
}

func (m *machine) metadataStates(tps map[wire.TopicPartition]bool) []kmsg.UpdateMetadataRequestTopicState {
	var states []kmsg.UpdateMetadataRequestTopicState
	for _, tp := range sortedPartitions(tps) {
		p := m.partition(tp)
		if p == nil || p.leadership == nil {
			continue
		}
		if n := len(states); n == 0 || states[n-1].Topic != tp.Topic {
			t := kmsg.NewUpdateMetadataRequestTopicState()
			t.Topic, t.TopicID = tp.Topic, m.topics[tp.Topic].id
			states = append(states, t)
		}
		t := &states[len(states)-1]
		s := p.leadership
		rp := kmsg.NewUpdateMetadataRequestTopicPartition()
		rp.Topic, rp.Partition, rp.ControllerEpoch = tp.Topic, tp.Partition, s.ControllerEpoch
		rp.Leader, rp.LeaderEpoch, rp.ISR, rp.ZKVersion = s.Leader, s.LeaderEpoch, s.ISR, s.PartitionEpoch
		if m.deleting[tp.Topic] {
			rp.Leader = leaderDuringDelete
		}
		rp.Replicas = p.assignment.Replicas
		rp.OfflineReplicas = keep(p.assignment.Replicas, func(id int32) bool { return !m.online(id, tp) })
		t.PartitionStates = append(t.PartitionStates, rp)
	}
	return states
}

func (m *machine) updateMetadataRequest(broker int32, states []kmsg.UpdateMetadataRequestTopicState) *kmsg.UpdateMetadataRequest {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.Version = updateMetadataVersion
	req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = m.config.BrokerID, m.fence.Epoch, m.brokers[broker].Epoch
	req.TopicStates = states
	for _, id := range m.brokerIDs() {
		b := m.brokers[id]
		live := kmsg.NewUpdateMetadataRequestLiveBroker()
		live.ID = id
		if b.Rack != "" {
			live.Rack = &b.Rack
		}
		for _, ep := range b.Endpoints {
			e := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
			e.Host, e.Port, e.ListenerName, e.SecurityProtocol = ep.Host, ep.Port, ep.Listener, zookeeper.SecurityProtocolID(ep.Protocol)
			live.Endpoints = append(live.Endpoints, e)
		}
		req.LiveBrokers = append(req.LiveBrokers, live)
	}
	return req
}

func (m *machine) stopReplicaRequest(broker int32, tps map[wire.TopicPartition]bool) *kmsg.StopReplicaRequest {
	req := kmsg.NewPtrStopReplicaRequest()
	req.Version = stopReplicaVersion
	req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = m.config.BrokerID, m.fence.Epoch, m.brokers[broker].Epoch
	for _, tp := range sortedPartitions(tps) {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic {
			t := kmsg.NewStopReplicaRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		rp := kmsg.NewStopReplicaRequestTopicPartitionState()
		rp.Partition, rp.Delete, rp.LeaderEpoch = tp.Partition, tps[tp], epochNone
		if p := m.partition(tp); m.deleting[tp.Topic] {
			rp.LeaderEpoch = epochDuringDelete
		} else if p != nil && p.leadership != nil {
			rp.LeaderEpoch = p.leadership.LeaderEpoch
		}
		t.PartitionStates = append(t.PartitionStates, rp)
	}
	return req
}

// interBroker is the endpoint at which brokers reach each other: the first PLAINTEXT one.
func interBroker(b zookeeper.BrokerInfo) zookeeper.Endpoint {
	for _, ep := range b.Endpoints {
		if ep.Protocol == "PLAINTEXT" {
			return ep
		}
	}
	if len(b.Endpoints) > 0 {
		return b.Endpoints[0]
	}
	return zookeeper.Endpoint{Port: -1}
}
