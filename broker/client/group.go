package client

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupOptions says how a member of a group behaves; zero values have defaults.
type GroupOptions struct {
	Group  string
	Topics []string // what it reads
	// InstanceID makes it a static member (KIP-345).
	InstanceID string
	// Assignors in order of preference: Range, RoundRobin, Sticky, CooperativeSticky; none means Range. A cooperative assignor makes the member keep its
	// partitions through a rebalance, so all members of a group should name the same ones.
	Assignors []string
	Session   time.Duration // session.timeout.ms; 0 means 10 s
	Rebalance time.Duration // max.poll.interval.ms; 0 means 30 s
	Heartbeat time.Duration // heartbeat.interval.ms; 0 means a third of the session
	// AutoCommit is auto.commit.interval.ms; 0 leaves committing to Commit.
	AutoCommit time.Duration
	Consumer   ConsumerOptions
	Listener   GroupListener
	// CommitFetched plants the defect of the bug zoo's commit-unread: what is committed is what was fetched, whether Poll has returned it or not.
	CommitFetched bool
	// KeepRevoked plants the defect of the bug zoo's group-two-owners: the member goes on with what was taken from it.
	KeepRevoked bool
}

// GroupListener is told, by the task that polls, what a member owns. All functions may be nil.
type GroupListener struct {
	// Assigned: the member owns these partitions in the generation, from offset on.
	Assigned func(memberID string, generation int32, partitions []wire.TopicPartition)
	// Revoking: it is about to give these up, and may still commit.
	Revoking func(partitions []wire.TopicPartition)
	// Revoked: it owns them no more, in that generation. orderly is false where it may have lost them before it knew.
	Revoked func(generation int32, partitions []wire.TopicPartition, orderly bool)
	// Fetched: the group's committed offset was read, -1 for none.
	Fetched func(tp wire.TopicPartition, offset int64, called, returned env.Instant)
	// Committed: a commit in this generation has ended.
	Committed func(generation int32, offsets []CommitOffset, called, returned env.Instant, err error)
}

// CommitOffset is an offset to commit: that of the next record to read.
type CommitOffset struct {
	TP     wire.TopicPartition
	Offset int64
}

// Member is a consumer that shares its topics with the other members of its group. One task polls, commits and closes. Heartbeats
// have a task of their own. Source: KafkaConsumer#subscribe, ConsumerCoordinator, AbstractCoordinator.
type Member struct {
	c *Client
	e env.Env
	o GroupOptions
	k *Consumer

	// What the polling task alone touches.
	owned    []wire.TopicPartition // sorted
	taken    []wire.TopicPartition // owned in ownedIn, given up before the group has agreed
	ownedIn  int32
	last     []wire.TopicPartition // what the last assignment brought, and in which generation: the sticky assignor asks
	lastIn   int32
	protocol string
	autoAt   env.Instant

	mu         env.Mutex
	changed    env.Cond
	conn       *Conn // to the coordinator, for this member alone: a join holds up what is behind it
	id         string
	generation int32
	joined     bool // heartbeats are due
	rejoin     bool
	lost       bool  // the member has fallen out of its generation
	unknown    bool  // lost, and the group does not know its id either
	fatal      error // another has taken the member's instance: it has ended; nil for not
	closed     bool
}

// NewMember makes a member. It joins with the first Poll.
func NewMember(c *Client, o GroupOptions) *Member {
	setDefault(&o.Session, 10*time.Second)
	setDefault(&o.Rebalance, 30*time.Second)
	setDefault(&o.Heartbeat, o.Session/3)
	if len(o.Assignors) == 0 {
		o.Assignors = []string{Range}
	}
	mu := c.e.NewMutex()
	m := &Member{c: c, e: c.e, o: o, k: NewConsumer(c, o.Consumer), mu: mu, changed: c.e.NewCond(mu), generation: -1, ownedIn: -1, lastIn: -1, rejoin: true}
	m.autoAt = c.e.Mono().Add(o.AutoCommit)
	c.e.Go("group-heartbeat", m.heartbeats)
	return m
}

