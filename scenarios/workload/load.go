package workload

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	"barnabas/linearizability/history"
)

// Config says how much of what.
type Config struct {
	Topic      string
	Partitions int32
	Bootstrap  []string // brokers' addresses
	Acks       int16
	Idempotent bool
	// Pause is the mean time between two records of one producer. It may be cut short or drawn out threefold.
	Pause time.Duration
	// InFlightMax is how many records of one producer may wait for their answer.
	InFlightMax int
	Linger      time.Duration
	// RecordBytesMax bounds a record's value; sizes are drawn evenly from 16 bytes on.
	RecordBytesMax  int
	RequestTimeout  time.Duration
	DeliveryTimeout time.Duration
	Compression     string
	// BatchBytesMax bounds a producer's batches, PartitionBytesMax and FetchBytesMax what a consumer asks for; 0 is the
	// client's own.
	BatchBytesMax                    int
	PartitionBytesMax, FetchBytesMax int32
	// SeekEvery is the mean number of polls between two jumps of a consumer back to an offset it has seen; 0 for never.
	SeekEvery int
	Groups    Groups
	// OffsetsRetention is how long brokers keep committed offsets of an empty group; 0 for longer than a run.
	OffsetsRetention time.Duration
	Txns             Txns
	// Racks is how many racks there are ("r0" on) that consumers stand in, one after the other; 0 for none.
	Racks int
	// RecordsMax bounds how many records all producers together hand over; 0 for no bound.
	RecordsMax int
	// Keys is how many keys a partition's records have, drawn evenly; 0 for records without. One in DeleteEvery deletes its key.
	Keys, DeleteEvery int
	// Begin is when clients start to work.
	Begin env.Instant
	// Negotiate makes clients ask each broker for its API versions first: for brokers that are not our own.
	Negotiate bool
}

// Load is the clients' common state. It lives outside of every node, and is safe because a simulated world is one thread;
// a real one shares a mutex with it (Share).
type Load struct {
	Config
	mu         mutex
	sink       history.Sink
	observe    func(history.Op)
	nextID     int64
	stopped    bool
	active     int
	members    int // of groups, so far
	zkSessions int
	txns       int64
	counts     Counts
	handed     int                      // records handed over
	slept      map[string]env.Instant   // when each client fell asleep last
	lives      map[string]int           // of each client, by name
	twins      map[string]int           // the number of each twin, by name
	running    map[string]int           // the life that runs, 0 for none
	instances  map[string]instance      // static members, by machine
	known      map[int32]bool           // partitions of which the group had an offset once
	pending    map[string][]*history.Op // of producers, by name: not answered yet, in order
}

// Counts is what the clients were told.
type Counts struct {
	OK, Failed, Unknown          int
	RecordsAcked, RecordsRead    int
	RecordsDrained, Interruption int
	Owned, Commits               int // of groups: ownerships ended, offsets committed
	Kept, Expired                int // of groups: static members that came back in the generation they left, offsets that were there and are no more
	Transactions, Processed      int // committed; records that processors have read and processed
}

// New makes a load whose operations go to sink; observe, if not nil, is shown each as well.
func New(c Config, sink history.Sink, observe func(history.Op)) *Load {
	return &Load{Config: c, mu: oneThread{}, sink: sink, observe: observe, lives: map[string]int{}, twins: map[string]int{}, slept: map[string]env.Instant{},
		running: map[string]int{}, instances: map[string]instance{}, known: map[int32]bool{}, pending: map[string][]*history.Op{}}
}

// mutex is env.Mutex, without being a scheduling point where there is but one thread.
type mutex interface {
	Lock()
	Unlock()
}

type oneThread struct{}

func (oneThread) Lock()   {}
func (oneThread) Unlock() {}

// Share makes the load safe for clients that really run at the same time. Call it before any starts. The sink and
// observe are called with mu held.
func (l *Load) Share(mu env.Mutex) { l.mu = mu }

