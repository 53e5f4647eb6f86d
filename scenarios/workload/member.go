package workload

import (
	"fmt"
	"math/rand/v2"
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
	// ThinkMean is the mean time that the application takes over what it has polled, now and then, before it commits: what is fetched
	// meanwhile waits for its next poll. 0 for none.
	ThinkMean time.Duration
	// Static gives each member's machine an instance id (KIP-345): who comes back on it is the same member.
	Static bool
	// On, and Off in turn, is how long members are there together, and away together; no On is for ever.
	On  time.Duration
	Off []time.Duration
	// KeepRevoked and CommitFetched plant the bugs group-two-owners and commit-unread.
	KeepRevoked, CommitFetched bool
}

// pause is how long members are to be away at this moment, 0 when they are to be there, and until when that holds.
func (g *Groups) pause(now env.Instant) (away time.Duration, until env.Instant) {
	if g.On == 0 {
		return 0, env.Never
	}
	var at env.Instant
	for i := 0; ; i++ {
		end := at.Add(g.On)
		back := end.Add(g.Off[i%len(g.Off)])
		switch {
		case now < end:
			return 0, end
		case now < back:
			return back.Sub(now), back
		}
		at = back
	}
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
		l.sleepUntilBegin(e)
		for life := 0; !l.ending(); life++ {
			// Assignors go by the order of the members' ids, which begin with this: a new member is not to get its predecessor's share.
			c := l.client(e, fmt.Sprintf("%c-member-%d", 'a'+rune(r.IntN(26)), index))
			stay := env.Never
			if l.Groups.StayMean > 0 {
				stay = e.Mono().Add(jitter(r, l.Groups.StayMean))
			}
			away, until := l.Groups.pause(e.Mono())
			if away > 0 {
				c.Close()
				e.Sleep(away)
				continue
			}
			stay = min(stay, until)
			m := l.newMemberRun(e, name)
			m.run(c, stay, r)
			c.Close()
			e.Sleep(jitter(r, time.Second))
		}
	}
}

// newMemberRun begins a member's life. A static member's lives are those of one process: the group takes them for one.
func (l *Load) newMemberRun(e env.Env, name string) *memberRun {
	m := &memberRun{l: l, e: e, name: name, owned: map[wire.TopicPartition]env.Instant{}, gives: map[wire.TopicPartition]env.Instant{}, seek: make([]bool, l.Partitions)}
	number := 0
	if l.Groups.Static {
		number = l.instance(name)
	}
	if number == 0 {
		number = l.nextMember()
	}
	if l.Groups.Static {
		l.setInstance(name, number)
	}
	m.process = int32(firstMember+number) * processesPerClient
	return m
}

// instance is the number of the static member on a machine, 0 before its first life.
func (l *Load) instance(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.instances[name].number
}

func (l *Load) setInstance(name string, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.instances[name]
	i.number = number
	l.instances[name] = i
}

// instance is what is known of a static member.
type instance struct {
	number     int
	generation int32 // that it was in last
	life       *memberRun
}

// sameGeneration notes in which generation a static member owns something, and reports whether an earlier life of it was in that one already.
func (m *memberRun) sameGeneration(generation int32) bool {
	m.l.mu.Lock()
	defer m.l.mu.Unlock()
	i := m.l.instances[m.name]
	same := i.life != nil && i.life != m && i.generation == generation
	i.generation, i.life = generation, m
	m.l.instances[m.name] = i
	return same
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

func (m *memberRun) run(c *client.Client, until env.Instant, r *rand.Rand) {
	o := m.l.Groups
	k := client.NewMember(c, client.GroupOptions{Group: o.Group, Topics: []string{m.l.Topic}, Assignors: []string{o.Assignor}, Session: o.Session, Rebalance: o.Rebalance,
		Consumer:    client.ConsumerOptions{WaitMax: 250 * time.Millisecond, PartitionBytesMax: 64 << 10, BytesMax: 256 << 10},
		KeepRevoked: o.KeepRevoked, CommitFetched: o.CommitFetched, InstanceID: m.instanceID(),
		Listener: client.GroupListener{Assigned: m.assigned, Revoking: m.revoking, Revoked: m.revoked, Fetched: m.fetched, Committed: m.committed}})
	defer m.died()
	for !m.l.ending() && m.e.Mono() < until {
		fetched, err := k.Poll(500 * time.Millisecond)
		if err != nil {
			m.e.Sleep(200 * time.Millisecond) // it is refused for now: another try may do
			break
		}
		for i := range fetched {
			m.l.fetched(m.process, &fetched[i], m.seek, fetchKind{by: o.Group, at: m.e.Mono()})
		}
		if o.ThinkMean > 0 && len(fetched) > 0 && r.IntN(4) == 0 {
			m.e.Sleep(jitter(r, o.ThinkMean))
		}
		if r.IntN(max(1, o.CommitEvery)) == 0 {
			var offsets []client.CommitOffset
			for _, tp := range k.Owned() {
				if at, ok := k.Position(tp); ok && at >= 0 {
					offsets = append(offsets, client.CommitOffset{TP: tp, Offset: at})
				}
			}
			m.committing(offsets)
			k.Commit(offsets, o.Session/2) // how it ended is in the history
			m.commits = nil
		}
	}
	k.Close(o.Session)
}

// instanceID is the static member's name, "" for a dynamic one.
func (m *memberRun) instanceID() string {
	if m.l.Groups.Static {
		return m.name
	}
	return ""
}

// committing notes commits that are about to be sent.
func (m *memberRun) committing(offsets []client.CommitOffset) {
	for _, o := range offsets {
		op := m.op(history.Commit, o.TP, int32(history.None))
		op.Offset, op.Call, op.Outcome, op.Error = o.Offset, int64(m.e.Mono()), history.Unknown, "the client died"
		op.Return = op.Call
		m.commits = append(m.commits, op)
	}
}

func (m *memberRun) op(kind history.Kind, tp wire.TopicPartition, generation int32) history.Op {
	op := history.NewOp(kind, tp.Topic, tp.Partition)
	op.Process, op.Group, op.Generation = m.process, m.l.Groups.Group, generation
	return op
}

func (m *memberRun) assigned(_ string, generation int32, partitions []wire.TopicPartition) {
	if m.l.Groups.Static && m.sameGeneration(generation) {
		m.l.count(func(c *Counts) { c.Kept++ })
	}
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
	m.l.count(func(c *Counts) {
		if offset >= 0 {
			m.l.known[tp.Partition] = true
		} else if m.l.known[tp.Partition] {
			c.Expired++
			m.l.known[tp.Partition] = false
		}
	})
}

func (m *memberRun) committed(generation int32, offsets []client.CommitOffset, called, returned env.Instant, err error) {
	for _, o := range offsets {
		op := m.op(history.Commit, o.TP, generation)
		op.Offset, op.Call, op.Return, op.Outcome = o.Offset, int64(called), int64(returned), history.OK
		if err != nil {
			op.Outcome, op.Error = history.Unknown, err.Error()
		} else {
			m.l.count(func(c *Counts) {
				c.Commits++
				m.l.known[o.TP.Partition] = true
			})
		}
		m.l.record(op)
	}
}
