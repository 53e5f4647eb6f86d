package api

import (
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetDelete v0 (KIP-496). Topics that members of the group read keep their offsets.
//
// Source: KafkaApis#handleOffsetDeleteRequest.
var offsetDeleteRoute = on(kmsg.OffsetDelete, (*API).offsetDelete)

func (a *API) offsetDelete(_ *server.Request, req *kmsg.OffsetDeleteRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	var known []wire.TopicPartition
	var places []*int16
	snapshot := a.Metadata.Snapshot()
	topics := make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))
	for i := range req.Topics {
		topics[i].Topic = req.Topics[i].Topic
		topics[i].Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(req.Topics[i].Partitions))
		for j, p := range req.Topics[i].Partitions {
			out := &topics[i].Partitions[j]
			out.Partition = p.Partition
			tp := wire.TopicPartition{Topic: req.Topics[i].Topic, Partition: p.Partition}
			if snapshot.Partition(tp) == nil {
				out.ErrorCode = kerr.UnknownTopicOrPartition.Code
				continue
			}
			known, places = append(known, tp), append(places, &out.ErrorCode)
		}
	}
	answers, err := a.Groups.DeleteOffsets(req.Group, known)
	if err != nil {
		resp.ErrorCode = err.Code
		return server.Now(resp)
	}
	for i, err := range answers {
		*places[i] = codeOf(err)
	}
	resp.Topics = topics
	return server.Now(resp)
}
