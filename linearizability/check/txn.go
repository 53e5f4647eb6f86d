package check

import (
	"cmp"
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// txn is one transaction of the history.
type txn struct {
	number int64
	id     string // the transactional id
	state  txnState
	// commitCalled is when its commit was first called, never if it was not; committedAt when that was first answered ok.
	commitCalled, committedAt int64

	produces, commits, ends []int32
}

// txnState is how a transaction ended, as far as its producer was told.
type txnState uint8

const (
	txnUnknown   txnState = iota // a commit was sent and its end is not known
	txnCommitted                 // a commit was answered ok
	txnAborted                   // no commit was called, or each certainly failed: it can never be committed
)

// gatherTxns finds the transactions and how they ended.
func (j *judge) gatherTxns() {
	j.byName = make(map[int64]*txn)
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		if op.Txn == 0 || op.Kind == history.Fetch {
			continue
		}
		t := j.byName[op.Txn]
		if t == nil {
			t = &txn{number: op.Txn, id: op.TransactionalID, state: txnAborted, commitCalled: never, committedAt: never}
			j.byName[op.Txn] = t
			j.txns = append(j.txns, t)
		}
		if t.id != op.TransactionalID {
			j.unknown("operation %d: transaction %d belongs to %q and to %q", op.ID, op.Txn, t.id, op.TransactionalID)
		}
		switch op.Kind {
		case history.Produce:
			t.produces = append(t.produces, int32(i))
			for w := j.base[i]; w < j.base[i+1]; w++ {
				j.writes[w].txn = t
			}
		case history.Commit:
			t.commits = append(t.commits, int32(i))
		default:
			t.take(op, int32(i))
		}
	}
	slices.SortFunc(j.txns, func(a, b *txn) int { return cmp.Compare(a.number, b.number) })
	for _, t := range j.txns {
		if j.is(MutantAbortsUnknown) && t.state == txnAborted {
			t.state = txnUnknown
		}
	}
}

// take learns from an end-txn.
func (t *txn) take(op *history.Op, i int32) {
	t.ends = append(t.ends, i)
	if !op.Commits {
		return
	}
	if op.Outcome != history.Failed {
		t.commitCalled = min(t.commitCalled, op.Call)
		if t.state == txnAborted {
			t.state = txnUnknown
		}
	}
	if op.Outcome == history.OK {
		t.state = txnCommitted
		t.committedAt = min(t.committedAt, op.Return)
	}
}

// checkIsolation holds that what a consumer of committed data reads was committed, and not before that was asked for.
func (p *part) checkIsolation(i int32, op *history.Op, r *history.Record, from int32) {
	t := p.j.byName[p.op(from).Txn]
	if t == nil {
		return
	}
	witness := append([]int32{from, i}, t.ends...)
	switch {
	case t.state == txnAborted:
		p.violate(TxnAbortedRead, fmt.Sprintf("operation %d read value %d at offset %d with read_committed; it is of transaction %d, which was %s",
			op.ID, r.Value, r.Offset, t.number, t.ended()), witness...)
	case op.Return < t.commitCalled:
		p.violate(TxnEarlyRead, fmt.Sprintf("operation %d read value %d at offset %d with read_committed, before the commit of its transaction %d was called",
			op.ID, r.Value, r.Offset, t.number), witness...)
	}
}

// ended says how a transaction that was never committed ended.
func (t *txn) ended() string {
	if len(t.ends) == 0 {
		return "never ended by its producer"
	}
	return "not committed"
}

// checkTxns holds each transaction to all or nothing, by the final drain of committed data.
func (j *judge) checkTxns() {
	for _, t := range j.txns {
		var commit, abort = none, none
		for _, i := range t.ends {
			switch op := &j.h.Ops[i]; {
			case op.Outcome != history.OK:
			case op.Commits:
				commit = i
			default:
				abort = i
			}
		}
		if commit != none && abort != none {
			j.violate(TxnEndedOnce, fmt.Sprintf("transaction %d of %s was told to be committed by operation %d, and to be aborted by operation %d",
				t.number, t.id, j.h.Ops[commit].ID, j.h.Ops[abort].ID), commit, abort)
		}
		if t.state != txnAborted { // of those anything seen is an aborted read
			j.checkAtomic(t)
		}
	}
}

// checkAtomic counts what is to be seen of a transaction, and what is seen.
func (j *judge) checkAtomic(t *txn) {
	seen, missing := none, none // a write of each
	for _, i := range t.produces {
		op := &j.h.Ops[i]
		p := j.partOf(op)
		if p == nil || p.stable == nil || p.topic.Retention || !p.topic.Durable {
			continue
		}
		for w := j.base[i]; w < j.base[i+1]; w++ {
			switch wr := &j.writes[w]; {
			case wr.lost:
			case wr.visible:
				seen = w
			case op.Outcome == history.OK || wr.drained:
				missing = w
			}
		}
	}
	if missing == none || t.state == txnUnknown && seen == none {
		return
	}
	m := &j.writes[missing]
	where := &j.h.Ops[m.op]
	witness := append([]int32{m.op}, t.ends...)
	rest := "nothing of it is seen"
	if seen != none {
		s := &j.writes[seen]
		rest = fmt.Sprintf("value %d of %s-%d is", j.h.Ops[s.op].Records[seen-j.base[s.op]].Value, j.h.Ops[s.op].Topic, j.h.Ops[s.op].Partition)
		witness = append(witness, s.op, s.reader)
	}
	j.partOf(where).violate(TxnAtomic, fmt.Sprintf("transaction %d of %s %s, and the final drain of committed data has not got its value %d of %s-%d; %s",
		t.number, t.id, map[bool]string{true: "was committed", false: "was to be committed"}[t.state == txnCommitted],
		where.Records[missing-j.base[m.op]].Value, where.Topic, where.Partition, rest), witness...)
}

// partOf is the partition of an operation, nil if there is none.
func (j *judge) partOf(op *history.Op) *part {
	i, ok := slices.BinarySearchFunc(j.sorted(), op, func(p *part, op *history.Op) int {
		return cmp.Or(cmp.Compare(p.topic.Name, op.Topic), cmp.Compare(p.partition, op.Partition))
	})
	if !ok {
		return nil
	}
	return j.inOrder[i]
}

// sorted is the partitions by topic and number.
func (j *judge) sorted() []*part {
	if len(j.inOrder) != len(j.parts) {
		j.inOrder = slices.Clone(j.parts)
		slices.SortFunc(j.inOrder, func(a, b *part) int {
			return cmp.Or(cmp.Compare(a.topic.Name, b.topic.Name), cmp.Compare(a.partition, b.partition))
		})
	}
	return j.inOrder
}

// violate reports what is broken in no one partition.
func (j *judge) violate(invariant, message string, ops ...int32) {
	(&part{j: j, topic: &history.Topic{}}).violate(invariant, message, ops...)
}
