package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// ErrFenced says that another producer has taken over the transactional id, or that the coordinator has ended this one's
// transaction because it took too long: nothing of this producer will be taken any more.
var ErrFenced = errors.New("fenced: the transactional id has a newer producer epoch")

// ErrMustAbort says that something of the transaction has failed, so that it can only be aborted.
var ErrMustAbort = errors.New("the transaction can only be aborted")

// ErrTxnState says that the call does not fit what the producer is about.
var ErrTxnState = errors.New("not in the right state for that")

// TransactionOptions says how a transactional producer behaves; zero values have defaults.
type TransactionOptions struct {
	ID      string        // transactional.id
	Timeout time.Duration // transaction.timeout.ms: the coordinator aborts what takes longer; 0 means 60 s
	// Producer's Acks and Idempotent are set to what transactions need.
	Producer ProducerOptions
}

// Transactional is a producer whose records become visible all together, or never, to consumers that read committed data.
// One task calls Init, Begin, SendOffsets, Commit and Abort; Produce is for many.
//
// It speaks transaction.version 2 (KIP-890) where the brokers' finalised features say so: partitions join a transaction with
// their first batch, and each transaction has an epoch of its own. Else partitions are added by AddPartitionsToTxn, and the
// epoch is raised only after a failure (KIP-360).
//
// Source: TransactionManager, KafkaProducer#beginTransaction.
type Transactional struct {
	p    *Producer
	c    *Client
	e    env.Env
	o    TransactionOptions
	txns *coordinator
	// groups are the coordinators of the groups whose offsets were sent.
	groups map[string]*coordinator

	// Guarded by p.mu.
	state   txnState
	version int16 // transaction.version
	started bool  // the coordinator may know of the transaction
	sent    bool  // anybody may know of the last one
	err     error // why it can only be aborted
	bump    bool  // the broker may wait for sequence numbers that will never come: the epoch must be raised
	added   map[wire.TopicPartition]bool
	adding  []wire.TopicPartition // not added yet, in the order of their first record
	adder   bool                  // a task is adding them
	last    TransactionIdentity   // what the last transaction went by
	ambig   bool                  // an EndTxn that was sent may have been done
}

type txnState uint8

const (
	txnFresh txnState = iota // Init is due
	txnReady
	txnOpen
	txnCommitting // a commit was sent and its end is not known
	txnAborting   // likewise
	txnDead       // fenced, or refused for good
)

func (s txnState) String() string {
	return [...]string{"not initialised", "ready", "in a transaction", "committing", "aborting", "dead"}[s]
}

// TransactionIdentity is what a broker knows a transactional producer by.
type TransactionIdentity struct {
	ProducerID    int64 // -1 before Init
	ProducerEpoch int16
}

// NewTransactional makes a transactional producer.
func NewTransactional(c *Client, o TransactionOptions) (*Transactional, error) {
	if o.ID == "" {
		return nil, errors.New("a transactional producer needs a transactional id")
	}
	setDefault(&o.Timeout, time.Minute)
	o.Producer.Acks, o.Producer.Idempotent = AcksAll, true
	p, err := NewProducer(c, o.Producer)
	if err != nil {
		return nil, err
	}
	t := &Transactional{p: p, c: c, e: c.e, o: o, txns: newCoordinator(c, coordinatorOfTxn, o.ID), groups: map[string]*coordinator{}, added: map[wire.TopicPartition]bool{}}
	t.last.ProducerID = -1
	p.mu.Lock()
	p.txn = t
	p.mu.Unlock()
	return t, nil
}

// Identity is the producer id and epoch that the next transaction, or the one under way, goes by.
func (t *Transactional) Identity() TransactionIdentity {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	return TransactionIdentity{t.p.identity.id, t.p.identity.epoch}
}

// Version is the transaction.version that the producer speaks: 0, 1 or 2.
func (t *Transactional) Version() int16 {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	return t.version
}

// Sent reports whether anything of the transaction, or else of the last one, was sent to a broker. One of which nothing was ends
// without a word to anybody.
func (t *Transactional) Sent() bool {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	return t.sent
}

// Begin begins a transaction. It asks nobody: the coordinator learns of it with the first record or offset.
func (t *Transactional) Begin() error {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.state != txnReady {
		return t.wrongState("begin")
	}
	t.state, t.started, t.sent, t.err, t.bump, t.ambig = txnOpen, false, false, nil, false, false
	clear(t.added)
	t.adding = t.adding[:0]
	return nil
}

// wrongState is the error of a call out of place. p.mu is held.
func (t *Transactional) wrongState(what string) error {
	if t.state == txnDead {
		return fmt.Errorf("%s: %w", what, t.err)
	}
	return fmt.Errorf("%s while %s: %w", what, t.state, ErrTxnState)
}

// Produce is Producer.Produce within the transaction. Outside of one, and once the transaction has failed, the record fails.
// OK means that the record is in the log; whether it becomes visible is for Commit to say.
func (t *Transactional) Produce(r Record, done func(Result)) { t.p.Produce(r, done) }

// admit says whether a record may join, and sees to it that its partition does. p.mu is held.
func (t *Transactional) admit(tp wire.TopicPartition) error {
	switch {
	case t.state != txnOpen:
		return t.wrongState("produce")
	case t.err != nil:
		return fmt.Errorf("%w: %w", ErrMustAbort, t.err)
	}
	if _, known := t.added[tp]; !known {
		t.added[tp] = t.version >= 2
		if t.version < 2 {
			t.adding = append(t.adding, tp)
			t.add()
		}
	}
	return nil
}

