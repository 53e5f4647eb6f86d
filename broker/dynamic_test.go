package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// set sets a config of one broker, of all with a negative id, or with "" takes it back, and lets the note in /config/changes go around.
func set(t *testing.T, e env.Env, c *client.Client, broker int32, name, value string) error {
	t.Helper()
	v := &value
	if value == "" {
		v = nil
	}
	err := client.NewAdmin(c).SetBrokerConfig(broker, name, v, 5*time.Second)
	e.Sleep(time.Second)
	return err
}

// described is what a broker says of one of its configs, or with an empty resource of that of all.
func described(t *testing.T, c *client.Client, broker int32, resource, name string) (d kmsg.DescribeConfigsResponseResourceConfig) {
	t.Helper()
	conn, err := c.Conn(broker)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeSynonyms = 4, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, resource, []string{name}
	req.Resources = append(req.Resources, r)
	resp, err := conn.Do(req, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	got := resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs
	if len(got) != 1 {
		return d
	}
	return got[0]
}

// try writes one record to a partition and returns the error.
func try(t *testing.T, c *client.Client, to wire.TopicPartition, size int, timeout time.Duration) error {
	t.Helper()
	p, err := client.NewProducer(c, client.ProducerOptions{Acks: client.AcksAll, DeliveryTimeout: timeout, RequestTimeout: timeout / 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(time.Second)
	return p.ProduceSync(client.Record{Topic: to.Topic, Partition: to.Partition, Value: make([]byte, size)}).Err
}

// Goal: what is set at run time for all brokers, or for one, which goes before it, takes effect on the next record, and DescribeConfigs
// tells where each value comes from; what is taken back is gone; what cannot be set while a broker runs is refused.
func TestBrokerConfigsTakeEffectAtRunTime(t *testing.T) {
	h := newHarness(t, 11, func(c *config.Broker) {
		if err := c.Override("log.retention.hours=24"); err != nil {
			t.Fatal(err)
		}
	})
	h.client("admin", func(e env.Env, c *client.Client) {
		create(t, c)
		leader, err := c.Leader(tp, e.Mono().Add(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		big := func() error { return try(t, c, tp, 5000, 4*time.Second) }
		for _, step := range []struct {
			broker       int32 // -1 for all
			value        string
			tooLarge     bool
			sources      string // of the value, and of what it hides
			valueInForce string
		}{
			{-1, "3000", true, "dynamic-default default", "3000"},
			{leader.Broker, "9000", false, "dynamic dynamic-default default", "9000"},
			{-1, "2000", false, "dynamic dynamic-default default", "9000"},
			{leader.Broker, "", true, "dynamic-default default", "2000"},
			{-1, "", false, "default", "1048588"},
		} {
			if err := set(t, e, c, step.broker, "message.max.bytes", step.value); err != nil {
				t.Fatal(err)
			}
			if err := big(); errors.Is(err, kerr.MessageTooLarge) != step.tooLarge || !step.tooLarge && err != nil {
				t.Errorf("%+v: 5000 bytes: %v", step, err)
			}
			d := described(t, c, leader.Broker, fmt.Sprint(leader.Broker), "message.max.bytes")
			var sources []string
			for _, s := range d.ConfigSynonyms {
				sources = append(sources, map[kmsg.ConfigSource]string{kmsg.ConfigSourceDynamicBrokerConfig: "dynamic", kmsg.ConfigSourceDynamicDefaultBrokerConfig: "dynamic-default",
					kmsg.ConfigSourceStaticBrokerConfig: "static", kmsg.ConfigSourceDefaultConfig: "default"}[s.Source])
			}
			if got := strings.Join(sources, " "); got != step.sources || *d.Value != step.valueInForce || d.ReadOnly {
				t.Errorf("%+v: %s from %s, read-only %t", step, *d.Value, got, d.ReadOnly)
			}
		}
		if d := described(t, c, 1, "1", "log.retention.ms"); len(d.ConfigSynonyms) != 2 || d.ConfigSynonyms[0].Name != "log.retention.hours" || *d.ConfigSynonyms[0].Value != "24" || *d.Value != "86400000" {
			t.Errorf("retention is %+v", d)
		}
		if d := described(t, c, 1, "1", "broker.id"); !d.ReadOnly {
			t.Error("broker.id is not read-only")
		}
		if err := set(t, e, c, -1, "log.cleaner.threads", "2"); err != nil {
			t.Error(err)
		}
		if d := described(t, c, 3, "", "log.cleaner.threads"); *d.Value != "2" || d.ConfigType != 3 || d.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig {
			t.Errorf("for all brokers: %+v", d)
		}
		for _, refused := range []struct {
			broker      int32
			name, value string
		}{
			{1, "broker.id", "7"}, {-1, "zookeeper.connect", "other:2181"}, {-1, "listeners", "PLAINTEXT://x:1"}, {1, "max.connections", "0"}, {-1, "max.connection.creation.rate", "0"}, {1, "max.connections.per.ip", "0"},
			{1, "no.such.key", "1"}, {1, "num.replica.fetchers", "0"}, {1, "num.replica.fetchers", "3"}, {-1, "num.replica.fetchers", "x"},
			{1, "log.cleaner.threads", "9"}, {-1, "num.io.threads", "3"}, {1, "log.cleaner.dedupe.buffer.size", "1000"}, {1, "min.insync.replicas", "0"},
		} {
			if err := set(t, e, c, refused.broker, refused.name, refused.value); !errors.Is(err, kerr.InvalidRequest) {
				t.Errorf("%+v: %v", refused, err)
			}
		}
		if err := set(t, e, c, -1, "num.io.threads", "4"); err != nil { // known, and without effect
			t.Error(err)
		}
	})
}

// Goal: min.insync.replicas, set at run time for all brokers, holds for a topic that was there before, and a topic's own goes before it.
func TestMinISRSetAtRunTimeHolds(t *testing.T) {
	h := newHarness(t, 12, func(*config.Broker) {})
	h.client("first", func(e env.Env, c *client.Client) {
		create(t, c)
		if err := try(t, c, tp, 10, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	})
	h.w.Crash("b3")
	h.client("second", func(e env.Env, c *client.Client) {
		e.Sleep(6 * time.Second)
		if err := try(t, c, tp, 10, 10*time.Second); err != nil {
			t.Fatal("two of three: ", err)
		}
		if err := set(t, e, c, -1, "min.insync.replicas", "3"); err != nil {
			t.Fatal(err)
		}
		if err := try(t, c, tp, 10, 4*time.Second); err == nil {
			t.Error("two replicas are enough for three")
		}
		two := "2"
		if err := client.NewAdmin(c).SetTopicConfig(tp.Topic, "min.insync.replicas", &two, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		e.Sleep(time.Second)
		if err := try(t, c, tp, 10, 10*time.Second); err != nil {
			t.Error("the topic says two: ", err)
		}
	})
}

// Goal: unclean.leader.election.enable, set at run time for all brokers, has the controller elect a replica outside of the ISR for a
// partition that had no leader until then.
func TestUncleanElectionIsAllowedAtRunTime(t *testing.T) {
	h := newHarness(t, 13, func(c *config.Broker) { c.Topic.MinInsyncReplicas = 1 })
	var leader int
	h.client("first", func(e env.Env, c *client.Client) {
		create(t, c)
		l, err := c.Leader(tp, e.Mono().Add(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		leader = int(l.Broker)
	})
	others := []int{1, 2, 3}
	others = slices.DeleteFunc(others, func(id int) bool { return id == leader })
	for _, id := range others {
		h.w.Crash(name(id))
		h.brokers[id] = nil
	}
	h.client("second", func(e env.Env, c *client.Client) { // the leader alone in the ISR
		e.Sleep(8 * time.Second)
		if err := try(t, c, tp, 10, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	})
	h.w.Crash(name(leader))
	for _, id := range others {
		h.w.Start(name(id))
	}
	h.until("the others to serve", func() bool { return h.ready(others[0]) && h.ready(others[1]) })
	h.client("third", func(e env.Env, c *client.Client) {
		if err := try(t, c, tp, 10, 10*time.Second); err == nil {
			t.Fatal("there is a leader")
		}
		if err := set(t, e, c, -1, "unclean.leader.election.enable", "true"); err != nil {
			t.Fatal(err)
		}
		if err := try(t, c, tp, 10, 10*time.Second); err != nil {
			t.Error("still no leader: ", err)
		}
	})
}

// Goal: num.replica.fetchers above one spreads the partitions of one source over as many connections, and changes while records are
// written with acks=all: none is lost or held up, and the fetchers are as many as they should be.
func TestFetchersAreResizedAtRunTime(t *testing.T) {
	for seed := uint64(14); seed < 17; seed++ {
		h := newHarness(t, seed, func(c *config.Broker) { c.NumReplicaFetchers = 2 })
		resized := func(want int, at int) {
			t.Helper()
			for _, b := range []string{"b1", "b2", "b3"} {
				i := slices.IndexFunc(h.events[at:], func(ev string) bool {
					return strings.HasPrefix(ev, b+" fetchers-resized") && strings.Contains(ev, fmt.Sprintf("per-leader=%d", want)) && strings.Contains(ev, fmt.Sprintf("all=%d", 2*want))
				})
				if i < 0 {
					t.Errorf("seed %d: %s has not %d fetchers a leader: %v", seed, b, want, slices.DeleteFunc(slices.Clone(h.events[at:]), func(ev string) bool { return !strings.Contains(ev, "fetchers-resized") }))
				}
			}
		}
		connected := func() map[string]int {
			by := map[string]int{}
			for _, ev := range h.events {
				if b, rest, ok := strings.Cut(ev, " fetcher-connected"); ok {
					by[b+rest]++
				}
			}
			return by
		}
		h.client("writer", func(e env.Env, c *client.Client) {
			if err := client.NewAdmin(c).CreateTopics(20*time.Second, client.NewTopic{Name: tp.Topic, Partitions: 24, ReplicationFactor: 3}); err != nil {
				t.Fatal(err)
			}
			e.Sleep(2 * time.Second)
			by := connected()
			if len(by) != 6 {
				t.Errorf("seed %d: fetchers connect %v", seed, by)
			}
			for who, times := range by { // unordered: each is judged by itself
				if times != 2 {
					t.Errorf("seed %d: %s connected %d times, to have two fetchers", seed, who, times)
				}
			}
			slowest := time.Duration(0)
			acked := produce(t, c, 200, func(i int) {
				at := len(h.events)
				switch i {
				case 50:
					if err := set(t, e, c, -1, "num.replica.fetchers", "4"); err != nil {
						t.Fatal(err)
					}
					resized(4, at)
				case 100:
					if err := set(t, e, c, -1, "num.replica.fetchers", "2"); err != nil {
						t.Fatal(err)
					}
					resized(2, at)
				case 120:
					if err := set(t, e, c, -1, "num.replica.fetchers", "1"); err != nil {
						t.Fatal(err)
					}
					resized(1, at)
				}
			})
			for i := range 24 {
				began := e.Mono()
				if err := try(t, c, wire.TopicPartition{Topic: tp.Topic, Partition: int32(i)}, 10, 10*time.Second); err != nil {
					t.Error(err)
				}
				slowest = max(slowest, e.Mono().Sub(began))
			}
			if len(acked) != 200 || slowest > 500*time.Millisecond {
				t.Errorf("seed %d: %d acked, the slowest later took %s", seed, len(acked), slowest)
			}
		})
	}
}

// Goal: bounds of connections, set at run time for one broker, hold at once for those that are open, and for new ones. Method: idle connections of a
// node of its own; the broker may have a few, then one of that address, then any number.
func TestConnectionBoundsAtRunTime(t *testing.T) {
	h := newHarness(t, 15, func(*config.Broker) {})
	h.client("admin", func(e env.Env, c *client.Client) {
		create(t, c)
		addr := name(2) + ":9092"
		open := func(conn env.Conn) bool {
			conn.SetReadDeadline(e.Mono().Add(100 * time.Millisecond))
			_, err := conn.Read(make([]byte, 1))
			return errors.Is(err, env.ErrTimeout)
		}
		dial := func() env.Conn {
			conn, err := e.Dial(addr, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			e.Sleep(100 * time.Millisecond)
			return conn
		}
		first, second := dial(), dial()
		if err := set(t, e, c, 2, "max.connections.per.ip.overrides", "127.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		if err := set(t, e, c, 2, "max.connections.per.ip", "1"); err != nil {
			t.Fatal(err)
		}
		if !open(first) || !open(second) {
			t.Error("a bound of addresses closes what was there before")
		}
		if open(dial()) {
			t.Error("more connections of an address than there may be")
		}
		if err := set(t, e, c, 2, "max.connections.per.ip", ""); err != nil {
			t.Fatal(err)
		}
		third := dial()
		if !open(third) {
			t.Error("the bound was taken back, and holds")
		}
		if err := set(t, e, c, 2, "max.connections", "1"); err != nil {
			t.Fatal(err)
		}
		if open(first) || open(second) {
			t.Error("connections that nobody has used stay open beyond max.connections")
		}
	})
}
