package controller

import (
	"slices"
	"strconv"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// How the machine obeys the rules of eligible.go, if barnabas.eligible.leader.replicas.enable says so. Without it there is no
// reign, and a list that stands in a state is not read (believed): so it is gone with the next write, and no later controller takes
// it up again, since the reign is broken (zookeeper.Reign).

var (
	evHeir   = env.NewKind("heir-elected", env.Warn, "leader", "epoch", "isr-size")
	evBereft = env.NewKind("isr-lost-its-data", env.Warn, "epoch", "isr-size", "heirs")
)

func (m *machine) succeeds() bool { return m.config.EligibleLeaderReplicas }

// lives is what the registrations say of their brokers' past. Of a broker that keeps no account it is not known that it has
// anything from before its present life.
func (m *machine) lives() map[int32]life {
	lives := make(map[int32]life, len(m.brokers))
	for id, b := range m.brokers { // unordered: into a map
		l := life{Epoch: b.Epoch, Since: lifeOf(b), Intact: b.Intact, Heeds: b.Intact != 0}
		switch {
		case b.Intact == 0:
			l.Intact = l.Since
		case b.Intact < 0:
			l.Intact = b.Epoch
		}
		if m.config.Bugs.Has(bug.LossUnseen) {
			l.Intact = 0
		}
		lives[id] = l
	}
	return lives
}

// succession is what the rules look at for p; they decide elections without min.insync.replicas.
func (m *machine) succession(p *partition, lives map[int32]life) succession {
	return succession{replicas: p.assignment.Replicas, brokers: lives, failed: func(id int32) bool { return m.offlineDirs[id][p.tp] }}
}

// followed is stamped by the rules: staying are the replicas of partitions that will have others than now when the state has been written.
func (m *machine) followed(writes []zookeeper.PartitionWrite, staying map[*partition][]int32) []zookeeper.PartitionWrite {
	lives := m.lives()
	var short []int // of writes with fewer in the ISR than replicas: only these can have a list
	for i, w := range writes {
		if p := m.partition(w.TP); p != nil && len(w.State.ISR) < len(replicasAfter(p, staying)) {
			short = append(short, i)
		}
	}
	m.learnMinISRs(writes, short)
	for i := range writes {
		w := &writes[i]
		p := m.partition(w.TP)
		if p == nil { // gone meanwhile: nobody will read it
			w.State.ELR, w.State.ELRMin = nil, 0
			continue
		}
		s := m.succession(p, lives)
		s.replicas = replicasAfter(p, staying)
		if _, is := slices.BinarySearch(short, i); is {
			s.minISR = min(m.minISR(p.tp.Topic), len(s.replicas))
		}
		w.State = s.follow(p.leadership, w.State)
	}
	return writes
}

func replicasAfter(p *partition, staying map[*partition][]int32) []int32 {
	if replicas, moves := staying[p]; moves {
		return replicas
	}
	return p.assignment.Replicas
}

// learnMinISRs reads the topics' own min.insync.replicas that are not known, all at once.
func (m *machine) learnMinISRs(writes []zookeeper.PartitionWrite, short []int) {
	var unknown []string
	for _, i := range short {
		topic := writes[i].TP.Topic
		if _, known := m.minISRs[topic]; !known && !slices.Contains(unknown, topic) {
			unknown = append(unknown, topic)
		}
	}
	if len(unknown) == 0 {
		return
	}
	configs, err := m.store.EntityConfigs(zookeeper.ConfigTopics, unknown)
	if err != nil {
		return // the default will do: it decides how useful the list is, not whether it is right
	}
	for i, topic := range unknown {
		own, err := strconv.Atoi(configs[i]["min.insync.replicas"])
		if err != nil {
			own = 0
		}
		m.minISRs[topic] = own
	}
}

// minISR is a topic's min.insync.replicas as far as it is known here.
func (m *machine) minISR(topic string) int {
	if own := m.minISRs[topic]; own > 0 {
		return own
	}
	return m.config.TopicDefaults().MinInsyncReplicas
}

// topicConfigChanged forgets what was known of the topic's configuration; the next state that needs it has it read.
func (m *machine) topicConfigChanged(topic string) { delete(m.minISRs, topic) }

// believed is a state as it was read, without a list that counts for nothing: one from before the reign in which lists are kept.
func (m *machine) believed(s zookeeper.PartitionState) zookeeper.PartitionState {
	if m.fence.Reign == 0 || s.ControllerEpoch < m.fence.Reign {
		if len(s.ELR) > 0 {
			markListNotBelieved.Hit()
		}
		s.ELR, s.ELRMin = nil, 0
	}
	return s
}

// elect decides p's election, by the rules if they are in force. It says what is unusual about it.
func (m *machine) elect(p *partition, why election, unclean map[string]bool, lives map[int32]life) (zookeeper.PartitionState, bool) {
	if !m.succeeds() {
		return m.electorate(p, why, unclean, nil).elect(why)
	}
	s := m.succession(p, lives)
	next, ok := s.elect(p.leadership, m.electorate(p, why, unclean, &s), why)
	switch _, heir := p.leadership.ELR[next.Leader]; {
	case ok && heir:
		markHeirLeads.Hit()
		m.emit(env.Event{Kind: evHeir, Topic: p.tp.Topic, Partition: p.tp.Partition, V: [4]int64{int64(next.Leader), int64(next.LeaderEpoch), int64(len(next.ISR))}})
	case !ok && s.bereft(p.leadership):
		m.emit(env.Event{Kind: evBereft, Topic: p.tp.Topic, Partition: p.tp.Partition,
			V: [4]int64{int64(p.leadership.LeaderEpoch), int64(len(p.leadership.ISR)), int64(len(s.heirs(p.leadership)))}})
	}
	return next, ok
}

// bereft reports whether p waits for an heir: then nothing is done that believes its ISR.
func (m *machine) bereft(p *partition) bool {
	return m.succeeds() && p.leadership != nil && m.succession(p, m.lives()).bereft(p.leadership)
}

// trusted reports whether the broker may lead p as a member of the ISR: it is not known to have lost what it was in the ISR for, or nobody
// there is better.
func (m *machine) trusted(p *partition, id int32) bool {
	if !m.succeeds() {
		return true
	}
	s := m.succession(p, m.lives())
	return !s.lost(p.leadership, id) || !s.keeps(p.leadership)
}
