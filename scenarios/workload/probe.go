package workload

import (
	"fmt"
	"hash/crc32"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/linearizability/history"
)

const (
	// firstProbe is added to a probe's partition, so that its process numbers are no consumer's.
	firstProbe = 900
	// ProbesMax is how many partitions can have a probe.
	ProbesMax = 99
	// probesInFlight is how many of a probe's records may wait: more than go out while a leader is looked for.
	probesInFlight = 256
)

// ProbeName is the node of a partition's probe.
func ProbeName(partition int32) string { return fmt.Sprintf("probe-%d", partition) }

// Probe is a node's main function: a producer that sends a record to one partition in every interval, with acks=all and
// idempotence, until Stop, and asks for the leader again at once. The time between two answers tells how long the
// partition could not be written to; its records are part of the history like all others.
func (l *Load) Probe(partition int32, every time.Duration) func(env.Env) {
	return func(e env.Env) {
		name := ProbeName(partition)
		life := l.life(name)
		defer l.ended(name, life)
		number := l.identity(name, life, firstProbe+int(partition))
		r := e.Rand("probe")
		c := client.New(e, client.Options{Bootstrap: l.Bootstrap, ClientID: fmt.Sprintf("probe-%d", number), DialTimeout: time.Second,
			RequestTimeout: l.RequestTimeout, RetryBackoff: 5 * time.Millisecond, RetryBackoffMax: 20 * time.Millisecond, Negotiate: l.Negotiate})
		defer c.Close()
		p, err := client.NewProducer(c, client.ProducerOptions{Acks: client.AcksAll, Idempotent: true, InFlightMax: 5,
			DeliveryTimeout: l.DeliveryTimeout, RequestTimeout: l.RequestTimeout, BlockMax: l.DeliveryTimeout})
		if err != nil {
			panic(err) // a probe that asks for what cannot be
		}
		s := newSlots(e, probesInFlight)
		next := e.Mono()
		for seq := int64(0); !l.ending(); seq++ {
			next = max(next.Add(every), e.Mono())
			e.Sleep(next.Sub(e.Mono()))
			slot := s.take()
			op := history.NewOp(history.Produce, l.Topic, partition)
			id, value := l.newValue(r)
			op.Process, op.Acks = int32(number*processesPerClient+slot), client.AcksAll
			op.Producer, op.Seq = int64(number), seq
			op.Records = []history.Record{{Offset: history.None, Value: id, Sum: crc32.Checksum(value, castagnoli)}}
			op.Call = int64(e.Mono())
			l.handOver(name, &op)
			p.Produce(client.Record{Topic: l.Topic, Partition: partition, Value: value}, func(res client.Result) {
				if l.produced(e, name, life, &op, res) {
					s.give(slot)
				}
			})
		}
		p.Close(l.DeliveryTimeout)
	}
}
