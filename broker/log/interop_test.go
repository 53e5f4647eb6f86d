// Goal: Apache Kafka's own tool reads every file that we write, we read what Apache Kafka wrote, and it goes on with what we made of it.
// Method: with the Java libraries of Apache Kafka in the directory that BARNABAS_KAFKA_LIB names (facts in the Makefile's
// target interop): directories with all codecs, transactions, producer snapshots and compaction through
// DumpLogSegments; a broker of Apache Kafka on loopback, with our embedded ZooKeeper, that produces, compacts and stops; the same broker
// started again on the directory after our log has appended, compacted, deleted and stopped there, which has it read our checkpoints too.
package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/log"
	"barnabas/broker/osenv"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper/server"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func kafkaLib(t *testing.T) string {
	lib := os.Getenv("BARNABAS_KAFKA_LIB")
	if lib == "" {
		t.Skip("BARNABAS_KAFKA_LIB is not set")
	}
	return filepath.Join(lib, "*")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// interopLog writes a log with everything in it.
func interopLog(t *testing.T, m *log.Manager, name string, codec record.Codec, compact bool) {
	cfg := config.Topic{SegmentBytes: 4000, IndexIntervalBytes: 200, CleanupPolicyCompact: compact, CleanupPolicyDelete: !compact}
	l, err := m.GetOrCreate(wire.TopicPartition{Topic: name}, [16]byte{1, byte(codec)}, cfg)
	check(t, err)
	now := time.Now().UnixMilli()
	sequence := map[int64]int32{}
	for i := range 200 {
		var b record.Builder
		for j := range 3 {
			value := bytes.Repeat(fmt.Appendf(nil, "value-%d-%d ", i, j), 4)
			if i%9 == 0 {
				value = nil
			}
			b.Append(now+int64(i), fmt.Appendf(nil, "key-%d", (i*7+j)%23), value, record.Header{Key: "h", Value: []byte("x")})
		}
		o := record.NewBatchOptions()
		o.Codec = codec
		producer := int64(i % 4)
		if producer > 0 {
			o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = producer, 0, sequence[producer], producer > 1
			sequence[producer] += 3
		}
		raw, err := b.Build(nil, o)
		check(t, err)
		_, err = l.AppendAsLeader(raw, int32(i/50), log.AppendOptions{})
		check(t, err)
		if i%6 == 5 {
			for producer := int64(2); producer < 4; producer++ {
				kind := record.ControlType((i / 6) % 2)
				_, err = l.AppendAsLeader(record.AppendEndTxn(nil, now+int64(i), producer, 0, record.EndTxnMarker{Type: kind, CoordinatorEpoch: 3}), int32(i/50), log.AppendOptions{Origin: log.FromCoordinator})
				check(t, err)
			}
		}
		l.SetHighWatermark(l.EndOffset())
		if compact && (i == 80 || i == 140 || i == 199) {
			stats, err := l.Clean(log.CleanOptions{})
			check(t, err)
			if stats.RecordsKept >= stats.RecordsRead {
				t.Fatalf("compaction kept all: %+v", stats)
			}
		}
	}
}

// complaints are what DumpLogSegments, or Java, says when it does not like a file.
var complaints = regexp.MustCompile(`(?i)exception|mismatch|isvalid: false|corrupt|out of order|error|not found|could not|invalid|bigger than`)

