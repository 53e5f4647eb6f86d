package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/coordinator"
	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/txn"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// scribe is a transactional producer that speaks requests, and tries again what may be tried again.
type scribe struct {
	t        *testing.T
	h        *harness
	e        env.Env
	c        *client.Client
	id       int64
	epoch    int16
	sequence map[wire.TopicPartition]int32
	v2       bool
	until    env.Instant // of the present step
}

const scribeID = "scribe"

var pages = []wire.TopicPartition{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 1}}

// ask sends a request to the leader of a partition, once.
func (s *scribe) ask(tp wire.TopicPartition, req kmsg.Request) (kmsg.Response, error) {
	leader, err := s.c.Leader(tp, s.e.Mono().Add(3*time.Second))
	if err != nil {
		return nil, err
	}
	conn, err := s.c.Conn(leader.Broker)
	if err != nil {
		return nil, err
	}
	return conn.Do(req, 3*time.Second)
}

// coordinator is where the transactional id lives.
func (s *scribe) coordinator() wire.TopicPartition {
	return wire.TopicPartition{Topic: txn.Topic, Partition: coordinator.PartitionFor(scribeID, 2)}
}

// insist asks until code says nothing that may be tried again; a fatal code is returned.
func (s *scribe) insist(tp wire.TopicPartition, req kmsg.Request, code func(kmsg.Response) int16) *kerr.Error {
	for s.e.Mono() < s.until {
		resp, err := s.ask(tp, req)
		if err == nil {
			switch failed := kerr.TypedErrorForCode(code(resp)); failed {
			case nil:
				return nil
			case kerr.ConcurrentTransactions, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.NotEnoughReplicas,
				kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError:
			default:
				return failed
			}
		}
		s.c.RequestUpdate(tp.Topic)
		s.e.Sleep(100 * time.Millisecond)
	}
	return kerr.RequestTimedOut
}

func (s *scribe) step() { s.until = s.e.Mono().Add(40 * time.Second) }

func (s *scribe) init() {
	s.step()
	name := scribeID
	err := s.insist(s.coordinator(), func() kmsg.Request {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 5, &name, 8000
		return req
	}(), func(resp kmsg.Response) int16 {
		r := resp.(*kmsg.InitProducerIDResponse)
		if r.ErrorCode == 0 {
			s.id, s.epoch, s.sequence = r.ProducerID, r.ProducerEpoch, map[wire.TopicPartition]int32{}
		}
		return r.ErrorCode
	})
	if err != nil {
		s.t.Fatalf("no producer id: %v", err)
	}
}

func (s *scribe) add(tp wire.TopicPartition) *kerr.Error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = 3, scribeID, s.id, s.epoch
	in := kmsg.NewAddPartitionsToTxnRequestTopic()
	in.Topic, in.Partitions = tp.Topic, []int32{tp.Partition}
	req.Topics = append(req.Topics, in)
	return s.insist(s.coordinator(), req, func(resp kmsg.Response) int16 {
		return resp.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode
	})
}

