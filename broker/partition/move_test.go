// Goal: a replica moves to another log directory while it is written, truncated and compacted, loses nothing whatever crashes or fails in
// the middle of it, and there is one log afterwards. Method: a log manager with two directories and one partition in simulated
// worlds; the process or the power goes, or a directory breaks, at every step in turn.
package partition_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"

	"github.com/twmb/franz-go/pkg/kerr"
)

var moved = wire.TopicPartition{Topic: "t", Partition: 3}

var movedID = [16]byte{7}

// mover is one life of the broker whose replica moves.
type mover struct {
	e    env.Env
	logs *log.Manager
	p    *partition.Partition
	late func() // done when the copy is nearly finished; may be nil
}

func moveConfig() *config.Broker {
	c := config.Default()
	c.LogDirs = []string{"/data/1", "/data/2"}
	c.Topic.SegmentBytes, c.Topic.FileDeleteDelay = 400, 0
	return c
}

func openMover(e env.Env) *mover {
	m := &mover{e: e}
	var err error
	if m.logs, err = log.OpenManager(e, moveConfig()); err != nil {
		panic(err)
	}
	l, err := m.logs.Host(moved, movedID, moveConfig().Topic, false)
	if err != nil {
		panic(err)
	}
	m.p = partition.New(partition.Options{Env: e, TP: moved, Log: l, BrokerID: 1, BrokerEpoch: func() int64 { return 1 },
		Alive: func(int32) bool { return true }, HighWatermark: m.logs.HighWatermarks()[moved], ReplicaLagTimeMax: time.Second, MinInsyncReplicas: 1,
		Notify: func(wire.TopicPartition) {}, RequestAlter: func(wire.TopicPartition) {}})
	return m
}

func (m *mover) must(err error) {
	if err != nil {
		panic(err)
	}
}

// lead makes the broker the leader in an epoch.
func (m *mover) lead(epoch int32) {
	m.must(m.p.BecomeLeader(partition.Assignment{Leader: 1, LeaderEpoch: epoch, PartitionEpoch: epoch, ISR: []int32{1}, Replicas: []int32{1}}))
}

func batchOf(value string, producer int64, sequence int32) []byte {
	o := record.NewBatchOptions()
	if producer >= 0 {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = producer, 0, sequence
	}
	var b record.Builder
	b.Append(1, nil, []byte(value))
	data, err := b.Build(nil, o)
	if err != nil {
		panic(err)
	}
	return data
}

// write appends records named after their offsets, each of the same producer.
func (m *mover) write(n int) {
	for range n {
		end := m.p.Log().EndOffset()
		_, err := m.p.AppendAsLeader(batchOf(fmt.Sprint("v", end), 77, int32(end)), partition.AppendOptions{Acks: 1, LeaderEpoch: -1})
		m.must(err)
	}
}

// begin makes the future log in the other directory.
func (m *mover) begin() *log.Log {
	other := "/data/1"
	if m.p.Log().Dir() == other {
		other = "/data/2"
	}
	future, err := m.logs.CreateFuture(moved, other)
	m.must(err)
	m.p.SetFuture(future)
	return future
}

// finish copies and replaces, as package replica's mover does.
func (m *mover) finish(future *log.Log) error {
	for {
		step, err := m.p.CopyFuture(future, 300)
		if err != nil {
			return err
		}
		if step.Reached {
			break
		}
	}
	if err := future.Flush(); err != nil {
		return err
	}
	if m.late != nil {
		m.late()
	}
	var retire func()
	err := m.p.Replace(future, 300, func() (next *log.Log, err error) {
		next, retire, err = m.logs.Promote(moved, m.p.HighWatermark())
		return next, err
	})
	if err == nil {
		retire()
	}
	return err
}

// values reads the whole log.
func (m *mover) values() (values []string) {
	l := m.p.Log()
	for at := l.StartOffset(); at < l.EndOffset(); {
		s, err := l.Read(at, 1<<20, l.EndOffset(), true)
		m.must(err)
		data, err := s.Bytes()
		s.Release()
		m.must(err)
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			m.must(err)
			m.must(b.Check())
			for it := record.NewIterator(b, 0); it.Next(); {
				values = append(values, string(it.Record().Value))
			}
			at, data = b.NextOffset(), rest
		}
	}
	return values
}

