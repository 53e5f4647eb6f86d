package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// needInterop skips unless real processes are wanted ('make interop').
func needInterop(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("BARNABAS_INTEROP") == "" {
		t.Skip("set BARNABAS_INTEROP=1, or run 'make interop'")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%v; install Debian's package %s", err, p)
		}
	}
}

// realCluster is 'barnabas up' under test.
type realCluster struct {
	t         *testing.T
	cmd       *exec.Cmd
	bootstrap string
	ready     time.Duration
	mu        sync.Mutex
	pids      map[string]int
}

// startCluster builds the binary and runs up with free ports, until the test ends.
func startCluster(t *testing.T, args ...string) *realCluster {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "barnabas")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	c := &realCluster{t: t, pids: map[string]int{}}
	c.cmd = exec.Command(binary, append([]string{"up", "--port", "0", "--zookeeper-port", "0", "--for", "10m", "--dir", filepath.Join(dir, "cluster")}, args...)...)
	var errors bytes.Buffer
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(30*time.Second, func() { c.cmd.Process.Kill() })
		defer timer.Stop()
		c.cmd.Wait()
		if t.Failed() {
			t.Log(errors.String())
			logs, _ := filepath.Glob(filepath.Join(dir, "cluster", "*", "log.txt"))
			for _, name := range logs {
				data, _ := os.ReadFile(name)
				t.Logf("%s:\n%s", filepath.Base(filepath.Dir(name)), data[max(0, len(data)-3000):])
			}
		}
	})
	go func() {
		back := regexp.MustCompile(`^(broker-\d+): pid (\d+)`)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			c.mu.Lock()
			errors.WriteString(s.Text() + "\n")
			if m := back.FindStringSubmatch(s.Text()); m != nil {
				c.pids[m[1]], _ = strconv.Atoi(m[2])
			}
			c.mu.Unlock()
		}
	}()
	lines := make(chan string, 100)
	go func() {
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	c.parse(lines)
	return c
}

// parse reads what up says when it is ready.
func (c *realCluster) parse(lines chan string) {
	c.t.Helper()
	timeout := time.After(60 * time.Second)
	last := time.Now().Add(time.Hour)
	for time.Now().Before(last) {
		select {
		case line, ok := <-lines:
			if !ok {
				c.t.Fatal("up ended before the cluster was ready")
			}
			var seconds float64
			if _, err := fmt.Sscanf(line, "ready in %f s", &seconds); err == nil {
				c.ready = time.Duration(seconds * float64(time.Second))
			}
			if rest, ok := strings.CutPrefix(line, "bootstrap: "); ok {
				c.bootstrap = rest
			}
			var name string
			var pid int
			if _, err := fmt.Sscanf(line, "process: %s pid %d", &name, &pid); err == nil {
				c.mu.Lock()
				c.pids[name] = pid
				c.mu.Unlock()
				last = time.Now().Add(200 * time.Millisecond)
			}
		case <-time.After(100 * time.Millisecond):
		case <-timeout:
			c.t.Fatal("the cluster is not ready after a minute")
		}
	}
}

// kill ends a broker's process with kill -9; up brings it back.
func (c *realCluster) kill(name string) {
	c.t.Helper()
	c.mu.Lock()
	pid := c.pids[name]
	c.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.t.Fatalf("kill -9 %s (%d): %v", name, pid, err)
	}
}

const interopRecords = 100_000

// Goal: kcat writes 100,000 records and reads the same ones back, while a broker gets kill -9 and comes back. With the
// embedded ZooKeeper, and with Apache's.
func TestInteropKcat(t *testing.T) {
	needInterop(t, "kcat")
	for _, zk := range zookeepers() {
		t.Run(zk.name, func(t *testing.T) {
			c := startCluster(t, append([]string{"--topic", "orders:3:3"}, zk.args(t)...)...)
			t.Logf("ready in %s", c.ready)
			var input strings.Builder
			for i := range interopRecords {
				fmt.Fprintf(&input, "record-%d\n", i)
			}
			produce := exec.Command("kcat", "-P", "-b", c.bootstrap, "-t", "orders", "-X", "acks=all", "-X", "enable.idempotence=true", "-X", "linger.ms=5",
				"-X", "queue.buffering.max.messages=2000")
			produce.Stdin = strings.NewReader(input.String())
			timer := time.AfterFunc(300*time.Millisecond, func() { c.kill("broker-2") })
			defer timer.Stop()
			if out, err := produce.CombinedOutput(); err != nil {
				t.Fatalf("kcat -P: %v\n%s", err, out)
			}
			out, err := exec.Command("kcat", "-C", "-b", c.bootstrap, "-t", "orders", "-e", "-q", "-o", "beginning").Output()
			if err != nil {
				t.Fatalf("kcat -C: %v", err)
			}
			sameRecords(t, strings.Split(strings.TrimSpace(string(out)), "\n"))
		})
	}
}

