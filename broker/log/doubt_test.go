package log_test

import (
	"fmt"
	"math"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// Goal: what a failed sync dropped is written again by the next life that finds it in the page cache, before it counts as durable, so that no
// power loss takes what is below the recovery point; be the sync one of the log, or one of that recovery; over several segments, and only in the
// directory that failed. Method: a life appends and fails to sync; the next may fail at recovery; the one after syncs, and the power goes.
func TestFailedSyncIsMadeGoodByTheNextLife(t *testing.T) {
	for _, recoveryFails := range []bool{false, true} {
		t.Run(fmt.Sprintf("recovery fails %t", recoveryFails), func(t *testing.T) {
			w := cluster.New(cluster.Options{Seed: 1})
			defer w.Close()
			var want []string
			lives := []func(e env.Env){
				func(e env.Env) {
					m := manager(t, e, brokerConfig("/data/a", "/data/b"))
					l := create(t, m, topic("t", 0), 0)
					for i := range 40 { // segments of a few records
						v := fmt.Sprintf("v%d", i)
						_, err := l.AppendAsLeader(build(v, 1, nil), 0, log.AppendOptions{})
						check(t, err)
						want = append(want, v+"-0")
					}
					w.Disk("b1").SetFail(disk.OpSync, true)
					if err := l.Flush(); err == nil {
						t.Error("the sync did not fail")
					}
				},
				func(e env.Env) {
					if !recoveryFails {
						w.Disk("b1").Heal()
					}
					m, err := log.OpenManager(e, brokerConfig("/data/a", "/data/b"))
					w.Disk("b1").Heal()
					if recoveryFails {
						if err == nil && m.Get(topic("t", 0)) != nil {
							t.Error("recovery did not fail")
						}
						return
					}
					check(t, err)
				},
				func(e env.Env) {
					m := manager(t, e, brokerConfig("/data/a", "/data/b"))
					check(t, m.Get(topic("t", 0)).Flush())
					check(t, m.CheckpointRecoveryPoints())
					for _, dir := range []string{"/data/a", "/data/b"} {
						if _, err := e.Stat(dir + "/.barnabas_failed"); err == nil {
							t.Errorf("%s is under suspicion still", dir)
						}
					}
				},
				func(e env.Env) {
					m := manager(t, e, brokerConfig("/data/a", "/data/b"))
					l := m.Get(topic("t", 0))
					if l == nil || l.EndOffset() != 40 {
						t.Fatalf("the log is %v", l)
					}
					for offset, v := range want {
						s, err := l.Read(int64(offset), 1, math.MaxInt64, true)
						check(t, err)
						data, err := s.Bytes()
						s.Release()
						check(t, err)
						b, _, err := nextBatch(data)
						check(t, err)
						if b.ComputeCRC() != b.CRC() || b.BaseOffset() != int64(offset) {
							t.Fatalf("offset %d, %s, is damaged", offset, v)
						}
					}
				},
			}
			n := 0
			w.AddNode("b1", func(e env.Env) { lives[n](e) })
			for n = range lives {
				if n == len(lives)-1 {
					w.PowerLoss("b1", disk.KeepNone)
				}
				w.Start("b1")
				w.Run(env.Never)
				if c := w.Crashes(); len(c) > 0 {
					t.Fatalf("life %d: %v", n+1, c[0])
				}
			}
		})
	}
}
