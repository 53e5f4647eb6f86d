package replica_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"barnabas/broker/api"
	"barnabas/broker/bug"
	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/quota"
	"barnabas/broker/record"
	"barnabas/broker/replica"
	"barnabas/broker/server"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Three brokers on a simulated network, each a replica manager behind a real server, and a controller played by the test. One
// partition, t-0.

var (
	tp      = wire.TopicPartition{Topic: "t"}
	topicID = [16]byte{0xb, 0xa}
)

// world is the cluster and the controller's state.
type world struct {
	*cluster.World
	t     *testing.T
	found []string // what went wrong, where bugs are on; else it goes to t
	bugs  bug.Set
	nodes map[int32]*node

	// What the controller has decided. Only the test and AlterPartition, which is called in the same thread, touch it.
	leader, leaderEpoch, partitionEpoch int32
	isr                                 []int32
	lives                               int64                                     // counts restarts
	configure                           func(*config.Broker)                      // over configuration; may be nil
	throttle                            func(leader, follower *quota.Replication) // of each broker; may be nil
	handled                             func(id int32, r *server.Request)         // told of every request that a broker gets; may be nil
	alterFails                          int                                       // so many AlterPartition calls get no answer, though they are decided
}

// node is one broker's present life.
type node struct {
	id       int32
	epoch    int64
	manager  *replica.Manager
	config   *config.Broker
	logs     *log.Manager
	metadata *metadata.Cache
	up       bool
	job      func() // to be done by the broker's main task
}

func newWorld(t *testing.T, seed uint64, bugs bug.Set) *world {
	w := &world{World: cluster.New(cluster.Options{Seed: seed, HookEvery: 20}), t: t, bugs: bugs, nodes: map[int32]*node{}, leader: -1}
	t.Cleanup(w.Close)
	for id := int32(1); id <= 3; id++ {
		w.nodes[id] = &node{id: id, epoch: 100 * int64(id)}
		w.AddNode(name(id), func(e env.Env) { w.broker(e, id) })
		w.Start(name(id))
	}
	w.OnStep(w.check)
	if testing.Verbose() {
		w.OnEmit(func(node string, ev env.Event) {
			if ev.Kind.Level > env.Debug {
				t.Logf("%12v %s %s", w.Now().Sub(0), node, ev)
			}
		})
	}
	return w
}

func name(id int32) string { return "b" + strconv.Itoa(int(id)) }

// configuration is short in all times, so that tests are.
func (w *world) configuration(id int32) *config.Broker {
	c := config.Default()
	c.BrokerID, c.LogDirs, c.ListenAddr = id, []string{"data"}, name(id)+":9092"
	c.ReplicaFetchBackoff, c.ReplicaFetchWaitMax = 50*time.Millisecond, 100*time.Millisecond
	c.ReplicaSocketTimeout, c.ReplicaLagTimeMax = time.Second, 2*time.Second
	c.ReplicaHighWatermarkCheckpoint = time.Second
	c.Bugs = w.bugs
	if w.configure != nil {
		w.configure(c)
	}
	return c
}

// broker is the main function of a node.
func (w *world) broker(e env.Env, id int32) {
	c := w.configuration(id)
	logs, err := log.OpenManager(e, c)
	if err != nil {
		panic(err)
	}
	n := w.nodes[id]
	n.epoch++
	epoch := n.epoch
	cache := metadata.New(e)
	waiting := purgatory.New[wire.TopicPartition](e, "purgatory")
	leaders, followers := quota.NewReplication(e, quota.DefaultWindows), quota.NewReplication(e, quota.DefaultWindows)
	if w.throttle != nil {
		w.throttle(leaders, followers)
	}
	m := replica.NewManager(replica.Options{LeaderThrottle: leaders, FollowerThrottle: followers, Env: e, Config: c, Logs: logs, Metadata: cache, Purgatory: waiting,
		BrokerEpoch: func() int64 { return epoch }, AlterPartition: func(req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
			e.Sleep(2 * time.Millisecond)
			return w.alterPartition(req)
		}})
	a := api.New(api.Deps{LeaderThrottle: leaders, Env: e, Config: c, ClusterID: "c", Listener: "PLAINTEXT", Replicas: api.FromManager(m), Metadata: cache,
		Purgatory: waiting, BrokerEpoch: func() int64 { return epoch }})
	s, err := server.Listen(server.Options{Env: e, Addr: c.ListenAddr, Handle: func(r *server.Request) server.Reply {
		if w.handled != nil {
			w.handled(id, r)
		}
		return a.Handle(r)
	}, FrameBytesMax: c.RequestBytesMax, InFlightMax: c.RequestsInFlightMax})
	if err != nil {
		panic(err)
	}
	logs.Start()
	m.Start()
	s.Start()
	n.manager, n.config, n.logs, n.metadata, n.up = m, c, logs, cache, true
	for {
		e.Sleep(10 * time.Millisecond)
		if job := n.job; job != nil {
			job()
			n.job = nil
		}
	}
}

