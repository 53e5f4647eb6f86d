package group

import (
	"slices"
	"time"

	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maybeRebalance begins a rebalance, unless one has begun.
func (g *Group) maybeRebalance(now Now) {
	if g.state == Stable || g.state == CompletingRebalance || g.state == Empty {
		g.prepareRebalance(now)
	}
}

// prepareRebalance begins a rebalance: everybody has the longest rebalance time-out of all to join again. The first one of an
// empty group waits a little for further members, and a little more for each that comes (KIP-134).
//
// Source: GroupCoordinator#prepareRebalance, InitialDelayedJoin.
func (g *Group) prepareRebalance(now Now) {
	if g.state == CompletingRebalance {
		markRebalanceBeforeTheAssignment.Hit()
		g.failAssignment(now, kerr.RebalanceInProgress)
	}
	g.syncBy = env.Never
	wait := g.rebalanceTimeout()
	g.initial = g.state == Empty
	if g.initial {
		g.initialLeft = max(0, wait-g.limits.InitialDelay)
		g.newcomers = false
		wait = g.limits.InitialDelay
	}
	g.become(PreparingRebalance, now)
	g.joinBy = now.Mono.Add(wait)
	g.due(g.joinBy)
	g.maybeCompleteJoin(now)
}

// maybeCompleteJoin begins the next generation if everybody has joined. An empty group's first one takes its time.
func (g *Group) maybeCompleteJoin(now Now) {
	if g.state != PreparingRebalance || g.initial || len(g.pending) > 0 {
		return
	}
	if slices.ContainsFunc(g.members, func(m *member) bool { return m.join == nil }) {
		return
	}
	g.completeJoin(now)
}

// joinExpired is what happens when the time to join is over.
func (g *Group) joinExpired(now Now) {
	if g.initial && g.newcomers && min(g.limits.InitialDelay, g.initialLeft) > 0 {
		g.newcomers = false
		markFirstRebalanceWaitsForMore.Hit()
		wait := min(g.limits.InitialDelay, g.initialLeft)
		g.initialLeft -= wait
		g.joinBy = now.Mono.Add(wait)
		g.due(g.joinBy)
		return
	}
	g.completeJoin(now)
}

// completeJoin begins the next generation with those that have joined; dynamic members that have not are out. If only
// static members are left, and none of them has joined, it is put off.
//
// Source: GroupCoordinator#onCompleteJoin.
func (g *Group) completeJoin(now Now) {
	g.initial = false
	for _, m := range slices.Clone(g.members) {
		if m.join == nil && m.instance == nil {
			markMemberDidNotJoinAgain.Hit()
			g.remove(m.id)
		}
	}
	if !g.electLeader() {
		markNobodyToLead.Hit()
		g.joinBy = now.Mono.Add(max(g.rebalanceTimeout(), time.Millisecond))
		g.due(g.joinBy)
		return
	}
	g.joinBy = env.Never
	g.generation++
	g.inherited = false
	if len(g.members) == 0 {
		g.protocol = ""
		g.become(Empty, now)
		g.computeSubscribed()
		g.write(g.value(nil), func(Now, *kerr.Error) {})
		return
	}
	g.protocol = g.selectProtocol()
	g.become(CompletingRebalance, now)
	g.computeSubscribed()
	for _, m := range slices.Clone(g.members) {
		m.answerJoin(g.joined(m, m.id == g.leader))
		g.beat(m, now)
		m.isNew, m.pendingSync = false, true
	}
	g.syncBy = now.Mono.Add(g.rebalanceTimeout())
	g.due(g.syncBy)
}

// electLeader makes sure that the leader is one who has joined, and reports whether there is one, or no member at all.
// Source: GroupMetadata#maybeElectNewJoinedLeader.
func (g *Group) electLeader() bool {
	if len(g.members) == 0 {
		return true
	}
	if m := g.member(g.leader); m != nil && m.join != nil {
		return true
	}
	for _, m := range g.members {
		if m.join != nil {
			markAnotherLeader.Hit()
			g.leader = m.id
			return true
		}
	}
	return false
}

// syncExpired removes the members that have not synced (GroupCoordinator#onExpirePendingSync).
func (g *Group) syncExpired(now Now) {
	g.syncBy = env.Never
	if g.state != CompletingRebalance && g.state != Stable {
		return
	}
	gone := false
	for _, m := range slices.Clone(g.members) {
		if m.pendingSync {
			markMemberDidNotSync.Hit()
			g.remove(m.id)
			gone = true
		}
	}
	if gone {
		g.prepareRebalance(now)
	}
}

// Tick lets time pass: sessions end, and so does the patience with those that do not join or sync.
// Source: GroupCoordinator#onExpireHeartbeat.
func (g *Group) Tick(now Now) {
	if g.state == Dead {
		g.next = env.Never
		return
	}
	if g.joinBy <= now.Mono && g.state == PreparingRebalance {
		g.joinExpired(now)
	}
	if g.syncBy <= now.Mono {
		g.syncExpired(now)
	}
	for _, p := range slices.Clone(g.pending) {
		if p.deadline <= now.Mono {
			g.removePending(now, p.id)
		}
	}
	for _, m := range slices.Clone(g.members) {
		if m.deadline > now.Mono {
			continue
		}
		if !m.isNew && (m.join != nil || m.sync != nil) {
			markSessionOverWhileWaiting.Hit()
			m.deadline = env.Never // who waits for the rebalance is there; its session begins anew with the answer
			continue
		}
		g.removeMember(now, m)
	}
	g.next = min(g.joinBy, g.syncBy)
	for _, p := range g.pending {
		g.due(p.deadline)
	}
	for _, m := range g.members {
		g.due(m.deadline)
	}
}

// removeMember takes out a member that has left or is gone. Source: GroupCoordinator#removeMemberAndUpdateGroup.
func (g *Group) removeMember(now Now, m *member) {
	m.answerJoin(refuseJoin("", kerr.UnknownMemberID))
	m.answerSync(SyncResult{Err: kerr.UnknownMemberID})
	g.remove(m.id)
	switch g.state {
	case Stable, CompletingRebalance:
		g.maybeRebalance(now)
	case PreparingRebalance:
		g.maybeCompleteJoin(now)
	}
	if g.state == PreparingRebalance {
		g.noteGone(m.id)
	}
}

// goneSession is the session of a member that is noted to be gone, in ms.
const goneSession = 1

// noteGone writes down that a member of the last written generation is gone: its session is as good as over.
//
// DEVIATION(KIP-62): Kafka writes nothing before the next generation. If the coordinator dies in between, the next one would wait for the
// member, and all others with it, for as long as its session is, and clients give the group up meanwhile. In this form Kafka's
// coordinator would read it, too.
func (g *Group) noteGone(id string) {
	if g.written == nil {
		return
	}
	i := slices.IndexFunc(g.written.Members, func(m kmsg.GroupMetadataValueMember) bool { return m.MemberID == id })
	if i < 0 || g.written.Members[i].SessionTimeoutMillis == goneSession {
		return
	}
	noted := *g.written
	noted.Members = slices.Clone(g.written.Members)
	noted.Members[i].SessionTimeoutMillis = goneSession
	g.write(&noted, func(Now, *kerr.Error) {})
}

// write has a state written.
func (g *Group) write(v *kmsg.GroupMetadataValue, done func(Now, *kerr.Error)) {
	g.written = v
	g.writes = append(g.writes, Write{Value: v, Done: done})
}

func (g *Group) removePending(now Now, id string) {
	g.dropPending(id)
	g.maybeCompleteJoin(now)
}

// Unload answers everybody who waits: the group is another broker's now. Source: GroupCoordinator#onGroupUnloaded.
func (g *Group) Unload(now Now) {
	g.become(Dead, now)
	for _, m := range g.members {
		markUnloadedWithMembers.Hit()
		m.answerJoin(refuseJoin(m.id, kerr.NotCoordinator))
		m.answerSync(SyncResult{Err: kerr.NotCoordinator})
	}
	g.next = env.Never
}
