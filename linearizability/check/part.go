package check

import (
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// part is one partition under judgement.
type part struct {
	j         *judge
	topic     *history.Topic
	partition int32
	ops       []int32 // in the order of their recording
	drain     *history.Drain
	stable    *history.Drain // of committed data; nil where there is none
	txns      bool           // some records are part of transactions

	compact compaction

	facts ranks
	slots []slot // by rank
	below []int32
	// belowStable counts as below does, but only what consumers of committed data see.
	belowStable []int32
}

// slot is an offset that holds a fact.
type slot struct {
	write  int32 // index into judge.writes; none if what was read there was never written
	value  int64
	reader int32 // a fetch that read it: the one that returned first; none if it is known from an ack
	by     int32 // the operation that it is known from first
	drain  bool  // the drain read it
}

func (p *part) run() {
	p.checkProcesses()
	p.checkDrain()
	p.gather()
	p.readFacts()
	p.ackFacts()
	p.gatherKeys()
	if p.drain != nil && p.topic.Durable {
		p.checkLost()
	}
	if p.topic.Displaced {
		return
	}
	p.countBelow()
	p.checkPolls()
	p.checkTombstones()
	if p.topic.Durable {
		p.checkOrder()
		p.checkListOffsets()
	}
	if p.topic.Ordered {
		p.checkProducers()
	}
	p.checkBatches()
	p.checkWatermarks()
}

func (p *part) op(i int32) *history.Op { return &p.j.h.Ops[i] }

// trusted reports whether an ack's word can be taken for where the record is.
func (p *part) trusted(op *history.Op) bool {
	return op.Kind == history.Produce && op.Outcome == history.OK && op.Acks == -1 && p.topic.Durable && !p.j.is(MutantAcksAreClaims)
}

// counts reports whether what the fetch read is a fact for good: without durability only the drain's word is.
func (p *part) counts(op *history.Op) bool {
	return op.Kind == history.Fetch && op.Outcome == history.OK && (p.topic.Durable || op.Drain)
}

// checkProcesses checks the assumption that a process does one thing at a time on a partition.
func (p *part) checkProcesses() {
	last := make(map[int32]int32)
	sorted := p.ops
	byCall := func(a, b int32) int {
		x, y := p.op(a), p.op(b)
		switch {
		case x.Call != y.Call:
			return cmp64(x.Call, y.Call)
		case x.Return != y.Return:
			return cmp64(x.Return, y.Return)
		}
		return int(a - b)
	}
	if !slices.IsSortedFunc(sorted, byCall) {
		sorted = slices.Clone(sorted)
		slices.SortFunc(sorted, byCall)
	}
	for _, i := range sorted {
		op := p.op(i)
		if before, ok := last[op.Process]; ok && p.op(before).Return > op.Call {
			p.j.unknown("process %d called operation %d before %d had returned", op.Process, op.ID, p.op(before).ID)
		}
		last[op.Process] = i
	}
}

// checkDrain checks that the drain read what it says it read: only then does absence prove anything.
func (p *part) checkDrain() {
	p.txns = slices.ContainsFunc(p.ops, func(i int32) bool { return p.op(i).Kind == history.Produce && p.op(i).Txn != 0 })
	if p.txns && p.stable == nil && !p.j.o.DrainOptional {
		p.j.unknown("%s-%d has transactions and was not read out with read_committed at the end", p.topic.Name, p.partition)
	}
	for _, d := range []*history.Drain{p.drain, p.stable} {
		p.checkCovered(d)
	}
	if p.drain == nil {
		if !p.j.o.DrainOptional && slices.ContainsFunc(p.ops, func(i int32) bool { return p.op(i).Kind == history.Produce }) {
			p.j.unknown("%s-%d was not read out at the end: what is missing cannot be told from what is lost", p.topic.Name, p.partition)
		}
	}
}

// checkCovered checks that the drain's fetches cover what it says.
func (p *part) checkCovered(d *history.Drain) {
	if d == nil {
		return
	}
	var reads []int32
	for _, i := range p.ops {
		if op := p.op(i); op.Drain && op.Committed == d.Committed && op.Outcome == history.OK {
			reads = append(reads, i)
		}
	}
	slices.SortStableFunc(reads, func(a, b int32) int { return cmp64(p.op(a).From, p.op(b).From) })
	at := d.Start
	for _, i := range reads {
		if op := p.op(i); op.From <= at {
			at = max(at, op.Next)
		}
	}
	if at < d.End {
		p.j.unknown("%s-%d: the drain says it read [%d, %d), but its fetches end at %d", p.topic.Name, p.partition, d.Start, d.End, at)
	}
}

// gather lines the offsets of all facts up.
func (p *part) gather() {
	p.facts = rankSet(func(yield func(int64)) {
		for _, i := range p.ops {
			switch op := p.op(i); {
			case p.counts(op):
				for k := range op.Records {
					yield(op.Records[k].Offset)
				}
			case p.trusted(op) && op.Offset >= 0:
				for k := range op.Records {
					yield(op.Offset + int64(k))
				}
			}
		}
	})
	p.slots = make([]slot, len(p.facts.offsets))
	for i := range p.slots {
		p.slots[i] = slot{write: none, reader: none, by: none}
	}
}

// readFacts takes what was read, record by record.
func (p *part) readFacts() {
	for _, i := range p.ops {
		op := p.op(i)
		if op.Kind != history.Fetch || op.Outcome != history.OK {
			continue
		}
		for k := range op.Records {
			p.readFact(i, op, &op.Records[k])
		}
	}
}

func (p *part) readFact(i int32, op *history.Op, r *history.Record) {
	w := p.origin(i, op, r)
	if !p.counts(op) {
		return
	}
	s := &p.slots[p.facts.of(r.Offset)]
	s.drain = s.drain || op.Drain && !op.Committed
	switch {
	case s.by == none:
		*s = slot{write: w, value: r.Value, reader: i, by: i, drain: s.drain}
	case s.value != r.Value && p.j.is(MutantLastReadCounts):
		*s = slot{write: w, value: r.Value, reader: i, by: i, drain: s.drain}
	case s.value != r.Value:
		p.violate(OffsetStable, fmt.Sprintf("offset %d held value %d when operation %d read it, and value %d when operation %d did",
			r.Offset, s.value, p.op(s.by).ID, r.Value, op.ID), s.by, i, p.writer(s.write), p.writer(w))
	case op.Return < p.op(s.reader).Return:
		s.reader = i
	}
	if w != none {
		p.placeRead(i, op, r, w)
	}
}

// origin finds who wrote a record that was read, and checks that it can have been read.
func (p *part) origin(i int32, op *history.Op, r *history.Record) int32 {
	w := p.j.values.get(r.Value)
	if r.Value == 0 || w == none {
		p.violate(NoPhantom, fmt.Sprintf("operation %d read value %d at offset %d, which nobody wrote", op.ID, r.Value, r.Offset), i)
		return none
	}
	from := p.j.writes[w].op
	wrote := p.op(from)
	switch {
	case wrote.Topic != op.Topic || wrote.Partition != op.Partition:
		p.violate(NoPhantom, fmt.Sprintf("operation %d read value %d at offset %d, which was written to %s-%d",
			op.ID, r.Value, r.Offset, wrote.Topic, wrote.Partition), i, from)
		return none
	case wrote.Outcome == history.Failed || wrote.Outcome == history.Unknown && p.j.is(MutantUnknownFailed):
		p.violate(FailedUnseen, fmt.Sprintf("operation %d read value %d at offset %d, whose write, operation %d, certainly failed",
			op.ID, r.Value, r.Offset, wrote.ID), from, i)
	case op.Return < wrote.Call:
		p.violate(NoPhantom, fmt.Sprintf("operation %d read value %d at offset %d before operation %d wrote it",
			op.ID, r.Value, r.Offset, wrote.ID), i, from)
	}
	if op.Committed && wrote.Txn != 0 {
		p.checkIsolation(i, op, r, from)
	}
	if sum := wrote.Records[w-p.j.base[from]].Sum; sum != r.Sum {
		p.violate(Content, fmt.Sprintf("operation %d read value %d at offset %d with checksum %08x, written with %08x",
			op.ID, r.Value, r.Offset, r.Sum, sum), from, i)
	}
	return w
}

// placeRead notes where a written record was read.
func (p *part) placeRead(i int32, op *history.Op, r *history.Record, w int32) {
	wr := &p.j.writes[w]
	if wr.reader == none {
		wr.place = r.Offset
		if p.op(wr.op).Outcome == history.Unknown {
			p.j.v.Counts.UnknownFound++
		}
	}
	if wr.reader != none && wr.place != r.Offset && p.topic.Once {
		p.violate(NoDuplicate, fmt.Sprintf("value %d is at offset %d in operation %d, and at offset %d in operation %d",
			r.Value, wr.place, p.op(wr.reader).ID, r.Offset, op.ID), wr.op, wr.reader, i)
	}
	wr.drained = wr.drained || op.Drain && !op.Committed
	wr.visible = wr.visible || op.Drain && op.Committed
	if op.Committed && (wr.stable == none || op.Return < p.op(wr.stable).Return) {
		wr.stable = i
	}
	if wr.reader == none || op.Return < p.op(wr.reader).Return && wr.place == r.Offset {
		wr.reader = i
	}
}

// ackFacts takes what was acked with acks=all.
func (p *part) ackFacts() {
	for _, i := range p.ops {
		op := p.op(i)
		if !p.trusted(op) || op.Offset < 0 {
			continue
		}
		for k := range op.Records {
			p.ackFact(i, op, op.Offset+int64(k), p.j.base[i]+int32(k), op.Records[k].Value)
		}
	}
}

func (p *part) ackFact(i int32, op *history.Op, offset int64, w int32, value int64) {
	wr := &p.j.writes[w]
	s := &p.slots[p.facts.of(offset)]
	switch {
	case s.by == none:
		*s = slot{write: w, value: value, reader: none, by: i}
	case s.value != value:
		p.violate(OffsetStable, fmt.Sprintf("offset %d was acked to operation %d for value %d, and holds value %d in operation %d",
			offset, op.ID, value, s.value, p.op(s.by).ID), i, s.by, p.writer(s.write))
	}
	switch {
	case wr.place == history.None:
		wr.place = offset
	case wr.place != offset && p.topic.Once:
		p.violate(NoDuplicate, fmt.Sprintf("value %d was acked to operation %d at offset %d, and operation %d read it at offset %d",
			value, op.ID, offset, p.op(wr.reader).ID, wr.place), i, wr.reader)
	}
}

// writer is the operation that wrote a record, or none.
func (p *part) writer(w int32) int32 {
	if w == none {
		return none
	}
	return p.j.writes[w].op
}

func cmp64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
