package controller_test

import (
	"fmt"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/controller"
	"barnabas/broker/env"
	"barnabas/broker/metadata"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"
	"barnabas/broker/zookeeper/server"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fakeBroker is a broker without logs: it registers, stands for election, obeys the controller as far as epochs go, and
// remembers what it was told.
type fakeBroker struct {
	id         int32
	chroot     string
	wrap       func(zookeeper.Session) zookeeper.Session // around its sessions; may be nil
	env        env.Env
	cache      *metadata.Cache
	controller *controller.Controller
	epoch      int64 // of its registration; 0 without one
	session    int64
	highest    int32                                                          // controller epoch seen
	roles      map[wire.TopicPartition]kmsg.LeaderAndISRRequestTopicPartition // what it was last told
	deleted    []wire.TopicPartition
	seen       func(b *fakeBroker, req kmsg.Request) // called for every request obeyed
}

// run is the node's main function.
func (b *fakeBroker) run(e env.Env) {
	*b = fakeBroker{id: b.id, chroot: b.chroot, wrap: b.wrap, env: e, seen: b.seen, cache: metadata.New(e), roles: map[wire.TopicPartition]kmsg.LeaderAndISRRequestTopicPartition{}}
	cfg := config.Default()
	cfg.BrokerID = b.id
	b.controller = controller.New(controller.Options{Env: e, Config: cfg, Metadata: b.cache,
		Dial: func(addr string) (controller.Conn, error) {
			return client.Dial(e, addr, client.ConnOptions{DialTimeout: time.Second})
		},
		Fatal: func(err error) { panic(err) }})
	l, err := e.Listen(":9092")
	if err != nil {
		panic(err)
	}
	e.Go("accept", func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			e.Go("conn", func() { b.serve(conn) })
		}
	})
	for {
		store, err := b.join()
		if err != nil {
			e.Sleep(200 * time.Millisecond)
			continue
		}
		b.controller.Start(store)
		store.Run()
		b.controller.Stop()
		b.epoch = 0
	}
}

// join opens a session and registers in it.
func (b *fakeBroker) join() (*zookeeper.Store, error) {
	session, err := zkclient.Open(b.env, []string{"zk:2181"}, 6000, b.env.Mono().Add(6*time.Second))
	if err != nil {
		return nil, err
	}
	if b.wrap != nil {
		session = b.wrap(session)
	}
	store := zookeeper.NewStore(b.env, session, zookeeper.StoreOptions{Chroot: b.chroot, SessionTimeout: 6 * time.Second})
	if err := store.EnsurePersistentPaths(); err != nil {
		store.Close()
		return nil, err
	}
	b.session = session.ID()
	b.epoch, err = store.RegisterBroker(zookeeper.BrokerInfo{ID: b.id, JmxPort: -1, Endpoints: []zookeeper.Endpoint{
		{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: fmt.Sprint("b", b.id), Port: 9092}}})
	if err != nil {
		b.epoch = 0
		store.Close()
	}
	return store, err
}

func (b *fakeBroker) serve(conn env.Conn) {
	defer conn.Close()
	var buf []byte
	for {
		frame, err := wire.ReadFrame(conn, wire.MaxFrame, buf)
		if err != nil {
			return
		}
		buf = frame
		header, req, err := wire.ParseRequest(frame)
		if err != nil {
			panic(err)
		}
		if _, err := conn.Write(wire.AppendResponse(nil, header.Correlation, b.answer(req))); err != nil {
			return
		}
	}
}

