package replica_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/wire"
	"barnabas/sim/disk"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Replication between three brokers in the simulator, with a controller played by the test.

// TestFollowersReplicate: what was acknowledged with acks=all is on every replica, and so is, soon, the high watermark.
func TestFollowersReplicate(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		w := newWorld(t, seed, 0)
		w.run(func(e env.Env) {
			w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
			w.mustProduce(e, 1, "a", "b", "c")
		})
		for id := int32(1); id <= 3; id++ {
			if got := w.values(id); !slices.Equal(got, []string{"a@1", "b@1", "c@1"}) {
				t.Errorf("seed %d: broker %d has %v", seed, id, got)
			}
		}
		w.until("high watermarks are told", func() bool { return w.state(2).HighWatermark == 3 && w.state(3).HighWatermark == 3 })
	}
}

// TestSameSeedSameHistory: two worlds of one seed do the same, event by event.
func TestSameSeedSameHistory(t *testing.T) {
	hash := func() uint64 {
		w := newWorld(t, 7, 0)
		w.run(func(e env.Env) {
			w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
			w.mustProduce(e, 1, "a", "b", "c")
			w.decide(e, 2, []int32{1, 2, 3}, 1, 2, 3)
			w.mustProduce(e, 2, "d")
		})
		return w.Hash()
	}
	if a, b := hash(), hash(); a != b {
		t.Errorf("hashes %x and %x", a, b)
	}
}

// TestDeposedLeaderDropsItsTail: what a leader appended after it was cut off goes when it follows, whatever the epochs in
// between (KIP-101, KIP-279).
func TestDeposedLeaderDropsItsTail(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		w := newWorld(t, seed, 0)
		w.run(func(e env.Env) {
			w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
			w.mustProduce(e, 1, "a", "b")
			heal := w.Partition([]string{"b1"}, []string{"b2", "b3"}, false)
			conn := w.dial(e, 1)
			for _, v := range []string{"x", "y", "z"} {
				if code, _, err := w.produce(conn, v, 1); code != 0 || err != nil {
					panic(fmt.Sprint(code, err))
				}
			}
			w.decide(e, 2, []int32{2, 3}, 2, 3)
			w.mustProduce(e, 2, "c")
			w.decide(e, 3, []int32{2, 3}, 2, 3) // a second epoch that broker 1 does not know
			w.mustProduce(e, 3, "d")
			heal()
			w.tell(e, 1)
		})
		w.until("broker 1 comes back into the ISR", func() bool { return slices.Contains(w.isr, 1) })
		for id := int32(1); id <= 3; id++ {
			if got := w.values(id); !slices.Equal(got, []string{"a@1", "b@1", "c@2", "d@3"}) {
				t.Errorf("seed %d: broker %d has %v", seed, id, got)
			}
		}
	}
}

// lagsBehindItsISR plays the history of KIP-101: broker 3, a member of the ISR whose high watermark lags, is told of a new
// leader, who dies before it can be asked; then broker 3 leads. It returns what is left of the log.
func lagsBehindItsISR(t *testing.T, bugs bug.Set) []string {
	w := newWorld(t, 3, bugs)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a")
		e.Sleep(300 * time.Millisecond) // all know that a is committed
		w.mustProduce(e, 1, "b")        // acknowledged: all have b, but the followers have not been told
		w.Crash("b1")
		w.decide(e, 2, []int32{2, 3}, 3) // broker 2 has not heard that it leads: it answers UNKNOWN_LEADER_EPOCH
		e.Sleep(20 * time.Millisecond)
		w.Crash("b2")
		w.decide(e, 3, []int32{3}, 3)
	})
	return w.values(3)
}

func TestAcknowledgedRecordOutlivesTwoFailovers(t *testing.T) {
	if got := lagsBehindItsISR(t, 0); !slices.Equal(got, []string{"a@1", "b@1"}) {
		t.Errorf("left: %v", got)
	}
	// With the bug of old the same history loses a record: the harness has something to find.
	if got := lagsBehindItsISR(t, bug.TruncateToHW); !slices.Equal(got, []string{"a@1"}) {
		t.Errorf("with %s left: %v", bug.TruncateToHW, got)
	}
}

// TestAckBeforeISRLosesTheAcknowledged: a leader that is cut off acknowledges with the bug, and times out without it.
func TestAckBeforeISRLosesTheAcknowledged(t *testing.T) {
	for bugs, want := range map[bug.Set]int16{0: kerr.RequestTimedOut.Code, bug.AckBeforeISR: 0} {
		w := newWorld(t, 1, bugs)
		w.run(func(e env.Env) {
			w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
			w.mustProduce(e, 1, "a")
			w.Partition([]string{"b1"}, []string{"b2", "b3"}, false)
			w.alterFails = 1 << 30 // nor does the controller hear of it
			conn := w.dial(e, 1)
			code, _, err := w.produce(conn, "b", -1)
			if err != nil || code != want {
				t.Errorf("bugs %q: %v %v, want %v", bugs, kerr.ErrorForCode(code), err, kerr.ErrorForCode(want))
			}
		})
	}
}

