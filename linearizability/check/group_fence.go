package check

import (
	"cmp"
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// checkFencedMembers holds that nobody commits in a generation once a member of its group owns something in a newer one: whoever slept through
// a rebalance may go on reading, and its commits are refused (ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID). A commit that is part of a transaction
// is refused when it is asked for, whatever becomes of the transaction.
//
// What it relies on: the group's generations count upwards. They do not where an empty group may go and another of its name begin anew, or
// where what coordinators wrote may be lost; such topics are passed over.
func (j *judge) checkFencedMembers() {
	counts := map[string]bool{}
	for i := range j.h.Header.Topics {
		t := &j.h.Header.Topics[i]
		counts[t.Name] = t.Durable && t.OffsetsRetention == 0 && !t.Displaced
	}
	owns, commits := map[string][]int32{}, map[string][]int32{}
	var groups []string
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		switch {
		case op.Group == "" || !counts[op.Topic] || op.Generation < 0:
		case op.Kind == history.Own:
			if owns[op.Group] == nil {
				groups = append(groups, op.Group)
			}
			owns[op.Group] = append(owns[op.Group], int32(i))
		case op.Kind == history.Commit && op.Outcome == history.OK:
			commits[op.Group] = append(commits[op.Group], int32(i))
		}
	}
	byCall := func(a, b int32) int { return cmp.Compare(j.h.Ops[a].Call, j.h.Ops[b].Call) }
	for _, group := range groups {
		slices.SortStableFunc(owns[group], byCall)
		slices.SortStableFunc(commits[group], byCall)
		newest, next := none, 0
		for _, i := range commits[group] {
			op := &j.h.Ops[i]
			for ; next < len(owns[group]) && j.h.Ops[owns[group][next]].Call < op.Call; next++ {
				if o := owns[group][next]; newest == none || j.h.Ops[o].Generation > j.h.Ops[newest].Generation {
					newest = o
				}
			}
			if newest == none || op.Generation >= j.h.Ops[newest].Generation {
				continue
			}
			owner := &j.h.Ops[newest]
			(&part{j: j, topic: &history.Topic{Name: op.Topic}, partition: op.Partition}).violate(GroupFenced, fmt.Sprintf(
				"operation %d, a commit of member %d of group %s in generation %d, was taken, though it was called after member %d had begun to own %s-%d in generation %d (operation %d)",
				op.ID, op.Process, group, op.Generation, owner.Process, owner.Topic, owner.Partition, owner.Generation, owner.ID), newest, i)
		}
	}
}
