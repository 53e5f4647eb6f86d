package api_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/coordinator"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The group APIs at the wire, version by version: a real coordinator of the group "g" behind a real server.

func joinRequest(version int16, id string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = version, "g", id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 20_000
	said := kmsg.NewConsumerMemberMetadata()
	said.Topics = []string{"t"}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: said.AppendTo(nil)}}
	return req
}

func syncRequest(version int16, joined *kmsg.JoinGroupResponse) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = version, "g", joined.MemberID, joined.Generation
	if version >= 5 {
		kind, protocol := "consumer", "range"
		req.ProtocolType, req.Protocol = &kind, &protocol
	}
	req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte{7}}}
	return req
}

// member joins the empty group, with its id first where the version wants that, and syncs.
func (d *desk) member(change func(*kmsg.JoinGroupRequest)) *kmsg.JoinGroupResponse {
	d.t.Helper()
	req := joinRequest(3, "")
	if change != nil {
		change(req)
	}
	joined := do[*kmsg.JoinGroupResponse](d, req)
	if joined.ErrorCode == kerr.MemberIDRequired.Code {
		req.MemberID = joined.MemberID
		joined = do[*kmsg.JoinGroupResponse](d, req)
	}
	sync := syncRequest(3, joined)
	sync.InstanceID = req.InstanceID
	if code := do[*kmsg.SyncGroupResponse](d, sync).ErrorCode; joined.ErrorCode != 0 || code != 0 {
		d.t.Fatalf("join %v, sync %v", kerr.ErrorForCode(joined.ErrorCode), kerr.ErrorForCode(code))
	}
	return joined
}

func (d *desk) leave(version int16, id string) int16 {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group, req.MemberID = version, "g", id
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: id}}
	resp := do[*kmsg.LeaveGroupResponse](d, req)
	if version < 3 || resp.ErrorCode != 0 {
		return resp.ErrorCode
	}
	return resp.Members[0].ErrorCode
}

func (d *desk) beat(version int16, id string, generation int32) int16 {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = version, "g", id, generation
	return do[*kmsg.HeartbeatResponse](d, req).ErrorCode
}

// commit commits an offset of t-0 as nobody, or as change has it.
func (d *desk) commit(version int16, offset int64, change func(*kmsg.OffsetCommitRequest)) int16 {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = version, "g", -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.LeaderEpoch, p.Metadata = offset, 4, kmsg.StringPtr("said")
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	if change != nil {
		change(req)
	}
	return do[*kmsg.OffsetCommitResponse](d, req).Topics[0].Partitions[0].ErrorCode
}

// offsetOf is what a group has committed for t-0, by version: the partition's answer, and the error of the whole.
func (d *desk) offsetOf(version int16, id string) (p kmsg.OffsetFetchResponseTopicPartition, whole int16) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = version, id
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = id, -1
	g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
	req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	resp := do[*kmsg.OffsetFetchResponse](d, req)
	p.Offset = -2 // no answer
	if version < 8 {
		if len(resp.Topics) > 0 {
			p = resp.Topics[0].Partitions[0]
		}
		return p, resp.ErrorCode
	}
	if topics := resp.Groups[0].Topics; len(topics) > 0 {
		in := topics[0].Partitions[0]
		p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = in.Offset, in.LeaderEpoch, in.Metadata, in.ErrorCode
	}
	return p, resp.Groups[0].ErrorCode
}

func (d *desk) deleteOffsets(topic string, numbers ...int32) *kmsg.OffsetDeleteResponse {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = "g"
	in := kmsg.OffsetDeleteRequestTopic{Topic: topic}
	for _, n := range numbers {
		in.Partitions = append(in.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: n})
	}
	req.Topics = append(req.Topics, in)
	return do[*kmsg.OffsetDeleteResponse](d, req)
}

