package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"barnabas/broker"
	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"
	zkclient "barnabas/broker/zookeeper/client"
	zkserver "barnabas/broker/zookeeper/server"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// harness is one ZooKeeper and three whole brokers in a simulated world.
type harness struct {
	t       *testing.T
	w       *cluster.World
	brokers [4]*broker.Broker // by id
	ended   [4]error
	events  []string // of brokers, "b1 kind …"
	zk      *zkserver.Server
}

func newHarness(t *testing.T, seed uint64, configure func(*config.Broker)) *harness {
	h := &harness{t: t, w: cluster.New(cluster.Options{Seed: seed})}
	t.Cleanup(h.w.Close)
	h.w.OnEmit(func(node string, ev env.Event) {
		if ev.Kind.Level >= env.Info {
			h.events = append(h.events, node+" "+ev.String())
		}
	})
	h.w.AddNode("zk", func(e env.Env) {
		s, err := zkserver.New(e, zkserver.Config{Addr: "zk:2181", DataDir: "/zk", TickMs: 500})
		if err != nil {
			t.Error(err)
			return
		}
		h.zk = s
		s.Run()
	})
	h.w.Start("zk")
	for id := 1; id <= 3; id++ {
		h.w.AddNode(name(id), func(e env.Env) {
			cfg := config.Default()
			cfg.BrokerID, cfg.ListenAddr = int32(id), name(id)+":9092"
			cfg.LogDirs, cfg.ZookeeperConnect, cfg.ZookeeperSessionMs = []string{"/data"}, []string{"zk:2181"}, 2000
			cfg.ReplicaLagTimeMax, cfg.Topic.MinInsyncReplicas = 2*time.Second, 2
			configure(cfg)
			h.brokers[id] = broker.New(broker.Options{Env: e, Config: cfg, OpenSession: zkclient.Open})
			h.ended[id] = h.brokers[id].Run()
		})
		h.w.Start(name(id))
	}
	h.until("all brokers to serve", func() bool { return h.ready(1) && h.ready(2) && h.ready(3) })
	return h
}

func name(id int) string { return fmt.Sprintf("b%d", id) }

func (h *harness) ready(id int) bool {
	return h.brokers[id] != nil && h.brokers[id].Ready() && h.w.Status(name(id)) == cluster.Running
}

func (h *harness) until(what string, pred func() bool) {
	h.t.Helper()
	r := h.w.RunUntil(func() bool { return len(h.w.Crashes()) > 0 || pred() }, h.w.Now().Add(time.Minute))
	for _, c := range h.w.Crashes() {
		h.t.Fatal(c)
	}
	if r != cluster.Satisfied {
		h.t.Fatalf("waited a minute for %s: %s\n%s", what, r, strings.Join(h.events[max(0, len(h.events)-20):], "\n"))
	}
}

// client runs f on a machine of its own until it returns.
func (h *harness) client(node string, f func(e env.Env, c *client.Client)) {
	h.t.Helper()
	done := false
	h.w.AddNode(node, func(e env.Env) {
		c := client.New(e, client.Options{Bootstrap: []string{"b1:9092", "b2:9092", "b3:9092"}, ClientID: node, DialTimeout: time.Second, RequestTimeout: 2 * time.Second})
		defer c.Close()
		f(e, c)
		done = true
	})
	h.w.Start(node)
	h.until(node, func() bool { return done })
}

var tp = wire.TopicPartition{Topic: "t", Partition: 0}

