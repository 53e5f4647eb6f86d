package group

// Description is a group as DescribeGroups tells of it.
type Description struct {
	State, ProtocolType, Protocol string
	Members                       []MemberDescription
}

// MemberDescription is one member.
type MemberDescription struct {
	MemberID             string
	InstanceID           *string
	ClientID, ClientHost string
	Metadata, Assignment []byte
}

// Describe tells of the group. What members said and own is told of a stable group alone. Source: GroupMetadata#summary.
func (g *Group) Describe() Description {
	d := Description{State: g.state.String(), ProtocolType: g.protocolType}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.members {
		md := MemberDescription{MemberID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost}
		if g.state == Stable {
			md.Metadata, md.Assignment = m.metadata(g.protocol), m.assignment
		}
		d.Members = append(d.Members, md)
	}
	return d
}
