package models

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/history"
)

// WindowDefault is how many operations a window of Counted has.
const WindowDefault = 2000

// Counted searches like Naive, but over a history whose unknown ends were resolved first: an append of unknown end that
// somebody read has happened, by the time that the first reader returned; one that nobody read has not, for which the
// history must end in a full drain. Needs reads that tell the high watermark. Unknown is a time-out.
func Counted(h *history.History, topic string, partition int32, window int, timeout time.Duration) porcupine.CheckResult {
	p := project(h, topic, partition)
	steps, ok := p.resolve()
	if !ok {
		return porcupine.Illegal
	}
	latest := int64(math.MinInt64) // call of anything before the window
	length := 0
	for len(steps) > 0 {
		n := min(window, len(steps))
		for n < len(steps) && steps[n].length() == steps[n-1].length() {
			n++ // a length and its reads stay together
		}
		piece := steps[:n]
		steps = steps[n:]
		for _, s := range piece {
			if s.end < latest {
				return porcupine.Illegal // something that must come before was called after this had ended
			}
		}
		if r := porcupine.CheckOperationsTimeout(CountedModel(length), operations(piece), timeout); r != porcupine.Ok {
			return r
		}
		for _, s := range piece {
			latest = max(latest, s.call)
			if s.isAppend {
				length = s.at + 1
			}
		}
	}
	return porcupine.Ok
}

// step is an append of one record, at the length it finds, or a read of a length.
type step struct {
	isAppend  bool
	at        int // length before the append, or seen by the read
	reads     int // of an append: how many reads of the length it finds there are
	call, end int64
}

// length sorts steps into the order of the log: the reads of a length, then the append that ends it.
func (s *step) length() int { return s.at }

// counted is the state: the length, and how many of its reads are done.
type counted struct{ length, reads int }

// CountedModel is the log as two integers, begun at a length.
func CountedModel(length int) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return counted{length, 0} },
		Step: func(state, in, _ interface{}) (bool, interface{}) {
			s, i := state.(counted), in.(*step)
			switch {
			case s.length != i.at:
				return false, s
			case !i.isAppend:
				return true, counted{s.length, s.reads + 1}
			}
			return s.reads == i.reads, counted{s.length + 1, 0}
		},
		Hash: func(state interface{}) uint64 {
			s := state.(counted)
			return uint64(s.length)<<32 | uint64(s.reads)
		},
	}
}

func operations(steps []step) []porcupine.Operation {
	ops := make([]porcupine.Operation, len(steps))
	for i := range steps {
		ops[i] = porcupine.Operation{ClientId: i, Input: &steps[i], Call: steps[i].call, Return: steps[i].end}
	}
	return ops
}

// resolve puts the operations into the order of the log; ok is false if contents alone already contradict each other.
func (p *projection) resolve() (steps []step, ok bool) {
	content := make(map[int64]int64) // offset → value
	put := func(offset, value int64) bool {
		was, found := content[offset]
		content[offset] = value
		return !found || was == value
	}
	written := make(map[int64]*history.Op)
	for _, op := range p.ops {
		for k, r := range op.Records {
			offset := r.Offset
			if op.Kind == history.Produce {
				written[r.Value] = op
				if op.Outcome != history.OK {
					continue
				}
				offset = op.Offset + int64(k)
			}
			if !put(offset, r.Value) {
				return nil, false
			}
		}
	}
	offsets := make([]int64, 0, len(content))
	at := make(map[int64]int64, len(content)) // value → offset
	for offset, value := range content {
		offsets = append(offsets, offset)
		if _, twice := at[value]; twice || written[value] == nil {
			return nil, false
		}
		at[value] = offset
	}
	slices.Sort(offsets)
	if !p.wholeBatches(at) {
		return nil, false
	}
	below := func(offset int64) int {
		return sort.Search(len(offsets), func(i int) bool { return offsets[i] >= offset })
	}
	return p.steps(offsets, content, written, below)
}

// wholeBatches checks that each batch is there as a whole, in order, or not at all.
func (p *projection) wholeBatches(at map[int64]int64) bool {
	for _, op := range p.ops {
		if op.Kind != history.Produce {
			continue
		}
		first, there := at[op.Records[0].Value]
		for k, r := range op.Records {
			if offset, ok := at[r.Value]; ok != there || ok && offset != first+int64(k) {
				return false
			}
		}
	}
	return true
}

func (p *projection) steps(offsets []int64, content map[int64]int64, written map[int64]*history.Op, below func(int64) int) ([]step, bool) {
	ends := make([]int64, len(offsets)) // earliest return that proves the append
	for i := range ends {
		ends[i] = math.MaxInt64
		if op := written[content[offsets[i]]]; op.Outcome == history.OK {
			ends[i] = op.Return
		}
	}
	var steps []step
	reads := make([]int, len(offsets)+1)
	for _, op := range p.ops {
		if op.Kind != history.Fetch {
			continue
		}
		end := max(op.HighWatermark, op.Next)
		if !rightContent(op, offsets, content, below) {
			return nil, false
		}
		length := below(end)
		if p.fresh && length > 0 && length < len(offsets) && written[content[offsets[length-1]]] == written[content[offsets[length]]] {
			return nil, false // a watermark inside of a batch
		}
		if op.Drain && length != len(offsets) {
			return nil, false // the drain sees everything
		}
		for _, r := range op.Records {
			i := below(r.Offset)
			ends[i] = min(ends[i], op.Return)
		}
		if p.fresh || op.Drain {
			reads[length]++
			steps = append(steps, step{at: length, call: op.Call, end: op.Return})
		} else if length > 0 {
			ends[length-1] = min(ends[length-1], op.Return) // only bounds what lies before it
		}
	}
	for i := range offsets {
		op := written[content[offsets[i]]]
		steps = append(steps, step{isAppend: true, at: i, reads: reads[i], call: op.Call, end: ends[i]})
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		if c := cmp.Compare(a.at, b.at); c != 0 {
			return c
		}
		switch {
		case a.isAppend == b.isAppend:
			return cmp.Compare(a.call, b.call)
		case a.isAppend:
			return 1
		}
		return -1
	})
	return steps, true
}

// rightContent checks that a fetch returned exactly what [From, Next) holds, below its watermark.
func rightContent(op *history.Op, offsets []int64, content map[int64]int64, below func(int64) int) bool {
	lo, hi := below(op.From), below(op.Next)
	if hi < lo || hi-lo != len(op.Records) {
		return false
	}
	for k, r := range op.Records {
		if r.Offset != offsets[lo+k] || content[r.Offset] != r.Value || op.HighWatermark != history.None && r.Offset >= op.HighWatermark {
			return false
		}
	}
	return true
}