// produce writes n records, one after the other, and returns the offsets of those that were acked with acks=all.
func produce(t *testing.T, c *client.Client, n int, between func(i int)) (acked []int64) {
	p, err := client.NewProducer(c, client.ProducerOptions{Acks: client.AcksAll, Idempotent: true, DeliveryTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(time.Second)
	for i := range n {
		between(i)
		if r := p.ProduceSync(client.Record{Topic: tp.Topic, Partition: 0, Value: fmt.Appendf(nil, "value-%d", i)}); r.Outcome == client.OK {
			acked = append(acked, r.Offset)
		}
	}
	return acked
}

// drained reads a partition from its start to its end.
func drained(t *testing.T, e env.Env, c *client.Client, tp wire.TopicPartition) (offsets []int64) {
	t.Helper()
	end, err := client.NewAdmin(c).ListOffsets(tp, client.Latest, false, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	k := client.NewConsumer(c, client.ConsumerOptions{})
	defer k.Close()
	k.Assign(tp, client.Earliest)
	for deadline := e.Mono().Add(30 * time.Second); e.Mono() < deadline; {
		fetched, err := k.Poll(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			for _, r := range f.Records {
				offsets = append(offsets, r.Offset)
			}
		}
		if at, _ := k.Position(tp); at >= end.Offset {
			return offsets
		}
	}
	t.Fatalf("read %d records of %d", len(offsets), end.Offset)
	return nil
}

func create(t *testing.T, c *client.Client) {
	if err := client.NewAdmin(c).CreateTopics(20*time.Second, client.NewTopic{Name: tp.Topic, Partitions: 1, ReplicationFactor: 3}); err != nil {
		t.Fatal(err)
	}
}

// Goal: a broker that is asked to stop hands its leaderships over, stops cleanly, and has nothing to recover when it
// comes back. Method: stop each broker in turn while records are written.
func TestStopHandsOverAndLeavesNothingToRecover(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		h := newHarness(t, seed, func(*config.Broker) {})
		var acked []int64
		h.client("writer", func(e env.Env, c *client.Client) {
			create(t, c)
			acked = produce(t, c, 90, func(i int) {
				if i%30 != 15 {
					return
				}
				id := i/30 + 1
				h.brokers[id].Stop()
				for h.w.Status(name(id)) == cluster.Running {
					e.Sleep(10 * time.Millisecond)
				}
				if h.ended[id] != nil {
					t.Errorf("broker %d ended with %v", id, h.ended[id])
				}
				h.w.Start(name(id))
				for !h.ready(id) {
					e.Sleep(10 * time.Millisecond)
				}
				e.Sleep(time.Second) // back into the ISR
			})
		})
		if len(acked) != 90 {
			t.Errorf("seed %d: %d of 90 records acked", seed, len(acked))
		}
		for _, ev := range h.events {
			if strings.Contains(ev, "log-recovered") {
				t.Errorf("seed %d: %s", seed, ev)
			}
		}
		moved := slices.ContainsFunc(h.events, func(ev string) bool { return strings.Contains(ev, "controlled-shutdown remaining=0") })
		if !moved {
			t.Errorf("seed %d: no broker handed its leaderships over", seed)
		}
	}
}

// Goal: a full disk, a failing write and a failing sync take the log directory offline, end a broker that has no other,
// and lose nothing that was acked. Method: each fault strikes a broker in mid-stream; then it heals and comes back.
func TestBadDiskLosesNothingThatWasAcked(t *testing.T) {
	for _, c := range []struct {
		name string
		sync bool // every append is synced
		harm func(*disk.Disk)
	}{
		{"full", false, func(d *disk.Disk) { d.SetCapacity(max(1, d.Used())) }},
		{"write", false, func(d *disk.Disk) { d.SetFail(disk.OpWrite, true) }},
		{"sync", true, func(d *disk.Disk) { d.SetFail(disk.OpSync, true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 3; seed++ {
				h := newHarness(t, seed, func(cfg *config.Broker) {
					if c.sync {
						cfg.Topic.FlushMessages = 1
					}
				})
				victim := int(seed)
				var acked, read []int64
				h.client("writer", func(e env.Env, cl *client.Client) {
					create(t, cl)
					acked = produce(t, cl, 60, func(i int) {
						switch i {
						case 20:
							c.harm(h.w.Disk(name(victim)))
						case 40:
							for h.w.Status(name(victim)) == cluster.Running {
								e.Sleep(10 * time.Millisecond)
							}
							h.w.Disk(name(victim)).Heal()
							h.w.Start(name(victim))
							for !h.ready(victim) {
								e.Sleep(10 * time.Millisecond)
							}
						}
					})
				})
				if err := h.ended[victim]; !errors.Is(err, kerr.KafkaStorageError) {
					t.Errorf("seed %d: broker %d ended with %v, not because of its disk", seed, victim, err)
				}
				h.client("reader", func(e env.Env, cl *client.Client) { read = drained(t, e, cl, tp) })
				for _, offset := range acked {
					if !slices.Contains(read, offset) {
						t.Errorf("seed %d: offset %d was acked and is gone", seed, offset)
					}
				}
				if len(acked) < 50 {
					t.Errorf("seed %d: only %d of 60 records were acked", seed, len(acked))
				}
			}
		})
	}
}

// Goal: a broker that cannot be what its configuration says, says so and ends. Method: a log directory of another
// broker.
func TestForeignLogDirectoryIsRefused(t *testing.T) {
	h := newHarness(t, 1, func(*config.Broker) {})
	h.w.Go("operator", func(env.Env) { h.brokers[2].Stop() })
	h.until("broker 2 to stop", func() bool { return h.w.Status("b2") == cluster.Exited })
	var ended error
	h.w.SetMain("b2", func(e env.Env) {
		cfg := config.Default()
		cfg.BrokerID, cfg.ListenAddr, cfg.LogDirs, cfg.ZookeeperConnect = 9, "b2:9092", []string{"/data"}, []string{"zk:2181"}
		ended = broker.New(broker.Options{Env: e, Config: cfg, OpenSession: zkclient.Open}).Run()
	})
	h.w.Start("b2")
	h.until("broker 9 to refuse", func() bool { return h.w.Status("b2") == cluster.Exited })
	if ended == nil || !strings.Contains(ended.Error(), "broker") {
		t.Errorf("broker 9 on broker 2's directory ended with %v", ended)
	}
}
