package client

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/env"
	"barnabas/broker/record"
)

// identity is the producer id that a broker gave us; id is -1 before.
type identity struct {
	id      int64
	epoch   int16
	pending bool // a task is asking for it
}

// identify starts asking for a producer id if there is none. p.mu is held.
func (p *Producer) identify() {
	if p.txn != nil || p.identity.id >= 0 || p.identity.pending || p.fatal != nil || p.closed {
		return
	}
	p.identity.pending = true
	p.e.Go("producer-id", p.acquire)
}

// acquire asks brokers for a producer id until one gives it, or refuses for good.
func (p *Producer) acquire() {
	for failures := 0; ; failures++ {
		resp, err := p.askIdentity()
		if p.takeIdentity(resp, err) {
			return
		}
		p.c.mu.Lock()
		pause := p.c.backoff(failures)
		p.c.mu.Unlock()
		p.e.Sleep(pause)
	}
}

func (p *Producer) askIdentity() (*kmsg.InitProducerIDResponse, error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.SetVersion(4)
	req.TransactionTimeoutMillis = math.MaxInt32
	req.ProducerID, req.ProducerEpoch = -1, -1
	r, err := p.c.Any(req, p.o.RequestTimeout)
	if err != nil {
		return nil, err
	}
	resp := r.(*kmsg.InitProducerIDResponse)
	return resp, kerr.ErrorForCode(resp.ErrorCode)
}

// takeIdentity reports whether the asking is over.
func (p *Producer) takeIdentity(resp *kmsg.InitProducerIDResponse, err error) bool {
	var ends []ending
	p.mu.Lock()
	over := true
	switch {
	case p.closed:
	case err == nil:
		p.identity.id, p.identity.epoch = resp.ProducerID, resp.ProducerEpoch
		for _, l := range p.order {
			p.route(l)
		}
	case resp == nil || kerr.IsRetriable(err):
		over = false
	default:
		p.fatal = fmt.Errorf("InitProducerId: %w", err)
		for _, l := range p.order {
			ends = append(ends, p.expireLane(l, env.Never, p.fatal)...)
		}
		p.room.Broadcast()
	}
	p.identity.pending = !over
	p.mu.Unlock()
	p.tell(ends)
	return over
}

// sequence gives the batch at the head of the lane its place in the producer's numbering, if it has none. A broken lane
// first gets its next epoch, unless the batch may have been appended under the old one: then that has to be found out
// by sending it as it was. ok is false if there is no producer id to send it with. p.mu is held; b is next to be sent.
func (p *Producer) sequence(l *lane, b *batch) (ends []ending, ok bool) {
	if !p.o.Idempotent {
		return nil, true
	}
	if l.broken && !b.ambiguous && p.txn == nil {
		ends = p.raiseEpoch(l)
	}
	if l.id < 0 && p.identity.id < 0 {
		p.identify()
		return ends, false
	}
	if l.id < 0 {
		l.id, l.epoch, l.next = p.identity.id, p.identity.epoch, 0
	}
	if b.sequence < 0 {
		b.id, b.epoch, b.sequence = l.id, l.epoch, l.next
		b.encoded = nil
		l.next = record.AddSequence(l.next, int32(len(b.records)))
	}
	return ends, true
}

// raiseEpoch begins the lane's next epoch: nothing is in flight. The broker refuses from now on what it may still get
// from the old one. Queued batches lose their numbers; one that may have been appended cannot be sent in a new epoch,
// where the broker would not know it again, and ends as unknown (TransactionManager#bumpIdempotentProducerEpoch).
func (p *Producer) raiseEpoch(l *lane) (ends []ending) {
	kept := l.queue[:0]
	for _, b := range l.queue {
		if b.ambiguous {
			ends = append(ends, p.giveUp(b, b.lastErr)...)
			continue
		}
		b.sequence, b.encoded = -1, nil
		kept = append(kept, b)
	}
	clear(l.queue[len(kept):])
	l.queue = kept
	l.next, l.confirmed, l.broken = 0, false, false
	if l.epoch++; l.epoch == math.MaxInt16 {
		l.id, p.identity.id = -1, -1 // the last epoch is the broker's own: another id is needed
	}
	return ends
}
