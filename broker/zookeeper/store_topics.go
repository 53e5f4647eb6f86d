package zookeeper

import (
	"cmp"
	"errors"
	"slices"
)

// Topics lists the names of all topics, sorted; with watch an event comes when one is created or removed.
func (s *Store) Topics(watch bool) ([]string, error) { return s.children(PathTopics, watch) }

// Topic reads a topic's assignment; with watch an event comes when it changes. ErrNoNode if there is no such topic.
func (s *Store) Topic(topic string, watch bool) (TopicAssignment, error) {
	data, stat, err := s.get(PathTopic(topic), watch)
	if err != nil {
		return TopicAssignment{}, err
	}
	t, err := DecodeTopic(topic, data)
	t.Version = stat.Version
	return t, err
}

// TopicAssignments reads many topics; those that do not exist are missing in the result.
func (s *Store) TopicAssignments(topics []string, watch bool) (map[string]TopicAssignment, error) {
	read := make([]*TopicAssignment, len(topics))
	err := s.each(len(topics), func(i int) error {
		t, err := s.Topic(topics[i], watch)
		if errors.Is(err, ErrNoNode) {
			return nil
		}
		read[i] = &t
		return err
	})
	if err != nil {
		return nil, err
	}
	found := map[string]TopicAssignment{}
	for i, t := range read {
		if t != nil {
			found[topics[i]] = *t
		}
	}
	return found, nil
}

// CreateTopic writes a topic's configuration and assignment in one transaction. ErrNodeExists if the topic is there.
//
// DEVIATION(Kafka): AdminZkClient writes the two one after the other and without a fence; a controller that is replaced
// in between leaves a configuration without a topic.
func (s *Store) CreateTopic(f Fence, topic string, t TopicAssignment, configs map[string]string) error {
	configPath := PathConfig(ConfigTopics, topic)
	for {
		exists, _, err := s.exists(configPath, false)
		if err != nil {
			return err
		}
		config := CreateOp(configPath, EncodeConfig(configs), Persistent)
		if exists {
			config = SetOp(configPath, EncodeConfig(configs), AnyVersion)
		}
		_, lost, err := s.fenced(f, config, CreateOp(PathTopic(topic), EncodeTopic(t), Persistent))
		var failed *OpError
		if !errors.As(err, &failed) {
			return err
		}
		if lost && errors.Is(failed.Err, ErrNodeExists) {
			// Perhaps the lost attempt's own doing: its topic id tells.
			if now, err := s.Topic(topic, false); err == nil && now.ID == t.ID && t.ID != ([16]byte{}) {
				return nil
			}
		}
		if failed.Index != 0 {
			return wrap("create", PathTopic(topic), failed.Err)
		}
		// The configuration came or went between look and write: look again.
	}
}

// SetTopic replaces a topic's assignment if the znode is still at t.Version, and returns its new version.
func (s *Store) SetTopic(f Fence, topic string, t TopicAssignment) (version int32, err error) {
	content := EncodeTopic(t)
	results, lost, err := s.fenced(f, SetOp(PathTopic(topic), content, t.Version))
	if err == nil {
		return results[0].Stat.Version, nil
	}
	if lost && errors.Is(err, ErrBadVersion) {
		data, stat, err := s.get(PathTopic(topic), false)
		if err == nil && stat.Version == t.Version+1 && string(data) == string(content) {
			return stat.Version, nil
		}
	}
	return 0, wrap("set", PathTopic(topic), err)
}

// TopicDeletions lists the topics marked for deletion, sorted; with watch an event comes when that changes.
func (s *Store) TopicDeletions(watch bool) ([]string, error) {
	return s.children(PathDeleteTopics, watch)
}

// MarkTopicDeletion marks a topic for deletion. That it is marked already is no error: the result says so.
func (s *Store) MarkTopicDeletion(f Fence, topic string) (already bool, err error) {
	_, lost, err := s.fenced(f, CreateOp(PathDeleteTopic(topic), nil, Persistent))
	if errors.Is(err, ErrNodeExists) {
		return !lost, nil
	}
	return false, wrap("mark for deletion", topic, err)
}

// ClearTopicDeletion takes the mark away again.
func (s *Store) ClearTopicDeletion(f Fence, topic string) error {
	return s.fencedDelete(f, []string{PathDeleteTopic(topic)})
}

// DeleteTopic removes everything of a topic, the mark last, so that a controller that takes over in the middle goes on
// with it.
func (s *Store) DeleteTopic(f Fence, topic string) error {
	for {
		var paths []string
		if err := s.collect(PathTopic(topic), &paths); err != nil {
			return err
		}
		paths = append(paths, PathConfig(ConfigTopics, topic), PathDeleteTopic(topic))
		err := s.fencedDelete(f, paths)
		if !errors.Is(err, ErrNotEmpty) {
			return err
		}
		// A child came since it was listed: list again.
	}
}

