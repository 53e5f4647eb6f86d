package check

import (
	"fmt"

	"barnabas/linearizability/history"
)

// countBelow counts, for each rank, the facts below it that a fetch must not pass over: all but those reported lost.
func (p *part) countBelow() {
	p.below = make([]int32, len(p.slots)+1)
	p.belowStable = p.below
	if p.txns {
		p.belowStable = make([]int32, len(p.slots)+1)
	}
	for r := range p.slots {
		p.below[r+1] = p.below[r]
		if p.txns {
			p.belowStable[r+1] = p.belowStable[r]
		}
		if !p.mustBeRead(int32(r), false) {
			continue
		}
		p.below[r+1]++
		if p.txns && p.mustBeRead(int32(r), true) {
			p.belowStable[r+1]++
		}
	}
}

// mustBeRead reports whether a fetch, of committed data or of all, must not pass over the slot. What of a transaction can be seen
// the final drain of committed data has told; without one, what was certainly committed can.
func (p *part) mustBeRead(r int32, committed bool) bool {
	s := &p.slots[r]
	if p.mayBeGone(r) {
		return false
	}
	if s.write == none {
		return !committed || p.stable == nil // it is an anomaly by itself
	}
	w := &p.j.writes[s.write]
	switch {
	case w.lost:
		return false
	case !committed || w.txn == nil:
		return true
	case p.stable != nil:
		return w.visible
	}
	return w.txn.state == txnCommitted
}

// known is the number of such facts in [from, next).
func (p *part) known(from, next int64, committed bool) int32 {
	below := p.below
	if committed {
		below = p.belowStable
	}
	return below[p.facts.below(next)] - below[p.facts.below(from)]
}

// checkPolls looks at each fetch by itself, and at each with the one before it.
func (p *part) checkPolls() {
	last := make(map[int32]int32) // a process's last fetch
	for _, i := range p.ops {
		op := p.op(i)
		if op.Kind != history.Fetch || op.Outcome != history.OK {
			continue
		}
		p.checkInside(i, op)
		if before, ok := last[op.Process]; ok && !op.Seek {
			p.checkBetween(before, i)
		}
		last[op.Process] = i
	}
}

// checkInside checks one fetch: ascending offsets within [From, Next), below the watermark, nothing passed over.
func (p *part) checkInside(i int32, op *history.Op) {
	at, inOrder := op.From, true
	bound, boundName, broken := op.HighWatermark, "high watermark", ReadBelowHW
	if op.Committed && op.LastStable != history.None {
		bound, boundName, broken = op.LastStable, "last stable offset", ReadBelowLSO
	}
	var got int32
	for k := range op.Records {
		r := &op.Records[k]
		if r.Offset < at && inOrder {
			inOrder = false
			p.violateAs(PollMonotonic, anomalyMonotonyInside, fmt.Sprintf("operation %d, a fetch from %d, has offset %d where at least %d was due",
				op.ID, op.From, r.Offset, at), i)
		}
		at = r.Offset + 1
		if p.j.is(MutantAtWatermark) && r.Offset == bound {
			continue
		}
		if bound != history.None && r.Offset >= bound {
			p.violate(broken, fmt.Sprintf("operation %d read offset %d with a %s of %d", op.ID, r.Offset, boundName, bound), i)
			bound = history.None // once is enough
		}
		if f := p.facts.of(r.Offset); f != none && p.mustBeRead(f, op.Committed) {
			got++
		}
	}
	if inOrder && op.Next < at {
		p.violateAs(PollMonotonic, anomalyMonotonyInside, fmt.Sprintf("operation %d read offset %d, and goes on at %d", op.ID, at-1, op.Next), i)
		return
	}
	if p.j.is(MutantSkipOne) {
		got++
	}
	if p.topic.Durable && inOrder && got < p.known(op.From, op.Next, op.Committed) {
		p.skipped(i, op)
	}
}

// skipped names the first record that a fetch passed over.
func (p *part) skipped(i int32, op *history.Op) {
	k := 0
	for f := p.facts.below(op.From); f < p.facts.below(op.Next); f++ {
		offset := p.facts.offsets[f]
		for k < len(op.Records) && op.Records[k].Offset < offset {
			k++
		}
		if s := &p.slots[f]; p.mustBeRead(f, op.Committed) && (k == len(op.Records) || op.Records[k].Offset != offset) {
			p.violateAs(NoSkip, anomalySkipInside, fmt.Sprintf("operation %d read from %d to %d without offset %d, which holds value %d (operation %d)",
				op.ID, op.From, op.Next, offset, s.value, p.op(s.by).ID), i, s.by, p.writer(s.write))
			return
		}
	}
}

// checkBetween checks that a fetch begins where the process's last one ended.
func (p *part) checkBetween(before, i int32) {
	last, op := p.op(before), p.op(i)
	switch {
	case op.From < last.Next:
		p.violate(PollMonotonic, fmt.Sprintf("operation %d fetched from %d after operation %d had come to %d", op.ID, op.From, last.ID, last.Next),
			before, i)
	case op.From > last.Next && p.topic.Durable && p.known(last.Next, op.From, op.Committed) > 0:
		f := p.facts.below(last.Next)
		for !p.mustBeRead(f, op.Committed) {
			f++
		}
		s := &p.slots[f]
		p.violate(NoSkip, fmt.Sprintf("operation %d fetched from %d after operation %d had come to %d, and there are records between, value %d the first",
			op.ID, op.From, last.ID, last.Next, s.value), before, i, s.by)
	}
}
