package client

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Offsets that name a place rather than a number, in Assign and ListOffsets.
const (
	Latest   int64 = -1 // after the last record that may be read
	Earliest int64 = -2 // the log start offset
)

// ResetPolicy says what happens when a position is outside of the log (auto.offset.reset).
type ResetPolicy uint8

const (
	// ResetNone reports OFFSET_OUT_OF_RANGE and leaves the position.
	ResetNone ResetPolicy = iota
	// ResetEarliest goes on from the log start offset.
	ResetEarliest
	// ResetLatest goes on from the end.
	ResetLatest
)

// ConsumerOptions says how a consumer behaves; zero values have defaults.
type ConsumerOptions struct {
	ReadCommitted     bool          // isolation.level
	WaitMax           time.Duration // fetch.max.wait.ms; 0 means 500 ms
	BytesMin          int32         // fetch.min.bytes; 0 means 1
	BytesMax          int32         // fetch.max.bytes; 0 means 50 MiB
	PartitionBytesMax int32         // max.partition.fetch.bytes; 0 means 1 MiB
	RequestTimeout    time.Duration // request.timeout.ms; 0 means the client's; WaitMax comes on top
	Reset             ResetPolicy
	Rack              string // client.rack: the consumer's, to be sent to a replica there (KIP-392); "" for none
	// Interceptors see what Poll returns, in order, each what the one before it made of it (interceptor.classes).
	Interceptors []ConsumerInterceptor
}

func (o ConsumerOptions) withDefaults(c *Client) ConsumerOptions {
	setDefault(&o.WaitMax, 500*time.Millisecond)
	setDefault(&o.BytesMin, 1)
	setDefault(&o.BytesMax, 50<<20)
	setDefault(&o.PartitionBytesMax, 1<<20)
	setDefault(&o.RequestTimeout, c.o.RequestTimeout)
	return o
}

// Fetched is what one fetch told of one partition: records, none yet, an error, or a truncation.
type Fetched struct {
	TP      wire.TopicPartition
	From    int64 // the position that was asked for
	Next    int64 // the position now
	Records []Consumed
	// What the leader said of its log; -1 where it said nothing.
	HighWatermark, LastStableOffset, LogStartOffset int64
	Leader                                          Leader
	// When the request went out and when its answer came.
	Called, Returned env.Instant
	// Truncated tells that the log lost records that this consumer had read (KIP-320); the position went back.
	Truncated *Truncation
	// Reset tells that the position was set by the policy, or from Earliest or Latest, to Next.
	Reset bool
	Err   error // what the caller must know of; what mends itself is not told
}

// Truncation is a position that the leader's log does not lead to.
type Truncation struct {
	Position  int64 // where the consumer was
	Epoch     int32 // leader epoch of the last record before it
	EndOffset int64 // where that epoch ends in the leader's log; -1 where the leader does not know the epoch
	EndEpoch  int32 // the epoch that EndOffset belongs to
}

// Consumed is one record read.
type Consumed struct {
	Offset      int64
	LeaderEpoch int32
	Timestamp   int64 // ms
	Key, Value  []byte
	Headers     []Header
	ProducerID  int64 // -1 for none
}

// Consumer reads given partitions from given offsets. One task polls; Assign and Seek are for that task too. Each
// broker has at most one fetch under way, which asks for all its partitions. Source: KafkaConsumer#assign, Fetcher.
type Consumer struct {
	c *Client
	e env.Env
	o ConsumerOptions

	mu        env.Mutex
	ready     env.Cond // something was fetched, or may be fetched now
	positions []*position
	fetched   []Fetched
	busy      map[int32]bool          // brokers with a request under way
	sessions  map[int32]*FetchSession // by broker; of its round under way
	closed    bool
}

