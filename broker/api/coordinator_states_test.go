package api_test

import (
	"fmt"
	"testing"
	"time"

	"barnabas/broker/coordinator"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// beside is a second client of the same broker.
func (d *desk) beside() *desk {
	other := *d
	other.conn = d.dial()
	return &other
}

// described is what DescribeGroups tells of a group.
func (d *desk) described(id string) kmsg.DescribeGroupsResponseGroup {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups = 5, []string{id}
	return do[*kmsg.DescribeGroupsResponse](d, req).Groups[0]
}

func (d *desk) deleteGroup(id string) int16 {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Version, req.Groups = 2, []string{id}
	return do[*kmsg.DeleteGroupsResponse](d, req).Groups[0].ErrorCode
}

func memberOf(joined *kmsg.JoinGroupResponse) func(*kmsg.OffsetCommitRequest) {
	return func(r *kmsg.OffsetCommitRequest) { r.MemberID, r.Generation = joined.MemberID, joined.Generation }
}

// Goal: in every state of a rebalance members hear what Kafka tells them, and administrators that there is a rebalance and not what members had before. Method: a
// second member joins, the first looks around before it joins again.
func TestGroupRequestsInARebalance(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, _ *producer) {
		state := func(want string, members int) {
			t.Helper()
			g := d.described("g")
			if g.State != want || g.ErrorCode != 0 || g.Protocol != "" || g.ProtocolType != "consumer" || len(g.Members) != members {
				t.Errorf("%s: %+v", want, g)
			}
			for _, m := range g.Members {
				if len(m.ProtocolMetadata) != 0 || len(m.MemberAssignment) != 0 || m.ClientID != "test" || m.ClientHost == "" {
					t.Errorf("%s: %+v", want, m)
				}
			}
		}
		first, second := d.member(nil), d.beside()
		defer second.conn.Close()
		ask := joinRequest(3, "")
		waits := second.send(ask)
		d.eventually("the rebalance", func() bool { return d.beat(4, first.MemberID, first.Generation) != 0 })
		for v := int16(0); v <= 4; v++ {
			wants(t, "heartbeat in a rebalance", d.beat(v, first.MemberID, first.Generation), kerr.RebalanceInProgress)
		}
		for v := int16(0); v <= 5; v++ {
			wants(t, "sync in a rebalance", do[*kmsg.SyncGroupResponse](d, syncRequest(v, first)).ErrorCode, kerr.RebalanceInProgress)
		}
		wants(t, "commit in a rebalance", d.commit(8, 5, memberOf(first)), nil)
		wants(t, "delete in a rebalance", d.deleteGroup("g"), kerr.NonEmptyGroup)
		state("PreparingRebalance", 2)
		first = do[*kmsg.JoinGroupResponse](d, joinRequest(3, first.MemberID))
		joined := second.receive(ask, waits).(*kmsg.JoinGroupResponse)
		if first.ErrorCode != 0 || joined.ErrorCode != 0 || first.Generation != joined.Generation || len(first.Members) != 2 || len(joined.Members) != 0 || joined.LeaderID != first.MemberID {
			t.Fatalf("%+v\n%+v", first, joined)
		}
		state("CompletingRebalance", 2)
		for v := int16(1); v <= 9; v++ {
			wants(t, "commit before the assignment", d.commit(v, 6, memberOf(first)), kerr.RebalanceInProgress)
		}
		wants(t, "heartbeat before the assignment", d.beat(4, first.MemberID, first.Generation), nil)
		wants(t, "delete before the assignment", d.deleteGroup("g"), kerr.NonEmptyGroup)
		same := do[*kmsg.JoinGroupResponse](d, joinRequest(3, first.MemberID))
		if same.ErrorCode != 0 || same.Generation != first.Generation || len(same.Members) != 2 {
			t.Errorf("the leader joins again with the same words: %+v", same)
		}
		// The first changes its mind: who waits for its assignment is told to join again.
		sync := syncRequest(3, joined)
		waits = second.send(sync)
		changed := joinRequest(3, first.MemberID)
		changed.Protocols[0].Metadata = append(changed.Protocols[0].Metadata, 1)
		again := d.send(changed)
		wants(t, "the wait for the assignment", second.receive(sync, waits).(*kmsg.SyncGroupResponse).ErrorCode, kerr.RebalanceInProgress)
		waits = second.send(joinRequest(3, joined.MemberID))
		joined = second.receive(ask, waits).(*kmsg.JoinGroupResponse)
		if got := d.receive(changed, again).(*kmsg.JoinGroupResponse); got.Generation != first.Generation+1 || joined.Generation != got.Generation {
			t.Errorf("%+v\n%+v", got, joined)
		}
	})
}

