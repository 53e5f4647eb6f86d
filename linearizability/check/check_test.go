// Goal: every anomaly is found and called by its name, and a sound history is never accused. Method: histories of a true
// log, left as they are or with one anomaly planted.
package check_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

func TestSoundHistoriesPass(t *testing.T) {
	for seed := range uint64(300) {
		l := load{seed: seed, ops: 400, clients: 1 + int(seed%20), partitions: 1 + int(seed%3), unknown: float64(seed%11) / 10,
			failed: float64(seed%5) / 20, acks: [...]int16{-1, -1, 1, 0}[seed%4], batch: 1 + int(seed%4), readEvery: 2 + int(seed%4), gaps: seed%2 == 0}
		h := l.make()
		for _, fresh := range []bool{false, true} {
			h.Header.Topics[0].Fresh, h.Header.Topics[0].HighWatermarkMonotonic = fresh, false
			if v := check.Judge(h, check.Options{}); !v.OK {
				t.Fatalf("%+v fresh=%v: %v %v", l, fresh, v.Unknown, v.Violations)
			}
		}
	}
}

// sound is one partition, a few clients, batches of two; all promises.
func sound() *history.History {
	return load{seed: 5, ops: 300, clients: 4, partitions: 1, unknown: 0.1, failed: 0.1, acks: -1, batch: 2, readEvery: 3}.make()
}

// pick finds the first operation that f says yes to, in the second half of the history.
func pick(h *history.History, f func(op *history.Op) bool) *history.Op {
	for i := len(h.Ops) / 2; i < len(h.Ops); i++ {
		if f(&h.Ops[i]) {
			return &h.Ops[i]
		}
	}
	panic("nothing to plant in")
}

func acked(op *history.Op) bool {
	return op.Kind == history.Produce && op.Outcome == history.OK
}

func reads(n int) func(op *history.Op) bool {
	return func(op *history.Op) bool { return op.Kind == history.Fetch && !op.Drain && len(op.Records) >= n }
}

func drained(op *history.Op) bool { return op.Drain }

// own gives the operation a record list that can be changed.
func own(op *history.Op) []history.Record {
	op.Records = slices.Clone(op.Records)
	return op.Records
}

// without removes a value from every read, as if it had never been there.
func without(h *history.History, value int64, drainOnly bool) {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Kind == history.Fetch && (op.Drain || !drainOnly) {
			op.Records = slices.DeleteFunc(own(op), func(r history.Record) bool { return r.Value == value })
		}
	}
}

func extra(h *history.History, kind history.Kind) *history.Op {
	last := h.Ops[len(h.Ops)-1]
	op := history.NewOp(kind, "t", 0)
	op.ID, op.Process, op.Call, op.Return, op.Outcome = last.ID+1, 99, last.Return+10, last.Return+20, history.OK
	h.Ops = append(h.Ops, op)
	return &h.Ops[len(h.Ops)-1]
}