// alterPartition decides as a controller does (KafkaController#alterPartitions).
func (w *world) alterPartition(req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
	in := &req.Topics[0].Partitions[0]
	out := kmsg.NewAlterPartitionResponseTopicPartition()
	var isr []int32
	eligible := true
	for _, m := range in.NewEpochISR {
		isr = append(isr, m.BrokerID)
		eligible = eligible && (m.BrokerEpoch == -1 || m.BrokerEpoch == w.nodes[m.BrokerID].epoch)
	}
	switch {
	case req.Topics[0].TopicID != topicID:
		out.ErrorCode = kerr.UnknownTopicID.Code
	case in.LeaderEpoch != w.leaderEpoch:
		out.ErrorCode = kerr.FencedLeaderEpoch.Code
	case in.PartitionEpoch != w.partitionEpoch && !slices.Equal(isr, w.isr):
		out.ErrorCode = kerr.InvalidUpdateVersion.Code
	case !eligible:
		out.ErrorCode = kerr.IneligibleReplica.Code
	case !slices.Equal(isr, w.isr):
		w.isr = isr
		w.partitionEpoch++
	}
	out.LeaderID, out.LeaderEpoch, out.ISR, out.PartitionEpoch = w.leader, w.leaderEpoch, w.isr, w.partitionEpoch
	t := kmsg.NewAlterPartitionResponseTopic()
	t.TopidID, t.Partitions = topicID, []kmsg.AlterPartitionResponseTopicPartition{out}
	resp.Topics = []kmsg.AlterPartitionResponseTopic{t}
	if w.alterFails > 0 {
		w.alterFails--
		return nil, fmt.Errorf("no answer: %w", env.ErrTimeout)
	}
	return resp, nil
}

// decide elects a leader with this ISR, in a new epoch, and tells it to brokers.
func (w *world) decide(e env.Env, leader int32, isr []int32, tell ...int32) {
	w.leader, w.isr = leader, isr
	w.leaderEpoch++
	w.partitionEpoch++
	for _, id := range tell {
		w.tell(e, id)
	}
}

// tell sends UpdateMetadata and LeaderAndIsr with the present state to one broker.
func (w *world) tell(e env.Env, id int32) {
	for !w.nodes[id].up {
		e.Sleep(time.Millisecond)
	}
	conn := w.dial(e, id)
	defer conn.Close()
	r := w.do(conn, w.update())
	if code := r.(*kmsg.UpdateMetadataResponse).ErrorCode; code != 0 {
		panic(kerr.ErrorForCode(code))
	}
	answer := w.do(conn, w.order(id)).(*kmsg.LeaderAndISRResponse)
	if answer.ErrorCode != 0 || answer.Topics[0].Partitions[0].ErrorCode != 0 || answer.Topics[0].TopicID != topicID {
		panic(fmt.Sprintf("broker %d answers %+v", id, answer))
	}
}

// keepTelling is a controller's sender to one broker: whenever the state or the broker's life is new, it tells it, until it
// succeeds.
func (w *world) keepTelling(e env.Env, id int32) {
	var told [4]int64
	for {
		now := [4]int64{int64(w.leaderEpoch), w.nodes[id].epoch, w.lives}
		if !w.nodes[id].up || told == now || w.Status(name(id)) != cluster.Running {
			e.Sleep(5 * time.Millisecond)
			continue
		}
		conn, err := client.Dial(e, name(id)+":9092", client.ConnOptions{ClientID: "controller", DialTimeout: time.Second, RequestTimeout: time.Second})
		if err != nil {
			continue
		}
		r, err := conn.Do(w.update(), 0)
		if err == nil && r.(*kmsg.UpdateMetadataResponse).ErrorCode == 0 {
			r, err = conn.Do(w.order(id), 0)
			if err == nil && r.(*kmsg.LeaderAndISRResponse).ErrorCode == 0 {
				told = now
			}
		}
		conn.Close()
	}
}

