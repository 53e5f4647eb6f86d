package broker_test

import (
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupDesk is a connection to the coordinator of group g in a whole cluster.
type groupDesk struct {
	t    *testing.T
	conn *client.Conn
	addr string
}

const noID = ""

// onGroups runs f beside a fresh cluster with the topic t of two partitions.
func onGroups(t *testing.T, configure func(*config.Broker), f func(d *groupDesk, e env.Env)) {
	h := newHarness(t, 1, func(cfg *config.Broker) {
		cfg.OffsetsTopicPartitions, cfg.OffsetsTopicReplicationFactor, cfg.GroupInitialRebalanceDelay = 1, 3, 0
		cfg.OffsetMetadataBytesMax, cfg.GroupSizeMax = 10, 2
		configure(cfg)
	})
	h.client("client", func(e env.Env, c *client.Client) {
		if err := client.NewAdmin(c).CreateTopics(10*time.Second, client.NewTopic{Name: "t", Partitions: 2, ReplicationFactor: 3}); err != nil {
			t.Error(err)
			return
		}
		for deadline := e.Mono().Add(20 * time.Second); e.Mono() < deadline; e.Sleep(100 * time.Millisecond) {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.Version, req.CoordinatorKey = 3, "g"
			resp, err := c.Any(req, time.Second)
			if err != nil || resp.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
				continue
			}
			r := resp.(*kmsg.FindCoordinatorResponse)
			conn, err := client.Dial(e, r.Host+":9092", client.ConnOptions{ClientID: "c", DialTimeout: time.Second, RequestTimeout: 5 * time.Second})
			if err != nil {
				continue
			}
			d := &groupDesk{t, conn, r.Host + ":9092"}
			if code := d.list(); code == kerr.CoordinatorLoadInProgress.Code {
				conn.Close()
				continue
			}
			f(d, e)
			conn.Close()
			return
		}
		t.Error("no coordinator in 20 seconds")
	})
}

func (d *groupDesk) do(req kmsg.Request) kmsg.Response {
	d.t.Helper()
	resp, err := d.conn.Do(req, 40*time.Second)
	if err != nil {
		d.t.Fatalf("%T: %v", req, err)
	}
	return resp
}

func (d *groupDesk) list() int16 {
	req := kmsg.NewPtrListGroupsRequest()
	req.Version = 4
	return d.do(req).(*kmsg.ListGroupsResponse).ErrorCode
}

func (d *groupDesk) join(id string, change func(*kmsg.JoinGroupRequest)) *kmsg.JoinGroupResponse {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = 9, "g", id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 3_000
	said := kmsg.NewConsumerMemberMetadata()
	said.Topics = []string{"t"}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: said.AppendTo(nil)}}
	if change != nil {
		change(req)
	}
	return d.do(req).(*kmsg.JoinGroupResponse)
}

// member joins and syncs as the one member of g.
func (d *groupDesk) member() (id string, generation int32) {
	joined := d.join(d.join(noID, nil).MemberID, nil)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 3, "g", joined.MemberID, joined.Generation
	req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte{1}}}
	if r := d.do(req).(*kmsg.SyncGroupResponse); joined.ErrorCode != 0 || r.ErrorCode != 0 || string(r.MemberAssignment) != "\x01" {
		d.t.Fatalf("%+v\n%+v", joined, r)
	}
	return joined.MemberID, joined.Generation
}

func (d *groupDesk) sync(id string, generation int32, change func(*kmsg.SyncGroupRequest)) int16 {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 5, "g", id, generation
	protocolType, protocol := "consumer", "range"
	req.ProtocolType, req.Protocol = &protocolType, &protocol
	if change != nil {
		change(req)
	}
	return d.do(req).(*kmsg.SyncGroupResponse).ErrorCode
}

func (d *groupDesk) beat(group, id string, instance *string, generation int32) int16 {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID, req.Generation = 4, group, id, instance, generation
	return d.do(req).(*kmsg.HeartbeatResponse).ErrorCode
}

func (d *groupDesk) commit(version int16, change func(*kmsg.OffsetCommitRequest)) int16 {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = version, "g", -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 7
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	if change != nil {
		change(req)
	}
	return d.do(req).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

func (d *groupDesk) leave(id string, instance *string) int16 {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 5, "g"
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: id, InstanceID: instance}}
	r := d.do(req).(*kmsg.LeaveGroupResponse)
	if r.ErrorCode != 0 {
		return r.ErrorCode
	}
	return r.Members[0].ErrorCode
}

