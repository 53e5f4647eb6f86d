package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

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
// Locks: a shard's mutex, held over a call of a group and the append that follows from it, comes before the coordinator's own, which is
// held for moments. Answers are given with a shard's mutex held.
type Coordinator struct {
	o      Options
	e      env.Env
	limits Limits

	mu     env.Mutex
	ids    *rand.Rand // of member ids
	shards map[int32]*shard
	busy   []*shard   // with appends that are not replicated yet, in the order in which they became so
	ended  []endedTxn // transactions whose markers came, for the worker
	timers timers
	wakeAt env.Instant // when the worker wakes by itself
	poked  bool
	closed bool
	sweep  env.Instant // the next look for expired offsets
	roles  *env.Queue[func()]
	tasks  *env.Group
}

// wakeKey is what the worker watches beside its partitions.
var wakeKey = wire.TopicPartition{Topic: Topic, Partition: -1}

// NewCoordinator makes a coordinator that coordinates nothing yet.
func NewCoordinator(o Options) *Coordinator {
	c := &Coordinator{o: o, e: o.Env, mu: o.Env.NewMutex(), ids: o.Env.Rand("group-member-ids"), shards: map[int32]*shard{},
		limits: Limits{SizeMax: o.Config.GroupSizeMax, InitialDelay: o.Config.GroupInitialRebalanceDelay},
		roles:  env.NewQueue[func()](o.Env, 0), tasks: env.NewGroup(o.Env), wakeAt: env.Never}
	c.sweep = o.Env.Mono().Add(o.Config.OffsetsRetentionCheckInterval)
	return c
}

// Start starts the two tasks.
func (c *Coordinator) Start() {
	c.tasks.Go("group-roles", func() {
		for {
			change, ok := c.roles.Get()
			if !ok {
				return
			}
			change()
		}
	})
	c.tasks.Go("group-worker", c.work)
}

// stopPatience bounds how long Stop waits for a load that is under way.
const stopPatience = time.Second

// Stop gives every group up. Call it before the purgatory closes.
func (c *Coordinator) Stop() {
	c.mu.Lock()
	c.closed = true
	var all []*shard
	for _, s := range c.shards { // unordered: sorted below
		s.gone.Store(true)
		all = append(all, s)
	}
	c.shards = map[int32]*shard{}
	c.mu.Unlock()
	slices.SortFunc(all, func(a, b *shard) int { return int(a.partition) - int(b.partition) })
	for _, s := range all {
		s.unload()
	}
	c.roles.Close()
	c.poke()
	c.tasks.WaitUntil(c.e.Mono().Add(stopPatience))
	for _, o := range c.abandoned() {
		o.s.mu.Lock()
		o.tell(c.now())
		o.s.mu.Unlock()
	}
}

// PartitionFor is the partition of __consumer_offsets that a group lives in.
func (c *Coordinator) PartitionFor(group string) int32 {
	return coordinator.PartitionFor(group, c.o.Partitions())
}

// Coordinates reports whether this broker leads the partition that the group lives in, loaded or not.
func (c *Coordinator) Coordinates(group string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shards[c.PartitionFor(group)] != nil
}

func (c *Coordinator) now() Now { return Now{Mono: c.e.Mono(), Wall: c.e.Now().UnixMilli()} }

// enter finds the shard of a group and locks it. Errors: COORDINATOR_NOT_AVAILABLE when the broker stops, NOT_COORDINATOR,
// COORDINATOR_LOAD_IN_PROGRESS. Source: GroupCoordinator#validateGroupStatus.
func (c *Coordinator) enter(group string) (*shard, *kerr.Error) {
	number := c.PartitionFor(group)
	c.mu.Lock()
	s, closed := c.shards[number], c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return nil, kerr.CoordinatorNotAvailable
	case s == nil:
		return nil, kerr.NotCoordinator
	}
	s.mu.Lock()
	switch {
	case s.gone.Load():
		s.mu.Unlock()
		return nil, kerr.NotCoordinator
	case !s.active:
		s.mu.Unlock()
		return nil, kerr.CoordinatorLoadInProgress
	}
	return s, nil
}

// enterNamed is enter for requests that need a group's name.
func (c *Coordinator) enterNamed(group string) (*shard, *kerr.Error) {
	if group == "" {
		return nil, kerr.InvalidGroupID
	}
	return c.enter(group)
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
		s.mu.Unlock()
		p.Set(refuseJoin(r.MemberID, kerr.InvalidSessionTimeout))
		return p
	}
	now := c.now()
	g := s.groups[group]
	if g == nil && r.MemberID != "" {
		s.mu.Unlock()
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
	now := c.now()
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
		s.mu.Unlock()
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
		s.mu.Unlock()
		return kerr.UnknownMemberID
	}
	err = g.Heartbeat(c.now(), memberID, instance, generation)
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
		s.mu.Unlock()
		for i := range answers {
			answers[i] = kerr.UnknownMemberID
		}
		return answers, nil
	}
	now := c.now()
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
	defer s.mu.Unlock()
	if g := s.groups[group]; g != nil {
		return g.Describe(), nil
	}
	return Description{State: Dead.String()}, nil
}

// Listed is a group as ListGroups tells of it.
type Listed struct{ Group, ProtocolType, State string }

// List lists the groups of this broker, by name. loading says that more will come.
func (c *Coordinator) List() (list []Listed, loading bool) {
	for _, s := range c.all() {
		s.mu.Lock()
		loading = loading || !s.active && !s.gone.Load()
		if s.active && !s.gone.Load() {
			for id, g := range s.groups { // unordered: sorted below
				list = append(list, Listed{Group: id, ProtocolType: g.protocolType, State: g.state.String()})
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Listed) int { return strings.Compare(a.Group, b.Group) })
	return list, loading
}

// all lists the shards, by partition.
func (c *Coordinator) all() []*shard {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*shard
	for _, s := range c.shards { // unordered: sorted below
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *shard) int { return int(a.partition) - int(b.partition) })
	return all
}

// Delete removes a group without members, offsets and all.
//
// Errors: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND. Source: GroupCoordinator#handleDeleteGroups.
func (c *Coordinator) Delete(group string) *kerr.Error {
	s, err := c.enter(group)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	g := s.groups[group]
	switch {
	case g == nil || g.state == Dead:
		return kerr.GroupIDNotFound
	case g.state != Empty:
		return kerr.NonEmptyGroup
	}
	if err := s.forget(g, g.OffsetPartitions(), true, c.now()); err != nil {
		return commitError(err)
	}
	return nil
}
