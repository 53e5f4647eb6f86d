// Goal and method as in move_test.go; here the process, the power or a directory goes at every step of a move.

package partition_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/partition"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The process or the power goes at every step of a move in turn.
func TestMoveSurvivesCrashes(t *testing.T) {
	before, copying, after := 0, 0, 0
	for step := uint64(0); ; step++ {
		power := step%2 == 1
		w := cluster.New(cluster.Options{Seed: step})
		began, over := false, false
		var acked int64
		w.AddNode("b1", func(e env.Env) {
			m := openMover(e)
			m.lead(1)
			m.write(12)
			m.must(m.p.Log().Flush())
			m.must(m.logs.CheckpointHighWatermarks(map[wire.TopicPartition]int64{moved: 12}))
			acked, began = 12, true
			m.late = func() {
				m.write(2)
				m.must(m.p.Log().Flush())
				acked = 14
			}
			m.must(m.finish(m.begin()))
			m.write(1)
			m.must(m.p.Log().Flush())
			acked, over = 15, true
		})
		w.Start("b1")
		w.RunUntil(func() bool { return began || len(w.Crashes()) > 0 }, env.Never)
		at := w.Steps() + step
		w.RunUntil(func() bool { return w.Steps() >= at || over || len(w.Crashes()) > 0 }, env.Never)
		if power {
			w.PowerLoss("b1", disk.KeepRandom)
		} else {
			w.Crash("b1")
		}
		w.SetMain("b1", func(e env.Env) {
			m := openMover(e)
			m.check(0, acked)
			future := m.logs.Future(moved)
			switch {
			case m.p.Log().Dir() == "/data/2":
				after++
			case future == nil:
				before++
				future = m.begin()
			default:
				copying++
				m.p.SetFuture(future)
			}
			m.lead(2)
			m.write(2)
			if m.p.Log().Dir() == "/data/1" {
				m.must(m.finish(future))
			}
			m.check(0, acked)
			if m.p.Log().Dir() != "/data/2" {
				panic("it is not in /data/2")
			}
			if _, err := e.Stat("/data/2/t-3/log-dir-move"); !power && !errors.Is(err, env.ErrNotExist) && after == 0 {
				panic("the note is still there")
			}
			m.must(m.logs.Shutdown(true))
		})
		w.Start("b1")
		w.Run(env.Never)
		if c := w.Crashes(); len(c) > 0 {
			t.Fatalf("step %d, power %t: %s", step, power, c[0])
		}
		w.Close()
		if over && step > 1 {
			break
		}
	}
	t.Logf("found before the copy %d times, with a copy %d, moved %d", before, copying, after)
	if copying == 0 || after == 0 {
		t.Fatal("not both states were met")
	}
}

// Either directory breaks at every step of a move in turn; the replica is served from the other one, or not at all, and when the broken
// one is back after a crash there is one log, with everything that was written to it.
func TestMoveSurvivesAFailingDirectory(t *testing.T) {
	outcomes := map[string]int{}
	for _, broken := range []string{"/data/1", "/data/2"} {
		for step := uint64(0); ; step++ {
			w := cluster.New(cluster.Options{Seed: step})
			began, over := false, false
			var acked int64
			outcome := ""
			w.AddNode("b1", func(e env.Env) {
				m := openMover(e)
				m.lead(1)
				m.write(12)
				m.must(m.p.Log().Flush())
				acked, began = 12, true
				err := m.finish(m.begin())
				if err != nil && !errors.Is(err, kerr.KafkaStorageError) {
					panic(err)
				}
				over = err == nil
				outcome = fmt.Sprintf("broken %s, log in %s", broken, m.p.Log().Dir())
				for m.p.Log().Err() == nil && acked < 15 {
					end := m.p.Log().EndOffset()
					if _, err := m.p.AppendAsLeader(batchOf(fmt.Sprint("v", end), 77, int32(end)), partition.AppendOptions{Acks: 1, LeaderEpoch: -1}); err != nil {
						break
					}
					if m.p.Log().Flush() == nil {
						acked = end + 1
					}
				}
				for {
					e.Sleep(time.Hour)
				}
			})
			w.Start("b1")
			w.RunUntil(func() bool { return began || len(w.Crashes()) > 0 }, env.Never)
			at := w.Steps() + step
			w.RunUntil(func() bool { return w.Steps() >= at || over || len(w.Crashes()) > 0 }, env.Never)
			last := over
			w.Disk("b1").SetFailUnder(broken)
			w.RunUntil(func() bool { return len(w.Crashes()) > 0 }, w.Now().Add(time.Minute))
			if c := w.Crashes(); len(c) > 0 {
				if strings.Contains(c[0].String(), "KAFKA_STORAGE_ERROR") { // it was in begin
					outcome = "no move began"
				} else {
					t.Fatalf("step %d, %s broken: %s", step, broken, c[0])
				}
			}
			outcomes[outcome]++
			w.PowerLoss("b1", disk.KeepRandom)
			w.Disk("b1").Heal()
			ok := false
			w.SetMain("b1", func(e env.Env) {
				m := openMover(e)
				m.check(0, acked)
				if future := m.logs.Future(moved); future != nil && m.p.Log().Dir() != "/data/2" {
					m.p.SetFuture(future)
					m.lead(2)
					m.must(m.finish(future))
					m.check(0, acked)
				}
				ok = true
			})
			crashed := len(w.Crashes())
			w.Start("b1")
			w.Run(env.Never)
			if c := w.Crashes(); len(c) > crashed || !ok {
				t.Fatalf("step %d, %s broken, %s: %s", step, broken, outcome, c[len(c)-1])
			}
			w.Close()
			if last && step > 1 {
				break
			}
		}
	}
	t.Log(outcomes)
	for _, want := range []string{"broken /data/1, log in /data/1", "broken /data/1, log in /data/2", "broken /data/2, log in /data/1", "broken /data/2, log in /data/2"} {
		if outcomes[want] == 0 {
			t.Errorf("never: %s", want)
		}
	}
}
