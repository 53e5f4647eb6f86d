package controller

import (
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/metadata"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is a connection to a broker, as the senders need it; *client.Conn is one.
type Conn interface {
	// Do sends the request in the version it is set to and waits for its answer.
	Do(req kmsg.Request, timeout time.Duration) (kmsg.Response, error)
	Close() error
}

// Options is what a Controller is made of. All fields are required but BrokerEpoch, without which no request of this
// broker to itself could be told from one of an earlier life, and Metadata, without which CreateTopics does not wait.
type Options struct {
	Env      env.Env
	Config   *config.Broker
	Metadata *metadata.Cache // of this broker: CreateTopics and DeleteTopics wait until it shows what they did
	// Dial connects to a broker at "host:port". The controller closes what it dialled.
	Dial func(addr string) (Conn, error)
	// Fatal is told of an error the controller cannot go on after, such as a malformed znode. May be nil.
	Fatal func(error)
}

// Controller stands for election over each session it is started with, and is the controller while it holds
// /controller. Its methods may be called from any task.
type Controller struct{}

// New makes a controller that does not take part in anything before Start.
func New(o Options) *Controller { panic("unfinished") }

// Start begins a term over a new session: it watches /controller and stands for election. The broker must be registered
// in the same session already, and the caller runs store.Run afterwards, which feeds the watches. Start and Stop
// alternate; they are called by one task.
//
//	for {
//		store := zookeeper.NewStore(e, session, …)
//		epoch, err := store.RegisterBroker(…)
//		c.Start(store)
//		state := store.Run() // until the session is over
//		c.Stop()
//		// StateExpired: open a new session and do it again
//	}
func (c *Controller) Start(store *zookeeper.Store) { panic("unfinished") }

// Stop ends the term: senders are stopped, waiting requests are answered NOT_CONTROLLER, and everything known is dropped. It waits
// until the controller's tasks have ended.
func (c *Controller) Stop() { panic("unfinished") }

// Active reports whether this broker is the controller as far as it knows.
func (c *Controller) Active() bool { panic("unfinished") }

// Epoch is the controller epoch while Active, else 0.
func (c *Controller) Epoch() int32 { panic("unfinished") }

// ControllerID is the broker that holds /controller as far as this broker has seen, or -1.
func (c *Controller) ControllerID() int32 { panic("unfinished") }

// AlterPartition decides a leader's proposal for the ISRs of its partitions, v0 to v3 (KIP-497, KIP-841, KIP-903).
func (c *Controller) AlterPartition(req *kmsg.AlterPartitionRequest) *kmsg.AlterPartitionResponse {
	panic("unfinished")
}

// ControlledShutdown moves the leaders away from a broker that is going down and takes it out of the ISRs, v0 to v3.
func (c *Controller) ControlledShutdown(req *kmsg.ControlledShutdownRequest) *kmsg.ControlledShutdownResponse {
	panic("unfinished")
}

// AllocateProducerIDs hands a block of producer ids to a broker, v0 (KIP-730).
func (c *Controller) AllocateProducerIDs(req *kmsg.AllocateProducerIDsRequest) *kmsg.AllocateProducerIDsResponse {
	panic("unfinished")
}

// CreateTopics validates and creates topics, v0 to v7, and waits up to the request's time-out until this broker knows their
// leaders; REQUEST_TIMED_OUT for a topic that was created but has no leaders by then.
func (c *Controller) CreateTopics(req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	panic("unfinished")
}

// DeleteTopics marks topics for deletion, v0 to v6, and waits up to the request's time-out until this broker no longer knows them.
func (c *Controller) DeleteTopics(req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
	panic("unfinished")
}
