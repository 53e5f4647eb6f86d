// Goal: the bugs of the zoo that live in a log are found, each within 1,000 seeds and as a broken promise; without them
// the same trials pass.
// Method: tombstone-early by the model of compaction; the others by a producer that syncs every append, on a disk that
// fails now and then, with crashes and power losses.
package log_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// ackRun is one seed: what was acked must be there, whatever happened since.
type ackRun struct {
	rand   *rand.Rand
	cfg    config.Broker
	tp     wire.TopicPartition
	acked  int64 // records, each its own batch: offset = sequence
	failed bool  // a write or sync failed in this life
}

func (r *ackRun) batch(sequence int64) record.Batch {
	return build(fmt.Sprintf("n%d", sequence), 1, func(o *record.BatchOptions) {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = 1, 0, int32(sequence)
	})
}

// life appends until it ends or the disk fails for good.
func (r *ackRun) life(e env.Env) {
	m, err := log.OpenManager(e, &r.cfg)
	if err != nil {
		r.failed = true // a disk that fails at the start: nothing can be said
		return
	}
	m.Start()
	l, err := m.GetOrCreate(r.tp, [16]byte{1}, r.cfg.Topic)
	if err != nil {
		r.failed = true
		return
	}
	r.verify(l)
	for next := l.EndOffset(); ; {
		info, err := l.AppendAsLeader(r.batch(next), 0, log.AppendOptions{})
		switch {
		case err != nil && l.Err() != nil:
			return // the broker halts
		case err != nil && r.failed: // what the disk would not take is sent again
			e.Sleep(time.Millisecond)
			continue
		case err != nil:
			panic(fmt.Sprintf("sequence %d refused: %v", next, err))
		case info.FirstOffset != next:
			panic(fmt.Sprintf("sequence %d is at %d", next, info.FirstOffset))
		}
		next++
		r.acked = max(r.acked, next)
	}
}

// verify reads everything, and sends the last record again.
func (r *ackRun) verify(l *log.Log) {
	if l.EndOffset() < r.acked {
		panic(fmt.Sprintf("%d records were acked, the log ends at %d", r.acked, l.EndOffset()))
	}
	for next := l.StartOffset(); next < l.EndOffset(); {
		s, err := l.Read(next, 1<<20, math.MaxInt64, true)
		if err != nil {
			panic(err)
		}
		data, err := s.Bytes()
		s.Release()
		if err != nil || len(data) == 0 {
			panic(fmt.Sprintf("nothing at %d of %d: %v", next, l.EndOffset(), err))
		}
		for len(data) > 0 {
			b, rest, err := nextBatch(data)
			if err != nil {
				panic(err)
			}
			it := record.NewIterator(b, 0)
			it.Next()
			if want := fmt.Sprintf("n%d-0", next); string(it.Record().Value) != want || b.BaseOffset() != next {
				panic(fmt.Sprintf("%d holds %q at %d", next, it.Record().Value, b.BaseOffset()))
			}
			next, data = b.NextOffset(), rest
		}
	}
	if last := l.EndOffset() - 1; last >= 0 {
		info, err := l.AppendAsLeader(r.batch(last), 0, log.AppendOptions{})
		if err != nil || !info.Duplicate || info.FirstOffset != last {
			panic(fmt.Sprintf("sequence %d, sent again, is %+v: %v", last, info, err))
		}
	}
}

func runAcks(seed uint64, bugs bug.Set) string {
	r := &ackRun{rand: rand.New(rand.NewPCG(seed, 3)), tp: wire.TopicPartition{Topic: "a"}}
	r.cfg.LogDirs, r.cfg.Bugs = []string{"/data/logs"}, bugs
	r.cfg.Topic = config.Topic{SegmentBytes: int32(400 + r.rand.IntN(3000)), IndexIntervalBytes: 100, FlushMessages: 1}
	if r.rand.IntN(4) == 0 { // then nothing is promised over a power loss
		r.cfg.Topic.FlushMessages = math.MaxInt64
	}
	w := cluster.New(cluster.Options{Seed: seed})
	defer w.Close()
	w.AddNode("b1", r.life)
	for range 6 {
		w.Start("b1")
		r.failed = false
		until := func(n int) {
			steps := w.Steps() + uint64(n)
			w.RunUntil(func() bool { return w.Status("b1") != cluster.Running || w.Steps() >= steps }, env.Never)
		}
		until(r.rand.IntN(1500))
		if op := []disk.Op{disk.OpSync, disk.OpWrite}[r.rand.IntN(2)]; r.rand.IntN(2) == 0 && w.Status("b1") == cluster.Running {
			r.failed = true
			w.Disk("b1").SetFail(op, true)
			until(r.rand.IntN(40))
			w.Disk("b1").Heal()
			until(r.rand.IntN(300))
		}
		if c := w.Crashes(); len(c) > 0 {
			return c[0].String()
		}
		switch {
		case w.Status("b1") == cluster.Running && !r.failed && r.rand.IntN(2) == 0:
			w.Crash("b1")
		default: // also after a failed sync: its pages are clean, and no later life could sync them
			w.PowerLoss("b1", disk.KeepRandom)
			if r.cfg.Topic.FlushMessages > 1 {
				r.acked = 0
			}
		}
	}
	return ""
}

func TestZoo(t *testing.T) {
	trials := map[bug.Set]func(seed uint64, bugs bug.Set) string{
		bug.TombstoneEarly: func(seed uint64, bugs bug.Set) string {
			r := newCompactRun(t, seed, map[string]int{})
			r.cfg.Bugs = bugs
			return r.run()
		},
		bug.TornTailAccepted: runAcks, bug.AppendAfterIOError: runAcks, bug.FsyncIgnored: runAcks, bug.ProducerStateDropped: runAcks,
	}
	for _, animal := range bug.Zoo {
		trial := trials[animal.Set]
		if trial == nil {
			continue // scenarios find it
		}
		t.Run(animal.Name, func(t *testing.T) {
			for seed := range uint64(1000) {
				if why := trial(seed, animal.Set); why != "" {
					t.Logf("found after %d seeds: %.200s", seed+1, why)
					return
				}
			}
			t.Error("not found in 1,000 seeds")
		})
	}
	for seed := range uint64(60) {
		if why := runAcks(seed, 0); why != "" {
			t.Fatalf("seed %d without a bug: %s", seed, why)
		}
	}
}
