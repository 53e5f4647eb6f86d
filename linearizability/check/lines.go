package check

import (
	"fmt"
	"strings"
	"time"

	"barnabas/linearizability/history"
)

// Lines is the witness for people, an operation a line.
func (v Violation) Lines() []string {
	lines := make([]string, len(v.Witness))
	for i := range v.Witness {
		lines[i] = line(&v.Witness[i])
	}
	return lines
}

// line is one operation: when, by whom, what, and what came of it.
func line(op *history.Op) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%9.3fs +%-9s process %-7d %s", time.Duration(op.Call).Seconds(), time.Duration(op.Return-op.Call).Round(10*time.Microsecond),
		op.Process, op.Kind)
	if op.Kind.OfZooKeeper() {
		fmt.Fprintf(&b, " %s %s -> %s at zxid %#x", op.Topic, values(op.Records), op.Outcome, op.Offset)
	} else if !op.Kind.OfTransaction() {
		fmt.Fprintf(&b, " %s-%d", op.Topic, op.Partition)
	}
	if op.Txn != 0 {
		fmt.Fprintf(&b, " transaction %d", op.Txn)
	}
	if op.TransactionalID != "" {
		fmt.Fprintf(&b, " of %s", op.TransactionalID)
	}
	if op.ProducerID != history.None {
		fmt.Fprintf(&b, " by %d/%d", op.ProducerID, op.ProducerEpoch)
	}
	switch op.Kind {
	case history.Produce:
		fmt.Fprintf(&b, " acks=%d %s", op.Acks, values(op.Records))
		if op.Producer != history.None {
			fmt.Fprintf(&b, " producer %d/%d", op.Producer, op.Seq)
		}
		fmt.Fprintf(&b, " -> %s", op.Outcome)
		if op.Offset != history.None {
			fmt.Fprintf(&b, " at offset %d", op.Offset)
		}
	case history.Fetch:
		fmt.Fprintf(&b, " from %d to %d -> %s", op.From, op.Next, values(op.Records))
		if op.HighWatermark != history.None {
			fmt.Fprintf(&b, " high watermark %d", op.HighWatermark)
		}
		if op.Drain {
			b.WriteString(" (final drain)")
		}
	case history.EndTxn:
		fmt.Fprintf(&b, " %s -> %s", map[bool]string{true: "commit", false: "abort"}[op.Commits], op.Outcome)
	case history.InitProducer:
		fmt.Fprintf(&b, " -> %s", op.Outcome)
	case history.Commit, history.OffsetFetch:
		fmt.Fprintf(&b, " group %s -> %s %d", op.Group, op.Outcome, op.Offset)
	case history.ListOffsets:
		fmt.Fprintf(&b, " %d -> %s %d", op.From, op.Outcome, op.Offset)
	}
	if op.Epoch >= 0 {
		fmt.Fprintf(&b, " epoch %d", op.Epoch)
	}
	if op.Error != "" {
		fmt.Fprintf(&b, " (%s)", op.Error)
	}
	return b.String()
}

// values names the records: "#12@40" is value 12 at offset 40.
func values(records []history.Record) string {
	var parts []string
	for i, r := range records {
		if i == 6 && len(records) > 8 {
			parts = append(parts, fmt.Sprintf("… %d more", len(records)-i))
			break
		}
		if r.Offset == history.None {
			parts = append(parts, fmt.Sprintf("#%d", r.Value))
		} else {
			parts = append(parts, fmt.Sprintf("#%d@%d", r.Value, r.Offset))
		}
	}
	return "[" + strings.Join(parts, " ") + "]"
}