// ready reports whether batches of the partition may be sent. p.mu is held.
func (t *Transactional) ready(tp wire.TopicPartition) bool {
	return t.state == txnOpen && t.err == nil && t.added[tp]
}

// fail notes that the transaction can only be aborted. p.mu is held.
func (t *Transactional) fail(err error, bump bool) {
	if t.state == txnDead {
		return
	}
	t.bump = t.bump || bump
	if t.err == nil {
		t.err = err
	}
}

// failed takes note of a batch that was given up. p.mu is held.
func (t *Transactional) failed(b *batch, err error) {
	if errors.Is(err, kerr.ProducerFenced) {
		err = fmt.Errorf("%w: %w", ErrFenced, err)
	}
	t.fail(err, b.sequence >= 0)
}

// die ends the producer for good; what is queued fails.
func (t *Transactional) die(err error) error {
	p := t.p
	var ends []ending
	p.mu.Lock()
	t.state, t.err = txnDead, err
	p.fatal = err
	for _, l := range p.order {
		ends = append(ends, p.expireLane(l, env.Never, err)...)
	}
	p.room.Broadcast()
	p.mu.Unlock()
	p.tell(ends)
	return err
}

// Commit waits for all records of the transaction and commits it, at most timeout.
//
// OK: it is committed, and its records become visible. Failed: it certainly is not committed and never will be; if the error
// is ErrMustAbort, call Abort. Unknown: nobody can tell; Commit may be called again, which asks for the same once more, and
// the producer can do nothing else.
func (t *Transactional) Commit(timeout time.Duration) (Outcome, error) {
	deadline := t.e.Mono().Add(timeout)
	p := t.p
	p.mu.Lock()
	if t.state != txnOpen && t.state != txnCommitting {
		defer p.mu.Unlock()
		return Failed, t.wrongState("commit")
	}
	open := t.state == txnOpen
	p.mu.Unlock()
	if open {
		p.flush(deadline)
		p.mu.Lock()
		switch {
		case t.err == nil && p.busy():
			t.fail(fmt.Errorf("records are not confirmed yet: %w", env.ErrTimeout), true)
			fallthrough
		case t.err != nil:
			defer p.mu.Unlock()
			return Failed, fmt.Errorf("commit: %w: %w", ErrMustAbort, t.err)
		case !t.started:
			t.state = txnReady
			p.mu.Unlock()
			return OK, nil
		}
		t.state = txnCommitting
		p.mu.Unlock()
	}
	err := t.end(true, deadline)
	p.mu.Lock()
	ambiguous := t.ambig
	p.mu.Unlock()
	switch {
	case err == nil:
		return OK, nil
	case ambiguous:
		return Unknown, err
	}
	return Failed, err
}

// Abort drops what was not sent, waits for what was, and aborts the transaction, at most timeout. After an error that is not
// fatal it may be called again.
func (t *Transactional) Abort(timeout time.Duration) error {
	deadline := t.e.Mono().Add(timeout)
	p := t.p
	p.mu.Lock()
	if t.state != txnOpen && t.state != txnAborting {
		defer p.mu.Unlock()
		return t.wrongState("abort")
	}
	t.state = txnAborting
	ends := t.dropQueued()
	p.mu.Unlock()
	p.tell(ends)
	p.mu.Lock()
	// What is in flight, or an AddPartitionsToTxn, must not arrive behind the EndTxn.
	for (p.flying() || t.adder) && p.finished.WaitUntil(deadline) {
	}
	late := p.flying() || t.adder
	ends = t.dropQueued() // what came back to be sent again
	started, bump := t.started, t.bump
	p.mu.Unlock()
	p.tell(ends)
	switch {
	case late:
		return fmt.Errorf("abort: requests are still under way: %w", env.ErrTimeout)
	case started:
		if err := t.end(false, deadline); err != nil {
			return err
		}
	}
	if bump && t.Version() < 2 {
		return t.raise(deadline)
	}
	p.mu.Lock()
	t.state = txnReady
	p.mu.Unlock()
	return nil
}

// dropQueued gives up every batch that is not in flight. p.mu is held.
func (t *Transactional) dropQueued() (ends []ending) {
	for _, l := range t.p.order {
		queue := l.queue
		l.queue = nil
		for _, b := range queue {
			b.closed = true
			ends = append(ends, t.p.giveUp(b, because(ErrAborted, b.lastErr))...)
		}
	}
	return ends
}

// ErrAborted is the error of records that were not sent before their transaction was aborted.
var ErrAborted = errors.New("the transaction was aborted")

// Close ends the producer. A transaction under way is left to the coordinator's time-out, or to the next producer of the id.
func (t *Transactional) Close(timeout time.Duration) {
	t.p.Close(timeout)
	t.txns.close()
	for _, k := range t.groups { // unordered: each by itself
		k.close()
	}
}

// adopt takes what the coordinator has said that we are now. p.mu is held.
func (t *Transactional) adopt(id int64, epoch int16) {
	p := t.p
	assert.That(!p.flying(), "INV-TXN-EPOCH: a new epoch while batches of the last one are in flight")
	p.identity.id, p.identity.epoch = id, epoch
	for _, l := range p.order {
		if l.id != id || l.epoch != epoch {
			l.id, l.epoch, l.next, l.confirmed, l.broken = id, epoch, 0, false, false
		}
	}
}
