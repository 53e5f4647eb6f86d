package api

import (
	"time"

	"barnabas/broker/group"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetCommit v0-v9. v0 keeps offsets in ZooKeeper, where the consumers of Kafka 0.8 look for them; v1 members, kept in Kafka; v2-v4 a retention of its own (KIP-211 ended it); v6 leader epochs (KIP-320); v7 static members
// (KIP-345); v8 flexible; v9 codes of KIP-848.
// Waits: for the replication of the commit.
//
// Source: KafkaApis#handleOffsetCommitRequest, GroupCoordinatorAdapter#commitOffsets.
var offsetCommitRoute = on(kmsg.OffsetCommit, (*API).offsetCommit)

func (a *API) offsetCommit(_ *server.Request, req *kmsg.OffsetCommitRequest) server.Reply {
	if req.Version == 0 {
		return server.Now(a.commitInZooKeeper(req))
	}
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	in := group.CommitRequest{MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation}
	var places []*int16 // where the answers of in.Offsets belong
	now, snapshot, ours := a.Env.Now(), a.Metadata.Snapshot(), a.Groups.Coordinates(req.Group)
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		topic, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = topic.Topic
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(topic.Partitions))
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			out.Partitions[j].Partition = p.Partition
			tp := wire.TopicPartition{Topic: topic.Topic, Partition: p.Partition}
			// DEVIATION(KIP-211): Kafka looks for the topic first. A broker that has just started knows none, and would tell a member that its
			// topic is gone; one that is not the coordinator says that, whatever it knows of topics.
			if ours && snapshot.Partition(tp) == nil {
				out.Partitions[j].ErrorCode = kerr.UnknownTopicOrPartition.Code
				continue
			}
			places = append(places, &out.Partitions[j].ErrorCode)
			in.Offsets = append(in.Offsets, committed(req, p, tp, now))
		}
	}
	if len(in.Offsets) == 0 {
		return server.Now(resp)
	}
	promise := a.Groups.Commit(req.Group, in)
	return server.When(promise, func(bool) server.Answer {
		for i, err := range promise.Value() {
			*places[i] = codeOf(err)
		}
		return server.Answer{Message: resp}
	})
}

func committed(req *kmsg.OffsetCommitRequest, p *kmsg.OffsetCommitRequestTopicPartition, tp wire.TopicPartition, now time.Time) group.Offset {
	o := group.Offset{TP: tp, Offset: p.Offset, LeaderEpoch: -1, Committed: now.UnixMilli(), Expires: -1}
	if req.Version >= 6 {
		o.LeaderEpoch = p.LeaderEpoch
	}
	if p.Metadata != nil {
		o.Metadata = *p.Metadata
	}
	if req.Version == 1 && p.Timestamp != -1 {
		o.Committed = p.Timestamp
	}
	if req.Version >= 2 && req.Version <= 4 && req.RetentionTimeMillis != -1 {
		o.Expires = now.UnixMilli() + req.RetentionTimeMillis
	}
	return o
}
