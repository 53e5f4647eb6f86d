package check_test

import (
	"math/rand/v2"

	"barnabas/linearizability/history"
)

// txnWorld makes the history of brokers that did everything right with transactions: transactional producers write to the
// partitions of "t", one of them (id "p") processes topic "in" exactly once, others move amounts between partitions; some
// transactions are aborted, some producers crash with a commit under way and are replaced; consumers read committed data and all.
type txnWorld struct {
	r     *rand.Rand
	h     *history.History
	now   int64
	value int64
	txns  int64
	in    txnLog
	logs  []txnLog
	done  int64 // the committed offset of "in"

	producers []*txnProducer
	readers   []*txnReader
}

type txnLog struct {
	topic   string
	part    int32
	records []txnRecord
	end     int64
	open    map[int64]int64 // first offset of open transactions
}

type txnRecord struct {
	history.Record
	txn int64 // 0 for none
}

type txnProducer struct {
	id      string
	process int32
	epoch   int16
	txn     int64 // 0: none is open
	parts   map[int32]bool
	upTo    int64 // of "in", for "p"
	left    int
}

type txnReader struct {
	process   int32
	committed bool
	next      []int64
}

func soundTxns(seed uint64, steps int) *history.History {
	w := &txnWorld{r: rand.New(rand.NewPCG(seed, 3)), h: &history.History{}, now: 100, in: txnLog{topic: "in"}, logs: make([]txnLog, 3)}
	w.h.Header = history.Header{Scenario: "sound-transactions", Seed: seed, Topics: []history.Topic{history.Promised("in", 1), history.Promised("t", 3)},
		Pipelines: []history.Pipeline{{Group: "g", Input: "in", Output: "t", Delivery: history.ExactlyOnce}}}
	for i := range w.logs {
		w.logs[i] = txnLog{topic: "t", part: int32(i), open: map[int64]int64{}}
	}
	for i, id := range []string{"p", "q", "r"} {
		w.producers = append(w.producers, &txnProducer{id: id, process: int32(i), epoch: -1})
	}
	for i := range 4 {
		w.readers = append(w.readers, &txnReader{process: int32(50 + i), committed: i < 3, next: make([]int64, len(w.logs))})
	}
	ended := map[int64]bool{} // committed?
	for range steps {
		w.now += 10
		switch x := w.r.IntN(10); {
		case x < 2:
			w.input()
		case x < 5:
			w.read(w.readers[w.r.IntN(len(w.readers))], w.r.IntN(len(w.logs)), ended)
		default:
			w.step(w.producers[w.r.IntN(len(w.producers))], ended)
		}
	}
	for _, p := range w.producers {
		w.now += 10
		for ; p.txn != 0 && p.left > 0; w.now += 10 {
			p.left--
			w.produce(p)
		}
		if p.txn != 0 {
			w.end(p, ended)
		}
	}
	w.drain(ended)
	return w.h
}

// op records an operation that happens now; it was called a little before and returns a little later.
func (w *txnWorld) op(op history.Op) *history.Op {
	op.ID = int64(len(w.h.Ops)) + 1
	op.Call, op.Return = w.now-w.r.Int64N(3), w.now+w.r.Int64N(5)
	w.h.Ops = append(w.h.Ops, op)
	return &w.h.Ops[len(w.h.Ops)-1]
}

func (w *txnWorld) record() history.Record {
	w.value++
	return history.Record{Offset: history.None, Value: w.value, Sum: uint32(w.value * 7)}
}

func (l *txnLog) append(rec history.Record, txn int64) int64 {
	rec.Offset = l.end
	l.records = append(l.records, txnRecord{rec, txn})
	l.end++
	return rec.Offset
}

func (w *txnWorld) input() {
	op := history.NewOp(history.Produce, "in", 0)
	op.Process, op.Acks, op.Outcome = 90, -1, history.OK
	rec := w.record()
	op.Records = []history.Record{rec}
	op.Offset = w.in.append(rec, 0)
	w.op(op)
}

func (w *txnWorld) of(p *txnProducer, kind history.Kind) history.Op {
	op := history.NewOp(kind, "", 0)
	op.Process, op.TransactionalID, op.ProducerID, op.ProducerEpoch, op.Txn, op.Outcome = p.process, p.id, int64(7+p.id[0]), p.epoch, p.txn, history.OK
	return op
}

func (w *txnWorld) step(p *txnProducer, ended map[int64]bool) {
	switch {
	case p.epoch < 0:
		p.epoch = 0
		w.op(w.of(p, history.InitProducer))
	case p.txn == 0:
		w.txns++
		p.txn, p.parts, p.left = w.txns, map[int32]bool{}, 1+w.r.IntN(4)
		if p.id == "p" {
			w.take(p)
		}
	case p.left > 0:
		p.left--
		w.produce(p)
	default:
		w.end(p, ended)
	}
}

