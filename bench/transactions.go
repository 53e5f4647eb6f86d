package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transactional is a sink that puts every n records into a transaction of their own. Transactions of one producer follow
// each other, as the protocol wants; while one commits, records of the next wait, and their latency tells.
type transactional struct {
	client *kgo.Client
	n      int
	clock  clock
	commit *timing
	in     chan *item
	finish chan struct{} // closed: commit what there is and begin no other
	ended  chan struct{}
}

// newTransactional makes the sink; room is how many records may wait in it.
func newTransactional(c clock, client *kgo.Client, n int, room int64, commit *timing) *transactional {
	t := &transactional{client: client, n: n, clock: c, commit: commit, in: make(chan *item, room+1), finish: make(chan struct{}), ended: make(chan struct{})}
	go t.run()
	return t
}

func (t *transactional) send(it *item) { t.in <- it }

// end commits what has been sent so far and ends the sink.
func (t *transactional) end() {
	close(t.finish)
	<-t.ended
}

func (t *transactional) run() {
	defer close(t.ended)
	for {
		batch, more := t.transaction()
		if !more && len(batch) == 0 {
			return
		}
	}
}

// take waits for a record; none once finish is closed and nothing waits.
func (t *transactional) take() *item {
	select {
	case it := <-t.in:
		return it
	default:
	}
	select {
	case it := <-t.in:
		return it
	case <-t.finish:
		select {
		case it := <-t.in:
			return it
		default:
			return nil
		}
	}
}

// transaction sends up to n records and commits; more is false when there are no further ones.
func (t *transactional) transaction() (batch []*item, more bool) {
	const withinMax = time.Minute
	first := t.take()
	if first == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), withinMax)
	defer cancel()
	var mu sync.Mutex
	var failed error
	note := func(err error) {
		mu.Lock()
		if failed == nil && err != nil {
			failed = err
		}
		mu.Unlock()
	}
	note(t.client.BeginTransaction())
	more = true
	for it := first; it != nil; {
		batch = append(batch, it)
		if failed == nil {
			t.client.Produce(ctx, &it.rec, func(_ *kgo.Record, err error) { note(err) })
		}
		if len(batch) == t.n {
			break
		}
		if it = t.take(); it == nil {
			more = false
		}
	}
	note(t.client.Flush(ctx))
	began := t.clock.now()
	mu.Lock()
	err := failed
	mu.Unlock()
	if err != nil {
		err = fmt.Errorf("transaction: %w", err)
		if e := t.client.EndTransaction(ctx, kgo.TryAbort); e != nil {
			err = fmt.Errorf("%w; abort: %v", err, e)
		}
	} else if err = t.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		err = fmt.Errorf("commit: %w", err)
	} else {
		t.commit.record(time.Duration(t.clock.now() - began))
	}
	for _, it := range batch {
		it.done(it, err)
	}
	return batch, more
}
