package controller_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"
)

// tool does something in ZooKeeper, as tools and brokers of old versions do, and waits until it is done.
func (w *town) tool(what string, do func(s zookeeper.Session) error) {
	w.t.Helper()
	done := false
	w.AddNode(what, func(e env.Env) {
		s, err := zkclient.Open(e, []string{"zk:2181"}, 6000, e.Mono().Add(6*time.Second))
		if err != nil {
			panic(err)
		}
		defer s.Close()
		if err := do(s); err != nil {
			panic(err)
		}
		done = true
	})
	w.Start(what)
	w.until(what, time.Minute, func() bool { return done })
}

// everywhere reports whether every broker knows the partition so that ok holds.
func (w *town) everywhere(tp wire.TopicPartition, ok func(leader int32, replicas, isr []int32) bool) bool {
	for _, b := range w.brokers {
		p := b.cache.Snapshot().Partition(tp)
		if p == nil || !ok(p.Leader, p.Replicas, p.ISR) {
			return false
		}
	}
	return true
}

// Goal: what others write into ZooKeeper is taken up by whoever is the controller, and again after it has been: topics without an id, more
// partitions, reassignments, preferred elections, ISRs that brokers have changed themselves, a registration that has changed, marks for deletion. The
// requests among these go when they are done. Method: the znodes by hand, as Kafka's old tools write them, before and after a failover.
func TestWhatOthersWriteIsTakenUp(t *testing.T) {
	for _, failover := range []bool{false, true} {
		w := newTown(t, 8, 3)
		if failover {
			old := w.active()
			w.Crash(old.name())
			w.until("a new controller", 30*time.Second, func() bool { return w.active() != nil && w.active() != old })
			w.Start(old.name())
			w.until("all are back", 30*time.Second, func() bool { return w.active() != nil && len(w.active().cache.Snapshot().Brokers) == 3 })
		}
		put := func(what, path, data string) {
			t.Helper()
			w.tool(what, func(s zookeeper.Session) error {
				_, _, err := s.Create(path, []byte(data), zookeeper.Persistent)
				return err
			})
		}
		gone := func(path string) {
			t.Helper()
			w.until(path+" to go", 30*time.Second, func() bool { _, _, there := w.zk.Get(path); return !there })
		}
		tp := wire.TopicPartition{Topic: "old", Partition: 0}

		put("topic", "/brokers/topics/old", `{"version":1,"partitions":{"0":[1,2],"1":[2,3]}}`)
		w.until("the topic", 30*time.Second, func() bool { return w.settled("old", 2) })
		data, _, _ := w.zk.Get("/brokers/topics/old")
		made, err := zookeeper.DecodeTopic("old", data)
		if err != nil || made.ID == [16]byte{} {
			t.Fatalf("%s: %v", data, err)
		}
		for _, b := range w.brokers {
			if known := b.cache.Snapshot().Topic("old"); known.ID != made.ID {
				t.Errorf("broker %d knows the topic by %x, not %x", b.id, known.ID, made.ID)
			}
		}

		w.tool("expansion", func(s zookeeper.Session) error {
			more := bytes.Replace(data, []byte(`"1":[2,3]`), []byte(`"1":[2,3],"2":[3,1]`), 1)
			_, err := s.Set("/brokers/topics/old", more, zookeeper.AnyVersion)
			return err
		})
		w.until("more partitions", 30*time.Second, func() bool { return w.settled("old", 3) })

		put("reassignment", "/admin/reassign_partitions", `{"version":1,"partitions":[{"topic":"old","partition":0,"replicas":[2,1]}]}`)
		gone("/admin/reassign_partitions")
		w.until("the new order", 30*time.Second, func() bool {
			return w.everywhere(tp, func(leader int32, replicas, _ []int32) bool {
				return leader == 1 && slices.Equal(replicas, []int32{2, 1})
			})
		})

		put("election", "/admin/preferred_replica_election", `{"version":1,"partitions":[{"topic":"old","partition":0},{"topic":"nosuch","partition":0}]}`)
		gone("/admin/preferred_replica_election")
		w.until("the preferred leader", 30*time.Second, func() bool {
			return w.everywhere(tp, func(leader int32, _, _ []int32) bool { return leader == 2 })
		})

		w.tool("isr-change", func(s zookeeper.Session) error {
			path := zookeeper.PathPartitionState(tp)
			data, stat, err := s.Get(path, false)
			if err != nil {
				return err
			}
			state, err := zookeeper.DecodePartitionState(tp, data, stat.Version)
			if err != nil {
				return err
			}
			state.ISR = []int32{2}
			if _, err := s.Set(path, zookeeper.EncodePartitionState(state), stat.Version); err != nil {
				return err
			}
			_, _, err = s.Create("/isr_change_notification/isr_change_", []byte(`{"version":1,"partitions":[{"topic":"old","partition":0}]}`), zookeeper.PersistentSequential)
			return err
		})
		gone("/isr_change_notification/isr_change_0000000000")
		w.until("the smaller ISR", 30*time.Second, func() bool {
			return w.everywhere(tp, func(_ int32, _, isr []int32) bool { return slices.Equal(isr, []int32{2}) })
		})

		w.tool("rack", func(s zookeeper.Session) error {
			data, _, err := s.Get("/brokers/ids/3", false)
			if err == nil {
				_, err = s.Set("/brokers/ids/3", bytes.Replace(data, []byte(`"version":`), []byte(`"rack":"r9","version":`), 1), zookeeper.AnyVersion)
			}
			return err
		})
		w.until("the rack", 30*time.Second, func() bool {
			return !slices.ContainsFunc(w.brokers, func(b *fakeBroker) bool {
				known := b.cache.Snapshot().Broker(3)
				return known == nil || known.Rack != "r9"
			})
		})

		put("mark", "/admin/delete_topics/old", "")
		gone("/brokers/topics/old")
		gone("/admin/delete_topics/old")
		put("stray-mark", "/admin/delete_topics/nosuch", "")
		gone("/admin/delete_topics/nosuch")
	}
}
