package api

import (
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metadata v0-v12. v1 controller, racks, internal topics; v2 cluster id; v4 auto-creation can be declined; v5 offline replicas
// (KIP-112); v7 leader epochs (KIP-320); v8 authorized operations (KIP-430), never told; v9 flexible; v10 topic ids (KIP-516).
//
// Topics that do not exist are created if auto.create.topics.enable and the client allow it. The answer does not wait for
// it: the client is told LEADER_NOT_AVAILABLE, and asks again.
//
// Source: KafkaApis#handleTopicMetadataRequest.
var metadataRoute = on(kmsg.Metadata, (*API).metadata)

func (a *API) metadata(_ *server.Request, req *kmsg.MetadataRequest) server.Reply {
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
	a.creations.create(wanted)
	return server.Now(resp)
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
