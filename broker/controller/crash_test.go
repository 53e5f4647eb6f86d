package controller

import (
	"slices"
	"testing"

	"barnabas/broker/config"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/storetest"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// dying is a session that expires at its nth write.
type dying struct {
	zookeeper.Session
	left *int
}

func (d dying) Multi(ops ...zookeeper.Op) ([]zookeeper.OpResult, error) {
	if *d.left == 0 {
		return nil, zookeeper.ErrSessionExpired
	}
	*d.left--
	return d.Session.Multi(ops...)
}

// crashes plays story again and again, with the controller dying at its first write, its second, and so on, until it lives to see
// the end. After each death another takes over, and brokers answer whatever it tells them.
func crashes(t *testing.T, story func(s *stage) error, check func(t *testing.T, s *stage)) {
	for n := 0; n < 100; n++ {
		s := &stage{tree: storetest.NewTree(), env: &storetest.Env{}, config: config.Default(), brokers: map[int32]zookeeper.BrokerInfo{},
			stops: map[int32][]*kmsg.StopReplicaRequest{}}
		s.config.BrokerID = 1
		for id := range int32(4) {
			s.register(id + 1)
		}
		if err := zookeeper.NewStore(s.env, s.tree.Open(s.env), zookeeper.StoreOptions{}).EnsurePersistentPaths(); err != nil {
			t.Fatal(err)
		}
		left := -1
		s.wrap = func(z zookeeper.Session) zookeeper.Session { return dying{z, &left} }
		if err := s.failover(t); err != nil {
			t.Fatal(err)
		}
		assignment := map[int32]zookeeper.ReplicaAssignment{0: {Replicas: []int32{1, 2}}, 1: {Replicas: []int32{2, 3}}}
		if err := s.machine.createTopic("t", assignment, map[string]string{"retention.ms": "1000"}); err != nil {
			t.Fatal(err)
		}
		s.answerAll(t)
		left = n
		err := story(s)
		if err == nil {
			err = s.answerAll(t)
		}
		died := err != nil
		left = -1
		if died {
			s.machine.batch, s.machine.outbox = newBatch(), nil
			if err := s.failover(t); err != nil {
				t.Fatalf("death at write %d: %v", n, err)
			}
		}
		if err := s.answerAll(t); err != nil {
			t.Fatalf("death at write %d: %v", n, err)
		}
		check(t, s)
		if t.Failed() {
			t.Fatalf("after a death at write %d", n)
		}
		if !died {
			if n < 2 {
				t.Fatalf("only %d writes: the story has no middle", n)
			}
			return
		}
	}
	t.Fatal("it never lives to see the end")
}

// answerAll answers every StopReplica with delete, and for every leader proposes its whole replica set as ISR, until nothing
// is left to do.
func (s *stage) answerAll(t *testing.T) error {
	for busy := true; busy; {
		busy = false
		for _, o := range s.machine.takeOutbox() {
			req, ok := o.req.(*kmsg.StopReplicaRequest)
			if !ok {
				continue
			}
			busy = true
			resp := kmsg.NewPtrStopReplicaResponse()
			for _, rt := range req.Topics {
				for _, p := range rt.PartitionStates {
					resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: rt.Topic, Partition: p.Partition})
				}
			}
			if err := s.machine.stopReplicaAnswered(o.broker, req, resp); err != nil {
				return err
			}
		}
		for _, p := range s.machine.partitions() {
			if p.leadership == nil || p.leadership.Leader < 0 || s.machine.deleting[p.tp.Topic] || len(p.leadership.ISR) == len(p.assignment.Replicas) {
				continue
			}
			busy = true
			req := kmsg.NewPtrAlterPartitionRequest()
			req.Version, req.BrokerID, req.BrokerEpoch = 3, p.leadership.Leader, s.brokers[p.leadership.Leader].Epoch
			rp := kmsg.NewAlterPartitionRequestTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.PartitionEpoch = p.tp.Partition, p.leadership.LeaderEpoch, p.leadership.PartitionEpoch
			for _, id := range p.assignment.Replicas {
				rp.NewEpochISR = append(rp.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: -1})
			}
			req.Topics = []kmsg.AlterPartitionRequestTopic{{TopicID: s.machine.topics[p.tp.Topic].id, Partitions: []kmsg.AlterPartitionRequestTopicPartition{rp}}}
			if _, err := s.machine.alterPartition(req); err != nil {
				return err
			}
		}
	}
	return nil
}

// Goal: a topic that was marked for deletion is deleted, whenever the controller dies; one that was not yet marked stays whole.
func TestDeletionSurvivesTheControllerAtEveryStep(t *testing.T) {
	name := "t"
	crashes(t, func(s *stage) error {
		_, err := s.machine.deleteTopics(kmsg.NewPtrDeleteTopicsRequest(), []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}, nil)
		return err
	}, func(t *testing.T, s *stage) {
		if _, _, marked := s.tree.Get("/admin/delete_topics/t"); marked {
			t.Error("the mark is left")
		}
		_, _, topic := s.tree.Get("/brokers/topics/t")
		_, _, configs := s.tree.Get("/config/topics/t")
		if topic != configs || topic != (s.machine.topics["t"] != nil) {
			t.Errorf("topic %t, configs %t, known %t", topic, configs, s.machine.topics["t"] != nil)
		}
	})
}

// Goal: a reassignment ends at its target, whenever the controller dies, or has not begun; and in between no state ever names a
// leader or a member of the ISR that is not assigned.
func TestReassignmentSurvivesTheControllerAtEveryStep(t *testing.T) {
	tp := wire.TopicPartition{Topic: "t", Partition: 0}
	crashes(t, func(s *stage) error {
		v, err := s.machine.validateReassignment(tp, []int32{3, 4}, true)
		if err == nil {
			_, err = s.machine.reassign([]move{v})
		}
		return err
	}, func(t *testing.T, s *stage) {
		p := s.machine.partition(tp)
		if reassigning(p.assignment) {
			t.Errorf("it goes on for ever: %+v, isr %v", p.assignment, p.leadership.ISR)
		}
		if r := p.assignment.Replicas; !slices.Equal(r, []int32{3, 4}) && !slices.Equal(r, []int32{1, 2}) {
			t.Errorf("replicas %v", r)
		}
		if !slices.Contains(p.assignment.Replicas, p.leadership.Leader) || !distinctMembers(p.leadership.ISR, p.assignment.Replicas) || len(p.leadership.ISR) != 2 {
			t.Errorf("leader %d, isr %v of %v", p.leadership.Leader, p.leadership.ISR, p.assignment.Replicas)
		}
		data, _, _ := s.tree.Get("/brokers/topics/t")
		if written, err := zookeeper.DecodeTopic("t", data); err != nil || !sameAssignment(written.Partitions[0], p.assignment) {
			t.Errorf("znode %s, %v", data, err)
		}
	})
}
