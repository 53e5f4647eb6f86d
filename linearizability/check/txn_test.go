// Goal: every anomaly of transactions and of processing is found and called by its name, and a sound history is never accused.
// Method: histories of brokers that did everything right, left as they are or with one anomaly planted.
package check_test

import (
	"fmt"
	"slices"
	"testing"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
)

func TestSoundTransactionsPass(t *testing.T) {
	committed, aborted, unknown := 0, 0, 0
	for seed := range uint64(400) {
		h := soundTxns(seed, 300)
		if v := check.Judge(h, check.Options{}); !v.OK {
			t.Fatalf("seed %d: %v %v", seed, v.Unknown, v.Violations)
		}
		// Cut short, with no drain, it shows less and still nothing wrong.
		short := &history.History{Header: h.Header, Ops: h.Ops[:len(h.Ops)/2]}
		if v := check.Judge(short, check.Options{DrainOptional: true}); !v.OK {
			t.Fatalf("seed %d, cut short: %v %v", seed, v.Unknown, v.Violations)
		}
		for i := range h.Ops {
			switch op := &h.Ops[i]; {
			case op.Kind != history.EndTxn:
			case op.Outcome == history.Unknown:
				unknown++
			case op.Commits:
				committed++
			default:
				aborted++
			}
		}
	}
	if committed < 1000 || aborted < 1000 || unknown < 500 {
		t.Errorf("%d committed, %d aborted, %d unknown: the test says little", committed, aborted, unknown)
	}
}

// find finds the first operation from the middle of the history on that f says yes to.
func find(t *testing.T, h *history.History, f func(op *history.Op) bool) *history.Op {
	t.Helper()
	for i := len(h.Ops) / 3; i < len(h.Ops); i++ {
		if f(&h.Ops[i]) {
			return &h.Ops[i]
		}
	}
	t.Fatal("nothing to plant in")
	return nil
}

// fate says how the transaction was told to end: "commit", "abort", "unknown" or "none".
func fate(h *history.History, txn int64) string {
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == history.EndTxn && op.Txn == txn {
			switch {
			case op.Outcome == history.Unknown:
				return "unknown"
			case op.Commits:
				return "commit"
			}
			return "abort"
		}
	}
	return "none"
}

func endOf(h *history.History, txn int64) *history.Op {
	i := slices.IndexFunc(h.Ops, func(op history.Op) bool { return op.Kind == history.EndTxn && op.Txn == txn })
	return &h.Ops[i]
}

func producesOf(h *history.History, txn int64) (list []*history.Op) {
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == history.Produce && op.Txn == txn {
			list = append(list, op)
		}
	}
	return list
}

// hide removes a value from every read of committed data.
func hide(h *history.History, value int64) {
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == history.Fetch && op.Committed {
			op.Records = slices.DeleteFunc(slices.Clone(op.Records), func(r history.Record) bool { return r.Value == value })
		}
	}
}

// show adds a record to every read of committed data that covers its offset.
func show(h *history.History, p *history.Op) {
	rec := history.Record{Offset: p.Offset, Value: p.Records[0].Value, Sum: p.Records[0].Sum}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind == history.Fetch && op.Committed && op.Topic == p.Topic && op.Partition == p.Partition && op.From <= p.Offset && p.Offset < op.Next {
			op.Records = append(slices.Clone(op.Records), rec)
			slices.SortFunc(op.Records, func(a, b history.Record) int { return int(a.Offset - b.Offset) })
		}
	}
}

func produceOf(h *history.History, want string, n int) func(op *history.Op) bool {
	return func(op *history.Op) bool {
		return op.Kind == history.Produce && op.Txn != 0 && fate(h, op.Txn) == want && len(producesOf(h, op.Txn)) >= n
	}
}