// check wants exactly one log on the disk, with values v<from> to at least v<atLeast-1>.
func (m *mover) check(from, atLeast int64) {
	var found []string
	for _, dir := range moveConfig().LogDirs {
		entries, err := m.e.ReadDir(dir)
		m.must(err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name, moved.String()) && !strings.HasSuffix(e.Name, "-future") {
				found = append(found, path.Join(dir, e.Name))
			}
		}
	}
	if len(found) != 1 || found[0] != path.Join(m.p.Log().Dir(), moved.String()) {
		panic(fmt.Sprintf("the log is in %s, on disk are %v", m.p.Log().Dir(), found))
	}
	values := m.values()
	if int64(len(values))+from < atLeast {
		panic(fmt.Sprintf("%d to %d expected, there are %v", from, atLeast-1, values))
	}
	for i, v := range values {
		if v != fmt.Sprint("v", int64(i)+from) {
			panic(fmt.Sprintf("record %d is %s", int64(i)+from, v))
		}
	}
}

func TestReplicaMovesWhileItIsWritten(t *testing.T) {
	for seed := range uint64(30) {
		cluster.Test(t, seed, func(e env.Env) {
			m := openMover(e)
			m.logs.Start()
			m.lead(1)
			m.write(40)
			for round := range 3 {
				from := m.p.Log().Dir()
				future := m.begin()
				g := env.NewGroup(e)
				g.Go("write", func() { m.write(25) })
				g.Go("move", func() { m.must(m.finish(future)) })
				g.Wait()
				if m.p.Log().Dir() == from || m.p.Future() != nil || m.logs.Future(moved) != nil {
					t.Fatalf("round %d: it is in %s still", round, m.p.Log().Dir())
				}
				m.check(0, 40+25*int64(round+1))
				// The producer's state has come along: its last batch is a duplicate, the next one is not.
				end := m.p.Log().EndOffset()
				if r, err := m.p.AppendAsLeader(batchOf("again", 77, int32(end-1)), partition.AppendOptions{Acks: 1, LeaderEpoch: -1}); err != nil || !r.Duplicate {
					t.Fatal(r, err)
				}
			}
			m.lead(2) // no record is written in it
			m.must(m.finish(m.begin()))
			if got := m.p.Log().Epochs(); len(got) != 2 || got[1].StartOffset != m.p.Log().EndOffset() {
				t.Fatal("epochs", got)
			}
			m.must(m.logs.Shutdown(true))
			if again := openMover(e); again.p.Log().Dir() != m.p.Log().Dir() {
				t.Fatal("the next start finds it elsewhere")
			}
		})
	}
}

// Retention goes on while a replica moves, at every moment.
func TestReplicaMovesUnderRetention(t *testing.T) {
	moves := 0
	for seed := range uint64(200) {
		cluster.Test(t, seed, func(e env.Env) {
			m := openMover(e)
			m.lead(1)
			c := moveConfig().Topic
			c.RetentionBytes, c.Retention = 1<<40, -time.Millisecond
			m.write(60)
			m.p.Log().SetConfig(c)
			over, l := false, m.p.Log()
			segments := l.Size()/400 + 1
			late := e.Mono().Add(time.Duration(seed) * 20 * time.Microsecond)
			g := env.NewGroup(e)
			g.Go("retention", func() {
				for size := segments; !over; { // a segment at a time, from some moment on
					if e.Mono() > late {
						size--
					}
					c.RetentionBytes = max(size, 1) * 400
					l.SetConfig(c)
					_, err := l.DeleteOldSegments()
					if err != nil && !errors.Is(err, kerr.NotLeaderForPartition) {
						panic(err)
					}
					e.Sleep(100 * time.Microsecond)
				}
			})
			g.Go("move", func() {
				m.must(m.finish(m.begin()))
				over = true
			})
			g.Wait()
			m.check(m.p.Log().FirstOffset(), 60)
			if m.p.Log().StartOffset() > 0 {
				moves++
			}
			m.must(m.logs.Shutdown(true))
			m = openMover(e)
			m.check(m.p.Log().FirstOffset(), 60)
		})
	}
	if moves == 0 {
		t.Error("nothing was retained")
	}
}

// A log whose start is inside of a batch, and one with holes that compaction has left, are copied as they are.
func TestMoveOfALogThatLostRecords(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		m := openMover(e)
		m.lead(1)
		m.write(10)
		var b record.Builder
		for i := range 10 {
			b.Append(1, nil, fmt.Append(nil, "v", 10+i))
		}
		data, err := b.Build(nil, record.NewBatchOptions())
		m.must(err)
		_, err = m.p.AppendAsLeader(data, partition.AppendOptions{Acks: 1, LeaderEpoch: -1})
		m.must(err)
		_, err = m.p.DeleteRecords(15)
		m.must(err)
		m.must(m.finish(m.begin()))
		if l := m.p.Log(); l.StartOffset() != 15 || l.EndOffset() != 20 || l.FirstOffset() > 10 {
			t.Fatal(l.StartOffset(), l.EndOffset(), l.FirstOffset())
		}
		m.check(10, 20)
	})
}

