package txn

import (
	"fmt"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// producerIDWait is how long a producer waits for the controller to hand out a block.
	// DEVIATION(KIP-730): Kafka answers COORDINATOR_LOAD_IN_PROGRESS at once; waiting saves every new cluster's first producer a round.
	producerIDWait = time.Second
	// producerIDTimeout bounds one request for a block, producerIDBackoff is the pause after one that failed.
	producerIDTimeout = 5 * time.Second
	producerIDBackoff = 50 * time.Millisecond
)

var evProducerIDs = env.NewKind("producer-ids", env.Info, "start", "length")

// producerIDs hands out producer ids of blocks that the controller allocates to this broker, so that no two brokers, and
// no two lives of one, ever hand out the same. The next block is fetched when a tenth of the current one is left.
//
// Source: RPCProducerIdManager.
type producerIDs struct {
	e        env.Env
	broker   int32
	epoch    func() int64
	allocate func(*kmsg.AllocateProducerIDsRequest, time.Duration) (*kmsg.AllocateProducerIDsResponse, error)

	mu       env.Mutex
	changed  env.Cond
	current  idBlock
	ahead    idBlock // fetched before it is needed
	fetching bool
	err      error // of the last fetch
}

// idBlock is the ids [next, end); size is what the block began with.
type idBlock struct{ next, end, size int64 }

func (b idBlock) empty() bool { return b.next >= b.end }

func newProducerIDs(o Options) *producerIDs {
	mu := o.Env.NewMutex()
	return &producerIDs{e: o.Env, broker: o.Config.BrokerID, epoch: o.BrokerEpoch, allocate: o.AllocateProducerIDs, mu: mu, changed: o.Env.NewCond(mu)}
}

// next returns an id that nobody has. It waits up to producerIDWait when there is none at hand, and then fails with
// COORDINATOR_LOAD_IN_PROGRESS.
func (p *producerIDs) next() (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	deadline := env.Never
	for {
		if p.current.empty() {
			p.current, p.ahead = p.ahead, idBlock{}
		}
		if left := p.current.end - p.current.next; p.ahead.empty() && left <= p.current.size/10 {
			p.prefetch()
		}
		if !p.current.empty() {
			id := p.current.next
			p.current.next++
			return id, nil
		}
		if deadline == env.Never {
			deadline = p.e.Mono().Add(producerIDWait)
		}
		if !p.changed.WaitUntil(deadline) {
			return 0, fmt.Errorf("no producer ids yet (%v): %w", p.err, kerr.CoordinatorLoadInProgress)
		}
	}
}

// prefetch starts a task that fetches a block, unless one is at it. The caller holds the lock.
func (p *producerIDs) prefetch() {
	if p.fetching {
		return
	}
	p.fetching = true
	p.e.Go("producer-ids", func() {
		block, err := p.fetch()
		if err != nil {
			p.e.Sleep(producerIDBackoff)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fetching, p.err = false, err
		if err == nil {
			assert.That(p.ahead.empty(), "INV-PRODUCER-IDS: a block is fetched only when there is none ahead")
			p.ahead = block
		}
		p.changed.Broadcast()
	})
}

func (p *producerIDs) fetch() (idBlock, error) {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = p.broker, p.epoch()
	resp, err := p.allocate(req, producerIDTimeout)
	if err != nil {
		return idBlock{}, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return idBlock{}, fmt.Errorf("allocate producer ids: %w", err)
	}
	start, length := resp.ProducerIDStart, int64(resp.ProducerIDLen)
	if start < 0 || length <= 0 {
		return idBlock{}, fmt.Errorf("allocate producer ids: a block of %d from %d on", length, start)
	}
	p.e.Emit(env.Event{Kind: evProducerIDs, V: [4]int64{start, length}})
	return idBlock{next: start, end: start + length, size: length}, nil
}