func TestKafkaReadsWhatWeWrite(t *testing.T) {
	lib := kafkaLib(t)
	dir := t.TempDir()
	e := osenv.New(osenv.Options{})
	m, err := log.OpenManager(e, &config.Broker{LogDirs: []string{dir}})
	check(t, err)
	for codec := record.None; codec <= record.Zstd; codec++ {
		interopLog(t, m, "plain-"+codec.String(), codec, false)
		interopLog(t, m, "compacted-"+codec.String(), codec, true)
	}
	check(t, m.Shutdown(true))
	count := map[string]int{}
	var files []string
	check(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		switch suffix := filepath.Ext(name); suffix {
		case ".log", ".index", ".timeindex", ".snapshot", ".txnindex":
			count[suffix]++
			files = append(files, name)
		}
		return err
	}))
	for _, suffix := range []string{".log", ".index", ".timeindex", ".snapshot", ".txnindex"} {
		if count[suffix] < 10 {
			t.Errorf("only %d files of %s", count[suffix], suffix)
		}
	}
	for _, flags := range [][]string{{"--deep-iteration", "--print-data-log"}, {"--index-sanity-check"}} {
		args := append([]string{"-Xmx256m", "-cp", lib, "kafka.tools.DumpLogSegments", "--files", strings.Join(files, ",")}, flags...)
		out, err := exec.Command("java", args...).CombinedOutput()
		lines := strings.Split(string(out), "\n")
		if err != nil {
			t.Fatalf("%v: %v\n%s", flags, err, strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
		records := 0
		for i, line := range lines {
			if strings.Contains(line, "offset:") && strings.Contains(line, "keySize:") {
				records++
			}
			gap := strings.HasPrefix(line, "Non-consecutive") && strings.Contains(line, "plain-") // compaction leaves some
			if gap || complaints.MatchString(line) {
				t.Errorf("%v: %s", flags, strings.Join(lines[max(0, i-3):min(i+6, len(lines))], "\n"))
				break
			}
		}
		t.Logf("%v: %v, %d lines, %d records", flags, count, len(lines), records)
		if slices.Contains(flags, "--deep-iteration") && records < 3500 {
			t.Errorf("%d records", records)
		}
	}
}

// interopZooKeeper is our embedded ZooKeeper on loopback, until the test ends.
func interopZooKeeper(t *testing.T) *server.Server {
	zk, err := server.New(osenv.New(osenv.Options{}), server.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir(), TickMs: 1000})
	check(t, err)
	ended := make(chan error, 1)
	go func() { ended <- zk.Run() }()
	t.Cleanup(func() { zk.Close(); <-ended })
	return zk
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// apacheKafka starts a broker of Apache Kafka and returns its address, and how to stop it; what it has printed comes with that.
func apacheKafka(t *testing.T, lib, zk, dir string, more ...string) (addr string, stop func(clean bool) string) {
	addr = freePort(t)
	properties := strings.Join(append([]string{
		"broker.id=1", "listeners=PLAINTEXT://" + addr, "log.dirs=" + dir, "zookeeper.connect=" + zk, "zookeeper.session.timeout.ms=30000",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1", "transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1", "log.cleaner.backoff.ms=200", "log.cleaner.dedupe.buffer.size=4000000",
		"log.index.interval.bytes=512", "num.recovery.threads.per.data.dir=1", "background.threads=2", "group.initial.rebalance.delay.ms=0",
	}, more...), "\n")
	file := filepath.Join(t.TempDir(), "server.properties")
	check(t, os.WriteFile(file, []byte(properties), 0o600))
	logs := filepath.Join(t.TempDir(), "log4j.properties")
	check(t, os.WriteFile(logs, []byte("log4j.rootLogger=WARN, out\nlog4j.logger.kafka.log=INFO\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"+
		"log4j.appender.out.layout=org.apache.log4j.PatternLayout\nlog4j.appender.out.layout.ConversionPattern=%p %m (%c)%n\n"), 0o600))
	cmd := exec.Command("java", "-Xmx400m", "-Dlog4j.configuration=file:"+logs, "-cp", lib, "kafka.Kafka", file)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	stop = func(clean bool) string {
		if stopped {
			return ""
		}
		stopped = true
		how := syscall.SIGKILL
		if clean {
			how = syscall.SIGTERM
		}
		_ = cmd.Process.Signal(how)
		select {
		case <-ended:
		case <-time.After(60 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		text := out.String()
		if t.Failed() {
			t.Log(text[max(0, len(text)-5000):])
		}
		return text
	}
	t.Cleanup(func() { stop(false) })
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr, stop
		}
		if time.Now().After(deadline) {
			t.Fatalf("Apache Kafka does not listen: %v\n%s", err, out.String())
		}
	}
}

func TestWeReadWhatKafkaWrites(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%t", clean), func(t *testing.T) { readKafka(t, clean) })
	}
}

