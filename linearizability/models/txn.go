package models

import (
	"cmp"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/history"
)

// TransactionalID searches for an order of one transactional id's operations that its coordinator could have gone through.
// Operations of unknown end may happen or not, unless the final drain of committed data has seen what only they can have done.
func TransactionalID(h *history.History, id string, timeout time.Duration) porcupine.CheckResult {
	seen := map[int64]int64{} // value → when the first fetch that saw it returned
	stable := map[int64]int64{}
	note := func(m map[int64]int64, value, at int64) {
		if was, ok := m[value]; !ok || at < was {
			m[value] = at
		}
	}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == history.Fetch && op.Outcome == history.OK {
			for _, r := range op.Records {
				note(seen, r.Value, op.Return)
				if op.Committed {
					note(stable, r.Value, op.Return)
				}
			}
		}
	}
	values := map[int64][]int64{} // of each transaction
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == history.Produce && op.Txn != 0 {
			for _, r := range op.Records {
				values[op.Txn] = append(values[op.Txn], r.Value)
			}
		}
	}
	first := func(m map[int64]int64, values []int64) int64 {
		at := int64(math.MaxInt64)
		for _, v := range values {
			if t, ok := m[v]; ok {
				at = min(at, t)
			}
		}
		return at
	}
	var ops []porcupine.Operation
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.TransactionalID != id || op.Outcome == history.Failed || op.ProducerID == history.None {
			continue
		}
		in := &txnInput{op: op}
		end := op.Return
		if op.Outcome == history.Unknown {
			proof := int64(math.MaxInt64)
			switch {
			case op.Kind == history.Produce:
				own := make([]int64, 0, len(op.Records))
				for _, r := range op.Records {
					own = append(own, r.Value)
				}
				proof = first(seen, own)
			case op.Kind == history.EndTxn && op.Commits:
				proof = first(stable, values[op.Txn])
			}
			end, in.optional = proof, proof == math.MaxInt64
		}
		ops = append(ops, porcupine.Operation{ClientId: i, Input: in, Call: op.Call, Return: end})
	}
	model := TxnModel()
	return porcupine.CheckOperationsTimeout(model.ToModel(), ops, timeout)
}

type txnInput struct {
	op       *history.Op
	optional bool // it may not have happened
}

// txnPhase is where a transactional id stands. Prepare is left out: between it and Complete no client's request is taken.
type txnPhase uint8

const (
	txnEmpty txnPhase = iota
	txnOngoing
	txnCompleteCommit
	txnCompleteAbort
)

// txnModelState is the coordinator's state of one transactional id, as far as clients can tell.
type txnModelState struct {
	pid   int64 // -1 before the first init
	epoch int16
	txn   int64 // the last one
	phase txnPhase
}

// TxnModel is the life of one transactional id. An epoch above the state's is taken (the coordinator raises it by itself, at a
// time-out and, with transaction.version 2, at every end); one below never is.
func TxnModel() *porcupine.NondeterministicModel {
	return &porcupine.NondeterministicModel{
		Init: func() []interface{} { return []interface{}{txnModelState{pid: -1, epoch: -1}} },
		Step: func(state, in, _ interface{}) []interface{} {
			s, i := state.(txnModelState), in.(*txnInput)
			var next []interface{}
			if i.optional {
				next = append(next, s)
			}
			if n, ok := s.step(i.op); ok {
				next = append(next, n)
			}
			return next
		},
		Equal: func(a, b interface{}) bool { return a.(txnModelState) == b.(txnModelState) },
	}
}

func (s txnModelState) step(op *history.Op) (txnModelState, bool) {
	newer := cmp.Compare(op.ProducerEpoch, s.epoch)
	if op.ProducerID != s.pid { // ids are given out upwards
		newer = cmp.Compare(op.ProducerID, s.pid)
	}
	fresh := txnModelState{pid: op.ProducerID, epoch: op.ProducerEpoch}
	if op.Kind == history.InitProducer {
		return fresh, newer > 0
	}
	switch {
	case newer < 0:
		return s, false
	case newer > 0:
		s = fresh
	}
	if op.Kind != history.EndTxn {
		if op.Txn < s.txn || op.Txn == s.txn && s.phase != txnOngoing {
			return s, false
		}
		s.txn, s.phase = op.Txn, txnOngoing
		return s, true
	}
	done := txnCompleteAbort
	if op.Commits {
		done = txnCompleteCommit
	}
	if op.Txn < s.txn || op.Txn == s.txn && s.phase != txnOngoing && s.phase != done {
		return s, false // the same end once more is taken; another is not
	}
	s.txn, s.phase = op.Txn, done
	return s, true
}
