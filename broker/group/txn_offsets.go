package group

import (
	"maps"
	"slices"

	"barnabas/broker/bug"
	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// TxnCommitRequest is what is to be committed with a transaction, and who says so.
type TxnCommitRequest struct {
	ProducerID    int64
	ProducerEpoch int16
	MemberID      string
	InstanceID    *string
	Generation    int32 // -1 from who is no member, and before version 3
	Offsets       []Offset
	// Guard shows that the transaction is open, and that the group's partition is part of it; nil if its log knows that already.
	Guard *log.Guard
}

// ValidateTxnCommit says whether who commits with a transaction may. A producer before KIP-447 names no member, and is fenced by its epoch
// alone; one that does must be of the present generation.
//
// Source: GroupCoordinator#validateOffsetCommit with isTransactional.
func (g *Group) ValidateTxnCommit(memberID string, instance *string, generation int32) *kerr.Error {
	if g.state == Dead {
		return kerr.CoordinatorNotAvailable
	}
	if generation < 0 && (g.state == Empty || memberID == "" && instance == nil) {
		return nil
	}
	if err := g.validate(memberID, instance); err != nil {
		return err
	}
	if generation != g.generation {
		markTransactionalCommitOfAnotherGeneration.Hit()
		return kerr.IllegalGeneration
	}
	return nil
}

// addTxnOffset notes an offset that waits for the marker of its transaction; the later one in the log wins.
func (g *Group) addTxnOffset(producer int64, o Offset) {
	if g.offsets.txn[producer] == nil {
		g.offsets.txn[producer] = map[wire.TopicPartition]Offset{}
	}
	if old, ok := g.offsets.txn[producer][o.TP]; !ok || o.at >= old.at {
		g.offsets.txn[producer][o.TP] = o
	}
}

// failTxnOffset takes one back that will never be in the log.
func (g *Group) failTxnOffset(producer int64, o Offset) {
	if g.offsets.txn[producer][o.TP].at == o.at {
		delete(g.offsets.txn[producer], o.TP)
	}
	if len(g.offsets.txn[producer]) == 0 {
		delete(g.offsets.txn, producer)
	}
}

// EndTxn applies what a producer committed before its marker, or drops it. Source: GroupMetadata#completePendingTxnOffsetCommit.
func (g *Group) EndTxn(producer int64, commit bool, marker int64) {
	list := g.offsets.txn[producer]
	for key, o := range list { // unordered: each is another partition's
		if o.at > marker {
			markOffsetOfTheNextTransaction.Hit()
			continue // of the next transaction
		}
		if delete(list, key); commit {
			g.SetOffset(o)
		}
	}
	if len(list) == 0 {
		delete(g.offsets.txn, producer)
	}
}

// inTxn reports whether a transaction that is open commits an offset of the partition.
func (g *Group) inTxn(key wire.TopicPartition) bool {
	for _, list := range g.offsets.txn { // unordered: any will do
		if _, ok := list[key]; ok {
			return true
		}
	}
	return false
}

// dropFromTxns leaves a transaction of which nothing is left open all the same: it keeps the group until its marker is there.
func (g *Group) dropFromTxns(key wire.TopicPartition) {
	for _, list := range g.offsets.txn { // unordered: each is judged by itself
		delete(list, key)
	}
}

// TxnCommit writes offsets as part of a transaction: they count once its marker is in the log. The answers are those of the offsets, in
// order; nil is done.
//
// Errors: INVALID_GROUP_ID, those of Group.ValidateTxnCommit and Commit, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE. Source:
// GroupCoordinator#handleTxnCommitOffsets.
func (c *Coordinator) TxnCommit(group string, r TxnCommitRequest) *coordinator.Promise[[]*kerr.Error] {
	p := coordinator.NewPromise[[]*kerr.Error](c.e)
	answers := make([]*kerr.Error, len(r.Offsets))
	refuse := func(err *kerr.Error) *coordinator.Promise[[]*kerr.Error] {
		for i := range answers {
			answers[i] = err
		}
		p.Set(answers)
		return p
	}
	s, err := c.enterNamed(group)
	if err != nil {
		return refuse(err)
	}
	now := c.r.Now()
	g := s.groups[group]
	if g == nil {
		g = s.create(group, now)
	}
	defer s.leave(g)
	if err := g.ValidateTxnCommit(r.MemberID, r.InstanceID, r.Generation); err != nil && !c.o.Config.Bugs.Has(bug.TxnOffsetsUnfenced) {
		return refuse(err)
	}
	s.txnCommit(g, r, answers, p.Set, now)
	return p
}

// txnCommit appends the offsets that may be, and gives the answers when they are replicated. The shard is locked.
func (s *shard) txnCommit(g *Group, r TxnCommitRequest, answers []*kerr.Error, tell func([]*kerr.Error), now Now) {
	var kept []Offset
	var places []int
	var b coordinator.Records
	for i := range r.Offsets {
		o := &r.Offsets[i]
		if wire.UTF16Len(o.Metadata) > s.c.o.Config.OffsetMetadataBytesMax {
			answers[i] = kerr.OffsetMetadataTooLarge
			continue
		}
		kept, places = append(kept, *o), append(places, i)
		b.Add(offsetKey(g.ID, o.TP), offsetValue(o), now)
	}
	if len(kept) == 0 {
		tell(answers)
		return
	}
	answer := func(err *kerr.Error) {
		told := slices.Clone(answers)
		for _, i := range places {
			told[i] = err
		}
		tell(told)
	}
	o := record.NewBatchOptions()
	o.ProducerID, o.ProducerEpoch, o.Transactional = r.ProducerID, r.ProducerEpoch, true
	base, err := s.WriteAs(&b, o, partition.AppendOptions{Verified: s.c.o.Config.Live().TransactionVerification, Guard: r.Guard}, coordinator.Append{
		Late: func(Now) { answer(kerr.RequestTimedOut) },
		Done: func(_ Now, err error) {
			if err != nil && !inLogForGood(err) {
				for i := range kept {
					markTransactionalCommitNotReplicated.Hit()
					g.failTxnOffset(r.ProducerID, kept[i])
				}
			}
			answer(commitError(err))
		},
	})
	if err != nil {
		answer(commitError(err))
		return
	}
	s.openTxn(r.ProducerID, g.ID)
	for i := range kept {
		kept[i].at = base + int64(i)
		g.addTxnOffset(r.ProducerID, kept[i])
	}
}

// inLogForGood reports whether what could not be acknowledged is in the log all the same.
func inLogForGood(err error) bool { return wire.Code(err) == kerr.NotEnoughReplicasAfterAppend.Code }

var evTxnEnded = env.NewKind("group-txn-ended", env.Debug, "producer", "commit", "groups", "offset")

// EndTxn says that the marker of a producer's transaction is in a partition of __consumer_offsets, at that offset, and replicated: what the
// transaction has committed counts now, or is dropped. The producer's groups are all in that partition. It does not wait: who notifies the
// partition may hold the shard's lock, so the worker does it.
//
// Source: GroupCoordinator#scheduleHandleTxnCompletion, GroupMetadataManager#handleTxnCompletion.
func (c *Coordinator) EndTxn(number int32, producer int64, commit bool, marker int64) {
	c.r.Soon(func() {
		// Of a shard that is not there the next coordinator reads the marker; one that is being loaded may have begun before the marker was there, and
		// hears of it when it is.
		if err := c.endTxn(number, producer, commit, marker); err == kerr.CoordinatorLoadInProgress {
			markTransactionEndsWhileLoading.Hit()
			c.r.Do(func() { c.endTxn(number, producer, commit, marker) })
		}
	})
}

func (c *Coordinator) endTxn(number int32, producer int64, commit bool, marker int64) *kerr.Error {
	s, err := c.r.EnterPartition(number)
	if err != nil {
		return err
	}
	defer s.Unlock()
	s.State.endTxn(producer, commit, marker)
	return nil
}

func (s *shard) endTxn(producer int64, commit bool, marker int64) {
	ev := env.Event{Kind: evTxnEnded, Topic: Topic, Partition: s.Partition, V: [4]int64{producer, 0, 0, marker}}
	if commit {
		ev.V[1] = 1
	}
	for _, id := range slices.Sorted(maps.Keys(s.txns[producer])) {
		g := s.groups[id]
		if g == nil {
			delete(s.txns[producer], id) // it was removed
			continue
		}
		if g.EndTxn(producer, commit, marker); len(g.offsets.txn[producer]) == 0 {
			delete(s.txns[producer], id)
		}
		ev.V[2]++
	}
	if len(s.txns[producer]) == 0 {
		delete(s.txns, producer)
	}
	s.c.e.Emit(ev)
}

// openTxn notes that a group has offsets of a producer's transaction.
func (s *shard) openTxn(producer int64, group string) {
	if s.txns[producer] == nil {
		s.txns[producer] = map[string]bool{}
	}
	s.txns[producer][group] = true
}
