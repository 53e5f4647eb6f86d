package api_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"barnabas/broker/api"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/metadata"
	"barnabas/broker/osenv"
	"barnabas/broker/purgatory"
	"barnabas/broker/record"
	"barnabas/broker/replica"
	"barnabas/broker/server"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stack is the real thing from the socket to the file, but for the controller: the test plays its part over the wire.
type stack struct {
	*desk
	logs     *log.Manager
	replicas *replica.Manager
}

func newStack(t testing.TB, e env.Env, dir, listen string) *stack {
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, err := config.Load("test", []byte("broker.id=1\nlisteners=PLAINTEXT://"+listen+"\nzookeeper.connect=z:2181\nlog.dirs="+dir+"\n"))
	fatal(err)
	fatal(e.MkdirAll(dir))
	s := &stack{desk: &desk{e: e, cfg: cfg, cache: metadata.New(e), controller: &fakeController{}}}
	s.t, _ = t.(*testing.T)
	s.logs, err = log.OpenManager(e, cfg)
	fatal(err)
	s.purgatory = purgatory.New[wire.TopicPartition](e, "purgatory")
	s.replicas = replica.NewManager(replica.Options{Env: e, Config: cfg, Logs: s.logs, Metadata: s.cache, Purgatory: s.purgatory,
		BrokerEpoch:    func() int64 { return 7 },
		AlterPartition: func(*kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) { return nil, env.ErrTimeout },
	})
	a := api.New(api.Deps{Env: e, Config: cfg, ClusterID: "castle", Listener: "PLAINTEXT", Replicas: api.FromManager(s.replicas), Metadata: s.cache,
		Controller: s.controller, Purgatory: s.purgatory, BrokerEpoch: func() int64 { return 7 },
		ToController: func(req kmsg.Request, _ time.Duration) (kmsg.Response, error) { return s.controller.remote(e, req) }})
	s.server, err = server.Listen(server.Options{Env: e, Addr: listen, Handle: a.Handle, FrameBytesMax: 10 << 20, InFlightMax: 64, IdleMax: time.Minute})
	fatal(err)
	s.logs.Start()
	s.replicas.Start()
	s.server.Start()
	s.conn, err = e.Dial(s.server.Addr(), time.Second)
	fatal(err)
	return s
}

// lead makes this broker the leader of t's partitions with the given replicas, by the controller's two requests.
func (s *stack) lead(t testing.TB, isr []int32, partitions, epoch int32) {
	update := kmsg.NewPtrUpdateMetadataRequest()
	update.Version, update.ControllerID, update.ControllerEpoch, update.BrokerEpoch = 8, 1, 1, 7
	for _, id := range isr {
		b := kmsg.NewUpdateMetadataRequestLiveBroker()
		b.ID = id
		ep := kmsg.NewUpdateMetadataRequestLiveBrokerEndpoint()
		ep.Host, ep.Port, ep.ListenerName = fmt.Sprintf("b%d", id), 9092, "PLAINTEXT"
		b.Endpoints = append(b.Endpoints, ep)
		update.LiveBrokers = append(update.LiveBrokers, b)
	}
	topic := kmsg.NewUpdateMetadataRequestTopicState()
	topic.Topic, topic.TopicID = "t", topicID(1)
	become := kmsg.NewPtrLeaderAndISRRequest()
	become.Version, become.ControllerID, become.ControllerEpoch, become.BrokerEpoch = 7, 1, 1, 7
	states := kmsg.NewLeaderAndISRRequestTopicState()
	states.Topic, states.TopicID = "t", topicID(1)
	for n := range partitions {
		u := kmsg.NewUpdateMetadataRequestTopicPartition()
		u.Partition, u.Leader, u.LeaderEpoch, u.ISR, u.Replicas, u.ControllerEpoch = n, 1, epoch, isr, isr, 1
		topic.PartitionStates = append(topic.PartitionStates, u)
		l := kmsg.NewLeaderAndISRRequestTopicPartition()
		l.Partition, l.Leader, l.LeaderEpoch, l.ISR, l.Replicas, l.ControllerEpoch, l.ZKVersion = n, 1, epoch, isr, isr, 1, epoch
		states.PartitionStates = append(states.PartitionStates, l)
	}
	update.TopicStates = append(update.TopicStates, topic)
	become.TopicStates = append(become.TopicStates, states)
	if resp := do[*kmsg.UpdateMetadataResponse](s.desk, update); resp.ErrorCode != 0 {
		t.Fatalf("%+v", resp)
	}
	if resp := do[*kmsg.LeaderAndISRResponse](s.desk, become); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("%+v", resp)
	}
}

func (s *stack) stop() {
	s.server.Close(time.Second)
	s.replicas.Shutdown()
	s.purgatory.Close()
	s.logs.Shutdown(true)
}

