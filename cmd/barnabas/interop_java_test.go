package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// javaTool is one of Apache Kafka's own tools, as 'make interop' fetches them.
func javaTool(t *testing.T, class string, args ...string) *exec.Cmd {
	t.Helper()
	lib := os.Getenv("BARNABAS_KAFKA_LIB")
	if lib == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		lib = filepath.Join(home, ".cache", "barnabas", "kafka")
	}
	if _, err := os.Stat(filepath.Join(lib, ".fetched")); err != nil {
		t.Fatalf("%v; 'make interop' fetches Kafka's jars", err)
	}
	cmd := exec.Command("java", append([]string{"-Xmx256m", "-cp", filepath.Join(lib, "*"), class}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func runJava(t *testing.T, within time.Duration, class string, args ...string) string {
	t.Helper()
	cmd := javaTool(t, class, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(within, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", class, err, out.String())
	}
	return out.String()
}

// Goal: Apache Kafka's own clients and tools work with us: VerifiableProducer writes, VerifiableConsumers of a group read every record once and commit while a broker
// gets kill -9, ConsumerGroupCommand lists and describes the group without lag, and resets its offsets.
func TestInteropKafkaGroupTools(t *testing.T) {
	needInterop(t, "java")
	const records = 20_000
	c := startCluster(t, "--topic", "orders:6:3")
	out := runJava(t, 2*time.Minute, "org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", c.bootstrap, "--topic", "orders", "--max-messages", fmt.Sprint(records), "--acks", "-1")
	acked := strings.Count(out, `"name":"producer_send_success"`)
	if acked != records {
		t.Fatalf("%d of %d records acked\n%s", acked, records, out[max(0, len(out)-2000):])
	}
	for _, strategy := range []string{"org.apache.kafka.clients.consumer.RangeAssignor", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"} {
		group := "castle-" + strategy[strings.LastIndexByte(strategy, '.')+1:]
		if read, again := verifiableConsumers(t, c, group, strategy, records); read != records || again != 0 {
			t.Errorf("%s: %d of %d records read, and %d of them again", group, read, records, again)
		}
		describe := runJava(t, time.Minute, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.bootstrap, "--describe", "--group", group)
		lag, committed := describedLag(describe)
		if lag != 0 || committed != records {
			t.Errorf("lag %d, %d committed:\n%s", lag, committed, describe)
		}
		runJava(t, time.Minute, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.bootstrap, "--reset-offsets", "--to-earliest", "--topic", "orders", "--group", group, "--execute")
		describe = runJava(t, time.Minute, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.bootstrap, "--describe", "--group", group)
		if lag, committed := describedLag(describe); lag != records || committed != 0 {
			t.Errorf("after the reset: lag %d, %d committed:\n%s", lag, committed, describe)
		}
		list := runJava(t, time.Minute, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.bootstrap, "--list", "--state")
		if !strings.Contains(list, group) || !strings.Contains(list, "Empty") {
			t.Errorf("list:\n%s", list)
		}
	}
	runJava(t, time.Minute, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.bootstrap, "--delete", "--group", "castle-RangeAssignor")
}

// verifiableConsumers runs two consumers of a group until both have read all records between them, kills a broker meanwhile, and returns how many
// were read, and how often one was that had been read before.
func verifiableConsumers(t *testing.T, c *realCluster, group, strategy string, records int) (read, again int) {
	t.Helper()
	outs := make([]*syncBuffer, 2)
	var cmds []*exec.Cmd
	for i := range outs {
		outs[i] = &syncBuffer{}
		cmd := javaTool(t, "org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", c.bootstrap, "--topic", "orders", "--group-id", group, "--reset-policy", "earliest",
			"--assignment-strategy", strategy, "--session-timeout", "10000")
		cmd.Stdout, cmd.Stderr = outs[i], outs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	total := func() (read, again int) {
		type place struct{ partition, offset int }
		seen := map[place]bool{}
		for _, o := range outs {
			for _, line := range strings.Split(o.String(), "\n") {
				var event struct {
					Name       string
					Partitions []struct{ Partition, MinOffset, MaxOffset int }
				}
				if json.Unmarshal([]byte(line), &event) != nil || event.Name != "records_consumed" {
					continue
				}
				for _, p := range event.Partitions {
					for at := p.MinOffset; at <= p.MaxOffset; at++ {
						if seen[place{p.Partition, at}] {
							again++
						}
						seen[place{p.Partition, at}] = true
					}
				}
			}
		}
		return len(seen), again
	}
	time.AfterFunc(4*time.Second, func() { c.kill("broker-3") })
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if read, _ := total(); read >= records {
			break
		}
	}
	time.Sleep(8 * time.Second) // for the broker to be back, and for the last commits
	for _, cmd := range cmds {
		cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		timer.Stop()
	}
	return total()
}

// describedLag sums CURRENT-OFFSET and LAG of ConsumerGroupCommand's table.
func describedLag(table string) (lag, committed int) {
	for _, line := range strings.Split(table, "\n") {
		f := strings.Fields(line)
		var at, behind int
		if len(f) < 6 || f[1] != "orders" {
			continue
		}
		if _, err := fmt.Sscan(f[3]+" "+f[5], &at, &behind); err == nil {
			committed, lag = committed+at, lag+behind
		}
	}
	return lag, committed
}

// syncBuffer is a buffer that a process writes and a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