func (d *groupDesk) fetch(version int16, topic string, partition int32) (offset int64, code int16) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = version, "g"
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	p := d.do(req).(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0]
	return p.Offset, p.ErrorCode
}

func (d *groupDesk) want(what string, got int16, want *kerr.Error) {
	d.t.Helper()
	if got == 0 && want == nil {
		return
	}
	if want == nil || got != want.Code {
		d.t.Errorf("%s: %v, want %v", what, kerr.ErrorForCode(got), want)
	}
}

// Goal: whatever a member or a stranger says wrongly is answered with Kafka's code, over the wire. Method: a whole cluster, requests by hand.
func TestGroupsBadInput(t *testing.T) {
	onGroups(t, func(*config.Broker) {}, func(d *groupDesk, e env.Env) {
		other := "other"
		d.want("no group", d.join(noID, func(r *kmsg.JoinGroupRequest) { r.Group = "" }).ErrorCode, kerr.InvalidGroupID)
		d.want("short session", d.join(noID, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 }).ErrorCode, kerr.InvalidSessionTimeout)
		d.want("long session", d.join(noID, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 }).ErrorCode, kerr.InvalidSessionTimeout)
		d.want("an id nobody gave, a new group", d.join("made up", nil).ErrorCode, kerr.UnknownMemberID)
		d.want("no protocol", d.join(noID, func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }).ErrorCode, kerr.InconsistentGroupProtocol)
		d.want("no protocol type", d.join(noID, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }).ErrorCode, kerr.InconsistentGroupProtocol)
		d.want("the first join of v4", d.join(noID, nil).ErrorCode, kerr.MemberIDRequired)
		id, generation := d.member()

		d.want("an id nobody gave", d.join("made up", nil).ErrorCode, kerr.UnknownMemberID)
		d.want("another protocol type", d.join(id, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }).ErrorCode, kerr.InconsistentGroupProtocol)
		d.want("a protocol nobody else has", d.join(noID, func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "mine" }).ErrorCode, kerr.InconsistentGroupProtocol)
		d.want("an instance that is not there", d.join(id, func(r *kmsg.JoinGroupRequest) { r.InstanceID = &other }).ErrorCode, kerr.UnknownMemberID)

		d.want("sync of a stranger", d.sync("made up", generation, nil), kerr.UnknownMemberID)
		d.want("sync of a past generation", d.sync(id, generation-1, nil), kerr.IllegalGeneration)
		d.want("sync of a generation to come", d.sync(id, generation+1, nil), kerr.IllegalGeneration)
		d.want("sync of another protocol", d.sync(id, generation, func(r *kmsg.SyncGroupRequest) { r.Protocol = &other }), kerr.InconsistentGroupProtocol)
		d.want("sync of v5 without protocol", d.sync(id, generation, func(r *kmsg.SyncGroupRequest) { r.Protocol = nil }), kerr.InconsistentGroupProtocol)
		d.want("sync without group", d.sync(id, generation, func(r *kmsg.SyncGroupRequest) { r.Group = "" }), kerr.InvalidGroupID)
		d.want("sync of no group", d.sync(id, generation, func(r *kmsg.SyncGroupRequest) { r.Group = "none" }), kerr.UnknownMemberID)

		d.want("heartbeat", d.beat("g", id, nil, generation), nil)
		d.want("heartbeat of a stranger", d.beat("g", "made up", nil, generation), kerr.UnknownMemberID)
		d.want("heartbeat of a past generation", d.beat("g", id, nil, generation-1), kerr.IllegalGeneration)
		d.want("heartbeat of an instance that is not there", d.beat("g", id, &other, generation), kerr.UnknownMemberID)
		d.want("heartbeat without group", d.beat("", id, nil, generation), kerr.InvalidGroupID)
		d.want("heartbeat of no group", d.beat("none", id, nil, generation), kerr.UnknownMemberID)

		as := func(id string, generation int32, then func(*kmsg.OffsetCommitRequest)) func(*kmsg.OffsetCommitRequest) {
			return func(r *kmsg.OffsetCommitRequest) {
				r.MemberID, r.Generation = id, generation
				if then != nil {
					then(r)
				}
			}
		}
		long := strings.Repeat("é", 11)
		fits := strings.Repeat("é", 10) // ten characters of two bytes: Kafka counts characters
		d.want("commit", d.commit(9, as(id, generation, nil)), nil)
		d.want("commit of ten characters", d.commit(8, as(id, generation, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = &fits })), nil)
		d.want("commit of too much metadata", d.commit(8, as(id, generation, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = &long })), kerr.OffsetMetadataTooLarge)
		d.want("commit of a stranger", d.commit(8, as("made up", generation, nil)), kerr.UnknownMemberID)
		d.want("commit of who is no member, beside members", d.commit(8, nil), kerr.UnknownMemberID)
		d.want("commit of a past generation", d.commit(8, as(id, generation-1, nil)), kerr.IllegalGeneration)
		d.want("commit for no topic", d.commit(8, as(id, generation, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "none" })), kerr.UnknownTopicOrPartition)
		d.want("commit for no partition", d.commit(8, as(id, generation, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 2 })), kerr.UnknownTopicOrPartition)
		d.want("commit for a negative partition", d.commit(8, as(id, generation, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = -1 })), kerr.UnknownTopicOrPartition)
		d.want("a generation of a group that is not", d.commit(8, as(id, generation, func(r *kmsg.OffsetCommitRequest) { r.Group = "none" })), kerr.IllegalGeneration)

		d.want("leave of a stranger", d.leave("made up", nil), kerr.UnknownMemberID)
		d.want("leave of an instance that is not there", d.leave("", &other), kerr.UnknownMemberID)
		d.admin(id)
	})
}

