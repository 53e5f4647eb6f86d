package log_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Goal: no file of a log directory that is cut short keeps a record from being found again: checkpoints, indexes, snapshots and the marker are made
// anew or done without, and said to be broken where that is so; meta.properties alone keeps the broker from starting, as nobody could then tell whose the directory is.
// Method: a directory with all the files that there are, behind a clean stop and behind none; each file cut at each length, or, if it is long, at some, and without it.
func TestFilesCutShort(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a"))
		if err := m.SetMeta(log.Meta{ClusterID: "kZxq", BrokerID: 2}); err != nil {
			t.Fatal(err)
		}
		tp := topic("a", 0)
		l := create(t, m, tp, 40)
		f := &fixture{t: t, Env: e, Log: l}
		for _, abort := range []record.ControlType{record.ControlCommit, record.ControlAbort} {
			_, err := l.AppendAsLeader(build("t", 1, func(o *record.BatchOptions) {
				o.ProducerID, o.BaseSequence, o.Transactional = int64(abort), 0, true
				o.ProducerEpoch = 0
			}), 4, log.AppendOptions{})
			f.must(err)
			_, err = l.AppendAsLeader(record.AppendEndTxn(nil, 1, int64(abort), 0, record.EndTxnMarker{Type: abort}), 4, log.AppendOptions{Origin: log.FromCoordinator})
			f.must(err)
		}
		l.SetHighWatermark(l.EndOffset())
		if err := l.AdvanceStartOffset(5); err != nil {
			t.Fatal(err)
		}
		start, end := l.StartOffset(), l.EndOffset()
		for _, clean := range []bool{true, false} {
			if err := errors.Join(m.CheckpointHighWatermarks(map[wire.TopicPartition]int64{tp: end}), m.Shutdown(clean)); err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, dir := range []string{"/data/a", "/data/a/a-0"} {
				entries, err := e.ReadDir(dir)
				f.must(err)
				for _, entry := range entries {
					if !entry.IsDir {
						files[path.Join(dir, entry.Name)] = content(t, e, path.Join(dir, entry.Name))
					}
				}
			}
			tried := 0
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if path.Ext(name) == ".log" {
					continue // TestTornTailIsCut
				}
				step := max(1, len(files[name])/40)
				for cut := -1; cut < len(files[name]); cut += step { // -1: gone
					restore(f, "/data/a", files)
					if f.must(e.Remove(name)); cut >= 0 {
						f.must(env.ReplaceFile(e, name, []byte(files[name][:cut])))
					}
					tried++
					what := fmt.Sprintf("clean %t, %s cut to %d of %d bytes", clean, name, cut, len(files[name]))
					again, err := log.OpenManager(e, brokerConfig("/data/a"))
					if path.Base(name) == "meta.properties" && (err != nil || again.SetMeta(log.Meta{ClusterID: "kZxq", BrokerID: 2}) != nil) {
						if err == nil {
							again.Shutdown(false)
						}
						continue
					}
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					l := again.Get(tp)
					if l == nil || l.EndOffset() != end {
						t.Fatalf("%s: the log is %v", what, l)
					}
					l.SetHighWatermark(end)
					if got := l.Epochs(); len(got) != 1 || got[0].Epoch != 4 || got[0].StartOffset > start {
						t.Errorf("%s: epochs %v", what, got)
					}
					if got := l.StartOffset(); got != start && (got > start || path.Base(name) != "log-start-offset-checkpoint") {
						t.Errorf("%s: log start %d, want %d", what, got, start)
					}
					all := map[int64]int{}
					for next := start; next < end; {
						s, err := l.Read(next, math.MaxInt32, end, true)
						if err != nil {
							t.Fatalf("%s: read at %d: %v", what, next, err)
						}
						aborted, err := l.AbortedTransactions(s, next)
						if err != nil {
							t.Fatalf("%s: %v", what, err)
						}
						for _, a := range aborted {
							if all[a.ProducerID]++; a.ProducerID != int64(record.ControlAbort) {
								t.Errorf("%s: aborted is %+v", what, a)
							}
						}
						data, err := s.Bytes()
						s.Release()
						if err != nil {
							t.Fatalf("%s: %v", what, err)
						}
						for len(data) > 0 {
							b, rest, err := nextBatch(data)
							if err != nil || b.NextOffset() <= next && next != start {
								t.Fatalf("%s: batch at %d: %v", what, next, err)
							}
							next, data = b.NextOffset(), rest
						}
					}
					// A transaction index without an entry is that of a segment without an aborted transaction.
					if len(all) != 1 && (path.Ext(name) != ".txnindex" || cut > 0) {
						t.Errorf("%s: aborted are %v", what, all)
					}
					if offset, _, _, err := l.OffsetForTimestamp(1); err != nil || offset != start && path.Base(name) != "log-start-offset-checkpoint" {
						t.Errorf("%s: offset %d for a time, %v", what, offset, err)
					}
					if _, err := again.GetOrCreate(tp, [16]byte{1, 9}, small); !errors.Is(err, kerr.InconsistentTopicID) && path.Base(name) != "partition.metadata" {
						t.Errorf("%s: another topic's id: %v", what, err)
					}
					again.Shutdown(false)
				}
			}
			if tried < 200 {
				t.Errorf("only %d cuts", tried)
			}
			restore(f, "/data/a", files)
			m = manager(t, e, brokerConfig("/data/a"))
		}
	})
}

// restore makes a log directory anew out of files.
func restore(f *fixture, dir string, files map[string]string) {
	f.must(env.RemoveAll(f.Env, dir))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f.must(f.MkdirAll(path.Dir(name)))
		f.must(env.ReplaceFile(f.Env, name, []byte(files[name])))
	}
}
