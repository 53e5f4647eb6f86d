package api

import (
	"slices"
	"strings"

	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListGroups v0-v5. v3 flexible; v4 filter by states (KIP-518); v5 filter by types (KIP-848): all of ours are "classic".
// Lists the groups that this broker coordinates; while some are being loaded, with COORDINATOR_LOAD_IN_PROGRESS.
//
// Source: KafkaApis#handleListGroupsRequest, GroupCoordinator#handleListGroups.
var listGroupsRoute = on(kmsg.ListGroups, (*API).listGroups)

const classic = "classic"

func (a *API) listGroups(_ *server.Request, req *kmsg.ListGroupsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	list, loading := a.Groups.List()
	if loading {
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
	}
	wanted := func(filter []string, value string) bool {
		return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
	}
	for _, g := range list {
		if !wanted(req.StatesFilter, g.State) || !wanted(req.TypesFilter, classic) {
			continue
		}
		out := kmsg.NewListGroupsResponseGroup()
		out.Group, out.ProtocolType, out.GroupState, out.GroupType = g.Group, g.ProtocolType, g.State, classic
		resp.Groups = append(resp.Groups, out)
	}
	return server.Now(resp)
}
