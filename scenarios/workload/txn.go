package workload

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/linearizability/history"
)

// Txns says what transactional producers and processors do.
type Txns struct {
	Timeout    time.Duration // of a transaction
	RecordsMax int           // of a transaction; of a bank, transfers
	AbortEvery int           // one in so many is aborted on purpose
	// StallEvery: one in so many stops in its middle for about Stall, and then goes on as if nothing had been.
	StallEvery int
	Stall      time.Duration
	// Shared producers share one transactional id, and fence each other; 0 is as 1.
	Shared int
	// Bank makes every two records a transfer from one partition to another.
	Bank bool
	// Output is what processors write to, of so many partitions; "" for none.
	Output           string
	OutputPartitions int32
}

// firstTxn is added to the number of a transactional producer, firstProcessor to that of a processor.
const (
	firstTxn       = 200
	firstProcessor = 300
)

// TxnName is the node of a transactional producer, ProcessorName that of a processor.
func TxnName(index int) string       { return fmt.Sprintf("x%d", index) }
func ProcessorName(index int) string { return fmt.Sprintf("f%d", index) }

// txnRun is a life of a client that makes transactions.
type txnRun struct {
	l      *Load
	e      env.Env
	r      *rand.Rand
	name   string
	life   int
	number int
	id     string // transactional
	seq    int64
	txn    int64 // the one under way
	sent   func() bool
	as     client.TransactionIdentity
}

func (l *Load) newTxnRun(e env.Env, name string, number int, life int, id string) *txnRun {
	return &txnRun{l: l, e: e, r: e.Rand("workload"), name: name, life: life, number: l.identity(name, life, number), id: id}
}

// TxnProduce is a node's main function: one transactional producer after the other, all of one transactional id, until Stop. One
// that was fenced, or whose commit has no known end, makes place for the next.
func (l *Load) TxnProduce(index int) func(env.Env) { return l.TxnProduceAs(TxnName(index), index) }

// TxnProduceAs is TxnProduce on a node of another name.
func (l *Load) TxnProduceAs(name string, index int) func(env.Env) {
	return func(e env.Env) {
		life := l.life(name)
		defer l.ended(name, life)
		x := l.newTxnRun(e, name, firstTxn+index, life, fmt.Sprintf("t-%d", (index-1)/max(1, l.Txns.Shared)))
		l.sleepUntilBegin(e)
		for !l.ending() {
			x.produceUntilFenced()
			if l.Txns.Shared > 1 {
				e.Sleep(jitter(x.r, l.Txns.Stall)) // the one that took over is to get somewhere
			}
			e.Sleep(jitter(x.r, 300*time.Millisecond))
		}
	}
}

func (x *txnRun) produceUntilFenced() {
	l := x.l
	c := l.client(x.e, fmt.Sprintf("txn-%d", x.number))
	defer c.Close()
	p, err := client.NewTransactional(c, client.TransactionOptions{ID: x.id, Timeout: l.Txns.Timeout, Producer: client.ProducerOptions{Linger: l.Linger,
		InFlightMax: 5, Compression: l.Compression, DeliveryTimeout: l.DeliveryTimeout, RequestTimeout: l.RequestTimeout, BlockMax: l.DeliveryTimeout}})
	if err != nil {
		panic(err) // a scenario that asks for what cannot be
	}
	defer p.Close(time.Second)
	x.sent = p.Sent
	if !x.init(p.Init, p.Identity) {
		return
	}
	for !l.ending() && x.transact(p) {
	}
}

// init becomes the producer of the transactional id; false if that has failed.
func (x *txnRun) init(init func(time.Duration) error, as func() client.TransactionIdentity) bool {
	op := x.op(history.InitProducer, 0)
	done := x.begin(&op)
	err := init(3 * x.l.DeliveryTimeout)
	x.as = as()
	if err == nil {
		op.ProducerID, op.ProducerEpoch = x.as.ProducerID, x.as.ProducerEpoch
	}
	done(outcomeOf(err), err)
	return err == nil
}

func outcomeOf(err error) history.Outcome {
	if err == nil {
		return history.OK
	}
	return history.Unknown
}

// op is an operation of the run: of the transaction under way, but for an init.
func (x *txnRun) op(kind history.Kind, slot int64) history.Op {
	op := history.NewOp(kind, "", 0)
	op.Process = int32(x.number*processesPerClient) + int32(slot%(processesPerClient-1))
	if kind.OfTransaction() {
		op.Process = int32(x.number*processesPerClient) + processesPerClient - 1
	}
	op.TransactionalID, op.Txn = x.id, x.txn
	if kind == history.InitProducer {
		op.Txn = 0
		return op
	}
	op.ProducerID, op.ProducerEpoch = x.as.ProducerID, x.as.ProducerEpoch
	return op
}

