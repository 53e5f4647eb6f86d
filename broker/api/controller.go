package api

import (
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What brokers ask of the controller. Each waits for the controller's decision, which answers NOT_CONTROLLER if this broker is
// not the controller; the sender then finds out who is.

// AlterPartition v0-v3 (KIP-497). v1 leader recovery state; v2 topic ids (KIP-841); v3 broker epochs (KIP-903).
//
// Source: KafkaApis#handleAlterPartitionRequest.
var alterPartitionRoute = on(kmsg.AlterPartition, (*API).alterPartition)

func (a *API) alterPartition(_ *server.Request, req *kmsg.AlterPartitionRequest) server.Reply {
	resp := a.Controller.AlterPartition(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}

// ControlledShutdown v0-v3. v2 broker epoch (KIP-380); v3 flexible.
//
// Source: KafkaApis#handleControlledShutdownRequest.
var controlledShutdownRoute = on(kmsg.ControlledShutdown, (*API).controlledShutdown)

func (a *API) controlledShutdown(_ *server.Request, req *kmsg.ControlledShutdownRequest) server.Reply {
	resp := a.Controller.ControlledShutdown(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}

// AllocateProducerIds v0 (KIP-730).
//
// Source: KafkaApis#handleAllocateProducerIdsRequest.
var allocateProducerIDsRoute = on(kmsg.AllocateProducerIDs, (*API).allocateProducerIDs)

func (a *API) allocateProducerIDs(_ *server.Request, req *kmsg.AllocateProducerIDsRequest) server.Reply {
	resp := a.Controller.AllocateProducerIDs(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}
