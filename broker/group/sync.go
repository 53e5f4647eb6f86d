package group

import (
	"slices"

	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

// SyncRequest is what a member says when it asks for its assignment; the leader brings everybody's.
type SyncRequest struct {
	MemberID               string
	InstanceID             *string
	Generation             int32
	ProtocolType, Protocol *string // nil where the version does not say (before 5)
	Assignments            map[string][]byte
}

// SyncResult answers a SyncGroup.
type SyncResult struct {
	Err                    *kerr.Error
	ProtocolType, Protocol string
	Assignment             []byte
}

// Sync gives a member its assignment, now or once the leader's has been written. Source: GroupCoordinator#doSyncGroup.
func (g *Group) Sync(now Now, r SyncRequest, answer func(SyncResult)) {
	if err := g.validateSync(r); err != nil {
		answer(SyncResult{Err: err})
		return
	}
	m := g.member(r.MemberID)
	switch g.state {
	case PreparingRebalance:
		markSyncInARebalance.Hit()
		answer(SyncResult{Err: kerr.RebalanceInProgress})
	case CompletingRebalance:
		// DEVIATION(KIP-62): Kafka forgets whoever waited in the member's name before, and leaves its connection waiting.
		m.answerSync(SyncResult{Err: kerr.RebalanceInProgress})
		m.sync = answer
		g.synced(m)
		if m.id == g.leader {
			g.storeAssignment(r.Assignments)
		}
	case Stable:
		g.synced(m)
		markSyncOfAStableMember.Hit()
		answer(g.assigned(m))
		g.beat(m, now)
	default:
		answer(SyncResult{Err: kerr.UnknownMemberID})
	}
}

func (g *Group) validateSync(r SyncRequest) *kerr.Error {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable
	}
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		return err
	}
	switch {
	case r.Generation > g.generation && g.inherited:
		markSyncOfAGenerationNeverWritten.Hit()
		// DEVIATION(KIP-62): Kafka says ILLEGAL_GENERATION. The coordinator before us began a generation, answered the joins, and died before it was written:
		// the member is one of ours, and need but join again.
		return kerr.RebalanceInProgress
	case r.Generation != g.generation:
		markSyncOfAnotherGeneration.Hit()
		return kerr.IllegalGeneration
	case r.ProtocolType != nil && *r.ProtocolType != g.protocolType, r.Protocol != nil && *r.Protocol != g.protocol:
		return kerr.InconsistentGroupProtocol
	}
	return nil
}

func (g *Group) synced(m *member) {
	m.pendingSync = false
	if !slices.ContainsFunc(g.members, func(m *member) bool { return m.pendingSync }) {
		g.syncBy = env.Never
	}
}

func (g *Group) assigned(m *member) SyncResult {
	return SyncResult{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// storeAssignment writes the leader's assignment. Only once it is written does anybody hear of it: the next coordinator must
// know the generation in which members own partitions.
func (g *Group) storeAssignment(assignments map[string][]byte) {
	given := make(map[string][]byte, len(g.members))
	for _, m := range g.members {
		given[m.id] = assignments[m.id] // nothing where the leader left a member out
	}
	generation := g.generation
	g.write(g.value(given), func(now Now, err *kerr.Error) {
		markAssignmentWritten.Hit()
		// Another member may have joined meanwhile: then this assignment is of the past.
		if g.state != CompletingRebalance || g.generation != generation {
			return
		}
		if err != nil {
			markAssignmentNotWritten.Hit()
			g.failAssignment(now, err)
			g.maybeRebalance(now)
			return
		}
		for _, m := range g.members {
			m.assignment = given[m.id]
		}
		g.become(Stable, now)
		g.tellAssignments(now, nil)
	})
}

// failAssignment tells everybody who waits for an assignment that none comes.
func (g *Group) failAssignment(now Now, err *kerr.Error) {
	for _, m := range g.members {
		m.assignment = nil
	}
	g.tellAssignments(now, err)
}

func (g *Group) tellAssignments(now Now, err *kerr.Error) {
	for _, m := range slices.Clone(g.members) {
		r := SyncResult{Err: err}
		if err == nil {
			r = g.assigned(m)
		}
		if m.answerSync(r) {
			g.beat(m, now)
		}
	}
}

// Heartbeat says that a member lives. Errors tell it to join again, or that it is a member no more.
// Source: GroupCoordinator#handleHeartbeat.
func (g *Group) Heartbeat(now Now, memberID string, instance *string, generation int32) *kerr.Error {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable
	}
	if err := g.validate(memberID, instance); err != nil {
		return err
	}
	if generation != g.generation {
		markHeartbeatOfAnotherGeneration.Hit()
		return kerr.IllegalGeneration
	}
	switch g.state {
	case Empty:
		return kerr.UnknownMemberID
	case PreparingRebalance:
		markHeartbeatInARebalance.Hit()
		g.beat(g.member(memberID), now)
		return kerr.RebalanceInProgress
	default:
		g.beat(g.member(memberID), now)
		return nil
	}
}

// Leave takes a member out; a static one may be named by its instance alone. Source: GroupCoordinator#handleLeaveGroup.
func (g *Group) Leave(now Now, memberID string, instance *string) *kerr.Error {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable
	}
	switch {
	case memberID == "":
		if instance == nil || g.static[*instance] == "" {
			return kerr.UnknownMemberID
		}
		memberID = g.static[*instance]
	case g.isPending(memberID):
		markPendingMemberLeaves.Hit()
		g.removePending(now, memberID)
		return nil
	default:
		if err := g.validate(memberID, instance); err != nil {
			return err
		}
	}
	markMemberLeaves.Hit()
	g.removeMember(now, g.member(memberID))
	return nil
}