func (d *desk) listed() (ids []string, code int16) {
	resp := do[*kmsg.ListGroupsResponse](d, kmsg.NewPtrListGroupsRequest())
	for _, g := range resp.Groups {
		ids = append(ids, g.Group)
	}
	return ids, resp.ErrorCode
}

// reload gives the group's partition up and takes it over again; meanwhile is asked while it is being loaded.
func (d *desk) reload(meanwhile func()) {
	d.t.Helper()
	home := coordinator.PartitionFor("g", 50)
	d.unreadable = true
	d.groups.Resigned(home)
	d.groups.Elected(home, 5)
	if meanwhile != nil {
		meanwhile()
	}
	d.unreadable = false
	d.eventually("the load", func() bool { _, code := d.listed(); return code == 0 })
}

// Goal: every version of JoinGroup, SyncGroup, Heartbeat and LeaveGroup is served, each as Kafka serves it: an id comes first from version 4 on.
func TestEveryVersionOfMembership(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, _ *producer) {
		for v := int16(0); v <= 9; v++ {
			what := fmt.Sprintf("v%d: ", v)
			joined := do[*kmsg.JoinGroupResponse](d, joinRequest(v, ""))
			if v >= 4 {
				wants(t, what+"the first join", joined.ErrorCode, kerr.MemberIDRequired)
				joined = do[*kmsg.JoinGroupResponse](d, joinRequest(v, joined.MemberID))
			}
			wants(t, what+"join", joined.ErrorCode, nil)
			if joined.MemberID == "" || joined.LeaderID != joined.MemberID || len(joined.Members) != 1 || joined.Protocol == nil || *joined.Protocol != "range" || joined.SkipAssignment {
				t.Errorf("%s%+v", what, joined)
			}
			if v >= 7 && (joined.ProtocolType == nil || *joined.ProtocolType != "consumer") {
				t.Errorf("%sprotocol type %v", what, joined.ProtocolType)
			}
			synced := do[*kmsg.SyncGroupResponse](d, syncRequest(min(v, 5), joined))
			wants(t, what+"sync", synced.ErrorCode, nil)
			if string(synced.MemberAssignment) != "\x07" {
				t.Errorf("%sassignment %v", what, synced.MemberAssignment)
			}
			wants(t, what+"heartbeat", d.beat(min(v, 4), joined.MemberID, joined.Generation), nil)
			wants(t, what+"heartbeat of another generation", d.beat(min(v, 4), joined.MemberID, joined.Generation+1), kerr.IllegalGeneration)
			wants(t, what+"a stranger leaves", d.leave(min(v, 5), "stranger"), kerr.UnknownMemberID)
			wants(t, what+"leave", d.leave(min(v, 5), joined.MemberID), nil)
			wants(t, what+"heartbeat of who left", d.beat(min(v, 4), joined.MemberID, joined.Generation), kerr.UnknownMemberID)
		}
	})
}

// Goal: a static leader that comes back is told to skip the assignment from version 9 on, and before that not that it leads (KIP-814).
func TestStaticLeaderComesBackByVersion(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, _ *producer) {
		instance := "i"
		last := d.member(func(r *kmsg.JoinGroupRequest) { r.Version, r.InstanceID = 9, &instance })
		for v := int16(5); v <= 9; v++ {
			req := joinRequest(v, "")
			req.InstanceID = &instance
			again := do[*kmsg.JoinGroupResponse](d, req)
			wants(t, "back", again.ErrorCode, nil)
			told := again.LeaderID == again.MemberID && len(again.Members) == 1
			if again.Generation != last.Generation || again.MemberID == last.MemberID || again.SkipAssignment != (v >= 9) || told != (v >= 9) {
				t.Errorf("v%d: %+v", v, again)
			}
			last = again
		}
	})
}