// update is the present state as an UpdateMetadata request.
func (w *world) update() *kmsg.UpdateMetadataRequest {
	update := kmsg.NewPtrUpdateMetadataRequest()
	update.Version, update.ControllerID, update.ControllerEpoch, update.BrokerEpoch = 8, 9, 1, -1
	for broker := int32(1); broker <= 3; broker++ {
		if w.Status(name(broker)) == cluster.Off || w.Status(name(broker)) == cluster.PowerOff {
			continue
		}
		ep := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
		ep.Host, ep.Port, ep.ListenerName = name(broker), 9092, "PLAINTEXT"
		live := kmsg.NewUpdateMetadataRequestLiveBroker()
		live.ID, live.Endpoints = broker, append(live.Endpoints, ep)
		update.LiveBrokers = append(update.LiveBrokers, live)
	}
	up := kmsg.NewUpdateMetadataRequestTopicPartition()
	up.ControllerEpoch, up.Leader, up.LeaderEpoch, up.ZKVersion = 1, w.leader, w.leaderEpoch, w.partitionEpoch
	up.ISR, up.Replicas = w.isr, []int32{1, 2, 3}
	ut := kmsg.NewUpdateMetadataRequestTopicState()
	ut.Topic, ut.TopicID, ut.PartitionStates = "t", topicID, append(ut.PartitionStates, up)
	update.TopicStates = append(update.TopicStates, ut)
	return update
}

// order is the present state as a LeaderAndIsr request.
func (w *world) order(id int32) *kmsg.LeaderAndISRRequest {
	p := kmsg.NewLeaderAndISRRequestTopicPartition()
	p.ControllerEpoch, p.Leader, p.LeaderEpoch, p.ZKVersion = 1, w.leader, w.leaderEpoch, w.partitionEpoch
	p.ISR, p.Replicas = w.isr, []int32{1, 2, 3}
	t := kmsg.NewLeaderAndISRRequestTopicState()
	t.Topic, t.TopicID, t.PartitionStates = "t", topicID, append(t.PartitionStates, p)
	req := kmsg.NewPtrLeaderAndISRRequest()
	req.Version, req.ControllerID, req.ControllerEpoch, req.BrokerEpoch = 7, 9, 1, w.nodes[id].epoch
	req.TopicStates = append(req.TopicStates, t)
	return req
}

func (w *world) dial(e env.Env, id int32) *client.Conn {
	for {
		conn, err := client.Dial(e, name(id)+":9092", client.ConnOptions{ClientID: "test", DialTimeout: time.Second, RequestTimeout: 5 * time.Second})
		if err == nil {
			return conn
		}
		e.Sleep(10 * time.Millisecond)
	}
}

func (w *world) do(conn *client.Conn, req kmsg.Request) kmsg.Response {
	r, err := conn.Do(req, 0)
	if err != nil {
		panic(err)
	}
	return r
}

// produce sends one value and returns the answer's error code and offset.
func (w *world) produce(conn *client.Conn, value string, acks int16) (code int16, offset int64, err error) {
	var b record.Builder
	b.Append(1, nil, []byte(value))
	batch, err := b.Build(nil, record.NewBatchOptions())
	if err != nil {
		return 0, 0, err
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = "t", append(t.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis, req.Topics = 11, acks, 2000, append(req.Topics, t)
	r, err := conn.Do(req, 0)
	if err != nil {
		return 0, 0, err
	}
	out := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return out.ErrorCode, out.BaseOffset, nil
}

// mustProduce produces n values with acks=all.
func (w *world) mustProduce(e env.Env, to int32, values ...string) {
	conn := w.dial(e, to)
	defer conn.Close()
	for _, v := range values {
		if code, _, err := w.produce(conn, v, -1); err != nil || code != 0 {
			panic(fmt.Sprintf("produce %s: %v %v", v, kerr.ErrorForCode(code), err))
		}
	}
}

// state is a broker's partition, for looking between events.
func (w *world) state(id int32) partition.State {
	n := w.nodes[id]
	if n.manager == nil || w.Status(name(id)) != cluster.Running {
		return partition.State{}
	}
	if states := n.manager.Snapshot(); len(states) == 1 {
		return states[0]
	}
	return partition.State{}
}

// fail reports what should not be: to the test, or, of a world with bugs, to itself.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	if w.bugs == 0 {
		w.t.Errorf(format, args...)
	} else {
		w.found = append(w.found, fmt.Sprintf(format, args...))
	}
}

