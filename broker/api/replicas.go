package api

import (
	"barnabas/broker/replica"
	"barnabas/broker/wire"
)

// FromManager lets the handlers work on a replica manager.
func FromManager(m *replica.Manager) Replicas { return managed{m} }

type managed struct{ *replica.Manager }

func (m managed) Partition(tp wire.TopicPartition) (Partition, error) {
	p, err := m.Manager.Partition(tp)
	if err != nil {
		return nil, err
	}
	return p, nil
}
