package log

import (
	"cmp"
	"slices"

	"barnabas/broker/record"
)

// cleanedTxns follows the transactions of a log while its batches are read in order: which batches were aborted, and
// which markers end a transaction of which nothing is left. One pass of the cleaner has one for building its map and
// another for filtering.
//
// Source: CleanedTransactionMetadata.
type cleanedTxns struct {
	aborted   []AbortedTxn           // not yet reached, by first offset
	aborting  map[int64]*abortingTxn // by producer
	committed map[int64]bool         // producers of whose open transaction a batch was read
	index     *txnIndex              // of the segment being written, or nil
}

type abortingTxn struct {
	AbortedTxn
	seen bool // one of its batches was read
}

func newCleanedTxns(aborted []AbortedTxn) *cleanedTxns {
	aborted = slices.Clone(aborted)
	slices.SortStableFunc(aborted, func(a, b AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return &cleanedTxns{aborted: aborted, aborting: map[int64]*abortingTxn{}, committed: map[int64]bool{}}
}

// reach takes in the aborted transactions that begin at or below offset.
func (t *cleanedTxns) reach(offset int64) {
	for len(t.aborted) > 0 && t.aborted[0].FirstOffset <= offset {
		a := t.aborted[0]
		t.aborted = t.aborted[1:]
		if t.aborting[a.ProducerID] == nil {
			t.aborting[a.ProducerID] = &abortingTxn{AbortedTxn: a}
		}
	}
}

// read takes in a batch, whole if it is a control batch, and says whether it may go: records that were aborted at once,
// a marker, once no batch of its transaction is left, at its horizon. An aborted transaction that keeps its marker
// keeps its entry in the index.
func (t *cleanedTxns) read(b record.Batch) (discard bool, err error) {
	t.reach(b.LastOffset())
	switch {
	case b.IsControl():
		return t.marker(b)
	case !b.IsTransactional():
		return false, nil
	}
	if a := t.aborting[b.ProducerID()]; a != nil {
		a.seen = true
		return true, nil
	}
	t.committed[b.ProducerID()] = true
	return false, nil
}

func (t *cleanedTxns) marker(b record.Batch) (discard bool, err error) {
	m, ok, err := b.EndTxn()
	if err != nil {
		return false, err
	}
	if !ok {
		return b.Count() == 0, nil // emptied earlier; other control records are not ours to judge
	}
	if m.Type == record.ControlCommit {
		seen := t.committed[b.ProducerID()]
		delete(t.committed, b.ProducerID())
		return !seen, nil
	}
	a := t.aborting[b.ProducerID()]
	delete(t.aborting, b.ProducerID())
	if a == nil || !a.seen {
		return true, nil
	}
	if t.index != nil {
		return false, t.index.append(a.AbortedTxn)
	}
	return false, nil
}
