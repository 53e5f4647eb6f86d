package client

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/wire"
)

// Acks says whose word makes a produce succeed.
const (
	AcksAll    int16 = -1 // every member of the ISR has it
	AcksNone   int16 = 0  // the network took it
	AcksLeader int16 = 1  // the leader has it
)

// ProducerOptions says how a producer behaves. Names and defaults follow Kafka's producer where a field is left zero,
// except that AcksNone is the zero value of Acks: set it.
type ProducerOptions struct {
	Acks int16 // acks
	// Idempotent asks for a producer id, and gives each batch a sequence number so that the broker appends it once
	// (enable.idempotence). Needs AcksAll.
	Idempotent bool
	// RetryUnsafe sends a batch again after an attempt of unknown end even without idempotence, as Kafka's producer
	// does: it may then be in the log twice. Without it such a batch ends as unknown.
	RetryUnsafe     bool
	BatchBytesMax   int           // batch.size, uncompressed; 0 means 16384
	Linger          time.Duration // linger.ms
	DeliveryTimeout time.Duration // delivery.timeout.ms; 0 means 2 minutes
	RequestTimeout  time.Duration // request.timeout.ms; 0 means the client's. The broker is given three quarters of it.
	RequestBytesMax int           // max.request.size; 0 means 1 MiB
	InFlightMax     int           // max.in.flight.requests.per.connection; 0 means 5
	BufferBytesMax  int           // buffer.memory; 0 means 32 MiB
	BlockMax        time.Duration // max.block.ms: how long Produce waits for room and metadata; 0 means 60 s
	Compression     string        // compression.type: "" or none, gzip, snappy, lz4, zstd
	Interceptors    []ProducerInterceptor
	Partitioner     Partitioner // for records that name no partition
	// Partition, if set, chooses in place of Partitioner: of so many partitions, from 0 (partitioner.class).
	Partition func(r *Record, partitions int) int32
}

func (o ProducerOptions) withDefaults(c *Client) ProducerOptions {
	setDefault(&o.BatchBytesMax, 16384)
	setDefault(&o.DeliveryTimeout, 2*time.Minute)
	setDefault(&o.RequestTimeout, c.o.RequestTimeout)
	setDefault(&o.RequestBytesMax, 1<<20)
	setDefault(&o.InFlightMax, 5)
	setDefault(&o.BufferBytesMax, 32<<20)
	setDefault(&o.BlockMax, time.Minute)
	return o
}

// Record is one record to produce.
type Record struct {
	Topic     string
	Partition int32 // AnyPartition lets the partitioner choose
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp int64 // milliseconds since 1970; 0 means now
}

// Header is one header of a record.
type Header = record.Header

// AnyPartition leaves the choice to ProducerOptions.Partitioner.
const AnyPartition int32 = -1

// Outcome is how the produce of a record ended.
type Outcome uint8

const (
	// Unknown: it may be in the log, or come there still, or never.
	Unknown Outcome = iota
	// OK: the broker confirmed it, with the strength of the acks asked for.
	OK
	// Failed: it is certainly not in the log and never will be.
	Failed
)

func (o Outcome) String() string { return [...]string{"unknown", "ok", "failed", "?"}[o&3] }

// Result tells how the produce of one record ended.
type Result struct {
	Outcome   Outcome
	TP        wire.TopicPartition
	Offset    int64 // -1 unless OK; -1 as well with acks=0, and for a duplicate too old for the broker to say where
	Timestamp int64 // as it is in the log: the record's, or the broker's where the topic wants that
	Attempts  int   // requests that carried it
	// What the batch went by, -1 without idempotence and for what was never sent.
	ProducerID    int64
	ProducerEpoch int16
	Err           error // nil if OK
}

// ErrDeliveryTimeout is the error of a record that was not confirmed within ProducerOptions.DeliveryTimeout.
var ErrDeliveryTimeout = errors.New("delivery timed out")