// From socket to file and back, with the real partition and log below: a produce with acks=all waits for the follower's fetch, a
// consumer for the high watermark, and the bytes read are the bytes written.
func TestProduceReplicateConsume(t *testing.T) {
	for seed := range uint64(30) {
		cluster.Test(t, seed, func(e env.Env) {
			s := newStack(t, e, "/data", "b1:9092")
			s.lead(t, []int32{1, 2}, 1, 3)
			producer, consumer, follower := s.conn, s.dial(), s.dial()

			s.conn = consumer
			consume := fetch(13, "", topicID(1), 0)
			consume.MaxWaitMillis = 20_000
			consumed := s.send(consume)

			s.conn = producer
			records := batch(t, record.None, 3, "hello")
			write := produce(9, -1, "t", 0, records)
			write.TimeoutMillis = 20_000
			written := s.send(write)

			s.conn = follower
			replicate := fetch(17, "", topicID(1), 0)
			replicate.ReplicaState.ID, replicate.ReplicaState.Epoch, replicate.MaxWaitMillis = 2, 5, 20_000
			replicate.Topics[0].Partitions[0].CurrentLeaderEpoch = 3
			first := do[*kmsg.FetchResponse](s.desk, replicate).Topics[0].Partitions[0]
			if first.ErrorCode != 0 || len(first.RecordBatches) != len(records) || first.HighWatermark != 0 {
				t.Fatalf("the follower got %+v", first)
			}
			replicate.Topics[0].Partitions[0].FetchOffset = 3
			s.send(replicate)

			s.conn = producer
			if p := only(s.receive(write, written).(*kmsg.ProduceResponse)); p.ErrorCode != 0 || p.BaseOffset != 0 {
				t.Fatalf("the producer got %+v", p)
			}
			s.conn = consumer
			p := s.receive(consume, consumed).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if p.ErrorCode != 0 || p.HighWatermark != 3 || !bytes.Equal(p.RecordBatches, first.RecordBatches) {
				t.Fatalf("the consumer got %+v", p)
			}
			if p := do[*kmsg.ListOffsetsResponse](s.desk, listOffsets(7, "t", -1)).Topics[0].Partitions[0]; p.Offset != 3 || p.ErrorCode != 0 {
				t.Fatalf("latest: %+v", p)
			}
			stale := fetch(12, "t", topicID(0), 0)
			stale.Topics[0].Partitions[0].CurrentLeaderEpoch = 2
			if p := do[*kmsg.FetchResponse](s.desk, stale).Topics[0].Partitions[0]; p.ErrorCode != kerr.FencedLeaderEpoch.Code {
				t.Fatalf("an old epoch: %+v", p)
			}
			s.stop()
		})
	}
}

// Goal: whoever fetches with a replica id below zero is a consumer, and reads to the high watermark; -2 is who debugs, and -3, which Kafka keeps for its own
// future replicas, gets no more here. None of them counts as a follower.
// Method: a record that no follower has, fetched by each id in the versions that say it in either place; then the follower comes.
func TestFetchByReplicaIDsBelowZero(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1, 2}, 1, 3)
		if p := only(do[*kmsg.ProduceResponse](s.desk, produce(9, 1, "t", 0, batch(t, record.None, 1, "v")))); p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
		ask := func(version int16, id int32, offset int64) kmsg.FetchResponseTopicPartition {
			req := fetch(version, "t", topicID(1), offset)
			req.MaxWaitMillis = 0
			if version >= 15 {
				req.ReplicaState.ID = id
			} else {
				req.ReplicaID = id
			}
			return do[*kmsg.FetchResponse](s.desk, req).Topics[0].Partitions[0]
		}
		all := func(watermark int64) {
			t.Helper()
			for _, version := range []int16{4, 12, 14, 15, 17} {
				for _, id := range []int32{-1, -2, -3, -4, math.MinInt32} {
					p := ask(version, id, 0)
					if p.ErrorCode != 0 || p.HighWatermark != watermark || len(p.RecordBatches) > 0 != (watermark > 0) {
						t.Errorf("v%d, replica %d: code %d, high watermark %d, %d bytes", version, id, p.ErrorCode, p.HighWatermark, len(p.RecordBatches))
					}
					ask(version, id, 1) // as a follower that had it all
				}
			}
		}
		all(0)
		if p := ask(17, 2, 0); len(p.RecordBatches) == 0 {
			t.Errorf("the follower got %+v", p)
		}
		ask(17, 2, 1)
		all(1)
		s.stop()
	})
}

// An idempotent batch sent again has the offset it had.
func TestProduceAgain(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1}, 1, 0)
		var b record.Builder
		b.Append(1, nil, []byte("once"))
		o := record.NewBatchOptions()
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = 1000, 0, 0
		records, err := b.Build(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if p := only(do[*kmsg.ProduceResponse](s.desk, produce(9, -1, "t", 0, records))); p.ErrorCode != 0 || p.BaseOffset != 0 {
				t.Errorf("%+v", p)
			}
		}
		record.Batch(records).SetProducer(1000, 0, 5)
		record.Batch(records).SetCRC()
		if p := only(do[*kmsg.ProduceResponse](s.desk, produce(9, -1, "t", 0, records))); p.ErrorCode != kerr.OutOfOrderSequenceNumber.Code {
			t.Errorf("a gap: %+v", p)
		}
		s.stop()
	})
}

