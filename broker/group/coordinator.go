package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"barnabas/broker/config"
	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Options are what a Coordinator needs.
type Options struct {
	Env    env.Env
	Config *config.Broker
	// Purgatory is the one that partitions notify.
	Purgatory *purgatory.Purgatory[wire.TopicPartition]
	// Partition finds a partition of __consumer_offsets on this broker.
	Partition func(wire.TopicPartition) (*partition.Partition, error)
	// Partitions is how many partitions __consumer_offsets has, or will have.
	Partitions func() int32
}

// Coordinator coordinates the groups that live in the partitions of __consumer_offsets that this broker leads. Its methods
// may be called by many tasks; none of them waits for anything but a disk.
//
// A shard's lock is held over a call of a group and the append that follows from it. Answers are given with it held.
type Coordinator struct {
	o      Options
	e      env.Env
	limits Limits
	r      *coordinator.Runtime[*shard]

	mu  env.Mutex
	ids *rand.Rand // of member ids
}

// NewCoordinator makes a coordinator that coordinates nothing yet.
func NewCoordinator(o Options) *Coordinator {
	c := &Coordinator{o: o, e: o.Env, mu: o.Env.NewMutex(), ids: o.Env.Rand("group-member-ids"),
		limits: Limits{SizeMax: o.Config.GroupSizeMax, InitialDelay: o.Config.GroupInitialRebalanceDelay}}
	c.r = coordinator.New(coordinator.Options[*shard]{Env: o.Env, Name: "group", Topic: Topic, Purgatory: o.Purgatory, Partition: o.Partition, Partitions: o.Partitions,
		WriteTimeout: o.Config.OffsetsCommitTimeout, Empty: c.newShard, Replay: c.replay, Loaded: c.loaded, Unloaded: c.unloaded})
	return c
}

// Start starts the coordinator's tasks.
func (c *Coordinator) Start() {
	c.r.Start()
	c.r.At(c.e.Mono().Add(c.o.Config.OffsetsRetentionCheckInterval), c.sweepExpired)
}

// Stop gives every group up. Call it before the purgatory closes.
func (c *Coordinator) Stop() { c.r.Stop() }

// Elected and Resigned say which partitions of __consumer_offsets this broker leads. They do not wait.
func (c *Coordinator) Elected(number, epoch int32) { c.r.Elected(number, epoch) }
func (c *Coordinator) Resigned(number int32)       { c.r.Resigned(number) }

// PartitionFor is the partition of __consumer_offsets that a group lives in.
func (c *Coordinator) PartitionFor(group string) int32 { return c.r.PartitionFor(group) }

// Coordinates reports whether this broker leads the partition that the group lives in, loaded or not.
func (c *Coordinator) Coordinates(group string) bool { return c.r.Leads(c.PartitionFor(group)) }

// enter finds the shard of a group and locks it. Errors: those of coordinator.Runtime.Enter.
func (c *Coordinator) enter(group string) (*shard, *kerr.Error) {
	s, err := c.r.Enter(group)
	switch err {
	case nil:
		return s.State, nil
	case kerr.NotCoordinator:
		markAskedWhoIsNone.Hit()
	case kerr.CoordinatorLoadInProgress:
		markAskedWhileLoading.Hit()
	}
	return nil, err
}

// enterNamed is enter for requests that need a group's name.
func (c *Coordinator) enterNamed(group string) (*shard, *kerr.Error) {
	if group == "" {
		return nil, kerr.InvalidGroupID
	}
	return c.enter(group)
}

// Serves says whether this broker coordinates the group, and has loaded it. Errors: INVALID_GROUP_ID, and those of enter. Source:
// GroupCoordinator#validateGroupStatus.
func (c *Coordinator) Serves(group string) *kerr.Error {
	s, err := c.enterNamed(group)
	if err == nil {
		s.Unlock()
	}
	return err
}

// newID makes a member id: a readable part and chance in the form of a UUID (GroupMetadata#generateMemberId).
func (c *Coordinator) newID(clientID string, instance *string) string {
	c.mu.Lock()
	high, low := c.ids.Uint64(), c.ids.Uint64()
	c.mu.Unlock()
	if instance != nil {
		clientID = *instance
	}
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 2<<62
	return fmt.Sprintf("%s-%08x-%04x-%04x-%04x-%012x", clientID, high>>32, high>>16&0xffff, high&0xffff, low>>48, low&0xffffffffffff)
}

