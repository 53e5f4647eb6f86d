package zktest_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper/client"
	"barnabas/broker/zookeeper/server"
	"barnabas/broker/zookeeper/zktest"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// Goal: the env client and the embedded server conform in the simulated world too, where restarts are power losses.
// Method: every case in worlds of its own, with several seeds; the same seed twice gives the same hash.
func TestSimulatedPairConforms(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 1
	}
	for _, c := range zktest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			for seed := uint64(1); seed <= seeds; seed++ {
				if a, b := simulate(t, c, seed), simulate(t, c, seed); a != b {
					t.Fatalf("seed %d: hashes %x and %x", seed, a, b)
				}
			}
		})
	}
}

func simulate(t *testing.T, c zktest.Case, seed uint64) uint64 {
	t.Helper()
	w := cluster.New(cluster.Options{Seed: seed})
	defer w.Close()
	var s *server.Server
	w.AddNode("zk", func(e env.Env) {
		var err error
		s, err = server.New(e, server.Config{Addr: "zk:2181", DataDir: "/zk", TickMs: 2000, SnapshotEvery: 20})
		if err == nil {
			err = s.Run()
		}
		if err != nil {
			t.Errorf("seed %d: server: %v", seed, err)
		}
	})
	w.Start("zk")
	done := false
	w.Go("case", func(e env.Env) {
		err := c.Run(&zktest.World{
			Env: e, Open: client.Open, Server: "zk:2181", ProxyAddr: "harness:0", TickMs: 2000,
			Restart: func() error {
				w.PowerLoss("zk", disk.KeepRandom)
				w.Start("zk")
				return nil
			},
			Expire: func(id int64) { s.ExpireSession(id) },
		})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		done = true
	})
	outcome := w.RunUntil(func() bool { return done }, env.Instant(10*time.Minute))
	if crashes := w.Crashes(); len(crashes) > 0 {
		t.Fatalf("seed %d: %s", seed, crashes[0])
	}
	if !done {
		t.Fatalf("seed %d: %v\n%s", seed, outcome, w.Stuck())
	}
	return w.Hash()
}