// Poll returns what was fetched of the partitions that the member owns. It takes part in rebalances, for which it may wait
// longer than timeout, up to the rebalance time-out. Errors: ErrClosed; what the coordinator refuses for good. FENCED_INSTANCE_ID ends the member:
// Poll and Commit return it from then on (AbstractCoordinator.HeartbeatResponseHandler, JoinGroupResponseHandler, SyncGroupResponseHandler).
func (m *Member) Poll(timeout time.Duration) ([]Fetched, error) {
	deadline := m.e.Mono().Add(timeout)
	for attempt := 0; ; attempt++ {
		m.mu.Lock()
		closed, lost, rejoin, fatal := m.closed, m.lost, m.rejoin, m.fatal
		m.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case fatal != nil:
			return nil, m.ended(fatal)
		case lost:
			m.forget()
		case !rejoin:
			if m.o.AutoCommit > 0 && m.e.Mono() >= m.autoAt {
				m.autoAt = m.e.Mono().Add(m.o.AutoCommit)
				m.Commit(m.positions(), m.o.Session) // what fails is committed with the next
			}
			return m.k.Poll(max(0, deadline.Sub(m.e.Mono())))
		}
		if err := m.join(); err != nil {
			if errors.Is(err, kerr.FencedInstanceID) {
				return nil, m.ended(err)
			}
			if !joinsAgain(err) {
				return nil, err
			}
			if !m.pause(attempt, deadline) {
				return nil, nil
			}
		}
	}
}

// Position is where the member stands in a partition that it owns.
func (m *Member) Position(tp wire.TopicPartition) (int64, bool) {
	if m.o.CommitFetched {
		return m.k.fetchedTo(tp)
	}
	return m.k.Position(tp)
}

// Seek, Pause and Resume are those of the Consumer, of partitions that the member owns; what it is given anew is not paused.
func (m *Member) Seek(tp wire.TopicPartition, offset int64) error { return m.k.Seek(tp, offset) }

// Pause keeps Poll from returning records of partitions; see Consumer.Pause.
func (m *Member) Pause(partitions ...wire.TopicPartition) error { return m.k.Pause(partitions...) }

// Resume ends Pause.
func (m *Member) Resume(partitions ...wire.TopicPartition) error { return m.k.Resume(partitions...) }

// Paused lists the partitions that are paused, sorted.
func (m *Member) Paused() []wire.TopicPartition { return m.k.Paused() }

// Owned lists the partitions that the member owns, sorted.
func (m *Member) Owned() []wire.TopicPartition { return slices.Clone(m.owned) }

// positions are where the member stands, where that is known.
func (m *Member) positions() []CommitOffset {
	var list []CommitOffset
	for _, tp := range m.owned {
		if at, ok := m.Position(tp); ok && at >= 0 {
			list = append(list, CommitOffset{TP: tp, Offset: at})
		}
	}
	return list
}

// Commit commits offsets as the member in its generation. MaybeSent tells of an error whether it may have been done all the same;
// so may one that is REQUEST_TIMED_OUT.
func (m *Member) Commit(offsets []CommitOffset, timeout time.Duration) error {
	if len(offsets) == 0 {
		return nil
	}
	called := m.e.Mono()
	generation, err := m.commit(offsets, timeout)
	if m.o.Listener.Committed != nil {
		m.o.Listener.Committed(generation, offsets, called, m.e.Mono(), err)
	}
	if err == nil {
		for _, i := range m.o.Consumer.Interceptors {
			i.OnCommit(offsets)
		}
	}
	return err
}

