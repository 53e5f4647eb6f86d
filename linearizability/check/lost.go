package check

import (
	"fmt"

	"barnabas/linearizability/history"
)

// checkLost looks in the final drain for what must be there.
func (p *part) checkLost() {
	for _, i := range p.ops {
		op := p.op(i)
		if !p.trusted(op) {
			continue
		}
		for k := range op.Records {
			p.checkAcked(i, op, k)
		}
	}
	for r := range p.slots {
		if !p.mayBeGone(int32(r)) {
			p.checkRead(p.facts.offsets[r], &p.slots[r])
		}
	}
}

// checkAcked reports an acked record that the drain has not got.
func (p *part) checkAcked(i int32, op *history.Op, k int) {
	w := &p.j.writes[p.j.base[i]+int32(k)]
	offset := history.None
	if op.Offset >= 0 {
		offset = op.Offset + int64(k)
	}
	if w.drained || p.topic.Retention && offset < p.drain.Start || p.topic.Compacted && p.gone(w, op, k) {
		return
	}
	w.lost = true
	where := "an offset that was not told"
	if offset != history.None {
		where = fmt.Sprintf("offset %d", offset)
	}
	seen := "nobody ever read it"
	if w.reader != none {
		seen = fmt.Sprintf("operation %d had read it", p.op(w.reader).ID)
	}
	witness := []int32{i, w.reader}
	if offset != history.None {
		if r := p.facts.of(offset); p.slots[r].value != op.Records[k].Value {
			seen += fmt.Sprintf("; value %d is at that offset", p.slots[r].value)
			witness = append(witness, p.writer(p.slots[r].write), p.slots[r].by)
		}
		witness = append(witness, p.drainOf(offset))
	}
	name := anomaly[NoLostWrite]
	if offset >= p.drain.End && w.reader == none {
		name = anomalyUnseen
	}
	p.violateAs(NoLostWrite, name, fmt.Sprintf("operation %d wrote value %d, acked with acks=all at %s; the final drain of [%d, %d) has not got it; %s",
		op.ID, op.Records[k].Value, where, p.drain.Start, p.drain.End, seen), witness...)
}

// gone reports whether a cleaner may have taken an acked record.
func (p *part) gone(w *write, op *history.Op, k int) bool {
	if w.place != history.None {
		return p.mayBeGone(p.facts.of(w.place))
	}
	return op.Keys != nil && op.Keys[k] < 0 // where it was nobody knows
}

// checkRead reports a record that somebody read and the drain has not got, unless it was reported as an acked one.
func (p *part) checkRead(offset int64, s *slot) {
	if s.drain || s.reader == none || p.topic.Retention && offset < p.drain.Start {
		return
	}
	if s.write != none && (p.j.writes[s.write].lost || p.j.writes[s.write].drained) {
		return // lost, or at another offset: reported as such
	}
	p.violate(ReadDurable, fmt.Sprintf("operation %d read value %d at offset %d; the final drain of [%d, %d) has not got it",
		p.op(s.reader).ID, s.value, offset, p.drain.Start, p.drain.End), s.reader, p.writer(s.write), p.drainOf(offset))
}

// drainOf is the drain's fetch that passed an offset, or none.
func (p *part) drainOf(offset int64) int32 {
	for _, i := range p.ops {
		if op := p.op(i); op.Drain && op.Outcome == history.OK && op.From <= offset && offset < op.Next {
			return i
		}
	}
	return none
}
