package controller

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// electionBackoff is how long a broker that failed as controller lets others try.
const electionBackoff = time.Second

// term is the controller over one session: the loop and what it owns. Everything below the queue belongs to the
// loop's task.
type term struct {
	c      *Controller
	env    env.Env
	store  *zookeeper.Store
	events *env.Queue[event]
	over   atomic.Bool // nothing more is to be done: the session is over, or Stop was called
	tasks  *env.Group

	machine *machine // nil while another broker is the controller
	senders map[int32]*sender
	watched map[string]bool // topics whose znode has been read with a watch
}

// event is something for the loop to do. drop is called instead of run if the term ends first; it may be nil.
type event struct {
	name string
	run  func() error
	drop func()
}

func newTerm(c *Controller, store *zookeeper.Store) *term {
	return &term{c: c, env: c.o.Env, store: store, events: env.NewQueue[event](c.o.Env, 0), tasks: env.NewGroup(c.o.Env)}
}

func (t *term) put(name string, run func() error) { t.events.Put(event{name: name, run: run}) }

var rareLateEvent = env.NewRare("event-handled-late")

const rareEventDelay = 50 * time.Millisecond

// loop takes events until the queue is closed.
func (t *term) loop() {
	for {
		ev, ok := t.events.Get()
		if !ok {
			break
		}
		if t.over.Load() {
			if ev.drop != nil {
				ev.drop()
			}
			continue
		}
		if rareLateEvent.Strikes(t.env) {
			t.env.Sleep(rareEventDelay) // others write to ZooKeeper meanwhile
		}
		err := ev.run()
		if err == nil {
			t.dispatch()
			continue
		}
		t.failed(ev.name, err)
	}
	t.resign()
}

// failed ends the time as controller after an event that could not be finished: what was written is not known now.
func (t *term) failed(event string, err error) {
	active := t.machine != nil
	fence := zookeeper.Fence{}
	if active {
		fence = t.machine.fence
	}
	t.resign()
	t.env.Emit(env.Event{Kind: evTrouble, Text: event + ": " + err.Error()})
	switch {
	case errors.Is(err, zookeeper.ErrSessionExpired), errors.Is(err, zookeeper.ErrSessionClosed):
		return // Run tells the owner
	case errors.Is(err, zookeeper.ErrControllerMoved):
		t.put("controller change", t.controllerChanged)
		return
	}
	refused := errors.Is(err, zookeeper.ErrBadArguments) || errors.Is(err, zookeeper.ErrNoChildrenForEphemerals)
	if refused && t.c.o.Fatal != nil {
		t.c.o.Fatal(err)
	}
	if active {
		if err := t.store.ResignController(fence); err != nil {
			t.env.Emit(env.Event{Kind: evTrouble, Text: "resign: " + err.Error()})
		}
	}
	t.env.Go("controller-backoff", func() {
		t.env.Sleep(electionBackoff)
		t.put("controller change", t.controllerChanged)
	})
}

// end lets the loop run out. It does not wait.
func (t *term) end() {
	t.over.Store(true)
	t.c.resigned()
	t.events.Close()
}

// watch turns what the session saw into events. It runs in the task of Store.Run.
func (t *term) watch(ev zookeeper.Event) {
	switch {
	case ev.Type == zookeeper.EventSession:
		switch ev.State {
		case zookeeper.StateExpired, zookeeper.StateClosed:
			t.end()
		case zookeeper.StateConnected: // again: nothing should have been missed, but looking costs little
			t.put("controller change", t.controllerChanged)
			t.put("resync", t.resync)
		}
	case ev.Path == zookeeper.PathController:
		t.put("controller change", t.controllerChanged)
	case ev.Path == zookeeper.PathBrokerIDs:
		t.put("broker change", t.brokersChanged)
	case strings.HasPrefix(ev.Path, zookeeper.PathBrokerIDs+"/"):
		if ev.Type == zookeeper.EventNodeDataChanged { // that one has come or gone is told by the watch on all
			t.put("broker modification", t.brokersChanged)
		}
	case ev.Path == zookeeper.PathTopics:
		t.put("topic change", t.topicsChanged)
	case ev.Path == zookeeper.PathDeleteTopics:
		t.put("topic deletion", t.deletionsChanged)
	case ev.Path == zookeeper.PathISRChanges:
		t.put("isr change", t.isrsChanged)
	case ev.Path == zookeeper.PathReassignPartitions:
		t.put("reassignment", t.reassignmentAsked)
	case ev.Path == zookeeper.PathPreferredElection:
		t.put("preferred election", t.preferredAsked)
	case ev.Path == zookeeper.PathLogDirEvents:
		t.put("log dir event", t.logDirsChanged)
	case strings.HasPrefix(ev.Path, zookeeper.PathTopics+"/"):
		name := strings.TrimPrefix(ev.Path, zookeeper.PathTopics+"/")
		t.put("partition modification", func() error { return t.topicModified(name) })
	}
}

// controllerChanged looks who holds /controller: resigns if it was us and is no more, and stands for election if
// nobody does.
func (t *term) controllerChanged() error {
	for {
		id, err := t.store.Controller(true)
		if err != nil {
			return err
		}
		t.c.controllerID.Store(id)
		if t.machine != nil {
			if id == t.c.o.Config.BrokerID {
				return nil
			}
			t.resign()
		}
		if id >= 0 {
			return nil
		}
		fence, err := t.store.ElectController(t.c.o.Config.BrokerID)
		if errors.Is(err, zookeeper.ErrControllerMoved) {
			continue // somebody was faster
		}
		if err != nil {
			return err
		}
		return t.failover(fence)
	}
}

