package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

const (
	coordinatorOfGroup int8 = 0
	coordinatorOfTxn   int8 = 1
)

// coordinator is the way to the broker that coordinates a group or a transactional id: a connection of its own, since on a
// shared one an answer would wait behind those of fetches.
type coordinator struct {
	c    *Client
	kind int8
	key  string

	mu   env.Mutex
	conn *Conn
}

func newCoordinator(c *Client, kind int8, key string) *coordinator {
	return &coordinator{c: c, kind: kind, key: key, mu: c.e.NewMutex()}
}

// ask sends req once, finding the coordinator first. A connection that broke is forgotten.
func (k *coordinator) ask(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	conn, err := k.connect(timeout)
	if err != nil {
		return nil, err
	}
	resp, err := conn.Do(req, timeout)
	if err != nil {
		k.moved(conn)
	}
	return resp, err
}

func (k *coordinator) connect(timeout time.Duration) (*Conn, error) {
	k.mu.Lock()
	conn := k.conn
	k.mu.Unlock()
	if conn != nil && !conn.Broken() {
		return conn, nil
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey, req.CoordinatorType = 3, k.key, k.kind
	resp, err := k.c.Any(req, timeout)
	if err != nil {
		return nil, neverSent("FindCoordinator", err)
	}
	r := resp.(*kmsg.FindCoordinatorResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return nil, neverSent("FindCoordinator", err)
	}
	conn, err = Dial(k.c.e, joinAddr(r.Host, r.Port), ConnOptions{ClientID: k.c.o.ClientID, DialTimeout: k.c.o.DialTimeout,
		RequestTimeout: k.c.o.RequestTimeout, Negotiate: k.c.o.Negotiate})
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	old := k.conn
	k.conn = conn
	k.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return conn, nil
}

// neverSent says of the request that was to follow that nobody has received it.
func neverSent(api string, cause error) error { return &Error{API: api, Err: cause} }

// moved forgets the coordinator, if it is still the one of conn; nil stands for any.
func (k *coordinator) moved(conn *Conn) {
	k.mu.Lock()
	old := k.conn
	if conn == nil || old == conn {
		k.conn = nil
	} else {
		old = nil
	}
	k.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

func (k *coordinator) close() { k.moved(nil) }

// patience is how an answer to a transactional request is to be taken.
type patience uint8

const (
	taken patience = iota // it was done
	again                 // the same coordinator may do it a little later
	elsewhere
	refused // for good
)

// patienceFor reads a code of the coordinator. ambiguous says that the request may have been done all the same: a coordinator
// that has written to its log and stops being one before the followers have it says so in the same words as one that never was.
func patienceFor(err error) (p patience, ambiguous bool) {
	switch {
	case err == nil:
		return taken, false
	case errors.Is(err, kerr.ConcurrentTransactions), errors.Is(err, kerr.CoordinatorLoadInProgress), errors.Is(err, kerr.ThrottlingQuotaExceeded):
		return again, false
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.LeaderNotAvailable):
		return again, false
	case errors.Is(err, kerr.NotCoordinator), errors.Is(err, kerr.CoordinatorNotAvailable):
		return elsewhere, true
	case errors.Is(err, kerr.RequestTimedOut), errors.Is(err, kerr.NetworkException), errors.Is(err, kerr.KafkaStorageError),
		errors.Is(err, kerr.NotEnoughReplicas), errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		return again, true
	case errors.Is(err, kerr.UnknownServerError):
		return refused, true
	}
	return refused, false
}

// concurrentPause is how soon CONCURRENT_TRANSACTIONS is tried again: the markers of the last transaction are on their way
// (TransactionManager.ADD_PARTITIONS_RETRY_BACKOFF_MS).
const concurrentPause = 20 * time.Millisecond

// insist sends what build makes to the coordinator until it is done or refused for good, or the deadline comes. code reads the
// answer's error. ambiguous says of a failure that some attempt may have been done.
func (t *Transactional) insist(k *coordinator, deadline env.Instant, build func() kmsg.Request, code func(kmsg.Response) error) (resp kmsg.Response, ambiguous bool, err error) {
	for attempt := 0; ; attempt++ {
		var p patience
		resp, err = k.ask(build(), t.requestTimeout(deadline))
		switch {
		case err == nil:
			var maybe bool
			err = code(resp)
			p, maybe = patienceFor(err)
			ambiguous = ambiguous || maybe
			if p == elsewhere {
				markTransactionalCoordinatorMoved.Hit()
				k.moved(nil)
			}
		default:
			p = again
			ambiguous = ambiguous || MaybeSent(err)
			var found *Error
			if errors.As(err, &found) && found.API == "FindCoordinator" && !findsAgain(err) {
				p = refused
			}
		}
		if p == taken || p == refused {
			return resp, ambiguous, err
		}
		pause := concurrentPause
		if !errors.Is(err, kerr.ConcurrentTransactions) {
			t.c.mu.Lock()
			pause = t.c.backoff(attempt)
			t.c.mu.Unlock()
		}
		if t.e.Mono().Add(pause) >= deadline || t.closed() {
			markTransactionalRequestGivenUp.Hit()
			return nil, ambiguous, fmt.Errorf("%w: %w", env.ErrTimeout, err)
		}
		t.e.Sleep(pause)
	}
}

// findsAgain says that a coordinator may be found later.
func findsAgain(err error) bool {
	var code *kerr.Error
	return !errors.As(err, &code) || code.Retriable
}

func (t *Transactional) closed() bool {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	return t.p.closed
}

// requestTimeout is what one attempt may take.
func (t *Transactional) requestTimeout(deadline env.Instant) time.Duration {
	return max(time.Millisecond, min(t.p.o.RequestTimeout, deadline.Sub(t.e.Mono())))
}

// Init makes this the one producer of the transactional id: it ends what an earlier one left open, and fences it. It is called
// once, before anything else. Errors: env.ErrTimeout, after which it may be called again; what the coordinator refuses.
func (t *Transactional) Init(timeout time.Duration) error {
	deadline := t.e.Mono().Add(timeout)
	t.p.mu.Lock()
	if t.state != txnFresh {
		defer t.p.mu.Unlock()
		return t.wrongState("init")
	}
	t.p.mu.Unlock()
	version, err := t.c.transactionVersion(deadline)
	if err != nil {
		return fmt.Errorf("init %s: %w", t.o.ID, err)
	}
	if err := t.identify(-1, -1, deadline); err != nil {
		return fmt.Errorf("init %s: %w", t.o.ID, err)
	}
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.state, t.version = txnReady, version
	return nil
}

// identify asks for a producer epoch: a first one, or, with what we were, the next (KIP-360).
func (t *Transactional) identify(id int64, epoch int16, deadline env.Instant) error {
	resp, _, err := t.insist(t.txns, deadline, func() kmsg.Request {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionalID = 4, kmsg.StringPtr(t.o.ID)
		req.TransactionTimeoutMillis = int32(t.o.Timeout.Milliseconds())
		req.ProducerID, req.ProducerEpoch = id, epoch
		return req
	}, func(r kmsg.Response) error { return kerr.ErrorForCode(r.(*kmsg.InitProducerIDResponse).ErrorCode) })
	if err != nil {
		return fencing(err)
	}
	r := resp.(*kmsg.InitProducerIDResponse)
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.adopt(r.ProducerID, r.ProducerEpoch)
	return nil
}

// fencing names an error that means that there is a newer epoch.
func fencing(err error) error {
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return err
}

// raise gets the next epoch after a failure (KIP-360).
func (t *Transactional) raise(deadline env.Instant) error {
	was := t.Identity()
	err := t.identify(was.ProducerID, was.ProducerEpoch, deadline)
	switch {
	case err == nil:
		t.p.mu.Lock()
		defer t.p.mu.Unlock()
		t.state, t.started, t.bump = txnReady, false, false
		return nil
	case errors.Is(err, env.ErrTimeout):
		t.p.mu.Lock()
		defer t.p.mu.Unlock()
		markEpochNotRaisedInTime.Hit()
		t.state, t.started = txnAborting, false // the abort is done; called again, Abort only raises the epoch
		return fmt.Errorf("raise the epoch of %s: %w", t.o.ID, err)
	}
	return t.die(fmt.Errorf("raise the epoch of %s: %w", t.o.ID, err))
}

// transactionVersion asks a broker for the finalised feature transaction.version; 0 where it has none (KIP-1022).
func (c *Client) transactionVersion(deadline env.Instant) (int16, error) {
	for attempt := 0; ; attempt++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.SetVersion(3)
		req.ClientSoftwareName, req.ClientSoftwareVersion = "barnabas", "1"
		resp, err := c.Any(req, max(time.Millisecond, min(c.o.RequestTimeout, deadline.Sub(c.e.Mono()))))
		if err == nil {
			r := resp.(*kmsg.ApiVersionsResponse)
			if err = kerr.ErrorForCode(r.ErrorCode); err == nil {
				return spokenVersion(r), nil
			}
		}
		if !(&Admin{c}).pause(attempt, deadline) {
			return 0, fmt.Errorf("features: %w: %w", env.ErrTimeout, err)
		}
	}
}

