package group

import (
	"time"

	"barnabas/broker/assert"

	"github.com/twmb/franz-go/pkg/kerr"
)

// JoinRequest is what a member says when it joins.
type JoinRequest struct {
	MemberID             string // "" for a new member
	InstanceID           *string
	ClientID, ClientHost string
	Session, Rebalance   time.Duration
	ProtocolType         string
	Protocols            []Protocol // in order of preference; the group keeps them
	// NewID is the id that a new member is given.
	NewID string
	// RequireKnownID makes a new member come again with its id (KIP-394).
	RequireKnownID bool
	// SkipAssignment says that a static leader that comes back can be told not to assign anew (KIP-814).
	SkipAssignment bool
}

// JoinResult answers a JoinGroup.
type JoinResult struct {
	Err                    *kerr.Error
	MemberID               string
	Generation             int32 // -1 with an error, but for a static member's return that could not be written
	ProtocolType, Protocol string
	Leader                 string
	SkipAssignment         bool
	Members                []Joined // for the leader alone
}

// Joined is a member as its leader is told of it.
type Joined struct {
	MemberID   string
	InstanceID *string
	Metadata   []byte
}

const noGeneration int32 = -1

func refuseJoin(memberID string, err *kerr.Error) JoinResult {
	return JoinResult{Err: err, MemberID: memberID, Generation: noGeneration}
}

// Join lets a member join, or join again. answer is called once, now or when the generation begins.
// Source: GroupCoordinator#handleJoinGroup.
func (g *Group) Join(now Now, r JoinRequest, answer func(JoinResult)) {
	switch {
	case !g.hasRoom(r.MemberID):
		g.remove(r.MemberID)
		markJoinRefusedGroupIsFull.Hit()
		answer(refuseJoin("", kerr.GroupMaxSizeReached))
	case g.state == Dead:
		answer(refuseJoin(r.MemberID, kerr.CoordinatorNotAvailable))
	case !g.supports(r.ProtocolType, r.Protocols):
		markJoinRefusedNoCommonProtocol.Hit()
		answer(refuseJoin(r.MemberID, kerr.InconsistentGroupProtocol))
	case r.MemberID == "":
		g.joinNew(now, r, answer)
	default:
		g.joinKnown(now, r, answer)
	}
	g.maybeCompleteJoin(now)
}

// hasRoom holds the group to its size (GroupCoordinator#acceptJoiningMember).
func (g *Group) hasRoom(memberID string) bool {
	switch g.state {
	case PreparingRebalance:
		// Members that have not joined again yet may be gone for good: those that wait are counted.
		waiting := 0
		for _, m := range g.members {
			if m.join != nil {
				if m.id == memberID {
					return true
				}
				waiting++
			}
		}
		return waiting < g.limits.SizeMax
	case CompletingRebalance, Stable:
		return g.member(memberID) != nil || len(g.members) < g.limits.SizeMax
	default:
		return true
	}
}

func (g *Group) joinNew(now Now, r JoinRequest, answer func(JoinResult)) {
	assert.That(r.NewID != "", "INV-GROUP-MEMBER: a new member of group %s has an id", g.ID)
	if r.InstanceID != nil {
		if old, ok := g.static[*r.InstanceID]; ok {
			markStaticMemberComesBack.Hit()
			g.replaceStatic(now, r, old, answer)
			return
		}
		g.addAndRebalance(now, r, r.NewID, answer)
		return
	}
	if r.RequireKnownID {
		deadline := now.Mono.Add(r.Session)
		g.pending = append(g.pending, pendingMember{id: r.NewID, deadline: deadline})
		g.due(deadline)
		markJoinToldItsIdFirst.Hit()
		answer(refuseJoin(r.NewID, kerr.MemberIDRequired))
		return
	}
	g.addAndRebalance(now, r, r.NewID, answer)
}

func (g *Group) joinKnown(now Now, r JoinRequest, answer func(JoinResult)) {
	if g.isPending(r.MemberID) {
		if r.InstanceID != nil { // a static member never was pending
			answer(refuseJoin(r.MemberID, kerr.UnknownMemberID))
			return
		}
		g.addAndRebalance(now, r, r.MemberID, answer)
		return
	}
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		markJoinOfAStranger.Hit()
		answer(refuseJoin(r.MemberID, err))
		return
	}
	m := g.member(r.MemberID)
	switch g.state {
	case PreparingRebalance:
		g.updateAndRebalance(now, m, r, answer)
	case CompletingRebalance:
		// The same words again: its first answer was lost, most likely.
		if m.matches(r.Protocols) {
			markJoinSaidAgain.Hit()
			answer(g.joined(m, m.id == g.leader))
			return
		}
		g.updateAndRebalance(now, m, r, answer)
	case Stable:
		// A leader that joins again wants a rebalance: it may know of new partitions.
		if m.id == g.leader || !m.matches(r.Protocols) {
			g.updateAndRebalance(now, m, r, answer)
			return
		}
		markJoinOfAStableMember.Hit()
		answer(g.joined(m, false))
	default:
		answer(refuseJoin(r.MemberID, kerr.UnknownMemberID))
	}
}

