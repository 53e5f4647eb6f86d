package client

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/record"
)

// Goal: read_committed hides the records of aborted transactions and nothing else; control records are never seen, and
// the position passes over them. Method: a partition's bytes with two producers whose transactions overlap.
func TestAbortedTransactionsAreHidden(t *testing.T) {
	var log []byte
	next := int64(0)
	put := func(producer int64, transactional bool, value string) {
		var b record.Builder
		b.Append(1, nil, []byte(value))
		o := record.NewBatchOptions()
		o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional, o.BaseOffset, o.LeaderEpoch = producer, 0, 0, transactional, next, 4
		var err error
		if log, err = b.Build(log, o); err != nil {
			t.Fatal(err)
		}
		next++
	}
	end := func(producer int64, kind record.ControlType) {
		start := len(log)
		log = record.AppendEndTxn(log, 1, producer, 0, record.EndTxnMarker{Type: kind})
		record.Batch(log[start:]).SetBaseOffset(next)
		next++
	}
	put(1, true, "a0")                       // 0: aborted
	put(2, true, "b0")                       // 1: committed
	put(record.NoProducerID, false, "plain") // 2
	put(1, true, "a1")                       // 3: aborted
	end(1, record.ControlAbort)              // 4
	put(1, true, "a2")                       // 5: committed
	end(2, record.ControlCommit)             // 6
	end(1, record.ControlCommit)             // 7
	part := kmsg.NewFetchResponseTopicPartition()
	part.RecordBatches = append(log, log[:20]...) // and the start of another
	ab := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
	ab.ProducerID, ab.FirstOffset = 1, 0
	part.AbortedTransactions = append(part.AbortedTransactions, ab)
	for _, c := range []struct {
		committed bool
		from      int64
		want      string
	}{{true, 0, "b0 plain a2 "}, {false, 0, "a0 b0 plain a1 a2 "}, {true, 2, "plain a2 "}, {true, 6, ""}} {
		k := &Consumer{o: ConsumerOptions{ReadCommitted: c.committed}}
		records, at, epoch, err := k.decode(&part, c.from)
		got := ""
		for _, r := range records {
			got += string(r.Value) + " "
		}
		if got != c.want || at != 8 || err != nil || epoch != 4 && epoch != -1 {
			t.Errorf("%+v: %q, next %d, epoch %d, %v", c, got, at, epoch, err)
		}
	}
}
