package check

import (
	"container/heap"
	"fmt"
	"slices"

	"barnabas/linearizability/history"
)

// checkProcessed holds that what is committed was processed: before a commit is called, members have read every offset below it, from the start of the
// log on. Reads of members carry their group. What it relies on: nothing was committed before the run, nobody skips, the log keeps its beginning.
func (g *ofGroup) checkProcessed() {
	if g.topic.Retention || len(g.reads) == 0 {
		return
	}
	reads, commits := g.by(g.reads, g.returned), g.by(g.commits, g.call)
	var apart spans // read, and not joined to the beginning yet
	var until int64 // all below has been read
	next := 0
	for _, i := range commits {
		op := g.op(i)
		for ; next < len(reads) && g.op(reads[next]).Return <= op.Call; next++ {
			r := g.op(reads[next])
			heap.Push(&apart, span{r.From, r.Next})
			for len(apart) > 0 && apart[0].from <= until {
				until = max(until, heap.Pop(&apart).(span).next)
			}
		}
		if op.Offset <= until || g.outcome(i) == history.Failed {
			continue
		}
		witness := []int32{i}
		for _, w := range slices.Backward(reads[:next]) {
			if g.op(w).Next >= until && len(witness) < WitnessMax {
				witness = append(witness, w)
			}
		}
		g.violate(Processed, fmt.Sprintf("operation %d commits %d for group %s, whose members have read all below %d and no further", op.ID, op.Offset, g.group, until), witness...)
		until = op.Offset // told once
	}
}

// span is a run of offsets, from included, next not.
type span struct{ from, next int64 }

// spans is a heap, the lowest first.
type spans []span

func (s spans) Len() int           { return len(s) }
func (s spans) Less(i, j int) bool { return s[i].from < s[j].from }
func (s spans) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *spans) Push(x any)        { *s = append(*s, x.(span)) }
func (s *spans) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}
