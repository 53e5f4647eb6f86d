package client

import (
	"fmt"
	"time"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// MoveReplica has a broker move its replica of a partition to another of its log directories. It returns when the move has begun.
//
// Errors: LOG_DIR_NOT_FOUND, REPLICA_NOT_AVAILABLE, KAFKA_STORAGE_ERROR. Source: Admin#alterReplicaLogDirs.
func (a *Admin) MoveReplica(broker int32, tp wire.TopicPartition, dir string, timeout time.Duration) error {
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	req.SetVersion(2)
	req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: tp.Topic, Partitions: []int32{tp.Partition}}}}}
	resp, err := a.broker(broker, req, timeout)
	if err == nil {
		for _, t := range resp.(*kmsg.AlterReplicaLogDirsResponse).Topics {
			for _, p := range t.Partitions {
				err = kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return named(fmt.Sprintf("move %s on broker %d to %s", tp, broker, dir), err)
}

// ReplicaPlace is where a broker has a replica, or is about to have it.
type ReplicaPlace struct {
	Dir    string
	Future bool  // it is on its way there
	Lag    int64 // offsets that it is behind: of a future one, behind the replica
}

// ReplicaPlaces tells in which log directories of a broker a partition's replica is, and all directories that are well.
//
// Source: Admin#describeReplicaLogDirs.
func (a *Admin) ReplicaPlaces(broker int32, tp wire.TopicPartition, timeout time.Duration) (places []ReplicaPlace, dirs []string, err error) {
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.SetVersion(4)
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: tp.Topic, Partitions: []int32{tp.Partition}}}
	resp, err := a.broker(broker, req, timeout)
	if err != nil {
		return nil, nil, named("describe log dirs", err)
	}
	for _, d := range resp.(*kmsg.DescribeLogDirsResponse).Dirs {
		if d.ErrorCode != 0 {
			continue
		}
		dirs = append(dirs, d.Dir)
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				places = append(places, ReplicaPlace{Dir: d.Dir, Future: p.IsFuture, Lag: p.OffsetLag})
			}
		}
	}
	return places, dirs, nil
}

// broker sends to one broker.
func (a *Admin) broker(id int32, req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	conn, err := a.c.Conn(id)
	if err != nil {
		return nil, err
	}
	return conn.Do(req, timeout)
}
