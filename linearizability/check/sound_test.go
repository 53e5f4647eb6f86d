package check_test

import (
	"math/rand/v2"

	"barnabas/linearizability/history"
)

// load describes a sound history to make.
type load struct {
	seed       uint64
	ops        int
	clients    int
	partitions int
	unknown    float64 // share of appends of unknown end, half of which happened
	failed     float64 // share of appends that certainly failed
	acks       int16
	batch      int // records of an append, at most
	readEvery  int // one in so many operations is a fetch; at most so many records each time
	gaps       bool
}

// log is the true content of a partition.
type trueLog struct {
	records []history.Record
	offsets int64
}

// make builds the history of a log that did everything right: operation after operation takes effect, each between its
// call and its return.
func (l load) make() *history.History {
	r := rand.New(rand.NewPCG(l.seed, 1))
	h := &history.History{Header: history.Header{Scenario: "sound", Seed: l.seed, Topics: []history.Topic{history.Promised("t", int32(l.partitions))}}}
	h.Ops = make([]history.Op, 0, l.ops+l.partitions)
	logs := make([]trueLog, l.partitions)
	free := make([]int64, l.clients) // when each client's last operation returned
	sent := make([]int64, l.clients)
	next := make([]int64, l.clients*l.partitions) // positions
	value := int64(0)
	const step, slow = 1000, 20_000
	now := int64(slow)
	for len(h.Ops) < l.ops {
		now += step
		c := r.IntN(l.clients)
		for free[c] >= now {
			c = (c + 1) % l.clients
			now++
		}
		p := r.IntN(l.partitions)
		log := &logs[p]
		op := history.NewOp(history.Fetch, "t", int32(p))
		op.ID, op.Process = int64(len(h.Ops))+1, int32(c)
		op.Call = max(free[c]+1, now-r.Int64N(slow))
		op.Return = now + r.Int64N(slow)
		op.Outcome = history.OK
		free[c] = op.Return
		if r.IntN(l.readEvery) == 0 {
			l.fetch(&op, log, &next[c*l.partitions+p])
		} else {
			op.Kind = history.Produce
			op.Acks, op.Producer, op.Seq = l.acks, int64(c), sent[c]
			sent[c]++
			for range 1 + r.IntN(l.batch) {
				value++
				op.Records = append(op.Records, history.Record{Offset: history.None, Value: value, Sum: uint32(value * 7)})
			}
			happened := true
			switch x := r.Float64(); {
			case x < l.failed:
				op.Outcome, happened = history.Failed, false
			case x < l.failed+l.unknown:
				op.Outcome, happened = history.Unknown, r.IntN(2) == 0
			}
			if happened {
				if l.gaps && r.IntN(10) == 0 {
					log.offsets++
				}
				if op.Outcome == history.OK && l.acks != 0 {
					op.Offset = log.offsets
				}
				for _, rec := range op.Records {
					log.records = append(log.records, history.Record{Offset: log.offsets, Value: rec.Value, Sum: rec.Sum})
					log.offsets++
				}
			}
		}
		h.Ops = append(h.Ops, op)
	}
	l.drain(h, logs, now+10*slow)
	return h
}

// fetch reads on from where the client was, up to ten times as many records as it takes to keep up.
func (l load) fetch(op *history.Op, log *trueLog, next *int64) {
	op.From = *next
	op.HighWatermark, op.LastStable, op.LogStart = log.offsets, log.offsets, 0
	i := len(log.records)
	for i > 0 && log.records[i-1].Offset >= op.From {
		i--
	}
	end := min(len(log.records), i+2*l.readEvery*l.batch)
	op.Records = log.records[i:end:end]
	op.Next = log.offsets
	if end < len(log.records) {
		op.Next = log.records[end].Offset
	}
	*next = op.Next
}

func (l load) drain(h *history.History, logs []trueLog, at int64) {
	for p := range logs {
		log := &logs[p]
		from := int64(0)
		for from < log.offsets || from == 0 {
			op := history.NewOp(history.Fetch, "t", int32(p))
			op.ID, op.Process, op.Call, op.Return = int64(len(h.Ops))+1, int32(l.clients+p), at, at+5
			at += 10
			op.Outcome, op.Drain, op.From, op.HighWatermark = history.OK, true, from, log.offsets
			i := 0
			for i < len(log.records) && log.records[i].Offset < from {
				i++
			}
			end := min(len(log.records), i+50_000)
			op.Records = log.records[i:end:end]
			op.Next = log.offsets
			if end < len(log.records) {
				op.Next = log.records[end].Offset
			}
			h.Ops = append(h.Ops, op)
			if from = op.Next; from == 0 {
				break
			}
		}
		h.Drains = append(h.Drains, history.Drain{Topic: "t", Partition: int32(p), End: log.offsets, Time: at})
	}
}
