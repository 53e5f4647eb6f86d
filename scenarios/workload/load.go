package workload

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
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
	// SeekEvery is the mean number of polls between two jumps of a consumer back to an offset it has seen; 0 for never.
	SeekEvery int
	Groups    Groups
}

// Load is the clients' common state. It lives outside of every node, and is safe because a world is one thread.
type Load struct {
	Config
	sink    history.Sink
	observe func(history.Op)
	nextID  int64
	stopped bool
	active  int
	members int // of groups, so far
	counts  Counts
}

// Counts is what the clients were told.
type Counts struct {
	OK, Failed, Unknown          int
	RecordsAcked, RecordsRead    int
	RecordsDrained, Interruption int
	Owned, Commits               int // of groups: ownerships ended, offsets committed
}

// New makes a load whose operations go to sink; observe, if not nil, is shown each as well.
func New(c Config, sink history.Sink, observe func(history.Op)) *Load {
	return &Load{Config: c, sink: sink, observe: observe}
}

// Stop lets every client finish what it has under way and end.
func (l *Load) Stop() { l.stopped = true }

// Active is how many clients have not ended.
func (l *Load) Active() int { return l.active }

// Counts is what the clients were told so far.
func (l *Load) Counts() Counts { return l.counts }

// Begin counts a client that will run; it must be called before its node starts.
func (l *Load) Begin() { l.active++ }

func (l *Load) record(op history.Op) {
	switch op.Outcome {
	case history.OK:
		l.counts.OK++
	case history.Failed:
		l.counts.Failed++
	default:
		l.counts.Unknown++
	}
	switch {
	case op.Outcome != history.OK || op.Kind.OfGroup():
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
		RetryBackoff: 50 * time.Millisecond, RetryBackoffMax: 500 * time.Millisecond})
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
	l.nextID++
	value = make([]byte, 2*idBytes+r.IntN(max(1, l.RecordBytesMax-2*idBytes+1)))
	binary.BigEndian.PutUint64(value, uint64(l.nextID))
	x := uint64(l.nextID)
	for i := idBytes; i < len(value); i++ {
		x = x*6364136223846793005 + 1442695040888963407
		value[i] = byte(x >> 56)
	}
	return l.nextID, value
}

// read is a record as the history knows it. A value without a valid id has the id 0.
func read(c *client.Consumed) history.Record {
	r := history.Record{Offset: c.Offset, Sum: crc32.Checksum(c.Value, castagnoli)}
	if len(c.Value) >= 2*idBytes {
		if id := binary.BigEndian.Uint64(c.Value); id >= 1 && id <= history.ValueMax {
			r.Value = int64(id)
		}
	}
	return r
}

// jitter draws a pause around mean, from a third of it to thrice.
func jitter(r *rand.Rand, mean time.Duration) time.Duration {
	f := 1.0/3 + r.Float64()*2
	if r.IntN(8) == 0 {
		f = 3
	}
	return time.Duration(float64(mean) * f * 0.75)
}
