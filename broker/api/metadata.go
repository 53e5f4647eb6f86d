package api

import (
	"slices"

	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metadata v0-v12. v1 controller, racks, internal topics; v2 cluster id; v4 auto-creation can be declined; v5 offline replicas
// (KIP-112); v7 leader epochs (KIP-320); v8 authorized operations (KIP-430), never told; v9 flexible; v10 topic ids (KIP-516), which
// may be asked for from v12 on: a v10 or v11 with one, or with no name, is refused, every topic of it with INVALID_REQUEST.
//
// Topics that do not exist are created if auto.create.topics.enable and the client allow it. The answer does not wait for
// it: the client is told LEADER_NOT_AVAILABLE, and asks again.
//
// Source: KafkaApis#handleTopicMetadataRequest.
var metadataRoute = on(kmsg.Metadata, (*API).metadata)

func (a *API) metadata(r *server.Request, req *kmsg.MetadataRequest) server.Reply {
	if asksById(req) && req.Version < 12 {
		return server.Now(refusedMetadata(req, kerr.InvalidRequest))
	}
	resp := a.Metadata.Snapshot().Metadata(req, a.ClusterID, a.Listener)
	mayCreate := a.Config.AutoCreateTopics && (req.Version < 4 || req.AllowAutoTopicCreation)
	var wanted []string
	for i := range resp.Topics {
		topic := &resp.Topics[i]
		if topic.ErrorCode != kerr.UnknownTopicOrPartition.Code || topic.Topic == nil || topic.TopicID != ([16]byte{}) {
			continue
		}
		switch {
		case !validTopic(*topic.Topic):
			topic.ErrorCode = kerr.InvalidTopicException.Code
		case mayCreate && !topic.IsInternal:
			topic.ErrorCode = kerr.LeaderNotAvailable.Code
			wanted = append(wanted, *topic.Topic)
		}
	}
	a.creations.create(wanted, a.mutations(r, false))
	return server.Now(resp)
}

func asksById(req *kmsg.MetadataRequest) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool {
		return t.Topic == nil || t.TopicID != [16]byte{}
	})
}

// refusedMetadata tells of no broker, and of each topic that it was asked for the error.
// Source: MetadataRequest#getErrorResponse.
func refusedMetadata(req *kmsg.MetadataRequest, err *kerr.Error) *kmsg.MetadataResponse {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	for _, t := range req.Topics {
		topic := kmsg.NewMetadataResponseTopic()
		topic.ErrorCode, topic.TopicID = err.Code, t.TopicID
		topic.Topic = kmsg.StringPtr("")
		if t.Topic != nil {
			topic.Topic = t.Topic
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// topicNameBytesMax is the longest a topic's name may be: with the partition's number it must be a file's name.
const topicNameBytesMax = 249

// validTopic is org.apache.kafka.common.internals.Topic#isValid.
func validTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > topicNameBytesMax {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
