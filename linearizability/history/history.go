package history

import "fmt"

// Kind is the kind of an operation.
type Kind uint8

const (
	// Produce appends Records, one batch that stands or falls as a whole, to a partition.
	Produce Kind = iota
	// Fetch reads a partition from offset From.
	Fetch
	// ListOffsets asks for an offset: From is the question (-1 latest, -2 earliest), Offset the answer.
	ListOffsets
	// Own is a group member's ownership of a partition in one Generation: from Call, when it began to read, to Return, when it gave the
	// partition up. OK: it did so in agreement with the group; Unknown: it had lost it, perhaps before it knew.
	Own
	// Commit commits Offset for a partition of Group.
	Commit
	// OffsetFetch reads what is committed for a partition of Group: Offset, None for nothing.
	OffsetFetch
	// InitProducer makes the process the producer of TransactionalID, under ProducerID and ProducerEpoch.
	InitProducer
	// EndTxn ends transaction Txn of TransactionalID: Commits tells how.
	EndTxn
	// ZKCreate, ZKSet, ZKDelete, ZKRead and ZKSync are a ZooKeeper session's: Topic is the path, Offset the zxid that came with
	// the answer, of a write its own. Records hold what was written, or what was read, at its mzxid; none where there was no node.
	// The process is the session. An answer such as "no node" is Failed.
	ZKCreate
	ZKSet
	ZKDelete
	ZKRead
	ZKSync
)

// OfGroup reports whether the kind belongs to a group rather than to a partition's log.
func (k Kind) OfGroup() bool { return k >= Own && k <= OffsetFetch }

// OfTransaction reports whether the kind belongs to a transactional id, and so to no partition.
func (k Kind) OfTransaction() bool { return k == InitProducer || k == EndTxn }

// OfZooKeeper reports whether the kind belongs to a ZooKeeper session.
func (k Kind) OfZooKeeper() bool { return k >= ZKCreate }

var kindNames = [...]string{"produce", "fetch", "list-offsets", "own", "commit", "offset-fetch", "init-producer", "end-txn", "zk-create", "zk-set", "zk-delete", "zk-read", "zk-sync"}

func (k Kind) String() string { return name(kindNames[:], int(k)) }

// Outcome is how an operation ended.
type Outcome uint8

const (
	// Unknown: it may have taken effect, may do so yet, or never. Return is when the caller gave up.
	Unknown Outcome = iota
	// OK: it took effect, with the strength of its acks.
	OK
	// Failed: it certainly had no effect and never will.
	Failed
)

var outcomeNames = [...]string{"unknown", "ok", "failed"}

func (o Outcome) String() string { return name(outcomeNames[:], int(o)) }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprint("?", i)
}

// None stands for an offset or a number that is not known.
const None int64 = -1

// Op is one operation of a client. Times are nanoseconds of one clock, virtual or real, that all operations share.
type Op struct {
	ID        int64 // unique in the history
	Process   int32 // a process has at most one operation on a partition at a time
	Kind      Kind
	Topic     string
	Partition int32
	Call      int64
	Return    int64 // ≥ Call
	Outcome   Outcome

	Acks int16 // of a produce: -1, 0, 1
	// Producer and Seq give a produce its place in what one producer sent, in that order; Producer is None where the
	// order was not kept.
	Producer int64
	Seq      int64

	From   int64 // of a fetch: the position; of list-offsets: the question
	Offset int64 // of a produce: its first record's; of list-offsets: the answer; None where unknown
	Next   int64 // of a fetch: the position behind what it covered, whether records were there or not
	// Records are what was sent (without offsets, in the order of the batch) or what was read (by offset).
	Records []Record

	// What the leader told with it, None where it told nothing.
	HighWatermark, LastStable, LogStart int64
	Epoch                               int32

	Group      string // of the kinds of groups; of a fetch by a member, whose records it has processed by Return
	Generation int32  // of those, None where it does not matter

	// Txn is the transaction that a produce or a commit is part of, that a fetch read for, or that an end-txn ends; 0 for none.
	// Numbers are unique in the history, and ascend with the transactions of one transactional id and epoch.
	Txn             int64
	TransactionalID string
	// ProducerID and ProducerEpoch are what it went by, None where that is not known or there is none.
	ProducerID    int64
	ProducerEpoch int16
	Commits       bool // an end-txn commits; else it aborts

	// Sources are, of a produce's records in their order, the values that each was made from. Amounts are what each moves. Nil
	// where neither is the case.
	Sources, Amounts []int64
	// Keys are, of a produce's records in their order, the numbers of their keys, negative for a record that deletes its key. Nil
	// where there are none.
	Keys []int64

	Committed bool // read_committed
	// Seek marks a fetch whose position was set on purpose, or by a reset or a reported truncation: it need not join
	// the process's last fetch of the partition.
	Seek  bool
	Drain bool   // part of the final drain
	Error string // of one that is not ok; for people
}

// NewOp is an operation whose optional fields say none.
func NewOp(kind Kind, topic string, partition int32) Op {
	return Op{Kind: kind, Topic: topic, Partition: partition, Producer: None, Offset: None, Next: None,
		HighWatermark: None, LastStable: None, LogStart: None, Epoch: int32(None), Generation: int32(None), ProducerID: None, ProducerEpoch: int16(None)}
}