// position is where a consumer stands in a partition.
type position struct {
	tp       wire.TopicPartition
	version  int64 // counts seeks: what was asked before one is dropped
	offset   int64 // next record to ask for; Latest or Earliest until that is resolved
	handed   int64 // next record to be returned by Poll
	paused   bool
	epoch    int32 // leader epoch of the last record before offset; -1 where unknown
	leader   Leader
	validate bool // the leader has changed: does its log lead to offset?
	busy     bool // part of a request under way
	retryAt  env.Instant
	failures int
	stale    *Metadata // it named a leader that denies being one

	nearest      int32       // the replica that the leader sent us to, if nearestUntil is not over
	nearestUntil env.Instant // 0 for none
}

// NewConsumer makes a consumer without partitions.
func NewConsumer(c *Client, o ConsumerOptions) *Consumer {
	mu := c.e.NewMutex()
	k := &Consumer{c: c, e: c.e, o: o.withDefaults(c), mu: mu, ready: c.e.NewCond(mu), busy: make(map[int32]bool), sessions: make(map[int32]*FetchSession)}
	c.onUpdate(k.nudge)
	return k
}

// Assign adds a partition, to be read from offset (or Earliest, Latest), or sets its position as Seek does.
func (k *Consumer) Assign(tp wire.TopicPartition, offset int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := &position{tp: tp, offset: offset, handed: offset, epoch: -1, leader: Leader{-1, -1}}
	i, found := k.find(tp)
	if found {
		p.version, p.paused = k.positions[i].version+1, k.positions[i].paused
		k.positions[i].version = -1 // whoever still holds the old one sees that it is over
		k.positions[i] = p
		k.drop(tp)
		return
	}
	k.positions = slices.Insert(k.positions, i, p)
}

// find is where a partition stands, or would stand, in positions. k.mu is held.
func (k *Consumer) find(tp wire.TopicPartition) (i int, found bool) {
	return slices.BinarySearchFunc(k.positions, tp, func(p *position, tp wire.TopicPartition) int { return p.tp.Compare(tp) })
}

// ErrNotAssigned is what is asked of a partition that the consumer does not read.
var ErrNotAssigned = errors.New("not assigned")

// Seek makes the next Poll go on at offset (or Earliest, Latest): what was fetched before is not returned. A paused partition stays paused. Errors:
// ErrNotAssigned. Source: KafkaConsumer#seek.
func (k *Consumer) Seek(tp wire.TopicPartition, offset int64) error {
	k.mu.Lock()
	_, found := k.find(tp)
	k.mu.Unlock()
	if !found {
		return fmt.Errorf("seek in %s: %w", tp, ErrNotAssigned)
	}
	k.Assign(tp, offset)
	return nil
}

// Pause keeps Poll from returning records of partitions until Resume, which goes on where Poll has stopped. Nothing more is fetched of them, and
// what is there stays. Errors: ErrNotAssigned; the others are paused all the same. Source: KafkaConsumer#pause.
func (k *Consumer) Pause(partitions ...wire.TopicPartition) error {
	return k.setPaused("pause", partitions, true)
}

// Resume ends Pause.
func (k *Consumer) Resume(partitions ...wire.TopicPartition) error {
	return k.setPaused("resume", partitions, false)
}

func (k *Consumer) setPaused(what string, partitions []wire.TopicPartition, paused bool) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, tp := range partitions {
		if i, found := k.find(tp); found {
			k.positions[i].paused = paused
		} else {
			err = fmt.Errorf("%s %s: %w", what, tp, ErrNotAssigned)
		}
	}
	k.ready.Broadcast()
	return err
}

// Paused lists the partitions that are paused, sorted.
func (k *Consumer) Paused() (list []wire.TopicPartition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.positions {
		if p.paused {
			list = append(list, p.tp)
		}
	}
	return list
}

// Unassign removes a partition.
func (k *Consumer) Unassign(tp wire.TopicPartition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.positions = slices.DeleteFunc(k.positions, func(p *position) bool {
		if p.tp == tp {
			p.version = -1
		}
		return p.tp == tp
	})
	k.drop(tp)
}

