package group

import (
	"slices"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/coordinator"
	"barnabas/broker/record"
)

// heirPatience is for how long after its load a coordinator takes strangers for members of its predecessor's last generation.
const heirPatience = 30 * time.Second

// openTxns are the offsets, of transactions that have not ended, that were met while a shard is loaded; by producer id.
type openTxns map[int64][]openOffset

type openOffset struct {
	group string
	Offset
}

// replay takes a batch of __consumer_offsets in: the last record of a key stands. Source: GroupMetadataManager#doLoadGroupsAndOffsets.
func (c *Coordinator) replay(s *shard, b record.Batch) error {
	if b.IsControl() {
		marker, ok, err := b.EndTxn()
		if err != nil || !ok {
			return err
		}
		if marker.Type == record.ControlCommit {
			for _, o := range s.open[b.ProducerID()] {
				markLoadedACommittedTransaction.Hit()
				s.get(o.group).SetOffset(o.Offset)
			}
		}
		delete(s.open, b.ProducerID())
		return nil
	}
	it := record.NewIterator(b, 0)
	for it.Next() {
		if err := s.replayRecord(it.Record(), b); err != nil {
			return err
		}
	}
	return it.Err()
}

func (s *shard) replayRecord(r record.Record, b record.Batch) error {
	e, known, err := parseEntry(r.Key, r.Value)
	switch {
	case err != nil || !known:
		return err
	case e.isGroup:
		return s.replayGroup(e)
	case e.value == nil:
		if g := s.groups[e.group]; g != nil {
			if g.dropOffset(*e.offset); g.generation == 0 && len(g.offsets.committed) == 0 {
				delete(s.groups, e.group) // it kept offsets only, and has no tombstone of its own
			}
		}
		return nil
	}
	o, err := parseOffset(*e.offset, e.value, r.Offset)
	if err != nil {
		return err
	}
	if s.c.o.Config.Bugs.Has(bug.OffsetEarlyExpire) {
		o.Expires = max(o.Committed, 0)
	}
	if b.IsTransactional() {
		s.open[b.ProducerID()] = append(s.open[b.ProducerID()], openOffset{e.group, o})
		return nil
	}
	s.get(e.group).SetOffset(o)
	return nil
}

// get is the group of an offset, made if there is none yet.
func (s *shard) get(id string) *Group {
	g := s.groups[id]
	if g == nil {
		g = s.create(id, Now{})
		g.stateSince = -1
	}
	return g
}

// replayGroup takes a group's record. Its offsets have records of their own.
func (s *shard) replayGroup(e entry) error {
	old := s.groups[e.group]
	if e.value == nil {
		if old != nil && len(old.offsets.committed) == 0 {
			markLoadedATombstoneOfAGroup.Hit()
			delete(s.groups, e.group)
			return nil
		}
		if old != nil { // offsets without a group
			delete(s.groups, e.group)
			s.get(e.group).offsets = old.offsets
		}
		return nil
	}
	g, err := load(e.group, slices.Clone(e.value), s.c.limits, Now{})
	if err != nil {
		return err
	}
	if old != nil {
		g.offsets = old.offsets
	}
	s.groups[e.group] = g
	return nil
}

// loaded begins with what was read. Offsets of transactions that are still open are left to their groups: their markers come yet.
func (c *Coordinator) loaded(led *coordinator.Shard[*shard], now Now) {
	s := led.State
	s.Shard = led
	if led.Epoch > 0 { // somebody led before us
		s.heir = now.Mono.Add(heirPatience)
	}
	for producer, list := range s.open { // unordered: each goes to its own place
		for _, o := range list {
			markLoadedAnOpenTransaction.Hit()
			s.get(o.group).addTxnOffset(producer, o.Offset)
			s.openTxn(producer, o.group)
		}
	}
	s.open = nil
	for _, id := range s.names() {
		g := s.groups[id]
		g.loaded(now)
		s.flush(g)
		s.arm(g)
	}
}

// unloaded tells whoever waits to look for another coordinator.
func (c *Coordinator) unloaded(led *coordinator.Shard[*shard], now Now) {
	for _, id := range led.State.names() {
		led.State.groups[id].Unload(now)
	}
}