// Join lets a member join a group; NewID of r is chosen here.
func (c *Coordinator) Join(group string, r JoinRequest) *coordinator.Promise[JoinResult] {
	p := coordinator.NewPromise[JoinResult](c.e)
	s, err := c.enterNamed(group)
	switch {
	case err != nil:
		p.Set(refuseJoin(r.MemberID, err))
		return p
	case r.Session < c.o.Config.GroupSessionTimeoutMin || r.Session > c.o.Config.GroupSessionTimeoutMax:
		s.Unlock()
		p.Set(refuseJoin(r.MemberID, kerr.InvalidSessionTimeout))
		return p
	}
	now := c.r.Now()
	g := s.groups[group]
	if g == nil && r.MemberID != "" {
		s.Unlock()
		p.Set(refuseJoin(r.MemberID, kerr.UnknownMemberID))
		return p
	}
	if g == nil {
		g = s.create(group, now)
	}
	if r.MemberID == "" {
		r.NewID = c.newID(r.ClientID, r.InstanceID)
	}
	g.Join(now, r, p.Set)
	s.leave(g)
	return p
}

// Sync gives a member its assignment.
func (c *Coordinator) Sync(group string, r SyncRequest) *coordinator.Promise[SyncResult] {
	p := coordinator.NewPromise[SyncResult](c.e)
	s, err := c.enterNamed(group)
	if err == kerr.CoordinatorLoadInProgress {
		err = kerr.RebalanceInProgress // what was under way is lost: the member should join again
	}
	if err != nil {
		p.Set(SyncResult{Err: err})
		return p
	}
	now := c.r.Now()
	answer := p.Set
	if now.Mono < s.heir {
		// DEVIATION(KIP-62): Kafka says UNKNOWN_MEMBER_ID, of which clients lose what they own, or give up. The coordinator before us let the member
		// join, and died before the generation was written: it need but join again, and hears then that its id is of the past.
		answer = func(r SyncResult) {
			if r.Err == kerr.UnknownMemberID {
				r.Err = kerr.RebalanceInProgress
			}
			p.Set(r)
		}
	}
	g := s.groups[group]
	if g == nil {
		s.Unlock()
		answer(SyncResult{Err: kerr.UnknownMemberID})
		return p
	}
	g.Sync(now, r, answer)
	s.leave(g)
	return p
}

// Heartbeat says that a member lives.
func (c *Coordinator) Heartbeat(group, memberID string, instance *string, generation int32) *kerr.Error {
	s, err := c.enterNamed(group)
	switch {
	case err == kerr.CoordinatorLoadInProgress:
		return nil // sessions begin anew with the load
	case err != nil:
		return err
	}
	g := s.groups[group]
	if g == nil {
		s.Unlock()
		return kerr.UnknownMemberID
	}
	err = g.Heartbeat(c.r.Now(), memberID, instance, generation)
	s.leave(g)
	return err
}

// Leaver is who leaves.
type Leaver struct {
	MemberID string
	Instance *string
}

// Leave takes members out; the answers are theirs, in order, unless err is set.
func (c *Coordinator) Leave(group string, leavers []Leaver) (answers []*kerr.Error, err *kerr.Error) {
	s, err := c.enterNamed(group)
	if err != nil {
		return nil, err
	}
	answers = make([]*kerr.Error, len(leavers))
	g := s.groups[group]
	if g == nil {
		s.Unlock()
		for i := range answers {
			answers[i] = kerr.UnknownMemberID
		}
		return answers, nil
	}
	now := c.r.Now()
	for i, l := range leavers {
		answers[i] = g.Leave(now, l.MemberID, l.Instance)
	}
	s.leave(g)
	return answers, nil
}

// Describe tells of a group; one that does not exist is told to be Dead.
func (c *Coordinator) Describe(group string) (Description, *kerr.Error) {
	s, err := c.enter(group)
	if err != nil {
		return Description{}, err
	}
	defer s.Unlock()
	if g := s.groups[group]; g != nil {
		return g.Describe(), nil
	}
	return Description{State: Dead.String()}, nil
}

// Listed is a group as ListGroups tells of it.
type Listed struct{ Group, ProtocolType, State string }

// List lists the groups of this broker, by name. loading says that more will come.
func (c *Coordinator) List() (list []Listed, loading bool) {
	loading = c.r.Each(func(s *coordinator.Shard[*shard], _ Now) {
		for id, g := range s.State.groups { // unordered: sorted below
			list = append(list, Listed{Group: id, ProtocolType: g.protocolType, State: g.state.String()})
		}
	})
	slices.SortFunc(list, func(a, b Listed) int { return strings.Compare(a.Group, b.Group) })
	return list, loading
}

// Delete removes a group without members, offsets and all.
//
// Errors: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND. Source: GroupCoordinator#handleDeleteGroups.
func (c *Coordinator) Delete(group string) *kerr.Error {
	s, err := c.enter(group)
	if err != nil {
		return err
	}
	defer s.Unlock()
	g := s.groups[group]
	switch {
	case g == nil || g.state == Dead:
		return kerr.GroupIDNotFound
	case g.state != Empty:
		return kerr.NonEmptyGroup
	}
	if err := s.forget(g, g.OffsetPartitions(), true, c.r.Now()); err != nil {
		return commitError(err)
	}
	return nil
}
