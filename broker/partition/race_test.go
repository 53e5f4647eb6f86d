package partition

import (
	"sync/atomic"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/osenv"
	"barnabas/broker/record"
	"barnabas/broker/wire"
)

// TestManyTasksInTheRealWorld has tasks append, fetch, consume, look offsets up, propose ISRs and change the role at once, on real
// threads: for the race detector, and for what must hold whoever comes first: the high watermark of a leader never goes back, a
// consumer never gets more than it, and everything ends.
func TestManyTasksInTheRealWorld(t *testing.T) {
	e := osenv.New(osenv.Options{})
	tp := wire.TopicPartition{Topic: "t"}
	l, _, err := log.Open(e, log.Options{Dir: t.TempDir(), TP: tp, Config: topicConfig(), CleanShutdown: true})
	if err != nil {
		t.Fatal(err)
	}
	var p *Partition
	var changes atomic.Int64
	p = New(Options{Env: e, TP: tp, Log: l, Bugs: bug.Set(0), BrokerID: 1, BrokerEpoch: func() int64 { return 1 },
		Alive: func(int32) bool { return true }, ReplicaLagTimeMax: time.Millisecond, MinInsyncReplicas: 1,
		Notify: func(wire.TopicPartition) {}, RequestAlter: func(wire.TopicPartition) { changes.Add(1) }})
	a := Assignment{Leader: 1, ISR: []int32{1, 2}, Replicas: []int32{1, 2, 3}}
	if err := p.BecomeLeader(a); err != nil {
		t.Fatal(err)
	}
	const rounds = 300
	var done atomic.Int64
	tasks := env.NewGroup(e)
	for range 2 {
		tasks.Go("producer", func() {
			for range rounds {
				var b record.Builder
				b.Append(1, nil, []byte("v"))
				batch, err := b.Build(nil, record.NewBatchOptions())
				if err == nil {
					_, err = p.AppendAsLeader(batch, AppendOptions{Acks: 1, LeaderEpoch: -1})
				}
				if err != nil {
					t.Error(err)
				}
			}
			done.Add(1)
		})
	}
	for id := int32(2); id <= 3; id++ {
		tasks.Go("follower", func() {
			for done.Load() < 2 {
				res, err := p.Read(ReadOptions{Offset: l.EndOffset(), MaxBytes: 1000, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, ReplicaID: id, ReplicaEpoch: 1})
				if err != nil {
					t.Error(err)
				}
				res.Slice.Done()
			}
		})
	}
	tasks.Go("consumer", func() {
		last := int64(0)
		for done.Load() < 2 {
			res, err := p.Read(ReadOptions{MaxBytes: 1 << 20, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, ReplicaID: -1, ReplicaEpoch: -1})
			if err != nil {
				t.Error(err)
			}
			if res.HighWatermark < last || res.LastStableOffset > res.HighWatermark || res.HighWatermark > res.LogEndOffset {
				t.Errorf("high watermark %d after %d, stable %d, end %d", res.HighWatermark, last, res.LastStableOffset, res.LogEndOffset)
			}
			last = res.HighWatermark
			res.Slice.Done()
			_, _ = p.Replicated(last, 0)
			_, _ = p.ListOffset(ListOptions{Timestamp: TimestampLatest, CurrentLeaderEpoch: -1})
			_, _ = p.OffsetForLeaderEpoch(-1, 0)
		}
	})
	tasks.Go("controller", func() {
		a := a
		for done.Load() < 2 {
			p.ShrinkISR()
			if c := p.PendingChange(); c != nil {
				a.ISR = nil
				for _, m := range c.ISR {
					a.ISR = append(a.ISR, m.Broker)
				}
				a.PartitionEpoch = c.PartitionEpoch + 1
				p.CompleteChange(c, AlterResult{LeaderEpoch: c.LeaderEpoch, PartitionEpoch: a.PartitionEpoch, ISR: a.ISR})
			}
			if a.PartitionEpoch%7 == 6 {
				a.LeaderEpoch, a.PartitionEpoch = a.LeaderEpoch+1, a.PartitionEpoch+1
				if err := p.BecomeLeader(a); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if !tasks.WaitUntil(e.Mono().Add(time.Minute)) {
		t.Fatal("tasks hang")
	}
	if end := l.EndOffset(); end != 2*rounds {
		t.Errorf("the log ends at %d", end)
	}
	t.Logf("%d ISR changes, epoch %d", changes.Load(), p.LeaderEpoch())
}
