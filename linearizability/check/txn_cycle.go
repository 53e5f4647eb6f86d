package check

import (
	"fmt"
	"slices"
	"strings"

	"barnabas/linearizability/history"
)

// checkCycles looks for transactions that cannot have happened one after the other: each has read what another of them wrote, in a
// circle (G1c). With the header's WriteIsolation it also looks for circles of writes (G0), which Kafka does not rule out:
// transactions to several partitions interleave as they like.
func (j *judge) checkCycles() {
	place := make(map[*txn]int32, len(j.txns))
	for i, t := range j.txns {
		place[t] = int32(i)
	}
	g := &graph{edges: make([][]edge, len(j.txns))}
	for i := range j.h.Ops {
		op := &j.h.Ops[i]
		reads := j.byName[op.Txn]
		if op.Kind != history.Fetch || reads == nil || reads.state == txnAborted {
			continue
		}
		for k := range op.Records {
			w := j.values.get(op.Records[k].Value)
			if w == none || j.writes[w].txn == nil || j.writes[w].txn == reads {
				continue
			}
			from := place[j.writes[w].txn]
			g.edges[from] = append(g.edges[from], edge{to: place[reads], by: int32(i)})
		}
	}
	j.reportCycles(g, TxnAcyclic, "each read what the one before it wrote")
	if j.h.Header.WriteIsolation {
		g := &graph{edges: make([][]edge, len(j.txns))}
		for _, p := range j.parts {
			p.writeEdges(g, place)
		}
		j.reportCycles(g, TxnIsolated, "each wrote to some partition after the one before it")
	}
}

// writeEdges leads from each transaction to the one that wrote next to the partition.
func (p *part) writeEdges(g *graph, place map[*txn]int32) {
	var last *txn
	for i := range p.slots {
		if p.slots[i].write == none {
			continue
		}
		w := &p.j.writes[p.slots[i].write]
		if w.txn == nil || !w.visible {
			continue
		}
		if last != nil && last != w.txn {
			g.edges[place[last]] = append(g.edges[place[last]], edge{to: place[w.txn], by: w.op})
		}
		last = w.txn
	}
}

func (j *judge) reportCycles(g *graph, invariant, why string) {
	for _, scc := range g.components() {
		path, by := g.cycle(scc)
		var names []string
		for _, n := range path {
			names = append(names, fmt.Sprint(j.txns[n].number))
		}
		j.violate(invariant, fmt.Sprintf("transactions %s: %s, and the first comes after the last", strings.Join(names, " → "), why), by...)
	}
}

// graph is a directed graph of transactions, by number of place.
type graph struct{ edges [][]edge }

type edge struct{ to, by int32 } // by: the operation that shows it

// components are the strongly connected components of more than one node, by Tarjan's algorithm without recursion.
func (g *graph) components() [][]int32 {
	n := len(g.edges)
	index, low := make([]int32, n), make([]int32, n) // index counts from 1; 0 is not met yet
	on := make([]bool, n)
	var stack []int32
	var out [][]int32
	type frame struct{ node, next int32 }
	count := int32(0)
	for root := range int32(n) {
		if index[root] != 0 || len(g.edges[root]) == 0 {
			continue
		}
		calls := []frame{{root, 0}}
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.node
			if f.next == 0 {
				count++
				index[v], low[v], on[v] = count, count, true
				stack = append(stack, v)
			}
			if int(f.next) < len(g.edges[v]) {
				to := g.edges[v][f.next].to
				f.next++
				switch {
				case index[to] == 0:
					calls = append(calls, frame{to, 0})
				case on[to]:
					low[v] = min(low[v], index[to])
				}
				continue
			}
			if low[v] == index[v] {
				at := slices.Index(stack, v)
				if scc := slices.Clone(stack[at:]); len(scc) > 1 {
					out = append(out, scc)
				}
				for _, w := range stack[at:] {
					on[w] = false
				}
				stack = stack[:at]
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				up := calls[len(calls)-1].node
				low[up] = min(low[up], low[v])
			}
		}
	}
	return out
}

// cycle is a shortest circle through the first node of a component, and the operations that make it.
func (g *graph) cycle(scc []int32) (path, by []int32) {
	in := make(map[int32]bool, len(scc))
	for _, n := range scc {
		in[n] = true
	}
	start := slices.Min(scc)
	type step struct{ from, by int32 }
	came := map[int32]step{}
	queue := []int32{start}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		for _, e := range g.edges[v] {
			if e.to == start {
				by = append(by, e.by)
				for n := v; n != start; n = came[n].from {
					path, by = append(path, n), append(by, came[n].by)
				}
				path = append(path, start)
				slices.Reverse(path)
				slices.Reverse(by)
				return path, by
			}
			if _, met := came[e.to]; !met && in[e.to] {
				came[e.to] = step{v, e.by}
				queue = append(queue, e.to)
			}
		}
	}
	return scc, nil
}
