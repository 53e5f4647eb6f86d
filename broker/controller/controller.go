package controller

import (
	"errors"
	"sync/atomic"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/metadata"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is a connection to a broker, as the senders need it; *client.Conn is one.
type Conn interface {
	// Do sends the request in the version it is set to and waits for its answer.
	Do(req kmsg.Request, timeout time.Duration) (kmsg.Response, error)
	// Close may be called from any task, more than once, and makes a waiting Do fail.
	Close() error
}

// Options is what a Controller is made of.
type Options struct {
	Env    env.Env
	Config *config.Broker
	// Metadata is this broker's cache: CreateTopics and DeleteTopics wait until it shows what they did. Without one they do not wait.
	Metadata *metadata.Cache
	// Dial connects to a broker at "host:port". The controller closes what it dialled.
	Dial func(addr string) (Conn, error)
	// Fatal is told when ZooKeeper refuses something for good, so that neither this broker nor another could go on. A
	// malformed znode is not fatal: the controller resigns, and tries again a second later. May be nil.
	Fatal func(error)
}

// Controller stands for election over each session it is started with, and is the controller while it holds
// /controller. Its methods may be called from any task.
type Controller struct {
	o            Options
	term         atomic.Pointer[term]
	epoch        atomic.Int32 // while this broker is the controller, else 0
	controllerID atomic.Int32
}

// New makes a controller that does not take part in anything before Start.
func New(o Options) *Controller {
	c := &Controller{o: o}
	c.controllerID.Store(noLeader)
	return c
}

// Start begins a term over a new session: it watches /controller and stands for election. The broker must be
// registered in the same session already, and the caller runs store.Run afterwards, which feeds the watches. Start
// and Stop alternate; they are called by one task.
//
//	for {
//		store := zookeeper.NewStore(e, session, …)
//		epoch, err := store.RegisterBroker(…)
//		c.Start(store)
//		state := store.Run() // until the session is over
//		c.Stop()
//		// StateExpired: open a new session and do it again
//	}
func (c *Controller) Start(store *zookeeper.Store) {
	t := newTerm(c, store)
	c.term.Store(t)
	store.Listen(t.watch)
	t.put("startup", t.controllerChanged)
	t.tasks.Go("controller", t.loop)
}

// Stop ends the term: senders are stopped, waiting requests are answered NOT_CONTROLLER, and everything known is
// dropped. It waits until the loop has ended, and therefore makes the store give up what it waits for ZooKeeper with.
// It does not touch /controller: that goes with the session.
func (c *Controller) Stop() {
	if t := c.term.Swap(nil); t != nil {
		t.end()
		if !c.o.Config.Bugs.Has(bug.ZKUnfenced) { // as it was before KAFKA-6082: what is under way is finished, in whichever session
			t.store.GiveUp()
			t.tasks.Wait()
		}
	}
	c.controllerID.Store(noLeader)
}

// Settle waits until every broker has answered what this one, as the controller, has told it so far, or until the deadline. A
// controller that stops right after it has moved its own leaderships away would else take with it what tells the others:
// clients would not find the new leaders before there is another controller.
//
// DEVIATION(KIP-380): Kafka's controller drops what waits in its queues when it shuts down.
func (c *Controller) Settle(deadline env.Instant) {
	for c.o.Env.Mono() < deadline {
		busy := ask(c, "settle", deadline, func(*machine) (bool, error) { return c.term.Load().busy(), nil }, func(int16) bool { return false })
		if !busy {
			return
		}
		c.o.Env.Sleep(settlePause)
	}
}

// settlePause is the time between two looks of Settle.
const settlePause = 2 * time.Millisecond

// Active reports whether this broker is the controller as far as it knows.
func (c *Controller) Active() bool { return c.epoch.Load() != 0 }

// Epoch is the controller epoch while Active, else 0.
func (c *Controller) Epoch() int32 { return c.epoch.Load() }

// ControllerID is the broker that holds /controller as far as this broker has seen, or -1.
func (c *Controller) ControllerID() int32 { return c.controllerID.Load() }

func (c *Controller) elected(epoch int32) {
	c.controllerID.Store(c.o.Config.BrokerID)
	c.epoch.Store(epoch)
}

func (c *Controller) resigned() { c.epoch.Store(0) }

// ask has the loop answer a request. refuse makes the answer with an error code: NOT_CONTROLLER if this broker is not the
// controller or is no more before it has decided, REQUEST_TIMED_OUT at the deadline, UNKNOWN_SERVER_ERROR for what is too large for ZooKeeper.
func ask[T any](c *Controller, name string, deadline env.Instant, decide func(*machine) (T, error), refuse func(code int16) T) T {
	t := c.term.Load()
	if t == nil || !c.Active() {
		markAskNotController.Hit()
		return refuse(kerr.NotController.Code)
	}
	answer := newFuture[T](c.o.Env)
	drop := func() { answer.complete(refuse(kerr.NotController.Code)) }
	put := t.events.Put(event{name: name, drop: drop, run: func() error {
		if t.machine == nil {
			drop()
			return nil
		}
		v, err := decide(t.machine)
		if errors.Is(err, zookeeper.ErrTooLarge) { // it was not written: what the machine knows still holds
			t.env.Emit(env.Event{Kind: evTrouble, Text: name + ": " + err.Error()})
			t.machine.flush()
			answer.complete(refuse(kerr.UnknownServerError.Code))
			return nil
		}
		if err != nil {
			drop()
			return err
		}
		answer.complete(v)
		return nil
	}})
	if !put {
		markAskNotController2.Hit()
		return refuse(kerr.NotController.Code)
	}
	if v, ok := answer.wait(deadline); ok {
		return v
	}
	return refuse(kerr.RequestTimedOut.Code)
}

// decisionDeadline bounds the wait for requests that bring no time-out of their own.
func (c *Controller) decisionDeadline() env.Instant {
	return c.o.Env.Mono().Add(c.o.Config.ControllerSocketTimeout)
}

// AlterPartition decides a leader's proposals for the ISRs of its partitions, v0 to v3 (KIP-497, KIP-841, KIP-903).
func (c *Controller) AlterPartition(req *kmsg.AlterPartitionRequest) *kmsg.AlterPartitionResponse {
	return ask(c, "alter partition", c.decisionDeadline(),
		func(m *machine) (*kmsg.AlterPartitionResponse, error) { return m.alterPartition(req) },
		func(code int16) *kmsg.AlterPartitionResponse {
			resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
			resp.ErrorCode = code
			return resp
		})
}

// ControlledShutdown moves the leaders away from a broker that is going down and takes it out of the ISRs, v0 to v3. It
// answers when that is written; the partitions that nobody else can lead are listed.
func (c *Controller) ControlledShutdown(req *kmsg.ControlledShutdownRequest) *kmsg.ControlledShutdownResponse {
	return ask(c, "controlled shutdown", c.decisionDeadline(),
		func(m *machine) (*kmsg.ControlledShutdownResponse, error) { return m.controlledShutdown(req) },
		func(code int16) *kmsg.ControlledShutdownResponse {
			resp := req.ResponseKind().(*kmsg.ControlledShutdownResponse)
			resp.ErrorCode = code
			return resp
		})
}

// AllocateProducerIDs hands a block of producer ids to a broker, v0 (KIP-730).
func (c *Controller) AllocateProducerIDs(req *kmsg.AllocateProducerIDsRequest) *kmsg.AllocateProducerIDsResponse {
	refuse := func(code int16) *kmsg.AllocateProducerIDsResponse {
		resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		resp.ErrorCode = code
		return resp
	}
	return ask(c, "allocate producer ids", c.decisionDeadline(), func(m *machine) (*kmsg.AllocateProducerIDsResponse, error) {
		if b, up := m.brokers[req.BrokerID]; !up {
			markAllocateProducerIdsBrokerIdNotRegistered.Hit()
			return refuse(kerr.BrokerIDNotRegistered.Code), nil
		} else if b.Epoch != req.BrokerEpoch {
			markAllocateProducerIdsStaleBrokerEpoch.Hit()
			return refuse(kerr.StaleBrokerEpoch.Code), nil
		}
		block, err := m.store.AllocateProducerIDs(m.fence, req.BrokerID)
		if err != nil {
			return nil, err
		}
		resp := refuse(0)
		resp.ProducerIDStart, resp.ProducerIDLen = block.First, int32(block.Last-block.First+1)
		return resp, nil
	}, refuse)
}

// TopicConfigChanged tells the controller, if this broker is it, that a topic has another configuration. It does not wait.
func (c *Controller) TopicConfigChanged(topic string) {
	if t := c.term.Load(); t != nil && c.Active() {
		t.put("topic configuration", func() error {
			if t.machine != nil {
				t.machine.topicConfigChanged(topic)
			}
			return nil
		})
	}
}

// UncleanAllowed tells the controller, if this broker is it, that unclean elections may be allowed by now: for one topic, or
// with "" for all. It does not wait.
//
// Source: KafkaController#enableTopicUncleanLeaderElection, #enableDefaultUncleanLeaderElection.
func (c *Controller) UncleanAllowed(topic string) {
	if t := c.term.Load(); t != nil && c.Active() {
		t.put("unclean election allowed", func() error {
			if t.machine == nil {
				return nil
			}
			return t.machine.uncleanAllowed(topic)
		})
	}
}
