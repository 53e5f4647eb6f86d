package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaLib is where the jars of Apache Kafka are.
func kafkaLib(t *testing.T) string {
	dir := os.Getenv("BARNABAS_KAFKA_LIB")
	if jars, _ := filepath.Glob(filepath.Join(dir, "kafka-tools-*.jar")); dir == "" || len(jars) == 0 {
		t.Skip("set BARNABAS_KAFKA_LIB to a directory with Apache Kafka's jars, or run 'make interop'")
	}
	return dir
}

// fill writes the numbers from 0 to n-1 to a topic.
func fill(t *testing.T, c *realCluster, topic string, n int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.bootstrap, ",")...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range n {
		client.Produce(ctx, kgo.StringRecord(fmt.Sprint(i)), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// committedValues reads what is committed in a topic, until n records have come and a second has brought nothing more.
func committedValues(t *testing.T, c *realCluster, topic string, n int, patience time.Duration) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.bootstrap, ",")...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var values []string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
		if len(values) >= n && fetches.NumRecords() == 0 {
			break
		}
	}
	return values
}

// eachOnce checks that every number from 0 to n-1 is there once.
func eachOnce(t *testing.T, values []string, n int) {
	t.Helper()
	count := map[string]int{}
	for _, v := range values {
		count[v]++
	}
	var bad []string
	for i := range n {
		if got := count[fmt.Sprint(i)]; got != 1 {
			bad = append(bad, fmt.Sprintf("%d: %d times", i, got))
		}
	}
	sort.Strings(bad)
	if len(bad) > 0 || len(values) != n {
		t.Errorf("%d records for %d; %d wrong: %v", len(values), n, len(bad), bad[:min(10, len(bad))])
	}
}

// Goal: Apache Kafka's own TransactionalMessageCopier, two of them in one group, with random aborts, copies every message exactly once.
func TestInteropTransactionalMessageCopier(t *testing.T) {
	needInterop(t, "java")
	lib := kafkaLib(t)
	const n = 3000
	for _, version := range []string{"0", "2"} {
		t.Run("transaction.version="+version, func(t *testing.T) {
			c := startCluster(t, "--topic", "in:3:3", "--topic", "out:3:3", "--override", "barnabas.transaction.version="+version)
			fill(t, c, "in", n)
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			var running sync.WaitGroup
			for i := range 2 {
				cmd := exec.CommandContext(ctx, "java", "-Xmx256m", "-cp", filepath.Join(lib, "*"), "org.apache.kafka.tools.TransactionalMessageCopier",
					"--broker-list", c.bootstrap, "--input-topic", "in", "--input-partition", "-1", "--output-topic", "out", "--max-messages", "-1", "--transaction-size", "97",
					"--transactional-id", fmt.Sprint("copier-", i), "--enable-random-aborts", "--group-mode", "--use-group-metadata", "--consumer-group", "copiers")
				running.Go(func() {
					if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
						t.Errorf("copier %d: %v\n%s", i, err, out[max(0, len(out)-2000):])
					}
				})
			}
			values := committedValues(t, c, "out", n, 2*time.Minute)
			cancel()
			running.Wait()
			eachOnce(t, values, n)
		})
	}
}

// Goal: franz-go copies from topic to topic in transactions, some of which it aborts, while a broker gets kill -9: every record is there once.
func TestInteropFranzGoTransactions(t *testing.T) {
	needInterop(t)
	const n = 4000
	for _, version := range []string{"0", "2"} {
		t.Run("transaction.version="+version, func(t *testing.T) {
			c := startCluster(t, "--topic", "in:3:3", "--topic", "out:3:3", "--override", "barnabas.transaction.version="+version)
			fill(t, c, "in", n)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			var running sync.WaitGroup
			for i := range 2 {
				running.Go(func() { copyInTransactions(t, ctx, c, i) })
			}
			time.Sleep(2 * time.Second)
			c.kill("broker-2")
			values := committedValues(t, c, "out", n, 90*time.Second)
			cancel()
			running.Wait()
			eachOnce(t, values, n)
		})
	}
}

// copyInTransactions is one member of the group, until ctx ends.
func copyInTransactions(t *testing.T, ctx context.Context, c *realCluster, number int) {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(strings.Split(c.bootstrap, ",")...), kgo.TransactionalID(fmt.Sprint("franz-", number)),
		kgo.ConsumerGroup("franz"), kgo.ConsumeTopics("in"), kgo.DefaultProduceTopic("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(), kgo.TransactionTimeout(20*time.Second))
	if err != nil {
		t.Error(err)
		return
	}
	defer session.Close()
	for round := 0; ctx.Err() == nil; round++ {
		fetches := session.PollRecords(ctx, 150)
		if ctx.Err() != nil {
			return
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := session.Begin(); err != nil {
			t.Errorf("begin: %v", err)
			return
		}
		fetches.EachRecord(func(r *kgo.Record) { session.Produce(ctx, kgo.StringRecord(string(r.Value)), nil) })
		try := kgo.TryCommit
		if round%4 == 3 {
			try = kgo.TryAbort
		}
		if _, err := session.End(ctx, try); err != nil && ctx.Err() == nil {
			t.Logf("end: %v", err) // it was aborted, or will be: what was read comes again
		}
	}
}
