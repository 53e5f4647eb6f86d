package group

import (
	"slices"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/coordinator"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// State is where a group is in its cycle (GroupState).
type State uint8

const (
	// Empty has no members; it may have offsets.
	Empty State = iota
	// PreparingRebalance waits for every member to join again.
	PreparingRebalance
	// CompletingRebalance waits for the leader's assignment, and for its being written.
	CompletingRebalance
	// Stable has members that know their assignments.
	Stable
	// Dead is being removed: whoever still holds it must look again.
	Dead
)

func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// Now is the time as a group is told it.
type Now = coordinator.Now

// Limits are what the configuration says of groups.
type Limits struct {
	SizeMax      int           // group.max.size
	InitialDelay time.Duration // group.initial.rebalance.delay.ms
}

// newMemberJoinTimeout is how long a new member that waits for its first generation may wait: it does not know its id, so
// it cannot send heartbeats, and may be gone long since (GroupCoordinator.NewMemberJoinTimeoutMs).
const newMemberJoinTimeout = 5 * time.Minute

// consumerProtocol is the protocol type of consumers; what members of other types say is not understood.
const consumerProtocol = "consumer"

// Group is one group. It is not safe for use by several tasks. Members stand in the order in which they joined, so that every
// choice among them is the same in every run.
type Group struct {
	ID     string
	limits Limits

	state      State
	stateSince int64 // ms since 1970; -1 where it is not known
	generation int32
	inherited  bool // it was loaded, and has not begun a generation since
	// protocolType is what kind of group it is, protocol the assignor of the present generation; "" for none.
	protocolType, protocol string
	leader                 string // member id; "" for none
	members                []*member
	static                 map[string]string // instance id → member id
	pending                []pendingMember
	subscribed             []string // topics, sorted, of a consumer group whose members could be understood
	knowsSubscribed        bool

	joinBy      env.Instant   // PreparingRebalance ends
	initialLeft time.Duration // how much the first rebalance may still be put off
	initial     bool          // the rebalance is an empty group's first
	newcomers   bool          // members joined since the delay was last set
	syncBy      env.Instant   // members that have not synced are removed

	offsets offsets
	writes  []Write
	written *kmsg.GroupMetadataValue // last, or about to be; nil for never
	next    env.Instant              // nothing is due before: a lower bound
	armed   env.Instant              // when the coordinator will call Tick at the latest; its own
}

// Protocol is an assignor that a member knows, and what it says to it.
type Protocol struct {
	Name     string
	Metadata []byte
}

type member struct {
	id, clientID, clientHost string
	instance                 *string
	session, rebalance       time.Duration
	protocols                []Protocol // in order of preference
	assignment               []byte

	join        func(JoinResult) // waits for the generation; nil if it does not
	sync        func(SyncResult) // waits for its assignment
	isNew       bool             // has not had a generation yet
	pendingSync bool             // has not synced in this generation
	deadline    env.Instant      // of its session
}

// pendingMember was given an id and told to come again with it (KIP-394).
type pendingMember struct {
	id       string
	deadline env.Instant
}

// Write is a group's state to be appended to __consumer_offsets.
type Write struct {
	Value *kmsg.GroupMetadataValue
	// Done is told how it ended: nil, or the error that clients are told.
	Done func(Now, *kerr.Error)
}

// New makes an empty group.
func New(id string, limits Limits, now Now) *Group {
	return &Group{ID: id, limits: limits, stateSince: now.Wall, static: map[string]string{}, joinBy: env.Never, syncBy: env.Never,
		next: env.Never, armed: env.Never, offsets: newOffsets()}
}

// State, Generation and Size describe the group.
func (g *Group) State() State      { return g.state }
func (g *Group) Generation() int32 { return g.generation }
func (g *Group) Size() int         { return len(g.members) }

// TakeWrites takes what is to be written.
func (g *Group) TakeWrites() []Write {
	w := g.writes
	g.writes = nil
	return w
}

// Deadline is when Tick must be called next, at the latest.
func (g *Group) Deadline() env.Instant { return g.next }

func (g *Group) due(at env.Instant) { g.next = min(g.next, at) }

var validPrevious = map[State][]State{
	Empty:               {PreparingRebalance},
	PreparingRebalance:  {Stable, CompletingRebalance, Empty},
	CompletingRebalance: {PreparingRebalance},
	Stable:              {CompletingRebalance},
	Dead:                {Stable, PreparingRebalance, CompletingRebalance, Empty, Dead},
}

func (g *Group) become(s State, now Now) {
	assert.That(slices.Contains(validPrevious[s], g.state), "INV-GROUP-STATE: group %s goes from %s to %s", g.ID, g.state, s)
	assert.That(s != Empty || len(g.members) == 0, "INV-GROUP-STATE: group %s is empty with %d members", g.ID, len(g.members))
	g.state, g.stateSince = s, now.Wall
}

func (g *Group) member(id string) *member {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (g *Group) isPending(id string) bool {
	return slices.ContainsFunc(g.pending, func(p pendingMember) bool { return p.id == id })
}

// validate checks that who says it is a member is one: the instance, if it names one, must be mapped to the member.
//
// Errors: FENCED_INSTANCE_ID, UNKNOWN_MEMBER_ID. Source: GroupCoordinator#validateCurrentMember.
func (g *Group) validate(memberID string, instance *string) *kerr.Error {
	if instance != nil {
		switch current, ok := g.static[*instance]; {
		case !ok:
			return kerr.UnknownMemberID
		case current != memberID:
			return kerr.FencedInstanceID
		}
	}
	if g.member(memberID) == nil {
		return kerr.UnknownMemberID
	}
	return nil
}

func (g *Group) add(m *member) {
	assert.That(g.member(m.id) == nil, "INV-GROUP-MEMBER: %s joins group %s twice", m.id, g.ID)
	if m.instance != nil {
		_, taken := g.static[*m.instance]
		assert.That(!taken, "INV-GROUP-MEMBER: instance %s of group %s is taken", *m.instance, g.ID)
		g.static[*m.instance] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members = append(g.members, m)
	g.dropPending(m.id)
}

// remove takes a member, or a pending one, out; whoever waits in its name is not answered.
func (g *Group) remove(id string) {
	g.members = slices.DeleteFunc(g.members, func(m *member) bool {
		if m.id == id && m.instance != nil && g.static[*m.instance] == id {
			delete(g.static, *m.instance)
		}
		return m.id == id
	})
	if g.leader == id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
	g.dropPending(id)
}

func (g *Group) dropPending(id string) {
	g.pending = slices.DeleteFunc(g.pending, func(p pendingMember) bool { return p.id == id })
}

// beat lets the member's session begin anew.
func (g *Group) beat(m *member, now Now) { g.beatFor(m, m.session, now) }

func (g *Group) beatFor(m *member, d time.Duration, now Now) {
	m.deadline = now.Mono.Add(d)
	g.due(m.deadline)
}

// rebalanceTimeout is the longest that a member asks for.
func (g *Group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.members {
		longest = max(longest, m.rebalance)
	}
	return longest
}

// metadata is what the member says to the assignor, nil where it does not know it.
func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

func (m *member) answerJoin(r JoinResult) {
	if answer := m.join; answer != nil {
		m.join = nil
		answer(r)
	}
}

// answerSync answers the member's SyncGroup, and reports whether one was waiting.
func (m *member) answerSync(r SyncResult) bool {
	answer := m.sync
	if answer == nil {
		return false
	}
	m.sync = nil
	answer(r)
	return true
}

// supports reports whether every member knows one of the protocols. Source: GroupMetadata#supportsProtocols.
func (g *Group) supports(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	return g.protocolType == protocolType && slices.ContainsFunc(protocols, func(p Protocol) bool { return g.everybodyKnows(p.Name) })
}

func (g *Group) everybodyKnows(protocol string) bool {
	for _, m := range g.members {
		if !slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol }) {
			return false
		}
	}
	return true
}

// selectProtocol lets every member vote for the first of its protocols that everybody knows; of those with most votes, the one
// voted for first wins. Source: GroupMetadata#selectProtocol, where a tie is decided by the order of a hash table.
func (g *Group) selectProtocol() string {
	type votes struct {
		protocol string
		n        int
	}
	var count []votes
	for _, m := range g.members {
		for _, p := range m.protocols {
			if !g.everybodyKnows(p.Name) {
				continue
			}
			i := slices.IndexFunc(count, func(v votes) bool { return v.protocol == p.Name })
			if i < 0 {
				i, count = len(count), append(count, votes{protocol: p.Name})
			}
			count[i].n++
			break
		}
	}
	assert.That(len(count) > 0, "INV-GROUP-PROTOCOL: group %s has no common protocol", g.ID)
	best := count[0]
	for _, v := range count {
		if v.n > best.n {
			best = v
		}
	}
	return best.protocol
}

// computeSubscribed finds the topics that the members of a consumer group read, if they say it in a form we know.
// Source: GroupMetadata#computeSubscribedTopics.
func (g *Group) computeSubscribed() {
	g.subscribed, g.knowsSubscribed = nil, g.protocolType == consumerProtocol
	if !g.knowsSubscribed {
		return
	}
	for _, m := range g.members {
		topics, ok := subscription(m.metadata(g.protocol))
		if !ok {
			g.subscribed, g.knowsSubscribed = nil, false
			return
		}
		g.subscribed = append(g.subscribed, topics...)
	}
	slices.Sort(g.subscribed)
	g.subscribed = slices.Compact(g.subscribed)
}

// subscription is the topics that a member of a consumer group says it reads. Version 0 is what every version begins with, and all that is looked
// at: some clients claim a later one, and send no more than that.
func subscription(metadata []byte) (topics []string, ok bool) {
	if len(metadata) < 2 {
		return nil, false
	}
	prefix := slices.Clone(metadata)
	prefix[0], prefix[1] = 0, 0
	var said kmsg.ConsumerMemberMetadata
	if said.ReadFrom(prefix) != nil {
		return nil, false
	}
	return said.Topics, true
}

func (g *Group) reads(topic string) bool {
	_, found := slices.BinarySearch(g.subscribed, topic)
	return found
}

// Value is the group as it is written, with assignments. Source: GroupMetadataManager.groupMetadataValue.
func (g *Group) value(assignments map[string][]byte) *kmsg.GroupMetadataValue {
	v := kmsg.NewGroupMetadataValue()
	v.Version = groupValueVersion
	v.ProtocolType, v.Generation, v.CurrentStateTimestamp = g.protocolType, g.generation, g.stateSince
	if g.protocol != "" {
		v.Protocol = &[]string{g.protocol}[0]
	}
	if g.leader != "" {
		v.Leader = &[]string{g.leader}[0]
	}
	for _, m := range g.members {
		out := kmsg.NewGroupMetadataValueMember()
		out.MemberID, out.InstanceID, out.ClientID, out.ClientHost = m.id, m.instance, m.clientID, m.clientHost
		out.RebalanceTimeoutMillis, out.SessionTimeoutMillis = int32(m.rebalance.Milliseconds()), int32(m.session.Milliseconds())
		out.Subscription, out.Assignment = m.metadata(g.protocol), assignments[m.id]
		v.Members = append(v.Members, out)
	}
	return &v
}
