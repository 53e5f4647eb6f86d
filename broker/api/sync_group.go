package api

import (
	"slices"

	"barnabas/broker/group"
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SyncGroup v0-v5. v3 static members (KIP-345); v4 flexible; v5 protocol type and name, which must be there (KIP-559).
// Waits: for the leader's assignment and its replication, or an error.
//
// Source: KafkaApis#handleSyncGroupRequest.
var syncGroupRoute = on(kmsg.SyncGroup, (*API).syncGroup)

func (a *API) syncGroup(_ *server.Request, req *kmsg.SyncGroupRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		resp.ErrorCode = kerr.InconsistentGroupProtocol.Code
		return server.Now(resp)
	}
	in := group.SyncRequest{MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
		ProtocolType: req.ProtocolType, Protocol: req.Protocol, Assignments: map[string][]byte{}}
	for i := range req.GroupAssignment {
		in.Assignments[req.GroupAssignment[i].MemberID] = slices.Clone(req.GroupAssignment[i].MemberAssignment)
	}
	promise := a.Groups.Sync(req.Group, in)
	return server.When(promise, func(bool) server.Answer {
		result := promise.Value()
		resp.ErrorCode, resp.MemberAssignment = codeOf(result.Err), result.Assignment
		resp.ProtocolType, resp.Protocol = nullable(result.ProtocolType), nullable(result.Protocol)
		return server.Answer{Message: resp}
	})
}
