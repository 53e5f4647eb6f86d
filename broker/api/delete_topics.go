package api

import (
	"slices"

	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopics v0-v6. v4 flexible; v5 error messages, THROTTLING_QUOTA_EXCEEDED (KIP-599); v6 topic ids (KIP-516).
// Only the controller does it; others answer NOT_CONTROLLER for each topic. The connection waits until the topics are gone
// from this broker's metadata, up to the request's time-out. With delete.topic.enable=false nothing is deleted.
//
// Source: KafkaApis#handleDeleteTopicsRequest.
var deleteTopicsRoute = on(kmsg.DeleteTopics, (*API).deleteTopics)

func (a *API) deleteTopics(r *server.Request, req *kmsg.DeleteTopicsRequest) server.Reply {
	switch {
	case !a.Controller.Active():
		return server.Now(refuseDeletion(req, kerr.NotController))
	case !a.Config.DeleteTopicEnable && req.Version < 3:
		return server.Now(refuseDeletion(req, kerr.InvalidRequest)) // TOPIC_DELETION_DISABLED is younger
	case !a.Config.DeleteTopicEnable:
		return server.Now(refuseDeletion(req, kerr.TopicDeletionDisabled))
	case slices.ContainsFunc(req.Topics, func(t kmsg.DeleteTopicsRequestTopic) bool { return t.Topic != nil && t.TopicID != [16]byte{} }):
		return server.Now(refuseDeletion(req, kerr.InvalidRequest)) // the whole of it: one of the two may be wrong
	}
	bound := a.mutations(r, req.Version >= 5)
	resp := a.Controller.DeleteTopics(req, bound.Take)
	resp.SetVersion(req.Version)
	return heldBack(resp, bound)
}

func refuseDeletion(req *kmsg.DeleteTopicsRequest, why *kerr.Error) *kmsg.DeleteTopicsResponse {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	refuse := func(name *string, id [16]byte) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = name, id, why.Code, text(why)
		resp.Topics = append(resp.Topics, t)
	}
	for i := range req.TopicNames {
		refuse(&req.TopicNames[i], [16]byte{})
	}
	for i := range req.Topics {
		refuse(req.Topics[i].Topic, req.Topics[i].TopicID)
	}
	return resp
}
