package workload

import (
	"fmt"
	"hash/crc32"
	"slices"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/linearizability/history"
)

// processesPerClient spaces the process numbers of one client from those of the next.
const processesPerClient = 1000

// Produce is a node's main function: one producer, number index, until Stop. One task sends, so that the order in which
// records are handed over is the order of their numbers; answers come back in any order. Each record in flight is a
// process of its own.
func (l *Load) Produce(index int) func(env.Env) { return l.ProduceAs(ProducerName(index), index) }

// ProduceAs is Produce on a node of another name.
func (l *Load) ProduceAs(name string, index int) func(env.Env) {
	return func(e env.Env) {
		life := l.life(name)
		defer l.ended(name, life)
		number := l.identity(name, life, index)
		r := e.Rand("workload")
		l.sleepUntilBegin(e)
		c := l.client(e, fmt.Sprintf("producer-%d", number))
		defer c.Close()
		p, err := client.NewProducer(c, client.ProducerOptions{
			Acks: l.Acks, Idempotent: l.Idempotent, Linger: l.Linger, InFlightMax: 5, Compression: l.Compression, BatchBytesMax: l.BatchBytesMax,
			DeliveryTimeout: l.DeliveryTimeout, RequestTimeout: l.RequestTimeout, BlockMax: l.DeliveryTimeout,
		})
		if err != nil {
			panic(err) // a scenario that asks for what cannot be
		}
		s := newSlots(e, l.InFlightMax)
		for seq := int64(0); !l.ending(); seq++ {
			e.Sleep(jitter(r, l.Pause))
			slot := s.take()
			if !l.more() {
				s.give(slot)
				break
			}
			op := history.NewOp(history.Produce, l.Topic, r.Int32N(l.Partitions))
			id, value := l.newValue(r)
			op.Process = int32(number*processesPerClient + slot)
			op.Acks = l.Acks
			if l.Idempotent {
				op.Producer, op.Seq = int64(number), seq
			}
			rec := client.Record{Topic: l.Topic, Partition: op.Partition, Value: value}
			if l.Keys > 0 {
				op.Keys = []int64{l.newKeyed(r, &rec)}
			}
			op.Records = []history.Record{{Offset: history.None, Value: id, Sum: crc32.Checksum(content(rec.Value, rec.Headers), castagnoli)}}
			op.Call = int64(e.Mono())
			l.handOver(name, &op)
			p.Produce(rec, func(res client.Result) {
				if l.produced(e, name, life, &op, res) {
					s.give(slot)
				}
			})
		}
		p.Close(l.DeliveryTimeout)
	}
}

// ProducerName is the node of a producer, ConsumerName that of a consumer.
func ProducerName(index int) string { return fmt.Sprintf("p%d", index) }
func ConsumerName(index int) string { return fmt.Sprintf("c%d", index) }

// handOver notes that the record is under way.
func (l *Load) handOver(name string, op *history.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending[name] = append(l.pending[name], op)
}

// produced records how a record ended; false if its client has crashed, and what it had under way is recorded as unknown.
func (l *Load) produced(e env.Env, name string, life int, under *history.Op, res client.Result) bool {
	now := e.Mono()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[name] != life {
		return false
	}
	l.pending[name] = slices.DeleteFunc(l.pending[name], func(o *history.Op) bool { return o == under })
	op := *under
	op.Return = int64(now)
	switch res.Outcome {
	case client.OK:
		op.Outcome = history.OK
		if res.Offset >= 0 {
			op.Offset = res.Offset
		}
	case client.Failed:
		op.Outcome = history.Failed
	default:
		op.Outcome = history.Unknown
	}
	if res.Err != nil {
		op.Error = res.Err.Error()
	}
	l.keep(op)
	return true
}

// slots hands out the numbers below its size, lowest first.
type slots struct {
	mu   env.Mutex
	free env.Cond
	used []bool
}

func newSlots(e env.Env, n int) *slots {
	mu := e.NewMutex()
	return &slots{mu: mu, free: e.NewCond(mu), used: make([]bool, n)}
}

// take waits for a free number.
func (s *slots) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for i, used := range s.used {
			if !used {
				s.used[i] = true
				return i
			}
		}
		s.free.Wait()
	}
}

func (s *slots) give(i int) {
	s.mu.Lock()
	s.used[i] = false
	s.free.Signal()
	s.mu.Unlock()
}