func (s *scribe) write(tp wire.TopicPartition, value string) *kerr.Error {
	var b record.Builder
	b.Append(s.e.Now().UnixMilli(), nil, []byte(value))
	o := record.NewBatchOptions()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = s.id, s.epoch, s.sequence[tp], true
	batch, err := b.Build(nil, o)
	if err != nil {
		s.t.Fatal(err)
	}
	name := scribeID
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis, req.TransactionID = 11, -1, 3000, &name
	if s.v2 {
		req.Version = 12
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = tp.Partition, batch
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = tp.Topic, append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	failed := s.insist(tp, req, func(resp kmsg.Response) int16 {
		return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
	})
	if failed == nil {
		s.sequence[tp]++
	}
	return failed
}

func (s *scribe) end(commit bool) *kerr.Error {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = 4, scribeID, s.id, s.epoch, commit
	if s.v2 {
		req.Version = 5
	}
	return s.insist(s.coordinator(), req, func(resp kmsg.Response) int16 {
		r := resp.(*kmsg.EndTxnResponse)
		if r.ErrorCode == 0 && s.v2 {
			s.id, s.epoch, s.sequence = r.ProducerID, r.ProducerEpoch, map[wire.TopicPartition]int32{}
		}
		return r.ErrorCode
	})
}

// transaction writes a value to every page, and ends. It returns "commit" or "abort" as it was told, or "unknown".
func (s *scribe) transaction(value string, commit bool, between func(step int)) string {
	s.step()
	for i, tp := range pages {
		between(i)
		if !s.v2 && s.add(tp) != nil || s.write(tp, value) != nil {
			return "unknown"
		}
	}
	between(len(pages))
	if s.end(commit) != nil {
		return "unknown"
	}
	between(len(pages) + 1)
	return map[bool]string{true: "commit", false: "abort"}[commit]
}

// committed reads a page with read_committed, and tells whether all of it is decided.
func (s *scribe) committed(tp wire.TopicPartition) (values []string) {
	s.step()
	gone := map[int64]bool{}
	for at, decided := int64(0), false; !decided; {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.SessionEpoch, req.IsolationLevel, req.ReplicaID = 11, 1<<20, -1, 1, -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = tp.Partition, at, 1<<20
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.Partitions = tp.Topic, append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		var out kmsg.FetchResponseTopicPartition
		if err := s.insist(tp, req, func(resp kmsg.Response) int16 {
			out = resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
			return out.ErrorCode
		}); err != nil {
			s.t.Fatalf("fetch %s: %v", tp, err)
		}
		aborted := out.AbortedTransactions
		for rest := out.RecordBatches; len(rest) > 0; {
			b, more, err := record.Next(rest)
			if err != nil {
				break
			}
			rest, at = more, b.NextOffset()
			for len(aborted) > 0 && aborted[0].FirstOffset <= b.BaseOffset() {
				gone[aborted[0].ProducerID], aborted = true, aborted[1:]
			}
			if b.IsControl() {
				delete(gone, b.ProducerID())
				continue
			}
			for it := record.NewIterator(b, 0); it.Next() && !gone[b.ProducerID()]; {
				values = append(values, string(it.Record().Value))
			}
		}
		decided = at == out.HighWatermark
		if s.e.Mono() > s.until {
			s.t.Errorf("%s hangs at %d: last stable offset %d, high watermark %d", tp, at, out.LastStableOffset, out.HighWatermark)
			return values
		}
		if len(out.RecordBatches) == 0 && !decided {
			s.e.Sleep(100 * time.Millisecond)
		}
	}
	return values
}

// Goal: transactions are whole, in order and as their producer was told, and none hangs, whoever coordinates. Method: the broker that
// coordinates, or leads a page, crashes between all steps of transactions and comes back.
func TestTransactionsSurviveTheirCoordinator(t *testing.T) {
	for _, v2 := range []bool{false, true} {
		for seed := uint64(1); seed <= 4; seed++ {
			runScribe(t, seed, v2)
		}
	}
}

func runScribe(t *testing.T, seed uint64, v2 bool) {
	h := newHarness(t, seed, func(cfg *config.Broker) {
		cfg.TransactionTopicPartitions = 2
		if v2 {
			cfg.TransactionVersion = 2
		}
	})
	told := map[string]string{}
	read := map[wire.TopicPartition][]string{}
	crashes := 0
	h.client("scribe", func(e env.Env, c *client.Client) {
		if err := client.NewAdmin(c).CreateTopics(20*time.Second, client.NewTopic{Name: "t", Partitions: 2, ReplicationFactor: 3}); err != nil {
			t.Fatal(err)
		}
		s := &scribe{t: t, h: h, e: e, c: c, v2: v2}
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.Version, find.CoordinatorType, find.CoordinatorKey = 3, 1, scribeID
		if _, err := c.Any(find, 5*time.Second); err != nil { // it makes the topic
			t.Fatal(err)
		}
		s.init()
		for round := range 15 {
			value, commit := fmt.Sprintf("%02d", round), round%3 != 2
			told[value] = s.transaction(value, commit, func(step int) {
				if round%3 == 1 && step == (round/3)%4 {
					crashes += h.strike(s, round)
				}
			})
			if told[value] == "unknown" {
				s.init()
			}
		}
		for _, tp := range pages {
			read[tp] = s.committed(tp)
		}
	})
	if crashes == 0 {
		t.Errorf("seed %d: nobody crashed", seed)
	}
	for _, tp := range pages {
		if !slices.IsSorted(read[tp]) || len(slices.Compact(slices.Clone(read[tp]))) != len(read[tp]) {
			t.Errorf("seed %d v2=%t: %s out of order, or twice: %v", seed, v2, tp, read[tp])
		}
	}
	known := 0
	for value, what := range told {
		first, second := slices.Contains(read[pages[0]], value), slices.Contains(read[pages[1]], value)
		if first != second || what == "commit" && !first || what == "abort" && first {
			t.Errorf("seed %d v2=%t: %s was told %s, read %t and %t", seed, v2, value, what, first, second)
		}
		if what != "unknown" {
			known++
		}
	}
	if known < 8 {
		t.Errorf("seed %d v2=%t: only %d transactions ended: %v", seed, v2, known, told)
	}
}

// strike crashes who coordinates the scribe, or in other rounds who leads its first page, and has it come back a while later.
func (h *harness) strike(s *scribe, round int) int {
	tp := s.coordinator()
	if round%2 == 0 {
		tp = pages[0]
	}
	leader, err := s.c.Leader(tp, s.e.Mono().Add(5*time.Second))
	if err != nil || h.w.Status(name(int(leader.Broker))) != cluster.Running {
		return 0
	}
	victim := name(int(leader.Broker))
	h.w.Crash(victim)
	h.w.Go("nurse", func(e env.Env) {
		e.Sleep(2 * time.Second)
		h.w.Start(victim)
	})
	return 1
}