// Producer sends records. It keeps the order of each partition's records: with idempotence up to InFlightMax requests
// are under way at once, without it one per partition. It is safe for many tasks. Source: KafkaProducer, Sender,
// RecordAccumulator.
type Producer struct {
	c *Client
	e env.Env
	o ProducerOptions

	mu       env.Mutex
	room     env.Cond // buffered went down, or closed
	finished env.Cond // a batch finished
	expiring env.Cond // of the expiry task: there is a batch to watch
	lanes    map[wire.TopicPartition]*lane
	order    []*lane   // the lanes, in the order of their first record
	feeders  []*feeder // by broker id
	chooser  chooser
	watched  env.Instant // what the expiry task waits for
	numbers  int64       // batches made so far
	buffered int         // bytes of unfinished batches
	flushes  int         // tasks that wait in Flush: nothing lingers
	untold   []int64     // batches that have a result which is being told, by number
	identity identity
	closed   bool
	fatal    error          // no record can be sent any more
	txn      *Transactional // whose records these are; nil for none
}

// NewProducer makes a producer.
func NewProducer(c *Client, o ProducerOptions) (*Producer, error) {
	if o.Idempotent && o.Acks != AcksAll {
		return nil, fmt.Errorf("an idempotent producer needs acks=all, not %d", o.Acks)
	}
	if o.Acks < AcksAll || o.Acks > AcksLeader {
		return nil, fmt.Errorf("acks=%d: not -1, 0 or 1", o.Acks)
	}
	if _, err := parseCompression(o.Compression); err != nil {
		return nil, err
	}
	mu := c.e.NewMutex()
	p := &Producer{c: c, e: c.e, o: o.withDefaults(c), mu: mu, room: c.e.NewCond(mu), finished: c.e.NewCond(mu),
		expiring: c.e.NewCond(mu), lanes: make(map[wire.TopicPartition]*lane)}
	p.identity.id = -1
	p.chooser = newChooser()
	c.onUpdate(p.reroute)
	c.e.Go("producer-expiry", p.expire)
	return p, nil
}

// Produce queues a record; done is called exactly once with how it ended, by a task of the producer or by Produce
// itself, with no lock held; it must not wait. Produce waits up to BlockMax for room in the buffer and, for a record
// without a partition, for the topic's metadata. Key, value and headers belong to the producer until done.
func (p *Producer) Produce(r Record, done func(Result)) {
	deadline := p.e.Mono().Add(p.o.BlockMax)
	r, done = p.intercepted(r, done)
	if r.Timestamp == 0 {
		r.Timestamp = p.e.Now().UnixMilli()
	}
	if r.Partition == AnyPartition {
		partition, err := p.choose(&r, deadline)
		if err != nil {
			done(Result{Outcome: Failed, TP: wire.TopicPartition{Topic: r.Topic, Partition: -1}, Offset: -1, ProducerID: -1, ProducerEpoch: -1, Err: err})
			return
		}
		r.Partition = partition
	}
	tp := wire.TopicPartition{Topic: r.Topic, Partition: r.Partition}
	if err := p.enqueue(tp, pending{record: r, done: done}, deadline); err != nil {
		done(Result{Outcome: Failed, TP: tp, Offset: -1, ProducerID: -1, ProducerEpoch: -1, Err: err})
	}
}

// ProduceSync is Produce that waits for the result.
func (p *Producer) ProduceSync(r Record) Result {
	mu := p.e.NewMutex()
	came := p.e.NewCond(mu)
	var result *Result
	p.Produce(r, func(res Result) {
		mu.Lock()
		defer mu.Unlock()
		result = &res
		came.Signal()
	})
	mu.Lock()
	defer mu.Unlock()
	for result == nil {
		came.Wait()
	}
	return *result
}

// Flush sends what lingers, and waits until every record produced before has a result.
func (p *Producer) Flush() { p.flush(env.Never) }