// collect appends path and everything below it, children first.
func (s *Store) collect(path string, paths *[]string) error {
	names, err := s.children(path, false)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.collect(path+"/"+name, paths); err != nil {
			return err
		}
	}
	*paths = append(*paths, path)
	return nil
}

// TakeISRChanges reads and deletes the notifications that brokers of an inter.broker.protocol.version before 2.7 write when
// they change an ISR themselves, and returns their partitions' topics. With watch, an event comes with the next one.
func (s *Store) TakeISRChanges(f Fence, watch bool) (topics []string, err error) {
	return s.takeAll(f, PathISRChanges, watch, func(path string, data []byte) (topics []string, err error) {
		tps, err := DecodeISRChange(path, data)
		for _, tp := range tps {
			topics = append(topics, tp.Topic)
		}
		return topics, err
	})
}

// PropagateLogDirEvent tells the controller that a log directory of this broker failed. It is not fenced, and telling it
// twice does no harm (KafkaZkClient#propagateLogDirEvent).
func (s *Store) PropagateLogDirEvent(brokerID int32) error {
	_, err := s.create(PrefixLogDirEvent, EncodeLogDirEvent(brokerID), PersistentSequential)
	return err
}

// TakeLogDirEvents reads and deletes the notifications of failed log directories and returns the brokers, sorted.
func (s *Store) TakeLogDirEvents(f Fence, watch bool) (brokers []int32, err error) {
	_, err = s.takeAll(f, PathLogDirEvents, watch, func(path string, data []byte) ([]string, error) {
		broker, err := DecodeLogDirEvent(path, data)
		if err == nil {
			brokers = append(brokers, broker)
		}
		return nil, err
	})
	slices.Sort(brokers)
	return slices.Compact(brokers), err
}

// takeAll reads, then deletes, the children of a notification path. A malformed one is deleted like the others: it
// would be met again by every controller otherwise.
func (s *Store) takeAll(f Fence, parent string, watch bool, read func(string, []byte) ([]string, error)) (found []string, err error) {
	names, err := s.children(parent, watch)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range names {
		path := parent + "/" + name
		data, _, err := s.get(path, false)
		if errors.Is(err, ErrNoNode) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if more, err := read(path, data); err == nil {
			found = append(found, more...)
		}
		paths = append(paths, path)
	}
	slices.Sort(found)
	return slices.Compact(found), s.fencedDelete(f, paths)
}

// EntityConfig reads the configuration of an entity, empty if it has none.
func (s *Store) EntityConfig(entityType, entity string, watch bool) (map[string]string, error) {
	path := PathConfig(entityType, entity)
	data, _, err := s.get(path, watch)
	if errors.Is(err, ErrNoNode) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	return DecodeConfig(path, data)
}

// EntityConfigs reads the configurations of several entities of a type at once, in their order.
func (s *Store) EntityConfigs(entityType string, entities []string) ([]map[string]string, error) {
	configs := make([]map[string]string, len(entities))
	err := s.each(len(entities), func(i int) (err error) {
		configs[i], err = s.EntityConfig(entityType, entities[i], false)
		return err
	})
	return configs, err
}

// SetEntityConfig replaces the configuration of an entity and tells all brokers by a note in /config/changes.
// It is not fenced: any broker may do it, and the last one wins, as in Kafka.
func (s *Store) SetEntityConfig(entityType, entity string, configs map[string]string) error {
	path, content := PathConfig(entityType, entity), EncodeConfig(configs)
	gone := false
	var err error
	if len(configs) == 0 && (entityType == ConfigClients || entityType == ConfigUsers || entityType == ConfigIPs) {
		if gone, err = s.removeQuota(entityType, entity); err != nil {
			return err
		}
	}
	if !gone {
		_, err = s.retry(func() error {
			_, err := s.session.Set(s.options.Chroot+path, content, AnyVersion)
			return err
		})
	}
	if errors.Is(err, ErrNoNode) {
		err = s.ensure(path, content)
	}
	if err != nil {
		return wrap("set", path, err)
	}
	// A note written twice because an answer was lost only makes brokers read the configuration twice.
	_, err = s.create(PrefixConfigChange, EncodeConfigChange(entityType+"/"+entity), PersistentSequential)
	return err
}

func sortBrokers(brokers []BrokerInfo) {
	slices.SortFunc(brokers, func(a, b BrokerInfo) int { return cmp.Compare(a.ID, b.ID) })
}
