package controller

import (
	"maps"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic deletion goes on over failures of brokers and of the controller (TopicDeletionManager):
//
//	mark in /admin/delete_topics
//	→ partitions gone, brokers told to forget the topic (UpdateMetadata with leader -2)
//	→ replicas stopped (StopReplica without delete), then deleted (StopReplica with delete)
//	→ each replica deletion-successful, or ineligible when its broker is down or failed
//	→ all successful: znodes removed, the mark last
//
// A topic with an ineligible replica waits until that replica's broker comes back.

// startDeletions takes up the deletions that a new controller finds marked (TopicDeletionManager#init).
func (m *machine) startDeletions(marked []string) error {
	for _, name := range marked {
		t := m.topics[name]
		if t == nil || !m.config.DeleteTopicEnable {
			if err := m.store.ClearTopicDeletion(m.fence, name); err != nil {
				return err
			}
			continue
		}
		m.deleting[name] = true
		for _, r := range replicasOf(t.sorted()) {
			if !m.online(r.broker, r.tp) {
				m.ineligible[name] = true
			}
		}
	}
	return nil
}

// deletionsMarked takes up what stands in /admin/delete_topics now. The topics are up to date with ZooKeeper.
func (m *machine) deletionsMarked(marked []string) error {
	for _, name := range marked {
		switch {
		case m.deleting[name]:
		case m.topics[name] == nil || !m.config.DeleteTopicEnable:
			if err := m.store.ClearTopicDeletion(m.fence, name); err != nil {
				return err
			}
		default:
			m.deleting[name] = true
			m.emit(env.Event{Kind: evTopicDeleting, Topic: name})
		}
	}
	return m.resumeDeletions()
}

// resumeDeletions does for every topic marked for deletion what can be done now.
func (m *machine) resumeDeletions() error {
	var begin []string
	for _, name := range slices.Sorted(maps.Keys(m.deleting)) {
		replicas := replicasOf(m.topics[name].sorted())
		count := map[replicaPhase]int{}
		for _, r := range replicas {
			count[r.replicas[r.broker]]++
		}
		switch {
		case count[deletionSuccessful] == len(replicas):
			if err := m.completeDeletion(name); err != nil {
				return err
			}
			continue
		case count[deletionStarted] == 0 && count[deletionIneligible] > 0 && !m.ineligible[name]:
			failed := slices.DeleteFunc(replicas, func(r replica) bool { return r.replicas[r.broker] != deletionIneligible })
			if err := m.replicasOffline(failed, true); err != nil {
				return err
			}
		}
		if count[deletionStarted] == 0 && !m.ineligible[name] {
			begin = append(begin, name)
		}
	}
	return m.beginDeletions(begin)
}

// beginDeletions has the replicas of topics deleted, for the first time or again (TopicDeletionManager#onTopicDeletion).
func (m *machine) beginDeletions(names []string) error {
	if len(names) == 0 {
		return nil
	}
	var ps []*partition
	for _, name := range names {
		ps = append(ps, m.topics[name].sorted()...)
		if !m.begun[name] {
			m.begun[name] = true
			for _, p := range m.topics[name].sorted() {
				p.phase = partitionGone
			}
		}
	}
	m.addMetadata(ps) // brokers stop serving the topics
	var alive []replica
	for _, r := range replicasOf(ps) {
		switch {
		case !m.online(r.broker, r.tp):
			r.move(replicaOffline)
			r.move(deletionIneligible)
			m.ineligible[r.tp.Topic] = true
		case r.replicas[r.broker] != deletionSuccessful:
			alive = append(alive, r)
		}
	}
	// First they all stop, so that nobody fetches from a leader that is deleting; then they delete.
	if err := m.replicasOffline(alive, true); err != nil {
		return err
	}
	m.flush()
	for _, r := range alive {
		if r.move(deletionStarted) {
			m.addStopReplica(r, true)
		}
	}
	m.flush()
	// A topic without replicas, if there is such a thing, has nobody whose answer would complete it.
	for _, name := range names {
		if len(replicasOf(m.topics[name].sorted())) == 0 {
			if err := m.completeDeletion(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// stopReplicaAnswered takes a broker's answer to a StopReplica that may have been one with delete.
func (m *machine) stopReplicaAnswered(broker int32, req *kmsg.StopReplicaRequest, resp *kmsg.StopReplicaResponse) error {
	if resp.ErrorCode != 0 {
		m.refused(broker, resp.Key(), resp.ErrorCode)
	}
	codes := map[wire.TopicPartition]int16{}
	for _, answer := range resp.Partitions {
		codes[wire.TopicPartition{Topic: answer.Topic, Partition: answer.Partition}] = answer.ErrorCode
	}
	var done, failed []replica
	for i := range req.Topics {
		for _, asked := range req.Topics[i].PartitionStates {
			tp := wire.TopicPartition{Topic: req.Topics[i].Topic, Partition: asked.Partition}
			p := m.partition(tp)
			if !asked.Delete || p == nil || !m.deleting[tp.Topic] || p.replicas[broker] != deletionStarted {
				continue
			}
			code, answered := codes[tp]
			switch {
			case resp.ErrorCode != 0 || !answered:
				failed = append(failed, replica{p, broker})
			case code == 0 || code == kerr.UnknownTopicOrPartition.Code:
				done = append(done, replica{p, broker})
			default:
				failed = append(failed, replica{p, broker})
			}
		}
	}
	for _, r := range done {
		r.move(deletionSuccessful)
	}
	if err := m.failDeletions(failed); err != nil {
		return err
	}
	if len(done) > 0 {
		if err := m.resumeDeletions(); err != nil {
			return err
		}
	}
	m.flush()
	return nil
}

// failDeletions records that replicas cannot be deleted now: their topics wait for their brokers to come back.
func (m *machine) failDeletions(rs []replica) error {
	if len(rs) == 0 {
		return nil
	}
	for _, r := range rs {
		if r.replicas[r.broker] == replicaOnline || r.replicas[r.broker] == replicaNew {
			r.move(replicaOffline)
		}
		r.move(deletionIneligible)
		m.ineligible[r.tp.Topic] = true
	}
	return m.resumeDeletions()
}

// retryDeletions goes on with the deletions that waited for brokers that are back now.
func (m *machine) retryDeletions(back []replica) error {
	waiting := false
	for _, r := range back {
		if m.deleting[r.tp.Topic] {
			waiting = true
			delete(m.ineligible, r.tp.Topic)
		}
	}
	if !waiting {
		return nil
	}
	err := m.resumeDeletions()
	m.flush()
	return err
}

// completeDeletion removes the last of a topic: its znodes.
func (m *machine) completeDeletion(name string) error {
	for _, r := range replicasOf(m.topics[name].sorted()) {
		r.move(replicaNone)
	}
	if err := m.store.DeleteTopic(m.fence, name); err != nil {
		return err
	}
	m.removeTopic(name)
	m.emit(env.Event{Kind: evTopicDeleted, Topic: name})
	return nil
}
