package log_test

import (
	"math"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

// A follower that takes the ends of several transactions in one append indexes them as its leader did, one by one: a reader of either
// is told of the same aborted transactions.
func TestEndsOfManyTransactionsInOneAppend(t *testing.T) {
	for _, together := range []bool{false, true} {
		run(t, func(e env.Env) {
			f := open(t, e, nil)
			var piece []byte
			next := int64(0)
			add := func(b record.Batch) {
				b.SetBaseOffset(next)
				next = b.NextOffset()
				if piece = append(piece, b...); !together || next == 9 {
					_, err := f.AppendAsFollower(piece)
					f.must(err)
					piece = nil
				}
			}
			for i, id := range []int64{1, 2, 3} { // 0-1, 2-3, 4-5
				add(build("t", 2, func(o *record.BatchOptions) {
					o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = id, 0, int32(i), true
				}))
			}
			for _, id := range []int64{1, 3, 2} { // 6, 7, 8
				add(record.AppendEndTxn(nil, 1, id, 0, record.EndTxnMarker{Type: record.ControlAbort}))
			}
			for _, c := range []struct{ from, want int64 }{{0, 1}, {2, 2}, {4, 3}} {
				s, err := f.Read(c.from, 1, math.MaxInt64, true)
				f.must(err)
				aborted, err := f.AbortedTransactions(s, c.from)
				f.must(err)
				s.Release()
				if int64(len(aborted)) != c.want {
					t.Errorf("together %v: the batch at %d: %v, want %d", together, c.from, aborted, c.want)
				}
			}
		})
	}
}
