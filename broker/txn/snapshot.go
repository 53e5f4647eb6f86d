package txn

import (
	"maps"
	"slices"

	"barnabas/broker/wire"
)

// Seen is a transactional id as the all-seeing checker sees it on its coordinator.
type Seen struct {
	ID         string
	ProducerID int64
	Epoch      int16
	State      State
	Partitions []wire.TopicPartition
}

// Snapshot lists the transactional ids of this broker. It takes no lock and makes no env call: it is for the simulator, which looks
// between events. In the real world it would be a data race.
func (c *Coordinator) Snapshot() []Seen {
	var list []Seen
	c.r.Snapshot(func(s *shard) {
		for _, id := range slices.Sorted(maps.Keys(s.State)) {
			m := &s.State[id].at
			list = append(list, Seen{ID: id, ProducerID: m.ProducerID, Epoch: m.Epoch, State: m.State, Partitions: m.Partitions})
		}
	})
	return list
}
