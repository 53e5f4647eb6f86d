package group

import (
	"maps"
	"slices"

	"barnabas/broker/coordinator"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shard is the groups that live in one partition of __consumer_offsets, for as long as this broker leads it.
type shard struct {
	*coordinator.Shard[*shard] // nil until it is loaded

	c      *Coordinator
	groups map[string]*Group
	txns   map[int64]map[string]bool // by producer id: groups with offsets of its open transaction
	heir   env.Instant               // until when members may come that joined the coordinator before us
	open   openTxns                  // while it is loaded
}

func (c *Coordinator) newShard() *shard {
	return &shard{c: c, groups: map[string]*Group{}, txns: map[int64]map[string]bool{}, open: openTxns{}}
}

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
	s.Unlock()
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
	now := s.c.r.Now()
	var b coordinator.Records
	b.Add(groupKey(g.ID), groupValue(w.Value), now)
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
	_, err := s.Write(&b, coordinator.Append{
		Late: func(now Now) { tell(now, kerr.RebalanceInProgress) },
		Done: func(now Now, err error) { tell(now, storeError(err)) },
	})
	if err != nil {
		told = true
		w.Done(now, storeError(err))
	}
}

func groupValue(v *kmsg.GroupMetadataValue) []byte { return v.AppendTo(nil) }

// arm sees to it that the group is looked at when something is due. It may be armed more than once; what comes for a time that it is not
// armed for any more is nothing.
func (s *shard) arm(g *Group) {
	at := g.Deadline()
	if at >= g.armed {
		return
	}
	g.armed = at
	s.At(at, func(now Now) {
		if g.armed != at || s.groups[g.ID] != g {
			return
		}
		g.armed = env.Never
		g.Tick(now)
		s.flush(g)
		s.arm(g)
	})
}