// spokenVersion is the broker's transaction.version as far as both know how to speak it.
func spokenVersion(r *kmsg.ApiVersionsResponse) int16 {
	version := int16(0)
	for _, f := range r.FinalizedFeatures {
		if f.Name == "transaction.version" {
			version = min(2, f.MaxVersionLevel)
		}
	}
	for _, k := range r.ApiKeys {
		if kmsg.Key(k.ApiKey) == kmsg.EndTxn && k.MaxVersion < 5 || kmsg.Key(k.ApiKey) == kmsg.Produce && k.MaxVersion < 12 {
			version = min(version, 1)
		}
	}
	return version
}

// end sends EndTxn until it is done. It ends the producer on an error that is no time-out.
func (t *Transactional) end(commit bool, deadline env.Instant) error {
	what := map[bool]string{true: "commit", false: "abort"}[commit]
	was, version := t.Identity(), int16(3)
	if t.Version() >= 2 {
		version = 5
	}
	resp, ambiguous, err := t.insist(t.txns, deadline, func() kmsg.Request {
		req := kmsg.NewPtrEndTxnRequest()
		req.Version, req.TransactionalID, req.Commit = version, t.o.ID, commit
		req.ProducerID, req.ProducerEpoch = was.ProducerID, was.ProducerEpoch
		return req
	}, func(r kmsg.Response) error { return kerr.ErrorForCode(r.(*kmsg.EndTxnResponse).ErrorCode) })
	t.p.mu.Lock()
	t.ambig = t.ambig || ambiguous
	t.p.mu.Unlock()
	switch {
	case err == nil:
		r := resp.(*kmsg.EndTxnResponse)
		t.p.mu.Lock()
		defer t.p.mu.Unlock()
		t.state, t.started, t.err = txnReady, false, nil
		if version >= 5 && r.ProducerID >= 0 {
			t.adopt(r.ProducerID, r.ProducerEpoch)
			t.bump = false
		}
		return nil
	case errors.Is(err, env.ErrTimeout):
		return fmt.Errorf("%s of %s: %w", what, t.o.ID, err)
	case errors.Is(err, kerr.TransactionAbortable) && commit && !ambiguous:
		t.p.mu.Lock()
		defer t.p.mu.Unlock()
		t.state = txnOpen
		markCommitToldToAbort.Hit()
		t.fail(err, false)
		return fmt.Errorf("%s of %s: %w: %w", what, t.o.ID, ErrMustAbort, err)
	}
	return t.die(fmt.Errorf("%s of %s: %w", what, t.o.ID, fencing(err)))
}

