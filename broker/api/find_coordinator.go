package api

import (
	"time"

	"barnabas/broker/env"
	"barnabas/broker/group"
	"barnabas/broker/metadata"
	"barnabas/broker/server"
	"barnabas/broker/txn"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator v0-v6. v1 transactional ids (KIP-98); v3 flexible; v4 many keys (KIP-699); v5 error codes (KIP-890); v6 share groups
// (KIP-932), which ZooKeeper mode does not have.
// A group's coordinator leads its partition of __consumer_offsets, a transactional id's its partition of __transaction_state. The topic is
// created if it does not exist; while the partition has no leader the answer is COORDINATOR_NOT_AVAILABLE.
// Waits: a moment for that leader.
//
// Source: KafkaApis#handleFindCoordinatorRequest, #getCoordinator.
var findCoordinatorRoute = on(kmsg.FindCoordinator, (*API).findCoordinator)

// Kinds of coordinators.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
	coordinatorOfShare       = 2
)

// coordinatorPatience bounds how long who looks for a coordinator waits for one.
//
// DEVIATION(KIP-98): Kafka answers COORDINATOR_NOT_AVAILABLE at once. Every client meets that when the topic is made and, where the controller
// dies with other leaders, between its successor's first word and the elections; some of them give up on it (franz-go fails all records of a
// transaction that a partition is about to be added to).
const coordinatorPatience = 2 * time.Second

func (a *API) findCoordinator(r *server.Request, req *kmsg.FindCoordinatorRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	deadline := a.Env.Mono().Add(coordinatorPatience)
	if req.Version < 4 {
		b, err := a.awaitCoordinator(r, req.CoordinatorType, req.CoordinatorKey, deadline)
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = wire.Code(asError(err)), b.id, b.host, b.port
		if err != nil {
			resp.ErrorMessage = &err.Description
		}
		return server.Now(resp)
	}
	for _, key := range req.CoordinatorKeys {
		b, err := nowhere, kerr.CoordinatorNotAvailable
		if req.CoordinatorType != coordinatorOfShare || req.Version < 6 { // of share groups there never will be one
			b, err = a.awaitCoordinator(r, req.CoordinatorType, key, deadline)
		}
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.ErrorCode, c.NodeID, c.Host, c.Port = key, wire.Code(asError(err)), b.id, b.host, b.port
		if err != nil {
			c.ErrorMessage = &err.Description
		}
		resp.Coordinators = append(resp.Coordinators, c)
	}
	return server.Now(resp)
}

// address is where a broker is.
type address struct {
	id   int32
	host string
	port int32
}

var nowhere = address{id: -1, port: -1}

// awaitCoordinator is who coordinates a key, or will by the deadline.
func (a *API) awaitCoordinator(r *server.Request, kind int8, key string, deadline env.Instant) (b address, err *kerr.Error) {
	topic := group.Topic
	switch kind {
	case coordinatorOfGroup:
	case coordinatorOfTransaction:
		topic = txn.Topic
	default:
		return nowhere, kerr.InvalidRequest
	}
	if a.Metadata.Snapshot().Topic(topic) == nil {
		a.creations.create([]string{topic}, a.mutations(r, false))
	}
	a.Metadata.WaitUntil(deadline, func(s *metadata.Snapshot) bool {
		b, err = a.coordinator(s, topic, key)
		return err == nil
	})
	return b, err
}

// coordinator is who coordinates a key.
func (a *API) coordinator(snapshot *metadata.Snapshot, topic, key string) (address, *kerr.Error) {
	tp := wire.TopicPartition{Topic: topic, Partition: a.Groups.PartitionFor(key)}
	if topic == txn.Topic {
		tp.Partition = a.Txns.PartitionFor(key)
	}
	p := snapshot.Partition(tp)
	if p == nil || p.Leader == metadata.NoLeader {
		return nowhere, kerr.CoordinatorNotAvailable
	}
	b := snapshot.Broker(p.Leader)
	if b == nil || b.Endpoint(a.Listener) == nil {
		return nowhere, kerr.CoordinatorNotAvailable
	}
	ep := b.Endpoint(a.Listener)
	return address{id: b.ID, host: ep.Host, port: ep.Port}, nil
}

// asError makes an error of a code that may be none: a nil *kerr.Error in an error is not a nil error.
func asError(err *kerr.Error) error {
	if err == nil {
		return nil
	}
	return err
}

// codeOf is the error code of an answer of the group coordinator.
func codeOf(err *kerr.Error) int16 { return wire.Code(asError(err)) }