// answer obeys a request unless its epochs are stale.
func (b *fakeBroker) answer(req kmsg.Request) kmsg.Response {
	refuse := func(epoch int32, brokerEpoch int64) int16 {
		switch {
		case brokerEpoch < b.epoch: // a higher one is that of a registration whose answer is still under way
			return kerr.StaleBrokerEpoch.Code
		case epoch < b.highest:
			return kerr.StaleControllerEpoch.Code
		}
		b.highest = epoch
		b.seen(b, req)
		return 0
	}
	switch req := req.(type) {
	case *kmsg.UpdateMetadataRequest:
		resp := req.ResponseKind().(*kmsg.UpdateMetadataResponse)
		if resp.ErrorCode = refuse(req.ControllerEpoch, req.BrokerEpoch); resp.ErrorCode == 0 {
			if _, err := b.cache.Update(req); err != nil {
				resp.ErrorCode = wire.Code(err)
			}
		}
		return resp
	case *kmsg.LeaderAndISRRequest:
		resp := req.ResponseKind().(*kmsg.LeaderAndISRResponse)
		if resp.ErrorCode = refuse(req.ControllerEpoch, req.BrokerEpoch); resp.ErrorCode == 0 {
			for _, t := range req.TopicStates {
				rt := kmsg.LeaderAndISRResponseTopic{TopicID: t.TopicID}
				for _, p := range t.PartitionStates {
					b.roles[wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p
					rt.Partitions = append(rt.Partitions, kmsg.LeaderAndISRResponseTopicPartition{Partition: p.Partition})
				}
				resp.Topics = append(resp.Topics, rt)
			}
		}
		return resp
	case *kmsg.StopReplicaRequest:
		resp := req.ResponseKind().(*kmsg.StopReplicaResponse)
		if resp.ErrorCode = refuse(req.ControllerEpoch, req.BrokerEpoch); resp.ErrorCode == 0 {
			for _, t := range req.Topics {
				for _, p := range t.PartitionStates {
					tp := wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}
					if p.Delete {
						delete(b.roles, tp)
						b.deleted = append(b.deleted, tp)
					}
					resp.Partitions = append(resp.Partitions, kmsg.StopReplicaResponsePartition{Topic: t.Topic, Partition: p.Partition})
				}
			}
		}
		return resp
	}
	panic(fmt.Sprintf("fake broker: request %T", req))
}

// town is a world of one ZooKeeper and some fake brokers.
type town struct {
	*cluster.World
	t       *testing.T
	zk      *server.Server
	brokers []*fakeBroker
	leaders map[string]int32 // "t-0@epoch" → who was told to lead
}

func newTown(t *testing.T, seed uint64, brokers int) *town { return newTownBelow(t, seed, brokers, "") }

// newTownBelow is a town that keeps its znodes below a chroot.
func newTownBelow(t *testing.T, seed uint64, brokers int, chroot string) *town {
	w := &town{World: cluster.New(cluster.Options{Seed: seed}), t: t, leaders: map[string]int32{}}
	t.Cleanup(w.Close)
	w.AddNode("zk", func(e env.Env) {
		s, err := server.New(e, server.Config{Addr: ":2181", DataDir: "data", TickMs: 1000})
		if err != nil {
			panic(err)
		}
		w.zk = s
		if err := s.Run(); err != nil {
			panic(err)
		}
	})
	w.Start("zk")
	for id := range int32(brokers) {
		b := &fakeBroker{id: id + 1, chroot: chroot, seen: w.seen}
		w.brokers = append(w.brokers, b)
		w.AddNode(b.name(), b.run)
		w.Start(b.name())
	}
	w.until("all are there", 20*time.Second, func() bool {
		return w.active() != nil && len(w.active().cache.Snapshot().Brokers) == brokers
	})
	return w
}

func (b *fakeBroker) name() string { return fmt.Sprint("b", b.id) }

// seen holds what brokers are told to the law: in one leader epoch of a partition there is one leader, in the ISR.
func (w *town) seen(b *fakeBroker, req kmsg.Request) {
	lai, ok := req.(*kmsg.LeaderAndISRRequest)
	if !ok {
		return
	}
	for _, t := range lai.TopicStates {
		for _, p := range t.PartitionStates {
			key := fmt.Sprintf("%s-%d/%x@%d", t.Topic, p.Partition, t.TopicID, p.LeaderEpoch)
			if old, known := w.leaders[key]; known && old != p.Leader {
				panic(fmt.Sprintf("two leaders: %s %d and %d", key, old, p.Leader))
			}
			w.leaders[key] = p.Leader
		}
	}
}

// active is the broker that is the controller, or nil.
func (w *town) active() *fakeBroker {
	var found *fakeBroker
	for _, b := range w.brokers {
		if w.Status(b.name()) == cluster.Running && b.controller != nil && b.controller.Active() && b.epoch != 0 {
			if found == nil || b.controller.Epoch() > found.controller.Epoch() {
				found = b
			}
		}
	}
	return found
}

