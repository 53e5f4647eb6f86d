// Goal: the gate, the counted model and the naive model agree on every history. Method: small histories of a true log
// with concurrent writers and readers and with operations of unknown end, most of them mutated afterwards, judged by all
// three. A time-out is a failure.
package models_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
	"barnabas/linearizability/models"
)

// world makes a sound history: each operation has its effect at one moment between call and return, or, if its end is
// unknown, at any moment after the call, or never. The drain comes last.
func world(r *rand.Rand, processes, opsEach int, fresh bool) *history.History {
	topic := history.Promised("t", 1)
	topic.Fresh, topic.Ordered = fresh, false
	h := &history.History{Header: history.Header{Scenario: "random", Topics: []history.Topic{topic}}}
	type pending struct {
		op     history.Op
		effect int64
	}
	var ops []pending
	value := int64(0)
	for p := range processes {
		now := r.Int64N(10)
		for range opsEach {
			op := history.NewOp(history.Fetch, "t", 0)
			op.Process, op.Acks = int32(p), -1
			op.Call = now + r.Int64N(8)
			effect := op.Call + r.Int64N(10)
			op.Return = effect + r.Int64N(10)
			op.Outcome, op.Seek = history.OK, true
			if r.IntN(5) < 3 {
				op.Kind, op.Seek = history.Produce, false
				for range 1 + r.IntN(2)*r.IntN(2) {
					value++
					op.Records = append(op.Records, history.Record{Offset: history.None, Value: value, Sum: uint32(value)})
				}
				switch r.IntN(6) {
				case 0:
					op.Outcome = history.Unknown
					if effect = op.Call + r.Int64N(40); r.IntN(2) == 0 {
						effect = -1
					}
				case 1:
					if r.IntN(2) == 0 {
						op.Outcome, effect = history.Failed, -1
					}
				}
			}
			now = op.Return + 1
			ops = append(ops, pending{op, effect})
		}
	}
	order := make([]int, len(ops))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(ops[a].effect - ops[b].effect) })
	var log []history.Record
	next := int64(0)
	end := int64(0)
	for _, i := range order {
		op := &ops[i].op
		end = max(end, op.Return, ops[i].effect)
		if ops[i].effect < 0 {
			continue
		}
		if op.Kind == history.Produce {
			if r.IntN(8) == 0 {
				next++ // a gap: a control record, say
			}
			if op.Outcome == history.OK {
				op.Offset = next
			}
			for _, rec := range op.Records {
				log = append(log, history.Record{Offset: next, Value: rec.Value, Sum: rec.Sum})
				next++
			}
			continue
		}
		read(op, log, next, r)
	}
	for i := range ops {
		op := ops[i].op
		op.ID = int64(i) + 1
		h.Ops = append(h.Ops, op)
	}
	drain := history.NewOp(history.Fetch, "t", 0)
	drain.ID, drain.Process, drain.Call, drain.Return = int64(len(ops))+1, int32(processes), end+1, end+2
	drain.Outcome, drain.Drain = history.OK, true
	drain.Next, drain.HighWatermark, drain.Records = next, next, slices.Clone(log)
	h.Ops = append(h.Ops, drain)
	h.Drains = []history.Drain{{Topic: "t", Start: 0, End: next, Time: end + 2}}
	return h
}

// read fills in a fetch of the log as it is.
func read(op *history.Op, log []history.Record, end int64, r *rand.Rand) {
	op.HighWatermark = end
	op.From = r.Int64N(end + 1)
	op.Next = op.From + r.Int64N(end-op.From+1)
	for _, rec := range log {
		if rec.Offset >= op.From && rec.Offset < op.Next {
			op.Records = append(op.Records, rec)
		}
	}
}