var plants = map[string]func(h *history.History){
	check.NoLostWrite: func(h *history.History) { without(h, pick(h, acked).Records[0].Value, false) },
	check.ReadDurable: func(h *history.History) {
		// Of unknown end, read by somebody, and gone at the end: the whole batch.
		read := pick(h, reads(1))
		for _, r := range read.Records {
			for i := range h.Ops {
				op := &h.Ops[i]
				if op.Kind == history.Produce && slices.ContainsFunc(op.Records, func(w history.Record) bool { return w.Value == r.Value }) {
					op.Outcome, op.Offset = history.Unknown, history.None
					for _, w := range op.Records {
						without(h, w.Value, true)
					}
				}
			}
		}
	},
	check.OffsetStable: func(h *history.History) {
		// Two values at one offset, at two times: what an early reader saw there is not what the drain sees.
		op := pick(h, reads(3))
		other := extraValue(h)
		own(op)[1].Value, op.Records[1].Sum = other.Value, other.Sum
	},
	check.NoDuplicate: func(h *history.History) {
		d := pick(h, drained)
		again := d.Records[3]
		again.Offset = d.Next
		d.Records = append(own(d), again)
		d.Next++
		d.HighWatermark++
		h.Drains[0].End++
	},
	check.NoPhantom: func(h *history.History) {
		d := pick(h, drained)
		d.Records = append(own(d), history.Record{Offset: d.Next, Value: 1 << 40})
		d.Next++
		d.HighWatermark++
		h.Drains[0].End++
	},
	check.FailedUnseen: func(h *history.History) {
		op := pick(h, func(op *history.Op) bool { return acked(op) })
		op.Outcome, op.Offset = history.Failed, history.None
	},
	check.Content: func(h *history.History) { own(pick(h, reads(2)))[0].Sum++ },
	check.Order: func(h *history.History) {
		// The first of two appends that somebody read is called after the second has returned.
		d := pick(h, drained)
		a, b := writerOf(h, d.Records[50].Value), writerOf(h, d.Records[60].Value)
		for i := range h.Ops { // nobody read a before it was called
			if op := &h.Ops[i]; op.Kind == history.Fetch && !op.Drain {
				op.Outcome, op.Records, op.Next = history.Unknown, nil, history.None
			}
		}
		a.Call, a.Return, a.Process = b.Return+1, b.Return+2, 98
	},
	check.ProducerOrder: func(h *history.History) {
		d := pick(h, drained)
		a := writerOf(h, d.Records[50].Value)
		b := pick(h, func(op *history.Op) bool { return acked(op) && op.Producer == a.Producer && op.Offset > a.Offset })
		a.Seq, b.Seq = b.Seq, a.Seq
	},
	check.BatchWhole: func(h *history.History) {
		op := pick(h, func(op *history.Op) bool { return op.Kind == history.Produce && op.Outcome == history.Unknown })
		op.Records = append(own(op), history.Record{Offset: history.None, Value: 1 << 40})
		d := pick(h, drained)
		d.Records = append(own(d), history.Record{Offset: d.Next, Value: 1 << 40})
		d.Next++
		d.HighWatermark++
		h.Drains[0].End++
	},
	check.NoSkip: func(h *history.History) {
		op := pick(h, reads(3))
		op.Records = slices.Delete(own(op), 1, 2)
	},
	check.PollMonotonic: func(h *history.History) {
		op := pick(h, reads(1))
		own(op)
		op.Records = slices.Insert(op.Records, 1, op.Records[0])
	},
	check.ReadBelowHW: func(h *history.History) { op := pick(h, reads(2)); op.HighWatermark = op.Next - 1 },
	check.Fresh: func(h *history.History) {
		h.Header.Topics[0].Fresh = true
		op := extra(h, history.Fetch)
		op.HighWatermark, op.Next = 3, 0
	},
	check.ListOffsets: func(h *history.History) { op := extra(h, history.ListOffsets); op.From, op.Offset = -1, 3 },
	check.LogStart: func(h *history.History) {
		op := extra(h, history.ListOffsets)
		op.From, op.Offset = -2, 5
		op = extra(h, history.ListOffsets)
		op.From, op.Offset = -2, 4
	},
	check.WatermarkOrder: func(h *history.History) { op := pick(h, reads(1)); op.LastStable = op.HighWatermark + 1 },
	check.HWMonotonic: func(h *history.History) {
		h.Header.Topics[0].HighWatermarkMonotonic = true
		op := pick(h, func(op *history.Op) bool { return op.Kind == history.Fetch && !op.Drain && len(op.Records) == 0 })
		last := extra(h, history.Fetch)
		last.HighWatermark, last.Process = op.HighWatermark-1, op.Process
		last.From, last.Next, last.Seek = 0, 0, true
	},
}

func extraValue(h *history.History) history.Record {
	op := pick(h, func(op *history.Op) bool {
		return op.Kind == history.Produce && op.Outcome == history.Unknown && len(op.Records) == 1 && !wasRead(h, op.Records[0].Value)
	})
	op.Call = 1 // called before anybody reads it
	op.Process, op.Return = 97, 2
	op.Producer = history.None
	return op.Records[0]
}

func wasRead(h *history.History, value int64) bool {
	return slices.ContainsFunc(h.Ops, func(op history.Op) bool {
		return op.Kind == history.Fetch && slices.ContainsFunc(op.Records, func(r history.Record) bool { return r.Value == value })
	})
}

func writerOf(h *history.History, value int64) *history.Op {
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == history.Produce && slices.ContainsFunc(op.Records, func(r history.Record) bool { return r.Value == value }) {
			return op
		}
	}
	return nil
}

