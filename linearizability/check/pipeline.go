package check

import (
	"fmt"

	"barnabas/linearizability/history"
)

// checkPipelines holds what was made of each input against the pipeline's delivery: at most once, at least once, or both.
//
// What counts is what the final drain of committed data saw, of the output as of the input, and where the group's offsets stood at
// the end, which an offset-fetch of the drain has told.
func (j *judge) checkPipelines() {
	for i := range j.h.Header.Pipelines {
		j.checkPipeline(&j.h.Header.Pipelines[i])
	}
}

func (j *judge) checkPipeline(l *history.Pipeline) {
	results := j.results(l)
	stands := map[int32]int32{} // partition → the offset-fetch that told where the group stands
	for i := range j.h.Ops {
		if op := &j.h.Ops[i]; op.Kind == history.OffsetFetch && op.Drain && op.Outcome == history.OK && op.Group == l.Group && op.Topic == l.Input {
			stands[op.Partition] = int32(i)
		}
	}
	for _, p := range j.parts {
		if p.topic.Name != l.Input || p.drain == nil {
			continue
		}
		told, ok := stands[p.partition]
		if !ok {
			if !j.o.DrainOptional {
				j.unknown("nobody asked at the end where group %s stands in %s-%d", l.Group, p.topic.Name, p.partition)
			}
			continue
		}
		p.checkProcessed(l, results, told)
	}
}

// results are, by input, the operations that made a visible record of it; more than one is the anomaly, and reported here.
func (j *judge) results(l *history.Pipeline) map[int32]int32 {
	made := map[int32]int32{}
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		if op.Kind != history.Produce || op.Topic != l.Output || op.Sources == nil {
			continue
		}
		p := j.partOf(op)
		for k, source := range op.Sources {
			w := &j.writes[j.base[i]+int32(k)]
			if source == 0 || p == nil || p.stable != nil && !w.visible || p.stable == nil && !w.drained {
				continue
			}
			in := j.values.get(source)
			if in == none || j.h.Ops[j.writes[in].op].Topic != l.Input {
				p.violate(NoPhantom, fmt.Sprintf("value %d was made of value %d, which nobody wrote to %s", op.Records[k].Value, source, l.Input), int32(i))
				continue
			}
			if other, twice := made[in]; twice && l.Delivery != history.AtLeastOnce {
				p.violate(ProcessOnce, fmt.Sprintf("value %d of %s was processed twice by group %s: by operation %d and by operation %d", source, l.Input, l.Group,
					j.h.Ops[other].ID, op.ID), j.writes[in].op, other, int32(i))
			}
			made[in] = int32(i)
		}
	}
	return made
}

// checkProcessed holds the results of one partition's records against the offset that is committed.
func (p *part) checkProcessed(l *history.Pipeline, made map[int32]int32, told int32) {
	committed := max(p.op(told).Offset, 0)
	for i := range p.slots {
		s := &p.slots[i]
		if s.write == none || !p.mustBeRead(int32(i), true) {
			continue
		}
		result, processed := made[s.write]
		offset := p.facts.offsets[i]
		switch {
		case !processed && offset < committed && l.Delivery != history.AtMostOnce:
			p.violate(ProcessAll, fmt.Sprintf("group %s stands at %d, and nothing was made of value %d at offset %d", l.Group, committed, s.value, offset),
				p.writer(s.write), s.reader, told)
		case processed && offset >= committed && l.Delivery == history.ExactlyOnce:
			p.violate(ProcessTogether, fmt.Sprintf("operation %d processed value %d at offset %d, and group %s stands at %d: it will be processed again",
				p.op(result).ID, s.value, offset, l.Group, committed), p.writer(s.write), result, told)
		}
	}
}

// checkTotals holds that what transactions move between records' accounts comes to nothing over all that is seen: each takes from
// one partition what it gives to another.
func (j *judge) checkTotals() {
	total, n := int64(0), 0
	last := none
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		if op.Amounts == nil {
			continue
		}
		if p := j.partOf(op); p == nil || p.stable == nil {
			return // nobody has seen the whole
		}
		for k, amount := range op.Amounts {
			if w := &j.writes[j.base[i]+int32(k)]; w.visible {
				total += amount
				n++
				last = w.reader
			}
		}
	}
	if total != 0 {
		j.violate(TotalConstant, fmt.Sprintf("the %d transfers that are seen come to %d, not to 0", n, total), last)
	}
}