// Goal: version 0 has no rebalance time-out: the session's is it (KIP-62). The others are waited for as long.
func TestRebalanceTimeoutByVersion(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, _ *producer) {
		for v, atLeast := range []time.Duration{10 * time.Second, 20 * time.Second} {
			first := d.member(func(r *kmsg.JoinGroupRequest) { r.Version = int16(v) })
			correlation := d.send(joinRequest(int16(v), ""))
			began := d.e.Mono()
			alive := d.dial()
			defer alive.Close()
			other := *d
			other.conn = alive
			for d.e.Mono().Sub(began) < atLeast-time.Second {
				other.beat(0, first.MemberID, first.Generation)
				d.e.Sleep(time.Second)
			}
			joined := d.receive(joinRequest(int16(v), ""), correlation).(*kmsg.JoinGroupResponse)
			if took := d.e.Mono().Sub(began); took < atLeast-100*time.Millisecond || took > atLeast+100*time.Millisecond || len(joined.Members) != 1 {
				t.Errorf("v%d: %s, %+v", v, took, joined)
			}
			wants(t, "leave", d.leave(0, joined.MemberID), nil)
		}
	})
}

// Goal: every version of OffsetCommit and OffsetFetch but 0 is served, and tells what it can tell; version 1 of the latter has the error in every
// partition.
func TestEveryVersionOfOffsets(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, _ *producer) {
		for v := int16(1); v <= 9; v++ {
			wants(t, fmt.Sprintf("commit v%d", v), d.commit(v, 100+int64(v), nil), nil)
			epoch := int32(-1)
			if v >= 6 {
				epoch = 4
			}
			for fetch := int16(1); fetch <= 9; fetch++ {
				p, code := d.offsetOf(fetch, "g")
				if p.Offset != 100+int64(v) || p.Metadata == nil || *p.Metadata != "said" || p.ErrorCode != 0 || code != 0 || fetch >= 5 && p.LeaderEpoch != epoch {
					t.Errorf("commit v%d, fetch v%d: %+v, %d", v, fetch, p, code)
				}
			}
		}
		for v := int16(1); v <= 9; v++ {
			p, whole := d.offsetOf(v, "elsewhere")
			if v == 1 {
				wants(t, "v1, elsewhere", p.ErrorCode, kerr.NotCoordinator)
				continue
			}
			wants(t, fmt.Sprintf("v%d, elsewhere", v), whole, kerr.NotCoordinator)
			if p.Offset != -2 {
				t.Errorf("v%d, elsewhere: %+v", v, p)
			}
		}
	})
}

// Goal: versions 2 to 4 of OffsetCommit may ask for a retention of their own, version 1 for a time of the commit; the others are not asked.
func TestRetentionByVersion(t *testing.T) {
	often := func(cfg *config.Broker) { cfg.OffsetsRetentionCheckInterval = time.Second }
	onTxns(t, 1, often, func(d *desk, _ *producer) {
		longAgo := d.e.Now().Add(-d.cfg.OffsetsRetention - time.Hour).UnixMilli()
		for v := int16(1); v <= 9; v++ {
			wants(t, "commit", d.commit(v, int64(v), func(r *kmsg.OffsetCommitRequest) {
				r.RetentionTimeMillis, r.Topics[0].Partitions[0].Timestamp = 5000, longAgo
			}), nil)
			d.e.Sleep(3 * time.Second)
			want := int64(v)
			if v == 1 {
				want = -1
			}
			if p, _ := d.offsetOf(9, "g"); p.Offset != want {
				t.Errorf("v%d: offset %d after 3 s, want %d", v, p.Offset, want)
			}
			d.e.Sleep(4 * time.Second)
			if v <= 4 {
				want = -1
			}
			if p, _ := d.offsetOf(9, "g"); p.Offset != want {
				t.Errorf("v%d: offset %d after 7 s, want %d", v, p.Offset, want)
			}
		}
		wants(t, "the time is now", d.commit(1, 5, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Timestamp = -1 }), nil)
		d.e.Sleep(3 * time.Second)
		if p, _ := d.offsetOf(9, "g"); p.Offset != 5 {
			t.Errorf("v1 without a time: offset %d", p.Offset)
		}
	})
}