// TestSilentFollowerLeavesTheISRAndComesBack: by the lag time, through the controller, even if its answers get lost.
func TestSilentFollowerLeavesTheISRAndComesBack(t *testing.T) {
	w := newWorld(t, 4, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a")
		w.Pause("b3")
		w.alterFails = 2
		conn := w.dial(e, 1)
		if code, _, _ := w.produce(conn, "b", 1); code != 0 {
			panic(code)
		}
	})
	w.until("broker 3 leaves the ISR", func() bool { return slices.Equal(w.state(1).ISR, []int32{1, 2}) && w.state(1).HighWatermark == 2 })
	if !slices.Equal(w.isr, []int32{1, 2}) {
		t.Errorf("the controller has %v", w.isr)
	}
	w.Resume("b3")
	w.until("broker 3 comes back", func() bool { return slices.Equal(w.state(1).ISR, []int32{1, 2, 3}) })
	if w.state(3).LogEndOffset != 2 {
		t.Errorf("broker 3 came back with leo %d", w.state(3).LogEndOffset)
	}
}

// TestRebootedFollowerIsProposedWithItsNewEpoch: the controller refuses a member of an earlier life (KIP-903), and the
// follower's next fetch makes it good.
func TestRebootedFollowerIsProposedWithItsNewEpoch(t *testing.T) {
	w := newWorld(t, 5, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a", "b")
		w.PowerLoss("b3", disk.KeepNone)
		w.decide(e, 1, []int32{1, 2}, 1, 2)
		w.restart(3)
		w.tell(e, 3)
		w.tell(e, 1) // that broker 3 is alive again
		w.mustProduce(e, 1, "c")
	})
	w.until("broker 3 comes back", func() bool { return slices.Contains(w.state(1).ISR, 3) })
	if got := w.values(3); !slices.Equal(got, []string{"a@1", "b@1", "c@2"}) {
		t.Errorf("broker 3 has %v", got)
	}
}

// TestHighWatermarkOutlivesACrash: the checkpoint is written, and read by the next life.
func TestHighWatermarkOutlivesACrash(t *testing.T) {
	w := newWorld(t, 6, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a", "b")
		e.Sleep(2500 * time.Millisecond)
		w.Crash("b1")
		w.restart(1)
		w.decide(e, 1, []int32{1, 2, 3}, 1)
	})
	if s := w.state(1); s.HighWatermark != 2 || s.Role != partition.Leader {
		t.Errorf("%s with hw %d", s.Role, s.HighWatermark)
	}
}

// TestStaleOrdersAreRefused: broker epoch, controller epoch, leader epoch and topic id.
func TestStaleOrdersAreRefused(t *testing.T) {
	w := newWorld(t, 8, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1)
		m := w.nodes[1].manager
		refuse := func(what string, want *kerr.Error, whole bool, change func(*kmsg.LeaderAndISRRequest)) {
			req := w.order(1)
			change(req)
			resp := m.BecomeLeaderOrFollower(req)
			code := resp.ErrorCode
			if !whole {
				code = resp.Topics[0].Partitions[0].ErrorCode
			}
			if code != want.Code {
				t.Errorf("%s: %v, want %v", what, kerr.ErrorForCode(code), want)
			}
		}
		state := func(r *kmsg.LeaderAndISRRequest) *kmsg.LeaderAndISRRequestTopicPartition {
			return &r.TopicStates[0].PartitionStates[0]
		}
		refuse("an earlier life's broker epoch", kerr.StaleBrokerEpoch, true, func(r *kmsg.LeaderAndISRRequest) { r.BrokerEpoch-- })
		refuse("an older controller", kerr.StaleControllerEpoch, true, func(r *kmsg.LeaderAndISRRequest) { r.ControllerEpoch = 0 })
		refuse("an older leader epoch", kerr.StaleControllerEpoch, false, func(r *kmsg.LeaderAndISRRequest) { state(r).LeaderEpoch = 0 })
		refuse("another topic id", kerr.InconsistentTopicID, false, func(r *kmsg.LeaderAndISRRequest) { r.TopicStates[0].TopicID[3] = 1 })
		refuse("not a replica", kerr.UnknownTopicOrPartition, false, func(r *kmsg.LeaderAndISRRequest) { state(r).Replicas = []int32{2, 3} })

		stop := kmsg.NewPtrStopReplicaRequest()
		stop.Version, stop.ControllerEpoch, stop.BrokerEpoch = 4, 1, -1
		sp := kmsg.NewStopReplicaRequestTopicPartitionState()
		sp.LeaderEpoch, sp.Delete = 0, true
		st := kmsg.NewStopReplicaRequestTopic()
		st.Topic, st.PartitionStates = "t", append(st.PartitionStates, sp)
		stop.Topics = append(stop.Topics, st)
		if code := m.StopReplicas(stop).Partitions[0].ErrorCode; code != kerr.FencedLeaderEpoch.Code {
			t.Errorf("stop in an older epoch: %v", kerr.ErrorForCode(code))
		}
		stop.Topics[0].PartitionStates[0].LeaderEpoch = -2
	})
	if w.state(1).Role != partition.Leader || w.state(1).LeaderEpoch != 1 {
		t.Errorf("a refused order was obeyed: %+v", w.state(1))
	}
}