func TestPlantedAnomaliesAreFoundByName(t *testing.T) {
	for id, plant := range plants {
		t.Run(id, func(t *testing.T) {
			h := sound()
			if v := check.Judge(h, check.Options{}); !v.OK {
				t.Fatal(v.Violations, v.Unknown)
			}
			plant(h)
			v := check.Judge(h, check.Options{})
			if len(v.Unknown) > 0 || v.OK {
				t.Fatalf("ok %v, unknown %v", v.OK, v.Unknown)
			}
			i := slices.IndexFunc(v.Violations, func(x check.Violation) bool { return x.Invariant == id })
			if i < 0 {
				t.Fatalf("not found among %v", v.Violations)
			}
			x := v.Violations[i]
			if len(x.Witness) == 0 || len(x.Witness) > check.WitnessMax || x.Anomaly == "" || x.At == 0 || x.Topic != "t" || x.Message == "" {
				t.Errorf("%+v", x)
			}
			t.Log(len(v.Violations), x)
		})
	}
}

// Goal: of two violations of one invariant that Jepsen's workload tells apart, each has its name. Method: an anomaly inside of a poll and between two; an ack
// that is lost in the middle of the log and one behind its end.
func TestJepsensNames(t *testing.T) {
	for name, c := range map[string]struct {
		invariant string
		spoil     func(h *history.History)
	}{
		"int-poll-skip":         {check.NoSkip, plants[check.NoSkip]},
		"int-nonmonotonic-poll": {check.PollMonotonic, plants[check.PollMonotonic]},
		"lost-write":            {check.NoLostWrite, plants[check.NoLostWrite]},
		"poll-skip": {check.NoSkip, func(h *history.History) {
			op := pick(h, reads(2))
			later := *op
			later.ID, later.Call, later.Return, later.Process = 9999, op.Return+1, op.Return+2, 95
			later.From, later.Records = op.Records[1].Offset, own(op)[1:]
			op.Process, op.Next, op.Records, op.Seek = 95, op.From, nil, true
			h.Ops = append(h.Ops, later)
		}},
		"nonmonotonic-poll": {check.PollMonotonic, func(h *history.History) {
			op := pick(h, reads(2))
			op.Process, op.Seek = 95, true
			again := *op
			again.ID, again.Call, again.Return, again.Seek = 9999, op.Return+1, op.Return+2, false
			h.Ops = append(h.Ops, again)
		}},
		"unseen": {check.NoLostWrite, func(h *history.History) {
			op := extra(h, history.Produce)
			op.Acks, op.Offset, op.Records = -1, h.Drains[0].End, []history.Record{{Offset: history.None, Value: 1 << 40, Sum: 1}}
		}},
	} {
		h := sound()
		c.spoil(h)
		v := check.Judge(h, check.Options{})
		if !slices.ContainsFunc(v.Violations, func(x check.Violation) bool { return x.Invariant == c.invariant && x.Anomaly == name }) {
			t.Errorf("%s: %v %v", name, v.Unknown, v.Violations)
		}
	}
}