// check is the all-seeing checker: what must hold between any two events.
func (w *world) check() {
	leaders := map[int32]int32{}
	for id := int32(1); id <= 3; id++ {
		s := w.state(id)
		if s.Role == partition.Idle {
			continue
		}
		if s.HighWatermark > s.LogEndOffset {
			w.fail("broker %d: hw %d > leo %d", id, s.HighWatermark, s.LogEndOffset)
		}
		if s.Role != partition.Leader {
			continue
		}
		if other, ok := leaders[s.LeaderEpoch]; ok {
			w.fail("brokers %d and %d lead in epoch %d", other, id, s.LeaderEpoch)
		}
		leaders[s.LeaderEpoch] = id
		if s.LeaderEpoch == w.leaderEpoch {
			for _, member := range w.isr {
				if m := w.state(member); m.Role != partition.Idle && m.LeaderEpoch == s.LeaderEpoch && m.LogEndOffset < s.HighWatermark {
					w.fail("broker %d is in the ISR %v with leo %d, but hw is %d", member, w.isr, m.LogEndOffset, s.HighWatermark)
				}
			}
		}
	}
}

// run runs the script as a harness task to its end.
func (w *world) run(script func(e env.Env)) {
	w.t.Helper()
	done := false
	w.Go("script", func(e env.Env) { script(e); done = true })
	outcome := w.RunUntil(func() bool { return done || len(w.Crashes()) > 0 }, w.Now().Add(10*time.Minute))
	if len(w.Crashes()) > 0 {
		w.t.Fatal(w.Crashes()[0])
	}
	if outcome != cluster.Satisfied {
		w.t.Fatalf("%v\n%s", outcome, w.Stuck())
	}
}

// until runs until pred holds, and reports whether it does.
func (w *world) until(what string, pred func() bool) bool {
	w.t.Helper()
	outcome := w.RunUntil(func() bool { return pred() || len(w.Crashes()) > 0 }, w.Now().Add(time.Minute))
	if len(w.Crashes()) > 0 {
		w.t.Fatal(w.Crashes()[0])
	}
	if outcome != cluster.Satisfied {
		w.fail("%s: %v at %v", what, outcome, w.Now().Sub(0))
	}
	return outcome == cluster.Satisfied
}

// restart begins a broker's next life after a crash.
func (w *world) restart(id int32) {
	w.nodes[id].up = false
	w.lives++
	w.Start(name(id))
}

// values reads a broker's whole log, as value@epoch.
func (w *world) values(id int32) []string {
	w.t.Helper()
	var values []string
	l := w.state(id).Log
	if l == nil {
		w.t.Fatalf("broker %d has no log", id)
	}
	w.nodes[id].job = func() {
		for offset := l.StartOffset(); offset < l.EndOffset(); {
			slice, err := l.Read(offset, 1<<20, l.EndOffset(), true)
			if err != nil {
				panic(err)
			}
			data, err := slice.Bytes()
			if err != nil {
				panic(err)
			}
			slice.Release()
			for len(data) > 0 {
				batch, rest, err := record.Next(data)
				if err != nil {
					panic(err)
				}
				it := record.NewIterator(batch, 1<<20)
				for it.Next() {
					values = append(values, fmt.Sprintf("%s@%d", it.Record().Value, batch.LeaderEpoch()))
				}
				if it.Err() != nil {
					panic(it.Err())
				}
				offset, data = batch.NextOffset(), rest
			}
		}
	}
	w.until("the log is read", func() bool { return w.nodes[id].job == nil })
	return values
}