// Goal: of what one controller tells, a copy that comes after later requests changes nothing, though every epoch in it is right: a StopReplica
// would delete the replica of a topic that was made anew since. The latest may come twice, and the next controller counts from the start.
func TestOvertakenRequestsAreRefused(t *testing.T) {
	w := newWorld(t, 10, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1)
		n := w.nodes[1]
		stop := func(controllerEpoch int32, number int64) int16 {
			req := kmsg.NewPtrStopReplicaRequest()
			req.Version, req.ControllerEpoch, req.BrokerEpoch = 4, controllerEpoch, n.epoch
			wire.SetSequence(&req.UnknownTags, number)
			sp := kmsg.NewStopReplicaRequestTopicPartitionState()
			sp.LeaderEpoch, sp.Delete = -2, true
			st := kmsg.NewStopReplicaRequestTopic()
			st.Topic, st.PartitionStates = "t", append(st.PartitionStates, sp)
			req.Topics = append(req.Topics, st)
			return n.manager.StopReplicas(req).ErrorCode
		}
		become := func(number int64) int16 {
			req := w.order(1)
			wire.SetSequence(&req.UnknownTags, number)
			return n.manager.BecomeLeaderOrFollower(req).ErrorCode
		}
		update := func(number int64, live ...int32) int16 {
			req := kmsg.NewPtrUpdateMetadataRequest()
			req.Version, req.ControllerEpoch, req.BrokerEpoch = 8, 1, n.epoch
			wire.SetSequence(&req.UnknownTags, number)
			for _, id := range live {
				b := kmsg.NewUpdateMetadataRequestLiveBroker()
				b.ID = id
				req.LiveBrokers = append(req.LiveBrokers, b)
			}
			return n.manager.UpdateMetadata(req).ErrorCode
		}
		stale := kerr.StaleControllerEpoch.Code
		step := func(what string, code, want int16, log bool) {
			t.Helper()
			if code != want {
				t.Errorf("%s: %v, want %v", what, kerr.ErrorForCode(code), kerr.ErrorForCode(want))
			}
			if got := n.logs.Get(tp) != nil; got != log {
				t.Errorf("after %s there is a log: %v", what, got)
			}
		}
		step("the deletion", stop(1, 7), 0, false)
		step("the deletion, again", stop(1, 7), 0, false)
		step("the topic made anew", become(8), 0, true)
		step("the same, again", become(8), 0, true)
		step("the first deletion's copy", stop(1, 7), stale, true)
		step("metadata", update(9, 1, 2), 0, true)
		step("older metadata", update(6, 1), stale, true)
		if live := len(n.metadata.Snapshot().Brokers); live != 2 {
			t.Errorf("%d brokers live, want the 2 told last", live)
		}
		step("an order from before the metadata", become(8), stale, true)
		step("the next controller's deletion", stop(2, 1), 0, false)
	})
}

// TestDeletedReplicaIsGone: the partition, its log, and its followers' fetching.
func TestDeletedReplicaIsGone(t *testing.T) {
	w := newWorld(t, 9, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a")
		for id := int32(1); id <= 3; id++ {
			req := kmsg.NewPtrStopReplicaRequest()
			req.Version, req.ControllerEpoch, req.BrokerEpoch = 4, 1, w.nodes[id].epoch
			sp := kmsg.NewStopReplicaRequestTopicPartitionState()
			sp.LeaderEpoch, sp.Delete = -2, true
			st := kmsg.NewStopReplicaRequestTopic()
			st.Topic, st.PartitionStates = "t", append(st.PartitionStates, sp)
			req.Topics = append(req.Topics, st)
			conn := w.dial(e, id)
			resp := w.do(conn, req).(*kmsg.StopReplicaResponse)
			if resp.ErrorCode != 0 || resp.Partitions[0].ErrorCode != 0 {
				t.Errorf("broker %d: %+v", id, resp)
			}
			if w.nodes[id].logs.Get(tp) != nil {
				t.Errorf("broker %d still has its log", id)
			}
		}
	})
	for id := int32(1); id <= 3; id++ {
		if s := w.state(id); s.Role != partition.Idle {
			t.Errorf("broker %d still has %+v", id, s)
		}
	}
}

// TestFailedDiskTakesPartitionsOffline: the failing produce is refused, as is everything later, and the root is told.
func TestFailedDiskTakesPartitionsOffline(t *testing.T) {
	w := newWorld(t, 10, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a")
		w.Disk("b1").SetFail(disk.OpWrite, true)
		conn := w.dial(e, 1)
		for range 2 {
			if code, _, err := w.produce(conn, "b", -1); err != nil || code != kerr.KafkaStorageError.Code {
				t.Errorf("%v %v", kerr.ErrorForCode(code), err)
			}
		}
	})
	if !w.state(1).Offline {
		t.Error("the partition is not offline")
	}
}
