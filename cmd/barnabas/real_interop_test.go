package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"barnabas/reports"
)

// passes runs a scenario and wants it to pass.
func passes(t *testing.T, name string, f runFlags) *reports.Run {
	t.Helper()
	report := realPlanOf(t, name, f).one(1)
	if report.Verdict != reports.Pass {
		t.Fatalf("%s: %s: %s", name, report.Verdict, report.Reason)
	}
	var card strings.Builder
	reports.Card(&card, report)
	t.Log("\n" + card.String())
	return report
}

// Goal: the workload and the checks run on clusters that are not the harness's: on 'barnabas up', and on Apache Kafka 3.9 if its jars are
// there (BARNABAS_KAFKA_LIB).
func TestInteropBootstrap(t *testing.T) {
	needInterop(t)
	t.Run("barnabas", func(t *testing.T) {
		c := startCluster(t)
		for _, name := range []string{"steady", "bank"} {
			passes(t, name, runFlags{real: realFlags{bootstrap: c.bootstrap, duration: 5 * time.Second}})
		}
	})
	t.Run("kafka", func(t *testing.T) {
		lib := os.Getenv("BARNABAS_KAFKA_LIB")
		if lib == "" {
			t.Skip("set BARNABAS_KAFKA_LIB to the directory of Apache Kafka's jars, or run 'make interop'")
		}
		bootstrap := startKafka(t, lib, 3)
		for _, name := range []string{"steady", "bank"} {
			passes(t, name, runFlags{real: realFlags{bootstrap: bootstrap, duration: 20 * time.Second}}) // three JVMs that have just started are slow
		}
	})
}

// Goal: a scenario of the real world passes with Apache ZooKeeper, too.
func TestInteropRealWorldApacheZooKeeper(t *testing.T) {
	needInterop(t, "java")
	if _, err := os.Stat(apacheJar); err != nil {
		t.Fatalf("%v; install Debian's package zookeeper", err)
	}
	passes(t, "leader-failover", runFlags{real: realFlags{brokers: 3, duration: 10 * time.Second, zkJar: apacheJar}})
}

// Goal: a rolling restart loses, doubles and reorders nothing, and the run measures and tells how long partitions could not be written to.
func TestInteropRealWorldMeasures(t *testing.T) {
	needInterop(t)
	report := passes(t, "rolling-restart", runFlags{real: realFlags{brokers: 3, duration: 20 * time.Second}})
	if len(report.Measures) == 0 || report.Measures[0].Samples == 0 {
		t.Errorf("measured %+v", report.Measures)
	}
}

// startKafka runs Apache Kafka in ZooKeeper mode until the test ends, and returns where.
func startKafka(t *testing.T, lib string, brokers int) string {
	t.Helper()
	zk := startApache(t)
	dir := t.TempDir()
	var addrs []string
	for id := 1; id <= brokers; id++ {
		port, err := pickPort("127.0.0.1", 0)
		if err != nil {
			t.Fatal(err)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		addrs = append(addrs, addr)
		file := filepath.Join(dir, fmt.Sprintf("server-%d.properties", id))
		text := fmt.Sprintf("broker.id=%d\nlisteners=PLAINTEXT://%s\nlog.dirs=%s\nzookeeper.connect=%s\nzookeeper.connection.timeout.ms=60000\n"+
			"offsets.topic.replication.factor=%d\noffsets.topic.num.partitions=3\ntransaction.state.log.replication.factor=%[5]d\ntransaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=3\n"+
			"group.initial.rebalance.delay.ms=0\n", id, addr, filepath.Join(dir, fmt.Sprint("logs-", id)), zk, brokers)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		log, err := os.Create(filepath.Join(dir, fmt.Sprintf("kafka-%d.txt", id)))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("java", "-Xmx512m", "-cp", filepath.Join(lib, "*"), "kafka.Kafka", file)
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
				t.Logf("Apache Kafka:\n%s", data[max(0, len(data)-2000):])
			}
		})
	}
	for _, addr := range addrs {
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("Apache Kafka does not listen on %s", addr)
			}
		}
	}
	return strings.Join(addrs, ",")
}
