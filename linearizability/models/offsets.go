package models

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/history"
)

// CommittedOffset searches for an order of the commits and fetches of one group's offset of a partition. A commit of unknown
// end may happen or not, unless somebody was told what nobody else committed. It relies on what the gate does: nobody
// commits less than what is committed.
func CommittedOffset(h *history.History, group, topic string, partition int32, timeout time.Duration) porcupine.CheckResult {
	told := map[int64]int64{}  // offset → when the first fetch that was told it returned
	commits := map[int64]int{} // offset → how many commits of it may have happened
	mine := func(op *history.Op) bool {
		return op.Group == group && op.Topic == topic && op.Partition == partition && op.Outcome != history.Failed &&
			(op.Kind == history.Commit || op.Kind == history.OffsetFetch && op.Outcome == history.OK)
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		switch {
		case !mine(op):
		case op.Kind == history.Commit:
			commits[op.Offset]++
		default:
			if was, ok := told[op.Offset]; !ok || op.Return < was {
				told[op.Offset] = op.Return
			}
		}
	}
	var ops []porcupine.Operation
	for i := range h.Ops {
		op := &h.Ops[i]
		if !mine(op) {
			continue
		}
		in := &offsetInput{op: op}
		end := op.Return
		if op.Outcome == history.Unknown {
			end, in.optional = math.MaxInt64, true
			if at, ok := told[op.Offset]; ok && commits[op.Offset] == 1 { // nobody else can have done it
				end, in.optional = at, false
			}
		}
		ops = append(ops, porcupine.Operation{ClientId: i, Input: in, Call: op.Call, Return: end})
	}
	model := CommittedOffsetModel()
	return porcupine.CheckOperationsTimeout(model.ToModel(), ops, timeout)
}

type offsetInput struct {
	op       *history.Op
	optional bool // it may not have happened
}

// CommittedOffsetModel is a register that never goes back; history.None before the first commit.
func CommittedOffsetModel() *porcupine.NondeterministicModel {
	return &porcupine.NondeterministicModel{
		Init: func() []interface{} { return []interface{}{history.None} },
		Step: func(state, in, _ interface{}) []interface{} {
			s, i := state.(int64), in.(*offsetInput)
			if i.op.Kind == history.OffsetFetch {
				if i.op.Offset == s {
					return []interface{}{s}
				}
				return nil
			}
			var next []interface{}
			if i.optional {
				next = append(next, s)
			}
			if i.op.Offset >= s {
				next = append(next, i.op.Offset)
			}
			return next
		},
		Equal: func(a, b interface{}) bool { return a == b },
	}
}
