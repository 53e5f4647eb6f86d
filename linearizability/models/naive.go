package models

import (
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/history"
)

// Naive searches for an order of the partition's operations that a log could have gone through. Unknown is a time-out.
func Naive(h *history.History, topic string, partition int32, timeout time.Duration) porcupine.CheckResult {
	p := project(h, topic, partition)
	var ops []porcupine.Operation
	for _, op := range p.ops {
		in := input{op: op, end: op.Return}
		if op.Kind == history.Produce && op.Outcome == history.Unknown {
			in.bases, in.end = p.bases(op), math.MaxInt64
		}
		ops = append(ops, porcupine.Operation{ClientId: int(op.Process), Input: &in, Call: op.Call, Return: in.end})
	}
	model := NaiveModel(p.fresh)
	return porcupine.CheckOperationsTimeout(model.ToModel(), ops, timeout)
}

// projection is the operations on one partition that can have had an effect or seen one.
type projection struct {
	ops   []*history.Op
	fresh bool
	seen  map[int64][]int64 // value → offsets it was read at, ascending
}

func project(h *history.History, topic string, partition int32) *projection {
	p := &projection{seen: make(map[int64][]int64)}
	for _, t := range h.Header.Topics {
		if t.Name == topic {
			p.fresh = t.Fresh
		}
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Topic != topic || op.Partition != partition || op.Outcome == history.Failed || op.Kind == history.ListOffsets ||
			op.Kind == history.Fetch && op.Outcome != history.OK {
			continue
		}
		p.ops = append(p.ops, op)
		if op.Kind == history.Fetch {
			for _, r := range op.Records {
				if !slices.Contains(p.seen[r.Value], r.Offset) {
					p.seen[r.Value] = append(p.seen[r.Value], r.Offset)
				}
			}
		}
	}
	return p
}

// bases are the offsets at which an append of unknown end can have put its first record, as far as anybody saw.
func (p *projection) bases(op *history.Op) []int64 {
	var bases []int64
	for k, r := range op.Records {
		for _, offset := range p.seen[r.Value] {
			if base := offset - int64(k); base >= 0 && !slices.Contains(bases, base) {
				bases = append(bases, base)
			}
		}
	}
	slices.Sort(bases)
	return bases
}

// input is an operation with what is needed to step over it.
type input struct {
	op    *history.Op
	bases []int64 // of an append of unknown end
	end   int64
}

// logState is the content of a partition's log. It never changes.
type logState struct {
	offsets []int64 // ascending; gaps are legal
	values  []int64
	floor   int64 // what comes next comes here or above: somebody saw the log up to here
}

// NaiveModel is the log as its definition has it. With fresh, a fetch tells the high watermark of the moment; without,
// any earlier one.
func NaiveModel(fresh bool) *porcupine.NondeterministicModel {
	return &porcupine.NondeterministicModel{
		Init: func() []interface{} { return []interface{}{&logState{}} },
		Step: func(state, in, _ interface{}) []interface{} {
			s, i := state.(*logState), in.(*input)
			switch {
			case i.op.Kind == history.Fetch:
				return only(s.fetch(i.op, fresh || i.op.Drain))
			case i.op.Outcome == history.OK:
				return only(s.append(i.op, i.op.Offset))
			}
			next := []interface{}{s} // it may not have happened
			for _, base := range i.bases {
				next = append(next, only(s.append(i.op, base))...)
			}
			return next
		},
		Equal: func(a, b interface{}) bool {
			x, y := a.(*logState), b.(*logState)
			return x.floor == y.floor && slices.Equal(x.offsets, y.offsets) && slices.Equal(x.values, y.values)
		},
	}
}

func only(s *logState) []interface{} {
	if s == nil {
		return nil
	}
	return []interface{}{s}
}

// append is the log with the operation's records from base on; nil if they cannot be put there.
func (s *logState) append(op *history.Op, base int64) *logState {
	if base < s.floor || len(s.offsets) > 0 && base <= s.offsets[len(s.offsets)-1] {
		return nil
	}
	next := &logState{offsets: slices.Clone(s.offsets), values: slices.Clone(s.values), floor: s.floor}
	for k, r := range op.Records {
		next.offsets = append(next.offsets, base+int64(k))
		next.values = append(next.values, r.Value)
	}
	return next
}

// fetch is the log after a fetch; nil if it could not have returned what it did.
func (s *logState) fetch(op *history.Op, fresh bool) *logState {
	end := max(op.HighWatermark, op.Next)
	k := 0
	for i, offset := range s.offsets {
		if fresh && offset >= end {
			return nil // the watermark covers everything
		}
		if offset < op.From || offset >= op.Next {
			continue
		}
		if k == len(op.Records) || op.Records[k].Offset != offset || op.Records[k].Value != s.values[i] {
			return nil
		}
		k++
	}
	if k != len(op.Records) {
		return nil
	}
	for _, r := range op.Records {
		if op.HighWatermark != history.None && r.Offset >= op.HighWatermark {
			return nil
		}
	}
	return &logState{offsets: s.offsets, values: s.values, floor: max(s.floor, end)}
}
