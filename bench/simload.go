package bench

import (
	"fmt"
	"math/rand/v2"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// simTopic is the only topic of a simulated cluster.
const simTopic = "bench"

// simLoad is the clients of a simulated run: harness tasks, on a machine of their own unless the profile has one for all.
// Everything here runs on the world's one thread.
type simLoad struct {
	c         *simCluster
	w         *Workload
	e         env.Env
	acked     *meter
	seen      *meter
	times     requestTimes
	client    *client.Client
	producers []simSink
	maker     *maker
	from, to  env.Instant // the measured stretch
	rate      float64
	ends      []int64 // of the backlog, by partition; nil: there is none

	room     env.Cond
	mu       env.Mutex
	inFlight int64
	limit    int64
	blocked  time.Duration
	sent     int64
	written  int64 // bytes
	read     int64 // records, by all consumers
	halt     bool  // producers end
	stopped  bool  // consumers end too
	ready    bool  // the topic is there, the clients are made
	done     bool  // producers have ended
	readers  int   // consumers that run
	failed   error
}

// simClock is the world's clock for what is shared with the real bench.
type simClock struct{ e env.Env }

func (c simClock) now() int64         { return int64(c.e.Mono()) }
func (c simClock) waitUntil(at int64) { c.e.Sleep(env.Instant(at).Sub(c.e.Mono())) }

// setUp makes the topic and the clients.
func (l *simLoad) setUp(e env.Env) {
	l.e = e
	l.mu = e.NewMutex()
	l.room = e.NewCond(l.mu)
	l.client = client.New(e, client.Options{Bootstrap: l.c.bootstrap(), ClientID: "barnabas-bench", RetryBackoff: 50 * time.Millisecond})
	admin := client.NewAdmin(l.client)
	topic := client.NewTopic{Name: simTopic, Partitions: l.w.Topic.Partitions, ReplicationFactor: l.w.Topic.Replication}
	for k, v := range l.w.Topic.Config {
		topic.Configs = append(topic.Configs, client.ConfigEntry{Name: k, Value: v})
	}
	const within = 30 * time.Second
	for deadline := e.Mono().Add(within); ; { // until all brokers are there
		if d, err := admin.DescribeCluster(time.Second); err == nil && len(d.Brokers) == len(l.c.brokers) && d.Controller >= 0 {
			break
		}
		if e.Mono() > deadline {
			l.failed = fmt.Errorf("the simulated cluster is not ready after %s", within)
			return
		}
		e.Sleep(100 * time.Millisecond)
	}
	if err := admin.CreateTopics(within, topic); err != nil {
		l.failed = fmt.Errorf("create the topic: %w", err)
		return
	}
	for p := range l.w.Topic.Partitions {
		if _, err := l.client.Leader(wire.TopicPartition{Topic: simTopic, Partition: p}, e.Mono().Add(within)); err != nil {
			l.failed = fmt.Errorf("leader of partition %d: %w", p, err)
			return
		}
	}
	o := l.w.Producers
	options := client.ProducerOptions{Acks: map[string]int16{"0": client.AcksNone, "1": client.AcksLeader, "all": client.AcksAll}[o.Acks],
		Idempotent: o.Idempotent, BatchBytesMax: int(o.Batch), Linger: time.Duration(o.Linger), Compression: o.Codec, InFlightMax: o.InFlight,
		RequestBytesMax: max(int(o.Batch)*2, 1<<20), BufferBytesMax: int(o.Buffer) * 2, RetryUnsafe: true}
	for i := range o.Count {
		s, err := l.newSink(fmt.Sprintf("bench-%d", i), options)
		if err != nil {
			l.failed = err
			return
		}
		l.producers = append(l.producers, s)
	}
	l.ready = true
}

func (l *simLoad) newSink(id string, o client.ProducerOptions) (simSink, error) {
	if n := l.w.Producers.Transaction; n > 0 {
		return newSimTransactional(l, id, n, o)
	}
	p, err := client.NewProducer(l.client, o)
	return simProducer{l, p}, err
}

// findEnds asks where tail readers begin, behind a backlog.
func (l *simLoad) findEnds() error {
	admin := client.NewAdmin(l.client)
	l.ends = make([]int64, l.w.Topic.Partitions)
	for p := range l.w.Topic.Partitions {
		at, err := admin.ListOffsets(wire.TopicPartition{Topic: simTopic, Partition: p}, client.Latest, false, 30*time.Second)
		if err != nil {
			return fmt.Errorf("end of partition %d: %w", p, err)
		}
		l.ends[p] = at.Offset
	}
	return nil
}

// result is every record's result.
func (l *simLoad) result(it *item, err error) {
	if err != nil {
		l.acked.fail(err)
	} else {
		l.acked.add(it.intended, int64(l.e.Mono()), len(it.rec.Key)+len(it.rec.Value))
	}
	l.maker.give(it)
	l.inFlight--
	if l.inFlight == l.limit-1 || l.inFlight == l.limit*3/4 {
		l.room.Broadcast()
	}
}

func (l *simLoad) send(p simSink, intended int64) {
	it := l.maker.make(intended)
	l.inFlight++
	l.sent++
	l.written += int64(len(it.rec.Value))
	p.send(it)
}

// awaitRoom waits while too many records are held.
func (l *simLoad) awaitRoom(limit int64) {
	if l.inFlight < limit {
		return
	}
	began := l.e.Mono()
	l.mu.Lock()
	for l.inFlight >= limit && !l.halt {
		l.room.WaitUntil(l.e.Mono().Add(10 * time.Millisecond))
	}
	l.mu.Unlock()
	if began >= l.from && began < l.to {
		l.blocked += l.e.Mono().Sub(began)
	}
}

// open sends on the schedule until the end of the cool-down.
func (l *simLoad) open(start env.Instant, a *arrivals) {
	record := time.Duration(l.c.o.Profile.Client.Record)
	for i := 0; !l.halt; i++ {
		intended := int64(start) + a.next()
		if wait := env.Instant(intended).Sub(l.e.Mono()); wait > 0 {
			l.e.Sleep(wait)
		}
		if l.halt {
			break
		}
		l.awaitRoom(l.limit)
		l.c.client.Spend(l.e, record)
		l.send(l.producers[i%len(l.producers)], intended)
	}
	l.done = true
}

// closed sends as fast as it goes, until stopped or bytes (0: no bound) are written.
func (l *simLoad) closed(bytes int64) {
	record := time.Duration(l.c.o.Profile.Client.Record)
	g := env.NewGroup(l.e)
	for _, p := range l.producers {
		g.Go("closed", func() {
			for !l.halt && (bytes == 0 || l.written < bytes) {
				l.awaitRoom(l.limit)
				l.c.client.Spend(l.e, record)
				l.send(p, int64(l.e.Mono()))
			}
		})
	}
	g.Wait()
	l.done = true
}

// startReaders starts the consumers of one entry of the workload.
func (l *simLoad) startReaders(o Consumer) {
	for f := range o.Fanout {
		for member := range o.Members {
			l.readers++
			name := fmt.Sprintf("reader-%d-%d", f, member)
			l.e.Go(name, func() {
				defer func() { l.readers-- }()
				l.reader(o, f, member, name)
			})
		}
	}
}

func (l *simLoad) reader(o Consumer, f, member int, name string) {
	c := client.New(l.e, client.Options{Bootstrap: l.c.bootstrap(), ClientID: name, RetryBackoff: 50 * time.Millisecond})
	defer c.Close()
	options := client.ConsumerOptions{ReadCommitted: o.Isolation == "read_committed", WaitMax: time.Duration(o.MaxWait), BytesMin: int32(o.MinBytes),
		BytesMax: int32(o.MaxBytes), PartitionBytesMax: int32(o.MaxBytes), Reset: client.ResetEarliest}
	poll, finish := (func(time.Duration) ([]client.Fetched, error))(nil), func() {}
	if o.Group {
		m := client.NewMember(c, client.GroupOptions{Group: fmt.Sprintf("group-%d", f), Topics: []string{simTopic}, AutoCommit: time.Duration(o.Commit), Consumer: options,
			Listener: client.GroupListener{Committed: func(_ int32, _ []client.CommitOffset, called, returned env.Instant, err error) {
				if err == nil {
					l.times.commit.record(returned.Sub(called))
				}
			}}})
		poll, finish = m.Poll, func() { m.Close(time.Second) }
	} else {
		k := client.NewConsumer(c, options)
		for p := int32(member); p < l.w.Topic.Partitions; p += int32(o.Members) {
			from := client.Earliest
			if o.Mode == "tail" && l.ends != nil {
				from = l.ends[p]
			}
			k.Assign(wire.TopicPartition{Topic: simTopic, Partition: p}, from)
		}
		poll, finish = k.Poll, k.Close
	}
	defer finish()
	record := time.Duration(l.c.o.Profile.Client.Record)
	last := env.Instant(-1)
	for !l.stopped {
		fetched, err := poll(100 * time.Millisecond)
		if err != nil {
			l.seen.fail(fmt.Errorf("fetch: %w", err))
			return
		}
		for i := range fetched {
			f := &fetched[i]
			if f.Err != nil {
				l.seen.fail(fmt.Errorf("fetch: %w", f.Err))
			}
			if f.Called != last {
				last = f.Called
				l.times.fetch.record(f.Returned.Sub(f.Called))
			}
			l.c.client.Spend(l.e, record*time.Duration(len(f.Records)))
			now := int64(l.e.Mono())
			for _, r := range f.Records {
				if intended, ok := stamp(r.Value); ok {
					l.seen.add(intended, now, len(r.Key)+len(r.Value))
				} else {
					l.seen.fail(fmt.Errorf("consumer: a record that the bench did not write"))
				}
			}
			l.read += int64(len(f.Records))
		}
	}
}

func newSimLoad(c *simCluster, w *Workload, rate float64) *simLoad {
	l := &simLoad{c: c, w: w, acked: newMeter(), seen: newMeter(), times: requestTimes{newTiming(), newTiming()}, rate: rate}
	l.limit = max(1, int64(w.Producers.Buffer/w.maxSize()))
	l.maker = newMaker(simTopic, w.Records, w.maxSize(), 1, nil)
	return l
}

// play does what the workload says; the measured stretch is [from, to).
func (l *simLoad) play(e env.Env, from, to env.Instant) {
	l.from, l.to = from, to
	start := e.Mono()
	for _, o := range l.w.Consumers {
		if o.Mode == "tail" {
			l.startReaders(o)
		}
	}
	if l.w.Load.Mode == "open" {
		l.open(start, newArrivals(l.w.Load.Arrivals, l.w.rate(l.rate, int64(from-start)), rand.New(rand.NewPCG(7, uint64(l.rate)))))
	} else {
		l.closed(0)
	}
}
