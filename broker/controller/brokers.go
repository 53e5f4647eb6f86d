package controller

import (
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokersChanged compares the registrations with what is known: brokers that are new, that have bounced (another
// broker epoch: another life), that are dead, or that have moved (KafkaController#processBrokerChange).
func (m *machine) brokersChanged(now []zookeeper.BrokerInfo) error {
	var started, bounced, died []int32
	current := map[int32]zookeeper.BrokerInfo{}
	moved := false
	for _, b := range now {
		current[b.ID] = b
		old, known := m.brokers[b.ID]
		switch {
		case !known:
			started = append(started, b.ID)
		case old.Epoch != b.Epoch:
			bounced = append(bounced, b.ID)
		case !slices.Equal(old.Endpoints, b.Endpoints) || old.Rack != b.Rack:
			m.brokers[b.ID] = b
			moved = true
		}
	}
	for _, id := range m.brokerIDs() {
		if _, there := current[id]; !there {
			died = append(died, id)
		}
	}
	if moved {
		m.addMetadata(nil)
		m.flush()
	}
	for _, id := range started {
		m.brokers[id] = current[id]
	}
	if err := m.brokersStarted(started); err != nil {
		return err
	}
	if err := m.brokersDied(bounced); err != nil {
		return err
	}
	for _, id := range bounced {
		m.brokers[id] = current[id]
	}
	if err := m.brokersStarted(bounced); err != nil {
		return err
	}
	return m.brokersDied(died)
}

// brokersStarted welcomes brokers that are in m.brokers already (onBrokerStartup).
func (m *machine) brokersStarted(ids []int32) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		delete(m.offlineDirs, id)
		m.emit(env.Event{Kind: evBrokerOnline, V: [4]int64{int64(id), m.brokers[id].Epoch}})
	}
	// The others hear that they are there, and they hear everything, before anybody is told to follow anybody.
	m.addMetadataTo(keep(m.brokerIDs(), func(id int32) bool { return !slices.Contains(ids, id) }), nil)
	m.flush()
	m.addMetadataTo(ids, m.partitions())
	m.flush()
	replicas := m.replicasOn(ids...)
	m.replicasOnline(replicas)
	if err := m.triggerOnline(); err != nil {
		return err
	}
	m.flush()
	if err := m.resumeReassignments(ids); err != nil {
		return err
	}
	return m.retryDeletions(replicas)
}

// brokersDied deals with brokers whose registration is gone (onBrokerFailure).
func (m *machine) brokersDied(ids []int32) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		m.emit(env.Event{Kind: evBrokerOffline, V: [4]int64{int64(id), m.brokers[id].Epoch}})
		delete(m.brokers, id)
		delete(m.shuttingDown, id)
		delete(m.offlineDirs, id)
	}
	m.addMetadata(nil) // whatever else changes, everybody hears that they are gone
	if err := m.replicasDown(m.replicasOn(ids...)); err != nil {
		return err
	}
	m.flush()
	return nil
}

// leaderAndISRAnswered takes a broker's answer. A replica with KAFKA_STORAGE_ERROR is on a failed log directory: it
// is offline although its broker lives; one without error is (again) online.
func (m *machine) leaderAndISRAnswered(broker int32, resp *kmsg.LeaderAndISRResponse) error {
	if resp.ErrorCode != 0 {
		m.refused(broker, resp.Key(), resp.ErrorCode)
		return nil
	}
	before := m.offlineDirs[broker]
	var down []replica
	for i := range resp.Topics {
		name, known := m.topicNames[resp.Topics[i].TopicID]
		if !known {
			continue
		}
		for _, answer := range resp.Topics[i].Partitions {
			tp := wire.TopicPartition{Topic: name, Partition: answer.Partition}
			p := m.partition(tp)
			switch {
			case p == nil || !slices.Contains(p.assignment.Replicas, broker):
			case answer.ErrorCode == kerr.KafkaStorageError.Code:
				if !before[tp] {
					down = append(down, replica{p, broker})
				}
			case answer.ErrorCode == 0:
				delete(before, tp)
			default:
				m.emit(env.Event{Kind: evReplicaDown, Topic: tp.Topic, Partition: tp.Partition, V: [4]int64{int64(broker), int64(answer.ErrorCode)}})
			}
		}
	}
	if len(down) == 0 {
		return nil
	}
	if before == nil {
		before = map[wire.TopicPartition]bool{}
		m.offlineDirs[broker] = before
	}
	slices.SortFunc(down, func(a, b replica) int { return a.tp.Compare(b.tp) })
	for _, r := range down {
		before[r.tp] = true
		m.emit(env.Event{Kind: evReplicaDown, Topic: r.tp.Topic, Partition: r.tp.Partition, V: [4]int64{int64(broker), int64(kerr.KafkaStorageError.Code)}})
	}
	if err := m.replicasDown(down); err != nil {
		return err
	}
	m.flush()
	return nil
}

// logDirsFailed asks brokers that reported a failed log directory about all their replicas: the answers to LeaderAndIsr tell
// which are offline (onBrokerLogDirFailure).
func (m *machine) logDirsFailed(brokers []int32) {
	m.replicasOnline(m.replicasOn(brokers...))
	m.flush()
}

// controlledShutdown moves everything away from a broker that is going down: its leaders to other members of the ISR, its
// followers out of the ISR (KafkaController#doControlledShutdown).
func (m *machine) controlledShutdown(req *kmsg.ControlledShutdownRequest) (*kmsg.ControlledShutdownResponse, error) {
	resp := req.ResponseKind().(*kmsg.ControlledShutdownResponse)
	broker, up := m.brokers[req.BrokerID]
	switch {
	case !up:
		resp.ErrorCode = kerr.BrokerNotAvailable.Code
		return resp, nil
	case req.Version >= 2 && req.BrokerEpoch >= 0 && req.BrokerEpoch < broker.Epoch:
		resp.ErrorCode = kerr.StaleBrokerEpoch.Code
		return resp, nil
	}
	m.shuttingDown[broker.ID] = true
	var led, followed []*partition
	for _, r := range m.replicasOn(broker.ID) {
		switch {
		case len(r.assignment.Replicas) < 2 || r.leadership == nil || m.deleting[r.tp.Topic]:
		case r.led(broker.ID):
			led = append(led, r.partition)
		default:
			followed = append(followed, r.partition)
		}
	}
	if err := m.partitionsOnline(led, electShutdown); err != nil {
		return nil, err
	}
	var followers []replica
	for _, p := range followed {
		followers = append(followers, replica{p, broker.ID})
	}
	if err := m.replicasOffline(followers, false); err != nil {
		return nil, err
	}
	for _, r := range m.replicasOn(broker.ID) {
		if r.led(broker.ID) && len(r.assignment.Replicas) > 1 && !m.deleting[r.tp.Topic] {
			left := kmsg.NewControlledShutdownResponsePartitionsRemaining()
			left.Topic, left.Partition = r.tp.Topic, r.tp.Partition
			resp.PartitionsRemaining = append(resp.PartitionsRemaining, left)
		}
	}
	m.emit(env.Event{Kind: evBrokerLeaving, V: [4]int64{int64(broker.ID), int64(len(resp.PartitionsRemaining))}})
	m.flush()
	return resp, nil
}

// refused records that a broker refused a whole request. Nothing else needs doing: STALE_BROKER_EPOCH comes of a bounce
// whose watch is under way, STALE_CONTROLLER_EPOCH of a successor whose election is.
func (m *machine) refused(broker int32, key, code int16) {
	m.emit(env.Event{Kind: evRefused, V: [4]int64{int64(broker), int64(key), int64(code)}})
}
