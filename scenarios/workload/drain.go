package workload

import (
	"fmt"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/linearizability/history"
)

// Drain is a node's main function: a fresh client that reads every partition from its start to its end; where there are transactions,
// once more with read_committed, and where there are processors it asks where their group stands. done is called with nil, or with
// what could not be read by the deadline.
func (l *Load) Drain(within time.Duration, done func(error)) func(env.Env) {
	return func(e env.Env) {
		deadline := e.Mono().Add(within)
		c := l.client(e, "drain")
		defer c.Close()
		done(l.drain(e, c, deadline))
	}
}

func (l *Load) drain(e env.Env, c *client.Client, deadline env.Instant) error {
	process := int32((2 * firstConsumer) * processesPerClient)
	for _, t := range l.topics() {
		for _, committed := range []bool{false, true} {
			if committed && l.Txns.Timeout == 0 {
				continue
			}
			d := &drainer{l: l, e: e, c: c, topic: t.name, partitions: t.partitions, kind: fetchKind{drain: true, committed: committed}, process: process}
			process++
			if err := d.run(deadline); err != nil {
				return fmt.Errorf("drain%s: %w", map[bool]string{true: " of committed data"}[committed], err)
			}
		}
	}
	if l.Txns.Output != "" {
		return l.drainGroup(e, client.NewAdmin(c), deadline)
	}
	return nil
}

type topicSize struct {
	name       string
	partitions int32
}

// topics are those that the load writes to.
func (l *Load) topics() []topicSize {
	list := []topicSize{{l.Topic, l.Partitions}}
	if l.Txns.Output != "" {
		list = append(list, topicSize{l.Txns.Output, l.Txns.OutputPartitions})
	}
	return list
}

// Drains is how many drains a run records that was read out completely.
func (l *Load) Drains() int {
	n := 0
	for _, t := range l.topics() {
		n += int(t.partitions)
	}
	if l.Txns.Timeout > 0 {
		n *= 2
	}
	return n
}

// drainer reads one topic from its start to its end.
type drainer struct {
	l              *Load
	e              env.Env
	c              *client.Client
	topic          string
	partitions     int32
	kind           fetchKind
	process        int32
	start, end, at []int64 // at: what has been handed over
}

func (d *drainer) run(deadline env.Instant) error {
	k := client.NewConsumer(d.c, client.ConsumerOptions{WaitMax: 100 * time.Millisecond, ReadCommitted: d.kind.committed})
	defer k.Close()
	if err := d.bounds(k, deadline); err != nil {
		return err
	}
	seek := make([]bool, d.partitions)
	for p := range seek {
		seek[p] = true
	}
	for {
		behind := d.behind()
		if behind == nil {
			break
		}
		if d.e.Mono() >= deadline {
			return fmt.Errorf("%s is read to %d of %d", *behind, d.at[behind.Partition], d.end[behind.Partition])
		}
		fetched, err := k.Poll(time.Second)
		if err != nil {
			return err
		}
		for i := range fetched {
			if fetched[i].Err != nil {
				return fmt.Errorf("%s: %w", fetched[i].TP, fetched[i].Err)
			}
			if p := fetched[i].TP.Partition; fetched[i].Next > d.at[p] && len(fetched[i].Records) == 0 {
				d.empty(&fetched[i])
			}
			d.l.fetched(d.process, &fetched[i], seek, d.kind)
			d.at[fetched[i].TP.Partition] = fetched[i].Next
		}
	}
	for p := range d.partitions {
		d.l.drained(history.Drain{Topic: d.topic, Partition: p, Start: d.start[p], End: d.end[p], Time: int64(d.e.Mono()), Committed: d.kind.committed})
	}
	return nil
}

// empty records that there is nothing to see in what a fetch covered: markers, or aborted records.
func (d *drainer) empty(f *client.Fetched) {
	op := history.NewOp(history.Fetch, f.TP.Topic, f.TP.Partition)
	op.Process, op.Outcome, op.Call, op.Return = d.process, history.OK, int64(f.Called), int64(f.Returned)
	op.From, op.Next, op.Seek, op.Drain, op.Committed = f.From, f.Next, true, true, d.kind.committed
	d.l.record(op)
}

// bounds asks where the partitions begin and end: of committed data too, where all of it ends.
func (d *drainer) bounds(k *client.Consumer, deadline env.Instant) error {
	admin := client.NewAdmin(d.c)
	for p := range d.partitions {
		tp := wire.TopicPartition{Topic: d.topic, Partition: p}
		first, err := admin.ListOffsets(tp, client.Earliest, false, deadline.Sub(d.e.Mono()))
		if err != nil {
			return fmt.Errorf("earliest offset of %s: %w", tp, err)
		}
		last, err := admin.ListOffsets(tp, client.Latest, false, deadline.Sub(d.e.Mono()))
		if err != nil {
			return fmt.Errorf("latest offset of %s: %w", tp, err)
		}
		d.start, d.end, d.at = append(d.start, first.Offset), append(d.end, last.Offset), append(d.at, first.Offset)
		if first.Offset < last.Offset {
			k.Assign(tp, first.Offset)
		}
	}
	return nil
}

func (l *Load) drained(d history.Drain) {
	d.Bound()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink.Drain(d)
}

// behind is a partition that has not been read to its end, or nil. What counts is what Poll has handed over: the consumer's own
// position is ahead of that while answers wait to be polled.
func (d *drainer) behind() *wire.TopicPartition {
	for p := range d.partitions {
		if d.at[p] < d.end[p] {
			return &wire.TopicPartition{Topic: d.topic, Partition: p}
		}
	}
	return nil
}
