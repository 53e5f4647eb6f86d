package group

import (
	"maps"
	"slices"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Offset is a committed offset.
type Offset struct {
	TP          wire.TopicPartition
	Offset      int64
	LeaderEpoch int32 // of the record before it; -1 where the client did not say
	Metadata    string
	Committed   int64 // ms since 1970
	Expires     int64 // ms since 1970; -1 except where an old client asked for its own retention
	at          int64 // where in the log it was written: the later one wins
}

// offsets are a group's offsets: what is committed, and for which partitions commits are under way: those that are not replicated,
// and those of transactions that have not ended.
type offsets struct {
	committed map[wire.TopicPartition]Offset
	pending   map[wire.TopicPartition][]int64          // commits appended and not yet replicated: where in the log
	txn       map[int64]map[wire.TopicPartition]Offset // by producer id
}

func newOffsets() offsets {
	return offsets{committed: map[wire.TopicPartition]Offset{}, pending: map[wire.TopicPartition][]int64{}, txn: map[int64]map[wire.TopicPartition]Offset{}}
}

// ValidateCommit says whether who commits may. Members of the present generation may, and so may anybody who is no member
// while there are none. A member that commits is alive.
//
// Source: GroupCoordinator#validateOffsetCommit, #doCommitOffsets.
func (g *Group) ValidateCommit(now Now, memberID string, instance *string, generation int32) *kerr.Error {
	switch {
	case g.state == Dead:
		return kerr.CoordinatorNotAvailable
	case generation < 0 && g.state == Empty:
		markCommitWithoutAGroup.Hit()
		return nil
	case generation < 0 && memberID == "" && instance == nil:
		return kerr.UnknownMemberID // the group has members: only they may commit
	}
	if err := g.validate(memberID, instance); err != nil {
		return err
	}
	if generation != g.generation {
		markCommitOfAnotherGeneration.Hit()
		return kerr.IllegalGeneration
	}
	if g.state == CompletingRebalance {
		markCommitBeforeTheAssignment.Hit()
		return kerr.RebalanceInProgress
	}
	g.beat(g.member(memberID), now)
	return nil
}

// BeginCommit notes that a commit was appended.
func (g *Group) BeginCommit(list []Offset) {
	for i := range list {
		g.offsets.pending[list[i].TP] = append(g.offsets.pending[list[i].TP], list[i].at)
	}
}

// EndCommit ends what BeginCommit began: ok is false if it will never be in the log. What has been dropped since does not count.
func (g *Group) EndCommit(list []Offset, ok bool) {
	for i := range list {
		key := list[i].TP
		at := g.offsets.pending[key]
		place := slices.Index(at, list[i].at)
		if place < 0 {
			continue
		}
		if at = slices.Delete(at, place, place+1); len(at) == 0 {
			delete(g.offsets.pending, key)
		} else {
			g.offsets.pending[key] = at
		}
		if ok {
			g.SetOffset(list[i])
		}
	}
}

// SetOffset makes an offset the committed one, unless one from further on in the log is.
func (g *Group) SetOffset(o Offset) {
	if old, ok := g.offsets.committed[o.TP]; !ok || o.at >= old.at {
		g.offsets.committed[o.TP] = o
	}
}

// Offset is what is committed for a partition. With stable, a partition with a commit under way is UNSTABLE_OFFSET_COMMIT
// (KIP-447).
func (g *Group) Offset(key wire.TopicPartition, stable bool) (o Offset, ok bool, err *kerr.Error) {
	if stable && (len(g.offsets.pending[key]) > 0 || g.inTxn(key)) {
		markOffsetUnstable.Hit()
		return Offset{}, false, kerr.UnstableOffsetCommit
	}
	o, ok = g.offsets.committed[key]
	return o, ok, nil
}

// OffsetPartitions lists the partitions with a committed offset, sorted.
func (g *Group) OffsetPartitions() []wire.TopicPartition {
	return slices.SortedFunc(maps.Keys(g.offsets.committed), wire.TopicPartition.Compare)
}

// mayDeleteOffsets says whether offsets of the group may be removed at all: not those of other groups than consumers' that have members.
//
// Errors: NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND. Source: GroupCoordinator#handleDeleteOffsets.
func (g *Group) mayDeleteOffsets() *kerr.Error {
	switch {
	case g.state == Dead:
		return kerr.GroupIDNotFound
	case g.state != Empty && g.protocolType != consumerProtocol:
		return kerr.NonEmptyGroup
	}
	return nil
}

// mayDeleteOffset says whether an offset may be removed, and whether there is one. A topic that members of a consumer group read keeps its offsets.
//
// Errors: GROUP_SUBSCRIBED_TO_TOPIC, and those of mayDeleteOffsets.
func (g *Group) mayDeleteOffset(key wire.TopicPartition) (had bool, err *kerr.Error) {
	if err := g.mayDeleteOffsets(); err != nil {
		return false, err
	}
	if g.state != Empty && (!g.knowsSubscribed || g.reads(key.Topic)) {
		return false, kerr.GroupSubscribedToTopic
	}
	_, had = g.offsets.committed[key]
	return had, nil
}

func (g *Group) dropOffset(key wire.TopicPartition) { delete(g.offsets.committed, key) }

// dropUnderWay has commits of a partition that are under way not count, those of open transactions among them.
func (g *Group) dropUnderWay(key wire.TopicPartition) {
	delete(g.offsets.pending, key)
	g.dropFromTxns(key)
}

// within reports whether all there is, committed and under way, is of these partitions, and no transaction is open that commits with the group.
func (o *offsets) within(partitions map[wire.TopicPartition]bool) bool {
	for key := range o.committed { // unordered: any will do
		if !partitions[key] {
			return false
		}
	}
	for key := range o.pending { // unordered: any will do
		if !partitions[key] {
			return false
		}
	}
	return len(o.txn) == 0
}

// Expired lists the offsets whose time is over, sorted (KIP-211): of an empty group, retention after it became empty; of a topic that no
// member of a stable consumer group reads any more, and of offsets without a group, retention after the commit.
//
// Source: GroupMetadata#removeExpiredOffsets.
func (g *Group) Expired(now Now, retentionMs int64) []wire.TopicPartition {
	var since func(Offset) int64
	switch {
	case g.protocolType == "":
		since = func(o Offset) int64 { return o.Committed }
	case g.state == Empty:
		since = func(o Offset) int64 {
			if g.stateSince < 0 {
				return o.Committed
			}
			return g.stateSince
		}
	case g.state == Stable && g.protocolType == consumerProtocol && g.knowsSubscribed:
		since = func(o Offset) int64 {
			if g.reads(o.TP.Topic) {
				return now.Wall
			}
			return o.Committed
		}
	default:
		return nil
	}
	var expired []wire.TopicPartition
	for key, o := range g.offsets.committed { // unordered: sorted below
		switch {
		case len(g.offsets.pending[key]) > 0 || g.inTxn(key):
			// DEVIATION(KIP-211): Kafka 3.9 does not look at the commits of open transactions; the coordinator that follows it does (OffsetMetadataManager#cleanupExpiredOffsets). Were the transaction
			// aborted, the group would have nothing, and its topic was read all the time.
			continue
		case o.Expires >= 0 && (g.state != Stable || !g.reads(key.Topic)):
			if now.Wall < o.Expires {
				continue
			}
		case o.Expires >= 0 || now.Wall-since(o) < retentionMs:
			continue
		}
		expired = append(expired, key)
	}
	slices.SortFunc(expired, wire.TopicPartition.Compare)
	return expired
}

// Kill makes the group Dead: it has been removed.
func (g *Group) Kill(now Now) { g.become(Dead, now) }
