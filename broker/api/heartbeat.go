package api

import (
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Heartbeat v0-v4. v3 static members (KIP-345); v4 flexible.
//
// Source: KafkaApis#handleHeartbeatRequest.
var heartbeatRoute = on(kmsg.Heartbeat, (*API).heartbeat)

func (a *API) heartbeat(_ *server.Request, req *kmsg.HeartbeatRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	resp.ErrorCode = codeOf(a.Groups.Heartbeat(req.Group, req.MemberID, req.InstanceID, req.Generation))
	return server.Now(resp)
}
