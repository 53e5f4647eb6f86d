package main

import (
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/osenv"
	"barnabas/broker/osenv/gozk"
	zklayout "barnabas/broker/zookeeper"
	"barnabas/scenarios"
)

var controlBench = flag.Bool("control-bench", false, "measure the controller on real processes (make bench-control)")

const (
	controlBrokers    = 3
	controlTopics     = 2
	controlPartitions = 1000 // of each topic
	controlSessionMs  = 3000
)

// Goal: figures of a controller with 2,000 partitions on three real brokers: creating 1,000 partitions in one request, a controlled
// shutdown, and a failover after kill -9. Method: what all brokers' metadata say, asked over and over. It bounds nothing: the figures
// are the machine's.
func TestControlInRealWorld(t *testing.T) {
	if !*controlBench {
		t.Skip("give -control-bench, or run 'make bench-control'")
	}
	w := newControlWorld(t)
	for i := range controlTopics {
		began := time.Now()
		w.create(fmt.Sprint("t", i))
		answered := time.Since(began)
		w.until("leaders of the new topic", func() bool { return w.led(i+1, 0) })
		t.Logf("%d partitions in one request: answered after %.2f s, known to all brokers after %.2f s", controlPartitions, answered.Seconds(), time.Since(began).Seconds())
	}
	w.until("every replica in its ISR", func() bool { return w.inSync(controlTopics) })

	follower := w.other(w.controller())
	began := time.Now()
	w.p.Stop(w.name(follower))
	w.until("the leaders of a broker that shuts down to move", func() bool { return w.led(controlTopics, follower) })
	moved := time.Since(began)
	w.until("its end", func() bool { return w.p.State(w.name(follower)) != running })
	t.Logf("controlled shutdown of a broker that leads a third of %d partitions: moved and known to the others after %.2f s, it ended after %.2f s", controlTopics*controlPartitions, moved.Seconds(), time.Since(began).Seconds())
	w.restart(follower)

	old := w.controller()
	began = time.Now()
	w.p.Kill(w.name(old))
	w.until("another controller", func() bool { id := w.controller(); return id > 0 && id != old })
	elected := time.Now()
	w.until("live leaders everywhere", func() bool { return w.led(controlTopics, old) })
	t.Logf("kill -9 of the controller (session %d ms): another was elected after %.2f s; %.2f s later all brokers knew live leaders of all %d partitions",
		controlSessionMs, elected.Sub(began).Seconds(), time.Since(elected).Seconds(), controlTopics*controlPartitions)
	w.restart(old)
}

type controlWorld struct {
	t  *testing.T
	p  *procs
	e  *osenv.Env
	zk zklayout.Session
}

func newControlWorld(t *testing.T) *controlWorld {
	t.Helper()
	p, err := newProcs(t.TempDir(), controlBrokers)
	if err != nil {
		t.Fatal(err)
	}
	p.binary, p.zkTick, p.level = buildBinary(t), zookeeperTick, "warn"
	t.Cleanup(func() { p.close(false) })
	w := &controlWorld{t: t, p: p, e: osenv.New(osenv.Options{Name: "bench"})}
	if err := p.Start("zk", nil); err != nil {
		t.Fatal(err)
	}
	for id := int32(1); id <= controlBrokers; id++ {
		text := fmt.Sprintf("broker.id=%d\nlisteners=PLAINTEXT://%s\nlog.dirs=%s\nzookeeper.connect=%s\nzookeeper.session.timeout.ms=%d\nauto.leader.rebalance.enable=false\nlog.index.size.max.bytes=4096\n",
			id, p.Addr(w.name(id)), p.Dir(w.name(id)), p.Addr("zk"), controlSessionMs)
		if err := p.Configure(w.name(id), text); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(w.name(id), nil); err != nil {
			t.Fatal(err)
		}
	}
	w.until("ZooKeeper", func() bool {
		w.zk, err = gozk.Open(w.e, []string{p.Addr("zk")}, controlSessionMs, w.e.Mono().Add(time.Second))
		return err == nil
	})
	t.Cleanup(func() { w.zk.Close() })
	w.until("the cluster", func() bool { return w.led(0, 0) })
	return w
}

