package broker_test

import (
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// Goal: each registration of a broker says since which one it has lost nothing. Method: a broker with two log directories ends in all
// ways that there are, loses its session, and a directory; it tells in the trace what it has registered.
func TestBrokerSaysSinceWhenItIsIntact(t *testing.T) {
	mistaken := false // the next start is one of broker 9, with the directories of broker 1
	h := newHarness(t, 1, func(c *config.Broker) {
		if mistaken {
			c.BrokerID = 9
		}
		c.EligibleLeaderReplicas, c.LogDirs = true, []string{"/data/1", "/data/2"}
		c.ReplicaHighWatermarkCheckpoint, c.LogFlushOffsetCheckpoint = 200*time.Millisecond, 200*time.Millisecond
	})
	var epochs, sinces []int64
	h.w.OnEmit(func(node string, ev env.Event) {
		if node == "b1" && ev.Kind.Name == "broker-intact" {
			epochs, sinces = append(epochs, ev.V[1]), append(sinces, ev.V[2])
		}
	})
	// registers waits for the next registration, and for what it leaves on the disks; it returns the epoch.
	registers := func(how string, want func(epoch int64) int64) int64 {
		t.Helper()
		n := len(epochs)
		h.until("broker 1 to register after "+how, func() bool { return len(epochs) > n && h.ready(1) })
		h.w.RunFor(time.Second)
		epoch, since := epochs[n], sinces[n]
		if since != want(epoch) {
			t.Errorf("after %s it is intact since %d in epoch %d, want %d", how, since, epoch, want(epoch))
		}
		return epoch
	}
	now := func(epoch int64) int64 { return epoch }
	since := func(epoch int64) func(int64) int64 { return func(int64) int64 { return epoch } }
	start := func(end func()) {
		end()
		h.w.Start("b1")
	}
	stop := func() {
		h.w.Go("operator", func(env.Env) { h.brokers[1].Stop() })
		h.until("broker 1 to stop", func() bool { return h.w.Status("b1") == cluster.Exited })
	}

	start(func() { h.w.PowerLoss("b1", disk.KeepAll) })
	first := registers("a power loss", now)
	start(func() { h.w.Crash("b1") })
	registers("the end of its process", since(first))
	h.w.Pause("b1")
	h.w.RunFor(5 * time.Second)
	h.w.Resume("b1")
	registers("the end of its session", since(first))
	start(func() { stop(); h.w.PowerLoss("b1", disk.KeepNone) })
	registers("a clean stop and a power loss", since(first))
	start(func() {
		stop()
		mistaken = true
		h.w.Start("b1")
		h.until("broker 9 to be refused", func() bool { return h.w.Status("b1") == cluster.Exited })
		if h.ended[1] == nil {
			t.Error("broker 9 took the directories of broker 1")
		}
		mistaken = false
		h.w.PowerLoss("b1", disk.KeepNone)
	})
	registers("a clean stop, a start that was refused, and a power loss", since(first))

	h.client("writer", func(e env.Env, c *client.Client) {
		create(t, c)
		h.w.Disk("b1").SetFailUnder("/data/1")
		produce(t, c, 10, func(int) {})
	})
	failed := func() bool { return strings.Contains(strings.Join(h.events, "\n"), "b1 log-dir-offline") }
	h.until("a directory to fail", failed)
	h.w.Disk("b1").Heal()
	if h.w.Status("b1") == cluster.Running { // the other directory has not failed
		h.w.Pause("b1")
		h.w.RunFor(5 * time.Second)
		h.w.Resume("b1")
		registers("a failure, in another session", now)
		h.w.Crash("b1")
	}
	h.w.Start("b1")
	again := registers("a failure, in another life", now)
	start(func() { h.w.Crash("b1") })
	registers("the end of that life", since(again))
}
