package metadata

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// state is one partition in an UpdateMetadata request.
type state struct {
	topic         string
	id            byte
	partition     int32
	leader, epoch int32
}

func update(controllerEpoch int32, live []int32, states ...state) *kmsg.UpdateMetadataRequest {
	req := kmsg.NewPtrUpdateMetadataRequest()
	req.Version, req.ControllerID, req.ControllerEpoch = 8, 1, controllerEpoch
	for _, id := range live {
		b := kmsg.NewUpdateMetadataRequestLiveBroker()
		b.ID = id
		b.Endpoints = []kmsg.UpdateMetadataRequestLiveBrokerEndpoint{{Host: fmt.Sprint("b", id), Port: 9092, ListenerName: "PLAINTEXT"}}
		req.LiveBrokers = append(req.LiveBrokers, b)
	}
	for _, s := range states {
		t := kmsg.NewUpdateMetadataRequestTopicState()
		t.Topic, t.TopicID = s.topic, TopicID{s.id}
		p := kmsg.NewUpdateMetadataRequestTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR = s.partition, s.leader, s.epoch, []int32{1, 2}, []int32{1, 2}
		t.PartitionStates = []kmsg.UpdateMetadataRequestTopicPartition{p}
		req.TopicStates = append(req.TopicStates, t)
	}
	return req
}

func apply(t *testing.T, c *Cache, req *kmsg.UpdateMetadataRequest) []wire.TopicPartition {
	t.Helper()
	deleted, err := c.Update(req)
	if err != nil {
		t.Fatal(err)
	}
	return deleted
}

// Goal: updates are laid over one another, live brokers are replaced as a whole, and a snapshot taken before stays as it was.
func TestUpdatesAreIncremental(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		c := New(e)
		apply(t, c, update(1, []int32{2, 1}, state{"t", 7, 0, 1, 0}, state{"t", 7, 2, 2, 0}))
		before := c.Snapshot()
		apply(t, c, update(1, []int32{1}, state{"t", 7, 0, 2, 1}, state{"u", 8, 0, 1, 0}))
		after := c.Snapshot()
		if p := before.Partition(wire.TopicPartition{Topic: "t", Partition: 0}); p.Leader != 1 || len(before.Brokers) != 2 || before.Topic("u") != nil {
			t.Errorf("the old snapshot changed: %+v", p)
		}
		topic := after.TopicByID(TopicID{7})
		if topic == nil || len(topic.Partitions) != 2 || topic.Partition(0).Leader != 2 || topic.Partition(2).Leader != 2 || topic.Partition(1) != nil {
			t.Errorf("topic %+v", topic)
		}
		if after.Alive(2) || !after.Alive(1) || len(after.Topics()) != 2 || after.Topics()[0].Name != "t" || after.ControllerID != 1 {
			t.Errorf("snapshot %+v", after)
		}
	})
}

// Goal: the partitions of a topic being deleted go, and the topic with the last; a topic made again under its name is
// another one.
func TestDeletedTopicsAreForgotten(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		c := New(e)
		apply(t, c, update(1, []int32{1}, state{"t", 7, 0, 1, 3}, state{"t", 7, 1, 1, 3}))
		deleted := apply(t, c, update(1, []int32{1}, state{"t", 7, 1, LeaderDuringDelete, 3}))
		if fmt.Sprint(deleted) != "[t-1]" || len(c.Snapshot().Topic("t").Partitions) != 1 {
			t.Errorf("deleted %v", deleted)
		}
		apply(t, c, update(1, []int32{1}, state{"t", 9, 5, 1, 0})) // the end of the old one was never heard
		if s := c.Snapshot(); len(s.Topic("t").Partitions) != 1 || s.TopicByID(TopicID{7}) != nil || s.TopicByID(TopicID{9}) == nil {
			t.Errorf("topic %+v", s.Topic("t"))
		}
		apply(t, c, update(1, []int32{1}, state{"t", 9, 5, LeaderDuringDelete, 0}))
		if s := c.Snapshot(); s.Topic("t") != nil || s.TopicByID(TopicID{9}) != nil {
			t.Error("the topic is still there")
		}
	})
}

// Goal: a controller that was replaced is not listened to.
func TestStaleControllerIsRefused(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		c := New(e)
		apply(t, c, update(2, []int32{1, 2}))
		if _, err := c.Update(update(1, nil)); !errors.Is(err, kerr.StaleControllerEpoch) || len(c.Snapshot().Brokers) != 2 {
			t.Errorf("%v", err)
		}
		apply(t, c, update(2, []int32{1}))
	})
}

