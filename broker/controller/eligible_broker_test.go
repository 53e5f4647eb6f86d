package controller

import (
	"fmt"
	"slices"
)

// The brokers of the model: they lead and follow as partition.Partition does, and register as broker.Broker does.

func (w *world) deliver(i int) {
	n := &w.nodes[i]
	m := n.inbox[0]
	n.inbox = n.inbox[1:]
	if !n.running || n.broken || m.to != n.reg.Epoch {
		return
	}
	if m.remove {
		if m.LeaderEpoch < n.leaderEpoch {
			return
		}
		n.log, n.leader, n.isr, n.pending, n.leaderEpoch = nil, noLeader, nil, nil, m.LeaderEpoch
		return
	}
	if m.LeaderEpoch < n.leaderEpoch || m.LeaderEpoch == n.leaderEpoch && (m.PartitionEpoch < n.partitionNode || m.Leader != n.leader) {
		return
	}
	id := int32(i)
	if m.Leader != id {
		n.forgetRole()
		n.leader, n.leaderEpoch, n.partitionNode, n.replicas = m.Leader, m.LeaderEpoch, m.PartitionEpoch, m.replicas
		return
	}
	fresh := m.LeaderEpoch > n.leaderEpoch
	if fresh {
		before := *n
		n.forgetRole()
		n.start = len(n.log)
		if before.leader == id && m.LeaderEpoch == before.leaderEpoch+1 {
			for _, f := range m.replicas {
				n.ends[f], n.endEpochs[f], n.endLosses[f] = before.ends[f], before.endEpochs[f], before.endLosses[f]
			}
		}
	}
	same := !fresh && m.PartitionEpoch == n.partitionNode && n.pending != nil
	n.heed(m)
	n.leader, n.leaderEpoch, n.replicas = id, m.LeaderEpoch, m.replicas
	n.partitionNode = m.PartitionEpoch
	if same {
		n.pending.stalled = false
	} else {
		n.isr, n.pending = slices.Clone(m.ISR), nil
	}
	w.advance(i)
}

// heed takes the number that goes with an ISR.
func (n *node) heed(m told) {
	n.number = m.ELRMin
	if n.foreign {
		n.number = 0
	}
}

func (n *node) forgetRole() {
	n.leader, n.isr, n.pending, n.number, n.hw, n.start = noLeader, nil, nil, 0, 0, 0
	for i := range n.ends {
		n.ends[i], n.endEpochs[i], n.endLosses[i] = -1, 0, 0
	}
}

func (w *world) leads(i int) bool {
	n := &w.nodes[i]
	return n.running && !n.broken && n.leader == int32(i)
}

// least is how many the leader wants in the ISR.
func (w *world) least(n *node) int {
	switch {
	case n.foreign || w.wrong(commitsBelow):
		return 0
	default:
		return max(min(n.minISR, len(n.replicas)), n.number)
	}
}

func (w *world) advance(i int) {
	n := &w.nodes[i]
	if len(n.isr) < w.least(n) && !(w.wrong(soonEmptied) && n.pending != nil && n.pending.empty) {
		return
	}
	members := slices.Clone(n.isr)
	if n.pending != nil && n.pending.added >= 0 {
		members = append(members, n.pending.added)
	}
	hw := len(n.log)
	for _, id := range members {
		if id != int32(i) {
			hw = min(hw, n.ends[id])
		}
	}
	if hw <= n.hw {
		return
	}
	n.hw = hw
	common := min(hw, len(w.committed))
	if !slices.Equal(n.log[:common], w.committed[:common]) {
		w.violation = fmt.Sprintf("%d commits %v where %v is committed", i, n.log[:hw], w.committed)
	}
	if hw > len(w.committed) {
		w.committed = slices.Clone(n.log[:hw])
	}
}

// fetch is a follower's fetch of at most one record: first it has its end cut to where it and the leader agree.
func (w *world) fetch(f int) {
	n := &w.nodes[f]
	l := &w.nodes[n.leader]
	same := 0
	for same < len(n.log) && same < len(l.log) && n.log[same] == l.log[same] {
		same++
	}
	n.log = slices.Clone(n.log[:same])
	l.ends[f], l.endEpochs[f], l.endLosses[f] = same, n.reg.Epoch, n.losses
	w.advance(int(n.leader))
	if same < len(l.log) {
		n.log = append(n.log, l.log[same])
	}
}

func (w *world) fetches(f int) bool {
	n := &w.nodes[f]
	if !n.running || n.broken || n.leader < 0 || n.leader == int32(f) || !w.leads(int(n.leader)) {
		return false
	}
	l := &w.nodes[n.leader]
	return l.leaderEpoch == n.leaderEpoch && slices.Contains(l.replicas, int32(f))
}

func (w *world) propose(i int, isr []int32, added int32, empty bool) {
	n := &w.nodes[i]
	c := &asked{isr: isr, added: added, empty: empty, leaderEpoch: n.leaderEpoch, partition: n.partitionNode, epochs: map[int32]int64{}, losses: map[int32]int{}}
	for _, id := range isr {
		if id == int32(i) {
			c.epochs[id] = n.reg.Epoch
		} else if n.ends[id] >= 0 && !n.foreign {
			c.epochs[id] = n.endEpochs[id]
		}
		c.losses[id] = n.endLosses[id]
	}
	n.pending = c
}

func (w *world) answered(i int) {
	n := &w.nodes[i]
	c := n.pending
	if c.refused {
		n.pending = nil
		return
	}
	m := *c.answer
	if m.LeaderEpoch != n.leaderEpoch || m.PartitionEpoch < n.partitionNode {
		c.answer, c.stalled = nil, true
		return
	}
	n.heed(m)
	n.isr, n.partitionNode, n.pending = slices.Clone(m.ISR), m.PartitionEpoch, nil
	w.advance(i)
}

// register opens a session; first is that of a process.
func (w *world) register(i int, first bool) {
	n := &w.nodes[i]
	w.epochs++
	if first {
		n.since = w.epochs
	}
	intact := n.reg.Intact
	switch {
	case n.lossy:
		intact = w.epochs
	case n.foreign:
		intact = n.since
	case w.wrong(lastRestartOnly):
		intact = 0
	}
	if first {
		n.lossy = false
	}
	n.reg = life{Epoch: w.epochs, Since: n.since, Intact: intact, Heeds: !n.foreign}
	n.registered = true
}

func (w *world) end(i int) {
	n := &w.nodes[i]
	n.running = false
	n.forgetRole()
	n.leaderEpoch, n.partitionNode = -1, -1
	n.inbox = nil
	if n.foreign {
		n.losses++ // it cannot say that it kept its data
	}
}

func (w *world) powerLoss(i, left int) {
	n := &w.nodes[i]
	if n.clean {
		return
	}
	n.log = slices.Clone(n.log[:left])
	n.losses++
	n.lossy = true
	if w.kafkas || len(w.state.ISREpochs) < len(w.state.ISR) {
		w.trustless()
	}
}

// breakLog is a log directory that fails while its broker runs.
func (w *world) breakLog(i int) {
	n := &w.nodes[i]
	n.broken, n.log = true, nil
	n.losses++
	n.lossy = !w.wrong(failedEnter)
	if w.kafkas {
		w.trustless()
	}
}
