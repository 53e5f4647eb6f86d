package client

import (
	"errors"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// ProcessorOptions says what a Processor reads, what it makes of it, and by which names.
type ProcessorOptions struct {
	Group       GroupOptions // what it reads; always committed data only
	Transaction TransactionOptions
	// Process makes records of one that was read. It is pure: after an abort it is called again for the same input.
	Process func(tp wire.TopicPartition, in *Consumed) []Record
	// EndMax is how long offsets, a commit or an abort may take; 0 means the transaction's time-out.
	EndMax   time.Duration
	Listener ProcessorListener
}

// ProcessorListener is told, by the task that calls Step, before something is sent; what it returns, if anything, is called with
// how that ended. All may be nil.
type ProcessorListener struct {
	Polled         func([]Fetched)
	Producing      func(tp wire.TopicPartition, in *Consumed, out *Record) func(Result)
	SendingOffsets func(as GroupMetadata, offsets []CommitOffset) func(error)
	Ending         func(commit bool) func(Outcome, error)
}

// Processor reads records as a member of a group, makes others of them, and writes these together with its offsets in one
// transaction: each input is processed exactly once, whoever crashes (KIP-447). Source: KafkaStreams' StreamTask, in small.
type Processor struct {
	e env.Env
	o ProcessorOptions
	m *Member
	t *Transactional
}

// NewProcessor makes a processor. The member and the producer have a client each, so that no answer waits behind a fetch's;
// neither may be used by others.
func NewProcessor(consumes, produces *Client, o ProcessorOptions) (*Processor, error) {
	t, err := NewTransactional(produces, o.Transaction)
	if err != nil {
		return nil, err
	}
	setDefault(&o.EndMax, t.o.Timeout)
	o.Group.Consumer.ReadCommitted = true
	o.Group.AutoCommit = 0
	return &Processor{e: consumes.e, o: o, m: NewMember(consumes, o.Group), t: t}, nil
}

// Init takes the transactional id over; call it first.
func (p *Processor) Init(timeout time.Duration) error { return p.t.Init(timeout) }

// Step polls once and processes what came, in one transaction; done tells how many records of input were. An aborted transaction
// is no error: its input will be read again. After an error the processor is of no more use: Close it and make another.
func (p *Processor) Step(timeout time.Duration) (done int, err error) {
	fetched, err := p.m.Poll(timeout)
	if err != nil {
		return 0, fmt.Errorf("poll: %w", err)
	}
	if p.o.Listener.Polled != nil {
		p.o.Listener.Polled(fetched)
	}
	as := p.m.GroupMetadata()
	offsets, starts, n := span(fetched)
	if len(offsets) == 0 {
		return 0, nil
	}
	if err := p.t.Begin(); err != nil {
		return 0, err
	}
	p.produce(fetched)
	if err := p.sendOffsets(offsets, as); err == nil {
		outcome, err := p.end(true)
		switch {
		case outcome == OK:
			return n, nil
		case outcome == Unknown || !errors.Is(err, ErrMustAbort):
			return 0, err
		}
	}
	if _, err := p.end(false); err != nil {
		return 0, err
	}
	for _, at := range starts {
		if err := p.m.Seek(at.TP, at.Offset); err != nil && !errors.Is(err, ErrNotAssigned) { // or it is another's by now
			return 0, err
		}
	}
	return 0, nil
}

// span is where the partitions' input ends and begins, and how many records it has.
func span(fetched []Fetched) (ends, starts []CommitOffset, records int) {
	for i := range fetched {
		f := &fetched[i]
		if f.Err != nil || f.Next <= f.From && !f.Reset {
			continue
		}
		records += len(f.Records)
		if f.Reset && len(f.Records) == 0 {
			continue // where to begin was found: nothing has been read
		}
		at := -1
		for k := range ends {
			if ends[k].TP == f.TP {
				at = k
			}
		}
		if at < 0 {
			at = len(ends)
			ends = append(ends, CommitOffset{TP: f.TP})
			starts = append(starts, CommitOffset{TP: f.TP, Offset: f.From})
		}
		ends[at].Offset = f.Next
	}
	return ends, starts, records
}

func (p *Processor) produce(fetched []Fetched) {
	for i := range fetched {
		for k := range fetched[i].Records {
			in := &fetched[i].Records[k]
			for _, out := range p.o.Process(fetched[i].TP, in) {
				done := func(Result) {}
				if p.o.Listener.Producing != nil {
					done = p.o.Listener.Producing(fetched[i].TP, in, &out)
				}
				p.t.Produce(out, done)
			}
		}
	}
}

func (p *Processor) sendOffsets(offsets []CommitOffset, as GroupMetadata) error {
	tell := func(error) {}
	if p.o.Listener.SendingOffsets != nil {
		tell = p.o.Listener.SendingOffsets(as, offsets)
	}
	err := p.t.SendOffsets(offsets, as, p.o.EndMax)
	if err != nil {
		p.m.heed(err) // it may say that we are no member any more
	}
	tell(err)
	return err
}

func (p *Processor) end(commit bool) (outcome Outcome, err error) {
	tell := func(Outcome, error) {}
	if p.o.Listener.Ending != nil {
		tell = p.o.Listener.Ending(commit)
	}
	if commit {
		outcome, err = p.t.Commit(p.o.EndMax)
	} else if err = p.t.Abort(p.o.EndMax); err == nil {
		outcome = OK
	}
	tell(outcome, err)
	return outcome, err
}

// Identity is what the transaction goes by.
func (p *Processor) Identity() TransactionIdentity { return p.t.Identity() }

// Sent is that of the producer.
func (p *Processor) Sent() bool { return p.t.Sent() }

// Owned lists the partitions that the processor reads.
func (p *Processor) Owned() []wire.TopicPartition { return p.m.Owned() }

// Close leaves the group and ends the producer.
func (p *Processor) Close(timeout time.Duration) {
	p.t.Close(timeout)
	p.m.Close(timeout)
}