// failover makes this broker the controller (KafkaController#onControllerFailover). Watches are set with each read, so
// that nothing is missed between reading and watching.
func (t *term) failover(fence zookeeper.Fence) error {
	o := &t.c.o
	t.env.Emit(env.Event{Kind: evElected, V: [4]int64{int64(fence.Epoch)}})
	ids := t.env.Rand("controller/topic-ids")
	t.machine = newMachine(fence, o.Config, t.store, t.env.Emit, func() (id [16]byte) {
		for i := range id {
			id[i] = byte(ids.Uint32())
		}
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, as Uuid#randomUuid
		return id
	})
	t.senders, t.watched = map[int32]*sender{}, map[string]bool{}
	t.c.elected(fence.Epoch)
	if err := t.store.EnableFeatures(fence); err != nil {
		return err
	}
	if _, err := t.store.TakeLogDirEvents(fence, true); err != nil {
		return err
	}
	if _, err := t.store.TakeISRChanges(fence, true); err != nil {
		return err
	}
	found, err := t.load()
	if err != nil {
		return err
	}
	if err := t.machine.startup(found); err != nil {
		return err
	}
	t.put("reassignment", t.reassignmentAsked)
	t.put("preferred election", t.preferredAsked)
	if o.Config.AutoLeaderRebalance {
		t.balanceAfter(t.machine, balanceDelay)
	}
	return nil
}

// balanceDelay is how long after its election a controller first looks at the balance of leaders.
const balanceDelay = 5 * time.Second

// balanceAfter looks at the balance of leaders after a while, and again and again while m is the machine.
func (t *term) balanceAfter(m *machine, delay time.Duration) {
	t.env.Go("controller-balance", func() {
		t.env.Sleep(delay)
		t.put("balance", func() error {
			if t.machine != m {
				return nil
			}
			err := m.balance()
			t.balanceAfter(m, t.c.o.Config.LeaderImbalanceCheck)
			return err
		})
	})
}

func (t *term) load() (l loaded, err error) {
	if l.brokers, err = t.store.Brokers(true); err != nil {
		return l, err
	}
	names, err := t.store.Topics(true)
	if err != nil {
		return l, err
	}
	if l.topics, err = t.store.TopicAssignments(names, true); err != nil {
		return l, err
	}
	var tps []wire.TopicPartition
	for _, name := range names {
		t.watched[name] = true
		for n := range l.topics[name].Partitions {
			tps = append(tps, wire.TopicPartition{Topic: name, Partition: n})
		}
	}
	slices.SortFunc(tps, wire.TopicPartition.Compare)
	if l.states, err = t.store.PartitionStates(tps); err != nil {
		return l, err
	}
	l.deletions, err = t.store.TopicDeletions(true)
	return l, err
}

// resign drops everything this broker knew as the controller (onControllerResignation).
func (t *term) resign() {
	if t.machine == nil {
		return
	}
	t.c.resigned()
	t.env.Emit(env.Event{Kind: evResigned, V: [4]int64{int64(t.machine.fence.Epoch)}})
	for _, id := range sortedKeys(t.senders) {
		t.senders[id].stop()
	}
	t.machine, t.senders, t.watched = nil, nil, nil
}

// dispatch hands the machine's requests to the senders, after bringing those in line with the live brokers.
func (t *term) dispatch() {
	if t.machine == nil {
		return
	}
	for _, id := range sortedKeys(t.senders) {
		if b, live := t.machine.brokers[id]; !live || b.Epoch != t.senders[id].epoch {
			t.senders[id].stop()
			delete(t.senders, id)
		}
	}
	for _, id := range t.machine.brokerIDs() {
		b := t.machine.brokers[id]
		ep := interBroker(b)
		addr := config.JoinHostPort(ep.Host, ep.Port)
		if s := t.senders[id]; s != nil {
			s.move(addr)
			continue
		}
		t.senders[id] = t.startSender(id, b.Epoch, addr)
	}
	for _, out := range t.machine.takeOutbox() {
		if s := t.senders[out.broker]; s != nil {
			s.pending.Add(1)
			s.queue.Put(out.req)
		}
	}
}

// busy tells whether any broker still has to answer. It belongs to the loop's task.
func (t *term) busy() bool {
	if t == nil {
		return false
	}
	for _, s := range t.senders { // unordered: any
		if s.pending.Load() > 0 {
			return true
		}
	}
	return false
}

func (t *term) startSender(id int32, epoch int64, addr string) *sender {
	s := &sender{env: t.env, dial: t.c.o.Dial, timeout: t.c.o.Config.ControllerSocketTimeout, broker: id, epoch: epoch,
		queue: env.NewQueue[kmsg.Request](t.env, 0), mu: t.env.NewMutex(), addr: addr}
	t.env.Go("controller-to-"+wire.TopicPartition{Topic: "broker", Partition: id}.String(), func() {
		s.run(func(req kmsg.Request, resp kmsg.Response) {
			t.put("answer", func() error { return t.answered(s, req, resp) })
		})
	})
	return s
}

// answered takes a broker's answer to a request, unless it comes from an earlier life of the broker or time as controller.
func (t *term) answered(s *sender, req kmsg.Request, resp kmsg.Response) error {
	if t.machine == nil || t.senders[s.broker] != s {
		return nil
	}
	switch resp := resp.(type) {
	case *kmsg.LeaderAndISRResponse:
		return t.machine.leaderAndISRAnswered(s.broker, resp)
	case *kmsg.StopReplicaResponse:
		return t.machine.stopReplicaAnswered(s.broker, req.(*kmsg.StopReplicaRequest), resp)
	case *kmsg.UpdateMetadataResponse:
		if resp.ErrorCode != 0 {
			t.machine.refused(s.broker, resp.Key(), resp.ErrorCode)
		}
	}
	return nil
}
