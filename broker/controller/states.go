package controller

import (
	"errors"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// updateStates decides new states for partitions, writes them and takes what was written into the context. A partition
// that somebody else has written meanwhile is read, and decided again. decide reports false for one that stays as it
// is; written is called for each that has its new state.
func (m *machine) updateStates(ps []*partition, decide func(*partition) (zookeeper.PartitionState, bool), written func(*partition)) error {
	return m.updateStatesOf(ps, nil, decide, written)
}

// updateStatesOf is updateStates of partitions of which some will have other replicas when the state has been written: those in staying.
func (m *machine) updateStatesOf(ps []*partition, staying map[*partition][]int32, decide func(*partition) (zookeeper.PartitionState, bool), written func(*partition)) error {
	for attempt := 0; len(ps) > 0 && attempt < attemptsMax; attempt++ {
		var writes []zookeeper.PartitionWrite
		var asked, again []*partition
		for _, p := range ps {
			if p.leadership == nil {
				continue
			}
			if next, ok := decide(p); ok {
				next.ControllerEpoch = m.fence.Epoch
				writes, asked = append(writes, zookeeper.PartitionWrite{TP: p.tp, State: next}), append(asked, p)
			}
		}
		if len(writes) == 0 {
			return nil
		}
		results, err := m.store.UpdatePartitionStates(m.fence, m.stamped(writes, staying))
		if err != nil {
			return err
		}
		for i, r := range results {
			p := asked[i]
			switch {
			case r.Err == nil:
				m.setLeadership(p, r.State)
				written(p)
			case errors.Is(r.Err, zookeeper.ErrBadVersion):
				again = append(again, p)
			default:
				m.emit(env.Event{Kind: evTrouble, Topic: p.tp.Topic, Partition: p.tp.Partition, Text: r.Err.Error()})
			}
		}
		if err := m.refresh(again); err != nil {
			return err
		}
		ps = again
	}
	return nil
}
