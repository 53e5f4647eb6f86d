package replica_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/quota"
)

// catchUp is how long broker 3, which was down while 60 kB were written, takes to have them all. Those in sync are throttled too, and
// must not feel it: a produce with acks=all waits for them.
func catchUp(t *testing.T, throttle func(leader, follower *quota.Replication)) time.Duration {
	w := newWorld(t, 11, 0)
	w.throttle = throttle
	w.configure = func(c *config.Broker) {
		c.ReplicaFetchBytesMax = 2500
		c.Topic.Retention = -time.Millisecond // the records' timestamps are of 1970
		c.Topic.LeaderThrottledReplicas, c.Topic.FollowerThrottledReplicas = "*", "*"
	}
	for id := int32(1); id <= 3; id++ { // they begin anew with this configuration
		w.Crash(name(id))
		w.restart(id)
	}
	value := strings.Repeat("x", 1000)
	var wrote time.Duration
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2}, 1, 2)
		w.Crash("b3")
		began := e.Mono()
		w.mustProduce(e, 1, slices.Repeat([]string{value}, 60)...)
		wrote = e.Mono().Sub(began)
		w.restart(3)
		w.tell(e, 3)
	})
	if wrote > 20*time.Second {
		t.Errorf("with a replica in sync, writing took %s", wrote)
	}
	began := w.Now()
	for range 5 { // until waits for a minute at most
		if w.RunUntil(func() bool { return w.state(3).LogEndOffset == 60 }, w.Now().Add(30*time.Second)); w.state(3).LogEndOffset == 60 {
			break
		}
	}
	if end := w.state(3).LogEndOffset; end != 60 {
		t.Fatalf("broker 3 has %d of 60 records", end)
	}
	return w.Now().Sub(began)
}

// Goal: replicas that catch up do so at the rate that is set, on the leader's side or on the follower's, and those in sync at their own
// pace. Method: 60 kB at 1 kB a second, of which 10 s' worth may come at once, must take about 50 s; without a rate, moments.
func TestThrottledReplication(t *testing.T) {
	if took := catchUp(t, nil); took > 2*time.Second {
		t.Errorf("without a rate it took %s", took)
	}
	for side, throttle := range map[string]func(leader, follower *quota.Replication){
		"leader":   func(leader, _ *quota.Replication) { leader.SetRate(1000) },
		"follower": func(_, follower *quota.Replication) { follower.SetRate(1000) },
	} {
		if took := catchUp(t, throttle); took < 35*time.Second || took > 80*time.Second {
			t.Errorf("at 1 kB a second on the %s's side it took %s", side, took)
		}
	}
}
