package api

import (
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopics v0-v7. v1 validate only, error messages; v4 defaults by -1 (KIP-464); v5 what was created (KIP-525),
// flexible; v6 THROTTLING_QUOTA_EXCEEDED (KIP-599); v7 topic ids.
// Only the controller does it; others answer NOT_CONTROLLER for each topic. The connection waits for the outcome, up to the
// request's time-out.
//
// Source: KafkaApis#handleCreateTopicsRequest.
var createTopicsRoute = on(kmsg.CreateTopics, (*API).createTopics)

func (a *API) createTopics(r *server.Request, req *kmsg.CreateTopicsRequest) server.Reply {
	if a.Controller.Active() {
		bound := a.mutations(r, req.Version >= 6)
		resp := a.Controller.CreateTopics(req, bound.Take)
		resp.SetVersion(req.Version)
		return heldBack(resp, bound)
	}
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	for i := range req.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = req.Topics[i].Topic, kerr.NotController.Code, text(kerr.NotController)
		t.NumPartitions, t.ReplicationFactor = -1, -1
		resp.Topics = append(resp.Topics, t)
	}
	return server.Now(resp)
}
