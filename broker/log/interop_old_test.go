package log_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/log"
	"barnabas/broker/osenv"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What Apache Kafka keeps in the formats of 0.9 and 0.10, as it does for topics of those versions, becomes batches when ours opens the directory; ours goes on,
// and Apache Kafka reads all of it again.
func TestWeReadOldFormatsThatKafkaWrites(t *testing.T) {
	lib := kafkaLib(t)
	zk := interopZooKeeper(t)
	dir := t.TempDir()
	addr, stop := apacheKafka(t, lib, zk.Addr(), dir, "inter.broker.protocol.version=2.8", "log.message.format.version=0.9.0", "log.segment.bytes=8192")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	check(t, err)
	defer client.Close()
	want := map[string]map[string]string{}
	for magic, version := range []string{"0.9.0", "0.10.2"} {
		for name, codec := range map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "none": kgo.NoCompression()} {
			topic := fmt.Sprintf("%s-%d", name, magic)
			_, err = kadm.NewClient(client).CreateTopic(ctx, 1, 1, map[string]*string{"message.format.version": &version, "segment.bytes": kadm.StringPtr("8192")}, topic)
			check(t, err)
			producer, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec), kgo.DisableIdempotentWrite())
			check(t, err)
			want[topic] = map[string]string{}
			for i := range 40 {
				var records []*kgo.Record
				for j := range 10 {
					key, value := fmt.Sprintf("key-%d", i), fmt.Sprintf("value-%d-%d-%s", i, j, strings.Repeat("x", 30))
					records = append(records, kgo.KeyStringRecord(key, value))
					want[topic][value] = key
				}
				check(t, producer.ProduceSync(ctx, records...).FirstErr())
			}
			producer.Close()
		}
	}
	stop(true)
	cfg := config.Default()
	cfg.LogDirs, cfg.LogCleanerEnable = []string{dir}, false
	files, err := filepath.Glob(filepath.Join(dir, "*-[01]-0", "*.log"))
	check(t, err)
	old := 0
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && record.IsOld(data) {
			old++
		}
	}
	if old < 16 {
		t.Fatalf("Apache Kafka wrote %d old segments of %d, which proves nothing", old, len(files))
	}
	m, err := log.OpenManager(osenv.New(osenv.Options{}), cfg)
	check(t, err)
	hws := map[wire.TopicPartition]int64{}
	for _, topic := range slices.Sorted(maps.Keys(want)) {
		l := m.Get(wire.TopicPartition{Topic: topic})
		l.SetHighWatermark(l.EndOffset())
		if got := kafkaRecords(t, l); !maps.Equal(got, want[topic]) || l.EndOffset() != 400 {
			t.Errorf("%s: %d records of %d, end %d", topic, len(got), len(want[topic]), l.EndOffset())
		}
		_, err := l.AppendAsLeader(build("ours", 1, nil), max(l.LatestEpoch(), 0), log.AppendOptions{})
		check(t, err)
		hws[l.TP()] = l.EndOffset()
		want[topic]["ours-0"] = "k"
	}
	check(t, m.CheckpointHighWatermarks(hws))
	check(t, m.Shutdown(true))
	addr, stop = apacheKafka(t, lib, zk.Addr(), dir)
	for _, topic := range slices.Sorted(maps.Keys(want)) {
		kafkaGoesOn(t, ctx, addr, topic, want[topic])
	}
	for line := range strings.Lines(stop(true)) {
		if storage := strings.Contains(line, "(kafka.log") || strings.Contains(line, "storage.internals"); strings.HasPrefix(line, "ERROR") || strings.HasPrefix(line, "WARN") && storage && !strings.Contains(line, "message.format.version") {
			t.Errorf("Apache Kafka says: %s", line)
		}
	}
}
