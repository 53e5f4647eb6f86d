package api

import (
	"barnabas/broker/group"
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// LeaveGroup v0-v5. v3 many members, static ones by their instance (KIP-345); v4 flexible; v5 reason (KIP-800).
//
// Source: KafkaApis#handleLeaveGroupRequest, LeaveGroupResponse.
var leaveGroupRoute = on(kmsg.LeaveGroup, (*API).leaveGroup)

func (a *API) leaveGroup(_ *server.Request, req *kmsg.LeaveGroupRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	leavers := []group.Leaver{{MemberID: req.MemberID}}
	if req.Version >= 3 {
		leavers = nil
		for i := range req.Members {
			leavers = append(leavers, group.Leaver{MemberID: req.Members[i].MemberID, Instance: req.Members[i].InstanceID})
		}
	}
	answers, err := a.Groups.Leave(req.Group, leavers)
	resp.ErrorCode = codeOf(err)
	for i, l := range leavers {
		if err != nil {
			break
		}
		if req.Version < 3 {
			resp.ErrorCode = codeOf(answers[i])
			break
		}
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID, m.ErrorCode = l.MemberID, l.Instance, codeOf(answers[i])
		resp.Members = append(resp.Members, m)
	}
	return server.Now(resp)
}
