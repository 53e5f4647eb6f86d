package group

import (
	"slices"

	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// CommitRequest is what is to be committed, and who says so.
type CommitRequest struct {
	MemberID   string
	InstanceID *string
	Generation int32 // -1 from who is no member
	Offsets    []Offset
}

// Commit writes offsets. The answers are those of the offsets, in order; nil is done.
//
// Errors: those of Group.ValidateCommit; OFFSET_METADATA_TOO_LARGE, INVALID_COMMIT_OFFSET_SIZE, REQUEST_TIMED_OUT: it may be written all the
// same. Source: GroupCoordinator#handleCommitOffsets, GroupMetadataManager#storeOffsets.
func (c *Coordinator) Commit(group string, r CommitRequest) *coordinator.Promise[[]*kerr.Error] {
	p := coordinator.NewPromise[[]*kerr.Error](c.e)
	answers := make([]*kerr.Error, len(r.Offsets))
	refuse := func(err *kerr.Error) *coordinator.Promise[[]*kerr.Error] {
		for i := range answers {
			answers[i] = err
		}
		p.Set(answers)
		return p
	}
	s, err := c.enter(group)
	if err != nil {
		return refuse(err)
	}
	now := c.r.Now()
	g := s.groups[group]
	if g == nil {
		if r.Generation >= 0 {
			s.Unlock()
			markCommitToAGroupThatIsGone.Hit()
			return refuse(kerr.IllegalGeneration) // of a group that is gone
		}
		g = s.create(group, now)
	}
	defer s.leave(g)
	if err := g.ValidateCommit(now, r.MemberID, r.InstanceID, r.Generation); err != nil {
		return refuse(err)
	}
	s.commit(g, r.Offsets, answers, p, now)
	return p
}

// commit appends the offsets that may be, and gives the answers when they are replicated. The shard is locked.
func (s *shard) commit(g *Group, list []Offset, answers []*kerr.Error, p *coordinator.Promise[[]*kerr.Error], now Now) {
	var kept []Offset
	var places []int
	var b coordinator.Records
	for i := range list {
		if wire.UTF16Len(list[i].Metadata) > s.c.o.Config.OffsetMetadataBytesMax {
			answers[i] = kerr.OffsetMetadataTooLarge
			continue
		}
		kept, places = append(kept, list[i]), append(places, i)
		b.Add(offsetKey(g.ID, list[i].TP), offsetValue(&list[i]), now)
	}
	if len(kept) == 0 {
		p.Set(answers)
		return
	}
	answer := func(err *kerr.Error) {
		told := slices.Clone(answers)
		for _, i := range places {
			told[i] = err
		}
		p.Set(told)
	}
	base, err := s.Write(&b, coordinator.Append{
		// DEVIATION(KIP-211): a commit that was not replicated in time is in the log, and may be committed yet. Kafka forgets it until the next
		// coordinator finds it there; ours waits for what becomes of it.
		Late: func(Now) { answer(kerr.RequestTimedOut) },
		Done: func(_ Now, err error) {
			g.EndCommit(kept, err == nil)
			answer(commitError(err))
		},
	})
	if err != nil {
		answer(commitError(err))
		return
	}
	for i := range kept {
		kept[i].at = base + int64(i)
	}
	g.BeginCommit(kept)
}

// Fetched is an offset as OffsetFetch tells it.
type Fetched struct {
	TP          wire.TopicPartition
	Offset      int64 // -1 for none
	LeaderEpoch int32
	Metadata    string
	Err         *kerr.Error
}

// Fetch tells what is committed for the partitions, in order; nil asks for all there are. With stable, partitions with a commit under
// way are UNSTABLE_OFFSET_COMMIT. Source: GroupMetadataManager#getOffsets.
func (c *Coordinator) Fetch(group string, partitions []wire.TopicPartition, stable bool) ([]Fetched, *kerr.Error) {
	s, err := c.enter(group)
	if err != nil {
		return nil, err
	}
	defer s.Unlock()
	g := s.groups[group]
	if partitions == nil && g != nil {
		partitions = g.OffsetPartitions()
	}
	list := make([]Fetched, len(partitions))
	for i, key := range partitions {
		list[i] = Fetched{TP: key, Offset: -1, LeaderEpoch: -1}
		if g == nil || g.state == Dead {
			continue
		}
		o, ok, err := g.Offset(key, stable)
		list[i].Err = err
		if ok {
			list[i].Offset, list[i].LeaderEpoch, list[i].Metadata = o.Offset, o.LeaderEpoch, o.Metadata
		}
	}
	return list, nil
}

// DeleteOffsets removes committed offsets, and what is under way for the same partitions, transactional commits too: they will not count. The group goes as
// well if it has no members, no offsets and no open transaction. The answers are the partitions', in order, unless err is set. Commits under way are forgotten
// in memory alone: the next coordinator finds them in the log.
//
// Errors: those of Group.mayDeleteOffset.
// Source: GroupCoordinator#handleDeleteOffsets, GroupMetadata#removeOffsets.
func (c *Coordinator) DeleteOffsets(group string, partitions []wire.TopicPartition) (answers []*kerr.Error, err *kerr.Error) {
	s, err := c.enterNamed(group)
	if err != nil {
		return nil, err
	}
	defer s.Unlock()
	g := s.groups[group]
	if g == nil {
		return nil, kerr.GroupIDNotFound
	}
	if err := g.mayDeleteOffsets(); err != nil {
		return nil, err
	}
	answers = make([]*kerr.Error, len(partitions))
	var may, gone []wire.TopicPartition
	goes := map[wire.TopicPartition]bool{}
	for i, key := range partitions {
		had, err := g.mayDeleteOffset(key)
		if answers[i] = err; err != nil || goes[key] {
			continue
		}
		may, goes[key] = append(may, key), true
		if had {
			gone = append(gone, key)
		}
	}
	if err := s.forget(g, gone, len(may) > 0 && g.nothingLeftWithout(may), c.r.Now()); err != nil {
		return nil, commitError(err)
	}
	for _, key := range may {
		g.dropUnderWay(key)
	}
	return answers, nil
}

// forget removes offsets of a group, and the group as well, in memory and in the log. Like Kafka it does not wait for the
// replication of the tombstones: what comes back with the next coordinator can be removed again. A group of generation 0 only ever kept offsets, and has no
// record to remove. The shard is locked.
//
// Source: GroupMetadataManager#cleanupGroupMetadata.
func (s *shard) forget(g *Group, offsets []wire.TopicPartition, group bool, now Now) error {
	var b coordinator.Records
	for _, key := range offsets {
		b.Add(offsetKey(g.ID, key), nil, now)
	}
	if group && g.generation > 0 {
		b.Add(groupKey(g.ID), nil, now)
	}
	if b.Count() > 0 {
		if _, err := s.Write(&b, coordinator.Append{}); err != nil {
			return err
		}
	}
	for _, key := range offsets {
		g.dropOffset(key)
	}
	if group {
		g.Kill(now)
		delete(s.groups, g.ID)
	}
	return nil
}

// TopicsDeleted drops the offsets of partitions that are no more. Source: GroupCoordinator#handleDeletedPartitions.
func (c *Coordinator) TopicsDeleted(partitions []wire.TopicPartition) {
	if len(partitions) == 0 {
		return
	}
	c.r.Do(func() {
		c.eachGroup(func(s *shard, g *Group, now Now) {
			var gone []wire.TopicPartition
			for _, key := range partitions {
				g.dropUnderWay(key)
				if _, ok := g.offsets.committed[key]; ok {
					gone = append(gone, key)
				}
			}
			s.sweep(g, gone, now)
		})
	})
}

var evSwept = env.NewKind("group-swept", env.Info, "offsets", "group")

// sweepExpired drops the offsets whose time is over, and groups of which nothing is left (KIP-211), and comes again.
func (c *Coordinator) sweepExpired() {
	retention := c.o.Config.OffsetsRetention.Milliseconds()
	c.eachGroup(func(s *shard, g *Group, now Now) { s.sweep(g, g.Expired(now, retention), now) })
	c.r.At(c.e.Mono().Add(c.o.Config.OffsetsRetentionCheckInterval), c.sweepExpired)
}

// nothingLeftWithout reports whether the offsets of these partitions, committed and under way, are all that there is of the group.
func (g *Group) nothingLeftWithout(partitions []wire.TopicPartition) bool {
	if g.state != Empty || len(g.pending) > 0 || len(g.offsets.committed) > len(partitions) {
		return false
	}
	gone := make(map[wire.TopicPartition]bool, len(partitions))
	for _, key := range partitions {
		gone[key] = true
	}
	return g.offsets.within(gone)
}

// sweep forgets offsets, and the group if that was all. What cannot be written now is for the next time.
func (s *shard) sweep(g *Group, offsets []wire.TopicPartition, now Now) {
	group := g.nothingLeftWithout(offsets)
	if len(offsets) == 0 && !group {
		return
	}
	ev := env.Event{Kind: evSwept, V: [4]int64{int64(len(offsets))}, Text: g.ID}
	if group {
		ev.V[1] = 1
	}
	if err := s.forget(g, offsets, group, now); err != nil {
		ev.Text += ": " + err.Error()
	}
	s.c.e.Emit(ev)
}

// eachGroup calls f for every group, with its shard locked.
func (c *Coordinator) eachGroup(f func(*shard, *Group, Now)) {
	c.r.Each(func(led *coordinator.Shard[*shard], now Now) {
		for _, id := range led.State.names() {
			f(led.State, led.State.groups[id], now)
		}
	})
}

// commitError is what a client is told of a commit that could not be written. Source: GroupMetadataManager#storeOffsets.
func commitError(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	switch code := kerr.TypedErrorForCode(wire.Code(err)); code {
	case kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend:
		markCommitNotReplicated.Hit()
		return kerr.CoordinatorNotAvailable
	case kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch:
		markCommitNotLeaderAnyMore.Hit()
		return kerr.NotCoordinator
	case kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidFetchSize:
		return kerr.InvalidCommitOffsetSize
	default:
		return code
	}
}

// storeError is what members are told of an assignment that could not be written. Source: GroupMetadataManager#storeGroup.
func storeError(err error) *kerr.Error {
	switch code := commitError(err); code {
	case kerr.RequestTimedOut:
		return kerr.RebalanceInProgress
	case kerr.InvalidCommitOffsetSize:
		return kerr.UnknownServerError
	default:
		return code
	}
}