// take reads some input for the transaction.
func (w *txnWorld) take(p *txnProducer) {
	p.upTo = min(w.in.end, w.done+1+w.r.Int64N(3))
	if p.left = int(p.upTo - w.done); p.left == 0 {
		p.txn = 0
		return
	}
	op := history.NewOp(history.Fetch, "in", 0)
	op.Process, op.Outcome, op.Committed, op.Txn, op.Seek = p.process, history.OK, true, p.txn, true
	op.From, op.Next, op.HighWatermark, op.LastStable = w.done, p.upTo, w.in.end, w.in.end
	for _, rec := range w.in.records[w.done:p.upTo] {
		op.Records = append(op.Records, rec.Record)
	}
	w.op(op)
}

func (w *txnWorld) produce(p *txnProducer) {
	write := func(part int32, source, amount int64) {
		op := w.of(p, history.Produce)
		op.Topic, op.Partition, op.Acks = "t", part, -1
		rec := w.record()
		op.Records = []history.Record{rec}
		if source != 0 {
			op.Sources = []int64{source}
		}
		if amount != 0 {
			op.Amounts = []int64{amount}
		}
		l := &w.logs[part]
		op.Offset = l.append(rec, p.txn)
		if _, open := l.open[p.txn]; !open {
			l.open[p.txn] = op.Offset
		}
		p.parts[part] = true
		w.op(op)
	}
	if p.id == "p" {
		write(w.r.Int32N(3), w.in.records[p.upTo-int64(p.left)-1].Value, 0)
		return
	}
	from, amount := w.r.Int32N(3), 1+w.r.Int64N(50)
	write(from, 0, -amount)
	w.now += 10
	write((from+1+w.r.Int32N(2))%3, 0, amount)
}

// end ends the producer's transaction, or lets the producer crash.
func (w *txnWorld) end(p *txnProducer, ended map[int64]bool) {
	commits, crashes := w.r.IntN(4) > 0, w.r.IntN(6) == 0
	if p.id == "p" && commits {
		op := w.of(p, history.Commit)
		op.Topic, op.Group, op.Offset = "in", "g", p.upTo
		w.op(op)
		w.now += 10
	}
	op := w.of(p, history.EndTxn)
	op.Commits = commits
	applied := commits
	if crashes {
		op.Outcome = history.Unknown
		applied = commits && w.r.IntN(2) == 0
		if w.r.IntN(3) == 0 { // it was not even sent
			applied = false
		}
	}
	if !crashes || applied || w.r.IntN(2) == 0 {
		w.op(op)
	}
	w.now += 10
	for part := range int32(3) {
		if p.parts[part] { // a marker
			w.logs[part].end++
			delete(w.logs[part].open, p.txn)
		}
	}
	ended[p.txn] = applied
	if p.id == "p" && applied {
		w.done = p.upTo
	}
	p.txn = 0
	if crashes {
		p.epoch++
		p.process += 10
		w.now += 10
		w.op(w.of(p, history.InitProducer))
		w.now += 10
	}
	if p.id == "p" {
		w.stands(false)
	}
}

// stands asks where the group is.
func (w *txnWorld) stands(last bool) {
	w.now += 10
	op := history.NewOp(history.OffsetFetch, "in", 0)
	op.Process, op.Group, op.Outcome, op.Offset, op.Drain = 60, "g", history.OK, w.done, last
	if w.done == 0 {
		op.Offset = history.None
	}
	w.op(op)
}

func (l *txnLog) lso() int64 {
	lso := l.end
	for _, first := range l.open {
		lso = min(lso, first)
	}
	return lso
}

func (w *txnWorld) read(k *txnReader, part int, ended map[int64]bool) {
	l := &w.logs[part]
	bound := l.end
	if k.committed {
		bound = l.lso()
	}
	op := w.fetch(l, k.next[part], min(bound, k.next[part]+10), k.committed, ended)
	op.Process = k.process
	k.next[part] = op.Next
	w.op(op)
}

func (w *txnWorld) fetch(l *txnLog, from, to int64, committed bool, ended map[int64]bool) history.Op {
	op := history.NewOp(history.Fetch, l.topic, l.part)
	op.Outcome, op.From, op.Next, op.Committed = history.OK, from, max(from, to), committed
	op.HighWatermark, op.LastStable = l.end, l.lso()
	for _, rec := range l.records {
		if rec.Offset >= from && rec.Offset < to && (!committed || rec.txn == 0 || ended[rec.txn]) {
			op.Records = append(op.Records, rec.Record)
		}
	}
	return op
}

func (w *txnWorld) drain(ended map[int64]bool) {
	w.now += 100
	all := []*txnLog{&w.in}
	for i := range w.logs {
		all = append(all, &w.logs[i])
	}
	for i, l := range all {
		for _, committed := range []bool{false, true} {
			w.now += 10
			op := w.fetch(l, 0, l.end, committed, ended)
			op.Process, op.Drain, op.Seek = int32(80+i), true, true
			w.op(op)
			w.h.Drains = append(w.h.Drains, history.Drain{Topic: l.topic, Partition: l.part, End: l.end, Time: w.now, Committed: committed})
		}
	}
	w.stands(true)
}
