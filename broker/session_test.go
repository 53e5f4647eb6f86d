package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
)

// expire has ZooKeeper end the session in which a broker is registered.
func (h *harness) expire(id int) {
	for _, s := range h.zk.Sessions() {
		if slices.Contains(s.Ephemerals, fmt.Sprint("/brokers/ids/", id)) {
			h.zk.ExpireSession(s.ID)
		}
	}
}

// Goal: a broker registers again however soon one session after the other ends, also while replicas are being made on it: those wait for
// a session to read their topic's configuration in, with a lock held that obeying configurations needs. Method: topics are made, and their
// configurations changed, all the time; each session of one broker ends shortly after it has registered in it. Then it is left alone, and
// must be back.
func TestSessionsThatEndSoonAfterEachOther(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		h := newHarness(t, seed, func(*config.Broker) {})
		left := 12
		h.w.OnEmit(func(node string, ev env.Event) {
			if node == name(2) && ev.Kind.Name == "broker-registered" && left > 0 {
				left--
				h.w.At(h.w.Now().Add(time.Duration(left%4*20)*time.Millisecond), func() { h.expire(2) })
			}
		})
		h.client("admin", func(e env.Env, c *client.Client) {
			admin := client.NewAdmin(c)
			h.expire(2)
			for i := 0; left > 0 && i < 100; i++ {
				topic := fmt.Sprint("x", i)
				admin.CreateTopics(time.Second, client.NewTopic{Name: topic, Partitions: 2, ReplicationFactor: 2, Configs: []client.ConfigEntry{{Name: "retention.ms", Value: "1000000"}}})
				hour := "3600000"
				admin.SetTopicConfig(topic, "retention.ms", &hour, time.Second)
			}
		})
		h.until("the broker to be back", func() bool {
			_, _, registered := h.zk.Get("/brokers/ids/2")
			return left == 0 && registered && h.ready(2)
		})
		h.w.RunFor(5 * time.Second)
		if _, _, registered := h.zk.Get("/brokers/ids/2"); !registered {
			t.Fatalf("seed %d: the broker is away again", seed)
		}
		h.w.Close()
	}
}