// Goal: whoever waits for a coordinator that is one no more is told so at once, and so is whoever asks it for anything. Method: a member waits to join, then for its
// assignment, and the broker does not lead the partition any more.
func TestGroupRequestsToWhoCoordinatesNoMore(t *testing.T) {
	home := coordinator.PartitionFor("g", 50)
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		second := d.beside()
		defer second.conn.Close()
		first := d.member(nil)
		ask := joinRequest(3, "")
		waits, began := second.send(ask), d.e.Mono()
		d.eventually("the rebalance", func() bool { return d.beat(4, first.MemberID, first.Generation) != 0 })
		d.groups.Resigned(home)
		wants(t, "who waits to join", second.receive(ask, waits).(*kmsg.JoinGroupResponse).ErrorCode, kerr.NotCoordinator)

		d.groups.Elected(home, 5)
		d.eventually("the load", func() bool { _, code := d.listed(); return code == 0 })
		waits = second.send(ask)
		d.eventually("the rebalance", func() bool { return d.beat(4, first.MemberID, first.Generation) == kerr.RebalanceInProgress.Code })
		first = do[*kmsg.JoinGroupResponse](d, joinRequest(3, first.MemberID))
		joined := second.receive(ask, waits).(*kmsg.JoinGroupResponse)
		wants(t, "join", joined.ErrorCode, nil)
		sync := syncRequest(3, joined)
		waits = second.send(sync)
		d.e.Sleep(100 * time.Millisecond)
		d.groups.Resigned(home)
		wants(t, "who waits for an assignment", second.receive(sync, waits).(*kmsg.SyncGroupResponse).ErrorCode, kerr.NotCoordinator)
		if took := d.e.Mono().Sub(began); took > 5*time.Second {
			t.Errorf("that took %s", took)
		}

		wants(t, "join", do[*kmsg.JoinGroupResponse](d, joinRequest(9, first.MemberID)).ErrorCode, kerr.NotCoordinator)
		wants(t, "sync", do[*kmsg.SyncGroupResponse](d, syncRequest(5, first)).ErrorCode, kerr.NotCoordinator)
		wants(t, "heartbeat", d.beat(4, first.MemberID, first.Generation), kerr.NotCoordinator)
		for v := int16(0); v <= 5; v++ {
			wants(t, fmt.Sprintf("leave v%d", v), d.leave(v, first.MemberID), kerr.NotCoordinator)
		}
		for v := int16(1); v <= 9; v++ {
			wants(t, fmt.Sprintf("commit v%d", v), d.commit(v, 1, memberOf(first)), kerr.NotCoordinator)
		}
		for v := int16(0); v <= 4; v++ {
			wants(t, fmt.Sprintf("transactional commit v%d", v), d.commitOffsets(p.offsetsRequest(v, 1)), kerr.NotCoordinator)
		}
		wants(t, "delete offsets", d.deleteOffsets("t", 0).ErrorCode, kerr.NotCoordinator)
		wants(t, "delete", d.deleteGroup("g"), kerr.NotCoordinator)
		if g := d.described("g"); g.ErrorCode != kerr.NotCoordinator.Code || g.State != "" || len(g.Members) != 0 {
			t.Errorf("describe: %+v", g)
		}
		if ids, code := d.listed(); code != 0 || len(ids) != 0 {
			t.Errorf("groups %v, %d", ids, code)
		}
	})
}

// Goal: the group without a name is one that offsets may be kept for, and no member may be of. Method: every request of groups, with an empty name.
func TestTheGroupWithoutAName(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		nameless := func(req kmsg.Request) int16 {
			switch r := req.(type) {
			case *kmsg.LeaveGroupRequest:
				r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}
				return do[*kmsg.LeaveGroupResponse](d, r).ErrorCode
			case *kmsg.OffsetDeleteRequest:
				r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
				return do[*kmsg.OffsetDeleteResponse](d, r).ErrorCode
			case *kmsg.JoinGroupRequest:
				r.Group = ""
				return do[*kmsg.JoinGroupResponse](d, r).ErrorCode
			case *kmsg.SyncGroupRequest:
				r.Group = ""
				return do[*kmsg.SyncGroupResponse](d, r).ErrorCode
			case *kmsg.HeartbeatRequest:
				return do[*kmsg.HeartbeatResponse](d, r).ErrorCode
			}
			panic("no case")
		}
		nobody := kmsg.NewPtrJoinGroupResponse()
		for v := int16(0); v <= 5; v++ {
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Version = v
			wants(t, fmt.Sprintf("leave v%d", v), nameless(leave), kerr.InvalidGroupID)
			wants(t, fmt.Sprintf("sync v%d", v), nameless(syncRequest(v, nobody)), kerr.InvalidGroupID)
		}
		for v := int16(0); v <= 9; v++ {
			wants(t, fmt.Sprintf("join v%d", v), nameless(joinRequest(v, "")), kerr.InvalidGroupID)
		}
		wants(t, "heartbeat", nameless(kmsg.NewPtrHeartbeatRequest()), kerr.InvalidGroupID)
		wants(t, "delete offsets", nameless(kmsg.NewPtrOffsetDeleteRequest()), kerr.InvalidGroupID)
		// "" lives in partition 0, which is another broker's here: these look no further than that.
		wants(t, "commit", d.commit(8, 1, func(r *kmsg.OffsetCommitRequest) { r.Group = "" }), kerr.NotCoordinator)
		_, code := d.offsetOf(7, "")
		wants(t, "fetch", code, kerr.NotCoordinator)
		wants(t, "describe", d.described("").ErrorCode, kerr.NotCoordinator)
		wants(t, "delete", d.deleteGroup(""), kerr.NotCoordinator)
	})
}