// Goal: franz-go writes 100,000 records with acks=all and idempotence and reads the same ones back, while a broker gets
// kill -9 and comes back.
func TestInteropFranzGo(t *testing.T) {
	needInterop(t)
	for _, zk := range zookeepers() {
		t.Run(zk.name, func(t *testing.T) {
			c := startCluster(t, append([]string{"--topic", "orders:3:3"}, zk.args(t)...)...)
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.bootstrap, ",")...), kgo.DefaultProduceTopic("orders"), kgo.RequiredAcks(kgo.AllISRAcks()))
			if err != nil {
				t.Fatal(err)
			}
			defer producer.Close()
			// The producer has its id before a broker dies: franz-go takes a connection that ends with its first request for a
			// refusal, and gives up.
			if err := producer.ProduceSync(ctx, kgo.StringRecord("record-0")).FirstErr(); err != nil {
				t.Fatal(err)
			}
			var failed error
			var mu sync.Mutex
			for i := 1; i < interopRecords; i++ {
				if i == interopRecords/3 {
					c.kill("broker-1")
				}
				producer.Produce(ctx, kgo.StringRecord(fmt.Sprintf("record-%d", i)), func(_ *kgo.Record, err error) {
					if err != nil {
						mu.Lock()
						failed = err
						mu.Unlock()
					}
				})
			}
			if err := producer.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			if failed != nil {
				t.Fatal(failed)
			}
			consumer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.bootstrap, ",")...), kgo.ConsumeTopics("orders"))
			if err != nil {
				t.Fatal(err)
			}
			defer consumer.Close()
			var got []string
			for len(got) < interopRecords {
				fetches := consumer.PollFetches(ctx)
				if ctx.Err() != nil {
					t.Fatalf("read %d of %d records", len(got), interopRecords)
				}
				fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
			}
			sameRecords(t, got)
		})
	}
}

// Goal: records go from file to socket by sendfile(2). Method: strace on a broker while kcat reads.
func TestInteropSendfile(t *testing.T) {
	needInterop(t, "kcat", "strace")
	c := startCluster(t, "--brokers", "1", "--topic", "big:1:1")
	produce := exec.Command("kcat", "-P", "-b", c.bootstrap, "-t", "big")
	produce.Stdin = strings.NewReader(strings.Repeat(strings.Repeat("x", 1000)+"\n", 5000))
	if out, err := produce.CombinedOutput(); err != nil {
		t.Fatalf("kcat -P: %v\n%s", err, out)
	}
	log := filepath.Join(t.TempDir(), "strace")
	strace := exec.Command("strace", "-f", "-e", "trace=sendfile", "-o", log, "-p", strconv.Itoa(c.pids["broker-1"]))
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pids["broker-1"])); err == nil && !strings.Contains(string(status), "TracerPid:\t0\n") {
			break
		}
	}
	if out, err := exec.Command("kcat", "-C", "-b", c.bootstrap, "-t", "big", "-e", "-q", "-o", "beginning").Output(); err != nil || bytes.Count(out, []byte("\n")) != 5000 {
		t.Errorf("kcat -C: %d lines, %v", bytes.Count(out, []byte("\n")), err)
	}
	strace.Process.Signal(syscall.SIGINT)
	strace.Wait()
	data, err := os.ReadFile(log)
	if err != nil || !bytes.Contains(data, []byte("sendfile(")) {
		t.Fatalf("no sendfile in the trace (%d bytes, %v)", len(data), err)
	}
	t.Logf("%d calls of sendfile for 5 MB", bytes.Count(data, []byte("sendfile(")))
}

// sameRecords checks that each record was read, and once.
func sameRecords(t *testing.T, got []string) {
	t.Helper()
	seen := make(map[string]int, len(got))
	for _, v := range got {
		seen[v]++
	}
	missing, double := 0, 0
	for i := range interopRecords {
		switch n := seen[fmt.Sprintf("record-%d", i)]; {
		case n == 0:
			missing++
		case n > 1:
			double++
		}
	}
	if missing+double > 0 || len(got) != interopRecords {
		t.Errorf("%d records read of %d: %d missing, %d more than once", len(got), interopRecords, missing, double)
	}
}

type zookeeper struct {
	name string
	args func(*testing.T) []string
}

// zookeepers are the embedded one, and Apache's if Debian's package is there.
func zookeepers() []zookeeper {
	list := []zookeeper{{"embedded", func(*testing.T) []string { return nil }}}
	if _, err := os.Stat(apacheJar); err == nil {
		list = append(list, zookeeper{"apache", func(t *testing.T) []string { return []string{"--zookeeper", startApache(t)} }})
	}
	return list
}

const apacheJar = "/usr/share/java/zookeeper.jar"

// startApache runs Apache ZooKeeper from Debian's package on a free port until the test ends.
func startApache(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	port, err := pickPort("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=2000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n", dir, port)
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx256m", "-cp", "/etc/zookeeper/conf:/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	log, err := os.Create(filepath.Join(dir, "log.txt"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("Apache ZooKeeper:\n%s", data[max(0, len(data)-2000):])
		}
	})
	return fmt.Sprintf("127.0.0.1:%d", port)
}
