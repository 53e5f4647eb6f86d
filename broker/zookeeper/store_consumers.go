package zookeeper

import (
	"errors"
	"fmt"
	"strconv"

	"barnabas/broker/wire"
)

// PathConsumerGroup is the parent of what the consumers of Kafka 0.8 keep of a group: ids, owners and offsets.
func PathConsumerGroup(group string) string { return PathConsumers + "/" + group }

// PathConsumerIDs is the parent of a group's consumers, each an ephemeral node (ZKGroupDirs#consumerRegistryDir).
func PathConsumerIDs(group string) string { return PathConsumerGroup(group) + "/ids" }

// PathConsumerOwner says which thread of which consumer of a group owns a partition; ephemeral (ZKGroupTopicDirs#consumerOwnerDir).
func PathConsumerOwner(group string, tp wire.TopicPartition) string {
	return PathConsumerGroup(group) + "/owners/" + tp.Topic + "/" + strconv.Itoa(int(tp.Partition))
}

// PathConsumerOffset is what a group has committed of a partition, the next offset to read, as text (ConsumerOffset).
func PathConsumerOffset(group string, tp wire.TopicPartition) string {
	return PathConsumerGroup(group) + "/offsets/" + tp.Topic + "/" + strconv.Itoa(int(tp.Partition))
}

// ConsumerOffset reads what a group has committed of a partition in ZooKeeper; ok is false where there is nothing.
//
// Source: KafkaZkClient#getConsumerOffset.
func (s *Store) ConsumerOffset(group string, tp wire.TopicPartition) (offset int64, ok bool, err error) {
	path := PathConsumerOffset(group, tp)
	data, _, err := s.get(path, false)
	switch {
	case errors.Is(err, ErrNoNode):
		return -1, false, nil
	case err != nil:
		return -1, false, err
	case len(data) == 0: // a parent that somebody made
		return -1, false, nil
	}
	if offset, err = strconv.ParseInt(string(data), 10, 64); err != nil {
		return -1, false, fmt.Errorf("%s: %q is not an offset", path, data)
	}
	return offset, true, nil
}

// SetConsumerOffset commits a group's offset of a partition in ZooKeeper. Nobody is asked whether it is newer than what is there.
//
// Source: KafkaZkClient#setOrCreateConsumerOffset.
func (s *Store) SetConsumerOffset(group string, tp wire.TopicPartition, offset int64) error {
	path, data := PathConsumerOffset(group, tp), strconv.AppendInt(nil, offset, 10)
	for {
		_, err := s.retry(func() error {
			_, err := s.session.Set(s.options.Chroot+path, data, AnyVersion)
			return err
		})
		if !errors.Is(err, ErrNoNode) {
			return wrap("set", path, err)
		}
		if err := s.ensure(parentPath(path), nil); err != nil {
			return err
		}
		if _, err := s.create(path, data, Persistent); !errors.Is(err, ErrNodeExists) {
			return err
		}
		// Another has made it meanwhile: ours is the later word.
	}
}