// add starts the task that adds partitions, if none runs. p.mu is held.
func (t *Transactional) add() {
	if t.adder || len(t.adding) == 0 {
		return
	}
	t.adder, t.started, t.sent = true, true, true
	t.e.Go("txn-add", t.addPartitions)
}

// addPartitions tells the coordinator which partitions are part of the transaction, before anything is sent to them.
func (t *Transactional) addPartitions() {
	p := t.p
	for {
		p.mu.Lock()
		batch := t.adding
		t.adding = nil
		was := p.identity
		if len(batch) == 0 || t.state != txnOpen || t.err != nil || p.closed {
			t.adder = false
			p.finished.Broadcast()
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		err := t.addBatch(batch, was, t.e.Mono().Add(p.o.DeliveryTimeout))
		p.mu.Lock()
		for _, tp := range batch {
			if err != nil {
				t.fail(err, true)
			} else {
				t.added[tp] = true
			}
		}
		var ends []ending
		for _, l := range p.order {
			if t.err != nil {
				ends = append(ends, p.expireLane(l, env.Never, t.err)...)
			} else {
				p.route(l)
			}
		}
		p.mu.Unlock()
		p.tell(ends)
	}
}

func (t *Transactional) addBatch(batch []wire.TopicPartition, was identity, deadline env.Instant) error {
	req := func() kmsg.Request {
		req := kmsg.NewPtrAddPartitionsToTxnRequest()
		req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = 3, t.o.ID, was.id, was.epoch
		for _, tp := range batch {
			n := len(req.Topics)
			if n == 0 || req.Topics[n-1].Topic != tp.Topic {
				topic := kmsg.NewAddPartitionsToTxnRequestTopic()
				topic.Topic = tp.Topic
				req.Topics = append(req.Topics, topic)
			}
			last := &req.Topics[len(req.Topics)-1]
			last.Partitions = append(last.Partitions, tp.Partition)
		}
		return req
	}
	_, _, err := t.insist(t.txns, deadline, req, func(r kmsg.Response) error {
		var first error
		for _, topic := range r.(*kmsg.AddPartitionsToTxnResponse).Topics {
			for _, part := range topic.Partitions {
				err := kerr.ErrorForCode(part.ErrorCode)
				if err != nil && (first == nil || errors.Is(first, kerr.OperationNotAttempted)) {
					first = err
				}
			}
		}
		return first
	})
	if err != nil {
		return fmt.Errorf("add partitions to the transaction of %s: %w", t.o.ID, fencing(err))
	}
	return nil
}