// Bound brings the operation's offsets into the bounds of a history. Only a damaged disk can tell others: the checksum of a
// batch does not cover where it stands. What is beyond, or below nothing, becomes OffsetMax: it stays as wrong as it was, and
// the history can be judged.
func (op *Op) Bound() {
	for _, offset := range [...]*int64{&op.From, &op.Offset, &op.Next, &op.HighWatermark, &op.LastStable, &op.LogStart} {
		*offset = bound(*offset)
	}
	for i := range op.Records {
		op.Records[i].Offset = bound(op.Records[i].Offset)
	}
}

// Bound does the same for a drain.
func (d *Drain) Bound() { d.Start, d.End = bound(d.Start), bound(d.End) }

func bound(offset int64) int64 {
	if offset < None || offset > OffsetMax {
		return OffsetMax
	}
	return offset
}

// Record is a record without its bytes.
type Record struct {
	Offset int64 // where it was read; None in a produce
	// Value is the unique id that the writer put into the record, from 1 to 2⁵³-1. 0 is what a reader found no id in.
	Value int64
	Sum   uint32 // CRC-32C of the whole content; equal on both sides or the content changed
}

// Fault is a fault that was in force for a time, for people who read the history.
type Fault struct {
	Tag   string // broker-1, net, disk, clock
	Start int64
	End   int64 // None if it never ended
	Text  string
}

// Drain says that after all faults had healed, fresh consumers read a partition completely: the drain operations cover
// [Start, End), Start being the log start offset and End the high watermark of a settled log.
//
// Where there are transactions there is a second one, Committed, that read committed data.
type Drain struct {
	Topic      string
	Partition  int32
	Start, End int64
	Time       int64
	Committed  bool
}

// Topic is a topic of the run with what Kafka promises of it under the faults that were injected.
type Topic struct {
	Name        string `json:"name"`
	Partitions  int32  `json:"partitions"`
	Replication int16  `json:"replication,omitempty"`
	MinInsync   int16  `json:"min_insync,omitempty"`
	// Durable: what was acked with acks=all, or read, stays. False with unclean elections, or when more was destroyed
	// than the replication can bear.
	Durable bool `json:"durable"`
	// Once: a record is in the log at most once. False where producers retry without idempotence.
	Once bool `json:"once"`
	// Ordered: what one producer sent is in the log in that order, as far as it is there.
	Ordered bool `json:"ordered"`
	// Fresh: a fetch sees every record that was acked before it was called. Kafka does not promise it across a change
	// of leaders.
	Fresh bool `json:"fresh,omitempty"`
	// HighWatermarkMonotonic: no consumer sees it go back. Kafka does not promise it across a change of leaders.
	HighWatermarkMonotonic bool `json:"high_watermark_monotonic,omitempty"`
	// OffsetsRetention is how long, in nanoseconds, a committed offset is kept at least after the last word of its group; 0 for ever.
	OffsetsRetention int64 `json:"offsets_retention,omitempty"`
	// Retention: the log may lose its beginning.
	Retention bool `json:"retention,omitempty"`
	// Compacted: of the records of one key in one partition the last one stays, the others may go, and one that deletes its key may
	// go once it is as old as DeleteRetention, in nanoseconds; 0 is longer than the run.
	Compacted       bool  `json:"compacted,omitempty"`
	DeleteRetention int64 `json:"delete_retention,omitempty"`
	// Displaced: a disk was corrupted, and a batch's checksum does not cover where it stands. What is read was written, in
	// these bytes; at which offset is not held to anything.
	Displaced bool `json:"displaced,omitempty"`
}

// Header says what run the history is of.
type Header struct {
	Scenario string  `json:"scenario"`
	Seed     uint64  `json:"seed"`
	Commit   string  `json:"commit,omitempty"`
	Bugs     string  `json:"bugs,omitempty"` // switches of the bug zoo that were on
	World    string  `json:"world,omitempty"`
	Topics   []Topic `json:"topics"`
	// Pipelines are what reads one topic and writes another.
	Pipelines []Pipeline `json:"pipelines,omitempty"`
	// WriteIsolation: transactions do not interleave their writes to several partitions in different orders. Kafka does not
	// promise it.
	WriteIsolation bool `json:"write_isolation,omitempty"`
}

// Pipeline reads Input as Group and writes what it makes of each record to Output, one record each.
type Pipeline struct {
	Group    string `json:"group"`
	Input    string `json:"input"`
	Output   string `json:"output"`
	Delivery string `json:"delivery"` // AtMostOnce, AtLeastOnce or ExactlyOnce
}

// The promises of a Pipeline.
const (
	AtMostOnce  = "at-most-once"
	AtLeastOnce = "at-least-once"
	ExactlyOnce = "exactly-once"
)

// Promised returns a topic with every promise that Kafka makes of a topic with clean elections and idempotent
// producers.
func Promised(name string, partitions int32) Topic {
	return Topic{Name: name, Partitions: partitions, Durable: true, Once: true, Ordered: true}
}

// History is a whole run.
type History struct {
	Header Header
	Ops    []Op // in the order of their recording
	Faults []Fault
	Drains []Drain
}