// mutate damages a history, or only seems to.
func mutate(r *rand.Rand, h *history.History) {
	op := &h.Ops[r.IntN(len(h.Ops))]
	other := &h.Ops[r.IntN(len(h.Ops))]
	switch r.IntN(9) {
	case 0: // call earlier or later
		if op.Drain {
			return
		}
		op.Call += r.Int64N(30) - 15
		op.Return = max(op.Return, op.Call)
	case 1: // return earlier or later
		if op.Drain {
			return
		}
		op.Return = max(op.Call, op.Return+r.Int64N(30)-15)
	case 2: // swap acked offsets
		if op.Kind == history.Produce && other.Kind == history.Produce && op.Outcome == history.OK && other.Outcome == history.OK {
			op.Offset, other.Offset = other.Offset, op.Offset
		}
	case 3: // another outcome
		if op.Kind == history.Produce && op.Outcome == history.OK {
			op.Outcome, op.Offset = [...]history.Outcome{history.Unknown, history.Failed}[r.IntN(2)], history.None
		}
	case 4: // a record gone from a read
		if n := len(op.Records); op.Kind == history.Fetch && n > 0 {
			k := r.IntN(n)
			op.Records = slices.Delete(slices.Clone(op.Records), k, k+1)
		}
	case 5: // two records of a read swapped
		if n := len(op.Records); op.Kind == history.Fetch && n > 1 {
			i, j := r.IntN(n), r.IntN(n)
			op.Records = slices.Clone(op.Records)
			op.Records[i].Value, op.Records[j].Value = op.Records[j].Value, op.Records[i].Value
			op.Records[i].Sum, op.Records[j].Sum = op.Records[j].Sum, op.Records[i].Sum
		}
	case 6: // a record's value replaced by any other that was written
		if n := len(op.Records); op.Kind == history.Fetch && n > 0 && other.Kind == history.Produce {
			op.Records = slices.Clone(op.Records)
			k := r.IntN(n)
			op.Records[k].Value, op.Records[k].Sum = other.Records[0].Value, other.Records[0].Sum
		}
	case 7: // another watermark
		if op.Kind == history.Fetch && !op.Drain {
			op.HighWatermark = max(op.Next, op.HighWatermark+r.Int64N(5)-2)
		}
	case 8: // a gone acked offset
		if op.Kind == history.Produce && op.Outcome == history.OK {
			op.Offset = max(0, op.Offset+r.Int64N(3)-1)
		}
	}
}

func TestGateAgreesWithModels(t *testing.T) {
	histories := 20000
	if testing.Short() {
		histories = 500
	}
	sound, broken := 0, 0
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 7))
		h := world(r, 2+r.IntN(3), 2+r.IntN(3), r.IntN(2) == 0)
		mutations := r.IntN(6)
		for range mutations {
			mutate(r, h)
		}
		// Mutations may make a process do two things at once, which says nothing about the log: each has its own.
		for i := range h.Ops {
			h.Ops[i].Process = int32(i)
		}
		v := check.Judge(h, check.Options{})
		if len(v.Unknown) > 0 {
			t.Fatalf("seed %d: no verdict: %v", seed, v.Unknown)
		}
		naive := models.Naive(h, "t", 0, 20*time.Second)
		counted := models.Counted(h, "t", 0, 3+r.IntN(6), 20*time.Second)
		want := porcupine.Illegal
		if v.OK {
			want = porcupine.Ok
			sound++
		} else {
			broken++
		}
		if naive != want || counted != want {
			t.Errorf("seed %d: gate %v, naive %v, counted %v, fresh %v", seed, want, naive, counted, h.Header.Topics[0].Fresh)
			for _, viol := range v.Violations {
				t.Log(viol)
			}
			var text bytes.Buffer
			history.Write(&text, h)
			t.Fatal(text.String())
		}
		if mutations == 0 && !v.OK {
			t.Fatalf("seed %d: a sound history: %v", seed, v.Violations)
		}
	}
	if sound < histories/10 || broken < histories/10 {
		t.Fatalf("%d sound and %d broken histories: the test says nothing about one of them", sound, broken)
	}
	t.Logf("%d sound, %d broken", sound, broken)
}
