package api

import (
	"barnabas/broker/controller"
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What administrators ask of the controller about partitions. Each waits for the decision; another broker answers
// NOT_CONTROLLER, and the client then asks the right one.

// CreatePartitions v0-v3. v2 flexible; v3 THROTTLING_QUOTA_EXCEEDED (KIP-599).
//
// Source: KafkaApis#handleCreatePartitionsRequest.
var createPartitionsRoute = on(kmsg.CreatePartitions, (*API).createPartitions)

func (a *API) createPartitions(r *server.Request, req *kmsg.CreatePartitionsRequest) server.Reply {
	bound := a.mutations(r, req.Version >= 3)
	resp := a.Controller.CreatePartitions(req, bound.Take)
	resp.SetVersion(req.Version)
	return heldBack(resp, bound)
}

// AlterPartitionReassignments v0 (KIP-455). Null replicas cancel.
//
// Source: KafkaApis#handleAlterPartitionReassignmentsRequest.
var alterReassignmentsRoute = on(kmsg.AlterPartitionAssignments, (*API).alterReassignments)

func (a *API) alterReassignments(_ *server.Request, req *kmsg.AlterPartitionAssignmentsRequest) server.Reply {
	resp := a.Controller.AlterPartitionReassignments(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}

// ListPartitionReassignments v0 (KIP-455). Null topics are all.
//
// Source: KafkaApis#handleListPartitionReassignmentsRequest.
var listReassignmentsRoute = on(kmsg.ListPartitionReassignments, (*API).listReassignments)

func (a *API) listReassignments(_ *server.Request, req *kmsg.ListPartitionReassignmentsRequest) server.Reply {
	resp := a.Controller.ListPartitionReassignments(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}

// ElectLeaders v0-v2. v0 preferred only (KIP-183); v1 unclean too (KIP-460); v2 flexible.
//
// Source: KafkaApis#handleElectLeaders.
var electLeadersRoute = on(kmsg.ElectLeaders, (*API).electLeaders)

func (a *API) electLeaders(_ *server.Request, req *kmsg.ElectLeadersRequest) server.Reply {
	if req.ElectionType != controller.ElectionPreferred && req.ElectionType != controller.ElectionUnclean {
		return server.Now(refuseElection(req, kerr.UnknownServerError)) // at any broker: there is no word for it in ElectionType#valueOf
	}
	resp := a.Controller.ElectLeaders(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}

// refuseElection fails a request as a whole (ElectLeadersRequest#getErrorResponse).
func refuseElection(req *kmsg.ElectLeadersRequest, why *kerr.Error) *kmsg.ElectLeadersResponse {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.ErrorCode = why.Code
	for _, t := range req.Topics {
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = t.Topic
		for _, n := range t.Partitions {
			rp := kmsg.NewElectLeadersResponseTopicPartition()
			rp.Partition, rp.ErrorCode = n, why.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// UpdateFeatures v0-v1 (KIP-584). v1 kinds of update, validation only (KIP-778).
//
// Source: KafkaApis#handleUpdateFeatures.
var updateFeaturesRoute = on(kmsg.UpdateFeatures, (*API).updateFeatures)

func (a *API) updateFeatures(_ *server.Request, req *kmsg.UpdateFeaturesRequest) server.Reply {
	resp := a.Controller.UpdateFeatures(req)
	resp.SetVersion(req.Version)
	return server.Now(resp)
}
