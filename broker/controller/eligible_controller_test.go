package controller

import (
	"maps"
	"slices"

	"barnabas/broker/zookeeper"
)

// The controllers of the model: they do what the machine does (brokersChanged, startup, alterPartition, reassign), with the
// rules of succession.

func (w *world) wrong(m mistake) bool { return w.b.wrong&m != 0 }

func (w *world) succession() succession {
	brokers := w.view
	if w.wrong(lossUnseen) || w.wrong(numberUnheeded) {
		brokers = map[int32]life{}
		for id, b := range w.view {
			if w.wrong(lossUnseen) {
				b.Intact = 0
			}
			b.Heeds = b.Heeds || w.wrong(numberUnheeded)
			brokers[id] = b
		}
	}
	return succession{replicas: w.replicas, minISR: min(w.minISR, len(w.replicas)), brokers: brokers,
		failed: func(id int32) bool { return w.failed[id] && !w.wrong(failedEnter) }}
}

// now is the state as the controller believes it.
func (w *world) now() *zookeeper.PartitionState {
	s := w.state
	if w.emptied || w.wrong(numberUntold) && s.ELRMin != w.succession().minISR {
		s.ELR, s.ELRMin = nil, 0
	}
	return &s
}

func (w *world) electorate() electorate {
	return electorate{replicas: w.replicas, live: w.online, leaving: func(int32) bool { return false }}
}

func (w *world) online(id int32) bool {
	_, up := w.view[id]
	return up && !w.failed[id]
}

// write replaces the state and tells the replicas.
func (w *world) write(next zookeeper.PartitionState, empty bool) {
	old := w.now()
	s := w.succession()
	if w.wrong(goneStay) {
		for id := range old.ELR { // unordered: only membership matters
			if !slices.Contains(s.replicas, id) {
				s.replicas = append(slices.Clone(s.replicas), id)
			}
		}
	}
	out := s.follow(old, next)
	if w.wrong(neverEmptied) && len(out.ELR) == 0 {
		for id, epoch := range old.ELR { // unordered: into a map
			if !slices.Contains(next.ISR, id) {
				if out.ELR == nil {
					out.ELR = map[int32]int64{}
				}
				out.ELR[id], out.ELRMin = epoch, old.ELRMin
			}
		}
	}
	if w.wrong(lateEntry) && len(out.ELR) > 0 {
		out.ELR = maps.Clone(out.ELR)
		for _, id := range w.replicas {
			if b, up := w.view[id]; up && !slices.Contains(next.ISR, id) {
				if _, there := out.ELR[id]; !there {
					out.ELR[id] = b.Epoch
				}
			}
		}
	}
	if w.wrong(lossForgotten) {
		for _, id := range next.ISR {
			if b, up := w.view[id]; up {
				out.ISREpochs[id] = b.Epoch
			}
		}
	}
	if empty || w.kafkas {
		out.ELR, out.ELRMin = nil, 0
	}
	if w.kafkas {
		out.ISREpochs = nil
	}
	out.ControllerEpoch, out.PartitionEpoch = w.epoch, w.state.PartitionEpoch+1
	w.state, w.emptied = out, false
	w.tellAll()
}

func (w *world) tellAll() {
	for _, id := range w.replicas {
		w.tell(id, false)
	}
}

func (w *world) tell(id int32, remove bool) {
	b, up := w.view[id]
	if !up {
		return
	}
	n := &w.nodes[id]
	m := told{PartitionState: *w.now(), to: b.Epoch, replicas: w.replicas, remove: remove}
	if w.kafkas || w.wrong(numberUntold) {
		m.ELRMin = 0
	}
	n.inbox = append(n.inbox, m)
	if len(n.inbox) > max(w.b.messages, 1) {
		n.inbox = n.inbox[1:]
	}
}

// elect finds a leader if there is none that is online.
func (w *world) elect() {
	if w.online(w.state.Leader) {
		return
	}
	var next zookeeper.PartitionState
	var ok bool
	if w.kafkas {
		e := w.electorate()
		e.state = w.state
		next, ok = e.elect(electOffline)
	} else {
		next, ok = w.succession().elect(w.now(), w.electorate(), electOffline)
	}
	if ok {
		if _, heir := w.state.ELR[next.Leader]; heir {
			w.heirsLed++
		}
		w.write(next, false)
	}
}

func (w *world) shrink(ids []int32) {
	if next, changed := shrunk(w.state, ids); changed {
		w.write(next, false)
	}
}

// look is what the machine does when registrations have changed.
func (w *world) look() {
	var started, bounced, died []int32
	for i := range w.b.brokers {
		id, n := int32(i), &w.nodes[i]
		old, known := w.view[id]
		switch {
		case n.registered && !known:
			started = append(started, id)
		case n.registered && old.Epoch != n.reg.Epoch:
			bounced = append(bounced, id)
		case !n.registered && known:
			died = append(died, id)
		}
	}
	w.started(started)
	w.died(bounced)
	w.started(bounced)
	w.died(died)
}

