package check

import (
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// Online judges operations one by one, as they are recorded, in bounded memory: so that a run of hours stops at its first
// violation. It holds each partition to what one operation shows against the newest facts; what only the whole history
// can show (a lost write, the order of appends) is Judge's, at the end. It never says other than Judge would: every
// violation is one of Judge's, by the same id.
type Online struct {
	topics map[string]*history.Topic
	parts  map[placeKey]*onlinePart
	facts  int // that a partition remembers
	masked []string
	first  *Violation
}

type placeKey struct {
	topic     string
	partition int32
}

// onlinePart is what is remembered of one partition: its newest facts.
type onlinePart struct {
	topic   *history.Topic
	key     placeKey
	offsets []int64         // ascending
	values  map[int64]int64 // offset → value
	places  map[int64]int64 // value → offset
	ended   map[int32]int64 // process → where its last fetch came to
}

// onlineFacts is how many facts of a partition are remembered by default: some 4 MB.
const onlineFacts = 1 << 16

// onlineProcesses is how many processes are remembered that fetch from a partition.
const onlineProcesses = 1 << 12

// NewOnline makes a judge for these topics, whose promises may still be weakened while it judges. facts bounds how many
// records of a partition it remembers; 0 is 65536.
func NewOnline(topics []history.Topic, facts int) *Online {
	o := &Online{topics: map[string]*history.Topic{}, parts: map[placeKey]*onlinePart{}, facts: facts}
	if facts <= 0 {
		o.facts = onlineFacts
	}
	for i := range topics {
		o.topics[topics[i].Name] = &topics[i]
	}
	return o
}

// Mask has violations of these invariants passed over: Judge tells of them at the end.
func (o *Online) Mask(ids []string) { o.masked = ids }

// First is the first violation, nil if there is none.
func (o *Online) First() *Violation { return o.first }

// Op judges an operation.
func (o *Online) Op(op history.Op) {
	topic := o.topics[op.Topic]
	if o.first != nil || topic == nil || topic.Displaced || op.Outcome != history.OK || op.Kind.OfGroup() {
		return
	}
	key := placeKey{op.Topic, op.Partition}
	p := o.parts[key]
	if p == nil {
		p = &onlinePart{topic: topic, key: key, values: map[int64]int64{}, places: map[int64]int64{}, ended: map[int32]int64{}}
		o.parts[key] = p
	}
	switch {
	case op.Kind == history.Fetch:
		o.fetch(p, &op)
	case op.Kind == history.Produce && op.Acks == -1 && topic.Durable && op.Offset >= 0:
		for i := range op.Records {
			o.fact(p, &op, op.Offset+int64(i), op.Records[i].Value)
		}
	}
	p.forget(o.facts)
}

// fetch judges a fetch by itself and against the facts.
func (o *Online) fetch(p *onlinePart, op *history.Op) {
	bound, broken := op.HighWatermark, ReadBelowHW
	if op.Committed && op.LastStable != history.None {
		bound, broken = op.LastStable, ReadBelowLSO
	}
	if op.LastStable != history.None && op.HighWatermark != history.None && op.LastStable > op.HighWatermark {
		o.violated(p, op, WatermarkOrder, "last stable offset %d above high watermark %d", op.LastStable, op.HighWatermark)
	}
	if op.LogStart != history.None && op.HighWatermark != history.None && op.LogStart > op.HighWatermark {
		o.violated(p, op, WatermarkOrder, "log start offset %d above high watermark %d", op.LogStart, op.HighWatermark)
	}
	if last, ok := p.ended[op.Process]; ok && !op.Seek && op.From < last {
		o.violated(p, op, PollMonotonic, "fetched from %d, after the process had come to %d", op.From, last)
	}
	if len(p.ended) > onlineProcesses { // who has not fetched for long is judged at the end
		clear(p.ended)
	}
	p.ended[op.Process] = op.Next
	at := op.From
	for i := range op.Records {
		r := &op.Records[i]
		if r.Offset < at {
			o.violatedAs(p, op, PollMonotonic, anomalyMonotonyInside, "a fetch from %d has offset %d where at least %d was due", op.From, r.Offset, at)
			return
		}
		at = r.Offset + 1
		if bound != history.None && r.Offset >= bound {
			o.violated(p, op, broken, "offset %d was read below a bound of %d", r.Offset, bound)
		}
		if p.topic.Durable || op.Drain {
			o.fact(p, op, r.Offset, r.Value)
		}
	}
	if !p.topic.Durable || op.Next < at || op.Committed || p.topic.Compacted { // read_committed passes over what was aborted
		return
	}
	// Every fact in [From, Next) must be among the records.
	i, _ := slices.BinarySearch(p.offsets, op.From)
	k := 0
	for ; i < len(p.offsets) && p.offsets[i] < op.Next; i++ {
		for k < len(op.Records) && op.Records[k].Offset < p.offsets[i] {
			k++
		}
		if k == len(op.Records) || op.Records[k].Offset != p.offsets[i] {
			o.violatedAs(p, op, NoSkip, anomalySkipInside, "read from %d to %d without offset %d, which holds value %d", op.From, op.Next, p.offsets[i], p.values[p.offsets[i]])
			return
		}
	}
}

// fact takes what is at an offset, and holds it against what was there, and where else the value was.
func (o *Online) fact(p *onlinePart, op *history.Op, offset, value int64) {
	if was, ok := p.values[offset]; ok {
		if was != value {
			o.violated(p, op, OffsetStable, "offset %d held value %d, and holds value %d", offset, was, value)
		}
		return
	}
	if was, ok := p.places[value]; ok && p.topic.Once {
		o.violated(p, op, NoDuplicate, "value %d is at offset %d, and at offset %d", value, was, offset)
		return
	}
	p.values[offset], p.places[value] = value, offset
	if n := len(p.offsets); n == 0 || p.offsets[n-1] < offset {
		p.offsets = append(p.offsets, offset)
		return
	}
	i, _ := slices.BinarySearch(p.offsets, offset)
	p.offsets = slices.Insert(p.offsets, i, offset)
}

// forget drops the oldest facts beyond the bound, some at a time.
func (p *onlinePart) forget(facts int) {
	if len(p.offsets) <= facts+facts/4 {
		return
	}
	over := len(p.offsets) - facts
	for _, offset := range p.offsets[:over] {
		delete(p.places, p.values[offset])
		delete(p.values, offset)
	}
	p.offsets = append(p.offsets[:0], p.offsets[over:]...)
}

func (o *Online) violated(p *onlinePart, op *history.Op, id, format string, args ...any) {
	o.violatedAs(p, op, id, anomaly[id], format, args...)
}

func (o *Online) violatedAs(p *onlinePart, op *history.Op, id, name, format string, args ...any) {
	if o.first == nil && !slices.Contains(o.masked, id) {
		o.first = &Violation{Invariant: id, Anomaly: name, Topic: p.key.topic, Partition: p.key.partition, At: op.Return,
			Message: fmt.Sprintf("operation %d: ", op.ID) + fmt.Sprintf(format, args...), Witness: []history.Op{trim(*op, nil)}}
	}
}
