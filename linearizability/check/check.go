package check

import (
	"fmt"
	"slices"
	"strings"

	"barnabas/linearizability/history"
)

// Options of Judge. The zero value is the gate as every run passes it.
type Options struct {
	// ViolationsMax is how many violations of one invariant are kept, with their witnesses; 0 means 8. All are counted.
	ViolationsMax int
	// DrainOptional judges a history whose partitions were not read out at the end. What such a history cannot show (a
	// lost write above all) goes unseen, and a missing drain is otherwise a reason for no verdict.
	DrainOptional bool
	// Mutant weakens the gate, for the tests of the checkers alone: one of Mutants.
	Mutant string
}

// Verdict is what a history comes to.
type Verdict struct {
	OK         bool        // no violation, and nothing that kept the gate from judging
	Violations []Violation // worst invariant first, then by time
	Total      int         // of violations, those not kept included
	Unknown    []string    // why there is no verdict; counts as a failure
	Counts     Counts
}

// Counts tells how much was judged.
type Counts struct {
	OpsOK, OpsFailed, OpsUnknown int64
	RecordsWritten               int64 // in produce operations, however they ended
	RecordsAcked                 int64 // in those that are ok
	RecordsRead                  int64 // in fetches, the drain's included
	RecordsDrained               int64
	UnknownFound                 int64 // records of unknown end that were read
	Partitions                   int64 // with at least one operation
}

// Violation is a broken invariant.
type Violation struct {
	Invariant string // INV-…
	Anomaly   string // Jepsen's name
	Topic     string
	Partition int32
	Message   string       // a sentence, with offsets, values and operation ids
	At        int64        // when the last operation of the witness returned, nanoseconds
	Witness   []history.Op // at most 12, by call; long record lists cut down to what matters
}

// WitnessMax is the most operations a witness has.
const WitnessMax = 12

// String is the violation in one line.
func (v Violation) String() string {
	return fmt.Sprintf("%s (%s) %s-%d at=%d.%09ds: %s", v.Invariant, v.Anomaly, v.Topic, v.Partition, v.At/1e9, v.At%1e9, v.Message)
}

// Judge holds a history against the promises in its header.
func Judge(h *history.History, o Options) Verdict {
	if o.ViolationsMax <= 0 {
		o.ViolationsMax = 8
	}
	j := &judge{h: h, o: o, kept: make(map[string]int)}
	j.count()
	j.indexWrites()
	if len(j.v.Unknown) == 0 {
		j.gatherTxns()
		j.parts = j.split()
		for _, p := range j.parts {
			p.run()
		}
		j.checkGroups()
		j.checkFencedMembers()
		j.checkTxns()
		j.checkFences()
		j.checkCycles()
		j.checkPipelines()
		j.checkTotals()
		j.checkZooKeeper()
	}
	slices.SortStableFunc(j.v.Violations, func(a, b Violation) int {
		if d := rank[a.Invariant] - rank[b.Invariant]; d != 0 {
			return d
		}
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return strings.Compare(a.Message, b.Message)
	})
	j.v.OK = j.v.Total == 0 && len(j.v.Unknown) == 0
	return j.v
}

// judge is one judgement under way.
type judge struct {
	h    *history.History
	o    Options
	v    Verdict
	kept map[string]int // violations kept, by invariant

	// writes are all records of all produce operations; base[i] is where those of operation i begin.
	writes []write
	base   []int32
	values index // value → place in writes

	parts   []*part
	txns    []*txn         // by number
	byName  map[int64]*txn // the same
	inOrder []*part        // by topic and partition
}

// write is a record that somebody produced.
type write struct {
	op      int32 // index of the produce
	reader  int32 // the fetch that saw it and returned first; -1 for none
	place   int64 // the offset it was first read at, else that of a trusted ack; None
	drained bool  // the final drain saw it
	visible bool  // the final drain of committed data saw it
	stable  int32 // the fetch of committed data that saw it and returned first; none
	txn     *txn  // that it is part of; nil for none
	lost    bool  // reported
}

const none = int32(-1)

func (j *judge) count() {
	c := &j.v.Counts
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		switch op.Outcome {
		case history.OK:
			c.OpsOK++
		case history.Failed:
			c.OpsFailed++
		default:
			c.OpsUnknown++
		}
		n := int64(len(op.Records))
		switch {
		case op.Kind == history.Fetch:
			c.RecordsRead += n
			if op.Drain {
				c.RecordsDrained += n
			}
		case op.Kind == history.Produce:
			c.RecordsWritten += n
			if op.Outcome == history.OK {
				c.RecordsAcked += n
			}
		}
	}
}

// indexWrites lists what was written, and checks the assumption that values are unique.
func (j *judge) indexWrites() {
	j.base = make([]int32, len(j.h.Ops)+1)
	j.writes = make([]write, 0, j.v.Counts.RecordsWritten)
	values := make([]int64, 0, j.v.Counts.RecordsWritten)
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		j.base[i] = int32(len(j.writes))
		if err := history.Check(op); err != nil {
			j.unknown("operation %d: %v", op.ID, err)
		}
		if op.Kind != history.Produce {
			continue
		}
		for _, r := range op.Records {
			j.writes = append(j.writes, write{op: int32(i), reader: none, stable: none, place: history.None})
			values = append(values, r.Value)
		}
	}
	j.base[len(j.h.Ops)] = int32(len(j.writes))
	var twice int64
	var ok bool
	if j.values, twice, ok = indexUnique(values); !ok {
		j.unknown("value %d was written by two operations: values must be unique", twice)
	}
}

// split sorts operations by partition, in the order of the header's topics.
func (j *judge) split() []*part {
	topics := make(map[string]int, len(j.h.Header.Topics))
	var parts [][]*part
	for i := range j.h.Header.Topics {
		t := &j.h.Header.Topics[i]
		topics[t.Name] = i
		parts = append(parts, make([]*part, t.Partitions))
	}
	at := func(topic string, partition int32) *part {
		i, ok := topics[topic]
		if !ok || partition < 0 || int(partition) >= len(parts[i]) {
			j.unknown("%s-%d is not among the topics of the history's header", topic, partition)
			return nil
		}
		if parts[i][partition] == nil {
			parts[i][partition] = &part{j: j, topic: &j.h.Header.Topics[i], partition: partition}
		}
		return parts[i][partition]
	}
	for i := range j.h.Ops {
		if j.h.Ops[i].Kind.OfTransaction() || j.h.Ops[i].Kind.OfZooKeeper() {
			continue
		}
		if p := at(j.h.Ops[i].Topic, j.h.Ops[i].Partition); p != nil && !j.h.Ops[i].Kind.OfGroup() {
			p.ops = append(p.ops, int32(i))
		}
	}
	for i := range j.h.Drains {
		p := at(j.h.Drains[i].Topic, j.h.Drains[i].Partition)
		switch {
		case p == nil:
		case j.h.Drains[i].Committed:
			p.stable = &j.h.Drains[i]
		default:
			p.drain = &j.h.Drains[i]
		}
	}
	var list []*part
	for _, of := range parts {
		for _, p := range of {
			if p != nil {
				list = append(list, p)
			}
		}
	}
	j.v.Counts.Partitions = int64(len(list))
	return list
}

// unknown notes a reason for which there is no verdict. A few are enough.
func (j *judge) unknown(format string, args ...any) {
	if len(j.v.Unknown) < 16 {
		j.v.Unknown = append(j.v.Unknown, fmt.Sprintf(format, args...))
	}
}
