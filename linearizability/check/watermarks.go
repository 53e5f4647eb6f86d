package check

import (
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// checkWatermarks checks what leaders told of their log, as each process heard it.
func (p *part) checkWatermarks() {
	type heard struct{ start, high int32 } // the operations with the highest of each
	last := make(map[int32]heard)
	for _, i := range p.ops {
		op := p.op(i)
		if op.Outcome != history.OK || op.Kind == history.Produce {
			continue
		}
		p.checkInOrder(i, op)
		h, ok := last[op.Process]
		if !ok {
			h = heard{none, none}
		}
		if start := logStart(op); start != history.None {
			if h.start != none && p.topic.Retention && op.Epoch != p.op(h.start).Epoch {
				h.start = none // each replica retains by itself: another leader may not have deleted as much yet
			}
			if h.start != none && start < logStart(p.op(h.start)) && p.topic.Durable {
				p.violate(LogStart, fmt.Sprintf("process %d heard of log start offset %d in operation %d, and of %d in operation %d later",
					op.Process, logStart(p.op(h.start)), p.op(h.start).ID, start, op.ID), h.start, i)
			}
			if h.start == none || start > logStart(p.op(h.start)) {
				h.start = i
			}
		}
		if op.HighWatermark != history.None {
			if h.high != none && op.HighWatermark < p.op(h.high).HighWatermark && p.topic.HighWatermarkMonotonic {
				p.violate(HWMonotonic, fmt.Sprintf("process %d heard of high watermark %d in operation %d, and of %d in operation %d later",
					op.Process, p.op(h.high).HighWatermark, p.op(h.high).ID, op.HighWatermark, op.ID), h.high, i)
			}
			if h.high == none || op.HighWatermark > p.op(h.high).HighWatermark {
				h.high = i
			}
		}
		last[op.Process] = h
	}
}

// logStart is the log start offset that an operation told, or None.
func logStart(op *history.Op) int64 {
	if op.Kind == history.ListOffsets && op.From == -2 {
		return op.Offset
	}
	return op.LogStart
}

func (p *part) checkInOrder(i int32, op *history.Op) {
	if op.LastStable != history.None && op.HighWatermark != history.None && op.LastStable > op.HighWatermark {
		p.violate(WatermarkOrder, fmt.Sprintf("operation %d: last stable offset %d above high watermark %d", op.ID, op.LastStable, op.HighWatermark), i)
	}
	if op.LogStart != history.None && op.HighWatermark != history.None && op.LogStart > op.HighWatermark {
		p.violate(WatermarkOrder, fmt.Sprintf("operation %d: log start offset %d above high watermark %d", op.ID, op.LogStart, op.HighWatermark), i)
	}
}

// checkListOffsets checks that the latest offset covers every record that was acked with acks=all before the question
// (KIP-207: a new leader does not answer until its high watermark is good for that).
func (p *part) checkListOffsets() {
	var asked []int32
	for _, i := range p.ops {
		if op := p.op(i); op.Kind == history.ListOffsets && op.From == -1 && op.Outcome == history.OK && !op.Committed {
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		return
	}
	var acked []int32
	for _, i := range p.ops {
		if op := p.op(i); p.trusted(op) && op.Offset >= 0 && !p.j.writes[p.j.base[i]].lost {
			acked = append(acked, i)
		}
	}
	slices.SortStableFunc(acked, func(a, b int32) int { return cmp64(p.op(a).Return, p.op(b).Return) })
	slices.SortStableFunc(asked, func(a, b int32) int { return cmp64(p.op(a).Call, p.op(b).Call) })
	highest, k := none, 0
	last := func(i int32) int64 { return p.op(i).Offset + int64(len(p.op(i).Records)) - 1 }
	for _, i := range asked {
		op := p.op(i)
		for ; k < len(acked) && p.op(acked[k]).Return < op.Call; k++ {
			if highest == none || last(acked[k]) > last(highest) {
				highest = acked[k]
			}
		}
		if highest != none && op.Offset <= last(highest) {
			p.violate(ListOffsets, fmt.Sprintf("operation %d was told that the latest offset is %d, after operation %d had been acked at offset %d",
				op.ID, op.Offset, p.op(highest).ID, last(highest)), highest, i)
		}
	}
}
