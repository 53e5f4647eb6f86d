package api

import (
	"barnabas/broker/partition"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetForLeaderEpoch v0-v4. v0 (KIP-101); v1 the epoch found (KIP-279); v2 current leader epoch (KIP-320); v3 replica id
// (KIP-392), of no meaning here; v4 flexible.
//
// Source: KafkaApis#handleOffsetForLeaderEpochRequest, ReplicaManager#lastOffsetForLeaderEpoch.
var offsetForLeaderEpochRoute = on(kmsg.OffsetForLeaderEpoch, (*API).offsetForLeaderEpoch)

func (a *API) offsetForLeaderEpoch(_ *server.Request, req *kmsg.OffsetForLeaderEpochRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for i := range req.Topics {
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			in := &req.Topics[i].Partitions[j]
			p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			p.Partition = in.Partition
			end := partition.EpochEnd{Epoch: -1, EndOffset: -1}
			target, err := a.Replicas.Partition(wire.TopicPartition{Topic: out.Topic, Partition: in.Partition})
			if err == nil {
				end, err = target.OffsetForLeaderEpoch(in.CurrentLeaderEpoch, in.LeaderEpoch)
			}
			p.ErrorCode, p.LeaderEpoch, p.EndOffset = wire.Code(err), end.Epoch, end.EndOffset
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return server.Now(resp)
}