// The future log is a follower of the log: where that is truncated and goes on otherwise, it does the same.
func TestFutureFollowsTruncations(t *testing.T) {
	for seed := range uint64(30) {
		cluster.Test(t, seed, func(e env.Env) {
			m := openMover(e)
			m.lead(1)
			m.write(10)
			m.lead(2)
			m.write(10)
			future := m.begin()
			for range 2 + seed%5 {
				_, err := m.p.CopyFuture(future, 1000)
				m.must(err)
			}
			// Another leader was elected in epoch 3 and has only 13 records; it goes on in epoch 3.
			a := partition.Assignment{Leader: 2, LeaderEpoch: 3, PartitionEpoch: 3, ISR: []int32{1, 2}, Replicas: []int32{1, 2}}
			_, err := m.p.BecomeFollower(a)
			m.must(err)
			_, err = m.p.TruncateToEpochEnd(3, 20, partition.EpochEnd{Epoch: 2, EndOffset: 13})
			m.must(err)
			for i := int64(13); i < 20; i++ {
				data := record.Batch(batchOf(fmt.Sprint("w", i), -1, 0))
				data.SetBaseOffset(i)
				data.SetLeaderEpoch(3)
				_, err := m.p.AppendAsFollower(partition.Fetched{LeaderEpoch: 3, Offset: i, Batches: data, HighWatermark: i})
				m.must(err)
			}
			m.must(m.finish(future))
			values := m.values()
			if len(values) != 20 || values[12] != "v12" || values[13] != "w13" || values[19] != "w19" {
				t.Fatal(values)
			}
			if got := m.p.Log().Epochs(); len(got) != 3 || got[2].StartOffset != 13 {
				t.Fatal(got)
			}
		})
	}
}

// The process or the power goes at every step of a move in turn.
func TestMoveSurvivesCrashes(t *testing.T) {
	before, copying, after := 0, 0, 0
	for step := uint64(0); ; step++ {
		power := step%2 == 1
		w := cluster.New(cluster.Options{Seed: step})
		began, over := false, false
		var acked int64
		w.AddNode("b1", func(e env.Env) {
			m := openMover(e)
			m.lead(1)
			m.write(12)
			m.must(m.p.Log().Flush())
			m.must(m.logs.CheckpointHighWatermarks(map[wire.TopicPartition]int64{moved: 12}))
			acked, began = 12, true
			m.late = func() {
				m.write(2)
				m.must(m.p.Log().Flush())
				acked = 14
			}
			m.must(m.finish(m.begin()))
			m.write(1)
			m.must(m.p.Log().Flush())
			acked, over = 15, true
		})
		w.Start("b1")
		w.RunUntil(func() bool { return began || len(w.Crashes()) > 0 }, env.Never)
		at := w.Steps() + step
		w.RunUntil(func() bool { return w.Steps() >= at || over || len(w.Crashes()) > 0 }, env.Never)
		if power {
			w.PowerLoss("b1", disk.KeepRandom)
		} else {
			w.Crash("b1")
		}
		w.SetMain("b1", func(e env.Env) {
			m := openMover(e)
			m.check(0, acked)
			future := m.logs.Future(moved)
			switch {
			case m.p.Log().Dir() == "/data/2":
				after++
			case future == nil:
				before++
				future = m.begin()
			default:
				copying++
				m.p.SetFuture(future)
			}
			m.lead(2)
			m.write(2)
			if m.p.Log().Dir() == "/data/1" {
				m.must(m.finish(future))
			}
			m.check(0, acked)
			if m.p.Log().Dir() != "/data/2" {
				panic("it is not in /data/2")
			}
			if _, err := e.Stat("/data/2/t-3/log-dir-move"); !power && !errors.Is(err, env.ErrNotExist) && after == 0 {
				panic("the note is still there")
			}
			m.must(m.logs.Shutdown(true))
		})
		w.Start("b1")
		w.Run(env.Never)
		if c := w.Crashes(); len(c) > 0 {
			t.Fatalf("step %d, power %t: %s", step, power, c[0])
		}
		w.Close()
		if over && step > 1 {
			break
		}
	}
	t.Logf("found before the copy %d times, with a copy %d, moved %d", before, copying, after)
	if copying == 0 || after == 0 {
		t.Fatal("not both states were met")
	}
}

