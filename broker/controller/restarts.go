package controller

import (
	"maps"
	"slices"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

var evRestarted = env.NewKind("isr-members-restarted", env.Warn, "broker", "partitions", "broker-epoch")

// A member of an ISR whose broker starts anew may have lost its page cache, and so what it was in the ISR for. A
// controller that sees it happen takes the broker for dead, then for started: it leaves the ISR and catches up
// (brokersChanged). But when controllers change meanwhile, the new one finds the broker registered, the partition's
// state as it was, and nothing that speaks of the restart: the broker would stay leader, with the end of its log missing,
// and followers would cut theirs to its.
//
// So each state that we write says in which broker epoch each member was in the ISR, and each registration in which
// epoch its broker's present life began. A member whose epoch is before that has started anew since.
//
// DEVIATION(KIP-966): Kafka in ZooKeeper mode keeps neither, and a new controller believes the old state.
// --bug unclean-restart shows what comes of it.

// stamped puts into states that are to be written the epochs in which we know the members of their ISRs. Of a member
// that is not registered, the last that was known stays. staying are the replicas of partitions that will have others than now
// when the state has been written.
func (m *machine) stamped(writes []zookeeper.PartitionWrite, staying map[*partition][]int32) []zookeeper.PartitionWrite {
	if m.succeeds() {
		return m.followed(writes, staying)
	}
	for i := range writes {
		w := &writes[i]
		epochs := map[int32]int64{}
		for _, id := range w.State.ISR {
			if b, up := m.brokers[id]; up {
				epochs[id] = b.Epoch
			} else if p := m.partition(w.TP); p != nil && p.leadership != nil {
				if epoch, known := p.leadership.ISREpochs[id]; known {
					epochs[id] = epoch
				}
			}
		}
		w.State.ISREpochs = epochs
	}
	return writes
}

// restarted lists, by partition, the members of ISRs whose brokers have started anew since they were known to be in
// them. The leader comes last, so that of members who have all started anew it is the leader that stays (see shrunk).
// It says so once a broker, with the number of its partitions. The only replica of one is no news: it has what there is.
func (m *machine) restarted() map[*partition][]int32 {
	found := map[*partition][]int32{}
	if m.config.Bugs.Has(bug.UncleanRestart) {
		return found
	}
	partitions := map[int32]int64{}
	for _, p := range m.partitions() {
		if p.leadership == nil {
			continue
		}
		for _, id := range p.leadership.ISR {
			epoch, known := p.leadership.ISREpochs[id]
			b, up := m.brokers[id]
			if !known || !up || epoch >= lifeOf(b) {
				continue
			}
			if len(p.assignment.Replicas) > 1 {
				partitions[id]++
			}
			found[p] = append(found[p], id)
		}
		slices.SortStableFunc(found[p], func(a, b int32) int {
			switch {
			case a == b || !p.led(a) && !p.led(b):
				return 0
			case p.led(a):
				return 1
			default:
				return -1
			}
		})
	}
	for _, id := range slices.Sorted(maps.Keys(partitions)) {
		m.emit(env.Event{Kind: evRestarted, V: [4]int64{int64(id), partitions[id], m.brokers[id].Epoch}})
	}
	return found
}

// lifeOf is the broker epoch in which the present life of a broker began.
func lifeOf(b zookeeper.BrokerInfo) int64 {
	if b.Since > 0 {
		return b.Since
	}
	return b.Epoch
}

// dropRestarted takes these members out of their ISRs, and leadership from them, as if each had died: whoever is left
// will be elected, or the last one, who is then as good as any.
func (m *machine) dropRestarted(restarted map[*partition][]int32) error {
	var ps []*partition
	for _, p := range m.partitions() {
		if len(restarted[p]) > 0 && !m.deleting[p.tp.Topic] {
			ps = append(ps, p)
		}
	}
	if err := m.shrinkISRs(ps, restarted); err != nil {
		return err
	}
	for _, p := range ps {
		if p.phase == partitionOnline && !m.leaderOnline(p) {
			p.phase = partitionOffline
		}
	}
	return nil
}
