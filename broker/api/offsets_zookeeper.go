package api

import (
	"errors"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConsumerOffsets is where offsets of version 0 are kept (/consumers/GROUP/offsets/TOPIC/PARTITION in ZooKeeper): *zookeeper.Store is nearly one.
// Both methods wait for ZooKeeper.
type ConsumerOffsets interface {
	// ConsumerOffset reads what a group has committed; not ok where there is nothing.
	ConsumerOffset(group string, tp wire.TopicPartition) (offset int64, ok bool, err error)
	// SetConsumerOffset commits.
	SetConsumerOffset(group string, tp wire.TopicPartition, offset int64) error
}

// commitInZooKeeper commits as version 0 does. Any broker may do it, and members are not asked for. The metadata is checked and dropped.
//
// Source: KafkaApis#commitOffsetsToZookeeper.
func (a *API) commitInZooKeeper(req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	snapshot := a.Metadata.Snapshot()
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		topic, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = topic.Topic
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(topic.Partitions))
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			tp := wire.TopicPartition{Topic: topic.Topic, Partition: p.Partition}
			err := error(nil)
			switch {
			case !inPath(req.Group):
				err = kerr.InvalidGroupID
			case snapshot.Partition(tp) == nil:
				err = kerr.UnknownTopicOrPartition
			case p.Metadata != nil && wire.UTF16Len(*p.Metadata) > a.Config.OffsetMetadataBytesMax:
				err = kerr.OffsetMetadataTooLarge
			default:
				err = inZooKeeper(a.Offsets.SetConsumerOffset(req.Group, tp, p.Offset))
			}
			out.Partitions[j].Partition, out.Partitions[j].ErrorCode = p.Partition, wire.Code(err)
		}
	}
	return resp
}

// fetchFromZooKeeper answers version 0. Where nothing is committed, Kafka says UNKNOWN_TOPIC_OR_PARTITION. Source: KafkaApis#handleOffsetFetchRequestFromZookeeper.
func (a *API) fetchFromZooKeeper(req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) {
	snapshot := a.Metadata.Snapshot()
	for i := range req.Topics {
		out := kmsg.NewOffsetFetchResponseTopic()
		out.Topic = req.Topics[i].Topic
		for _, number := range req.Topics[i].Partitions {
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.Offset, p.Metadata = number, -1, new(string)
			p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			tp := wire.TopicPartition{Topic: out.Topic, Partition: number}
			switch {
			case !inPath(req.Group):
				p.ErrorCode = kerr.InvalidGroupID.Code
			case snapshot.Partition(tp) != nil:
				offset, ok, err := a.Offsets.ConsumerOffset(req.Group, tp)
				switch {
				case err != nil:
					p.ErrorCode = wire.Code(inZooKeeper(err))
				case ok:
					p.Offset, p.ErrorCode = offset, 0
				}
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
}

// inPath says whether a group's name may stand in a path of ZooKeeper: what does not would name another znode, or none.
func inPath(group string) bool {
	if group == "" || group == "." || group == ".." {
		return false
	}
	for _, c := range group {
		if c == '/' || c < 0x20 || c >= 0x7f && c <= 0x9f || c >= 0xd800 && c <= 0xf8ff || c >= 0xfff0 {
			return false
		}
	}
	return true
}

// inZooKeeper is what a client is told of an error of ZooKeeper: to come again where that may help.
func inZooKeeper(err error) error {
	if errors.Is(err, zookeeper.ErrSessionExpired) || errors.Is(err, zookeeper.ErrSessionClosed) || errors.Is(err, zookeeper.ErrConnectionLoss) {
		return kerr.CoordinatorNotAvailable
	}
	return err
}
