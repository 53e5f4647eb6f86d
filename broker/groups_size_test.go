package broker_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var groupsFlag = flag.Int("groups", 20, "groups in TestGroupsAfterACoordinatorCrash, of ten members each ('make bench-groups' takes 1000)")

const (
	sizedMembers = 10
	sizedSession = 10 * time.Second
)

// crowd is many groups on one coordinator.
type crowd struct {
	h       *harness
	settled [][]int32 // by group and member: the generation it has its assignment in
	before  []int32   // by group: the generation that is over
}

// member is one of them: it joins, syncs and beats over a connection of its own, and joins again whenever that is lost or the group rebalances.
func (c *crowd) member(e env.Env, boot *client.Client, group, index int) {
	name := fmt.Sprintf("group-%d", group)
	id, r := "", e.Rand(fmt.Sprintf("%d/%d", group, index))
	for {
		conn := c.coordinator(e, boot, name)
		if conn == nil {
			e.Sleep(time.Duration(200+r.IntN(200)) * time.Millisecond)
			continue
		}
		id = c.attend(e, conn, name, id, group, index)
		conn.Close()
		e.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
	}
}

func (c *crowd) coordinator(e env.Env, boot *client.Client, group string) *client.Conn {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey = 3, group
	resp, err := boot.Any(req, 2*time.Second)
	if err != nil || resp.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
		return nil
	}
	conn, err := client.Dial(e, resp.(*kmsg.FindCoordinatorResponse).Host+":9092", client.ConnOptions{ClientID: "m", DialTimeout: time.Second, RequestTimeout: 2 * time.Second})
	if err != nil {
		return nil
	}
	return conn
}

// attend is a member's life on one connection; it returns the id that the member has at its end.
func (c *crowd) attend(e env.Env, conn *client.Conn, name, id string, group, index int) string {
	for {
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.MemberID, join.ProtocolType = 7, name, id, "consumer"
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = int32(sizedSession.Milliseconds()), 30_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{byte(index)}}}
		resp, err := conn.Do(join, 40*time.Second)
		if err != nil {
			return id
		}
		joined := resp.(*kmsg.JoinGroupResponse)
		switch joined.ErrorCode {
		case 0, kerr.MemberIDRequired.Code:
			id = joined.MemberID
		case kerr.UnknownMemberID.Code:
			id = ""
		case kerr.RebalanceInProgress.Code:
		default:
			return id
		}
		if joined.ErrorCode != 0 {
			continue
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.MemberID, sync.Generation = 3, name, id, joined.Generation
		for _, m := range joined.Members {
			sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte{1}})
		}
		if resp, err = conn.Do(sync, 40*time.Second); err != nil {
			return id
		}
		if code := resp.(*kmsg.SyncGroupResponse).ErrorCode; code == 0 {
			c.settled[group][index] = joined.Generation
			if !c.beat(e, conn, name, id, joined.Generation) {
				return id
			}
		} else if code == kerr.UnknownMemberID.Code {
			id = ""
		} else if code != kerr.RebalanceInProgress.Code && code != kerr.IllegalGeneration.Code {
			return id
		}
	}
}

// beat keeps a session alive until the group rebalances; false if the coordinator is lost.
func (c *crowd) beat(e env.Env, conn *client.Conn, name, id string, generation int32) bool {
	for {
		e.Sleep(sizedSession / 3)
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 4, name, id, generation
		resp, err := conn.Do(req, 2*time.Second)
		if err != nil {
			return false
		}
		switch resp.(*kmsg.HeartbeatResponse).ErrorCode {
		case 0:
		case kerr.RebalanceInProgress.Code, kerr.IllegalGeneration.Code, kerr.UnknownMemberID.Code:
			return true
		default:
			return false
		}
	}
}

func (c *crowd) allSettled() bool {
	for g, members := range c.settled {
		for _, generation := range members {
			if generation <= c.before[g] || generation != members[0] {
				return false
			}
		}
	}
	return true
}

// Goal: the groups of a coordinator that crashes have all rebalanced, with all their members, within one session time-out and three seconds. Method:
// one partition holds all groups, its leader crashes, every member joins anew; virtual time.
func TestGroupsAfterACoordinatorCrash(t *testing.T) {
	h := newHarness(t, 1, func(cfg *config.Broker) {
		cfg.OffsetsTopicPartitions, cfg.OffsetsTopicReplicationFactor = 1, 3
		cfg.ZookeeperSessionMs = 6000
	})
	c := &crowd{h: h, settled: make([][]int32, *groupsFlag), before: make([]int32, *groupsFlag)}
	const machines = 10
	for m := range machines {
		name := fmt.Sprintf("members-%d", m)
		h.w.AddNode(name, func(e env.Env) {
			boot := client.New(e, client.Options{Bootstrap: []string{"b1:9092", "b2:9092", "b3:9092"}, ClientID: name, DialTimeout: time.Second, RequestTimeout: 2 * time.Second})
			for group := m; group < *groupsFlag; group += machines {
				for index := range sizedMembers {
					e.Go("member", func() { c.member(e, boot, group, index) })
				}
			}
			for {
				e.Sleep(time.Hour)
			}
		})
	}
	for g := range c.settled {
		c.settled[g] = make([]int32, sizedMembers)
	}
	for m := range machines {
		h.w.Start(fmt.Sprintf("members-%d", m))
	}
	h.until("all groups to be there", c.allSettled)
	h.w.RunUntil(func() bool { return false }, h.w.Now().Add(15*time.Second))
	if !c.allSettled() {
		t.Fatal("the groups do not stay settled")
	}
	coordinator := h.coordinatorOfGroups()
	for g, members := range c.settled {
		c.before[g] = members[0]
	}
	began := h.w.Now()
	h.w.Crash(name(coordinator))
	h.until("all groups to have rebalanced", c.allSettled)
	took := h.w.Now().Sub(began)
	t.Logf("%d groups of %d members settled %s after their coordinator crashed (session %s)", *groupsFlag, sizedMembers, took.Round(time.Millisecond), sizedSession)
	if took > sizedSession+3*time.Second {
		t.Errorf("more than a session and three seconds")
	}
	if status := h.w.Status(name(coordinator)); status == cluster.Running {
		t.Errorf("broker %d runs", coordinator)
	}
}

// coordinatorOfGroups is who leads the one partition of __consumer_offsets.
func (h *harness) coordinatorOfGroups() int {
	for id := 1; id <= 3; id++ {
		for _, s := range h.brokers[id].Replicas() {
			if s.TP.Topic == "__consumer_offsets" && s.Role == partition.Leader {
				return id
			}
		}
	}
	h.t.Fatal("nobody leads __consumer_offsets")
	return 0
}