// drop forgets what was fetched of a partition and not polled yet. k.mu is held.
func (k *Consumer) drop(tp wire.TopicPartition) {
	k.fetched = slices.DeleteFunc(k.fetched, func(f Fetched) bool { return f.TP == tp })
}

// Position is the offset behind what Poll has returned, or Latest or Earliest while that is not resolved. What has been fetched and not been returned yet
// does not count: who commits positions commits what the application has seen.
func (k *Consumer) Position(tp wire.TopicPartition) (int64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i, found := k.find(tp); found {
		return k.positions[i].handed, true
	}
	return 0, false
}

// fetchedTo is the offset that the next fetch asks for, ahead of Position by what Poll has not returned yet.
func (k *Consumer) fetchedTo(tp wire.TopicPartition) (int64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i, found := k.find(tp); found {
		return k.positions[i].offset, true
	}
	return 0, false
}

// Poll returns what was fetched, waiting up to timeout for the first answer of any broker. An answer without records
// counts: the slice then tells the watermarks alone. At the timeout the slice is empty. Errors: ErrClosed.
func (k *Consumer) Poll(timeout time.Duration) ([]Fetched, error) {
	fetched, err := k.poll(timeout)
	if len(fetched) > 0 {
		for _, i := range k.o.Interceptors {
			fetched = i.OnConsume(fetched)
		}
	}
	return fetched, err
}

func (k *Consumer) poll(timeout time.Duration) ([]Fetched, error) {
	deadline := k.e.Mono().Add(timeout)
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		if k.closed {
			return nil, ErrClosed
		}
		if fetched := k.handOver(); len(fetched) > 0 {
			return fetched, nil
		}
		next := k.launch()
		if k.e.Mono() >= deadline {
			return nil, nil
		}
		k.ready.WaitUntil(min(next, deadline))
	}
}

// handOver takes what was fetched of partitions that are not paused, and moves their positions. k.mu is held.
func (k *Consumer) handOver() []Fetched {
	all := k.fetched
	k.fetched = nil
	out := all[:0]
	for i := range all {
		f := &all[i]
		at, found := k.find(f.TP)
		if found && k.positions[at].paused {
			k.fetched = append(k.fetched, *f)
			continue
		}
		if found && (f.Err == nil || f.Next > f.From) {
			k.positions[at].handed = f.Next
		}
		if len(out) < i {
			all[len(out)] = *f
		}
		out = out[:len(out)+1]
	}
	return out
}

// Close ends the consumer and wakes Poll.
func (k *Consumer) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.ready.Broadcast()
}

func (k *Consumer) nudge() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ready.Broadcast()
}

// launch starts a round of requests for each broker that has none under way, and tells when to look again. k.mu is
// held.
func (k *Consumer) launch() env.Instant {
	now, next := k.e.Mono(), env.Never
	m := k.c.Metadata()
	var rounds []*round // few: by broker id, sorted
	for _, p := range k.positions {
		leader, ok := m.Leader(p.tp)
		switch {
		case p.busy || p.paused:
			continue
		case !ok || m == p.stale:
			k.c.RequestUpdate(p.tp.Topic)
			continue
		case k.busy[leader.Broker]:
			continue
		case p.retryAt > now:
			next = min(next, p.retryAt)
			continue
		}
		if p.epoch >= 0 && leader.Epoch > p.leader.Epoch {
			p.validate = true
		}
		p.leader = leader
		from := leader.Broker
		if p.offset >= 0 && !p.validate && p.nearestUntil > now {
			if from = p.nearest; k.busy[from] {
				continue
			}
		}
		i, found := slices.BinarySearchFunc(rounds, from, func(r *round, id int32) int { return int(r.broker) - int(id) })
		if !found {
			rounds = slices.Insert(rounds, i, &round{k: k, broker: from, metadata: m})
		}
		rounds[i].add(p)
	}
	for _, r := range rounds {
		k.busy[r.broker] = true
		k.e.Go("consumer-fetch", r.run)
	}
	return next
}