var txnPlants = map[string]struct {
	want  string
	plant func(t *testing.T, h *history.History)
}{
	"an aborted record is read": {check.TxnAbortedRead, func(t *testing.T, h *history.History) {
		p := find(t, h, produceOf(h, "abort", 1))
		r := find(t, h, func(op *history.Op) bool {
			return op.Kind == history.Fetch && op.Committed && !op.Drain && op.Topic == p.Topic && op.Partition == p.Partition && op.From <= p.Offset && p.Offset < op.Next
		})
		r.Records = append(slices.Clone(r.Records), history.Record{Offset: p.Offset, Value: p.Records[0].Value, Sum: p.Records[0].Sum})
		slices.SortFunc(r.Records, func(a, b history.Record) int { return int(a.Offset - b.Offset) })
	}},
	"an aborted transaction is seen": {check.TxnAbortedRead, func(t *testing.T, h *history.History) {
		for _, p := range producesOf(h, find(t, h, produceOf(h, "abort", 2)).Txn) {
			show(h, p)
		}
	}},
	"read before its commit": {check.TxnEarlyRead, func(t *testing.T, h *history.History) {
		for i := range h.Ops {
			if op := &h.Ops[i]; op.Kind == history.Fetch && op.Committed && !op.Drain && op.Topic == "t" && len(op.Records) > 0 {
				p := writerOf(h, op.Records[0].Value)
				if fate(h, p.Txn) == "commit" {
					e := endOf(h, p.Txn)
					e.Call, e.Return = op.Return+1, op.Return+2
					return
				}
			}
		}
		t.Fatal("nothing to plant in")
	}},
	"torn": {check.TxnAtomic, func(t *testing.T, h *history.History) {
		hide(h, find(t, h, produceOf(h, "commit", 2)).Records[0].Value)
	}},
	"a committed transaction is gone": {check.TxnAtomic, func(t *testing.T, h *history.History) {
		for _, p := range producesOf(h, find(t, h, produceOf(h, "commit", 2)).Txn) {
			hide(h, p.Records[0].Value)
		}
	}},
	"torn, and its end is unknown": {check.TxnAtomic, func(t *testing.T, h *history.History) {
		p := find(t, h, produceOf(h, "commit", 2))
		endOf(h, p.Txn).Outcome = history.Unknown
		hide(h, p.Records[0].Value)
	}},
	"a zombie writes": {check.TxnFenced, func(t *testing.T, h *history.History) {
		p := find(t, h, func(op *history.Op) bool {
			return op.Kind == history.Produce && op.TransactionalID == "q" && op.ProducerEpoch > 0
		})
		p.ProducerEpoch--
	}},
	"a zombie commits": {check.TxnFenced, func(t *testing.T, h *history.History) {
		p := find(t, h, func(op *history.Op) bool {
			return op.Kind == history.EndTxn && op.TransactionalID == "q" && op.ProducerEpoch > 0
		})
		p.ProducerEpoch--
	}},
	"a zombie's commit of unknown end is done": {check.TxnFenced, func(t *testing.T, h *history.History) {
		p := find(t, h, func(op *history.Op) bool {
			return op.Kind == history.EndTxn && op.TransactionalID == "q" && op.ProducerEpoch > 0 && fate(h, op.Txn) == "commit" && len(producesOf(h, op.Txn)) > 0
		})
		p.Outcome = history.Unknown
		p.ProducerEpoch--
	}},
	"a zombie's offsets": {check.TxnFenced, func(t *testing.T, h *history.History) {
		p := find(t, h, func(op *history.Op) bool { return op.Kind == history.Commit && op.ProducerEpoch > 0 })
		p.ProducerEpoch--
	}},
	"one epoch for two": {check.TxnFenced, func(t *testing.T, h *history.History) {
		p := find(t, h, func(op *history.Op) bool { return op.Kind == history.InitProducer && op.ProducerEpoch > 0 })
		p.ProducerEpoch--
	}},
	"written after its end": {check.TxnFenced, func(t *testing.T, h *history.History) {
		p := find(t, h, produceOf(h, "commit", 2))
		e := endOf(h, p.Txn)
		e.Call, e.Return = p.Call-2, p.Call-1
	}},
	"committed and aborted": {check.TxnEndedOnce, func(t *testing.T, h *history.History) {
		e := *endOf(h, find(t, h, produceOf(h, "commit", 1)).Txn)
		e.ID, e.Commits = 99999, false
		h.Ops = append(h.Ops, e)
	}},
	"each reads the other": {check.TxnAcyclic, func(t *testing.T, h *history.History) {
		a := find(t, h, func(op *history.Op) bool { return produceOf(h, "commit", 1)(op) && op.TransactionalID == "q" })
		b := find(t, h, func(op *history.Op) bool { return produceOf(h, "commit", 1)(op) && op.TransactionalID == "r" })
		for i, of := range [][2]*history.Op{{a, b}, {b, a}} {
			op := history.NewOp(history.Fetch, "t", of[0].Partition)
			op.ID, op.Process, op.Call, op.Return, op.Outcome, op.Txn, op.Seek = int64(99990+i), int32(900+i), 1<<30, 1<<30+1, history.OK, of[1].Txn, true
			op.From, op.Next = of[0].Offset, of[0].Offset+1
			op.Records = []history.Record{{Offset: of[0].Offset, Value: of[0].Records[0].Value, Sum: of[0].Records[0].Sum}}
			h.Ops = append(h.Ops, op)
		}
	}},
	"writes interleave": {check.TxnIsolated, func(t *testing.T, h *history.History) { h.Header.WriteIsolation = true }},
	"above the last stable offset": {check.ReadBelowLSO, func(t *testing.T, h *history.History) {
		op := find(t, h, func(op *history.Op) bool {
			return op.Kind == history.Fetch && op.Committed && op.Topic == "t" && len(op.Records) > 1
		})
		op.LastStable = op.Records[1].Offset
	}},
	"passed over a committed record": {check.NoSkip, func(t *testing.T, h *history.History) {
		op := find(t, h, func(op *history.Op) bool {
			return op.Kind == history.Fetch && op.Committed && !op.Drain && op.Topic == "t" && len(op.Records) > 1
		})
		op.Records = slices.Delete(slices.Clone(op.Records), 0, 1)
	}},
	"passed over an aborted record, reading all": {check.NoSkip, func(t *testing.T, h *history.History) {
		p := find(t, h, produceOf(h, "abort", 1))
		for i := range h.Ops {
			if op := &h.Ops[i]; op.Kind == history.Fetch && !op.Committed && !op.Drain && slices.ContainsFunc(op.Records, func(r history.Record) bool { return r.Value == p.Records[0].Value }) {
				op.Records = slices.DeleteFunc(slices.Clone(op.Records), func(r history.Record) bool { return r.Value == p.Records[0].Value })
				return
			}
		}
		t.Fatal("nothing to plant in")
	}},
	"processed twice": {check.ProcessOnce, func(t *testing.T, h *history.History) {
		a := find(t, h, func(op *history.Op) bool { return op.Sources != nil && fate(h, op.Txn) == "commit" })
		b := find(t, h, func(op *history.Op) bool { return op.Sources != nil && fate(h, op.Txn) == "commit" && op.ID > a.ID })
		b.Sources = []int64{a.Sources[0]}
	}},
	"never processed": {check.ProcessAll, func(t *testing.T, h *history.History) {
		find(t, h, func(op *history.Op) bool { return op.Sources != nil && fate(h, op.Txn) == "commit" }).Sources = []int64{0}
	}},
	"processed, and will be again": {check.ProcessTogether, func(t *testing.T, h *history.History) {
		op := find(t, h, func(op *history.Op) bool { return op.Kind == history.OffsetFetch && op.Drain })
		op.Offset--
	}},
	"made of nothing": {check.NoPhantom, func(t *testing.T, h *history.History) {
		find(t, h, func(op *history.Op) bool { return op.Sources != nil && fate(h, op.Txn) == "commit" }).Sources = []int64{1 << 40}
	}},
	"money made": {check.TotalConstant, func(t *testing.T, h *history.History) {
		find(t, h, func(op *history.Op) bool { return op.Amounts != nil && fate(h, op.Txn) == "commit" }).Amounts[0]++
	}},
	"offsets of an aborted transaction": {check.OffsetKnown, func(t *testing.T, h *history.History) {
		c := find(t, h, func(op *history.Op) bool { return op.Kind == history.Commit && fate(h, op.Txn) == "commit" })
		e := endOf(h, c.Txn)
		e.Commits = false
	}},
	"offsets of a committed transaction are lost": {check.OffsetKept, func(t *testing.T, h *history.History) {
		c := find(t, h, func(op *history.Op) bool { return op.Kind == history.Commit && fate(h, op.Txn) == "commit" })
		f := find(t, h, func(op *history.Op) bool { return op.Kind == history.OffsetFetch && op.Offset == c.Offset })
		f.Offset--
	}},
}

