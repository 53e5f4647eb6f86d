package workload

import (
	"fmt"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/linearizability/history"
)

// firstConsumer is added to a consumer's index, so that its process numbers are no producer's.
const firstConsumer = 500

// Consume is a node's main function: one consumer, number index, of all partitions from the start, until Stop. Now and
// then it jumps back and reads again what it has read, which must not have changed.
func (l *Load) Consume(index int) func(env.Env) { return l.ConsumeAs(ConsumerName(index), index) }

// ConsumeAs is Consume on a node of another name.
func (l *Load) ConsumeAs(name string, index int) func(env.Env) {
	return func(e env.Env) {
		life := l.life(name)
		defer l.ended(name, life)
		number := l.identity(name, life, index)
		r := e.Rand("workload")
		l.sleepUntilBegin(e)
		c := l.client(e, fmt.Sprintf("consumer-%d", number))
		defer c.Close()
		kind := fetchKind{committed: l.Txns.Timeout > 0 && index%3 != 2}
		k := client.NewConsumer(c, client.ConsumerOptions{Rack: l.rack(number), ReadCommitted: kind.committed, WaitMax: 250 * time.Millisecond, PartitionBytesMax: 64 << 10, BytesMax: 256 << 10})
		defer k.Close()
		process := int32((firstConsumer + number) * processesPerClient)
		seek := make([]bool, l.Partitions)
		for p := range l.Partitions {
			k.Assign(l.partition(p), client.Earliest)
			seek[p] = true
		}
		for !l.ending() {
			fetched, err := k.Poll(500 * time.Millisecond)
			if err != nil {
				return
			}
			for i := range fetched {
				l.fetched(process, &fetched[i], seek, kind)
			}
			if l.SeekEvery > 0 && r.IntN(l.SeekEvery) == 0 {
				p := r.Int32N(l.Partitions)
				if at, ok := k.Position(l.partition(p)); ok && at > 0 {
					k.Assign(l.partition(p), r.Int64N(at))
					seek[p] = true
				}
			}
		}
	}
}

// fetchKind is what an operation of fetch was for.
type fetchKind struct {
	drain, committed bool
	txn              int64 // that it reads for; 0 for none
	// by is the group that a member reads for, and at when it has processed the records. What moves its position without records counts too.
	by string
	at env.Instant
}

// fetched records one partition's answer; one that brought nothing is not worth a line. A position that moved for
// another reason than reading marks the next operation.
func (l *Load) fetched(process int32, f *client.Fetched, seek []bool, kind fetchKind) {
	p := f.TP.Partition
	if f.Truncated != nil || f.Reset {
		seek[p] = true
	}
	if len(f.Records) == 0 && (kind.by == "" || f.Err != nil || f.Next <= f.From) {
		return
	}
	op := history.NewOp(history.Fetch, f.TP.Topic, p)
	op.Process, op.Outcome = process, history.OK
	op.Call, op.Return = int64(f.Called), int64(f.Returned)
	op.From, op.Next = f.From, f.Next
	op.HighWatermark, op.LastStable, op.LogStart = f.HighWatermark, f.LastStableOffset, f.LogStartOffset
	op.Epoch = f.Leader.Epoch
	op.Seek, op.Drain, op.Committed, op.Txn = seek[p], kind.drain, kind.committed, kind.txn
	seek[p] = false
	if kind.by != "" {
		op.Group, op.Return = kind.by, int64(kind.at)
	}
	for i := range f.Records {
		op.Records = append(op.Records, read(&f.Records[i]))
	}
	l.record(op)
}