// Goal: a request that a later one of the same controller has overtaken changes nothing, neither leaders nor who is live; one of the next
// controller counts, and so does one about another topic of the name. Method: requests out of order.
func TestOvertakenUpdateChangesNothing(t *testing.T) {
	at := func(controllerEpoch int32, id byte, partitionEpoch, leader int32, live ...int32) *kmsg.UpdateMetadataRequest {
		req := update(controllerEpoch, live, state{"t", id, 0, leader, leader}, state{"u", 9, 0, 1, 0})
		req.TopicStates[0].PartitionStates[0].ZKVersion = partitionEpoch
		return req
	}
	cluster.Test(t, 1, func(e env.Env) {
		c := New(e)
		is := func(what string, leader int32, live int) {
			t.Helper()
			s := c.Snapshot()
			if p := s.Partition(wire.TopicPartition{Topic: "t"}); p.Leader != leader || len(s.Brokers) != live {
				t.Errorf("%s: leader %d, %d brokers, want %d and %d", what, p.Leader, len(s.Brokers), leader, live)
			}
		}
		apply(t, c, at(1, 7, 4, -1, 1, 3))
		apply(t, c, at(1, 7, 5, 2, 1, 2, 3))
		apply(t, c, at(1, 7, 4, -1, 1, 3))
		is("overtaken", 2, 3)
		apply(t, c, at(1, 7, 5, 2, 1, 2))
		is("of the same partition epoch", 2, 2)
		apply(t, c, at(2, 7, 4, 3, 1, 2, 3))
		is("of another controller", 3, 3)
		apply(t, c, at(2, 8, 0, 1, 1))
		is("of another topic", 1, 1)
	})
}

// Goal: a waiter wakes with the update that makes it ready, and with its deadline otherwise.
func TestWaitersWake(t *testing.T) {
	for seed := range uint64(20) {
		cluster.Test(t, seed, func(e env.Env) {
			c := New(e)
			e.Go("controller", func() {
				e.Sleep(time.Second)
				apply(t, c, update(1, []int32{1}, state{"t", 7, 0, 1, 0}))
				e.Sleep(time.Second)
				apply(t, c, update(1, []int32{1}, state{"t", 7, 1, 1, 0}))
			})
			known := func(s *Snapshot) bool { return s.LeadersKnown("t", 2) }
			if c.WaitUntil(e.Mono().Add(1500*time.Millisecond), known) {
				t.Error("ready with one of two leaders")
			}
			if !c.WaitUntil(e.Mono().Add(time.Minute), known) || e.Mono() < env.Instant(2*time.Second) {
				t.Errorf("not ready at %v", e.Mono())
			}
		})
	}
}

// Goal: Metadata answers as Kafka does: dead leaders, unknown names and ids, all topics by null (in v0 by an empty list).
func TestMetadataResponse(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		c := New(e)
		apply(t, c, update(1, []int32{1}, state{"t", 7, 0, 1, 4}, state{"u", 8, 0, 2, 5}, state{"__consumer_offsets", 9, 0, NoLeader, 6}))
		s := c.Snapshot()
		ask := func(version int16, topics ...kmsg.MetadataRequestTopic) *kmsg.MetadataResponse {
			req := kmsg.NewPtrMetadataRequest()
			req.Version, req.Topics = version, topics
			return s.Metadata(req, "cluster", "PLAINTEXT")
		}
		all := ask(12)
		if len(all.Topics) != 3 || !all.Topics[0].IsInternal || *all.ClusterID != "cluster" || all.ControllerID != 1 || len(all.Brokers) != 1 || all.Brokers[0].Host != "b1" {
			t.Fatalf("%+v", all)
		}
		if p := all.Topics[1].Partitions[0]; p.ErrorCode != 0 || p.Leader != 1 || p.LeaderEpoch != 4 || len(p.Replicas) != 2 {
			t.Errorf("t-0 %+v", p)
		}
		if p := all.Topics[2].Partitions[0]; p.ErrorCode != kerr.LeaderNotAvailable.Code || p.Leader != NoLeader || p.LeaderEpoch != 5 {
			t.Errorf("u-0 %+v", p)
		}
		none := kmsg.NewPtrMetadataRequest()
		none.Version, none.Topics = 12, []kmsg.MetadataRequestTopic{}
		if got := s.Metadata(none, "", "PLAINTEXT"); len(got.Topics) != 0 {
			t.Errorf("asked for none: %+v", got.Topics)
		}
		none.Version = 0
		if got := s.Metadata(none, "", "PLAINTEXT"); len(got.Topics) != 3 || got.Topics[1].Partitions[0].ErrorCode != kerr.ReplicaNotAvailable.Code || len(got.Topics[1].Partitions[0].ISR) != 1 {
			t.Errorf("v0: %+v", got.Topics)
		}
		name := "nosuch"
		named, byID := kmsg.MetadataRequestTopic{Topic: &name}, kmsg.MetadataRequestTopic{TopicID: TopicID{7}}
		if got := ask(12, named, named); len(got.Topics) != 1 || got.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("named twice: %+v", got.Topics)
		}
		unknown := kmsg.MetadataRequestTopic{TopicID: TopicID{1}, Topic: &name}
		if got := ask(12, named, unknown, byID, unknown, byID); len(got.Topics) != 2 || got.Topics[0].ErrorCode != kerr.UnknownTopicID.Code ||
			got.Topics[0].Topic != nil || *got.Topics[1].Topic != "t" {
			t.Errorf("ids beside a name: %+v", got.Topics)
		}
		describe := kmsg.NewPtrDescribeClusterRequest()
		describe.Version, describe.EndpointType = 1, 1
		if got := s.DescribeCluster(describe, "cluster", "PLAINTEXT"); got.ErrorCode != 0 || got.ControllerID != 1 || len(got.Brokers) != 1 || got.ClusterID != "cluster" {
			t.Errorf("%+v", got)
		}
		describe.EndpointType = 2
		if got := s.DescribeCluster(describe, "cluster", "PLAINTEXT"); got.ErrorCode != kerr.MismatchedEndpointType.Code {
			t.Errorf("%+v", got)
		}
	})
}
