// Goal: the producers' state that a restart begins from is there after a power loss, and right after a compaction.
// Method: a stop between a roll and the next, and snapshots taken away by hand.
package log_test

import (
	"errors"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// A snapshot that was taken at a roll is durable once the sealed segment is: Kafka, too, syncs both then.
func TestSnapshotsOfRollsSurviveAPowerLoss(t *testing.T) {
	for _, every := range []int64{0, 1} { // flush.messages
		w := cluster.New(cluster.Options{Seed: 1})
		defer w.Close()
		var rolled []string
		lives, filled := 0, false
		w.AddNode("b1", func(e env.Env) {
			lives++
			if lives > 1 {
				for _, name := range rolled {
					data, err := env.ReadFile(e, home+name, 1<<20)
					if err != nil {
						panic(err)
					}
					if len(data) != 10+46 {
						t.Errorf("flush.messages=%d: %s has %d bytes", every, name, len(data))
					}
				}
				lives++
				return
			}
			if err := errors.Join(e.MkdirAll("/data"), e.SyncDir("/")); err != nil { // as the manager does
				panic(err)
			}
			f := open(t, e, func(o *log.Options) { o.Config.FlushMessages = every })
			for i := range 60 {
				_, err := f.sent(1, 0, int32(i), 1)
				f.must(err)
				if n := len(f.files(".snapshot")); n > len(rolled) { // each by itself, as in the background
					f.must(f.FlushSealed())
					rolled = f.files(".snapshot")
				}
			}
			filled = true
		})
		w.Start("b1")
		w.RunUntil(func() bool { return filled || len(w.Crashes()) > 0 }, env.Never)
		w.PowerLoss("b1", disk.KeepNone)
		w.Start("b1")
		w.RunUntil(func() bool { return lives > 2 || len(w.Crashes()) > 0 }, env.Never)
		if c := w.Crashes(); len(c) > 0 || len(rolled) < 3 {
			t.Fatalf("%d snapshots, %v", len(rolled), c)
		}
	}
}

// The cleaner removes the marker of a transaction of which nothing is left. A snapshot from before the marker, which
// is used when the later ones are lost, must not keep that transaction open for ever.
func TestTransactionWhoseMarkerWasCleanedIsNotOpen(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config = compact; o.Config.DeleteRetention = 0 })
		txn := func(id int64, sequence int32) {
			_, err := f.AppendAsLeader(build("t", 2, func(o *record.BatchOptions) {
				o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = id, 0, sequence, true
			}), 0, log.AppendOptions{})
			f.must(err)
		}
		abort := func(id int64) {
			_, err := f.AppendAsLeader(record.AppendEndTxn(nil, 1, id, 0, record.EndTxnMarker{Type: record.ControlAbort}), 0, log.AppendOptions{Origin: log.FromCoordinator})
			f.must(err)
		}
		txn(1, 0)
		f.reopen(true) // its snapshot knows the transaction as open
		old := f.files(".snapshot")
		abort(1)
		_, err := f.sent(1, 0, 2, 1) // so that the cleaner need not keep anything of the transaction for the producer
		f.must(err)
		for range 6 {
			put(t, f.Log, 1000, keys(12), "v")
			e.Sleep(time.Millisecond)
			_, err := f.Clean(log.CleanOptions{})
			f.must(err)
		}
		txn(2, 0)
		f.SetHighWatermark(f.EndOffset())
		open := f.EndOffset() - 2
		f.must(f.Flush())
		for _, name := range f.files(".snapshot") {
			if name != old[0] {
				f.must(f.Remove(home + name))
			}
		}
		f.reopen(false)
		f.SetHighWatermark(f.EndOffset())
		if got := f.LastStableOffset(f.EndOffset()); got != open {
			t.Errorf("last stable offset is %d, the only open transaction begins at %d", got, open)
		}
		if s, err := f.Read(0, 200, f.EndOffset(), true); err != nil {
			t.Error(err)
		} else {
			s.Release()
		}
		f.reopen(true)
		f.reopen(true)
		if strays := f.files(".snapshot"); len(strays) != 1 { // of clean stops, the newest
			t.Errorf("snapshots %v, with segments %v", strays, f.files(".log"))
		}
	})
}