func (w *world) started(ids []int32) {
	for _, id := range ids {
		w.view[id], w.failed[id] = w.nodes[id].reg, false
	}
	for _, id := range ids {
		if slices.Contains(w.replicas, id) {
			w.tell(id, false)
		}
	}
	if len(ids) > 0 {
		w.elect()
	}
}

func (w *world) died(ids []int32) {
	for _, id := range ids {
		delete(w.view, id)
		w.failed[id] = false
	}
	if len(ids) > 0 {
		w.elect()
		w.shrink(ids)
	}
}

// reign begins: another controller reads what there is.
func (w *world) reign(kafkas bool) {
	w.epoch++
	if kafkas || w.kafkas {
		w.trustless()
	}
	w.kafkas, w.failed, w.emptied = kafkas, [4]bool{}, false
	w.view = map[int32]life{}
	for i := range w.b.brokers {
		if n := &w.nodes[i]; n.registered {
			w.view[int32(i)] = n.reg
		}
	}
	if !kafkas {
		if w.reignLast != w.epoch-1 {
			w.reignFirst = w.epoch
		}
		w.reignLast = w.epoch
		w.emptied = !w.believable() && !w.wrong(reignUnseen)
		var again []int32
		for _, id := range w.state.ISR {
			if known, ok := w.state.ISREpochs[id]; ok {
				if b, up := w.view[id]; up && known < b.Since {
					again = append(again, id)
				}
			}
		}
		slices.SortStableFunc(again, func(a, b int32) int {
			return map[bool]int{a == w.state.Leader: 1, b == w.state.Leader: -1}[true]
		})
		w.shrink(again)
	}
	w.elect()
	w.shrink(keep(w.replicas, func(id int32) bool { return !w.online(id) }))
	w.tellAll()
}

// trustless ends the promise if somebody has lost data and is in the ISR: Kafka's controllers do not know.
func (w *world) trustless() {
	for _, id := range w.state.ISR {
		if n := &w.nodes[id]; n.losses != w.joined[id] {
			w.void = true
		}
	}
}

// believable reports whether only our controllers have reigned since the state was written.
func (w *world) believable() bool { return w.state.ControllerEpoch >= w.reignFirst }

// judge answers what a leader asks for.
func (w *world) judge(leader int32) {
	n := &w.nodes[leader]
	c := n.pending
	b, up := w.view[leader]
	if !up || b.Epoch != n.reg.Epoch || c.answer != nil || c.refused {
		return
	}
	s := w.state
	refuse := func(retry bool) {
		if retry {
			c.refused = true
		} else {
			c.stalled = true
		}
	}
	switch {
	case c.leaderEpoch != s.LeaderEpoch || s.Leader != leader:
		refuse(false)
		return
	case sameMembers(c.isr, s.ISR) && !(c.empty && len(s.ELR) > 0 && !w.kafkas && c.partition == s.PartitionEpoch):
	case c.partition != s.PartitionEpoch:
		refuse(false)
		return
	case !distinctMembers(c.isr, w.replicas):
		refuse(false)
		return
	default:
		for _, id := range c.isr {
			b, up := w.view[id]
			if epoch, known := c.epochs[id]; !up || known && epoch != b.Epoch && !w.kafkas {
				refuse(true)
				return
			}
		}
		if c.added >= 0 && !slices.Contains(w.state.ISR, c.added) {
			w.joined[c.added] = c.losses[c.added]
			if w.joined[c.added] != w.nodes[c.added].losses && (n.foreign || w.kafkas) {
				w.void = true // nobody gives epochs, and so Kafka lets it in, in whatever life
			}
		}
		next := s
		next.ISR = slices.Clone(c.isr)
		w.write(next, c.empty)
	}
	m := told{PartitionState: *w.now()}
	if w.kafkas || w.wrong(numberUntold) {
		m.ELRMin = 0
	}
	c.answer = &m
}

// take adds a replica, in a new leader epoch.
func (w *world) take(id int32) {
	w.replicas = append(slices.Clone(w.replicas), id)
	next := w.state
	next.LeaderEpoch++
	w.write(next, false)
}

// drop takes a replica out of the partition: the state first, then the assignment, then it is told to delete (reassign).
func (w *world) drop(id int32, isr []int32) {
	now := w.state
	if now.Leader == id || !w.online(now.Leader) {
		i := slices.IndexFunc(w.replicas, func(m int32) bool {
			return m != id && w.online(m) && slices.Contains(isr, m) && !w.succession().lost(w.now(), m)
		})
		switch {
		case i >= 0:
			now.Leader = w.replicas[i]
		case now.Leader == id:
			return
		}
	}
	now.ISR, now.LeaderEpoch = isr, now.LeaderEpoch+1
	w.replicas = keep(w.replicas, func(m int32) bool { return m != id })
	w.write(now, false)
	w.tell(id, true)
}