func readKafka(t *testing.T, clean bool) {
	lib := kafkaLib(t)
	zk := interopZooKeeper(t)
	dir := t.TempDir()
	addr, stop := apacheKafka(t, lib, zk.Addr(), dir)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	check(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	text := func(s string) *string { return &s }
	codecs := map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(), "none": kgo.NoCompression()}
	names := []string{"gzip", "snappy", "lz4", "zstd", "none"}
	for _, name := range names {
		_, err = admin.CreateTopic(ctx, 1, 1, map[string]*string{"segment.bytes": text("8192")}, name)
		check(t, err)
		_, err = admin.CreateTopic(ctx, 1, 1, map[string]*string{"segment.bytes": text("8192"), "cleanup.policy": text("compact"), "min.cleanable.dirty.ratio": text("0.01"), "delete.retention.ms": text("100")}, "c-"+name)
		check(t, err)
	}
	for _, name := range names {
		kafkaProduce(t, ctx, addr, name, codecs[name])
	}
	time.Sleep(3 * time.Second) // the cleaner looks every 200 ms
	stop(clean)
	if clean { // our cleaner begins at the beginning
		check(t, os.Remove(filepath.Join(dir, "cleaner-offset-checkpoint")))
	}

	e := osenv.New(osenv.Options{})
	cfg := config.Default()
	cfg.LogDirs = []string{dir}
	cfg.LogCleanerEnable = false
	m, err := log.OpenManager(e, cfg)
	check(t, err)
	for _, r := range m.Recoveries() {
		if r.CutBytes > 0 || r.CutSegments > 0 || clean && !r.Clean {
			t.Errorf("%s: recovery %+v", r.TP, r.Recovery)
		}
	}
	hws := map[wire.TopicPartition]int64{}
	left := map[string]map[string]string{} // what a reader must find behind what we do here
	for _, name := range names {
		compacted := 0
		for _, topic := range []string{name, "c-" + name} {
			l := m.Get(wire.TopicPartition{Topic: topic})
			if l == nil {
				t.Fatalf("%s is not there: %v", topic, m.List())
			}
			l.SetHighWatermark(l.EndOffset())
			got := kafkaRecords(t, l)
			last := map[string]string{}
			for i := range 600 {
				key, value := fmt.Sprintf("key-%d", i%37), fmt.Sprintf("value-%d", i)
				if i%100 >= 80 { // aborted
					if _, there := got[value]; there {
						t.Errorf("%s: read_committed shows %s, which was aborted", topic, value)
					}
					continue
				}
				if _, there := got[value]; !there && topic == name {
					t.Errorf("%s: %s is missing", topic, value)
				}
				last[key] = value
			}
			for key, value := range last {
				if got[value] != key {
					t.Errorf("%s: the last of %s, %s, is missing", topic, key, value)
				}
			}
			if topic != name {
				compacted = 480 - len(got)
				l.SetConfig(config.Topic{CleanupPolicyCompact: true, SegmentBytes: 8192})
				stats, err := l.Clean(log.CleanOptions{}) // and ours goes on where Kafka's left
				check(t, err)
				if clean && stats.BytesWritten == 0 {
					t.Error("our cleaner did nothing")
				}
				again := kafkaRecords(t, l)
				for key, value := range last {
					if again[value] != key {
						t.Errorf("%s: compacted by us, the last of %s, %s, is missing", topic, key, value)
					}
				}
				t.Logf("%s: %d committed records, compacted %d, then %d by us (%+v)", topic, len(got), compacted, len(got)-len(again), stats)
				got = map[string]string{}
				for key, value := range last {
					got[value] = key
				}
			}
			left[topic] = appendOurs(t, l, got)
			hws[l.TP()] = l.EndOffset()
		}
		if compacted <= 0 {
			t.Errorf("c-%s was not compacted by Kafka: the test proves nothing about that", name)
		}
	}
	check(t, m.CheckpointHighWatermarks(hws))
	check(t, m.Shutdown(true))
	if clean { // after a kill, its session would have to expire first
		addr, stop := apacheKafka(t, lib, zk.Addr(), dir)
		for _, topic := range slices.Sorted(maps.Keys(left)) {
			kafkaGoesOn(t, ctx, addr, topic, left[topic])
		}
		said := stop(true)
		for line := range strings.Lines(said) {
			storage := strings.Contains(line, "(kafka.log") || strings.Contains(line, "storage.internals")
			if strings.HasPrefix(line, "ERROR") || strings.HasPrefix(line, "WARN") && storage || strings.Contains(line, "Recovering unflushed") {
				t.Errorf("Apache Kafka says: %s", line)
			}
		}
		if !strings.Contains(said, "(kafka.log") {
			t.Errorf("Apache Kafka says nothing of its logs, which proves nothing:\n%s", said)
		}
	}
}