// Stop lets every client finish what it has under way and end.
func (l *Load) Stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
}

// ending reports whether Stop was called.
func (l *Load) ending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// Active is how many clients have not ended.
func (l *Load) Active() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active
}

// Counts is what the clients were told so far.
func (l *Load) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Starting counts a life of the named client that will run; it must be called before its node starts.
func (l *Load) Starting(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active++
	l.lives[name]++
	l.running[name] = l.lives[name]
}

// Crashed tells that the named client's process is about to go, at this instant: nobody will ever know how what it had
// under way ended.
func (l *Load) Crashed(name string, at env.Instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, op := range l.pending[name] {
		op.Return, op.Outcome, op.Error = int64(at), history.Unknown, "the client crashed"
		l.keep(*op)
	}
	delete(l.pending, name)
	l.over(name, l.lives[name])
}

// Abandoned tells that the run ends at this instant: how what is under way would have ended nobody will know.
func (l *Load) Abandoned(at env.Instant) {
	l.mu.Lock()
	names := make([]string, 0, len(l.pending))
	for name := range l.pending { // sorted below
		names = append(names, name)
	}
	l.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		l.mu.Lock()
		for _, op := range l.pending[name] {
			op.Return, op.Outcome, op.Error = int64(at), history.Unknown, "the run ended"
			l.keep(*op)
		}
		delete(l.pending, name)
		l.mu.Unlock()
	}
}

// Sleeps tells that the named client's process stops at this instant, for a while.
func (l *Load) Sleeps(name string, at env.Instant) {
	l.mu.Lock()
	l.slept[name] = at
	l.mu.Unlock()
}

// sleptSince tells whether the client has slept since then.
func (l *Load) sleptSince(name string, since env.Instant) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ever := l.slept[name]
	return ever && at >= since
}

// ended tells, once for each life, that a client works no more.
func (l *Load) ended(name string, life int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over(name, life)
}

func (l *Load) over(name string, life int) {
	if life > 0 && l.running[name] == life {
		l.running[name] = 0
		l.active--
	}
}

// life is which life of the named client runs.
func (l *Load) life(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lives[name]
}

// identity is a number for this life of the named client that no other client and no other life has.
func (l *Load) identity(name string, life, index int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.twins[name]; n > 0 {
		life += livesOfTwins + n
	}
	return index + livesApart*(life-1)
}

// Twin names the node of another process that takes itself for the named client beside the first.
func (l *Load) Twin(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	twin := fmt.Sprintf("%s-twin-%d", name, len(l.twins)+1)
	l.twins[twin] = len(l.twins) + 1
	return twin
}

// ClientOf is the node of the client that a process of the history belongs to; "drain" for the final drain,
// "members" for those of groups, who come and go.
func ClientOf(process int32) string {
	switch number := int(process) / processesPerClient % livesApart; {
	case process < 0:
		return "zk clients"
	case number > firstMember:
		return "members"
	case number >= 2*firstConsumer:
		return "drain"
	case number >= firstProbe:
		return ProbeName(int32(number - firstProbe))
	case number >= firstConsumer:
		return ConsumerName(number - firstConsumer)
	case number >= firstProcessor:
		return ProcessorName(number - firstProcessor)
	case number >= firstTxn:
		return TxnName(number - firstTxn)
	default:
		return ProducerName(number)
	}
}

// livesApart is the distance between the numbers of two lives of one client, and livesOfTwins how many lives a client has
// before its twins'.
const livesApart, livesOfTwins = 2000, 500

// more tells whether producers may hand over another record, and counts it.
func (l *Load) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.RecordsMax > 0 && l.handed >= l.RecordsMax {
		return false
	}
	l.handed++
	return true
}

func (l *Load) sleepUntilBegin(e env.Env) {
	if d := l.Begin.Sub(e.Mono()); d > 0 {
		e.Sleep(d)
	}
}

