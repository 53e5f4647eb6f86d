package quota

import (
	"math"
	"strconv"
	"strings"
	"sync/atomic"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Unlimited is a rate that nothing exceeds.
const Unlimited int64 = math.MaxInt64

// Replication bounds the bytes a second that are moved for throttled replicas which are not in sync: of a leader, what it sends; of a
// follower, what it fetches. Safe for use by many tasks.
//
// Source: ReplicationQuotaManager (KIP-73).
type Replication struct {
	e     env.Env
	bound atomic.Int64

	mu   env.Mutex
	rate *Rate
	// throttled are the replicas of each topic: by name, the partitions, or nil for all of them.
	throttled map[string]map[int32]bool
}

// NewReplication makes one without a bound and without throttled replicas.
func NewReplication(e env.Env, w Windows) *Replication {
	q := &Replication{e: e, mu: e.NewMutex(), rate: NewRate(w), throttled: map[string]map[int32]bool{}}
	q.bound.Store(Unlimited)
	return q
}

// SetRate sets the bound, in bytes a second.
func (q *Replication) SetRate(bytes int64) { q.bound.Store(bytes) }

// SetTopic says which of the topic's partitions are throttled on this broker: text is leader.- or follower.replication.throttled.replicas,
// "*" for all, or partition:broker, comma-separated.
func (q *Replication) SetTopic(topic, text string, broker int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	partitions, all := throttledOn(text, broker)
	switch {
	case all:
		q.throttled[topic] = nil
	case len(partitions) > 0:
		q.throttled[topic] = partitions
	default:
		delete(q.throttled, topic)
	}
}

// throttledOn reads a list of throttled replicas: the partitions of this broker, or all. What is malformed was refused when it was set, and
// is passed over.
func throttledOn(text string, broker int32) (partitions map[int32]bool, all bool) {
	if strings.TrimSpace(text) == "*" {
		return nil, true
	}
	partitions = map[int32]bool{}
	for item := range strings.SplitSeq(text, ",") {
		p, b, ok := strings.Cut(strings.TrimSpace(item), ":")
		if !ok {
			continue
		}
		number, err := strconv.ParseInt(p, 10, 32)
		id, err2 := strconv.ParseInt(b, 10, 32)
		if err == nil && err2 == nil && int32(id) == broker {
			partitions[int32(number)] = true
		}
	}
	return partitions, false
}

// Throttled reports whether the partition's replicas are throttled here.
func (q *Replication) Throttled(tp wire.TopicPartition) bool {
	if q.bound.Load() == Unlimited {
		return false // nobody counts what has no bound
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	partitions, some := q.throttled[tp.Topic]
	return some && (partitions == nil || partitions[tp.Partition])
}

// Exceeded reports whether nothing more may be moved for throttled replicas now.
func (q *Replication) Exceeded() bool {
	bound := q.bound.Load()
	if bound == Unlimited {
		return false
	}
	now := q.e.Mono()
	q.mu.Lock()
	defer q.mu.Unlock()
	rate, _ := q.rate.Measure(now)
	return rate > float64(bound)
}

// Record counts bytes moved for throttled replicas.
func (q *Replication) Record(bytes int64) {
	now := q.e.Mono()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rate.Record(float64(bytes), now)
}
