package bench

import (
	"fmt"
	"time"

	"barnabas/broker/client"
)

// simSink takes records in the simulated world; simLoad.result is told when one is through.
type simSink interface{ send(it *item) }

// simProducer is a sink without transactions.
type simProducer struct {
	l *simLoad
	p *client.Producer
}

func (s simProducer) send(it *item) {
	s.p.Produce(record(it), func(r client.Result) { s.l.result(it, r.Err) })
}

func record(it *item) client.Record {
	return client.Record{Topic: simTopic, Partition: client.AnyPartition, Key: it.rec.Key, Value: it.rec.Value}
}

// simTransactional is transactional in the simulated world: every n records are a transaction of their own, a record is through when
// its transaction has committed, and what comes while one commits waits for the next.
type simTransactional struct {
	l       *simLoad
	t       *client.Transactional
	n       int
	waiting []*item
}

const txnWithin = time.Minute // as in the real world

// newSimTransactional makes the sink and its task.
func newSimTransactional(l *simLoad, id string, n int, o client.ProducerOptions) (*simTransactional, error) {
	t, err := client.NewTransactional(l.client, client.TransactionOptions{ID: id, Producer: o})
	if err == nil {
		err = t.Init(30 * time.Second)
	}
	if err != nil {
		return nil, fmt.Errorf("transactional producer %s: %w", id, err)
	}
	s := &simTransactional{l: l, t: t, n: n}
	l.e.Go(id, s.run)
	return s, nil
}

func (s *simTransactional) send(it *item) {
	s.waiting = append(s.waiting, it)
	s.l.room.Broadcast()
}

func (s *simTransactional) run() {
	for {
		first := s.take(true)
		if first == nil {
			return
		}
		s.transaction(first)
	}
}

// take waits for a record: until there are no more to come for now, or if idle until the run is over.
func (s *simTransactional) take(idle bool) *item {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(s.waiting) == 0 {
		if l.stopped || l.done && !idle {
			return nil
		}
		l.room.WaitUntil(l.e.Mono().Add(10 * time.Millisecond))
	}
	it := s.waiting[0]
	s.waiting = s.waiting[1:]
	return it
}

func (s *simTransactional) transaction(first *item) {
	l := s.l
	err := s.t.Begin()
	var batch []*item
	pending := 0
	for it := first; it != nil; {
		batch = append(batch, it)
		if err == nil {
			pending++
			s.t.Produce(record(it), func(r client.Result) {
				if r.Err != nil && err == nil {
					err = r.Err
				}
				if pending--; pending == 0 {
					l.room.Broadcast()
				}
			})
		}
		if len(batch) == s.n {
			break
		}
		it = s.take(false)
	}
	l.mu.Lock() // a commit is timed once its records are there, as in the real world
	for deadline := l.e.Mono().Add(txnWithin); pending > 0 && l.room.WaitUntil(deadline); {
	}
	l.mu.Unlock()
	err = s.end(err)
	for _, it := range batch {
		l.result(it, err)
	}
}

// end commits, or aborts what has failed.
func (s *simTransactional) end(err error) error {
	if err == nil {
		began := s.l.e.Mono()
		var outcome client.Outcome
		if outcome, err = s.t.Commit(txnWithin); err == nil && outcome == client.OK {
			s.l.times.commit.record(s.l.e.Mono().Sub(began))
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	} else {
		err = fmt.Errorf("transaction: %w", err)
	}
	if e := s.t.Abort(txnWithin); e != nil {
		err = fmt.Errorf("%w; abort: %v", err, e)
	}
	return err
}
