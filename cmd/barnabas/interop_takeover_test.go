package main

import (
	"bytes"
	"context"
	"fmt"
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

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Goal: a broker of ours that gets kill -9 in the middle of everything leaves a directory that Apache Kafka reads: its DumpLogSegments decodes every
// record of __consumer_offsets and __transaction_state, and its broker, started on the directory in our place, recovers the logs without a complaint,
// has every record that was acked, the group's offsets, and the transaction that was open, which it ends. Then ours takes the directory
// back, from a kill -9 of Kafka's, and has what both have written. Method: one broker, our ZooKeeper, which outlives all of them.
func TestInteropKafkaTakesOver(t *testing.T) {
	needInterop(t, "java")
	lib := kafkaLib(t)
	o := newTakeover(t)
	stop := o.ours()
	want := o.write("ours", true)
	stop(syscall.SIGKILL)

	o.decode(lib, "__consumer_offsets-", "--offsets-decoder", `key: \{"type":"1","data":\{"group":"readers","topic":"in","partition":\d+\}\} payload: \{"version":"3","data":\{"offset":\d+`,
		`key: \{"type":"2","data":\{"group":"readers"\}\} payload: \{"version":"3","data":\{"protocolType":"consumer","generation":\d+`, `payload: <DELETE>`)
	o.decode(lib, "__transaction_state-", "--transaction-log-decoder", `transaction_metadata::transactionalId=writer-ours payload: producerId:\d+,producerEpoch:\d+,state=Ongoing,partitions=\[(in|out)-\d`,
		`state=PrepareAbort`, `state=CompleteCommit`)

	stop = o.kafka(lib)
	o.read("ours", want)
	theirs := o.write("theirs", true)
	said := stop(syscall.SIGKILL)
	for line := range strings.Lines(said) {
		storage := strings.Contains(line, "(kafka.log") || strings.Contains(line, "storage.internals")
		if strings.HasPrefix(line, "ERROR") || strings.HasPrefix(line, "WARN") && storage {
			t.Errorf("Apache Kafka says: %s", line)
		}
	}
	if !strings.Contains(said, "Recovering unflushed segment") {
		t.Errorf("Apache Kafka did not recover, which proves nothing:\n%s", said)
	}

	stop = o.ours()
	o.read("theirs", append(want, theirs...))
	stop(syscall.SIGTERM)
}

// takeover is a broker's place in a cluster: its address, its directory, and a ZooKeeper.
type takeover struct {
	t            *testing.T
	binary       string
	zk, addr     string
	dir, scratch string
}

func newTakeover(t *testing.T) *takeover {
	dir := t.TempDir()
	o := &takeover{t: t, binary: buildBinary(t), zk: freeAddr(t), addr: freeAddr(t), dir: filepath.Join(dir, "data"), scratch: dir}
	o.start(exec.Command(o.binary, "zookeeper", "--listen", o.zk, "--data", filepath.Join(dir, "zk"), "--tick", "1s"), o.zk)
	return o
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a process until it listens; stop ends it, once, and returns what it has said.
func (o *takeover) start(cmd *exec.Cmd, addr string) (stop func(syscall.Signal) string) {
	o.t.Helper()
	var out syncBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	stopped := false
	stop = func(how syscall.Signal) string {
		if stopped {
			return ""
		}
		stopped = true
		cmd.Process.Signal(how)
		timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		cmd.Wait()
		said := out.String()
		if o.t.Failed() {
			o.t.Logf("%s:\n%s", filepath.Base(cmd.Path), said[max(0, len(said)-4000):])
		}
		return said
	}
	o.t.Cleanup(func() { stop(syscall.SIGKILL) })
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return stop
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("%s does not listen: %v\n%s", cmd.Path, err, out.String())
		}
	}
}

// properties writes the configuration that both brokers take.
func (o *takeover) properties() string {
	name := filepath.Join(o.scratch, "server.properties")
	text := strings.Join([]string{"broker.id=1", "listeners=PLAINTEXT://" + o.addr, "log.dirs=" + o.dir, "zookeeper.connect=" + o.zk, "zookeeper.session.timeout.ms=4000",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=2", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=2", "num.partitions=2", "default.replication.factor=1", "log.index.interval.bytes=512", "log.segment.bytes=20000",
		"group.initial.rebalance.delay.ms=0", "auto.create.topics.enable=true", ""}, "\n")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return name
}

// gone waits until the registration of the broker that was killed is over: Kafka's would not start.
func (o *takeover) gone() { time.Sleep(6 * time.Second) }

func (o *takeover) ours() (stop func(syscall.Signal) string) {
	if _, err := os.Stat(o.dir); err == nil {
		o.gone()
	}
	return o.start(exec.Command(o.binary, "broker", "--config", o.properties()), o.addr)
}