// commit also tells in which generation it was asked for.
func (m *Member) commit(offsets []CommitOffset, timeout time.Duration) (generation int32, err error) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = 8, m.o.Group
	m.mu.Lock()
	req.MemberID, req.Generation, req.InstanceID = m.id, m.generation, m.instance()
	fatal := m.fatal
	m.mu.Unlock()
	if fatal != nil {
		return req.Generation, &Error{API: "OffsetCommit", Err: fatal}
	}
	for _, o := range offsets {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != o.TP.Topic {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic = o.TP.Topic
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = o.TP.Partition, o.Offset, -1
		t.Partitions = append(t.Partitions, p)
	}
	resp, err := m.ask(req, timeout)
	if err != nil {
		return req.Generation, fmt.Errorf("commit of group %s: %w", m.o.Group, err)
	}
	for _, t := range resp.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				m.heed(err)
				return req.Generation, fmt.Errorf("commit %s-%d of group %s: %w", t.Topic, p.Partition, m.o.Group, err)
			}
		}
	}
	return req.Generation, nil
}

// Close commits, with AutoCommit, and leaves the group; a static member stays in it until its session ends.
func (m *Member) Close(timeout time.Duration) {
	m.mu.Lock()
	lost := m.lost || m.fatal != nil
	m.mu.Unlock()
	if !lost {
		m.revoking(m.owned)
	}
	m.giveUp(m.owned)
	left := m.leave(timeout)
	m.agreed(left == nil && !lost)
	m.mu.Lock()
	m.closed, m.joined = true, false
	conn := m.conn
	m.changed.Broadcast()
	m.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
	m.k.Close()
}

func (m *Member) leave(timeout time.Duration) error {
	m.mu.Lock()
	id := m.id
	m.joined = false
	m.mu.Unlock()
	if id == "" || m.o.InstanceID != "" {
		return kerr.UnknownMemberID
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 3, m.o.Group
	gone := kmsg.NewLeaveGroupRequestMember()
	gone.MemberID = id
	req.Members = append(req.Members, gone)
	resp, err := m.ask(req, timeout)
	if err != nil {
		return err
	}
	r := resp.(*kmsg.LeaveGroupResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return err
	}
	if len(r.Members) != 1 {
		return kerr.UnknownServerError
	}
	return kerr.ErrorForCode(r.Members[0].ErrorCode)
}

func (m *Member) instance() *string {
	if m.o.InstanceID == "" {
		return nil
	}
	return &m.o.InstanceID
}

// ended gives everything up that a member owned which has ended for that reason, and returns it.
func (m *Member) ended(why error) error {
	m.giveUp(m.owned)
	m.agreed(false)
	return why
}

// forget gives everything up that a member owned which has fallen out of its generation. It keeps its id unless the group does not know that any more:
// under a new one the group would wait for the old one until that is gone (AbstractCoordinator#resetStateAndGeneration).
func (m *Member) forget() {
	m.giveUp(m.owned)
	m.agreed(false)
	m.last, m.lastIn = nil, -1
	m.mu.Lock()
	if m.unknown {
		m.id = ""
	}
	m.lost, m.unknown, m.generation, m.rejoin, m.joined = false, false, -1, true, false
	m.mu.Unlock()
}

// revoking tells that partitions will be given up, and commits them.
func (m *Member) revoking(partitions []wire.TopicPartition) {
	if len(partitions) == 0 {
		return
	}
	if m.o.AutoCommit > 0 {
		m.Commit(m.positions(), m.o.Session/2)
	}
	if m.o.Listener.Revoking != nil {
		m.o.Listener.Revoking(partitions)
	}
}

// giveUp stops reading partitions. That they are another's is said by agreed, once the group has agreed.
func (m *Member) giveUp(partitions []wire.TopicPartition) {
	for _, tp := range slices.Clone(partitions) {
		m.k.Unassign(tp)
		m.taken = append(m.taken, tp)
		m.owned = slices.DeleteFunc(m.owned, func(o wire.TopicPartition) bool { return o == tp })
	}
}

// agreed tells of what was given up.
func (m *Member) agreed(orderly bool) {
	if len(m.taken) > 0 && m.o.Listener.Revoked != nil {
		m.o.Listener.Revoked(m.ownedIn, m.taken, orderly)
	}
	m.taken = nil
}

// heed takes from an error what it says of the membership.
func (m *Member) heed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		markMemberIsToldThatItIsNone.Hit()
		m.fatal, m.joined = fmt.Errorf("instance %s of group %s: %w", m.o.InstanceID, m.o.Group, err), false
	case errors.Is(err, kerr.UnknownMemberID):
		markMemberIsToldThatItIsNone.Hit()
		m.lost, m.unknown, m.rejoin = true, true, true
	case errors.Is(err, kerr.IllegalGeneration):
		markMemberIsToldThatItIsNone.Hit()
		m.lost, m.rejoin = true, true
	case errors.Is(err, kerr.RebalanceInProgress):
		markMemberIsToldToJoinAgain.Hit()
		m.rejoin = true
	case errors.Is(err, kerr.NotCoordinator), errors.Is(err, kerr.CoordinatorNotAvailable):
		markMemberLooksForItsCoordinator.Hit()
		m.dropConn()
	}
}

