package controller

import (
	"errors"
	"fmt"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// triggerOnline tries to find a leader for every partition without one, but for those of topics being deleted
// (PartitionStateMachine#triggerOnlinePartitionStateChange).
func (m *machine) triggerOnline() error {
	return m.partitionsOnline(m.partitionsWhere(func(p *partition) bool {
		return (p.phase == partitionNew || p.phase == partitionOffline) && !m.deleting[p.tp.Topic]
	}), electOffline)
}

// partitionsOnline gives new partitions their first leader and others a new one. Those that can have none stay as they are.
func (m *machine) partitionsOnline(ps []*partition, why election) error {
	var fresh, old []*partition
	for _, p := range ps {
		if p.phase == partitionNew {
			fresh = append(fresh, p)
		} else {
			old = append(old, p)
		}
	}
	met, err := m.initialize(fresh)
	if err != nil {
		return err
	}
	return m.electLeaders(append(old, met...), why)
}

// initialize writes the first states of new partitions: all live replicas are the ISR, the first of them leads. It
// returns those that turned out to have a state already.
func (m *machine) initialize(ps []*partition) (met []*partition, err error) {
	var writes []zookeeper.PartitionWrite
	var written []*partition
	for _, p := range ps {
		live := keep(p.assignment.Replicas, func(id int32) bool { return m.online(id, p.tp) })
		if len(live) == 0 {
			m.emit(env.Event{Kind: evNoLeader, Topic: p.tp.Topic, Partition: p.tp.Partition})
			continue
		}
		state := zookeeper.PartitionState{Leader: live[0], ISR: live, ControllerEpoch: m.fence.Epoch}
		writes, written = append(writes, zookeeper.PartitionWrite{TP: p.tp, State: state}), append(written, p)
	}
	if len(writes) == 0 {
		return nil, nil
	}
	results, err := m.store.CreatePartitionStates(m.fence, m.stamped(writes, nil))
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		p := written[i]
		switch {
		case r.Err == nil:
			m.setLeadership(p, r.State)
			p.phase = partitionOnline
			m.emitLeader(p)
			m.addLeaderAndISR(p, r.State.ISR, true)
		case errors.Is(r.Err, zookeeper.ErrNodeExists):
			p.phase = partitionOffline
			met = append(met, p)
		default: // the topic has been deleted under us; the watch on the topics will tell
			m.emit(env.Event{Kind: evTrouble, Topic: p.tp.Topic, Partition: p.tp.Partition, Text: r.Err.Error()})
		}
	}
	return met, m.refresh(met)
}

// electLeaders elects, writes and announces. A partition that somebody else has written meanwhile is read and elected again.
func (m *machine) electLeaders(ps []*partition, why election) error {
	unclean := map[string]bool{}
	var lives map[int32]life
	if m.succeeds() {
		lives = m.lives()
	}
	return m.updateStates(ps, func(p *partition) (zookeeper.PartitionState, bool) {
		next, ok := m.elect(p, why, unclean, lives)
		if !ok && why != electPreferred {
			m.emit(env.Event{Kind: evNoLeader, Topic: p.tp.Topic, Partition: p.tp.Partition, V: [4]int64{int64(p.leadership.LeaderEpoch)}})
		}
		return next, ok
	}, func(p *partition) {
		p.phase = partitionOnline
		m.emitLeader(p)
		m.addLeaderAndISR(p, m.recipients(p, why), false)
	})
}

// electorate gathers what p's election looks at. The topic's configuration is read only if it could matter, once for each topic. s
// are the rules of succession, nil if they are not in force.
func (m *machine) electorate(p *partition, why election, unclean map[string]bool, s *succession) electorate {
	e := electorate{replicas: p.assignment.Replicas, state: *p.leadership, bugs: m.config.Bugs,
		live:    func(id int32) bool { return m.online(id, p.tp) },
		leaving: func(id int32) bool { return m.shuttingDown[id] }}
	if why == electShutdown {
		e.live = func(id int32) bool { return m.up(id, p.tp) }
		return e
	}
	if why == electUnclean {
		e.unclean = true
	} else if why == electOffline && e.wants(s) {
		allowed, known := unclean[p.tp.Topic]
		if !known {
			allowed = m.unclean(p.tp.Topic)
			unclean[p.tp.Topic] = allowed
		}
		e.unclean = allowed
	}
	return e
}

// wants reports whether it matters that any live replica would do: nobody of the ISR is live who may be believed.
func (e electorate) wants(s *succession) bool {
	believed := s != nil && (s.keeps(&e.state) || len(s.heirs(&e.state)) > 0)
	return !slices.ContainsFunc(e.state.ISR, func(id int32) bool { return e.live(id) && !(believed && s.lost(&e.state, id)) })
}

// recipients are the replicas that must hear of the outcome of an election: all that can serve.
func (m *machine) recipients(p *partition, why election) []int32 {
	return keep(p.assignment.Replicas, func(id int32) bool {
		if why == electShutdown {
			return m.up(id, p.tp)
		}
		return m.online(id, p.tp)
	})
}

func (m *machine) emitLeader(p *partition) {
	s := p.leadership
	m.emit(env.Event{Kind: evLeader, Topic: p.tp.Topic, Partition: p.tp.Partition, Text: fmt.Sprintf("isr %v", s.ISR),
		V: [4]int64{int64(s.Leader), int64(s.LeaderEpoch), int64(s.PartitionEpoch), int64(s.Recovery)}})
}

func (m *machine) emitISR(p *partition) {
	s := p.leadership
	m.emit(env.Event{Kind: evISR, Topic: p.tp.Topic, Partition: p.tp.Partition, Text: fmt.Sprintf("isr %v", s.ISR),
		V: [4]int64{int64(s.Leader), int64(s.LeaderEpoch), int64(s.PartitionEpoch)}})
}
