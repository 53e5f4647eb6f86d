package api

import (
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
// created if it does not exist; until the partition has a leader the answer is COORDINATOR_NOT_AVAILABLE.
//
// Source: KafkaApis#handleFindCoordinatorRequest, #getCoordinator.
var findCoordinatorRoute = on(kmsg.FindCoordinator, (*API).findCoordinator)

// Kinds of coordinators.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
)

func (a *API) findCoordinator(_ *server.Request, req *kmsg.FindCoordinatorRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	if req.Version < 4 {
		b, err := a.coordinator(req.CoordinatorType, req.CoordinatorKey)
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = wire.Code(asError(err)), b.id, b.host, b.port
		if err != nil {
			resp.ErrorMessage = &err.Description
		}
		return server.Now(resp)
	}
	for _, key := range req.CoordinatorKeys {
		b, err := a.coordinator(req.CoordinatorType, key)
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

// coordinator is who coordinates a key.
func (a *API) coordinator(kind int8, key string) (address, *kerr.Error) {
	var tp wire.TopicPartition
	switch kind {
	case coordinatorOfGroup:
		tp = wire.TopicPartition{Topic: group.Topic, Partition: a.Groups.PartitionFor(key)}
	case coordinatorOfTransaction:
		tp = wire.TopicPartition{Topic: txn.Topic, Partition: a.Txns.PartitionFor(key)}
	default:
		return nowhere, kerr.InvalidRequest
	}
	snapshot := a.Metadata.Snapshot()
	if snapshot.Topic(tp.Topic) == nil {
		a.creations.create([]string{tp.Topic})
		return nowhere, kerr.CoordinatorNotAvailable
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
