package oracle

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/wire"
)

// oneBatch is a disk that holds the same batch of ten records in every replica's first segment.
type oneBatch struct{}

func (oneBatch) Find(_ int32, _ string, _ wire.TopicPartition, name string) File {
	return fileOf(func(p []byte, offset int64) int {
		if name != segmentFile(0) || offset != 0 {
			return -1
		}
		var h [headerSize]byte
		binary.BigEndian.PutUint32(h[8:], headerSize-12) // length
		binary.BigEndian.PutUint32(h[23:], 9)            // last offset delta
		binary.BigEndian.PutUint32(h[17:], crc32.Checksum(h[21:], castagnoli))
		return copy(p, h[:])
	})
}

// Goal: a replica that was deleted and made anew between two looks is no log that was cut, and one whose log was cut is.
// Method: the same two looks, with another log and with the same.
func TestDeletedAndMadeAnewBetweenLooksIsNotCut(t *testing.T) {
	first, second := new(log.Log), new(log.Log)
	for _, test := range []struct {
		name  string
		later *log.Log
		want  int
	}{{"made anew", second, 0}, {"cut", first, 1}} {
		t.Run(test.name, func(t *testing.T) {
			o := New(oneBatch{})
			look := func(l *log.Log, role partition.Role, epoch int32, end int64) {
				o.Look(View{Replicas: []Replica{{Broker: 2, Life: 1, State: partition.State{
					TP: wire.TopicPartition{Topic: "t"}, Role: role, LeaderEpoch: epoch, HighWatermark: end, LogEndOffset: end, Log: l,
					LatestEpoch: epoch, Epochs: []log.EpochEntry{{Epoch: 0}, {Epoch: epoch, StartOffset: end}},
				}}}})
			}
			look(first, partition.Leader, 3, 10)
			if got := o.Committed(wire.TopicPartition{Topic: "t"}); got != 10 {
				t.Fatalf("%d offsets are committed, want 10", got)
			}
			look(test.later, partition.Follower, 4, 0)
			if got := len(o.Violations()); got != test.want {
				t.Fatalf("%d violations, want %d: %v", got, test.want, o.Violations())
			}
		})
	}
}