// Close flushes for up to timeout, gives what is left its result (failed where it was never sent, else unknown), and
// ends the producer.
func (p *Producer) Close(timeout time.Duration) {
	p.flush(p.e.Mono().Add(timeout))
	p.mu.Lock()
	p.closed = true
	var ends []ending
	for _, l := range p.order {
		ends = append(ends, p.expireLane(l, env.Never, ErrClosed)...)
	}
	for _, f := range p.feeders {
		f.work.Broadcast()
	}
	p.room.Broadcast()
	p.expiring.Broadcast()
	p.mu.Unlock()
	p.tell(ends)
	p.flush(env.Never) // what others are telling
}

func (p *Producer) flush(deadline env.Instant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.numbers
	p.flushes++
	for _, l := range p.order {
		p.route(l)
	}
	for p.unfinishedUpTo(last) && p.finished.WaitUntil(deadline) {
	}
	p.flushes--
}

// flying reports whether any batch is in flight. p.mu is held.
func (p *Producer) flying() bool {
	return slices.ContainsFunc(p.order, func(l *lane) bool { return len(l.inFlight) > 0 })
}

// busy reports whether any batch is not finished. p.mu is held.
func (p *Producer) busy() bool {
	return slices.ContainsFunc(p.order, func(l *lane) bool { return l.oldest() != nil })
}

func (p *Producer) unfinishedUpTo(number int64) bool {
	for _, l := range p.order {
		if b := l.oldest(); b != nil && b.number <= number {
			return true
		}
	}
	return slices.ContainsFunc(p.untold, func(n int64) bool { return n <= number })
}

// enqueue puts a record into its partition's open batch.
func (p *Producer) enqueue(tp wire.TopicPartition, r pending, deadline env.Instant) error {
	size := recordBytes(&r.record)
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && p.fatal == nil && p.buffered > 0 && p.buffered+size > p.o.BufferBytesMax {
		if !p.room.WaitUntil(deadline) {
			return fmt.Errorf("no room in the buffer: %w", env.ErrTimeout)
		}
	}
	if p.closed {
		return ErrClosed
	}
	if p.fatal != nil {
		return p.fatal
	}
	if p.txn != nil {
		if err := p.txn.admit(tp); err != nil {
			return err
		}
	}
	l := p.lanes[tp]
	if l == nil {
		l = newLane(tp)
		p.lanes[tp] = l
		p.order = append(p.order, l)
	}
	b := l.open()
	if b == nil || b.bytes+size > p.o.BatchBytesMax {
		if b != nil {
			b.closed = true
		}
		b = p.newBatch(l)
	}
	b.records = append(b.records, r)
	b.bytes += size
	p.buffered += size
	if b.bytes >= p.o.BatchBytesMax {
		b.closed = true
	}
	if b.closed || len(b.records) == 1 {
		p.route(l) // else the feeder has seen this batch and will come for it
	}
	return nil
}

func (p *Producer) newBatch(l *lane) *batch {
	p.numbers++
	now := p.e.Mono()
	b := &batch{lane: l, number: p.numbers, created: now, deadline: now.Add(p.o.DeliveryTimeout), sequence: -1}
	l.queue = append(l.queue, b)
	if b.deadline < p.watched {
		p.expiring.Signal()
	}
	return b
}

// route makes sure that somebody will look at the lane: its leader's feeder, or the updater if there is no leader.
// p.mu is held.
func (p *Producer) route(l *lane) {
	if len(l.queue) == 0 {
		return
	}
	if p.o.Idempotent {
		p.identify()
	}
	leader, ok := p.c.Metadata().Leader(l.tp)
	if !ok || p.c.Metadata() == l.stale {
		p.c.RequestUpdate(l.tp.Topic)
		return
	}
	p.feeder(leader.Broker).work.Signal()
}

// reroute is called with each new metadata.
func (p *Producer) reroute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, l := range p.order {
		p.route(l)
	}
}
