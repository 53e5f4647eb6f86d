package group

import (
	"testing"
	"time"
)

// Goal: a static member that comes back is told of under its old self's client id and host (KIP-345, GroupMetadata#replaceStaticMember). Method: two joins of one
// instance from different clients.
func TestStaticMemberKeepsItsClient(t *testing.T) {
	g := New("g", Limits{SizeMax: 10}, Now{})
	instance := "one"
	for _, client := range []string{"old", "new"} {
		g.Join(Now{}, JoinRequest{InstanceID: &instance, NewID: "id-" + client, ClientID: client, ClientHost: "/" + client, Session: time.Second, Rebalance: time.Second,
			ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}}}, func(JoinResult) {})
	}
	if m := g.members[0]; len(g.members) != 1 || m.id != "id-new" || m.clientID != "old" || m.clientHost != "/old" {
		t.Errorf("%+v", g.members)
	}
}