// admin asks what administrators ask, of group g with the member id.
func (d *groupDesk) admin(id string) {
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Version, remove.Groups = 2, []string{"g", "none", ""}
	r := d.do(remove).(*kmsg.DeleteGroupsResponse)
	d.want("delete a group with members", r.Groups[0].ErrorCode, kerr.NonEmptyGroup)
	d.want("delete no group", r.Groups[1].ErrorCode, kerr.GroupIDNotFound)
	d.want("delete the group without a name", r.Groups[2].ErrorCode, kerr.GroupIDNotFound)

	offsets := kmsg.NewPtrOffsetDeleteRequest()
	offsets.Group = "g"
	offsets.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}}}
	of := d.do(offsets).(*kmsg.OffsetDeleteResponse)
	d.want("delete offsets that are read", of.Topics[0].Partitions[0].ErrorCode, kerr.GroupSubscribedToTopic)
	d.want("delete offsets of no partition", of.Topics[0].Partitions[1].ErrorCode, kerr.UnknownTopicOrPartition)
	offsets.Group = "none"
	d.want("delete offsets of no group", d.do(offsets).(*kmsg.OffsetDeleteResponse).ErrorCode, kerr.GroupIDNotFound)

	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Version, describe.IncludeAuthorizedOperations, describe.Groups = 5, true, []string{"g", "none"}
	told := d.do(describe).(*kmsg.DescribeGroupsResponse)
	if g := told.Groups[0]; g.State != "Stable" || len(g.Members) != 1 || g.Members[0].MemberID != id || g.AuthorizedOperations != 328 {
		d.t.Errorf("%+v", g)
	}
	if g := told.Groups[1]; g.State != "Dead" || g.ErrorCode != 0 {
		d.t.Errorf("%+v", g)
	}
	for _, c := range []struct {
		states, types []string
		found         int
	}{{nil, nil, 1}, {[]string{"sTaBle"}, nil, 1}, {[]string{"Empty"}, nil, 0}, {nil, []string{"Classic"}, 1}, {nil, []string{"consumer"}, 0}} {
		list := kmsg.NewPtrListGroupsRequest()
		list.Version, list.StatesFilter, list.TypesFilter = 5, c.states, c.types
		if got := d.do(list).(*kmsg.ListGroupsResponse); len(got.Groups) != c.found || got.ErrorCode != 0 {
			d.t.Errorf("states %v, types %v: %+v", c.states, c.types, got)
		}
	}
}

