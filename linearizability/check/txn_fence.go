package check

import (
	"cmp"
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// act is something that a transactional id's coordinator, or a leader, certainly took from a producer.
type act struct {
	op    int32
	pid   int32 // rank of the producer id: the order in which they were given out
	epoch int16
	txn   int64 // 0 for an init-producer
	phase int8  // 0 init, 1 within the transaction, 2 its end
	call  int64
	end   end // when it had certainly been taken
}

func (a *act) compare(b *act) int {
	return cmp.Or(cmp.Compare(a.pid, b.pid), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.txn, b.txn), cmp.Compare(a.phase, b.phase))
}

// checkFences holds that nothing is taken from an old epoch once a newer one was given out, that no epoch is given out twice, and
// that nothing joins a transaction that has ended.
//
// The order in which a transactional id must have gone through its acts is that of producer id, epoch, transaction and phase. They
// fit real time if no act was called after a later one had ended: one walk from the last to the first finds every break, as with
// the order of offsets.
func (j *judge) checkFences() {
	acts := map[string][]act{}
	var ids []string
	ranks := j.rankProducerIDs()
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		if op.TransactionalID == "" || op.ProducerID == history.None {
			continue
		}
		a, ok := j.actOf(int32(i), op)
		if !ok {
			continue
		}
		if a.pid, ok = ranks[op.ProducerID]; !ok {
			continue // nobody was told of that id; it cannot be put in order
		}
		if _, known := acts[op.TransactionalID]; !known {
			ids = append(ids, op.TransactionalID)
		}
		acts[op.TransactionalID] = append(acts[op.TransactionalID], a)
	}
	for _, id := range ids {
		j.checkFence(id, acts[id])
	}
}

// actOf tells what was certainly taken: what was answered ok, and what of unknown end has left a trace.
func (j *judge) actOf(i int32, op *history.Op) (act, bool) {
	a := act{op: i, epoch: op.ProducerEpoch, txn: op.Txn, phase: 1, call: op.Call, end: end{never, none}}
	if op.Outcome == history.OK {
		a.end = end{op.Return, i}
	}
	switch op.Kind {
	case history.InitProducer:
		a.phase = 0
		return a, op.Outcome == history.OK
	case history.Produce:
		for w := j.base[i]; w < j.base[i+1] && op.Outcome == history.Unknown; w++ {
			if reader := j.writes[w].reader; reader != none {
				a.end.bring(j.h.Ops[reader].Return, reader)
				return a, true
			}
		}
		return a, op.Outcome == history.OK
	case history.Commit:
		return a, op.Outcome == history.OK
	}
	a.phase = 2
	if op.Outcome == history.Unknown && op.Commits {
		if w := j.seenOf(j.byName[op.Txn]); w != none {
			reader := j.writes[w].stable
			a.end.bring(j.h.Ops[reader].Return, reader)
			return a, true
		}
	}
	return a, op.Outcome == history.OK
}

// seenOf is a write of the transaction that was seen as committed, or none.
func (j *judge) seenOf(t *txn) int32 {
	for _, i := range t.produces {
		for w := j.base[i]; w < j.base[i+1]; w++ {
			if j.writes[w].stable != none {
				return w
			}
		}
	}
	return none
}

// rankProducerIDs puts producer ids in the order in which they were first given out: a transactional id gets another when the
// epochs of its last are used up.
func (j *judge) rankProducerIDs() map[int64]int32 {
	first := map[int64]int64{}
	for i := range j.h.Ops {
		if op := &j.h.Ops[i]; op.Kind == history.InitProducer && op.Outcome == history.OK {
			if at, ok := first[op.ProducerID]; !ok || op.Return < at {
				first[op.ProducerID] = op.Return
			}
		}
	}
	ids := make([]int64, 0, len(first))
	for id := range first { // sorted below
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b int64) int { return cmp.Or(cmp.Compare(first[a], first[b]), cmp.Compare(a, b)) })
	ranks := make(map[int64]int32, len(ids))
	for i, id := range ids {
		ranks[id] = int32(i)
	}
	return ranks
}

func (j *judge) checkFence(id string, acts []act) {
	if j.is(MutantEpochsUnordered) {
		return
	}
	slices.SortStableFunc(acts, func(a, b act) int { return a.compare(&b) })
	earliest := end{never, none}
	for hi := len(acts); hi > 0; {
		lo := hi - 1
		for lo > 0 && acts[lo-1].compare(&acts[lo]) == 0 {
			lo--
		}
		same := acts[lo:hi]
		if same[0].phase == 0 && len(same) > 1 {
			a, b := &j.h.Ops[same[0].op], &j.h.Ops[same[1].op]
			j.violate(TxnFenced, fmt.Sprintf("operations %d and %d were both given producer id %d with epoch %d for %s", a.ID, b.ID, a.ProducerID, a.ProducerEpoch, id),
				same[0].op, same[1].op)
		}
		for k := range same {
			if a := &same[k]; a.call > earliest.at {
				j.late(id, a, earliest.op)
			}
		}
		for k := range same {
			earliest.bring(same[k].end.at, same[k].end.op)
		}
		hi = lo
	}
}

// late reports an act that was called after a later one in the order of epochs had ended.
func (j *judge) late(id string, a *act, by int32) {
	op, later := &j.h.Ops[a.op], &j.h.Ops[by]
	witness := []int32{by, a.op}
	what := "was taken"
	if op.Outcome != history.OK {
		what = "has taken effect"
		if t := j.byName[op.Txn]; t != nil {
			if w := j.seenOf(t); w != none {
				witness = append(witness, j.writes[w].op, j.writes[w].stable)
			}
		}
	}
	j.violate(TxnFenced, fmt.Sprintf("operation %d, %s of %s by %d/%d, was called after operation %d (%s%s) had returned, and %s",
		op.ID, op.Kind, id, op.ProducerID, op.ProducerEpoch, later.ID, later.Kind, byWhom(later), what), witness...)
}

func byWhom(op *history.Op) string {
	if op.ProducerID == history.None {
		return ""
	}
	return fmt.Sprintf(" by %d/%d", op.ProducerID, op.ProducerEpoch)
}
