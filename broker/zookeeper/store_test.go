package zookeeper_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/storetest"
)

// store makes a store over a new session on tree.
func store(tree *storetest.Tree) (*zookeeper.Store, *storetest.Session, *storetest.Env) {
	e := &storetest.Env{}
	session := tree.Open(e)
	return zookeeper.NewStore(e, session, zookeeper.StoreOptions{SessionTimeout: 10 * time.Second}), session, e
}

func ready(t *testing.T) (*storetest.Tree, *zookeeper.Store, *storetest.Session, zookeeper.Fence) {
	t.Helper()
	tree := storetest.NewTree()
	s, session, _ := store(tree)
	ok(t, s.EnsurePersistentPaths())
	fence, err := s.ElectController(1)
	ok(t, err)
	return tree, s, session, fence
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tp(partition int32) wire.TopicPartition {
	return wire.TopicPartition{Topic: "t", Partition: partition}
}

// lose loses the next n answers of operations of a kind.
func lose(session *storetest.Session, kind string, n int, what storetest.Loss) {
	session.Lose = func(k, path string) storetest.Loss {
		if k == kind && n > 0 {
			n--
			return what
		}
		return storetest.Answered
	}
}

// Goal: each store under a chroot makes Kafka's persistent znodes there, twice without harm.
func TestPersistentPathsBelowTheChroot(t *testing.T) {
	tree := storetest.NewTree()
	e := &storetest.Env{}
	s := zookeeper.NewStore(e, tree.Open(e), zookeeper.StoreOptions{Chroot: "/a/b"})
	ok(t, s.EnsurePersistentPaths())
	ok(t, s.EnsurePersistentPaths())
	for _, path := range zookeeper.PersistentPaths {
		if _, _, there := tree.Get("/a/b" + path); !there {
			t.Errorf("%s is missing", path)
		}
	}
	id, err := s.ClusterID("first")
	again, err2 := s.ClusterID("second")
	if id != "first" || again != "first" || err != nil || err2 != nil {
		t.Errorf("cluster id %q, then %q", id, again)
	}
}

// Goal: the broker epoch is the znode's czxid, and a registration whose answer was lost is recognised.
func TestRegistersOnce(t *testing.T) {
	tree := storetest.NewTree()
	s, session, _ := store(tree)
	ok(t, s.EnsurePersistentPaths())
	lose(session, "multi", 1, storetest.AnswerLost)
	epoch, err := s.RegisterBroker(zookeeper.BrokerInfo{ID: 1, Endpoints: []zookeeper.Endpoint{{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "h", Port: 1}}})
	ok(t, err)
	if _, stat, _ := tree.Get("/brokers/ids/1"); stat.Czxid != epoch || stat.Version != 1 {
		t.Errorf("epoch %d, znode %+v", epoch, stat)
	}
	brokers, err := s.Brokers(true)
	if err != nil || len(brokers) != 1 || brokers[0].Epoch != epoch || brokers[0].Endpoints[0].Port != 1 {
		t.Errorf("%v %v", brokers, err)
	}
}

// Goal: a broker that comes back at once waits until its earlier session's registration has gone; another broker with
// the same id makes it give up.
func TestWaitsForItsStaleRegistration(t *testing.T) {
	tree := storetest.NewTree()
	first, old, _ := store(tree)
	ok(t, first.EnsurePersistentPaths())
	before, err := first.RegisterBroker(zookeeper.BrokerInfo{ID: 1})
	ok(t, err)
	second, session, e := store(tree)
	n := 0
	session.Lose = func(kind, path string) storetest.Loss {
		if n++; n == 7 {
			tree.Expire(old.ID())
		}
		return storetest.Answered
	}
	after, err := second.RegisterBroker(zookeeper.BrokerInfo{ID: 1})
	if err != nil || after <= before || e.T == 0 {
		t.Errorf("epoch %d after %d, waited %d ns, %v", after, before, e.T, err)
	}
	third, _, _ := store(tree)
	if _, err := third.RegisterBroker(zookeeper.BrokerInfo{ID: 1}); !errors.Is(err, zookeeper.ErrNodeExists) {
		t.Errorf("a second broker 1: %v", err)
	}
}

// Goal: no two brokers are given one id, each is above the reserved ones, and an answer that is lost costs a number and no more. Method: the
// znode is missing at first, and an answer is lost.
func TestGeneratedBrokerIDs(t *testing.T) {
	s, session, _ := store(storetest.NewTree())
	for i, c := range []struct{ reserved, want int32 }{{1000, 1001}, {1000, 1003}, {0, 4}, {math.MaxInt32 - 5, math.MaxInt32}, {math.MaxInt32 - 5, 0}} {
		if i == 1 {
			lose(session, "set", 1, storetest.AnswerLost)
		}
		id, err := s.GenerateBrokerID(c.reserved)
		if id != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("above %d: %d, %v; want %d", c.reserved, id, err, c.want)
		}
	}
}

