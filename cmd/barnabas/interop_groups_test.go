package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Goal: kcat consumes as a group, commits, and the next member of the group goes on where it stopped.
func TestInteropKcatGroup(t *testing.T) {
	needInterop(t, "kcat")
	c := startCluster(t, "--topic", "orders:3:3")
	produce := func(from, to int) {
		var input strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&input, "record-%d\n", i)
		}
		cmd := exec.Command("kcat", "-P", "-b", c.bootstrap, "-t", "orders")
		cmd.Stdin = strings.NewReader(input.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kcat -P: %v\n%s", err, out)
		}
	}
	consume := func(n int) []string {
		cmd := exec.Command("kcat", "-b", c.bootstrap, "-G", "castle", "-q", "-c", fmt.Sprint(n), "-X", "auto.offset.reset=earliest", "orders")
		timer := time.AfterFunc(40*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kcat -G: %v, %d lines", err, strings.Count(string(out), "\n"))
		}
		return strings.Fields(string(out))
	}
	produce(0, 1000)
	first := consume(1000)
	produce(1000, 1500)
	second := consume(500)
	seen := map[string]bool{}
	for _, v := range append(first, second...) {
		seen[v] = true
	}
	if len(seen) != 1500 || len(first) != 1000 || len(second) != 500 {
		t.Errorf("%d and %d records read, %d different, of 1000 and 500", len(first), len(second), len(seen))
	}
}

// Goal: franz-go consumers share a topic as a group, a member leaves, and the coordinator gets kill -9; every record is read, and the committed offsets end where the logs end.
func TestInteropFranzGoGroup(t *testing.T) {
	needInterop(t)
	c := startCluster(t, "--topic", "orders:6:3")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	seeds := kgo.SeedBrokers(strings.Split(c.bootstrap, ",")...)
	producer, err := kgo.NewClient(seeds, kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for i := range interopRecords {
		producer.Produce(ctx, kgo.StringRecord(fmt.Sprintf("record-%d", i)), nil)
	}
	if err := producer.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(producer)
	var mu sync.Mutex
	seen := map[string]bool{}
	var members sync.WaitGroup
	for member := range 4 {
		members.Go(func() {
			time.Sleep(time.Duration(member) * 500 * time.Millisecond)
			k, err := kgo.NewClient(seeds, kgo.ConsumerGroup("castle"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.FetchMaxBytes(64<<10), kgo.FetchMaxPartitionBytes(16<<10), kgo.AutoCommitInterval(200*time.Millisecond), kgo.SessionTimeout(6*time.Second))
			if err != nil {
				t.Error(err)
				return
			}
			defer k.Close()
			for ctx.Err() == nil {
				poll, done := context.WithTimeout(ctx, time.Second)
				fetches := k.PollFetches(poll)
				done()
				mu.Lock()
				fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
				n := len(seen)
				mu.Unlock()
				if n == interopRecords || member == 3 && n > interopRecords/2 {
					k.CommitUncommittedOffsets(ctx) // the last member leaves half-way
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	time.Sleep(2 * time.Second)
	described, err := admin.DescribeGroups(ctx, "castle")
	if err != nil {
		t.Fatal(err)
	}
	c.kill(fmt.Sprintf("broker-%d", described["castle"].Coordinator.NodeID))
	members.Wait()
	if len(seen) != interopRecords {
		t.Fatalf("%d of %d records read", len(seen), interopRecords)
	}
	lag, err := admin.Lag(ctx, "castle")
	if err != nil || lag["castle"].Lag.Total() != 0 {
		t.Errorf("lag %d, %v", lag["castle"].Lag.Total(), err)
	}
	if _, err := admin.DeleteGroup(ctx, "castle"); err != nil {
		t.Errorf("delete the group: %v", err)
	}
}