// begin notes that an operation is under way; what it returns records how it ended, unless the client has crashed by then.
func (x *txnRun) begin(op *history.Op) func(history.Outcome, error) {
	op.Call = int64(x.e.Mono())
	x.l.handOver(x.name, op)
	return func(outcome history.Outcome, err error) {
		l := x.l
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.running[x.name] != x.life {
			return
		}
		l.pending[x.name] = slices.DeleteFunc(l.pending[x.name], func(o *history.Op) bool { return o == op })
		op.Return, op.Outcome = int64(x.e.Mono()), outcome
		if err != nil {
			op.Error = err.Error()
		}
		l.keep(*op)
	}
}

// drop forgets an operation that was begun and came to nothing.
func (x *txnRun) drop(op *history.Op) {
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	x.l.pending[x.name] = slices.DeleteFunc(x.l.pending[x.name], func(o *history.Op) bool { return o == op })
}

// nextTxn numbers the transactions of all producers.
func (l *Load) nextTxn() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.txns++
	return l.txns
}

// transact makes one transaction; false if the producer is of no more use.
func (x *txnRun) transact(p *client.Transactional) bool {
	l := x.l
	if err := p.Begin(); err != nil {
		return false
	}
	x.txn, x.as = l.nextTxn(), p.Identity()
	n := 1 + x.r.IntN(max(1, l.Txns.RecordsMax))
	stall := -1
	if l.Txns.StallEvery > 0 && x.r.IntN(l.Txns.StallEvery) == 0 {
		stall = x.r.IntN(n + 1)
	}
	for i := range n {
		x.e.Sleep(jitter(x.r, l.Pause))
		if i == stall {
			x.stall()
		}
		if !l.more() {
			break
		}
		if !l.Txns.Bank {
			x.send(p, l.Topic, x.r.Int32N(l.Partitions), 0, 0)
			continue
		}
		from, amount := x.r.Int32N(l.Partitions), 1+x.r.Int64N(100)
		x.send(p, l.Topic, from, 0, -amount)
		x.send(p, l.Topic, (from+1+x.r.Int32N(max(1, l.Partitions-1)))%l.Partitions, 0, amount)
	}
	if stall == n {
		x.stall()
	}
	if l.Txns.AbortEvery == 0 || x.r.IntN(l.Txns.AbortEvery) > 0 {
		end := x.ending(true)
		outcome, err := p.Commit(2 * l.DeliveryTimeout)
		end(outcome, err)
		if outcome == client.OK || !errors.Is(err, client.ErrMustAbort) {
			return outcome == client.OK
		}
	} else if x.r.IntN(2) == 0 {
		x.e.Sleep(jitter(x.r, 2*l.Pause)) // else most of it is dropped before it is sent
	}
	end := x.ending(false)
	err := p.Abort(2 * l.DeliveryTimeout)
	end(client.Unknown, err)
	return err == nil
}

// stall does nothing for a while, which Stop cuts short.
func (x *txnRun) stall() {
	const step = 250 * time.Millisecond
	until := x.e.Mono().Add(jitter(x.r, x.l.Txns.Stall))
	for x.e.Mono() < until && !x.l.ending() {
		x.e.Sleep(min(step, until.Sub(x.e.Mono())))
	}
}

// send produces one record, made of source, that moves amount; 0 for neither.
func (x *txnRun) send(p *client.Transactional, topic string, partition int32, source, amount int64) {
	rec, done := x.record(topic, partition, source, amount)
	p.Produce(rec, done)
}

func (x *txnRun) record(topic string, partition int32, source, amount int64) (client.Record, func(client.Result)) {
	op := x.op(history.Produce, x.seq)
	op.Topic, op.Partition, op.Acks, op.Producer, op.Seq = topic, partition, client.AcksAll, int64(x.number), x.seq
	x.seq++
	id, value := x.l.newValue(x.r)
	op.Records = []history.Record{{Offset: history.None, Value: id, Sum: crc32.Checksum(value, castagnoli)}}
	if source != 0 {
		op.Sources = []int64{source}
	}
	if amount != 0 {
		op.Amounts = []int64{amount}
	}
	end := x.begin(&op)
	return client.Record{Topic: topic, Partition: partition, Value: value}, func(res client.Result) {
		outcome := history.Unknown
		switch res.Outcome {
		case client.OK:
			outcome, op.Offset = history.OK, max(res.Offset, history.None)
		case client.Failed:
			outcome = history.Failed
		}
		end(outcome, res.Err)
	}
}

// ending is the commit, or abort, of the transaction under way.
func (x *txnRun) ending(commit bool) func(client.Outcome, error) {
	op := x.op(history.EndTxn, 0)
	op.Commits = commit
	end := x.begin(&op)
	return func(o client.Outcome, err error) {
		if !x.sent() {
			x.drop(&op) // nobody was asked
			return
		}
		outcome := outcomeOf(err)
		if o == client.Failed {
			outcome = history.Failed
		}
		if outcome == history.OK && commit {
			x.l.count(func(c *Counts) { c.Transactions++ })
		}
		end(outcome, err)
	}
}
