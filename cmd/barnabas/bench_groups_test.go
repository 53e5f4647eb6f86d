package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/osenv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var benchGroups = flag.Bool("bench-groups", false, "run TestBenchGroups ('make bench-groups')")

const (
	benchCommitters = 50
	benchRate       = 5000 // committed offsets a second, one to a request
	benchSeconds    = 10
)

// Goal: a broker on one core takes 5,000 committed offsets a second. Method: fifty groups commit one offset a request, each a hundred times a second on its own connection, open
// loop: latency counts from when a commit was due; the broker has one core (GOMAXPROCS=1), and its CPU time is read from /proc.
func TestBenchGroups(t *testing.T) {
	if !*benchGroups {
		t.Skip("give -bench-groups, or run 'make bench-groups'")
	}
	t.Setenv("GOMAXPROCS", "1") // for the processes of up
	c := startCluster(t, "--brokers", "1", "--topic", "t:1:1")
	e := osenv.New(osenv.Options{Name: "bench-groups"})
	conns := make([]*client.Conn, benchCommitters)
	for i := range conns {
		conns[i] = committer(t, e, c.bootstrap, fmt.Sprintf("group-%d", i))
		defer conns[i].Close()
	}
	for i := range conns { // one of each, so that its group is there
		if err := commitOne(conns[i], i, 0); err != nil {
			t.Fatal(err)
		}
	}
	before, began := cpuSeconds(t, c.pids["broker-1"]), time.Now()
	var mu sync.Mutex
	var latencies []time.Duration
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			var mine []time.Duration
			gap := time.Second * benchCommitters / benchRate
			for n := range benchRate * benchSeconds / benchCommitters {
				due := began.Add(time.Duration(n)*gap + time.Duration(i)*gap/benchCommitters)
				time.Sleep(time.Until(due))
				if err := commitOne(conn, i, int64(n)); err != nil {
					t.Error(err)
					return
				}
				mine = append(mine, time.Since(due))
			}
			mu.Lock()
			latencies = append(latencies, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(began)
	cpu := cpuSeconds(t, c.pids["broker-1"]) - before
	slices.Sort(latencies)
	n := len(latencies)
	if n == 0 {
		t.Fatal("nothing was committed")
	}
	t.Logf("%d offsets in %.2f s: %.0f a second; the broker used %.2f s of CPU, %.0f %% of one core, %.0f µs a commit; latency p50 %s, p99 %s, max %s", n, took.Seconds(), float64(n)/took.Seconds(),
		cpu, 100*cpu/took.Seconds(), 1e6*cpu/float64(n), latencies[n/2], latencies[n*99/100], latencies[n-1])
	if n != benchRate*benchSeconds {
		t.Errorf("%d of %d offsets were committed", n, benchRate*benchSeconds)
	}
	if cpu > took.Seconds() {
		t.Errorf("more than one core")
	}
}

// committer connects to the broker once it coordinates the group.
func committer(t *testing.T, e *osenv.Env, bootstrap, group string) *client.Conn {
	t.Helper()
	conn, err := client.Dial(e, bootstrap, client.ConnOptions{ClientID: "bench", DialTimeout: time.Second, RequestTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKey = 3, group
		resp, err := conn.Do(req, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if r := resp.(*kmsg.FindCoordinatorResponse); r.ErrorCode == 0 && net.JoinHostPort(r.Host, fmt.Sprint(r.Port)) == bootstrap {
			return conn
		}
	}
	t.Fatalf("no coordinator of %s in half a minute", group)
	return nil
}

func commitOne(conn *client.Conn, group int, offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 8, fmt.Sprintf("group-%d", group), -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	for range 50 {
		resp, err := conn.Do(req, 10*time.Second)
		if err != nil {
			return err
		}
		switch code := resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code {
		case 0:
			return nil
		case kerr.CoordinatorLoadInProgress.Code, kerr.NotCoordinator.Code:
			time.Sleep(20 * time.Millisecond)
		default:
			return fmt.Errorf("commit of group %d: %w", group, kerr.ErrorForCode(code))
		}
	}
	return fmt.Errorf("group %d has no coordinator", group)
}

// cpuSeconds is the CPU time that a process has used, of /proc/PID/stat: fields 14 and 15, in hundredths of a second.
func cpuSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	var user, system float64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return (user + system) / 100
}
