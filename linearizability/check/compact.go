package check

import (
	"fmt"
	"math"
	"slices"

	"barnabas/linearizability/history"
)

// A compacted topic keeps of each key in a partition the last record; a tombstone, which deletes its key, it keeps for
// delete.retention.ms, so that whoever reads from the start comes to know of it. That time begins with the pass of a cleaner
// that meets the tombstone, so it is over no sooner than that long after the append was called.
//
// Worked example: key 5 is written at offsets 3 and 9 and deleted at 14. A fetch from 0 to 20 need have neither 3 nor 9; 14 it
// must have, if it returns within delete.retention.ms of the call of that append.

// compaction is what a partition's cleaners may have taken.
type compaction struct {
	superseded []bool  // by rank: a later record has the same key
	tombstones []int32 // ranks of those that are the last of their key, ascending
}

// keyOf is the key of a written record, negative for a tombstone; 0 for none.
func (j *judge) keyOf(w int32) int64 {
	if w == none {
		return 0
	}
	i := j.writes[w].op
	if keys := j.h.Ops[i].Keys; keys != nil {
		return keys[w-j.base[i]]
	}
	return 0
}

// retained is until when a tombstone is surely kept.
func (p *part) retained(wrote *history.Op) int64 {
	if p.j.is(MutantTombstonesEarly) {
		return wrote.Call
	}
	if p.topic.DeleteRetention <= 0 || wrote.Call > math.MaxInt64-p.topic.DeleteRetention {
		return math.MaxInt64
	}
	return wrote.Call + p.topic.DeleteRetention
}

// gatherKeys finds the last record of each key.
func (p *part) gatherKeys() {
	if !p.topic.Compacted {
		return
	}
	p.compact.superseded = make([]bool, len(p.slots))
	later := p.vanished()
	for r := len(p.slots) - 1; r >= 0; r-- {
		key := p.j.keyOf(p.slots[r].write)
		if key == 0 {
			continue
		}
		if p.compact.superseded[r] = later[abs(key)]; !later[abs(key)] && key < 0 {
			p.compact.tombstones = append(p.compact.tombstones, int32(r))
		}
		later[abs(key)] = true
	}
	slices.Reverse(p.compact.tombstones)
}

// vanished are the keys of which a tombstone may have been in the log that nobody has seen, and is not any more.
func (p *part) vanished() map[int64]bool {
	keys := map[int64]bool{}
	end := int64(0)
	for _, i := range p.ops {
		end = max(end, p.op(i).Return)
	}
	for _, i := range p.ops {
		op := p.op(i)
		if op.Kind != history.Produce || op.Outcome == history.Failed || p.retained(op) >= end {
			continue
		}
		for k := range op.Keys {
			if op.Keys[k] < 0 && p.j.writes[p.j.base[i]+int32(k)].place == history.None {
				keys[-op.Keys[k]] = true
			}
		}
	}
	return keys
}

// mayBeGone reports whether a cleaner may have taken what the slot holds: for a tombstone that depends on when, which
// checkTombstones sees to.
func (p *part) mayBeGone(r int32) bool {
	return p.topic.Compacted && (p.compact.superseded[r] || p.j.keyOf(p.slots[r].write) < 0)
}

// checkTombstones holds that no fetch passes over a tombstone, the last word of its key, before its time.
func (p *part) checkTombstones() {
	if len(p.compact.tombstones) == 0 || !p.topic.Durable {
		return
	}
	for _, i := range p.ops {
		op := p.op(i)
		if op.Kind != history.Fetch || op.Outcome != history.OK {
			continue
		}
		at, _ := slices.BinarySearch(p.compact.tombstones, p.facts.below(op.From))
		for ; at < len(p.compact.tombstones); at++ {
			r := p.compact.tombstones[at]
			offset := p.facts.offsets[r]
			if offset >= op.Next {
				break
			}
			w := p.slots[r].write
			from := p.j.writes[w].op
			if _, read := slices.BinarySearchFunc(op.Records, offset, func(x history.Record, o int64) int { return cmp64(x.Offset, o) }); read || op.Return >= p.retained(p.op(from)) {
				continue
			}
			kept := "for good"
			if p.topic.DeleteRetention > 0 {
				kept = fmt.Sprintf("for %.1fs", float64(p.topic.DeleteRetention)/1e9)
			}
			p.violate(CompactLast, fmt.Sprintf("operation %d read from %d to %d without offset %d, which deletes key %d and is to stay %s",
				op.ID, op.From, op.Next, offset, -p.j.keyOf(w), kept), from, i, p.slots[r].reader)
			return // one is enough: all that the cleaner took early look the same
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }
