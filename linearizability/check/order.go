package check

import (
	"fmt"
	"math"
	"slices"

	"barnabas/linearizability/history"
)

// never is the end of an operation of which nobody knows when it took effect.
const never = math.MaxInt64

// end is when an operation had surely taken effect: at the return of op.
type end struct {
	at int64
	op int32 // whose return it is; none while at is never
}

func (e *end) bring(at int64, op int32) {
	if at < e.at {
		e.at, e.op = at, op
	}
}

// checkOrder checks that the order of the offsets agrees with real time: no append ends before another of a lower offset
// is called.
//
// Line all appends up by offset, and put each read behind the last append that it has seen. In that line nothing may
// have been called after something further on had ended. One walk from the last to the first, with the earliest end so
// far in hand, finds every break. Reads bound what lies before them (it was there when they returned); what they did
// not see may have been there for long, unless the topic promises fresh reads: then they take part like appends.
func (p *part) checkOrder() {
	n := len(p.slots)
	seen := make([]end, n+1) // by number of facts seen: the read that returned first
	for k := range seen {
		seen[k] = end{never, none}
	}
	for _, i := range p.ops {
		op := p.op(i)
		if length, ok := p.length(op); ok && !p.j.is(MutantReadsBoundNothing) {
			seen[length].bring(op.Return, i)
		}
	}
	var fresh []end // by number of facts seen: the earliest end of what such a read must come before
	if p.topic.Fresh {
		fresh = make([]end, n+1)
	}
	earliest := end{never, none}
	for k := n; k >= 0; k-- {
		if fresh != nil {
			fresh[k] = earliest
		}
		earliest.bring(seen[k].at, seen[k].op)
		if k == 0 {
			break
		}
		w := p.slots[k-1].write
		if w == none || p.j.writes[w].lost {
			continue
		}
		p.checkCall(k-1, w, earliest)
		if at, op := p.endOf(k-1, w); op != none {
			earliest.bring(at, op)
		}
	}
	if fresh != nil {
		p.checkFresh(fresh)
	}
}

// checkCall checks that an append was called before what lies behind it ended.
func (p *part) checkCall(slot int, w int32, earliest end) {
	i := p.j.writes[w].op
	op := p.op(i)
	if op.Call <= earliest.at {
		return
	}
	later := p.op(earliest.op)
	if later.Kind == history.Produce {
		p.violate(Order, fmt.Sprintf("operation %d was called after operation %d had returned, and value %d got the lower offset, %d",
			op.ID, later.ID, p.slots[slot].value, p.facts.offsets[slot]), earliest.op, i, p.slots[slot].reader)
		return
	}
	p.violate(Order, fmt.Sprintf("operation %d was called after operation %d had seen the log beyond offset %d, and value %d got that offset",
		op.ID, later.ID, p.facts.offsets[slot], p.slots[slot].value), earliest.op, i, p.slots[slot].reader)
}

// endOf is when the record of a slot had surely been appended there: when its write returned with the leader's ack for
// that offset, or when somebody had read it.
func (p *part) endOf(slot int, w int32) (at int64, op int32) {
	wr := &p.j.writes[w]
	e := end{never, none}
	wrote := p.op(wr.op)
	here := wrote.Offset >= 0 && wrote.Offset+int64(w-p.j.base[wr.op]) == p.facts.offsets[slot]
	if wrote.Outcome == history.OK && wrote.Acks != 0 && (here || wrote.Offset < 0 && p.topic.Once) {
		e.bring(wrote.Return, wr.op)
	}
	if r := p.slots[slot].reader; r != none && !p.j.is(MutantReadsBoundNothing) {
		e.bring(p.op(r).Return, r)
	}
	return e.at, e.op
}

// length is how many facts a read, or a question for the latest offset, knows of.
func (p *part) length(op *history.Op) (int32, bool) {
	switch {
	case op.Outcome != history.OK:
		return 0, false
	case op.Kind == history.Fetch:
		if op.HighWatermark != history.None {
			return p.facts.below(max(op.HighWatermark, op.Next)), true
		}
		return p.facts.below(op.Next), true
	case op.Kind == history.ListOffsets && op.From == -1 && op.Offset >= 0:
		return p.facts.below(op.Offset), true
	}
	return 0, false
}

// checkFresh checks that reads know of everything that had ended before they were called.
func (p *part) checkFresh(fresh []end) {
	for _, i := range p.ops {
		op := p.op(i)
		length, ok := p.length(op)
		if !ok || op.Kind != history.Fetch || op.HighWatermark == history.None {
			continue
		}
		if p.insideBatch(length) {
			p.violate(BatchWhole, fmt.Sprintf("operation %d was told of a high watermark of %d, which is inside of a batch", op.ID, op.HighWatermark),
				i, p.writer(p.slots[length].write))
		}
		if e := fresh[length]; e.at < op.Call {
			p.violate(Fresh, fmt.Sprintf("operation %d knew of the log up to offset %d, though operation %d had seen or written more before it was called",
				op.ID, op.HighWatermark, p.op(e.op).ID), e.op, i)
		}
	}
}

// insideBatch reports whether so many facts end between two records of one batch.
func (p *part) insideBatch(length int32) bool {
	if length == 0 || int(length) == len(p.slots) {
		return false
	}
	a, b := p.slots[length-1].write, p.slots[length].write
	return a != none && b == a+1 && p.j.writes[a].op == p.j.writes[b].op
}

// checkProducers checks that what one producer sent is in the log in that order.
func (p *part) checkProducers() {
	var sent []int32
	for _, i := range p.ops {
		if op := p.op(i); op.Kind == history.Produce && op.Producer != history.None {
			sent = append(sent, i)
		}
	}
	slices.SortFunc(sent, func(a, b int32) int {
		x, y := p.op(a), p.op(b)
		if c := cmp64(x.Producer, y.Producer); c != 0 {
			return c
		}
		if c := cmp64(x.Seq, y.Seq); c != 0 {
			return c
		}
		return int(a - b)
	})
	highest, by := history.None, none
	for n, i := range sent {
		op := p.op(i)
		if n > 0 && p.op(sent[n-1]).Producer != op.Producer {
			highest, by = history.None, none
		}
		for k := range op.Records {
			w := &p.j.writes[p.j.base[i]+int32(k)]
			if w.place == history.None || w.lost {
				continue
			}
			if w.place <= highest && by != i {
				p.violate(ProducerOrder, fmt.Sprintf("producer %d sent value %d in operation %d after operation %d, and it is at offset %d, before %d",
					op.Producer, op.Records[k].Value, op.ID, p.op(by).ID, w.place, highest), by, i, w.reader)
			}
			if w.place > highest {
				highest, by = w.place, i
			}
		}
	}
}

// checkBatches checks that the records of a batch, if they are there, are there next to each other and in order.
func (p *part) checkBatches() {
	if !p.topic.Once {
		return // the copies of a batch are not told apart
	}
	for _, i := range p.ops {
		op := p.op(i)
		if op.Kind != history.Produce || len(op.Records) < 2 {
			continue
		}
		first := &p.j.writes[p.j.base[i]]
		whole := p.drain != nil && !p.topic.Retention && !p.topic.Compacted // the drain read all of it, or nothing
		for k := 1; k < len(op.Records); k++ {
			w := &p.j.writes[p.j.base[i]+int32(k)]
			if whole && w.drained != first.drained && !w.lost && !first.lost {
				p.violate(BatchWhole, fmt.Sprintf("operation %d wrote one batch, and the final drain has only one of its records 0 and %d",
					op.ID, k), i, first.reader, w.reader)
				break
			}
			if first.place != history.None && w.place != history.None && w.place != first.place+int64(k) {
				p.violate(BatchWhole, fmt.Sprintf("operation %d wrote one batch, and its first record is at offset %d, its record %d at offset %d",
					op.ID, first.place, k, w.place), i, first.reader, w.reader)
				break
			}
		}
	}
}