// Goal: one election has one winner; the winner is told so even if the answer was lost; its fence dies with the next.
func TestElection(t *testing.T) {
	tree := storetest.NewTree()
	a, sa, _ := store(tree)
	b, _, _ := store(tree)
	ok(t, a.EnsurePersistentPaths())
	lose(sa, "multi", 1, storetest.AnswerLost)
	fa, err := a.ElectController(1)
	if err != nil || fa.Epoch != 1 {
		t.Fatalf("%+v %v", fa, err)
	}
	if _, err := b.ElectController(2); !errors.Is(err, zookeeper.ErrControllerMoved) {
		t.Errorf("broker 2 was elected too: %v", err)
	}
	if id, err := b.Controller(true); id != 1 || err != nil {
		t.Errorf("controller %d %v", id, err)
	}
	tree.Expire(sa.ID())
	if ev, _ := b.Session().Events().Get(); ev.Type != zookeeper.EventNodeDeleted || ev.Path != "/controller" {
		t.Errorf("event %+v", ev)
	}
	fb, err := b.ElectController(2)
	if err != nil || fb.Epoch != 2 {
		t.Fatalf("%+v %v", fb, err)
	}
	c, _, _ := store(tree)
	if err := c.CreateTopic(fa, "t", zookeeper.TopicAssignment{}, nil); !errors.Is(err, zookeeper.ErrControllerMoved) {
		t.Errorf("a stale controller created a topic: %v", err)
	}
	if _, err := c.UpdatePartitionStates(fa, []zookeeper.PartitionWrite{{TP: tp(0)}}); !errors.Is(err, zookeeper.ErrControllerMoved) {
		t.Errorf("a stale controller wrote a state: %v", err)
	}
	ok(t, b.EnableFeatures(fb))
	if data, _, _ := tree.Get("/feature"); string(data) != `{"features":{},"version":2,"status":1}` {
		t.Errorf("feature %s", data)
	}
	ok(t, b.ResignController(fb))
	if id, _ := b.Controller(false); id != -1 {
		t.Errorf("controller %d after it resigned", id)
	}
}

