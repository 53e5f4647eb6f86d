package controller

import (
	"maps"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// topicsFound compares the topics in ZooKeeper with what is known: read holds those that were read because they are
// new or have changed, names is the whole list (KafkaController#processTopicChange, #processPartitionModifications).
func (m *machine) topicsFound(names []string, read map[string]zookeeper.TopicAssignment) error {
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(m.topics)) {
		if !there[name] { // somebody removed the znode: as Kafka, forget it
			m.removeTopic(name)
		}
	}
	return m.topicsRead(read)
}

// topicsRead takes up topics and partitions that are not known yet.
func (m *machine) topicsRead(read map[string]zookeeper.TopicAssignment) error {
	var added []*partition
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if m.deleting[name] {
			continue // no new partitions for a topic that goes; its znode goes with it
		}
		old := m.topics[name]
		if old != nil && old.id != read[name].ID && read[name].ID != ([16]byte{}) {
			m.removeTopic(name) // deleted and made again behind our back
			old = nil
		}
		known := map[int32]bool{}
		if old != nil {
			for n := range old.partitions {
				known[n] = true
			}
		}
		if err := m.learnTopic(name, read[name]); err != nil {
			return err
		}
		t := m.topics[name]
		if t == nil {
			continue
		}
		if old == nil {
			m.emit(env.Event{Kind: evTopicCreated, Topic: name, V: [4]int64{int64(len(t.partitions))}})
		}
		for _, p := range t.sorted() {
			if !known[p.tp.Partition] {
				added = append(added, p)
			}
		}
	}
	if err := m.partitionsAdded(added); err != nil {
		return err
	}
	m.flush()
	return nil
}

// partitionsAdded brings new partitions and their replicas to life (onNewPartitionCreation).
func (m *machine) partitionsAdded(ps []*partition) error {
	if len(ps) == 0 {
		return nil
	}
	replicas := replicasOf(ps)
	for _, r := range replicas {
		r.move(replicaNew)
	}
	if err := m.partitionsOnline(ps, electOffline); err != nil {
		return err
	}
	m.replicasOnline(replicas)
	return nil
}

// createTopic writes a new topic's znodes and brings it to life. ErrNodeExists if there is one already.
func (m *machine) createTopic(name string, partitions map[int32]zookeeper.ReplicaAssignment, configs map[string]string) error {
	t := zookeeper.TopicAssignment{ID: m.newID(), Partitions: partitions}
	if err := m.store.CreateTopic(m.fence, name, t, configs); err != nil {
		return tooLargeToWrite(err)
	}
	return m.topicsRead(map[string]zookeeper.TopicAssignment{name: t})
}

// isrsChanged reads the partitions of topics whose ISRs old brokers have changed themselves, and tells everybody
// (KafkaController#processIsrChangeNotification).
func (m *machine) isrsChanged(topics []string) error {
	var ps []*partition
	for _, name := range topics {
		if t := m.topics[name]; t != nil && !m.deleting[name] {
			ps = append(ps, t.sorted()...)
		}
	}
	if err := m.refresh(ps); err != nil {
		return err
	}
	m.addMetadata(ps)
	if err := m.finishReassignments(ps); err != nil {
		return err
	}
	m.flush()
	return nil
}
