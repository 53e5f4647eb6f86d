package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"barnabas/broker/osenv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: what a whole broker costs, beside what the machine asks for the same bytes (make bench-broker).
// Method: a real broker process and the embedded ZooKeeper as another; franz-go as the client, 1 KiB records, acks=all, one
// replica, over loopback. CPU is the broker's own, kernel included, from /proc: it says more than MB/s where client and broker
// share cores. bench_consume_test.go says how consuming is measured. Every figure is printed with its goal; BENCH_ROUNDS says how many rounds.
func TestBrokerBench(t *testing.T) {
	if os.Getenv("BARNABAS_BENCH") == "" {
		t.Skip("run 'make bench-broker'")
	}
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS")); err == nil && n > 0 {
		rounds = n
	}
	b := newBrokerBench(t)
	b.figure("first answer on a fresh directory", b.start().Seconds(), "s", 0.050, nil)
	if os.Getenv("BENCH_CONSUME") != "" {
		b.consumes(rounds)
		return
	}
	b.idle("idle, fresh", 20<<20)
	for _, size := range []struct {
		name  string
		bytes int32
	}{{"64 KiB", 64 << 10}, {"1 MiB", 1 << 20}} {
		var cpu, mbs []float64
		for range rounds {
			c, m := b.produce(size.bytes, 1<<30)
			cpu, mbs = append(cpu, c), append(mbs, m)
		}
		b.figure("produce, "+size.name+" batches: broker CPU", median(cpu), "s/GB", 1.0, cpu)
		t.Logf("    %.0f MB/s", median(mbs))
	}
	b.consumes(rounds)
	b.figure("resident memory under load, the most", float64(b.memory("VmHWM"))/(1<<20), "MiB", 150, nil)
	b.restart("clean restart, first answer", 0.050)
	b.idle("idle, after the load and a restart", 20<<20)
	b.manyPartitions(2000)
	b.idle("idle, 2,000 partitions", 0)
	b.restart("clean restart with 2,000 partitions, first answer", 2.0)
	b.idle("idle, 2,000 partitions, restarted", 0)
}

// consumes compares consuming with plain sendfile(2), by the size of the batches and with it of the answers.
func (b *brokerBench) consumes(rounds int) {
	for _, size := range []struct {
		name  string
		bytes int32
	}{{"64 KiB", 64 << 10}, {"1 MiB", 1 << 20}} {
		b.produce(size.bytes, 512<<20)
		ours, plain, framed, answer := b.consume(size.bytes, max(rounds, 9))
		var ratio, least []float64
		for i := range ours {
			ratio, least = append(ratio, ours[i]/plain[i]), append(least, framed[i]/plain[i])
		}
		b.t.Logf("consume, answers of %d bytes: %.3f s/GB %v, plain sendfile %.3f s/GB %v", answer, median(ours), round3(ours), median(plain), round3(plain))
		b.figure("consume, "+size.name+": broker CPU over plain sendfile's", median(ratio), "", 1.1, ratio)
		b.t.Logf("    of it, what a header and a few bytes behind the records cost in any case: %.3f  %v", median(least), round3(least))
	}
}

type brokerBench struct {
	t          *testing.T
	binary     string
	dir        string
	properties string
	addr       string
	socket     *os.File // that listens there, for each life of the broker
	broker     *exec.Cmd
	log        *os.File
	topics     int
}

