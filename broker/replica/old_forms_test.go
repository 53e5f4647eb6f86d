package replica_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// orderIn is the present state as a LeaderAndIsr request of a version: topic ids are there from 5 on.
func (w *world) orderIn(id int32, version int16) *kmsg.LeaderAndISRRequest {
	req := w.order(id)
	req.Version = version
	if version < 5 {
		req.TopicStates[0].TopicID = [16]byte{}
	}
	return req
}

// tellIn sends it over the wire and returns the partition's error code, which is told by name up to version 4.
func (w *world) tellIn(e env.Env, id int32, version int16) int16 {
	conn := w.dial(e, id)
	defer conn.Close()
	w.do(conn, w.update())
	resp := w.do(conn, w.orderIn(id, version)).(*kmsg.LeaderAndISRResponse)
	switch {
	case resp.ErrorCode != 0:
		return resp.ErrorCode
	case version < 5 && len(resp.Partitions) == 1 && resp.Partitions[0].Topic == tp.Topic:
		return resp.Partitions[0].ErrorCode
	case version >= 5 && len(resp.Topics) == 1 && resp.Topics[0].TopicID == topicID:
		return resp.Topics[0].Partitions[0].ErrorCode
	}
	w.t.Errorf("v%d: %+v", version, resp)
	return -1
}

// Goal: every version of LeaderAndIsr and of StopReplica is obeyed, in whichever form it has: roles are taken, records replicated, and replicas stopped
// or deleted. Method: over the wire, all three brokers, a new leader with each version; a StopReplica that does not delete before one that does.
func TestEveryFormOfOrdersIsObeyed(t *testing.T) {
	w := newWorld(t, 11, 0)
	w.run(func(e env.Env) {
		low, high, _ := wire.Versions(int16(kmsg.LeaderAndISR))
		for version := low; version <= high; version++ {
			leader := int32(version)%3 + 1
			w.decide(e, leader, []int32{1, 2, 3})
			for id := int32(1); id <= 3; id++ {
				if code := w.tellIn(e, id, version); code != 0 {
					t.Errorf("v%d: broker %d: %v", version, id, kerr.ErrorForCode(code))
				}
				if s := w.state(id); s.LeaderEpoch != w.leaderEpoch || (s.Role == partition.Leader) != (id == leader) {
					t.Errorf("v%d: broker %d is %+v", version, id, s)
				}
			}
			w.mustProduce(e, leader, "a")
		}
		low, high, _ = wire.Versions(int16(kmsg.StopReplica))
		for version := low; version <= high; version++ {
			for _, gone := range []bool{false, true} {
				conn := w.dial(e, 1)
				resp := w.do(conn, w.stopIn(1, version, gone)).(*kmsg.StopReplicaResponse)
				conn.Close()
				if resp.ErrorCode != 0 || len(resp.Partitions) != 1 || resp.Partitions[0].Topic != tp.Topic || resp.Partitions[0].ErrorCode != 0 {
					t.Errorf("StopReplica v%d: %+v", version, resp)
				}
				if (w.nodes[1].logs.Get(tp) == nil) != gone {
					t.Errorf("StopReplica v%d, delete %t: the log is %v", version, gone, w.nodes[1].logs.Get(tp))
				}
			}
			w.decide(e, 1, []int32{1}, 1)
		}
	})
}

// stopIn is a StopReplica request of a version: up to 2 what is to be deleted is said once for all, and no leader epoch.
func (w *world) stopIn(id int32, version int16, gone bool) *kmsg.StopReplicaRequest {
	req := kmsg.NewPtrStopReplicaRequest()
	req.Version, req.ControllerEpoch, req.BrokerEpoch = version, 1, w.nodes[id].epoch
	topic := kmsg.NewStopReplicaRequestTopic()
	topic.Topic = tp.Topic
	if version < 3 {
		req.DeletePartitions, topic.Partitions = gone, []int32{tp.Partition}
	} else {
		s := kmsg.NewStopReplicaRequestTopicPartitionState()
		s.LeaderEpoch, s.Delete = w.leaderEpoch, gone
		topic.PartitionStates = append(topic.PartitionStates, s)
	}
	req.Topics = append(req.Topics, topic)
	return req
}

// Goal: a topic that is older than topic ids gets its id in the leader epoch that its replicas are in, as soon as a controller names it: partition.metadata is
// written, fetches name the id, and another id is refused from then on. An order of an older epoch brings none. A controller that knows no ids again has the
// followers fetch by name. Method: orders of version 4, then 7, then 4, in one epoch; every request that the leader gets is looked at; a restart finds the id on disk.
func TestTopicIDComesWithoutANewEpoch(t *testing.T) {
	w := newWorld(t, 12, 0)
	asked := map[int32]int16{} // by follower: the version of its last fetch
	w.handled = func(id int32, r *server.Request) {
		if f, ok := r.Body.(*kmsg.FetchRequest); ok {
			asked[max(f.ReplicaID, f.ReplicaState.ID)] = f.Version
		}
	}
	w.run(func(e env.Env) {
		tell := func(version int16, byID bool) {
			for id := int32(1); id <= 3; id++ {
				if code := w.tellIn(e, id, version); code != 0 {
					t.Errorf("v%d: broker %d: %v", version, id, kerr.ErrorForCode(code))
				}
			}
			w.mustProduce(e, 1, "a")
			e.Sleep(500 * time.Millisecond)
			for id := int32(2); id <= 3; id++ {
				if (asked[id] >= 13) != byID {
					t.Errorf("after v%d broker %d fetches with v%d", version, id, asked[id])
				}
			}
		}
		known := func(want [16]byte) {
			for id := int32(1); id <= 3; id++ {
				if w.state(id).TopicID != want || w.nodes[id].logs.Get(tp).TopicID() != want {
					t.Errorf("broker %d: topic id %x, in the log %x, want %x", id, w.state(id).TopicID, w.nodes[id].logs.Get(tp).TopicID(), want)
				}
			}
		}
		w.decide(e, 1, []int32{1, 2, 3})
		w.decide(e, 1, []int32{1, 2, 3})
		tell(4, false)
		known([16]byte{})
		w.leaderEpoch--
		for id := int32(1); id <= 3; id++ {
			if code := w.tellIn(e, id, 7); code != kerr.StaleControllerEpoch.Code {
				t.Errorf("an older epoch: %v", kerr.ErrorForCode(code))
			}
		}
		known([16]byte{})
		w.leaderEpoch++
		tell(7, true)
		known(topicID)
		other := w.order(1)
		other.TopicStates[0].TopicID[3] = 1
		if code := w.nodes[1].manager.BecomeLeaderOrFollower(other).Topics[0].Partitions[0].ErrorCode; code != kerr.InconsistentTopicID.Code {
			t.Errorf("another id: %v", kerr.ErrorForCode(code))
		}
		tell(4, false)
		known(topicID)
		w.decide(e, 1, []int32{1, 2, 3})
		tell(7, true)
		for id := int32(1); id <= 3; id++ {
			w.nodes[id].up = false
			w.Crash(name(id))
			w.Start(name(id))
			for !w.nodes[id].up {
				e.Sleep(time.Millisecond)
			}
			if got := w.nodes[id].logs.Get(tp).TopicID(); got != topicID {
				t.Errorf("broker %d finds topic id %x on its disk", id, got)
			}
		}
	})
}