// Goal: an attempt that lost its answer is not mistaken for a conflict, whatever the operation.
func TestLostAnswersAreNoConflicts(t *testing.T) {
	tree, s, session, fence := ready(t)
	topic := zookeeper.TopicAssignment{ID: [16]byte{1}, Partitions: map[int32]zookeeper.ReplicaAssignment{0: {Replicas: []int32{1}}}}
	again := func() { lose(session, "multi", 1, storetest.AnswerLost) }
	again()
	ok(t, s.CreateTopic(fence, "t", topic, map[string]string{"a": "b"}))
	again()
	topic.Partitions[1] = zookeeper.ReplicaAssignment{Replicas: []int32{2}}
	version, err := s.SetTopic(fence, "t", topic)
	if err != nil || version != 1 {
		t.Errorf("version %d %v", version, err)
	}
	state := zookeeper.PartitionState{Leader: 1, ISR: []int32{1}, ControllerEpoch: 1}
	lose(session, "multi", 3, storetest.AnswerLost)
	created, err := s.CreatePartitionStates(fence, []zookeeper.PartitionWrite{{TP: tp(0), State: state}, {TP: tp(1), State: state}})
	if err != nil || created[0].Err != nil || created[1].Err != nil {
		t.Errorf("%+v %v", created, err)
	}
	again()
	state.LeaderEpoch = 1
	updated, err := s.UpdatePartitionStates(fence, []zookeeper.PartitionWrite{{TP: tp(0), State: state}})
	if err != nil || updated[0].Err != nil || updated[0].State.PartitionEpoch != 1 {
		t.Errorf("%+v %v", updated, err)
	}
	again()
	block, err := s.AllocateProducerIDs(fence, 1)
	if err != nil || block.First != 0 || block.Last != 999 {
		t.Errorf("%+v %v", block, err)
	}
	if block, err = s.AllocateProducerIDs(fence, 2); err != nil || block.First != 1000 || block.Last != 1999 {
		t.Errorf("%+v %v", block, err)
	}
	again()
	if already, err := s.MarkTopicDeletion(fence, "t"); already || err != nil {
		t.Errorf("already %v %v", already, err)
	}
	again()
	ok(t, s.DeleteTopic(fence, "t"))
	for _, path := range tree.Paths("/brokers/topics/") {
		t.Errorf("%s is left", path)
	}
	if _, _, there := tree.Get("/admin/delete_topics/t"); there {
		t.Error("the mark is left")
	}
}

// Goal: one partition's conflict does not keep the others of its batch from being written.
func TestConflictsAreToldPerPartition(t *testing.T) {
	tree, s, _, fence := ready(t)
	ok(t, s.CreateTopic(fence, "t", zookeeper.TopicAssignment{ID: [16]byte{1}}, nil))
	if err := s.CreateTopic(fence, "t", zookeeper.TopicAssignment{ID: [16]byte{2}}, nil); !errors.Is(err, zookeeper.ErrNodeExists) {
		t.Errorf("created twice: %v", err)
	}
	var writes []zookeeper.PartitionWrite
	for n := range int32(300) { // more than one multi
		writes = append(writes, zookeeper.PartitionWrite{TP: tp(n), State: zookeeper.PartitionState{ControllerEpoch: 1, ISR: []int32{1}}})
	}
	_, err := s.CreatePartitionStates(fence, writes[:1])
	ok(t, err)
	results, err := s.CreatePartitionStates(fence, writes)
	ok(t, err)
	for i, r := range results {
		if r.Err != nil { // 0 too: it holds just what was to be written
			t.Fatalf("partition %d: %v", i, r.Err)
		}
	}
	tree.Set("/brokers/topics/t/partitions/200/state", []byte(`{"leader":3,"leader_epoch":1,"isr":[3],"controller_epoch":1}`))
	for i := range writes {
		writes[i].State.Leader = 2
	}
	results, err = s.UpdatePartitionStates(fence, writes)
	ok(t, err)
	for i, r := range results {
		if i == 200 {
			if !errors.Is(r.Err, zookeeper.ErrBadVersion) {
				t.Errorf("partition 200: %v", r.Err)
			}
		} else if r.Err != nil || r.State.PartitionEpoch != 1 {
			t.Fatalf("partition %d: %+v", i, r)
		}
	}
	read, err := s.PartitionStates([]wire.TopicPartition{tp(0), tp(200), tp(999)})
	if err != nil || read[0].State.Leader != 2 || read[1].State.Leader != 3 || !errors.Is(read[2].Err, zookeeper.ErrNoNode) {
		t.Errorf("%+v %v", read, err)
	}
}

