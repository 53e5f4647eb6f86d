// Goal: a clean stop leaves nothing to recover, however much was written, and says so; a directory that failed takes only
// its own logs with it. Method: managers on a simulated disk.
package log_test

import (
	"errors"
	"testing"

	"barnabas/broker/env"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestCleanStopRecoversNothing(t *testing.T) {
	run(t, func(e env.Env) {
		cfg := brokerConfig("/data/a", "/data/b")
		m := manager(t, e, cfg)
		m.Start()
		for p := range int32(6) {
			create(t, m, topic("castle", p), 40)
		}
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		m = manager(t, e, cfg)
		if n := len(m.Recoveries()); n != 6 {
			t.Errorf("%d logs were opened", n)
		}
		for _, r := range m.Recoveries() {
			l := m.Get(r.TP)
			if !r.Clean || r.Batches != 0 || r.Bytes != 0 || r.CutBytes != 0 || r.IndexesRebuilt != 0 {
				t.Errorf("%s: %+v", r.TP, r.Recovery)
			}
			if r.End != 40 || l.RecoveryPoint() != 40 {
				t.Errorf("%s ends at %d, durable to %d", r.TP, r.End, l.RecoveryPoint())
			}
		}
		_ = m.Shutdown(false)
		m = manager(t, e, cfg) // no marker this time: but everything is below the recovery point
		for _, r := range m.Recoveries() {
			if r.Clean || r.CutBytes != 0 || r.End != 40 || r.From == 0 {
				t.Errorf("%s: %+v", r.TP, r.Recovery)
			}
		}
	})
}

func TestFailedDirectoryTakesOnlyItsOwnLogs(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	w.AddNode("b1", func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a", "/data/b"))
		for p := range int32(4) {
			create(t, m, topic("castle", p), 5)
		}
		w.Disk("b1").SetFailUnder("/data/a")
		bad := m.Get(topic("castle", 0))
		if bad.Dir() != "/data/a" {
			t.Fatalf("castle-0 is in %s", bad.Dir())
		}
		if err := bad.Flush(); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("flush: %v", err)
		}
		for p := range int32(4) {
			l := m.Get(topic("castle", p))
			if failed := l.Err() != nil; failed != (l.Dir() == "/data/a") {
				t.Errorf("%s in %s: %v", l.TP(), l.Dir(), l.Err())
			}
		}
		if _, err := m.Host(topic("new", 0), [16]byte{1}, small, true); err != nil {
			t.Errorf("a new partition has room: %v", err)
		}
		if _, err := m.Host(topic("old", 0), [16]byte{1}, small, false); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("one that may be in the failed directory: %v", err)
		}
		dirs := m.Describe()
		if len(dirs) != 2 || dirs[0].Err == nil || dirs[1].Err != nil || len(dirs[1].Logs) != 3 {
			t.Errorf("%+v", dirs)
		}
		if err := m.Shutdown(true); err != nil && !errors.Is(err, kerr.KafkaStorageError) {
			t.Error(err)
		}
		m = manager(t, e, brokerConfig("/data/a", "/data/b")) // still broken: the other one is served
		if got := m.OfflineDirs(); len(got) != 1 || m.Get(topic("castle", 1)) == nil || m.Get(topic("castle", 0)) != nil {
			t.Errorf("offline %v, logs %v", got, m.List())
		}
	})
	w.Start("b1")
	w.RunUntil(func() bool { return w.Status("b1") != cluster.Running }, env.Never)
	if c := w.Crashes(); len(c) > 0 {
		t.Fatal(c[0])
	}
}