// joined is a member's answer in the present generation.
func (g *Group) joined(m *member, withMembers bool) JoinResult {
	r := JoinResult{MemberID: m.id, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader}
	if withMembers {
		for _, other := range g.members {
			r.Members = append(r.Members, Joined{MemberID: other.id, InstanceID: other.instance, Metadata: other.metadata(g.protocol)})
		}
	}
	return r
}

func (g *Group) addAndRebalance(now Now, r JoinRequest, id string, answer func(JoinResult)) {
	m := &member{id: id, instance: r.InstanceID, clientID: r.ClientID, clientHost: r.ClientHost, session: r.Session, rebalance: r.Rebalance,
		protocols: r.Protocols, join: answer, isNew: true}
	if g.state == PreparingRebalance && g.generation == 0 {
		g.newcomers = true
	}
	if len(g.members) == 0 {
		g.protocolType = r.ProtocolType
	}
	g.add(m)
	g.beatFor(m, newMemberJoinTimeout, now)
	g.maybeRebalance(now)
}

func (g *Group) update(m *member, r JoinRequest, answer func(JoinResult)) {
	m.protocols, m.session, m.rebalance = r.Protocols, r.Session, r.Rebalance
	if old := m.join; old != nil && answer != nil {
		// DEVIATION(KIP-62): Kafka forgets whoever waited in the member's name before, and leaves its connection waiting.
		m.join = nil
		markJoinDisplacesAnEarlierOne.Hit()
		old(refuseJoin(m.id, kerr.RebalanceInProgress))
	}
	m.join = answer
}

func (g *Group) updateAndRebalance(now Now, m *member, r JoinRequest, answer func(JoinResult)) {
	g.update(m, r, answer)
	g.maybeRebalance(now)
}

// replaceStatic lets a static member that has restarted take its old self's place (KIP-345): all of it but the id and what it can do, the client's id and
// host too. In a stable group no rebalance follows, unless another protocol would be chosen.
//
// Source: GroupCoordinator#updateStaticMemberAndRebalance.
func (g *Group) replaceStatic(now Now, r JoinRequest, oldID string, answer func(JoinResult)) {
	m, leaderBefore := g.member(oldID), g.leader
	before := *m
	g.rename(m, r.NewID)
	g.update(m, r, answer)
	g.beat(m, now)
	switch g.state {
	case Stable:
		if g.selectProtocol() != g.protocol {
			markStaticMemberChangesTheProtocol.Hit()
			g.maybeRebalance(now)
			return
		}
		assignments := map[string][]byte{}
		for _, other := range g.members {
			assignments[other.id] = other.assignment
		}
		g.write(g.value(assignments), func(now Now, err *kerr.Error) {
			g.replacedStatic(now, m, before, leaderBefore, r, err)
		})
	case CompletingRebalance:
		markStaticMemberBackBeforeTheAssignment.Hit()
		// The leader may know the old id, and would assign to it.
		g.prepareRebalance(now)
	}
}

func (g *Group) replacedStatic(now Now, m *member, before member, leaderBefore string, r JoinRequest, err *kerr.Error) {
	if m.id != r.NewID || g.member(m.id) != m || g.state == Dead {
		markStaticMemberReplacedAgain.Hit()
		return // replaced again, or gone; it has been answered
	}
	if err != nil {
		markStaticMemberNotWritten.Hit()
		result := g.joined(m, false)
		result.Err, result.MemberID, result.Leader = err, "", leaderBefore
		m.answerJoin(result)
		// DEVIATION(KIP-345): Kafka leaves the member with its new self's protocols, which it takes for the old ones.
		m.protocols, m.session, m.rebalance = before.protocols, before.session, before.rebalance
		g.rename(m, before.id)
		g.beat(m, now)
		return
	}
	if g.state != Stable {
		// DEVIATION(KIP-345): Kafka answers it with the generation that is over, and it has to join again.
		markStaticMemberBackIntoARebalance.Hit()
		return // a rebalance has begun: it is answered with the others
	}
	result := g.joined(m, false)
	if r.SkipAssignment {
		result = g.joined(m, m.id == g.leader)
		result.SkipAssignment = m.id == g.leader
	} else {
		// Who is not told that it leads does not assign: a stable group would not hear its assignment.
		result.Leader = leaderBefore
	}
	m.answerJoin(result)
}

// rename gives a static member a new id; whoever still waits under the old one is fenced.
func (g *Group) rename(m *member, id string) {
	m.answerJoin(refuseJoin(m.id, kerr.FencedInstanceID))
	m.answerSync(SyncResult{Err: kerr.FencedInstanceID})
	if g.leader == m.id {
		g.leader = id
	}
	m.id = id
	g.static[*m.instance] = id
}
