package check

import (
	"cmp"
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// ofGroup is what happened in one group with one partition.
type ofGroup struct {
	group string
	*part
	owns, commits, fetches, reads []int32
}

// checkGroups judges ownership and committed offsets, by sorting. What it relies on: members begin where the group's committed offset
// is and commit what they have read, so that nobody commits less than what is committed; nobody resets; nothing expires before
// the topic's OffsetsRetention; and an offset is fetched with requireStable.
func (j *judge) checkGroups() {
	for _, g := range j.splitGroups() {
		g.checkOwners()
		g.checkKept()
		g.checkKnown()
		g.checkProcessed()
	}
}

func (j *judge) splitGroups() []*ofGroup {
	type key struct {
		group, topic string
		partition    int32
	}
	groups := map[key]*ofGroup{}
	var list []*ofGroup
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		if op.Group == "" {
			continue
		}
		k := key{op.Group, op.Topic, op.Partition}
		g := groups[k]
		if g == nil {
			t := slices.IndexFunc(j.h.Header.Topics, func(t history.Topic) bool { return t.Name == op.Topic })
			if t < 0 {
				continue // split has said so
			}
			g = &ofGroup{group: op.Group, part: &part{j: j, topic: &j.h.Header.Topics[t], partition: op.Partition}}
			groups[k] = g
			list = append(list, g)
		}
		switch op.Kind {
		case history.Own:
			g.owns = append(g.owns, int32(i))
		case history.Commit:
			g.commits = append(g.commits, int32(i))
		case history.Fetch:
			g.reads = append(g.reads, int32(i))
		default:
			g.fetches = append(g.fetches, int32(i))
		}
	}
	return list
}

func (g *ofGroup) by(list []int32, time func(int32) int64) []int32 {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b int32) int { return cmp.Compare(time(a), time(b)) })
	return sorted
}

func (g *ofGroup) call(i int32) int64 { return g.op(i).Call }

// returned is when an operation had taken effect: a commit that is part of a transaction does so with that.
func (g *ofGroup) returned(i int32) int64 {
	if t := g.j.byName[g.op(i).Txn]; t != nil && t.state == txnCommitted {
		return max(g.op(i).Return, t.committedAt)
	}
	return g.op(i).Return
}

// outcome is that of an operation, with its transaction taken into account.
func (g *ofGroup) outcome(i int32) history.Outcome {
	op := g.op(i)
	t := g.j.byName[op.Txn]
	switch {
	case t == nil || op.Outcome == history.Failed:
		return op.Outcome
	case t.state == txnAborted:
		return history.Failed
	case t.state == txnCommitted:
		return op.Outcome
	}
	return history.Unknown
}

// checkOwners holds that in a generation one member owns the partition, and that ownerships which ended in agreement with the group do
// not overlap: who gave it up late knew of its loss late, and says so by an end that is unknown.
func (g *ofGroup) checkOwners() {
	byGeneration := map[int32]int32{}
	last := none
	for _, i := range g.by(g.owns, g.call) {
		op := g.op(i)
		other, ok := byGeneration[op.Generation]
		if g.topic.OffsetsRetention > 0 && ok && op.Call > g.op(other).Return {
			ok = false // an empty group without offsets goes, and another of its name counts from the start
		}
		if ok && g.op(other).Process != op.Process {
			g.violate(OneOwner, fmt.Sprintf("members %d and %d of group %s both own it in generation %d", g.op(other).Process, op.Process, g.group, op.Generation), other, i)
		} else {
			byGeneration[op.Generation] = i
		}
		if op.Outcome != history.OK {
			continue
		}
		if last != none && g.op(last).Process != op.Process && g.op(last).Return > op.Call {
			g.violate(OneOwner, fmt.Sprintf("member %d of group %s owns it from generation %d on, before member %d has given it up, which it did in generation %d",
				op.Process, g.group, op.Generation, g.op(last).Process, g.op(last).Generation), last, i)
		}
		if last == none || g.op(last).Return < op.Return {
			last = i
		}
	}
}

// checkKept holds that who asks for the committed offset is told no less than what was committed, or told to anybody, before. An offset may be gone
// once nobody has committed for the retention: its group must have been empty for as long, and it was not before its last commit was called.
func (g *ofGroup) checkKept() {
	known := g.by(append(slices.Clone(g.commits), g.fetches...), g.returned)
	calls := g.by(g.commits, g.call)
	best, next, nextCall := none, 0, 0
	last := int64(0) // when a commit was called last
	for _, i := range g.by(g.fetches, g.call) {
		op := g.op(i)
		for ; next < len(known) && g.returned(known[next]) < op.Call; next++ {
			k := g.op(known[next])
			if g.j.is(MutantCommitsForgotten) && k.Kind == history.Commit {
				continue
			}
			if g.outcome(known[next]) == history.OK && (best == none || k.Offset > g.op(best).Offset) {
				best = known[next]
			}
		}
		for ; nextCall < len(calls) && g.op(calls[nextCall]).Call < op.Call; nextCall++ {
			last = g.op(calls[nextCall]).Call
		}
		if op.Outcome != history.OK || best == none || op.Offset >= g.op(best).Offset {
			continue
		}
		if kept := g.topic.OffsetsRetention; kept > 0 && op.Offset == history.None && op.Return-last >= kept {
			best = none // expired: the group begins anew
			continue
		}
		g.violate(OffsetKept, fmt.Sprintf("operation %d is told that group %s is at %d, after operation %d (%s) was told %d",
			op.ID, g.group, op.Offset, g.op(best).ID, g.op(best).Kind, g.op(best).Offset), best, i)
	}
}

// checkKnown holds that what is told to be committed was committed by somebody, before.
func (g *ofGroup) checkKnown() {
	first := map[int64]int64{} // offset → when its first commit was called
	for _, i := range g.commits {
		op := g.op(i)
		if g.outcome(i) == history.Failed {
			continue
		}
		if at, ok := first[op.Offset]; !ok || op.Call < at {
			first[op.Offset] = op.Call
		}
	}
	for _, i := range g.fetches {
		op := g.op(i)
		if op.Outcome != history.OK || op.Offset < 0 {
			continue
		}
		if at, ok := first[op.Offset]; !ok || at > op.Return {
			g.violate(OffsetKnown, fmt.Sprintf("operation %d is told that group %s is at %d, which nobody had committed", op.ID, g.group, op.Offset), i)
		}
	}
}
