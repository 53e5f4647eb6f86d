package api

import (
	"math"

	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeGroups v0-v5. v3 authorized operations (KIP-430); v4 static members (KIP-345); v5 flexible.
// A group that does not exist is told to be Dead.
//
// Source: KafkaApis#handleDescribeGroupsRequest.
var describeGroupsRoute = on(kmsg.DescribeGroups, (*API).describeGroups)

// operationsOfGroups are READ, DELETE and DESCRIBE, what anybody may do with a group where nobody is forbidden anything
// (AclEntry.supportedOperations; a bit each, by AclOperation's code).
const operationsOfGroups = 1<<3 | 1<<6 | 1<<8

func (a *API) describeGroups(_ *server.Request, req *kmsg.DescribeGroupsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, id := range req.Groups {
		d, err := a.Groups.Describe(id)
		out := kmsg.NewDescribeGroupsResponseGroup()
		out.ErrorCode, out.Group, out.State = codeOf(err), id, d.State
		out.ProtocolType, out.Protocol, out.AuthorizedOperations = d.ProtocolType, d.Protocol, math.MinInt32
		if req.IncludeAuthorizedOperations && err == nil {
			out.AuthorizedOperations = operationsOfGroups
		}
		for _, m := range d.Members {
			om := kmsg.NewDescribeGroupsResponseGroupMember()
			om.MemberID, om.InstanceID, om.ClientID, om.ClientHost = m.MemberID, m.InstanceID, m.ClientID, m.ClientHost
			om.ProtocolMetadata, om.MemberAssignment = m.Metadata, m.Assignment
			out.Members = append(out.Members, om)
		}
		resp.Groups = append(resp.Groups, out)
	}
	return server.Now(resp)
}
