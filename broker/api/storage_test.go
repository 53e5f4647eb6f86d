// Goal: DeleteRecords waits for every replica, and DescribeLogDirs tells what is where. Method: the handlers behind a real
// server, on fakes.
package api_test

import (
	"slices"
	"testing"
	"time"

	"barnabas/broker/replica"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func deleteRecords(version int16, topic string, partition int32, offset int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = version, 500
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{p}}}
	return req
}

func TestDeleteRecordsWaitsForTheFollowers(t *testing.T) {
	onDesk(t, 5, func(d *desk) {
		d.addTopic("a", topicID(1), 1)
		d.at("a", 0).setHW(10)
		for version := range int16(3) {
			d.at("a", 0).setFollowerStart(-1)
			req := deleteRecords(version, "a", 0, -1)
			correlation := d.send(req)
			d.e.Go("follower", func() {
				d.e.Sleep(100 * time.Millisecond)
				d.at("a", 0).setFollowerStart(9)
				d.e.Sleep(100 * time.Millisecond)
				d.at("a", 0).setFollowerStart(10)
			})
			began := d.e.Mono()
			p := d.receive(req, correlation).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
			if p.ErrorCode != 0 || p.LowWatermark != 10 || d.e.Mono().Sub(began) < 200*time.Millisecond {
				t.Errorf("v%d after %s: %+v", version, d.e.Mono().Sub(began), p)
			}
		}
		d.at("a", 0).setFollowerStart(5)
		for _, c := range []struct {
			topic     string
			partition int32
			offset    int64
			want      *kerr.Error
		}{
			{"a", 0, 7, kerr.RequestTimedOut}, {"a", 0, 11, kerr.OffsetOutOfRange}, {"a", 1, 0, kerr.UnknownTopicOrPartition},
			{"__consumer_offsets", 0, 0, kerr.InvalidTopicException},
		} {
			p := do[*kmsg.DeleteRecordsResponse](d, deleteRecords(2, c.topic, c.partition, c.offset)).Topics[0].Partitions[0]
			if p.ErrorCode != c.want.Code || p.LowWatermark != -1 {
				t.Errorf("%s-%d to %d: %+v, want %s", c.topic, c.partition, c.offset, p, c.want.Message)
			}
		}
	})
}

func TestDescribeLogDirs(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		d.addTopic("a", topicID(1), 2)
		d.addTopic("b", topicID(2), 1)
		d.at("a", 1).size = 77
		for version := range int16(5) {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			req.Version = version
			dirs := do[*kmsg.DescribeLogDirsResponse](d, req).Dirs
			if len(dirs) != 2 || dirs[0].Dir != "/good" || len(dirs[0].Topics) != 2 || dirs[0].Topics[0].Partitions[1].Size != 77 ||
				dirs[1].ErrorCode != kerr.KafkaStorageError.Code || len(dirs[1].Topics) != 0 {
				t.Errorf("v%d: %+v", version, dirs)
			}
			req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "a", Partitions: []int32{1, 9}}}
			dirs = do[*kmsg.DescribeLogDirsResponse](d, req).Dirs
			if len(dirs[0].Topics) != 1 || len(dirs[0].Topics[0].Partitions) != 1 || dirs[0].Topics[0].Partitions[0].Partition != 1 {
				t.Errorf("v%d, one partition: %+v", version, dirs)
			}
		}
	})
}

func TestAlterReplicaLogDirs(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		var asked []replica.Move
		d.moves = func(moves []replica.Move) []error {
			asked = moves
			return []error{nil, kerr.LogDirNotFound, kerr.ReplicaNotAvailable}
		}
		for version := range int16(3) {
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			req.Version = version
			req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{
				{Dir: "/1", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "a", Partitions: []int32{0, 1}}}},
				{Dir: "/2", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "b", Partitions: []int32{5}}, {Topic: "a", Partitions: []int32{1}}}},
			}
			resp := do[*kmsg.AlterReplicaLogDirsResponse](d, req)
			tp := func(topic string, p int32) wire.TopicPartition {
				return wire.TopicPartition{Topic: topic, Partition: p}
			}
			if !slices.Equal(asked, []replica.Move{{TP: tp("a", 0), Dir: "/1"}, {TP: tp("a", 1), Dir: "/2"}, {TP: tp("b", 5), Dir: "/2"}}) {
				t.Errorf("v%d asks for %v", version, asked)
			}
			if len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[0].ErrorCode != 0 ||
				resp.Topics[0].Partitions[1].ErrorCode != kerr.LogDirNotFound.Code || resp.Topics[1].Partitions[0].ErrorCode != kerr.ReplicaNotAvailable.Code {
				t.Errorf("v%d answers %+v", version, resp.Topics)
			}
		}
	})
}
