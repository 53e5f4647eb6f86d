package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"barnabas/broker"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	zkclient "barnabas/broker/zookeeper/client"
	"barnabas/sim/cluster"
)

// Goal: a broker that finds no ZooKeeper ends within its zookeeper.connection.timeout.ms, says what it looked for and which key bounds it,
// and lets go of its log directories. Method: nobody listens at the address, and a machine that is cut off; the time is the simulator's.
func TestUnreachableZooKeeperEndsTheStart(t *testing.T) {
	for _, cut := range []bool{false, true} {
		w := cluster.New(cluster.Options{Seed: 1})
		t.Cleanup(w.Close)
		w.AddNode("zk", func(env.Env) {})
		var ended, second, after error
		var took time.Duration
		done := false
		w.AddNode("b1", func(e env.Env) {
			cfg := config.Default()
			for _, text := range []string{"broker.id=1", "listeners=PLAINTEXT://b1:9092", "log.dirs=/data", "zookeeper.connect=zk:2181",
				"zookeeper.session.timeout.ms=18000", "zookeeper.connection.timeout.ms=3000"} {
				if err := cfg.Override(text); err != nil {
					t.Error(err)
				}
			}
			e.Go("second", func() {
				e.Sleep(time.Second)
				_, second = log.OpenManager(e, cfg)
			})
			began := e.Mono()
			ended = broker.New(broker.Options{Env: e, Config: cfg, OpenSession: zkclient.Open, ConnectTimeout: cfg.ConnectTimeout()}).Run()
			took = e.Mono().Sub(began)
			var logs *log.Manager
			if logs, after = log.OpenManager(e, cfg); after == nil {
				after = logs.Shutdown(true)
			}
			done = true
		})
		if cut {
			w.Partition([]string{"b1"}, []string{"zk"}, false)
		}
		w.Start("zk")
		w.Start("b1")
		if r := w.RunUntil(func() bool { return done }, w.Now().Add(time.Minute)); r != cluster.Satisfied {
			t.Fatalf("cut off %t: the broker waits: %s", cut, r)
		}
		if took < 2*time.Second || took > 4*time.Second {
			t.Errorf("cut off %t: ended after %s, want about 3 s", cut, took)
		}
		for _, want := range []string{"ZooKeeper", "zk:2181", "zookeeper.connection.timeout.ms", "3s"} {
			if ended == nil || !strings.Contains(ended.Error(), want) {
				t.Errorf("cut off %t: ended with %v, which does not say %q", cut, ended, want)
			}
		}
		if !errors.Is(second, env.ErrLocked) || after != nil {
			t.Errorf("cut off %t: the directory is had twice (%v), or is not free afterwards (%v)", cut, second, after)
		}
	}
}