// until runs until ready holds, and fails the test if that takes too long or a node panics.
func (w *town) until(what string, limit time.Duration, ready func() bool) {
	w.t.Helper()
	outcome := w.RunUntil(func() bool { return len(w.Crashes()) > 0 || ready() }, w.Now().Add(limit))
	for _, c := range w.Crashes() {
		w.t.Fatalf("%s: %s", what, c)
	}
	if outcome != cluster.Satisfied {
		w.t.Fatalf("%s: %v\n%s", what, outcome, w.Stuck())
	}
}

// ask has an admin send a request to the active controller's own method, in a task of its broker, until it is decided.
func ask[T any](w *town, what string, send func(*controller.Controller) (T, int16)) T {
	w.t.Helper()
	var answer T
	done := false
	for !done {
		w.until(what+": a controller", time.Minute, func() bool { return w.active() != nil })
		b := w.active()
		finished := false
		w.Go("ask", func(env.Env) {
			b.env.Go("ask", func() {
				v, code := send(b.controller)
				answer, finished = v, true
				done = code != kerr.NotController.Code && code != kerr.RequestTimedOut.Code
			})
		})
		life := b.env
		w.until(what, time.Minute, func() bool { return finished || b.env != life })
	}
	return answer
}

func (w *town) create(topic string, partitions int32, rf int16) int16 {
	w.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 10_000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, rf
	req.Topics = append(req.Topics, rt)
	return ask(w, "create "+topic, func(c *controller.Controller) (int16, int16) {
		code := c.CreateTopics(req, nil).Topics[0].ErrorCode
		return code, code
	})
}

func (w *town) delete(topic string) int16 {
	w.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 6, 10_000
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	return ask(w, "delete "+topic, func(c *controller.Controller) (int16, int16) {
		code := c.DeleteTopics(req, nil).Topics[0].ErrorCode
		return code, code
	})
}

// settled reports whether there is one controller, and every broker is registered and knows every partition of the topic as its
// znode has it, with a leader.
func (w *town) settled(topic string, partitions int32) bool {
	if w.active() == nil {
		return false
	}
	for n := range partitions {
		tp := wire.TopicPartition{Topic: topic, Partition: n}
		data, stat, ok := w.zk.Get(zookeeper.PathPartitionState(tp))
		if !ok {
			return false
		}
		state, err := zookeeper.DecodePartitionState(tp, data, stat.Version)
		if err != nil || state.Leader < 0 {
			return false
		}
		for _, b := range w.brokers {
			if w.Status(b.name()) != cluster.Running || b.epoch == 0 {
				return false
			}
			s := b.cache.Snapshot()
			p := s.Partition(tp)
			if p == nil || len(s.Brokers) != len(w.brokers) || p.PartitionEpoch != stat.Version || p.Leader != state.Leader || s.ControllerID != w.active().id {
				return false
			}
			if role, told := b.roles[tp]; told && role.LeaderEpoch != state.LeaderEpoch {
				return false
			}
		}
	}
	return true
}

// Goal: three brokers elect one controller, create a topic and delete it again; everybody is told.
func TestTopicsComeAndGo(t *testing.T) {
	w := newTown(t, 1, 3)
	if code := w.create("t", 4, 3); code != 0 {
		t.Fatalf("create: code %d", code)
	}
	w.until("settled", 10*time.Second, func() bool { return w.settled("t", 4) })
	if code := w.create("t", 1, 1); code != kerr.TopicAlreadyExists.Code {
		t.Errorf("created twice: code %d", code)
	}
	if code := w.delete("t"); code != 0 {
		t.Fatalf("delete: code %d", code)
	}
	w.until("deleted", 10*time.Second, func() bool {
		_, _, there := w.zk.Get("/brokers/topics/t")
		return !there
	})
	for _, b := range w.brokers {
		if len(b.deleted) != 4 || b.cache.Snapshot().Topic("t") != nil {
			t.Errorf("broker %d deleted %v", b.id, b.deleted)
		}
	}
	if code := w.create("t", 2, 2); code != 0 {
		t.Errorf("made again: code %d", code)
	}
}