func (l *Load) record(op history.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(op)
}

func (l *Load) keep(op history.Op) {
	op.Bound()
	switch op.Outcome {
	case history.OK:
		l.counts.OK++
	case history.Failed:
		l.counts.Failed++
	default:
		l.counts.Unknown++
	}
	switch {
	case op.Outcome != history.OK || op.Kind.OfGroup() || op.Kind.OfTransaction() || op.Kind.OfZooKeeper() || op.Drain && op.Committed:
	case op.Kind == history.Produce:
		l.counts.RecordsAcked += len(op.Records)
	case op.Drain:
		l.counts.RecordsDrained += len(op.Records)
	default:
		l.counts.RecordsRead += len(op.Records)
	}
	l.sink.Op(op)
	if l.observe != nil {
		l.observe(op)
	}
}

func (l *Load) client(e env.Env, id string) *client.Client {
	return client.New(e, client.Options{Bootstrap: l.Bootstrap, ClientID: id, DialTimeout: time.Second, RequestTimeout: l.RequestTimeout,
		RetryBackoff: 50 * time.Millisecond, RetryBackoffMax: 500 * time.Millisecond, Negotiate: l.Negotiate})
}

func (l *Load) partition(p int32) wire.TopicPartition {
	return wire.TopicPartition{Topic: l.Topic, Partition: p}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// idBytes is how much of a value is its id.
const idBytes = 8

// newValue makes a value with the next id: the id, and filler that follows from it, so that a reader can tell content
// that has changed.
func (l *Load) newValue(r *rand.Rand) (id int64, value []byte) {
	l.mu.Lock()
	l.nextID++
	id = l.nextID
	l.mu.Unlock()
	value = make([]byte, 2*idBytes+r.IntN(max(1, l.RecordBytesMax-2*idBytes+1)))
	binary.BigEndian.PutUint64(value, uint64(id))
	x := uint64(id)
	for i := idBytes; i < len(value); i++ {
		x = x*6364136223846793005 + 1442695040888963407
		value[i] = byte(x >> 56)
	}
	return id, value
}

// newKeyed gives a record a key, and tells its number, negative for a record that deletes its key: such a one has no value, and its
// id, and content enough, in a header.
func (l *Load) newKeyed(r *rand.Rand, rec *client.Record) (key int64) {
	key = 1 + int64(r.IntN(l.Keys))
	rec.Key = []byte(fmt.Sprintf("k%d", key))
	if r.IntN(max(1, l.DeleteEvery)) > 0 {
		return key
	}
	rec.Headers = []client.Header{{Key: idHeader, Value: rec.Value[:2*idBytes]}}
	rec.Value = nil
	return -key
}

// idHeader is the header in which a record without a value has its id.
const idHeader = "id"

// content is what identifies a record: its value, or the id in its header.
func content(value []byte, headers []client.Header) []byte {
	if value == nil && len(headers) == 1 && headers[0].Key == idHeader {
		return headers[0].Value
	}
	return value
}

// read is a record as the history knows it. A value without a valid id has the id 0.
func read(c *client.Consumed) history.Record {
	value := content(c.Value, c.Headers)
	r := history.Record{Offset: c.Offset, Sum: crc32.Checksum(value, castagnoli)}
	r.Value = idOf(value)
	return r
}

// idOf is the id in a value, 0 if there is none.
func idOf(value []byte) int64 {
	if len(value) >= 2*idBytes {
		if id := binary.BigEndian.Uint64(value); id >= 1 && id <= history.ValueMax {
			return int64(id)
		}
	}
	return 0
}

// jitter draws a pause around mean, from a third of it to thrice.
func jitter(r *rand.Rand, mean time.Duration) time.Duration {
	f := 1.0/3 + r.Float64()*2
	if r.IntN(8) == 0 {
		f = 3
	}
	return time.Duration(float64(mean) * f * 0.75)
}
