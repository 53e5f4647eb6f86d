package zookeeper_test

import (
	"testing"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/storetest"
)

// reigning makes a store over a new session on tree whose controllers keep lists, or not.
func reigning(tree *storetest.Tree, keeps bool) (*zookeeper.Store, *storetest.Session) {
	e := &storetest.Env{}
	session := tree.Open(e)
	return zookeeper.NewStore(e, session, zookeeper.StoreOptions{Reigns: keeps}), session
}

// Goal: a controller knows since which epoch there have been none but those that keep lists, also when the answer to its election was lost.
// Method: controllers of both kinds, one after the other.
func TestReignIsUnbroken(t *testing.T) {
	tree := storetest.NewTree()
	s, _ := reigning(tree, true)
	ok(t, s.EnsurePersistentPaths())
	for _, c := range []struct {
		keeps, lost bool
		want        int32
	}{{true, false, 1}, {true, true, 1}, {true, false, 1}, {false, false, 0}, {true, false, 5}, {true, true, 5}, {false, false, 0}, {false, false, 0}, {true, true, 9}, {true, false, 9}} {
		tree.Delete(zookeeper.PathController)
		s, session := reigning(tree, c.keeps)
		if c.lost {
			lose(session, "multi", 1, storetest.AnswerLost)
		}
		f, err := s.ElectController(1)
		ok(t, err)
		if f.Reign != c.want {
			t.Errorf("the controller of epoch %d reigns since %d, want %d", f.Epoch, f.Reign, c.want)
		}
	}
	if _, err := s.ElectController(2); err == nil {
		t.Error("two controllers at once")
	}
	tree.Delete(zookeeper.PathController)
	tree.Set(zookeeper.PathReign, []byte("?"))
	f, err := s.ElectController(1)
	ok(t, err)
	if f.Reign != f.Epoch {
		t.Errorf("a reign that nobody can read goes on: since %d, in epoch %d", f.Reign, f.Epoch)
	}
}

// Goal: a state's list goes to its znode and back, Kafka's form stays what it was without one, and half a list is none.
func TestStateWithEligibleReplicas(t *testing.T) {
	where := wire.TopicPartition{Topic: "t"}
	s := zookeeper.PartitionState{Leader: 3, ISR: []int32{3}, ELR: map[int32]int64{2: 21, 1: 17}, ELRMin: 2}
	data := zookeeper.EncodePartitionState(s)
	if got, want := string(data), `{"controller_epoch":0,"leader":3,"version":1,"leader_epoch":0,"isr":[3],"barnabas_elr":{"1":17,"2":21},"barnabas_elr_min":2}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got, err := zookeeper.DecodePartitionState(where, data, 4)
	ok(t, err)
	if len(got.ELR) != 2 || got.ELR[1] != 17 || got.ELR[2] != 21 || got.ELRMin != 2 {
		t.Errorf("read %+v", got)
	}
	s.ELR = nil
	for _, half := range []zookeeper.PartitionState{s, {Leader: 3, ISR: []int32{3}, ELR: map[int32]int64{1: 17}}} {
		if got, err = zookeeper.DecodePartitionState(where, zookeeper.EncodePartitionState(half), 4); err != nil || got.ELR != nil || got.ELRMin != 0 {
			t.Errorf("%+v is read as %+v, %v", half, got, err)
		}
	}
}

// Goal: a registration says since when nothing was lost, or nothing at all.
func TestRegistrationSaysSinceWhenItIsIntact(t *testing.T) {
	for _, intact := range []int64{0, 17, zookeeper.IntactSinceNow} {
		b := zookeeper.BrokerInfo{Intact: intact, Endpoints: []zookeeper.Endpoint{{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "h", Port: 1}}}
		got, err := zookeeper.DecodeBroker(1, zookeeper.EncodeBroker(b))
		if ok(t, err); got.Intact != intact {
			t.Errorf("%d is read as %d", intact, got.Intact)
		}
	}
}