// Goal: the controller dies; another is elected, and finds leaders for what the dead one led. When it comes back it is a
// broker like the others.
func TestControllerFailover(t *testing.T) {
	w := newTown(t, 2, 3)
	w.create("t", 6, 3)
	w.until("settled", 10*time.Second, func() bool { return w.settled("t", 6) })
	first := w.active()
	epoch := first.controller.Epoch()
	w.Crash(first.name())
	w.until("a new controller", 20*time.Second, func() bool { return w.active() != nil && w.active() != first })
	if w.active().controller.Epoch() <= epoch {
		t.Errorf("epoch %d after %d", w.active().controller.Epoch(), epoch)
	}
	w.until("new leaders", 20*time.Second, func() bool {
		for n := range int32(6) {
			p := w.active().cache.Snapshot().Partition(wire.TopicPartition{Topic: "t", Partition: n})
			if p == nil || p.Leader == first.id || p.Leader < 0 || len(p.ISR) != 2 {
				return false
			}
		}
		return true
	})
	w.Start(first.name())
	w.until("settled again", 20*time.Second, func() bool { return w.settled("t", 6) })
}

// Goal: a controller that is paused until another has been elected gets nothing done when it wakes up: neither in ZooKeeper nor at
// the brokers, and it notices.
func TestStaleControllerIsFenced(t *testing.T) {
	w := newTown(t, 3, 3)
	w.create("t", 3, 3)
	w.until("settled", 10*time.Second, func() bool { return w.settled("t", 3) })
	old := w.active()
	w.Pause(old.name())
	w.until("a new controller", 30*time.Second, func() bool { return w.active() != nil && w.active() != old })
	before := w.active().controller.Epoch()
	// Asked before it can know: the answer must not be a decision.
	code := int16(-1)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 1000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "stale", 1, 1
	req.Topics = append(req.Topics, rt)
	w.Go("ask", func(env.Env) {
		old.env.Go("ask", func() { code = old.controller.CreateTopics(req, nil).Topics[0].ErrorCode })
	})
	w.RunFor(time.Second)
	w.Resume(old.name())
	w.until("the old one noticed", 30*time.Second, func() bool { return code >= 0 && !old.controller.Active() })
	if code != kerr.NotController.Code {
		t.Errorf("the stale controller answered %d", code)
	}
	if _, _, there := w.zk.Get("/brokers/topics/stale"); there {
		t.Error("the stale controller created a topic")
	}
	w.until("settled", 30*time.Second, func() bool { return w.settled("t", 3) })
	if w.active() == old || w.active().controller.Epoch() != before {
		t.Errorf("controller %d epoch %d", w.active().id, w.active().controller.Epoch())
	}
}

// Goal: whatever crashes, pauses, restarts and expires, and in whatever order, one leader epoch never has two leaders, and when
// it is over the cluster settles. The same seed gives the same run.
func TestSettlesAfterFaults(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		if a, b := ordeal(t, seed), ordeal(t, seed); a != b {
			t.Errorf("seed %d: hash %x, then %x", seed, a, b)
		}
	}
}

func ordeal(t *testing.T, seed uint64) (hash uint64) {
	t.Helper()
	w := newTown(t, seed, 3)
	w.create("t", 4, 3)
	r := w.Rand().Stream("ordeal")
	for range 12 {
		b := w.brokers[r.IntN(3)]
		switch r.IntN(6) {
		case 0:
			w.Crash(b.name())
		case 1:
			w.Pause(b.name())
		case 2:
			w.Crash("zk")
			w.RunFor(time.Duration(r.IntN(2000)) * time.Millisecond)
			w.Start("zk")
		case 3:
			w.zk.ExpireSession(b.session)
		case 4:
			other := w.brokers[r.IntN(3)]
			if other != b {
				w.Partition([]string{b.name()}, []string{other.name()}, r.IntN(2) == 0)
			}
		case 5:
			w.Partition([]string{b.name()}, []string{"zk"}, false)
		}
		w.RunFor(time.Duration(r.IntN(4000)) * time.Millisecond)
		if b.env != nil && w.Status(b.name()) == cluster.Off && r.IntN(2) == 0 {
			w.Start(b.name())
		}
		if r.IntN(3) == 0 {
			w.Heal()
			for _, b := range w.brokers {
				w.Resume(b.name())
			}
		}
	}
	w.Heal()
	for _, b := range w.brokers {
		w.Resume(b.name())
		if w.Status(b.name()) == cluster.Off {
			w.Start(b.name())
		}
	}
	w.until(fmt.Sprintf("seed %d settles", seed), 2*time.Minute, func() bool { return w.settled("t", 4) })
	return w.Hash()
}