// Goal: the end of the session ends everything.
func TestExpiryEndsRetries(t *testing.T) {
	tree, s, session, fence := ready(t)
	n := 0
	session.Lose = func(kind, path string) storetest.Loss {
		if n++; n == 4 {
			tree.Expire(session.ID())
		}
		return storetest.RequestLost
	}
	if err := s.CreateTopic(fence, "t", zookeeper.TopicAssignment{}, nil); !errors.Is(err, zookeeper.ErrSessionExpired) {
		t.Errorf("%v", err)
	}
	var seen []string
	s.Listen(func(ev zookeeper.Event) { seen = append(seen, fmt.Sprint(ev.State)) })
	if state := s.Run(); state != zookeeper.StateExpired || len(seen) != 1 {
		t.Errorf("state %d, seen %v", state, seen)
	}
}

// Goal: configurations round, and their change leaves a note for the brokers.
func TestConfigChangesLeaveANote(t *testing.T) {
	tree, s, _, _ := ready(t)
	ok(t, s.SetEntityConfig(zookeeper.ConfigTopics, "t", map[string]string{"k": "v"}))
	ok(t, s.SetEntityConfig(zookeeper.ConfigTopics, "t", map[string]string{"k": "w"}))
	config, err := s.EntityConfig(zookeeper.ConfigTopics, "t", false)
	if err != nil || config["k"] != "w" {
		t.Errorf("%v %v", config, err)
	}
	notes := tree.Paths("/config/changes/")
	if len(notes) != 2 || notes[0] != "/config/changes/config_change_0000000000" {
		t.Errorf("notes %v", notes)
	}
}

// Goal: bounds of clients, users and addresses are read with the names that they are for; the znode of one that has none any more goes, and
// with it what stood for nothing else; what is still needed stays, and each change leaves a note (AdminZkClient#tryCleanQuotaNodes).
func TestQuotasLeaveNoEmptyZnodes(t *testing.T) {
	tree, s, _, _ := ready(t)
	set := func(user, client, ip string, configs map[string]string) {
		entityType, entity := zookeeper.QuotaPath(user, client, ip)
		ok(t, s.SetEntityConfig(entityType, entity, configs))
	}
	some := map[string]string{"k": "1"}
	set("al/ice", "", "", some)
	set("al/ice", "app", "", some)
	set("bob", "app", "", some)
	set("", zookeeper.ConfigDefaultEntity, "", some)
	set("", "", "10.0.0.1", some)
	set("", "", zookeeper.ConfigDefaultEntity, some)
	all, err := s.Quotas()
	if want := "[{ <default>  map[k:1]} {al/ice   map[k:1]} {al/ice app  map[k:1]} {bob app  map[k:1]} {  10.0.0.1 map[k:1]} {  <default> map[k:1]}]"; err != nil || fmt.Sprint(all) != want {
		t.Errorf("%v, %v, want %s", err, all, want)
	}
	set("al/ice", "", "", nil) // its client id stays
	set("bob", "app", "", nil)
	set("", "", "10.0.0.1", nil)
	set("", "never", "", nil)
	var left []string
	for _, kind := range []string{"/config/users/", "/config/clients/", "/config/ips/"} {
		left = append(left, tree.Paths(kind)...)
	}
	if want := "[/config/users/al%2Fice /config/users/al%2Fice/clients /config/users/al%2Fice/clients/app /config/clients/<default> /config/ips/<default>]"; fmt.Sprint(left) != want {
		t.Errorf("left are %v", left)
	}
	set("al/ice", "app", "", nil)
	if left = tree.Paths("/config/users/"); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if notes := tree.Paths("/config/changes/"); len(notes) != 11 {
		t.Errorf("%d notes", len(notes))
	}
}

// Goal: ISR change notes of old brokers are read once and cleared, malformed ones too.
func TestISRChangesAreTaken(t *testing.T) {
	tree, s, _, fence := ready(t)
	tree.Set("/isr_change_notification/isr_change_0000000000", zookeeper.EncodeISRChange([]wire.TopicPartition{tp(1), tp(2)}))
	tree.Set("/isr_change_notification/isr_change_0000000001", []byte("rubbish"))
	topics, err := s.TakeISRChanges(fence, true)
	if err != nil || fmt.Sprint(topics) != "[t]" || len(tree.Paths("/isr_change_notification/")) != 0 {
		t.Errorf("%v %v", topics, err)
	}
}
