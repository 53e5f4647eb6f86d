package workload

import (
	"fmt"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/linearizability/history"
)

// Process is a node's main function: one processor after the other, all of one transactional id, until Stop. Each reads the topic
// as a member of the group and writes one record to the output for each that it read.
func (l *Load) Process(index int) func(env.Env) { return l.ProcessAs(ProcessorName(index), index) }

// ProcessAs is Process on a node of another name.
func (l *Load) ProcessAs(name string, index int) func(env.Env) {
	return func(e env.Env) {
		life := l.life(name)
		defer l.ended(name, life)
		x := l.newTxnRun(e, name, firstProcessor+index, life, fmt.Sprintf("f-%d", index))
		l.sleepUntilBegin(e)
		for !l.ending() {
			p := &processorRun{txnRun: x, index: index, member: &memberRun{l: l, e: e, name: name, process: int32(x.number*processesPerClient) + processesPerClient - 2,
				owned: map[wire.TopicPartition]env.Instant{}, gives: map[wire.TopicPartition]env.Instant{}, seek: make([]bool, l.Partitions)}}
			p.run()
			e.Sleep(jitter(x.r, 500*time.Millisecond))
		}
	}
}

// processorRun is one processor's life.
type processorRun struct {
	*txnRun
	index  int
	member *memberRun
	p      *client.Processor
	read   bool // the transaction under way has input
}

func (p *processorRun) run() {
	l, o := p.l, p.l.Groups
	consumes := l.client(p.e, fmt.Sprintf("%c-processor-%d", 'a'+rune(p.r.IntN(26)), p.index))
	defer consumes.Close()
	produces := l.client(p.e, fmt.Sprintf("processor-out-%d", p.number))
	defer produces.Close()
	var err error
	p.p, err = client.NewProcessor(consumes, produces, client.ProcessorOptions{
		Group: client.GroupOptions{Group: o.Group, Topics: []string{l.Topic}, Assignors: []string{o.Assignor}, Session: o.Session, Rebalance: o.Rebalance,
			Consumer: client.ConsumerOptions{WaitMax: 250 * time.Millisecond, PartitionBytesMax: 64 << 10, BytesMax: 256 << 10},
			Listener: client.GroupListener{Assigned: p.member.assigned, Revoking: p.member.revoking, Revoked: p.member.revoked, Fetched: p.member.fetched}},
		Transaction: client.TransactionOptions{ID: p.id, Timeout: l.Txns.Timeout, Producer: client.ProducerOptions{InFlightMax: 5, Compression: l.Compression,
			DeliveryTimeout: l.DeliveryTimeout, RequestTimeout: l.RequestTimeout, BlockMax: l.DeliveryTimeout}},
		Process:  p.process,
		EndMax:   2 * l.DeliveryTimeout,
		Listener: client.ProcessorListener{Polled: p.polled, Producing: p.producing, SendingOffsets: p.sendingOffsets, Ending: p.ending},
	})
	if err != nil {
		panic(err) // a scenario that asks for what cannot be
	}
	defer p.p.Close(o.Session)
	p.sent = p.p.Sent
	if !p.init(p.p.Init, p.p.Identity) {
		return
	}
	until := env.Never
	if o.StayMean > 0 {
		until = p.e.Mono().Add(jitter(p.r, o.StayMean))
	}
	for !l.ending() && p.e.Mono() < until {
		n, err := p.p.Step(500 * time.Millisecond)
		if err != nil {
			return
		}
		if n > 0 {
			l.count(func(c *Counts) { c.Processed += n })
		}
	}
}

// process makes one record of each.
func (p *processorRun) process(_ wire.TopicPartition, in *client.Consumed) []client.Record {
	return []client.Record{{Topic: p.l.Txns.Output, Partition: int32(in.Offset) % p.l.Txns.OutputPartitions}}
}

// polled records what a transaction will be made of; now and then it takes so long over it that the group goes on without it.
func (p *processorRun) polled(fetched []client.Fetched) {
	p.txn, p.as, p.read = p.l.nextTxn(), p.p.Identity(), false
	for i := range fetched {
		f := &fetched[i]
		p.read = p.read || len(f.Records) > 0
		p.l.fetched(p.member.process, f, p.member.seek, fetchKind{committed: true, txn: p.txn})
	}
	if p.read && p.l.Txns.StallEvery > 0 && p.r.IntN(p.l.Txns.StallEvery) == 0 {
		p.stall()
	}
}

func (p *processorRun) producing(tp wire.TopicPartition, in *client.Consumed, out *client.Record) func(client.Result) {
	rec, done := p.record(out.Topic, out.Partition, read(in).Value, 0)
	out.Value = rec.Value
	return done
}

func (p *processorRun) sendingOffsets(as client.GroupMetadata, offsets []client.CommitOffset) func(error) {
	var ops []*history.Op
	var ends []func(history.Outcome, error)
	for _, o := range offsets {
		op := p.op(history.Commit, processesPerClient-3)
		op.Topic, op.Partition, op.Group, op.Generation, op.Offset = o.TP.Topic, o.TP.Partition, p.l.Groups.Group, as.Generation, o.Offset
		ops = append(ops, &op)
		ends = append(ends, p.begin(&op))
	}
	return func(err error) {
		for i := range ops {
			ends[i](outcomeOf(err), err)
		}
		if err == nil {
			p.l.count(func(c *Counts) { c.Commits += len(ops) })
		}
	}
}

// ending also notes that what was aborted will be read again.
func (p *processorRun) ending(commit bool) func(client.Outcome, error) {
	if !commit {
		for i := range p.member.seek {
			p.member.seek[i] = true
		}
	}
	return p.txnRun.ending(commit)
}

// drainGroup records where the group stands once everything has ended.
func (l *Load) drainGroup(e env.Env, admin *client.Admin, deadline env.Instant) error {
	var list []wire.TopicPartition
	for p := range l.Partitions {
		list = append(list, l.partition(p))
	}
	called := e.Mono()
	offsets, err := admin.CommittedOffsets(l.Groups.Group, list, deadline.Sub(called))
	if err != nil {
		return fmt.Errorf("drain: where group %s stands: %w", l.Groups.Group, err)
	}
	for i, tp := range list {
		op := history.NewOp(history.OffsetFetch, tp.Topic, tp.Partition)
		op.Process, op.Group, op.Drain = int32(2*firstConsumer)*processesPerClient, l.Groups.Group, true
		op.Offset, op.Call, op.Return, op.Outcome = offsets[i], int64(called), int64(e.Mono()), history.OK
		l.record(op)
	}
	return nil
}
