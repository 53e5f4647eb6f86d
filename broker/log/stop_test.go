package log_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// Goal: a stop of logs that nobody wrote to since they were found well costs the disk next to nothing, and so does one of logs that
// were never written; and what they hold, producers included, is there after any number of such stops, whatever power is lost
// behind them.
func TestStopsOfUntouchedLogsAreCheap(t *testing.T) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	lives := 0
	var stop int // syncs of segments in the last stop
	w.AddNode("b1", func(real env.Env) {
		lives++
		e := newCounting(real)
		cfg := brokerConfig("/data")
		m, err := log.OpenManager(e, cfg)
		if err != nil {
			panic(err)
		}
		for n := range int32(20) {
			l := create(t, m, topic("t", n), 0)
			producer := func() []byte {
				o := record.NewBatchOptions()
				o.ProducerID, o.ProducerEpoch, o.BaseSequence = 7, 0, 0
				var b record.Builder
				b.Append(1, []byte("k"), []byte("v"))
				raw, err := b.Build(nil, o)
				if err != nil {
					panic(err)
				}
				return raw
			}
			if n < 10 && lives == 1 {
				if _, err := l.AppendAsLeader(producer(), 0, log.AppendOptions{}); err != nil {
					panic(err)
				}
			}
			if n < 10 && lives > 1 {
				info, err := l.AppendAsLeader(producer(), 0, log.AppendOptions{})
				if err != nil || !info.Duplicate || l.EndOffset() != 1 {
					t.Errorf("life %d: %+v, ends at %d, %v", lives, info, l.EndOffset(), err)
				}
			}
			if n >= 10 && l.EndOffset() != 0 {
				t.Errorf("life %d: an empty log ends at %d", lives, l.EndOffset())
			}
		}
		for _, r := range m.Recoveries() {
			if !r.Clean || r.IndexesRebuilt > 0 {
				t.Errorf("life %d: %+v", lives, r)
			}
		}
		before := e.syncs
		if err := m.Shutdown(true); err != nil {
			panic(err)
		}
		stop = e.syncs - before
	})
	for range 4 {
		w.Start("b1")
		w.RunUntil(func() bool { return w.Status("b1") != cluster.Running }, env.Instant(time.Minute))
		if c := w.Crashes(); len(c) > 0 {
			t.Fatal(c[0])
		}
		if lives > 1 && stop > 0 || lives == 1 && stop < 10 {
			t.Errorf("life %d: the stop synced segments %d times", lives, stop)
		}
		w.PowerLoss("b1", disk.KeepNone)
	}
}
