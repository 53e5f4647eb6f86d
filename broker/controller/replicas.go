package controller

import (
	"slices"

	"barnabas/broker/zookeeper"
)

// move brings a replica into a phase if it may go there from where it is, and reports whether it did
// (ReplicaState.validPreviousStates).
func (r replica) move(to replicaPhase) bool {
	allowed := map[replicaPhase][]replicaPhase{
		replicaNew:         {replicaNone},
		replicaOnline:      {replicaNew, replicaOnline, replicaOffline, deletionIneligible},
		replicaOffline:     {replicaNew, replicaOnline, replicaOffline, deletionIneligible},
		deletionStarted:    {replicaOffline},
		deletionSuccessful: {deletionStarted},
		deletionIneligible: {replicaOffline, deletionStarted},
		replicaNone:        {deletionSuccessful},
	}
	if !slices.Contains(allowed[to], r.replicas[r.broker]) {
		return false
	}
	r.replicas[r.broker] = to
	return true
}

// replicasOnline brings replicas online: their brokers are told to serve them.
func (m *machine) replicasOnline(rs []replica) {
	for _, r := range rs {
		fresh := r.replicas[r.broker] == replicaNew // has been told with its partition's first state
		if r.move(replicaOnline) && !fresh && r.leadership != nil {
			m.addLeaderAndISR(r.partition, []int32{r.broker}, false)
		}
	}
}

// replicasOffline takes replicas out of service: their brokers, if they are up, stop them, and the ISRs shrink. With
// quiet, which is for topics being deleted, the ISRs are left alone.
//
// DEVIATION(Kafka): Kafka shrinks the ISRs of topics being deleted too, one write after the other, for nobody to see.
func (m *machine) replicasOffline(rs []replica, quiet bool) error {
	gone := map[*partition][]int32{}
	var ps []*partition
	for _, r := range rs {
		if !r.move(replicaOffline) {
			continue
		}
		m.addStopReplica(r, false)
		if gone[r.partition] == nil {
			ps = append(ps, r.partition)
		}
		gone[r.partition] = append(gone[r.partition], r.broker)
	}
	if quiet {
		return nil
	}
	return m.shrinkISRs(ps, gone)
}

// shrinkISRs takes brokers out of the ISRs of partitions and tells the replicas that stay. Where nothing changes but
// that a replica is offline, that is said too.
func (m *machine) shrinkISRs(ps []*partition, gone map[*partition][]int32) error {
	if len(ps) == 0 {
		return nil
	}
	m.addMetadata(ps)
	return m.updateStates(ps, func(p *partition) (zookeeper.PartitionState, bool) {
		return shrunk(*p.leadership, gone[p])
	}, func(p *partition) {
		m.emitISR(p)
		stay := keep(p.assignment.Replicas, func(id int32) bool { return !slices.Contains(gone[p], id) })
		m.addLeaderAndISR(p, stay, false)
	})
}

// replicasDown is what happens when replicas have become unreachable (onReplicasBecomeOffline): new leaders for the
// partitions they led, shrunk ISRs for the others, and topic deletions that must wait.
func (m *machine) replicasDown(rs []replica) error {
	var down, deleting []replica
	for _, r := range rs {
		if m.deleting[r.tp.Topic] {
			deleting = append(deleting, r)
		} else {
			down = append(down, r)
		}
	}
	for _, p := range m.partitions() {
		if p.phase == partitionOnline && !m.leaderOnline(p) {
			p.phase = partitionOffline
		}
	}
	if err := m.triggerOnline(); err != nil {
		return err
	}
	if err := m.replicasOffline(down, false); err != nil {
		return err
	}
	return m.failDeletions(deleting)
}
