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

// A replica goes back, or is deleted and made anew, before the files that it left are gone.
func TestReplicaComesBackBeforeItsFilesAreGone(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		cluster.Test(t, 1, func(e env.Env) {
			m := openMover(e)
			m.lead(1)
			m.write(20)
			from := m.p.Log().Dir()
			later := func() {}
			move := func() {
				future := m.begin()
				for step, err := m.p.CopyFuture(future, 1<<20); !step.Reached; step, err = m.p.CopyFuture(future, 1<<20) {
					m.must(err)
				}
				m.must(m.p.Replace(future, 300, func() (next *log.Log, err error) {
					next, later, err = m.logs.Promote(moved, m.p.HighWatermark())
					return next, err
				}))
			}
			move()
			if deleted {
				m.p.Close()
				m.must(m.logs.Delete(moved))
				m.logs.Prefer(moved, from)
				l, err := m.logs.Host(moved, [16]byte{9}, moveConfig().Topic, true)
				if m.must(err); l.EndOffset() != 0 || l.Dir() != from {
					t.Fatal("the old log came back: ", l.EndOffset(), l.Dir())
				}
				later()
				return
			}
			late := later
			m.write(5)
			move()
			if m.p.Log().Dir() != from {
				t.Fatal("it is in ", m.p.Log().Dir())
			}
			late() // it has been done
			later()
			m.write(5)
			m.check(0, 30)
			m.must(m.logs.Shutdown(true))
			m = openMover(e)
			m.check(0, 30)
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
