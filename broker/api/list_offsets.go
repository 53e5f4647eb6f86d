package api

import (
	"barnabas/broker/partition"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListOffsets v0-v9. v0 lists where segments begin; v1 timestamps (KIP-79); v2 isolation; v4 leader epoch (KIP-320); v6 flexible; v7 max timestamp (KIP-734);
// v8 earliest local (KIP-405); v9 latest tiered (KIP-1005).
//
// Source: KafkaApis#handleListOffsetRequestV0, #handleListOffsetRequestV1AndAbove.
var listOffsetsRoute = on(kmsg.ListOffsets, (*API).listOffsets)

// Timestamps of tiered storage, which we do not have: everything is local, and nothing is remote.
const (
	timestampEarliestLocal int64 = -4
	timestampLatestTiered  int64 = -5
)

// timestampSince is the version from which on a special timestamp may be asked for.
var timestampSince = map[int64]int16{
	partition.TimestampLatest:   0,
	partition.TimestampEarliest: 0,
	partition.TimestampMax:      7,
	timestampEarliestLocal:      8,
	timestampLatestTiered:       9,
}

const (
	consumerReplicaID  int32 = -1 // in requests of clients
	debuggingReplicaID int32 = -2 // may ask followers too
)

func (a *API) listOffsets(_ *server.Request, req *kmsg.ListOffsetsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	asked := make(map[wire.TopicPartition]int)
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			asked[wire.TopicPartition{Topic: req.Topics[i].Topic, Partition: req.Topics[i].Partitions[j].Partition}]++
		}
	}
	for i := range req.Topics {
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			in := &req.Topics[i].Partitions[j]
			tp := wire.TopicPartition{Topic: out.Topic, Partition: in.Partition}
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = in.Partition
			p.Timestamp, p.Offset, p.LeaderEpoch = -1, -1, -1
			found, err := partition.ListResult{}, error(kerr.InvalidRequest)
			if asked[tp] == 1 {
				found, err = a.listOffset(req, tp, in)
			}
			if err != nil {
				p.ErrorCode = wire.Code(err)
				if p.ErrorCode == kerr.OffsetNotAvailable.Code && req.Version < 5 {
					p.ErrorCode = kerr.LeaderNotAvailable.Code // the code is younger than the version
				}
			} else {
				p.Timestamp, p.Offset, p.LeaderEpoch = found.Timestamp, found.Offset, found.LeaderEpoch
				p.OldStyleOffsets = found.Segments
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return server.Now(resp)
}

func (a *API) listOffset(req *kmsg.ListOffsetsRequest, tp wire.TopicPartition, in *kmsg.ListOffsetsRequestTopicPartition) (partition.ListResult, error) {
	none := partition.ListResult{Offset: -1, Timestamp: -1, LeaderEpoch: -1}
	if in.Timestamp < 0 {
		if since, ok := timestampSince[in.Timestamp]; !ok || req.Version < since {
			return none, kerr.UnsupportedVersion
		}
	}
	target, err := a.Replicas.Partition(tp)
	if err != nil {
		return none, err
	}
	o := partition.ListOptions{
		Timestamp:          in.Timestamp,
		CurrentLeaderEpoch: in.CurrentLeaderEpoch,
		Replica:            req.ReplicaID != consumerReplicaID,
		ReadCommitted:      req.IsolationLevel == 1,
		AllowFollower:      req.ReplicaID == debuggingReplicaID,
	}
	if req.Version == 0 {
		o.SegmentsMax = max(in.MaxNumOffsets, 1)
	}
	switch in.Timestamp {
	case timestampLatestTiered:
		return none, nil
	case timestampEarliestLocal:
		o.Timestamp = partition.TimestampEarliest
	}
	return target.ListOffset(o)
}
