package client

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// feeder is the task that sends to one broker what the lanes led there have ready.
type feeder struct {
	p        *Producer
	broker   int32
	work     env.Cond // something may have become ready, or room in flight, or the producer closed
	inFlight int      // requests
	turn     int      // which lane is looked at first
}

// ending is a batch with its result, to be told once no lock is held.
type ending struct {
	b      *batch
	result Result
}

// feeder finds or starts the task for a broker. p.mu is held.
func (p *Producer) feeder(broker int32) *feeder {
	i, found := slices.BinarySearchFunc(p.feeders, broker, func(f *feeder, id int32) int { return int(f.broker) - int(id) })
	if !found {
		f := &feeder{p: p, broker: broker, work: p.e.NewCond(p.mu)}
		p.feeders = slices.Insert(p.feeders, i, f)
		p.e.Go("producer-sender", f.run)
	}
	return p.feeders[i]
}

func (f *feeder) run() {
	for f.awaitWork() {
		// The connection comes before the batches: what waits for a dial has certainly not been sent.
		conn, err := f.p.c.Conn(f.broker)
		if err != nil {
			f.p.c.RequestUpdate()
			f.p.e.Sleep(f.p.c.o.RetryBackoff)
			continue
		}
		f.send(conn)
	}
}

// awaitWork waits until some lane is ready; false once the producer is closed.
func (f *feeder) awaitWork() bool {
	p := f.p
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed {
		next := env.Never
		if f.inFlight < p.o.InFlightMax {
			m := p.c.Metadata()
			for _, l := range p.order {
				if leader, ok := m.Leader(l.tp); ok && leader.Broker == f.broker {
					next = min(next, p.readyAt(l))
				}
			}
		}
		if next <= p.e.Mono() {
			return true
		}
		f.work.WaitUntil(next)
	}
	return false
}

// send takes one batch of each ready lane, as far as a request holds them, and sends them.
func (f *feeder) send(conn *Conn) {
	p := f.p
	p.mu.Lock()
	batches, ends := f.take()
	if len(batches) > 0 {
		f.inFlight++
	}
	p.mu.Unlock()
	p.tell(ends)
	if len(batches) == 0 {
		return
	}
	req := p.request(batches)
	conn.Send(req, p.o.RequestTimeout, func(resp kmsg.Response, err error) { f.answered(batches, resp, err) })
}

func (f *feeder) take() (batches []*batch, ends []ending) {
	p := f.p
	now, m := p.e.Mono(), p.c.Metadata()
	size := 0
	f.turn++
	for i := range p.order {
		l := p.order[(f.turn+i)%len(p.order)]
		if leader, ok := m.Leader(l.tp); !ok || leader.Broker != f.broker || p.readyAt(l) > now {
			continue
		}
		b := l.queue[0]
		if len(batches) > 0 && size+b.bytes > p.o.RequestBytesMax {
			continue
		}
		over, ok := p.sequence(l, b)
		if ends = append(ends, over...); !ok {
			continue
		}
		size += b.bytes
		b.closed = true
		b.attempts++
		if p.txn != nil {
			p.txn.started, p.txn.sent = true, true
		}
		b.metadata = m
		l.queue = slices.Delete(l.queue, 0, 1)
		l.inFlight = append(l.inFlight, b)
		batches = append(batches, b)
	}
	// Sorted, so that a topic comes once in the request.
	slices.SortFunc(batches, func(a, b *batch) int { return a.lane.tp.Compare(b.lane.tp) })
	return batches, ends
}

// request makes the produce request of batches, which are sorted by topic and partition.
func (p *Producer) request(batches []*batch) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks = p.o.Acks
	if p.txn != nil {
		req.TransactionID = &p.txn.o.ID
		if p.txn.Version() >= 2 {
			req.SetVersion(12) // the partitions join the transaction by this (KIP-890)
		}
	}
	// The broker answers for its waiting before we give up on the connection and all that is in flight on it.
	req.TimeoutMillis = int32((p.o.RequestTimeout * 3 / 4) / time.Millisecond)
	for _, b := range batches {
		if b.encoded == nil {
			b.encoded = encodeBatch(b, p.o.Compression, p.txn != nil)
		}
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != b.lane.tp.Topic {
			t := kmsg.NewProduceRequestTopic()
			t.Topic = b.lane.tp.Topic
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		part := kmsg.NewProduceRequestTopicPartition()
		part.Partition, part.Records = b.lane.tp.Partition, b.encoded
		t.Partitions = append(t.Partitions, part)
	}
	return req
}

// answered takes the end of a request.
func (f *feeder) answered(batches []*batch, resp kmsg.Response, err error) {
	p := f.p
	answers := make([]answer, len(batches))
	for i, b := range batches {
		answers[i] = p.answerFor(b, resp, err)
	}
	var ends []ending
	p.mu.Lock()
	f.inFlight--
	for i, b := range batches {
		ends = append(ends, p.settle(b, answers[i])...)
	}
	for _, b := range batches {
		p.route(b.lane)
	}
	f.work.Signal()
	if p.txn != nil {
		p.finished.Broadcast() // Abort waits for what is in flight
	}
	p.mu.Unlock()
	p.tell(ends)
}

// answerFor reads what a request's end says of one batch.
func (p *Producer) answerFor(b *batch, resp kmsg.Response, err error) answer {
	switch {
	case err != nil:
		return lostAnswer(err)
	case p.o.Acks == AcksNone:
		return answer{base: -1, timestamp: -1}
	}
	if part := findProduced(resp.(*kmsg.ProduceResponse), b.lane.tp); part != nil {
		a := classify(kerr.ErrorForCode(part.ErrorCode), p.o.Acks)
		a.base, a.timestamp = part.BaseOffset, part.LogAppendTime
		return a
	}
	// The broker read the request and does not say what it did.
	return answer{err: kerr.UnknownServerError, ambiguous: true, retriable: true}
}

func findProduced(resp *kmsg.ProduceResponse, tp wire.TopicPartition) *kmsg.ProduceResponseTopicPartition {
	for i := range resp.Topics {
		if resp.Topics[i].Topic != tp.Topic {
			continue
		}
		for j := range resp.Topics[i].Partitions {
			if resp.Topics[i].Partitions[j].Partition == tp.Partition {
				return &resp.Topics[i].Partitions[j]
			}
		}
	}
	return nil
}

// tell gives records their results. No lock is held.
func (p *Producer) tell(ends []ending) {
	if len(ends) == 0 {
		return
	}
	for _, end := range ends {
		r := end.result
		for i, rec := range end.b.records {
			if end.result.Outcome == OK && end.result.Offset >= 0 {
				r.Offset = end.result.Offset + int64(i)
			}
			if r.Timestamp = end.result.Timestamp; r.Timestamp < 0 {
				r.Timestamp = rec.record.Timestamp
			}
			rec.done(r)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range ends {
		i := slices.Index(p.untold, end.b.number)
		p.untold = slices.Delete(p.untold, i, i+1)
	}
	if p.flushes > 0 {
		p.finished.Broadcast()
	}
}