// Goal: while the group is being loaded each request is answered as Kafka answers it.
func TestGroupRequestsDuringALoad(t *testing.T) {
	onTxns(t, 2, nil, func(d *desk, p *producer) {
		wants(t, "offsets", p.addOffsets(), nil)
		joined := d.member(nil)
		d.reload(func() {
			_, code := d.listed()
			wants(t, "list", code, kerr.CoordinatorLoadInProgress)
			wants(t, "join", do[*kmsg.JoinGroupResponse](d, joinRequest(5, joined.MemberID)).ErrorCode, kerr.CoordinatorLoadInProgress)
			wants(t, "sync", do[*kmsg.SyncGroupResponse](d, syncRequest(5, joined)).ErrorCode, kerr.RebalanceInProgress)
			wants(t, "heartbeat", d.beat(4, joined.MemberID, joined.Generation), nil)
			wants(t, "leave", d.leave(2, joined.MemberID), kerr.CoordinatorLoadInProgress)
			wants(t, "leave", d.leave(5, joined.MemberID), kerr.CoordinatorLoadInProgress)
			wants(t, "commit", d.commit(8, 1, nil), kerr.CoordinatorLoadInProgress)
			one, _ := d.offsetOf(1, "g")
			wants(t, "offset v1", one.ErrorCode, kerr.CoordinatorLoadInProgress)
			for v := int16(2); v <= 9; v++ {
				_, code := d.offsetOf(v, "g")
				wants(t, "offset", code, kerr.CoordinatorLoadInProgress)
			}
			for v := int16(0); v <= 4; v++ {
				want := kerr.CoordinatorLoadInProgress
				if v < 2 {
					want = kerr.CoordinatorNotAvailable // the older clients' word for it
				}
				wants(t, fmt.Sprintf("transactional commit v%d", v), d.commitOffsets(p.offsetsRequest(v, 1)), want)
			}
			wants(t, "delete offsets", d.deleteOffsets("t", 0).ErrorCode, kerr.CoordinatorLoadInProgress)
		})
		wants(t, "heartbeat", d.beat(4, joined.MemberID, joined.Generation), nil)
		wants(t, "commit", d.commit(8, 1, func(r *kmsg.OffsetCommitRequest) { r.MemberID, r.Generation = joined.MemberID, joined.Generation }), nil)
	})
}

// Goal: what a member reads is found in the prefix that all versions of its subscription share, whatever version it claims to be (some clients send
// no more than that). Method: offsets of a topic that is read cannot be deleted, those of another can.
func TestSubscriptionsAreReadByTheirPrefix(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		said := kmsg.NewConsumerMemberMetadata()
		said.Topics = []string{"other"}
		prefix := said.AppendTo(nil)
		claim := func(version byte, more ...byte) []byte {
			out := append(slices.Clone(prefix), more...)
			out[1] = version
			return out
		}
		for _, c := range []struct {
			what     string
			metadata []byte
			want     *kerr.Error
		}{
			{"version 0", claim(0), nil},
			{"version 1 without owned partitions", claim(1), nil},
			{"version 3 without the rest", claim(3), nil},
			{"a version to come", claim(99, 1, 2, 3), nil},
			{"owned partitions cut short", claim(1, 0, 0, 0, 9), nil},
			{"no subscription", []byte{0, 0, 0, 0, 0, 9}, kerr.GroupSubscribedToTopic},
			{"one byte", []byte{0}, kerr.GroupSubscribedToTopic},
			{"nothing", nil, kerr.GroupSubscribedToTopic},
		} {
			joined := d.member(func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = c.metadata })
			wants(t, c.what, d.deleteOffsets("t", 0).Topics[0].Partitions[0].ErrorCode, c.want)
			wants(t, "leave", d.leave(5, joined.MemberID), nil)
		}
	})
}