func (o *takeover) kafka(lib string) (stop func(syscall.Signal) string) {
	o.gone()
	logs := filepath.Join(o.scratch, "log4j.properties")
	if err := os.WriteFile(logs, []byte("log4j.rootLogger=WARN, out\nlog4j.logger.kafka.log=INFO\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n"+
		"log4j.appender.out.layout=org.apache.log4j.PatternLayout\nlog4j.appender.out.layout.ConversionPattern=%p %m (%c)%n\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return o.start(exec.Command("java", "-Xmx400m", "-Dlog4j.configuration=file:"+logs, "-cp", filepath.Join(lib, "*"), "kafka.Kafka", o.properties()), o.addr)
}

// write has a group read, and commit, and a producer write transactions: committed ones, whose values it returns, an aborted one, and one that stays open. Every
// value begins with the name.
func (o *takeover) write(name string, open bool) (committed []string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	must := func(what string, err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatalf("%s: %s: %v", name, what, err)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(o.addr), kgo.TransactionalID("writer-"+name), kgo.AllowAutoTopicCreation(), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	must("client", err)
	defer client.CloseAllowingRebalance()
	const transactions = 12
	for i := range transactions {
		must("begin", client.BeginTransaction())
		for j := range 100 {
			value := fmt.Sprintf("%s-%d-%d-%s", name, i, j, strings.Repeat("x", 100))
			for _, topic := range []string{"in", "out"} {
				client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(value[:9]), Value: []byte(value)}, func(_ *kgo.Record, err error) {
					if err != nil {
						o.t.Errorf("%s: produce: %v", name, err)
					}
				})
			}
			if i != 5 && i < transactions-1 {
				committed = append(committed, value)
			}
		}
		must("flush", client.Flush(ctx))
		if i == transactions-1 && open {
			break
		}
		must("end", client.EndTransaction(ctx, kgo.TransactionEndTry(i != 5)))
		if i == 8 {
			o.group(ctx, name, len(committed))
		}
	}
	return committed
}

// group reads the topic "in" as the group "readers" up to where it was written, commits, and has a second group come and go.
func (o *takeover) group(ctx context.Context, name string, n int) {
	o.t.Helper()
	for _, group := range []string{"readers", "gone-" + name} {
		client, err := kgo.NewClient(kgo.SeedBrokers(o.addr), kgo.ConsumerGroup(group), kgo.ConsumeTopics("in"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			o.t.Fatal(err)
		}
		for read := 0; read < n; {
			fetches := client.PollFetches(ctx)
			if ctx.Err() != nil {
				o.t.Fatalf("%s has read %d of %d", group, read, n)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if strings.HasPrefix(string(r.Value), name) {
					read++
				}
			})
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			o.t.Fatalf("commit: %v", err)
		}
		client.Close()
		if group != "readers" {
			if _, err := kadm.NewClient(o.client()).DeleteGroups(ctx, group); err != nil {
				o.t.Fatalf("delete group: %v", err)
			}
		}
	}
}

func (o *takeover) client(opts ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(o.addr)}, opts...)...)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(client.Close)
	return client
}

// read checks that a broker has the values, in both topics and no others, the group's offsets, and that the transactions that name left open can be ended:
// until then a reader of what is committed does not see what came behind them.
func (o *takeover) read(name string, want []string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	again := o.client(kgo.TransactionalID("writer-"+name), kgo.AllowAutoTopicCreation()) // whoever asks for the id anew ends its open transaction
	if err := again.BeginTransaction(); err != nil {
		o.t.Fatal(err)
	}
	if err := again.ProduceSync(ctx, &kgo.Record{Topic: "end", Value: []byte(name)}).FirstErr(); err != nil {
		o.t.Fatalf("the transactional id is not known: %v", err)
	}
	if err := again.EndTransaction(ctx, kgo.TryCommit); err != nil {
		o.t.Fatal(err)
	}
	for _, topic := range []string{"in", "out"} {
		got := map[string]int{}
		client := o.client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for quiet := 0; quiet < 2 && ctx.Err() == nil; {
			short, done := context.WithTimeout(ctx, time.Second)
			fetches := client.PollFetches(short)
			done()
			fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)]++ })
			if quiet++; fetches.NumRecords() > 0 {
				quiet = 0
			}
		}
		for _, value := range want {
			if got[value] != 1 {
				o.t.Fatalf("%s: %.20s is there %d times; %d values, want %d", topic, value, got[value], len(got), len(want))
			}
		}
		if len(got) != len(want) {
			o.t.Errorf("%s: %d values, want %d", topic, len(got), len(want))
		}
	}
	admin := kadm.NewClient(o.client())
	offsets, err := admin.FetchOffsets(ctx, "readers")
	if err != nil || len(offsets["in"]) != 2 {
		o.t.Fatalf("offsets of the group: %v, %v", offsets, err)
	}
	for p, at := range offsets["in"] {
		if at.Err != nil || at.At <= 0 {
			o.t.Errorf("in-%d: offset %d, %v", p, at.At, at.Err)
		}
	}
	groups, err := admin.ListGroups(ctx)
	if names := groups.Groups(); err != nil || !slices.Equal(names, []string{"readers"}) {
		o.t.Errorf("groups %v, %v", names, err)
	}
}

// undecoded is what DumpLogSegments says of a record or a batch that it does not like.
var undecoded = regexp.MustCompile(`(?i)exception|mismatch|isvalid: false|skipping|corrupt|out of order|not found|could not|unknown`)

// decode has DumpLogSegments print the records of an internal topic with a decoder: all of them can be, and each pattern is met.
func (o *takeover) decode(lib, topic, decoder string, patterns ...string) {
	o.t.Helper()
	files, err := filepath.Glob(filepath.Join(o.dir, topic+"*", "*.log"))
	if err != nil || len(files) == 0 {
		o.t.Fatalf("files of %s: %v, %v", topic, files, err)
	}
	cmd := exec.Command("java", "-Xmx256m", "-cp", filepath.Join(lib, "*"), "kafka.tools.DumpLogSegments", "--files", strings.Join(files, ","), decoder, "--deep-iteration")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s: %v\n%s", decoder, err, out[max(0, len(out)-3000):])
	}
	records := 0
	for line := range bytes.Lines(out) {
		if undecoded.Match(line) {
			o.t.Errorf("%s: %s", decoder, line)
		}
		if bytes.Contains(line, []byte(" key")) {
			records++
		}
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).Match(out) {
			o.t.Errorf("%s: nothing like %s\n%s", decoder, p, out[max(0, len(out)-3000):])
		}
	}
	o.t.Logf("%s: %d records", decoder, records)
}