// joinsAgain reports whether a failed join is to be tried again.
func joinsAgain(err error) bool {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return true // the network
	}
	switch code {
	case kerr.InconsistentGroupProtocol, kerr.InvalidSessionTimeout, kerr.InvalidGroupID, kerr.GroupMaxSizeReached, kerr.GroupAuthorizationFailed:
		return false
	}
	return true
}

// heartbeats is the task that keeps the session alive between polls.
func (m *Member) heartbeats() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.closed {
		m.changed.WaitUntil(m.e.Mono().Add(m.o.Heartbeat))
		if m.closed || !m.joined {
			continue
		}
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version = 4
		req.Group, req.MemberID, req.Generation, req.InstanceID = m.o.Group, m.id, m.generation, m.instance()
		m.mu.Unlock()
		resp, err := m.ask(req, m.o.Session/2)
		if err == nil {
			err = kerr.ErrorForCode(resp.(*kmsg.HeartbeatResponse).ErrorCode)
		}
		m.mu.Lock()
		if err != nil && m.generation == req.Generation && m.id == req.MemberID && m.joined {
			m.mu.Unlock()
			m.heed(err)
			m.mu.Lock()
		}
	}
}

// ask sends a request to the coordinator, finding it first.
func (m *Member) ask(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	conn, err := m.coordinator(timeout)
	if err != nil {
		return nil, err
	}
	resp, err := conn.Do(req, timeout)
	if err != nil {
		m.mu.Lock()
		if m.conn == conn {
			m.dropConn()
		}
		m.mu.Unlock()
	}
	return resp, err
}

// dropConn forgets the coordinator. m.mu is held.
func (m *Member) dropConn() {
	if conn := m.conn; conn != nil {
		m.conn = nil
		m.e.Go("group-close", func() { conn.Close() })
	}
}

func (m *Member) coordinator(timeout time.Duration) (*Conn, error) {
	m.mu.Lock()
	conn := m.conn
	m.mu.Unlock()
	if conn != nil && !conn.Broken() {
		return conn, nil
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey = 3, m.o.Group
	resp, err := m.c.Any(req, timeout)
	if err != nil {
		return nil, fmt.Errorf("coordinator of group %s: %w", m.o.Group, err)
	}
	r := resp.(*kmsg.FindCoordinatorResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return nil, &Error{API: "FindCoordinator", Err: err}
	}
	conn, err = Dial(m.e, joinAddr(r.Host, r.Port), ConnOptions{ClientID: m.c.o.ClientID, DialTimeout: m.c.o.DialTimeout, RequestTimeout: m.c.o.RequestTimeout})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	old := m.conn
	m.conn = conn
	closed := m.closed
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
	if closed {
		conn.Close()
	}
	return conn, nil
}

func (m *Member) pause(attempt int, deadline env.Instant) bool {
	return (&Admin{m.c}).pause(attempt, deadline)
}
