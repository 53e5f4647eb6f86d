package workload

import (
	"fmt"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/linearizability/history"
)

// firstMember is added to a member's number, so that its process numbers are no consumer's and not the final drain's.
const firstMember = 2*firstConsumer + 100

// Groups says what the members of the scenario's group do.
type Groups struct {
	Group     string
	Assignor  string
	Session   time.Duration
	Rebalance time.Duration
	// StayMean is the mean time that a member stays before it leaves, and comes back as another; 0 for ever.
	StayMean time.Duration
	// CommitEvery is the mean number of polls between two commits.
	CommitEvery int
	// KeepRevoked plants the bug group-two-owners.
	KeepRevoked bool
}

// MemberName is the node of a group member.
func MemberName(index int) string { return fmt.Sprintf("m%d", index) }

// Member is a node's main function: one member of the group after the other, until Stop. Each is a process of its own: it reads what it
// owns, commits where it is, leaves, and another takes its place.
func (l *Load) Member(index int) func(env.Env) { return l.MemberAs(MemberName(index), index) }

// MemberAs is Member on a node of another name.
func (l *Load) MemberAs(name string, index int) func(env.Env) {
	return func(e env.Env) {
		defer l.ended(name, l.life(name))
		r := e.Rand("workload")
		for life := 0; !l.ending(); life++ {
			// Assignors go by the order of the members' ids, which begin with this: a new member is not to get its predecessor's share.
			c := l.client(e, fmt.Sprintf("%c-member-%d", 'a'+rune(r.IntN(26)), index))
			stay := env.Never
			if l.Groups.StayMean > 0 {
				stay = e.Mono().Add(jitter(r, l.Groups.StayMean))
			}
			m := &memberRun{l: l, e: e, name: name, process: int32(firstMember+l.nextMember()) * processesPerClient, owned: map[wire.TopicPartition]env.Instant{}, gives: map[wire.TopicPartition]env.Instant{}, seek: make([]bool, l.Partitions)}
			m.run(c, stay, func() bool { return r.IntN(max(1, l.Groups.CommitEvery)) == 0 })
			c.Close()
			e.Sleep(jitter(r, time.Second))
		}
	}
}

// nextMember numbers the members of groups.
func (l *Load) nextMember() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members++
	return l.members
}

// count adds to what the clients were told, in a way of its own.
func (l *Load) count(add func(*Counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	add(&l.counts)
}

// memberRun is one member's life.
type memberRun struct {
	l       *Load
	e       env.Env
	name    string // of its node
	process int32
	owned   map[wire.TopicPartition]env.Instant // since when
	gives   map[wire.TopicPartition]env.Instant // since when it is giving up what it owned
	seek    []bool
	commits []history.Op // under way: if the machine dies, nobody will say how they ended
}

// died records what was under way when the machine died.
func (m *memberRun) died() {
	for _, op := range m.commits {
		m.l.record(op)
	}
}

func (m *memberRun) run(c *client.Client, until env.Instant, commits func() bool) {
	o := m.l.Groups
	k := client.NewMember(c, client.GroupOptions{Group: o.Group, Topics: []string{m.l.Topic}, Assignors: []string{o.Assignor}, Session: o.Session, Rebalance: o.Rebalance,
		Consumer:    client.ConsumerOptions{WaitMax: 250 * time.Millisecond, PartitionBytesMax: 64 << 10, BytesMax: 256 << 10},
		KeepRevoked: o.KeepRevoked,
		Listener:    client.GroupListener{Assigned: m.assigned, Revoking: m.revoking, Revoked: m.revoked, Fetched: m.fetched, Committed: m.committed}})
	defer m.died()
	for !m.l.ending() && m.e.Mono() < until {
		fetched, err := k.Poll(500 * time.Millisecond)
		if err != nil {
			m.e.Sleep(200 * time.Millisecond) // it is refused for now: another try may do
			break
		}
		for i := range fetched {
			m.l.fetched(m.process, &fetched[i], m.seek, fetchKind{})
		}
		if commits() {
			var offsets []client.CommitOffset
			for _, tp := range k.Owned() {
				if at, ok := k.Position(tp); ok && at >= 0 {
					offsets = append(offsets, client.CommitOffset{TP: tp, Offset: at})
				}
			}
			for _, o := range offsets {
				op := m.op(history.Commit, o.TP, int32(history.None))
				op.Offset, op.Call, op.Outcome, op.Error = o.Offset, int64(m.e.Mono()), history.Unknown, "the client died"
				op.Return = op.Call
				m.commits = append(m.commits, op)
			}
			k.Commit(offsets, o.Session/2) // how it ended is in the history
			m.commits = nil
		}
	}
	k.Close(o.Session)
}

func (m *memberRun) op(kind history.Kind, tp wire.TopicPartition, generation int32) history.Op {
	op := history.NewOp(kind, tp.Topic, tp.Partition)
	op.Process, op.Group, op.Generation = m.process, m.l.Groups.Group, generation
	return op
}

func (m *memberRun) assigned(_ string, _ int32, partitions []wire.TopicPartition) {
	for _, tp := range partitions {
		m.owned[tp] = m.e.Mono()
		delete(m.gives, tp)
		m.seek[tp.Partition] = true
	}
}

// revoking is told before the member gives partitions up. That the group agrees it learns later, when another may have
// them already.
func (m *memberRun) revoking(partitions []wire.TopicPartition) {
	for _, tp := range partitions {
		m.gives[tp] = m.e.Mono()
	}
}

func (m *memberRun) revoked(generation int32, partitions []wire.TopicPartition, orderly bool) {
	for _, tp := range partitions {
		since, ok := m.owned[tp]
		if !ok {
			continue
		}
		delete(m.owned, tp)
		op := m.op(history.Own, tp, generation)
		op.Call, op.Return, op.Outcome = int64(since), int64(m.e.Mono()), history.Unknown
		if at, ok := m.gives[tp]; ok && orderly && !m.l.Groups.KeepRevoked {
			op.Return = int64(at)
		}
		// Who slept meanwhile may have been given up by the group, and cannot know before it is told.
		if orderly && !m.l.sleptSince(m.name, since) {
			op.Outcome = history.OK
		}
		m.l.record(op)
		m.l.count(func(c *Counts) { c.Owned++ })
	}
}

func (m *memberRun) fetched(tp wire.TopicPartition, offset int64, called, returned env.Instant) {
	op := m.op(history.OffsetFetch, tp, int32(history.None))
	op.Offset, op.Call, op.Return, op.Outcome = offset, int64(called), int64(returned), history.OK
	m.l.record(op)
}

func (m *memberRun) committed(offsets []client.CommitOffset, called, returned env.Instant, err error) {
	for _, o := range offsets {
		op := m.op(history.Commit, o.TP, int32(history.None))
		op.Offset, op.Call, op.Return, op.Outcome = o.Offset, int64(called), int64(returned), history.OK
		if err != nil {
			op.Outcome, op.Error = history.Unknown, err.Error()
		} else {
			m.l.count(func(c *Counts) { c.Commits++ })
		}
		m.l.record(op)
	}
}
