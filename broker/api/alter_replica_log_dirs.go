package api

import (
	"barnabas/broker/replica"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterReplicaLogDirs v0-v2 (KIP-113). v2 flexible. Moves replicas of this broker to other log directories of it; the answer comes when
// the moves have begun, and DescribeLogDirs tells how far they are. A partition that is named twice goes where it is named last.
//
// Errors: LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR, REPLICA_NOT_AVAILABLE for a replica that is not here (yet: it will be made in that
// directory), UNKNOWN_TOPIC_OR_PARTITION for one that nobody told of (remembered too), INVALID_TOPIC_EXCEPTION for a name that is too long.
// Source: KafkaApis#handleAlterReplicaLogDirsRequest.
var alterReplicaLogDirsRoute = on(kmsg.AlterReplicaLogDirs, (*API).alterReplicaLogDirs)

func (a *API) alterReplicaLogDirs(_ *server.Request, req *kmsg.AlterReplicaLogDirsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	var moves []replica.Move
	at := map[wire.TopicPartition]int{}
	for _, dir := range req.Dirs {
		for _, t := range dir.Topics {
			for _, p := range t.Partitions {
				mv := replica.Move{TP: wire.TopicPartition{Topic: t.Topic, Partition: p}, Dir: dir.Dir}
				if i, twice := at[mv.TP]; twice {
					moves[i] = mv
					continue
				}
				at[mv.TP] = len(moves)
				moves = append(moves, mv)
			}
		}
	}
	errs := a.Replicas.AlterReplicaLogDirs(moves)
	topics := map[string]int{}
	for i, mv := range moves {
		n, known := topics[mv.TP.Topic]
		if !known {
			n = len(resp.Topics)
			topics[mv.TP.Topic] = n
			t := kmsg.NewAlterReplicaLogDirsResponseTopic()
			t.Topic = mv.TP.Topic
			resp.Topics = append(resp.Topics, t)
		}
		p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
		p.Partition, p.ErrorCode = mv.TP.Partition, wire.Code(errs[i])
		resp.Topics[n].Partitions = append(resp.Topics[n].Partitions, p)
	}
	return server.Now(resp)
}
