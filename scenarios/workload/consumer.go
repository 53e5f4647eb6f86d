package workload

import (
	"fmt"
	"slices"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
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
		k := client.NewConsumer(c, client.ConsumerOptions{WaitMax: 250 * time.Millisecond, PartitionBytesMax: 64 << 10, BytesMax: 256 << 10})
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
				l.fetched(e, process, &fetched[i], seek, false)
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

// fetched records one partition's answer; one that brought nothing is not worth a line. A position that moved for
// another reason than reading marks the next operation.
func (l *Load) fetched(e env.Env, process int32, f *client.Fetched, seek []bool, drain bool) {
	p := f.TP.Partition
	if f.Truncated != nil || f.Reset {
		seek[p] = true
	}
	if len(f.Records) == 0 {
		return
	}
	l.recordFetch(process, f, seek, func(op *history.Op) { op.Drain = drain })
}

func (l *Load) recordFetch(process int32, f *client.Fetched, seek []bool, change func(*history.Op)) {
	p := f.TP.Partition
	op := history.NewOp(history.Fetch, f.TP.Topic, p)
	op.Process, op.Outcome = process, history.OK
	op.Call, op.Return = int64(f.Called), int64(f.Returned)
	op.From, op.Next = f.From, f.Next
	op.HighWatermark, op.LastStable, op.LogStart = f.HighWatermark, f.LastStableOffset, f.LogStartOffset
	op.Epoch = f.Leader.Epoch
	op.Seek = seek[p]
	seek[p] = false
	for i := range f.Records {
		op.Records = append(op.Records, read(&f.Records[i]))
	}
	change(&op)
	l.record(op)
}

// fetchedBy is fetched for a member of a group, who has processed the records now. A position that moved without records counts too.
func (l *Load) fetchedBy(e env.Env, process int32, f *client.Fetched, seek []bool, group string) {
	if f.Truncated != nil || f.Reset {
		seek[f.TP.Partition] = true
	}
	if f.Err != nil || len(f.Records) == 0 && f.Next <= f.From {
		return
	}
	l.recordFetch(process, f, seek, func(op *history.Op) { op.Return, op.Group = int64(e.Mono()), group })
}

// Drain is a node's main function: a fresh client that reads every partition from its start to its end. done is called
// with nil, or with what could not be read by the deadline.
func (l *Load) Drain(within time.Duration, done func(error)) func(env.Env) {
	return func(e env.Env) {
		deadline := e.Mono().Add(within)
		c := l.client(e, "drain")
		defer c.Close()
		done(l.drain(e, c, deadline))
	}
}

func (l *Load) drain(e env.Env, c *client.Client, deadline env.Instant) error {
	admin := client.NewAdmin(c)
	k := client.NewConsumer(c, client.ConsumerOptions{WaitMax: 100 * time.Millisecond})
	defer k.Close()
	seek := make([]bool, l.Partitions)
	start, end := make([]int64, l.Partitions), make([]int64, l.Partitions)
	for p := range l.Partitions {
		tp := l.partition(p)
		first, err := admin.ListOffsets(tp, client.Earliest, false, deadline.Sub(e.Mono()))
		if err != nil {
			return fmt.Errorf("drain: earliest offset of %s: %w", tp, err)
		}
		last, err := admin.ListOffsets(tp, client.Latest, false, deadline.Sub(e.Mono()))
		if err != nil {
			return fmt.Errorf("drain: latest offset of %s: %w", tp, err)
		}
		start[p], end[p], seek[p] = first.Offset, last.Offset, true
		if first.Offset < last.Offset {
			k.Assign(tp, first.Offset)
		}
	}
	at := slices.Clone(start) // what has been handed over
	process := int32((2 * firstConsumer) * processesPerClient)
	for {
		behind := l.behind(at, end)
		if behind == nil {
			break
		}
		if e.Mono() >= deadline {
			return fmt.Errorf("drain: %s is read to %d of %d", *behind, at[behind.Partition], end[behind.Partition])
		}
		fetched, err := k.Poll(time.Second)
		if err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		for i := range fetched {
			if fetched[i].Err != nil {
				return fmt.Errorf("drain: %s: %w", fetched[i].TP, fetched[i].Err)
			}
			l.fetched(e, process, &fetched[i], seek, true)
			at[fetched[i].TP.Partition] = fetched[i].Next
		}
	}
	for p := range l.Partitions {
		l.drained(history.Drain{Topic: l.Topic, Partition: p, Start: start[p], End: end[p], Time: int64(e.Mono())})
	}
	return nil
}

func (l *Load) drained(d history.Drain) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink.Drain(d)
}

// behind is a partition that has not been read to its end, or nil. What counts is what Poll has handed over: the consumer's own
// position is ahead of that while answers wait to be polled.
func (l *Load) behind(at, end []int64) *wire.TopicPartition {
	for p := range l.Partitions {
		if at[p] < end[p] {
			tp := l.partition(p)
			return &tp
		}
	}
	return nil
}
