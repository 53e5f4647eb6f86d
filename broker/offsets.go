package broker

import (
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
)

// ConsumerOffset reads an offset that a group has committed in ZooKeeper, waiting for a session while there is none (api.ConsumerOffsets).
func (b *Broker) ConsumerOffset(group string, tp wire.TopicPartition) (offset int64, ok bool, err error) {
	err = b.withStore(func(s *zookeeper.Store) error {
		offset, ok, err = s.ConsumerOffset(group, tp)
		return err
	})
	return offset, ok, err
}

// SetConsumerOffset commits an offset in ZooKeeper.
func (b *Broker) SetConsumerOffset(group string, tp wire.TopicPartition, offset int64) error {
	return b.withStore(func(s *zookeeper.Store) error { return s.SetConsumerOffset(group, tp, offset) })
}