// appendOurs appends to a log that Apache Kafka wrote: batches of each codec, in transactions, of which one is
// aborted. In a topic that is not compacted it deletes the first records, too. It returns what is then to be read, value to key.
func appendOurs(t *testing.T, l *log.Log, there map[string]string) map[string]string {
	want := maps.Clone(there)
	if topic := l.TP().Topic; !strings.HasPrefix(topic, "c-") {
		s, err := l.Read(l.StartOffset(), 1, math.MaxInt64, true)
		check(t, err)
		data, err := s.Bytes()
		s.Release()
		check(t, err)
		b, _, err := record.Next(data)
		check(t, err)
		for it := record.NewIterator(b, 0); it.Next(); {
			delete(want, string(it.Record().Value))
		}
		check(t, l.AdvanceStartOffset(b.NextOffset()))
	}
	const producer = 1_000_000 // of nobody
	epoch, sequence := l.LatestEpoch(), int32(0)
	for i := range 30 {
		var b record.Builder
		key, value := fmt.Sprintf("ours-%d", i), fmt.Sprintf("ours-%d", i)
		b.Append(time.Now().UnixMilli(), []byte(key), []byte(value))
		o := record.NewBatchOptions()
		o.Codec = record.Codec(i % 5)
		aborted := i/5 == 4
		if o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = producer, 0, sequence, true; !aborted {
			want[value] = key
		}
		sequence++
		raw, err := b.Build(nil, o)
		check(t, err)
		_, err = l.AppendAsLeader(raw, epoch, log.AppendOptions{})
		check(t, err)
		if i%5 == 4 {
			kind := record.ControlCommit
			if aborted {
				kind = record.ControlAbort
			}
			_, err = l.AppendAsLeader(record.AppendEndTxn(nil, time.Now().UnixMilli(), producer, 0, record.EndTxnMarker{Type: kind, CoordinatorEpoch: 1}), epoch, log.AppendOptions{Origin: log.FromCoordinator})
			check(t, err)
		}
	}
	return want
}

// kafkaGoesOn reads a topic of Apache Kafka's broker to its end and compares, read_committed, then produces one more record.
func kafkaGoesOn(t *testing.T, ctx context.Context, addr, topic string, want map[string]string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	check(t, err)
	defer client.Close()
	check(t, client.ProduceSync(ctx, kgo.KeyStringRecord("the last", "the last")).FirstErr())
	got := map[string]string{}
	for got["the last"] == "" {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			t.Fatalf("%s: %v", topic, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got[string(r.Value)] = string(r.Key)
		})
	}
	for value, key := range want {
		if got[value] != key {
			t.Errorf("%s: Apache Kafka does not have %s", topic, value)
		}
	}
	if !strings.HasPrefix(topic, "c-") && len(got) != len(want)+1 {
		t.Errorf("%s: Apache Kafka has %d records, want %d", topic, len(got), len(want)+1)
	}
}

// kafkaProduce writes 600 records in transactions of 20, the last one of every five of which is aborted, to a topic and its compacted
// twin, and some from an idempotent producer.
func kafkaProduce(t *testing.T, ctx context.Context, addr, name string, codec kgo.CompressionCodec) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("txn-"+name), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	check(t, err)
	defer client.Close()
	for i := range 600 {
		if i%20 == 0 {
			check(t, client.BeginTransaction())
		}
		for _, topic := range []string{name, "c-" + name} {
			r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%d", i%37), Value: fmt.Appendf(nil, "value-%d", i), Headers: []kgo.RecordHeader{{Key: "pad", Value: bytes.Repeat([]byte{byte(i)}, 40)}}}
			client.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("produce: %v", err)
				}
			})
		}
		if i%5 == 4 {
			check(t, client.Flush(ctx))
		}
		if i%20 == 19 {
			check(t, client.EndTransaction(ctx, kgo.TransactionEndTry(i%100 < 80)))
		}
	}
}

// kafkaRecords reads a log as read_committed does: value to key.
func kafkaRecords(t *testing.T, l *log.Log) map[string]string {
	out := map[string]string{}
	stable := l.LastStableOffset(l.EndOffset())
	if stable != l.EndOffset() {
		t.Errorf("%s: last stable offset %d, end %d", l.TP(), stable, l.EndOffset())
	}
	for next := l.StartOffset(); next < stable; {
		s, err := l.Read(next, math.MaxInt32, stable, true)
		check(t, err)
		data, err := s.Bytes()
		check(t, err)
		aborted, err := l.AbortedTransactions(s, next)
		check(t, err)
		s.Release()
		if len(data) == 0 {
			break
		}
		slices.SortFunc(aborted, func(a, b log.AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
		aborting := map[int64]bool{}
		for rest := data; len(rest) > 0; {
			var b record.Batch
			b, rest, err = record.Next(rest)
			check(t, errors.Join(err, b.Check()))
			for len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset() {
				aborting[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			next = b.NextOffset()
			if b.IsControl() {
				if m, ok, _ := b.EndTxn(); ok && m.Type == record.ControlAbort {
					delete(aborting, b.ProducerID())
				}
				continue
			}
			it := record.NewIterator(b, 0)
			for it.Next() && !aborting[b.ProducerID()] {
				out[string(it.Record().Value)] = string(it.Record().Key)
			}
			check(t, it.Err())
		}
	}
	return out
}
