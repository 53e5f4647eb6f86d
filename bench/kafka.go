package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producer is a sink on a real cluster.
type producer struct{ client *kgo.Client }

func (p producer) send(it *item) { p.client.Produce(context.Background(), &it.rec, it.promise) }

// metadataMinAge is how soon a client may ask again who leads, as Java's clients do (retry.backoff.ms). With franz-go's own 5 s the time to
// recover from a fault would be the client's.
const metadataMinAge = 100 * time.Millisecond

var acks = map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func newProducer(seeds []string, topic string, p Producers, more ...kgo.Opt) (producer, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID("barnabas-bench"), kgo.DefaultProduceTopic(topic), kgo.MetadataMinAge(metadataMinAge),
		kgo.RequiredAcks(acks[p.Acks]), kgo.ProducerBatchCompression(codecs[p.Codec]),
		kgo.ProducerBatchMaxBytes(int32(p.Batch)), kgo.ProducerLinger(time.Duration(p.Linger)),
		kgo.MaxBufferedRecords(1 << 30), // the generator bounds them, and sees it
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.BrokerMaxWriteBytes(max(100<<20, int32(p.Batch)+1<<20)),
	}
	if !p.Idempotent { // franz-go chooses itself for idempotent ones: 5
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(p.InFlight))
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return producer{}, fmt.Errorf("producer: %w", err)
	}
	return producer{client}, nil
}

// consumers are all consumers of one entry of a workload.
type consumers struct {
	clock   clock
	meter   *meter
	clients []*kgo.Client
	read    atomic.Int64 // records, over all time
	wg      sync.WaitGroup
}

// source is what consumers read: every partition from an offset, a group from the topic's start.
type source struct {
	seeds []string
	topic string
	from  []int64 // by partition
}

// startConsumers begins to read.
func startConsumers(ctx context.Context, c clock, src source, o Consumer, m *meter, times *requestTimes) (*consumers, error) {
	cs := &consumers{clock: c, meter: m}
	topic := src.topic
	for f := range o.Fanout {
		for member := range o.Members {
			opts := []kgo.Opt{
				kgo.SeedBrokers(src.seeds...), kgo.ClientID("barnabas-bench"), kgo.WithHooks(times), kgo.MetadataMinAge(metadataMinAge),
				kgo.FetchMaxWait(time.Duration(o.MaxWait)), kgo.FetchMaxBytes(int32(o.MaxBytes)),
				kgo.FetchMaxPartitionBytes(int32(o.MaxBytes)), kgo.FetchMinBytes(int32(o.MinBytes)),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			}
			if o.Isolation == "read_committed" {
				opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
			}
			if o.Group {
				opts = append(opts, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(fmt.Sprintf("%s-%d", topic, f)), kgo.AutoCommitInterval(time.Duration(o.Commit)))
			} else {
				offsets := map[int32]kgo.Offset{}
				for p := member; p < len(src.from); p += o.Members {
					offsets[int32(p)] = kgo.NewOffset().At(src.from[p])
				}
				opts = append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
			}
			client, err := kgo.NewClient(opts...)
			if err != nil {
				cs.stop()
				return nil, fmt.Errorf("consumer: %w", err)
			}
			cs.clients = append(cs.clients, client)
		}
	}
	for _, client := range cs.clients {
		cs.wg.Go(func() { cs.poll(ctx, client) })
	}
	return cs, nil
}

func (cs *consumers) poll(ctx context.Context, client *kgo.Client) {
	for {
		fetches := client.PollFetches(ctx)
		if fetches.IsClientClosed() || ctx.Err() != nil {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { cs.meter.fail(fmt.Errorf("fetch: %w", err)) })
		now := cs.clock.now()
		n := int64(0)
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			if intended, ok := stamp(r.Value); ok {
				cs.meter.add(intended, now, len(r.Key)+len(r.Value))
			} else {
				cs.meter.fail(fmt.Errorf("consumer: a record that the bench did not write"))
			}
		})
		cs.read.Add(n)
	}
}

func (cs *consumers) stop() {
	for _, client := range cs.clients {
		client.Close()
	}
	cs.wg.Wait()
}

// requestTimes times fetches and offset commits by franz-go's hook: from the first byte written to the last byte read.
type requestTimes struct{ fetch, commit *timing }

var _ kgo.HookBrokerE2E = (*requestTimes)(nil)

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (t *requestTimes) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	const fetchKey, offsetCommitKey = 1, 8
	switch {
	case e.Err() != nil:
	case key == fetchKey:
		t.fetch.record(e.DurationE2E())
	case key == offsetCommitKey:
		t.commit.record(e.DurationE2E())
	}
}