// Goal: an instance that comes back takes its old self's place without a rebalance, the old self is fenced everywhere, and leaves by its instance's
// name; a group takes no more members than it may. Method: requests by hand (KIP-345, group.max.size).
func TestGroupsStaticAndFull(t *testing.T) {
	onGroups(t, func(*config.Broker) {}, func(d *groupDesk, e env.Env) {
		name := "i1"
		static := func(r *kmsg.JoinGroupRequest) { r.InstanceID = &name }
		joined := d.join(noID, static)
		d.want("a static member needs no id first", joined.ErrorCode, nil)
		plan := func(id string) func(*kmsg.SyncGroupRequest) {
			return func(r *kmsg.SyncGroupRequest) {
				r.InstanceID = &name
				r.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: id, MemberAssignment: []byte{1}}}
			}
		}
		d.want("sync", d.sync(joined.MemberID, joined.Generation, plan(joined.MemberID)), nil)
		again := d.join(noID, static)
		if again.ErrorCode != 0 || again.Generation != joined.Generation || again.MemberID == joined.MemberID || !again.SkipAssignment || len(again.Members) != 1 {
			d.t.Errorf("the instance comes back: %+v", again)
		}
		d.want("the old self joins", d.join(joined.MemberID, static).ErrorCode, kerr.FencedInstanceID)
		d.want("the old self syncs", d.sync(joined.MemberID, joined.Generation, plan(joined.MemberID)), kerr.FencedInstanceID)
		d.want("the old self beats", d.beat("g", joined.MemberID, &name, joined.Generation), kerr.FencedInstanceID)
		d.want("the old self commits", d.commit(8, func(r *kmsg.OffsetCommitRequest) {
			r.MemberID, r.InstanceID, r.Generation = joined.MemberID, &name, joined.Generation
		}), kerr.FencedInstanceID)
		d.want("the old self leaves", d.leave(joined.MemberID, &name), kerr.FencedInstanceID)
		d.want("the old id without its instance", d.beat("g", joined.MemberID, nil, joined.Generation), kerr.UnknownMemberID)
		d.want("the new self beats", d.beat("g", again.MemberID, &name, again.Generation), nil)

		second := "i2"
		promise := make([]*kmsg.JoinGroupResponse, 0, 1)
		e.Go("second", func() {
			conn, err := client.Dial(e, d.addr, client.ConnOptions{ClientID: "c", DialTimeout: time.Second, RequestTimeout: 5 * time.Second})
			if err != nil {
				d.t.Error(err)
				return
			}
			defer conn.Close()
			other := &groupDesk{d.t, conn, d.addr}
			promise = append(promise, other.join(noID, func(r *kmsg.JoinGroupRequest) { r.InstanceID = &second }))
		})
		for d.beat("g", again.MemberID, &name, again.Generation) == 0 {
			e.Sleep(50 * time.Millisecond)
		}
		third := d.join(again.MemberID, static)
		if third.ErrorCode != 0 || len(third.Members) != 2 || third.Generation != again.Generation+1 {
			d.t.Errorf("two members: %+v", third)
		}
		full := d.join(noID, func(r *kmsg.JoinGroupRequest) { r.Version = 3 })
		d.want("a third member", full.ErrorCode, kerr.GroupMaxSizeReached)
		if full.MemberID != "" {
			d.t.Errorf("a refused member got the id %q", full.MemberID)
		}
		d.want("an instance is removed by name", d.leave("", &second), nil)
		d.want("and is gone", d.leave("", &second), kerr.UnknownMemberID)
	})
}

// Goal: version 0 keeps offsets in ZooKeeper, apart from those of Kafka, and refuses what Kafka refuses.
func TestOffsetsInZooKeeper(t *testing.T) {
	onGroups(t, func(*config.Broker) {}, func(d *groupDesk, e env.Env) {
		none, code := d.fetch(0, "t", 0)
		if none != -1 {
			d.t.Errorf("nothing is committed, and told is %d", none)
		}
		d.want("nothing committed", code, kerr.UnknownTopicOrPartition)
		d.want("commit", d.commit(0, nil), nil)
		d.want("commit again", d.commit(0, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Offset = 3 }), nil)
		if at, code := d.fetch(0, "t", 0); at != 3 || code != 0 {
			d.t.Errorf("offset %d, code %d, want 3", at, code)
		}
		if at, code := d.fetch(1, "t", 0); at != -1 || code != 0 {
			d.t.Errorf("version 1: offset %d, code %d: that is Kafka's, and has none", at, code)
		}
		long := strings.Repeat("x", 11)
		d.want("too much metadata", d.commit(0, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = &long }), kerr.OffsetMetadataTooLarge)
		d.want("no topic", d.commit(0, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "none" }), kerr.UnknownTopicOrPartition)
		d.want("a group that is a path", d.commit(0, func(r *kmsg.OffsetCommitRequest) { r.Group = "g/../h" }), kerr.InvalidGroupID)
		_, code = d.fetch(0, "none", 0)
		d.want("fetch of no topic", code, kerr.UnknownTopicOrPartition)
	})
}
