package api

import (
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeLogDirs v0-v4 (KIP-113). v2 flexible; v3 error code of the whole (KIP-784); v4 sizes of the volume (KIP-827), which
// are not known here: -1. A replica that is on its way into another directory is in both: there as a future one, whose lag is
// what it has yet to get. A directory that failed is listed with KAFKA_STORAGE_ERROR and nothing in it.
//
// DEVIATION(KIP-827): Kafka tells those sizes.
//
// Source: KafkaApis#handleDescribeLogDirsRequest, ReplicaManager#describeLogDirs.
var describeLogDirsRoute = on(kmsg.DescribeLogDirs, (*API).describeLogDirs)

func (a *API) describeLogDirs(_ *server.Request, req *kmsg.DescribeLogDirsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	asked := func(wire.TopicPartition) bool { return true }
	if req.Topics != nil {
		some := map[wire.TopicPartition]bool{}
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				some[wire.TopicPartition{Topic: t.Topic, Partition: p}] = true
			}
		}
		asked = func(tp wire.TopicPartition) bool { return some[tp] }
	}
	for _, dir := range a.Replicas.LogDirs() {
		d := kmsg.NewDescribeLogDirsResponseDir()
		d.Dir, d.ErrorCode, d.TotalBytes, d.UsableBytes = dir.Path, wire.Code(dir.Err), -1, -1
		for _, l := range dir.Logs { // sorted
			if !asked(l.TP) || dir.Err != nil {
				continue
			}
			if n := len(d.Topics); n == 0 || d.Topics[n-1].Topic != l.TP.Topic {
				t := kmsg.NewDescribeLogDirsResponseDirTopic()
				t.Topic = l.TP.Topic
				d.Topics = append(d.Topics, t)
			}
			t := &d.Topics[len(d.Topics)-1]
			p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			p.Partition, p.Size, p.OffsetLag = l.TP.Partition, l.Size, max(l.HighWatermark-l.EndOffset, 0)
			if l.Future {
				p.IsFuture, p.OffsetLag = true, l.Behind
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Dirs = append(resp.Dirs, d)
	}
	return server.Now(resp)
}
