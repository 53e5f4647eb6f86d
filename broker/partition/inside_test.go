package partition_test

import (
	"fmt"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/record"
	"barnabas/sim/cluster"
)

// Goal: a new follower whose leader's log begins inside of a batch, since records were deleted up to there, takes that batch and has the
// same log start.
func TestFollowerBeginsInsideOfABatch(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		m := openMover(e)
		a := partition.Assignment{Leader: 2, LeaderEpoch: 3, PartitionEpoch: 3, ISR: []int32{2}, Replicas: []int32{1, 2}}
		_, err := m.p.BecomeFollower(a)
		m.must(err)
		if progress, err := m.p.ResetTo(3, 15, 20); err != nil || !progress {
			t.Fatal(progress, err)
		}
		var b record.Builder
		for i := range 10 {
			b.Append(1, nil, fmt.Append(nil, "v", 10+i))
		}
		data, err := b.Build(nil, record.NewBatchOptions())
		m.must(err)
		batch := record.Batch(data)
		batch.SetBaseOffset(10)
		batch.SetLeaderEpoch(3)
		if _, err := m.p.AppendAsFollower(partition.Fetched{LeaderEpoch: 3, Offset: 15, Batches: batch, HighWatermark: 20, LogStartOffset: 15}); err != nil {
			t.Fatal(err)
		}
		if l := m.p.Log(); l.StartOffset() != 15 || l.EndOffset() != 20 || m.p.HighWatermark() != 20 {
			t.Fatal(l.StartOffset(), l.EndOffset(), m.p.HighWatermark())
		}
		for round := range 2 { // and it is found so again
			m.must(m.logs.Shutdown(round == 0))
			m = openMover(e)
			if l := m.p.Log(); l.StartOffset() != 15 || l.EndOffset() != 20 || l.FirstOffset() != 10 || l.EpochAt(15) != 3 || l.EpochAt(14) != -1 {
				t.Fatal(l.StartOffset(), l.EndOffset(), l.FirstOffset(), l.Epochs())
			}
		}
	})
}
