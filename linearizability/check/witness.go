package check

import (
	"slices"

	"barnabas/linearizability/history"
)

// violate reports a broken invariant with the operations that show it; none among them is passed over.
func (p *part) violate(invariant, message string, ops ...int32) {
	p.violateAs(invariant, anomaly[invariant], message, ops...)
}

// violateAs is violate under another of Jepsen's names than is usual for the invariant.
func (p *part) violateAs(invariant, name, message string, ops ...int32) {
	j := p.j
	if j.passesOver(invariant) {
		return
	}
	j.v.Total++
	if j.kept[invariant] >= j.o.ViolationsMax {
		return
	}
	j.kept[invariant]++
	v := Violation{Invariant: invariant, Anomaly: name, Topic: p.topic.Name, Partition: p.partition, Message: message}
	var seen []int32
	for _, i := range ops {
		if i != none && !slices.Contains(seen, i) && len(seen) < WitnessMax {
			seen = append(seen, i)
		}
	}
	values := make(map[int64]bool)
	for _, i := range seen {
		if op := p.op(i); op.Kind == history.Produce {
			for _, r := range op.Records {
				values[r.Value] = true
			}
		}
	}
	for _, i := range seen {
		op := p.op(i)
		v.At = max(v.At, op.Return)
		v.Witness = append(v.Witness, trim(*op, values))
	}
	slices.SortStableFunc(v.Witness, func(a, b history.Op) int { return cmp64(a.Call, b.Call) })
	j.v.Violations = append(j.v.Violations, v)
}

// trim copies an operation, and of a long list of records keeps those that the witness is about, with a neighbour on
// each side, and the two ends.
func trim(op history.Op, values map[int64]bool) history.Op {
	const shown = 16
	if len(op.Records) <= shown {
		op.Records = slices.Clone(op.Records)
		return op
	}
	var kept []history.Record
	for k, r := range op.Records {
		near := k < 2 || k >= len(op.Records)-2
		for d := -1; d <= 1 && !near; d++ {
			near = values[op.Records[k+d].Value]
		}
		if near && len(kept) < 4*shown {
			kept = append(kept, r)
		}
	}
	op.Records = kept
	return op
}
