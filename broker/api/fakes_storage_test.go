package api_test

import (
	"barnabas/broker/log"
	"barnabas/broker/replica"

	"github.com/twmb/franz-go/pkg/kerr"
)

// LogDirs is api.Replicas: one directory that is well, with every partition, and one that failed.
func (d *desk) LogDirs() []log.DirInfo {
	good := log.DirInfo{Path: "/good"}
	for _, topic := range []string{"a", "b"} {
		for n := range int32(3) {
			if p := d.at(topic, n); p != nil {
				good.Logs = append(good.Logs, log.Info{TP: p.tp, Size: p.size, HighWatermark: p.hw, EndOffset: p.end})
			}
		}
	}
	return []log.DirInfo{good, {Path: "/bad", Err: kerr.KafkaStorageError}}
}

// AlterReplicaLogDirs is api.Replicas: it passes the moves on to the test, if that wants them.
func (d *desk) AlterReplicaLogDirs(moves []replica.Move) []error {
	if d.moves == nil {
		return make([]error, len(moves))
	}
	return d.moves(moves)
}

// DeleteRecords is api.Partition: the leader's start is raised at once, its follower's by setFollowerStart.
func (p *fakePartition) DeleteRecords(offset int64) (int64, error) {
	if p.err != nil {
		return -1, p.err
	}
	if offset == -1 {
		offset = p.hw
	}
	if offset > p.hw {
		return -1, kerr.OffsetOutOfRange
	}
	return offset, nil
}

func (p *fakePartition) LowWatermark() (int64, error) { return p.followerStart, p.err }

func (p *fakePartition) setFollowerStart(offset int64) { p.followerStart = offset; p.notify() }
