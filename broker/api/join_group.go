package api

import (
	"slices"
	"strings"

	"barnabas/broker/group"
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup v0-v9. v1 rebalance time-out (KIP-62); v4 member id required (KIP-394); v5 static members (KIP-345); v6 flexible; v7 protocol
// type (KIP-559); v8 reason (KIP-800); v9 skip assignment (KIP-814).
// Waits: for the next generation of the group, or an error.
//
// Source: KafkaApis#handleJoinGroupRequest.
var joinGroupRoute = on(kmsg.JoinGroup, (*API).joinGroup)

func (a *API) joinGroup(r *server.Request, req *kmsg.JoinGroupRequest) server.Reply {
	in := group.JoinRequest{MemberID: req.MemberID, InstanceID: req.InstanceID, ClientID: r.Header.ClientID, ClientHost: clientHost(r.Peer),
		Session: millis(req.SessionTimeoutMillis), Rebalance: millis(req.RebalanceTimeoutMillis), ProtocolType: req.ProtocolType,
		RequireKnownID: req.Version >= 4 && req.InstanceID == nil, SkipAssignment: req.Version >= 9}
	if req.Version == 0 {
		in.Rebalance = in.Session
	}
	for i := range req.Protocols {
		// The request's bytes are the connection's: the group keeps a copy.
		in.Protocols = append(in.Protocols, group.Protocol{Name: req.Protocols[i].Name, Metadata: slices.Clone(req.Protocols[i].Metadata)})
	}
	promise := a.Groups.Join(req.Group, in)
	return server.When(promise, func(bool) server.Answer {
		return server.Answer{Message: joined(req, promise.Value())}
	})
}

func joined(req *kmsg.JoinGroupRequest, result group.JoinResult) *kmsg.JoinGroupResponse {
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	resp.ErrorCode, resp.Generation, resp.MemberID = codeOf(result.Err), result.Generation, result.MemberID
	resp.LeaderID, resp.SkipAssignment = result.Leader, result.SkipAssignment
	resp.ProtocolType, resp.Protocol = nullable(result.ProtocolType), nullable(result.Protocol)
	if resp.Protocol == nil && req.Version < 7 {
		resp.Protocol = new(string)
	}
	for _, m := range result.Members {
		out := kmsg.NewJoinGroupResponseMember()
		out.MemberID, out.InstanceID, out.ProtocolMetadata = m.MemberID, m.InstanceID, m.Metadata
		resp.Members = append(resp.Members, out)
	}
	return resp
}

// nullable is text, null where it is empty.
func nullable(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// clientHost is a peer in the form that Kafka writes down: "/10.0.0.1" (InetAddress#toString).
func clientHost(peer string) string {
	if i := strings.LastIndexByte(peer, ':'); i >= 0 {
		peer = peer[:i]
	}
	return "/" + strings.Trim(peer, "[]")
}