func newBrokerBench(t *testing.T) *brokerBench {
	b := &brokerBench{t: t, dir: t.TempDir()}
	if b.binary = os.Getenv("BENCH_BINARY"); b.binary == "" { // another build, to compare
		b.binary = filepath.Join(b.dir, "barnabas")
		if out, err := exec.Command("go", "build", "-o", b.binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	zk := exec.Command(b.binary, "zookeeper", "--listen", "127.0.0.1:0", "--data", filepath.Join(b.dir, "zookeeper"))
	out, err := zk.StderrPipe()
	b.must(err)
	b.must(zk.Start())
	t.Cleanup(func() { zk.Process.Kill(); zk.Wait() })
	zkAddr := ""
	lines := bufio.NewScanner(out)
	for said := regexp.MustCompile(`zookeeper listens on (\S+)`); zkAddr == "" && lines.Scan(); {
		if m := said.FindStringSubmatch(lines.Text()); m != nil {
			zkAddr = m[1]
		}
	}
	if zkAddr == "" {
		t.Fatal("zookeeper did not say where it listens")
	}
	go io.Copy(io.Discard, out)
	b.socket, b.addr = unpaced(t)
	b.properties = filepath.Join(b.dir, "server.properties")
	b.must(os.WriteFile(b.properties, []byte("broker.id=1\nlisteners=PLAINTEXT://"+b.addr+"\nzookeeper.connect="+zkAddr+
		"\nlog.dirs="+filepath.Join(b.dir, "logs")+"\noffsets.topic.replication.factor=1\n"), 0o600))
	b.log, err = os.Create(filepath.Join(b.dir, "broker.log"))
	b.must(err)
	t.Cleanup(func() {
		if b.broker != nil {
			b.broker.Process.Kill()
			b.broker.Wait()
		}
		if t.Failed() {
			text, _ := os.ReadFile(b.log.Name())
			t.Logf("%s", text[max(0, len(text)-3000):])
		}
	})
	return b
}

func (b *brokerBench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// figure prints one of the figures to reach.
func (b *brokerBench) figure(what string, got float64, unit string, most float64, all []float64) {
	verdict := "reached"
	if got > most {
		verdict = "NOT reached"
	}
	text := fmt.Sprintf("%-60s %8.3f %-6s at most %-7g %s", what, got, unit, most, verdict)
	if len(all) > 0 {
		text += fmt.Sprintf("  %v", round3(all))
	}
	b.t.Log(text)
}

func round3(v []float64) (out []string) {
	for _, x := range v {
		out = append(out, fmt.Sprintf("%.3f", x))
	}
	return out
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// start starts the broker's process and returns how long it took until it answered ApiVersions.
func (b *brokerBench) start() time.Duration {
	b.t.Helper()
	b.broker = exec.Command(b.binary, "broker", "--config", b.properties)
	b.broker.ExtraFiles, b.broker.Env = []*os.File{b.socket}, append(os.Environ(), osenv.InheritEnv+"="+b.addr)
	b.broker.Stdout, b.broker.Stderr = b.log, b.log
	began := time.Now()
	b.must(b.broker.Start())
	for {
		if answers(b.addr) {
			return time.Since(began)
		}
		if time.Since(began) > time.Minute {
			b.t.Fatal("the broker does not answer after a minute")
		}
		time.Sleep(500 * time.Microsecond)
	}
}

// answers asks for ApiVersions v0 over a new connection.
func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255}); err != nil {
		return false
	}
	_, err = io.ReadFull(c, make([]byte, 8))
	return err == nil
}

func (b *brokerBench) restart(what string, most float64) {
	b.t.Helper()
	b.must(b.broker.Process.Signal(syscall.SIGTERM))
	began := time.Now()
	b.must(b.broker.Wait())
	stopped := time.Since(began)
	b.figure(what, b.start().Seconds(), "s", most, nil)
	b.t.Logf("    stopped in %s", stopped.Round(time.Millisecond))
}

// cpu is the CPU time of the broker's threads so far, in seconds, to the nanosecond where the kernel tells it.
func (b *brokerBench) cpu() float64 { return threadsCPU(b.t, b.broker.Process.Pid) }

// memory is a line of /proc/pid/status in bytes.
func (b *brokerBench) memory(line string) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.broker.Process.Pid))
	b.must(err)
	m := regexp.MustCompile(line + `:\s*(\d+) kB`).FindSubmatch(data)
	if m == nil {
		b.t.Fatalf("no %s in %s", line, data)
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10
}

// idle leaves the broker alone for a while. limit bounds its resident memory, 0 for no goal.
func (b *brokerBench) idle(what string, limit int64) {
	b.t.Helper()
	time.Sleep(3 * time.Second)
	before := b.cpu()
	const rest = 10 * time.Second
	time.Sleep(rest)
	b.figure(what+": CPU", (b.cpu()-before)/rest.Seconds()*100, "% core", 0.5, nil)
	if rss := float64(b.memory("VmRSS")) / (1 << 20); limit > 0 {
		b.figure(what+": resident memory", rss, "MiB", float64(limit)/(1<<20), nil)
	} else {
		b.t.Logf("%-60s %8.1f MiB", what+": resident memory", rss)
	}
}

func (b *brokerBench) client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.addr)}, opts...)...)
	b.must(err)
	return c
}

// produce sends total bytes to a topic of its own and returns the broker's CPU seconds and the MB/s.
func (b *brokerBench) produce(batch int32, total int64) (cpuPerGB, mbs float64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if b.topics > 0 { // the disk stays small
		admin := kadm.NewClient(b.client())
		_, err := admin.DeleteTopics(ctx, b.topic())
		b.must(err)
		admin.Close()
	}
	b.topics++
	admin := kadm.NewClient(b.client())
	_, err := admin.CreateTopic(ctx, 1, 1, nil, b.topic())
	b.must(err)
	admin.Close()
	c := b.client(kgo.DefaultProduceTopic(b.topic()), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(batch),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(64<<10), kgo.ProducerLinger(5*time.Millisecond))
	defer c.Close()
	b.must(c.ProduceSync(ctx, kgo.SliceRecord([]byte("first"))).FirstErr())
	value := make([]byte, 1024)
	for i := range value {
		value[i] = byte(i * 7)
	}
	var failed error
	before, began := b.cpu(), time.Now()
	for range total / int64(len(value)) {
		c.Produce(ctx, kgo.SliceRecord(value), func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	b.must(c.Flush(ctx))
	b.must(failed)
	gb := float64(total) / 1e9
	return (b.cpu() - before) / gb, gb * 1000 / time.Since(began).Seconds()
}

func (b *brokerBench) topic() string { return fmt.Sprintf("bench-%d", b.topics) }

// manyPartitions creates n partitions in topics of 100.
func (b *brokerBench) manyPartitions(n int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c := b.client()
	defer c.Close()
	began := time.Now()
	for i := range n / 100 {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = 60_000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = fmt.Sprintf("many-%d", i), 100, 1
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, c)
		b.must(err)
		if code := resp.Topics[0].ErrorCode; code != 0 {
			b.t.Fatalf("create topic: error %d", code)
		}
	}
	b.t.Logf("%d partitions created in %s", n, time.Since(began).Round(time.Millisecond))
	logs, _ := filepath.Glob(filepath.Join(b.dir, "logs", "many-*"))
	if len(logs) != n {
		b.t.Errorf("%d partitions on disk", len(logs))
	}
}
