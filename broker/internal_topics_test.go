package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: the topics that coordinators keep their state in are made as Kafka makes them (GroupCoordinator#groupMetadataTopicConfigs,
// TransactionStateManager#transactionTopicConfigs): compacted, and as large as the brokers' configuration says. Method: ask for a coordinator of each kind, and
// for the configuration of what that made.
func TestInternalTopicsAreMadeAsKafkas(t *testing.T) {
	h := newHarness(t, 1, func(cfg *config.Broker) {
		cfg.OffsetsTopicPartitions, cfg.OffsetsTopicReplicationFactor, cfg.OffsetsTopicSegmentBytes = 3, 2, 5000
		cfg.TransactionTopicPartitions, cfg.TransactionTopicReplicationFactor, cfg.TransactionTopicSegmentBytes, cfg.TransactionTopicMinISR = 4, 3, 6000, 1
	})
	h.client("client", func(e env.Env, c *client.Client) {
		for kind, want := range []struct {
			topic                string
			partitions, replicas int
			configs              map[string]string
		}{
			{"__consumer_offsets", 3, 2, map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "5000"}},
			{"__transaction_state", 4, 3, map[string]string{"cleanup.policy": "compact", "compression.type": "uncompressed", "segment.bytes": "6000",
				"min.insync.replicas": "1", "unclean.leader.election.enable": "false"}},
		} {
			find := kmsg.NewPtrFindCoordinatorRequest()
			find.Version, find.CoordinatorType, find.CoordinatorKeys = 4, int8(kind), []string{"k"}
			for deadline := e.Mono().Add(20 * time.Second); e.Mono() < deadline; e.Sleep(100 * time.Millisecond) {
				if resp, err := c.Any(find, 5*time.Second); err == nil && resp.(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode == 0 {
					break
				}
			}
			meta := kmsg.NewPtrMetadataRequest()
			meta.Version, meta.Topics = 12, []kmsg.MetadataRequestTopic{{Topic: &want.topic}}
			resp, err := c.Any(meta, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if topic := resp.(*kmsg.MetadataResponse).Topics[0]; !topic.IsInternal || len(topic.Partitions) != want.partitions || len(topic.Partitions[0].Replicas) != want.replicas {
				t.Errorf("%+v", topic)
			}
			entries, err := client.NewAdmin(c).DescribeTopicConfigs(want.topic, 5*time.Second)
			for deadline := e.Mono().Add(20 * time.Second); errors.Is(err, kerr.UnknownTopicOrPartition) && e.Mono() < deadline; {
				e.Sleep(100 * time.Millisecond) // another broker, which has not heard of it yet
				entries, err = client.NewAdmin(c).DescribeTopicConfigs(want.topic, 5*time.Second)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if value, ok := want.configs[entry.Name]; ok && value == entry.Value {
					delete(want.configs, entry.Name)
				}
			}
			if len(want.configs) > 0 {
				t.Errorf("%s: not %v, but %+v", want.topic, want.configs, entries)
			}
		}
	})
}

// Goal: what is committed outlives the compaction of __consumer_offsets, and superseded commits do not: the topic stays small, and the next coordinator, which loads
// what is left, knows the last offset of every partition, and of a group that was deleted nothing. Method: small segments, many commits, a coordinator that
// crashes once its log has been compacted.
func TestCommittedOffsetsSurviveCompaction(t *testing.T) {
	const commits, deleted = 400, "gone"
	h := newHarness(t, 1, func(cfg *config.Broker) {
		cfg.OffsetsTopicPartitions, cfg.OffsetsTopicReplicationFactor, cfg.OffsetsTopicSegmentBytes = 1, 3, 4000
		cfg.LogCleanerBackoff, cfg.Topic.DeleteRetention = 200*time.Millisecond, 0
	})
	partitions := []wire.TopicPartition{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 1}}
	h.client("commits", func(e env.Env, c *client.Client) {
		if err := client.NewAdmin(c).CreateTopics(20*time.Second, client.NewTopic{Name: "t", Partitions: 2, ReplicationFactor: 3}); err != nil {
			t.Fatal(err)
		}
		for i := range int64(commits) {
			for p, tp := range partitions {
				commitAs(t, e, c, "kept", tp, i+int64(p))
			}
			if i == 0 {
				commitAs(t, e, c, deleted, partitions[0], 7)
				remove := kmsg.NewPtrDeleteGroupsRequest()
				remove.Version, remove.Groups = 2, []string{deleted}
				if code := atCoordinator(t, e, c, deleted, remove).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode; code != 0 {
					t.Fatalf("delete: %d", code)
				}
			}
		}
		var left int
		for deadline := e.Mono().Add(30 * time.Second); e.Mono() < deadline; e.Sleep(time.Second) {
			if left = len(drained(t, e, c, wire.TopicPartition{Topic: "__consumer_offsets"})); left < commits/2 {
				break
			}
		}
		if left < 2 || left >= commits/2 {
			t.Errorf("%d records are left of %d commits", left, 2*commits)
		}
	})
	h.w.Crash(name(h.coordinatorOfGroups()))
	h.client("asks", func(e env.Env, c *client.Client) {
		for group, want := range map[string]string{"kept": fmt.Sprint([]int64{commits - 1, commits}), deleted: "[-1 -1]"} {
			if at, err := client.NewAdmin(c).CommittedOffsets(group, partitions, 30*time.Second); err != nil || fmt.Sprint(at) != want {
				t.Errorf("group %s: %v, %v, want %s", group, at, err, want)
			}
		}
	})
}

// atCoordinator asks the coordinator of a group, wherever it is.
func atCoordinator(t *testing.T, e env.Env, c *client.Client, group string, req kmsg.Request) kmsg.Response {
	t.Helper()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKey = 3, group
	var last error
	for deadline := e.Mono().Add(20 * time.Second); e.Mono() < deadline; e.Sleep(100 * time.Millisecond) {
		resp, err := c.Any(find, 5*time.Second)
		if last = err; err != nil || resp.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
			continue
		}
		conn, err := c.Conn(resp.(*kmsg.FindCoordinatorResponse).NodeID)
		if last = err; err != nil {
			continue
		}
		if resp, err = conn.Do(req, 5*time.Second); err == nil {
			return resp
		}
		last = err
	}
	t.Fatalf("no answer of the coordinator of %s: %v", group, last)
	return nil
}

// commitAs commits an offset of a group without members.
func commitAs(t *testing.T, e env.Env, c *client.Client, group string, tp wire.TopicPartition, offset int64) {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 8, group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = tp.Partition, offset
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: tp.Topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	code := int16(-1)
	for deadline := e.Mono().Add(20 * time.Second); code != 0 && e.Mono() < deadline; {
		if code = atCoordinator(t, e, c, group, req).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
			e.Sleep(100 * time.Millisecond) // it loads yet
		}
	}
	if code != 0 {
		t.Fatalf("commit of %s: %d", group, code)
	}
}
