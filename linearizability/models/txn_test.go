package models_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
	"barnabas/linearizability/models"
)

// idWorld makes a small sound history of one transactional id: producers follow each other, each by a newer epoch, with
// transactions of a few records; ends may be unknown. Effects happen between call and return, or, unknown, any time later or never.
func idWorld(r *rand.Rand) *history.History {
	h := &history.History{Header: history.Header{Topics: []history.Topic{{Name: "t", Partitions: 1, Durable: true}}}}
	now, epoch, txn, value := int64(10), int16(-1), int64(0), int64(0)
	offset := int64(0)
	var seen, stable []history.Record
	add := func(op history.Op) {
		op.ID = int64(len(h.Ops)) + 1
		op.Process = int32(op.ID)
		op.Call, op.Return = now-r.Int64N(6), now+r.Int64N(6)
		now += 4
		h.Ops = append(h.Ops, op)
	}
	of := func(kind history.Kind) history.Op {
		op := history.NewOp(kind, "", 0)
		op.TransactionalID, op.ProducerID, op.ProducerEpoch, op.Txn, op.Outcome = "x", 7, epoch, txn, history.OK
		return op
	}
	for range 1 + r.IntN(3) {
		epoch++
		was := txn
		txn = 0
		add(of(history.InitProducer))
		txn = was
		for range r.IntN(3) {
			txn++
			var mine []history.Record
			for range r.IntN(3) {
				value++
				op := of(history.Produce)
				op.Topic, op.Acks = "t", -1
				op.Records = []history.Record{{Offset: history.None, Value: value, Sum: uint32(value)}}
				if r.IntN(4) == 0 {
					op.Outcome = history.Unknown
				} else {
					op.Offset = offset
				}
				if op.Outcome == history.OK || r.IntN(2) == 0 {
					mine = append(mine, history.Record{Offset: offset, Value: value, Sum: uint32(value)})
				}
				offset++
				add(op)
			}
			seen = append(seen, mine...)
			op := of(history.EndTxn)
			op.Commits = r.IntN(3) > 0
			if r.IntN(4) == 0 {
				op.Outcome = history.Unknown
			}
			if op.Commits && (op.Outcome == history.OK || r.IntN(2) == 0) {
				stable = append(stable, mine...)
			}
			add(op)
			if op.Outcome == history.OK && r.IntN(3) == 0 {
				epoch++ // transaction.version 2
			}
		}
	}
	now += 100
	for _, committed := range []bool{false, true} {
		d := history.NewOp(history.Fetch, "t", 0)
		d.Outcome, d.Drain, d.Committed, d.Next, d.HighWatermark, d.LastStable = history.OK, true, committed, offset, offset, offset
		if d.Records = seen; committed {
			d.Records = stable
		}
		add(d)
		now += 10
		h.Drains = append(h.Drains, history.Drain{Topic: "t", End: offset, Time: now, Committed: committed})
	}
	return h
}

// mutateID damages it, or only seems to.
func mutateID(r *rand.Rand, h *history.History) {
	op := &h.Ops[r.IntN(len(h.Ops)-2)]
	other := &h.Ops[r.IntN(len(h.Ops)-2)]
	switch r.IntN(6) {
	case 0:
		op.Call += r.Int64N(30) - 15
		op.Return = max(op.Return, op.Call)
	case 1:
		op.Return = max(op.Call, op.Return+r.Int64N(30)-15)
	case 2:
		op.ProducerEpoch = max(0, op.ProducerEpoch+int16(r.IntN(3)-1))
	case 3:
		if op.Kind == history.EndTxn {
			op.Commits = !op.Commits
		}
	case 4:
		if op.Kind == history.EndTxn && other.Kind == history.EndTxn {
			op.Txn, other.Txn = other.Txn, op.Txn
		}
	case 5:
		if op.Kind == history.EndTxn { // told once more, perhaps otherwise
			again := *op
			again.ID, again.Process = int64(len(h.Ops))+1, int32(len(h.Ops))+1
			again.Call += r.Int64N(10)
			again.Return = max(again.Call, again.Return+r.Int64N(10))
			again.Commits = again.Commits != (r.IntN(2) == 0)
			h.Ops = slices.Insert(h.Ops, len(h.Ops)-2, again)
		}
	}
}

// oneEpoch gives each transaction one epoch, as it has, whatever mutations have done to it.
func oneEpoch(h *history.History) bool {
	epochs := map[int64]int16{}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Txn != 0 {
			if first, ok := epochs[op.Txn]; ok {
				op.ProducerEpoch = first
			}
			epochs[op.Txn] = op.ProducerEpoch
		}
	}
	return true
}

// Goal: the gate's order of epochs, transactions and ends is that of the model of a transactional id. Method: small histories, most
// of them mutated, judged by both. A time-out is a failure.
func TestGateAgreesWithModelOfTransactionalIDs(t *testing.T) {
	duel{
		stream: 9, world: idWorld, mutate: mutateID, mutations: 7, stands: oneEpoch,
		invariants: []string{check.TxnFenced, check.TxnEndedOnce},
		model:      func(h *history.History) porcupine.CheckResult { return models.TransactionalID(h, "x", 20*time.Second) },
	}.fight(t)
}