// What Kafka does not promise is no violation.
func TestWeakerPromises(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(h *history.History)
		ok    bool
	}{
		"acks=1 may be lost": {func(h *history.History) {
			op := unreadAck(h)
			op.Acks = 1
			for _, r := range op.Records {
				without(h, r.Value, false)
			}
		}, true},
		"acks=1 that was read may not": {func(h *history.History) {
			op := writerOf(h, pick(h, reads(1)).Records[0].Value)
			op.Acks = 1
			for _, r := range op.Records {
				without(h, r.Value, true)
			}
		}, false},
		"acks=0 may be lost": {func(h *history.History) {
			op := unreadAck(h)
			op.Acks, op.Offset = 0, history.None
			for _, r := range op.Records {
				without(h, r.Value, false)
			}
		}, true},
		"unclean elections may lose": {func(h *history.History) {
			h.Header.Topics[0].Durable = false
			for _, r := range pick(h, acked).Records {
				without(h, r.Value, true)
			}
		}, true},
		"producers without idempotence may repeat": {func(h *history.History) {
			h.Header.Topics[0].Once, h.Header.Topics[0].Ordered = false, false
			plants[check.NoDuplicate](h)
		}, true},
		"retention takes the beginning": {func(h *history.History) {
			h.Header.Topics[0].Retention = true
			h.Drains[0].Start = 10
			d := pick(h, drained)
			d.From = 10
			d.Records = slices.DeleteFunc(own(d), func(r history.Record) bool { return r.Offset < 10 })
		}, true},
		"a new leader may not have retained as much": {func(h *history.History) {
			h.Header.Topics[0].Retention = true
			startsTold(h, 1, 2)
		}, true},
		"one leader may not go back": {func(h *history.History) {
			h.Header.Topics[0].Retention = true
			startsTold(h, 2, 2)
		}, false},
		"nor a new leader where nothing is retained": {func(h *history.History) { startsTold(h, 1, 2) }, false},
		"a position that was set on purpose": {func(h *history.History) {
			op := pick(h, reads(1))
			again := *op
			again.ID, again.Seek = 9999, true
			again.Call, again.Return, again.Process = again.Return+1, again.Return+2, 95
			h.Ops = append(h.Ops, again)
		}, true},
		"an ack that does not tell the offset": {func(h *history.History) { pick(h, acked).Offset = history.None }, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := sound()
			c.spoil(h)
			if v := check.Judge(h, check.Options{}); v.OK != c.ok || len(v.Unknown) > 0 {
				t.Errorf("ok %v: %v %v", v.OK, v.Unknown, v.Violations)
			}
		})
	}
}

// startsTold lets leaders of these epochs tell a log start of 5, and then of 4.
func startsTold(h *history.History, epochs ...int32) {
	for i, epoch := range epochs {
		op := extra(h, history.ListOffsets)
		op.From, op.Offset, op.Epoch = -2, 5-int64(i), epoch
	}
}

func unreadAck(h *history.History) *history.Op {
	return pick(h, func(op *history.Op) bool {
		return acked(op) && !slices.ContainsFunc(h.Ops, func(f history.Op) bool {
			return f.Kind == history.Fetch && !f.Drain && slices.ContainsFunc(f.Records, func(r history.Record) bool { return r.Value == op.Records[0].Value })
		})
	})
}

func TestNoVerdictWithoutItsAssumptions(t *testing.T) {
	for name, spoil := range map[string]func(h *history.History){
		"read out":     func(h *history.History) { h.Drains = nil },
		"end at":       func(h *history.History) { h.Drains[0].End += 5 },
		"unique":       func(h *history.History) { own(pick(h, acked))[0].Value = h.Ops[firstAck(h)].Records[0].Value },
		"had returned": func(h *history.History) { pick(h, acked).Return += 1 << 40 },
		"not among":    func(h *history.History) { pick(h, acked).Topic = "x" },
	} {
		t.Run(name, func(t *testing.T) {
			h := sound()
			spoil(h)
			v := check.Judge(h, check.Options{})
			if v.OK || len(v.Unknown) == 0 || !strings.Contains(v.Unknown[0], name) {
				t.Errorf("ok %v, unknown %v", v.OK, v.Unknown)
			}
		})
	}
	h := sound()
	h.Drains = nil
	if v := check.Judge(h, check.Options{DrainOptional: true}); !v.OK {
		t.Error(v.Unknown, v.Violations)
	}
}

func firstAck(h *history.History) int {
	return slices.IndexFunc(h.Ops, func(op history.Op) bool { return acked(&op) })
}

func BenchmarkJudge(b *testing.B) {
	for _, c := range []load{
		{ops: 100_000, clients: 5}, {ops: 100_000, clients: 100, unknown: 0.1}, {ops: 100_000, clients: 1000, unknown: 0.5},
		{ops: 1_000_000, clients: 100, unknown: 0.1},
	} {
		c.seed, c.partitions, c.acks, c.batch, c.readEvery = 1, 1, -1, 1, 3
		h := c.make()
		b.Run(fmt.Sprintf("ops=%d/clients=%d/unknown=%v", c.ops, c.clients, c.unknown), func(b *testing.B) {
			for b.Loop() {
				if v := check.Judge(h, check.Options{}); !v.OK {
					b.Fatal(v.Violations, v.Unknown)
				}
			}
			b.ReportMetric(float64(len(h.Ops)), "ops")
		})
	}
}