// Either directory breaks at every step of a move in turn; the replica is served from the other one, or not at all, and when the broken
// one is back after a crash there is one log, with everything that was written to it.
func TestMoveSurvivesAFailingDirectory(t *testing.T) {
	outcomes := map[string]int{}
	for _, broken := range []string{"/data/1", "/data/2"} {
		for step := uint64(0); ; step++ {
			w := cluster.New(cluster.Options{Seed: step})
			began, over := false, false
			var acked int64
			outcome := ""
			w.AddNode("b1", func(e env.Env) {
				m := openMover(e)
				m.lead(1)
				m.write(12)
				m.must(m.p.Log().Flush())
				acked, began = 12, true
				err := m.finish(m.begin())
				if err != nil && !errors.Is(err, kerr.KafkaStorageError) {
					panic(err)
				}
				over = err == nil
				outcome = fmt.Sprintf("broken %s, log in %s", broken, m.p.Log().Dir())
				for m.p.Log().Err() == nil && acked < 15 {
					end := m.p.Log().EndOffset()
					if _, err := m.p.AppendAsLeader(batchOf(fmt.Sprint("v", end), 77, int32(end)), partition.AppendOptions{Acks: 1, LeaderEpoch: -1}); err != nil {
						break
					}
					if m.p.Log().Flush() == nil {
						acked = end + 1
					}
				}
				for {
					e.Sleep(time.Hour)
				}
			})
			w.Start("b1")
			w.RunUntil(func() bool { return began || len(w.Crashes()) > 0 }, env.Never)
			at := w.Steps() + step
			w.RunUntil(func() bool { return w.Steps() >= at || over || len(w.Crashes()) > 0 }, env.Never)
			last := over
			w.Disk("b1").SetFailUnder(broken)
			w.RunUntil(func() bool { return len(w.Crashes()) > 0 }, w.Now().Add(time.Minute))
			if c := w.Crashes(); len(c) > 0 {
				if strings.Contains(c[0].String(), "KAFKA_STORAGE_ERROR") { // it was in begin
					outcome = "no move began"
				} else {
					t.Fatalf("step %d, %s broken: %s", step, broken, c[0])
				}
			}
			outcomes[outcome]++
			w.PowerLoss("b1", disk.KeepRandom)
			w.Disk("b1").Heal()
			ok := false
			w.SetMain("b1", func(e env.Env) {
				m := openMover(e)
				m.check(0, acked)
				if future := m.logs.Future(moved); future != nil && m.p.Log().Dir() != "/data/2" {
					m.p.SetFuture(future)
					m.lead(2)
					m.must(m.finish(future))
					m.check(0, acked)
				}
				ok = true
			})
			crashed := len(w.Crashes())
			w.Start("b1")
			w.Run(env.Never)
			if c := w.Crashes(); len(c) > crashed || !ok {
				t.Fatalf("step %d, %s broken, %s: %s", step, broken, outcome, c[len(c)-1])
			}
			w.Close()
			if last && step > 1 {
				break
			}
		}
	}
	t.Log(outcomes)
	for _, want := range []string{"broken /data/1, log in /data/1", "broken /data/1, log in /data/2", "broken /data/2, log in /data/1", "broken /data/2, log in /data/2"} {
		if outcomes[want] == 0 {
			t.Errorf("never: %s", want)
		}
	}
}

// A log that nothing was ever written to moves too, and is written to afterwards.
func TestEmptyReplicaMoves(t *testing.T) {
	for seed := range uint64(10) {
		cluster.Test(t, seed, func(e env.Env) {
			m := openMover(e)
			m.logs.Start()
			m.logs.Delete(moved) // the one that openMover made before there was a background
			l, err := m.logs.Host(moved, movedID, moveConfig().Topic, true)
			m.must(err)
			m.p = partition.New(partition.Options{Env: e, TP: moved, Log: l, BrokerID: 1, BrokerEpoch: func() int64 { return 1 },
				Alive: func(int32) bool { return true }, ReplicaLagTimeMax: time.Second, MinInsyncReplicas: 1,
				Notify: func(wire.TopicPartition) {}, RequestAlter: func(wire.TopicPartition) {}})
			m.lead(1)
			from := m.p.Log().Dir()
			m.must(m.finish(m.begin()))
			if m.p.Log().Dir() == from || len(m.p.Log().Epochs()) != 1 {
				t.Fatal(m.p.Log().Dir(), m.p.Log().Epochs())
			}
			m.write(5)
			m.check(0, 5)
			m.must(m.logs.Shutdown(seed%2 == 0))
			m = openMover(e)
			m.check(0, 5)
		})
	}
}