func TestPlantedAnomaliesOfTransactions(t *testing.T) {
	for name, c := range txnPlants {
		t.Run(name, func(t *testing.T) {
			h := soundTxns(11, 900)
			c.plant(t, h)
			v := check.Judge(h, check.Options{})
			i := slices.IndexFunc(v.Violations, func(x check.Violation) bool { return x.Invariant == c.want })
			if len(v.Unknown) > 0 || i < 0 {
				t.Fatalf("%s not found among %v; unknown %v", c.want, v.Violations, v.Unknown)
			}
			x := v.Violations[i]
			if len(x.Witness) == 0 || len(x.Witness) > check.WitnessMax || x.Anomaly == "" || x.Message == "" || len(x.Lines()) != len(x.Witness) {
				t.Errorf("%+v", x)
			}
			t.Log(len(v.Violations), x)
		})
	}
}

// A delivery that promises less allows more.
func TestWeakerDeliveries(t *testing.T) {
	for name, c := range map[string]struct {
		delivery string
		plant    string
		ok       bool
	}{
		"twice, at least once":  {history.AtLeastOnce, "processed, and will be again", true},
		"never, at least once":  {history.AtLeastOnce, "never processed", false},
		"never, at most once":   {history.AtMostOnce, "never processed", true},
		"twice, at most once":   {history.AtMostOnce, "processed twice", false},
		"never, exactly once":   {history.ExactlyOnce, "never processed", false},
		"an end that is behind": {history.ExactlyOnce, "processed, and will be again", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := soundTxns(11, 900)
			h.Header.Pipelines[0].Delivery = c.delivery
			txnPlants[c.plant].plant(t, h)
			v := check.Judge(h, check.Options{})
			v.Violations = slices.DeleteFunc(v.Violations, func(x check.Violation) bool {
				return x.Invariant == check.OffsetKept || x.Invariant == check.OffsetKnown
			}) // of the end that is behind
			if (len(v.Violations) == 0) != c.ok {
				t.Errorf("%v", v.Violations)
			}
		})
	}
}

// Without a drain of committed data there is no verdict on transactions.
func TestTransactionsNeedTheirDrain(t *testing.T) {
	h := soundTxns(4, 300)
	h.Drains = slices.DeleteFunc(h.Drains, func(d history.Drain) bool { return d.Committed })
	if v := check.Judge(h, check.Options{}); v.OK || len(v.Unknown) == 0 {
		t.Errorf("ok %v", v.OK)
	}
	h = soundTxns(4, 300)
	h.Ops = slices.DeleteFunc(h.Ops, func(op history.Op) bool { return op.Kind == history.OffsetFetch && op.Drain })
	if v := check.Judge(h, check.Options{}); v.OK || len(v.Unknown) == 0 {
		t.Errorf("ok %v", v.OK)
	}
}

// Twelve times the history takes about as many times as long.
func BenchmarkJudgeTransactions(b *testing.B) {
	for _, steps := range []int{10_000, 100_000} {
		h := soundTxns(1, steps)
		b.Run(fmt.Sprint("ops=", len(h.Ops)), func(b *testing.B) {
			for b.Loop() {
				if v := check.Judge(h, check.Options{}); !v.OK {
					b.Fatal(v.Violations)
				}
			}
		})
	}
}
