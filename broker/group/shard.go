package group

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shard is the groups that live in one partition of __consumer_offsets, for as long as this broker leads it.
type shard struct {
	c         *Coordinator
	partition int32
	epoch     atomic.Int32 // of the leadership: it may grow while the broker goes on leading
	gone      atomic.Bool  // leadership is lost: nothing may be done or written any more

	mu     env.Mutex
	active bool // loaded
	p      *partition.Partition
	groups map[string]*Group
	txns   map[int64]map[string]bool // by producer id: groups with offsets of its open transaction
	heir   env.Instant               // until when members may come that joined the coordinator before us

	waiting []waiting // appended and not replicated; by required. Under the coordinator's mutex
}

// waiting is an append that is not replicated yet. Both functions are called with the shard locked; either may be nil.
type waiting struct {
	required int64 // the high watermark to reach
	epoch    int32 // that it was appended in
	deadline env.Instant
	late     func(Now)        // the deadline came first; done comes later
	done     func(Now, error) // it is replicated, or never will be
	told     bool             // late was called
}

// batch gathers records for one append.
type batch struct{ record.Builder }

func (b *batch) add(key, value []byte, now Now) { b.Append(now.Wall, key, value) }

func (s *shard) names() []string { return slices.Sorted(maps.Keys(s.groups)) }

func (s *shard) create(id string, now Now) *Group {
	g := New(id, s.c.limits, now)
	s.groups[id] = g
	return g
}

// leave writes what the group wants written, sees to its timer, and unlocks the shard.
func (s *shard) leave(g *Group) {
	s.flush(g)
	s.arm(g)
	s.mu.Unlock()
}

// flush appends the group's writes. One that fails tells the group at once, which may want another.
func (s *shard) flush(g *Group) {
	for {
		writes := g.TakeWrites()
		if len(writes) == 0 {
			return
		}
		for _, w := range writes {
			s.store(g, w)
		}
	}
}

func (s *shard) store(g *Group, w Write) {
	now := s.c.now()
	var b batch
	b.add(groupKey(g.ID), groupValue(w.Value), now)
	told := false
	tell := func(now Now, err *kerr.Error) {
		if told {
			return
		}
		told = true
		w.Done(now, err)
		s.flush(g)
		s.arm(g)
	}
	_, err := s.append(&b, waiting{
		late: func(now Now) { tell(now, kerr.RebalanceInProgress) },
		done: func(now Now, err error) { tell(now, storeError(err)) },
	})
	if err != nil {
		told = true
		w.Done(now, storeError(err))
	}
}

func groupValue(v *kmsg.GroupMetadataValue) []byte { return v.AppendTo(nil) }

// append appends a batch as leader of the epoch that the groups were loaded in, and has w called when it is replicated. The
// shard is locked, so that records stand in the order in which groups changed. It returns the first record's offset.
func (s *shard) append(b *batch, w waiting) (int64, error) {
	return s.appendAs(b, record.NewBatchOptions(), nil, w)
}

// appendAs is append in the name of a producer, as part of its transaction, which guard shows to be open.
func (s *shard) appendAs(b *batch, o record.BatchOptions, guard *log.Guard, w waiting) (int64, error) {
	if s.gone.Load() {
		return -1, fmt.Errorf("%s-%d: leadership is lost: %w", Topic, s.partition, kerr.NotLeaderForPartition)
	}
	data, err := b.Build(nil, o)
	if err != nil {
		return -1, err
	}
	result, err := s.p.AppendAsLeader(data, partition.AppendOptions{Acks: partition.AcksAll, LeaderEpoch: s.epoch.Load(), Coordinator: true,
		Verified: o.Transactional && s.c.o.Config.TransactionVerification, Guard: guard})
	if err != nil {
		return -1, err
	}
	if w.done == nil {
		return result.BaseOffset, nil
	}
	w.required, w.epoch, w.deadline = result.RequiredOffset, result.LeaderEpoch, s.c.e.Mono().Add(s.c.o.Config.OffsetsCommitTimeout)
	c := s.c
	c.mu.Lock()
	assert.That(len(s.waiting) == 0 || s.waiting[len(s.waiting)-1].required <= w.required, "INV-GROUP-APPEND: appends of %s-%d are in order", Topic, s.partition)
	if len(s.waiting) == 0 {
		c.busy = append(c.busy, s)
	}
	s.waiting = append(s.waiting, w)
	c.mu.Unlock()
	c.poke()
	return result.BaseOffset, nil
}

// arm sees to it that the worker looks at the group when something is due.
func (s *shard) arm(g *Group) {
	at := g.Deadline()
	if at >= g.armed {
		return
	}
	g.armed = at
	c := s.c
	c.mu.Lock()
	c.timers.push(timer{at: at, s: s, g: g})
	sooner := at < c.wakeAt
	c.mu.Unlock()
	if sooner {
		c.poke()
	}
}

// unload ends the shard: whoever waits is told to look for another coordinator.
func (s *shard) unload() {
	assert.That(s.gone.Load(), "INV-GROUP-SHARD: %s-%d is unloaded once it is gone", Topic, s.partition)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.now()
	for _, id := range s.names() {
		s.groups[id].Unload(now)
	}
	s.groups = map[string]*Group{}
}
