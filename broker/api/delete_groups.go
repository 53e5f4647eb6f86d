package api

import (
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteGroups v0-v2 (KIP-229). v2 flexible. Only groups without members can be deleted. A group that is named twice is answered once.
//
// Source: KafkaApis#handleDeleteGroupsRequest.
var deleteGroupsRoute = on(kmsg.DeleteGroups, (*API).deleteGroups)

func (a *API) deleteGroups(_ *server.Request, req *kmsg.DeleteGroupsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	named := map[string]bool{}
	for _, id := range req.Groups {
		if named[id] {
			continue
		}
		named[id] = true
		out := kmsg.NewDeleteGroupsResponseGroup()
		out.Group, out.ErrorCode = id, codeOf(a.Groups.Delete(id))
		resp.Groups = append(resp.Groups, out)
	}
	return server.Now(resp)
}