func (w *controlWorld) name(id int32) string { return fmt.Sprintf("b%d", id) }

// until waits for pred, two minutes at most.
func (w *controlWorld) until(what string, pred func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !pred(); time.Sleep(10 * time.Millisecond) {
		if name, stack := w.p.Panicked(); name != "" {
			w.t.Fatalf("%s panicked: %s", name, stack)
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited two minutes for %s", what)
		}
	}
}

func (w *controlWorld) create(topic string) {
	w.t.Helper()
	c := client.New(w.e, client.Options{Bootstrap: []string{w.p.Addr("b1"), w.p.Addr("b2"), w.p.Addr("b3")}, ClientID: "bench", RequestTimeout: time.Minute})
	defer c.Close()
	if err := client.NewAdmin(c).CreateTopics(time.Minute, client.NewTopic{Name: topic, Partitions: controlPartitions, ReplicationFactor: controlBrokers}); err != nil {
		w.t.Fatal(err)
	}
}

// controller is who holds /controller, 0 for nobody.
func (w *controlWorld) controller() int32 {
	data, _, err := w.zk.Get(zklayout.PathController, false)
	if err != nil {
		if !errors.Is(err, zklayout.ErrNoNode) {
			w.t.Log(err)
		}
		return 0
	}
	id, err := zklayout.DecodeController(data)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// other is a broker that is not id.
func (w *controlWorld) other(id int32) int32 { return id%controlBrokers + 1 }

// led tells whether every broker but gone knows every other one, and live leaders of all partitions of so many topics.
func (w *controlWorld) led(topics int, gone int32) bool {
	return w.all(gone, func(m *kmsg.MetadataResponse) bool {
		brokers := controlBrokers
		if gone > 0 {
			brokers--
		}
		if len(m.Brokers) != brokers && gone == 0 || m.ControllerID < 0 {
			return false
		}
		return eachPartition(m, topics, func(p *kmsg.MetadataResponseTopicPartition) bool { return p.Leader >= 0 && p.Leader != gone })
	})
}

// inSync tells whether every broker knows the whole ISR of every partition.
func (w *controlWorld) inSync(topics int) bool {
	return w.led(topics, 0) && w.all(0, func(m *kmsg.MetadataResponse) bool {
		return eachPartition(m, topics, func(p *kmsg.MetadataResponseTopicPartition) bool { return len(p.ISR) == controlBrokers })
	})
}

func eachPartition(m *kmsg.MetadataResponse, topics int, ok func(p *kmsg.MetadataResponseTopicPartition) bool) bool {
	n := 0
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			if !ok(&m.Topics[i].Partitions[j]) {
				return false
			}
			n++
		}
	}
	return n == topics*controlPartitions
}

// all asks every broker but one for its metadata.
func (w *controlWorld) all(but int32, ok func(*kmsg.MetadataResponse) bool) bool {
	for id := int32(1); id <= controlBrokers; id++ {
		if id == but {
			continue
		}
		conn, err := client.Dial(w.e, w.p.Addr(w.name(id)), client.ConnOptions{ClientID: "bench", DialTimeout: time.Second, RequestTimeout: 10 * time.Second})
		if err != nil {
			return false
		}
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 9
		req.Topics = nil // all
		resp, err := conn.Do(req, 10*time.Second)
		conn.Close()
		if err != nil || !ok(resp.(*kmsg.MetadataResponse)) {
			return false
		}
	}
	return true
}

func (w *controlWorld) restart(id int32) {
	w.t.Helper()
	began := time.Now()
	if err := w.p.Start(w.name(id), nil); err != nil {
		w.t.Fatal(err)
	}
	w.until("the broker to catch up", func() bool { return w.inSync(controlTopics) })
	w.t.Logf("a broker with %d replicas starts: in every ISR after %.2f s", controlTopics*controlPartitions, time.Since(began).Seconds())
}

const running = scenarios.ProcessRunning