// Goal: a refused produce tells the log start, unless it is refused for what Kafka takes for everyday.
// Method: a real log that begins at 2; batches that the log, the partition and the request's checks refuse.
func TestProduceRefusedTellsLogStart(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.cfg.Topic.TimestampAfterMax = time.Hour
		s.lead(t, []int32{1}, 1, 0)
		timed := func(at int64, n int, sequence int32) []byte {
			var b record.Builder
			b.Append(at, nil, make([]byte, n))
			o := record.NewBatchOptions()
			if sequence >= 0 {
				o.ProducerID, o.ProducerEpoch, o.BaseSequence = 1000, 0, sequence
			}
			records, err := b.Build(nil, o)
			if err != nil {
				t.Fatal(err)
			}
			return records
		}
		sized := func(n int, sequence int32) []byte { return timed(1, n, sequence) }
		for i := range int32(3) {
			if p := only(do[*kmsg.ProduceResponse](s.desk, produce(9, 1, "t", 0, sized(1, i)))); p.ErrorCode != 0 || p.LogStartOffset != 0 {
				t.Fatalf("%+v", p)
			}
		}
		target, err := s.replicas.Partition(wire.TopicPartition{Topic: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if start, err := target.DeleteRecords(2); err != nil || start != 2 {
			t.Fatalf("deleted up to %d: %v", start, err)
		}
		torn := sized(1, -1)
		torn[len(torn)-1] ^= 1
		for name, c := range map[string]struct {
			records []byte
			acks    int16
			code    int16
			start   int64
		}{
			"a gap of sequences":      {sized(1, 7), 1, kerr.OutOfOrderSequenceNumber.Code, 2},
			"of the far future":       {timed(e.Now().Add(1000*time.Hour).UnixMilli(), 1, -1), 1, kerr.InvalidTimestamp.Code, 2},
			"too large":               {sized(2<<20, -1), 1, kerr.MessageTooLarge.Code, -1},
			"torn":                    {torn, 1, kerr.CorruptMessage.Code, -1},
			"none":                    {nil, 1, kerr.InvalidRecord.Code, -1},
			"acks that there are not": {sized(1, -1), 3, kerr.InvalidRequiredAcks.Code, -1},
		} {
			p := only(do[*kmsg.ProduceResponse](s.desk, produce(9, c.acks, "t", 0, c.records)))
			if p.ErrorCode != c.code || p.LogStartOffset != c.start || p.BaseOffset != -1 || p.LogAppendTime != -1 {
				t.Errorf("%s: %+v", name, p)
			}
		}
		s.stop()
	})
}

// BenchmarkProduce and BenchmarkFetch are 64 KiB batches over real sockets and files, pipelined.
func BenchmarkProduce(b *testing.B) {
	s := newStack(b, osenv.New(osenv.Options{}), b.TempDir(), "127.0.0.1:0")
	defer s.stop()
	s.lead(b, []int32{1}, 1, 0)
	frame := wire.AppendRequest(nil, "bench", 1, produce(9, -1, "t", 0, benchBatch(b)))
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	buf := make([]byte, 1024)
	b.ResetTimer()
	for i := range b.N {
		if _, err := s.conn.Write(frame); err != nil {
			b.Fatal(err)
		}
		if i >= 4 {
			answerOf(b, s.conn, buf)
		}
	}
}

func answerOf(b *testing.B, c env.Conn, buf []byte) []byte {
	frame, err := wire.ReadFrame(c, 1<<24, buf)
	if err != nil {
		b.Fatal(err)
	}
	return frame
}

func benchBatch(b *testing.B) []byte {
	var builder record.Builder
	for range 63 {
		builder.Append(1, nil, make([]byte, 1024))
	}
	records, err := builder.Build(nil, record.NewBatchOptions())
	if err != nil {
		b.Fatal(err)
	}
	return records
}

func BenchmarkFetch(b *testing.B) {
	s := newStack(b, osenv.New(osenv.Options{}), b.TempDir(), "127.0.0.1:0")
	defer s.stop()
	s.lead(b, []int32{1}, 1, 0)
	write := wire.AppendRequest(nil, "bench", 1, produce(9, -1, "t", 0, benchBatch(b)))
	buf := make([]byte, 1<<20)
	for range 16 {
		if _, err := s.conn.Write(write); err != nil {
			b.Fatal(err)
		}
		answerOf(b, s.conn, buf)
	}
	req := fetch(12, "t", topicID(0), 0)
	req.Topics[0].Partitions[0].PartitionMaxBytes = 1 << 19
	read := wire.AppendRequest(nil, "bench", 1, req)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := s.conn.Write(read); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(answerOf(b, s.conn, buf))))
	}
}
