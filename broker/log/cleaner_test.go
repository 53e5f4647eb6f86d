// Goal: the cleaner cleans when and what its settings say, survives a stop at every step, and what it leaves is a log
// like any other: for readers, followers, truncation and recovery.
// Method: short stories on a simulated disk; the random ones are in cleaner_model_test.go.
package log_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"

	"github.com/twmb/franz-go/pkg/kerr"
)

var compact = config.Topic{SegmentBytes: 1000, IndexIntervalBytes: 100, CleanupPolicyCompact: true, DeleteRetention: time.Hour, MinCleanableDirtyRatio: 0.5}

// put appends a record for each key, each in a batch of its own. A value "" is a tombstone.
func put(t testing.TB, l *log.Log, ms int64, keys []string, value string) {
	t.Helper()
	for _, key := range keys {
		var b record.Builder
		var v []byte
		if value != "" {
			v = fmt.Appendf(nil, "%s-%s", key, value)
		}
		b.Append(ms, []byte(key), v)
		raw, err := b.Build(nil, record.NewBatchOptions())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendAsLeader(raw, 0, log.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l.SetHighWatermark(l.EndOffset())
}

// table reads the log and lists "offset key=value", in order.
func table(t testing.TB, l *log.Log) (out []string) {
	t.Helper()
	for next := l.StartOffset(); ; {
		s, err := l.Read(next, 300, math.MaxInt64, true)
		if err != nil {
			t.Fatal(err)
		}
		data, err := s.Bytes()
		s.Release()
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			return out
		}
		for len(data) > 0 {
			b, rest, err := nextBatch(data)
			if err != nil {
				t.Fatal(err)
			}
			it := record.NewIterator(b, 0)
			for it.Next() && !b.IsControl() {
				out = append(out, fmt.Sprintf("%d %s=%s", it.Record().Offset, it.Record().Key, it.Record().Value))
			}
			next, data = b.NextOffset(), rest
		}
	}
}

func keys(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("k%02d", i))
	}
	return out
}

func TestKeylessRecordsAreRefusedWhereItIsCompacted(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config = compact })
		var b record.Builder
		b.Append(1, nil, []byte("v"))
		raw, err := b.Build(nil, record.NewBatchOptions())
		f.must(err)
		_, err = f.AppendAsLeader(raw, 0, log.AppendOptions{})
		f.want(err, kerr.InvalidRecord)
	})
}

func TestCleanerCleansByItself(t *testing.T) {
	run(t, func(e env.Env) {
		cfg := brokerConfig("/data/a")
		cfg.LogCleanerEnable, cfg.LogCleanerBackoff, cfg.LogCleanerThreads, cfg.LogCleanerIOBytesPerSecondMax = true, time.Second, 2, 1000
		m := manager(t, e, cfg)
		m.Start()
		l, err := m.GetOrCreate(topic("t", 0), [16]byte{1}, compact)
		if err != nil {
			t.Fatal(err)
		}
		plain := create(t, m, topic("plain", 0), 60)
		before := plain.Size()
		put(t, l, 1000, keys(20), "old")
		put(t, l, 1000, keys(20), "new")
		put(t, l, 1000, keys(15), "newest")
		size, began := l.Size(), e.Mono()
		for l.Size() == size {
			e.Sleep(time.Second)
		}
		e.Sleep(time.Minute)
		if took := e.Mono().Sub(began); took < 4*time.Second {
			t.Errorf("4 KB were read twice and written at 1,000 bytes a second in %s", took)
		}
		got := table(t, l)
		if len(got) > 40 || slices.Contains(got, "0 k00=k00-old") || !slices.Contains(got, "54 k14=k14-newest") || !slices.Contains(got, "39 k19=k19-new") {
			t.Errorf("%d records: %v", len(got), got)
		}
		if plain.Size() != before {
			t.Error("a log that is not compacted was cleaned")
		}
		if c := content(t, e, "/data/a/cleaner-offset-checkpoint"); !strings.HasPrefix(c, "0\n1\nt 0 ") {
			t.Errorf("checkpoint %q", c)
		}
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		m = manager(t, e, cfg)
		stats, err := m.Get(topic("t", 0)).Clean(log.CleanOptions{})
		if err != nil || stats.BatchesRead != 0 {
			t.Errorf("what was clean was cleaned again: %+v, %v", stats, err)
		}
		if again := table(t, m.Get(topic("t", 0))); !slices.Equal(again, got) {
			t.Errorf("after a restart %v", again)
		}
	})
}

// Goal: a stop does not wait for a cleaner that is held back. Method: a rate at which one pass takes an hour.
func TestStopOfAThrottledCleaner(t *testing.T) {
	run(t, func(e env.Env) {
		cfg := brokerConfig("/data/a")
		cfg.LogCleanerEnable, cfg.LogCleanerBackoff, cfg.LogCleanerIOBytesPerSecondMax = true, time.Second, 1
		m := manager(t, e, cfg)
		m.Start()
		l, err := m.GetOrCreate(topic("t", 0), [16]byte{1}, compact)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			put(t, l, 1000, keys(20), fmt.Sprint(i))
		}
		e.Sleep(10 * time.Second)
		began := e.Mono()
		if err := m.Shutdown(true); err != nil {
			t.Fatal(err)
		}
		if took := e.Mono().Sub(began); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
	})
}

func TestCleanerKeepsToLagAndRatio(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*config.Topic)
		cleans bool
		older  time.Duration // than the first batch are the others
	}{
		{"dirty enough", func(c *config.Topic) {}, true, 0},
		{"no policy", func(c *config.Topic) { c.CleanupPolicyCompact = false }, false, 0},
		{"never dirty enough", func(c *config.Topic) { c.MinCleanableDirtyRatio = 1 }, false, 0},
		{"too young", func(c *config.Topic) { c.MinCompactionLag = time.Hour }, false, 0},
		{"old enough", func(c *config.Topic) { c.MinCompactionLag = time.Second }, true, 0},
		{"overdue", func(c *config.Topic) { c.MinCleanableDirtyRatio, c.MaxCompactionLag = 1, 5*time.Second }, true, 0},
		{"not overdue yet", func(c *config.Topic) { c.MinCleanableDirtyRatio, c.MaxCompactionLag = 1, time.Hour }, false, 0},
		{"overdue behind what is not", func(c *config.Topic) { c.MinCleanableDirtyRatio, c.MaxCompactionLag = 1, 30*time.Minute }, true, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(e env.Env) {
				cfg := brokerConfig("/data/a")
				cfg.LogCleanerEnable, cfg.LogCleanerBackoff = true, time.Second
				m := manager(t, e, cfg)
				m.Start()
				topicConfig := compact
				c.change(&topicConfig)
				l, err := m.GetOrCreate(topic("t", 0), [16]byte{1}, topicConfig)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 6 {
					put(t, l, e.Now().Add(-c.older*time.Duration(min(i, 1))).UnixMilli(), keys(10), fmt.Sprint(i))
				}
				size := l.Size()
				e.Sleep(10 * time.Second)
				if cleaned := l.Size() != size; cleaned != c.cleans {
					t.Errorf("cleaned: %t", cleaned)
				}
				if err := m.Shutdown(true); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A tombstone stays from the pass that meets it for delete.retention.ms, over a restart too, and then goes.
func TestTombstonesStayForTheirTime(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config = compact; o.Config.DeleteRetention = 20 * time.Minute })
		put(t, f.Log, 1000, keys(5), "old")
		put(t, f.Log, 1000, keys(5)[:2], "")
		has := func() (n int) {
			for _, r := range table(t, f.Log) {
				if strings.HasSuffix(r, "=") {
					n++
				}
			}
			return n
		}
		for _, c := range []struct {
			wait time.Duration
			want int
		}{{0, 2}, {19 * time.Minute, 2}, {2 * time.Minute, 0}} {
			e.Sleep(c.wait)
			put(t, f.Log, 1000, keys(25)[5:], "filler") // so that there is something dirty, and a new active segment
			f.reopen(true)
			f.SetHighWatermark(f.EndOffset())
			_, err := f.Clean(log.CleanOptions{})
			f.must(err)
			if got := has(); got != c.want {
				t.Fatalf("after %s more: %d tombstones, want %d: %v", c.wait, got, c.want, table(t, f.Log))
			}
		}
	})
}

// A node is stopped at every step of a pass, by a crash or a power loss: then the log is as before or as after, and
// another pass brings it to the end.
func TestReplacementSurvivesAStopAtEveryStep(t *testing.T) {
	for _, power := range []bool{false, true} {
		t.Run(fmt.Sprintf("power=%t", power), func(t *testing.T) {
			stride := 1
			if testing.Short() {
				stride = 11
			}
			for step := 0; ; step += stride {
				if stopAt(t, step, power) {
					if step < 30 {
						t.Errorf("only %d steps", step)
					}
					return
				}
			}
		})
	}
}

// stopAt stops the pass after so many steps. It reports whether the pass was over before.
func stopAt(t *testing.T, step int, power bool) (over bool) {
	w := cluster.New(cluster.Options{Seed: 1})
	defer w.Close()
	phase := "fill"
	var want []string
	w.AddNode("b1", func(e env.Env) {
		m := manager(t, e, brokerConfig("/data/a"))
		l, err := m.GetOrCreate(topic("t", 0), [16]byte{1}, compact)
		if err != nil {
			panic(err)
		}
		if phase == "fill" {
			for i := range 5 {
				put(t, l, 1000, keys(12), fmt.Sprint(i))
			}
			for i, kind := range []record.ControlType{record.ControlAbort, record.ControlCommit} {
				for j := range 3 {
					if _, err := l.AppendAsLeader(build("t", 2, func(o *record.BatchOptions) {
						o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = int64(i), 0, int32(2*j), true
					}), 0, log.AppendOptions{}); err != nil {
						panic(err)
					}
				}
				if _, err := l.AppendAsLeader(record.AppendEndTxn(nil, 1, int64(i), 0, record.EndTxnMarker{Type: kind}), 0, log.AppendOptions{Origin: log.FromCoordinator}); err != nil {
					panic(err)
				}
			}
			put(t, l, 1000, keys(12), "last")
			if err := l.Flush(); err != nil {
				panic(err)
			}
			phase = "clean"
		}
		if phase == "check" {
			if l.EndOffset() != 86 {
				panic(fmt.Sprintf("ends at %d", l.EndOffset()))
			}
			for _, r := range table(t, l) {
				if strings.HasSuffix(r, "=k00-last") {
					want = append(want, r)
				}
			}
			if len(want) != 1 {
				panic("the last value is gone")
			}
		}
		l.SetHighWatermark(l.EndOffset())
		if _, err := l.Clean(log.CleanOptions{}); err != nil {
			panic(err)
		}
		if got := table(t, l); len(got) > 40 {
			panic(fmt.Sprintf("%d records are left: %v", len(got), got))
		}
		s, err := l.Read(0, 1<<20, math.MaxInt64, true)
		if err != nil {
			panic(err)
		}
		if _, err := l.AbortedTransactions(s, 0); err != nil {
			panic(err)
		}
		s.Release()
		phase += " over"
		for {
			e.Sleep(time.Hour)
		}
	})
	w.Start("b1")
	w.RunUntil(func() bool { return phase != "fill" || len(w.Crashes()) > 0 }, env.Never)
	at := w.Steps() + uint64(step)
	w.RunUntil(func() bool { return w.Steps() >= at || phase == "clean over" || len(w.Crashes()) > 0 }, env.Never)
	over = phase == "clean over"
	if power {
		w.PowerLoss("b1", disk.KeepRandom)
	} else {
		w.Crash("b1")
	}
	phase = "check"
	w.Start("b1")
	w.RunUntil(func() bool { return phase == "check over" || len(w.Crashes()) > 0 }, env.Never)
	if c := w.Crashes(); len(c) > 0 {
		t.Fatalf("stopped after %d steps: %s", step, c[0])
	}
	return over
}

// What a compacted leader sends has gaps: a follower takes them, finds every offset, and recovers.
func TestFollowerTakesTheGapsOfCompaction(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config = compact })
		var want []string
		for i := range 20 {
			f.must(f.follow(int32(i/5), int64(i*10+3), fmt.Sprintf("v%d", i), 2)) // [3,5) [13,15) …
			want = append(want, fmt.Sprintf("%d k=v%d-0", i*10+3, i), fmt.Sprintf("%d k=v%d-1", i*10+4, i))
		}
		verify := func(want []string) {
			t.Helper()
			if got := table(t, f.Log); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
			for from := int64(0); from < f.EndOffset(); from++ { // in a gap, the next batch is found
				s, err := f.Read(from, 1, math.MaxInt64, true)
				f.must(err)
				data, err := s.Bytes()
				s.Release()
				f.must(err)
				if b, _, err := nextBatch(data); err != nil || b.LastOffset() < from || b.BaseOffset() > from+20 {
					t.Fatalf("at %d: %d-%d, %v", from, b.BaseOffset(), b.LastOffset(), err)
				}
			}
		}
		verify(want)
		f.o.RecoveryPoint = 0
		for _, clean := range []bool{true, false} {
			f.reopen(clean)
			verify(want)
			if f.EndOffset() != 195 || f.recovery.CutBytes > 0 {
				t.Fatalf("ends at %d: %+v", f.EndOffset(), f.recovery)
			}
		}
		f.must(f.TruncateTo(160)) // in the gap [155, 163)
		want = want[:32]
		verify(want)
		f.must(f.follow(9, 171, "again", 1))
		want = append(want, "171 k=again-0")
		f.o.RecoveryPoint = 0
		f.reopen(false)
		verify(want)
		if f.EndOffset() != 172 || f.recovery.CutBytes > 0 {
			t.Fatalf("ends at %d: %+v", f.EndOffset(), f.recovery)
		}
	})
}

// A damaged transaction index is made again from the batches, and says the same.
func TestDamagedTransactionIndexIsMadeAgain(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		for i := range 60 {
			_, err := f.AppendAsLeader(build("t", 1, func(o *record.BatchOptions) {
				o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = int64(i%3), 0, int32(i/3), true
			}), 0, log.AppendOptions{})
			f.must(err)
			if i%7 == 6 {
				m := record.EndTxnMarker{Type: record.ControlType(i % 2)}
				_, err = f.AppendAsLeader(record.AppendEndTxn(nil, 1, int64(i%3), 0, m), 0, log.AppendOptions{Origin: log.FromCoordinator})
				f.must(err)
			}
		}
		aborted := func() (out []log.AbortedTxn) {
			for next := int64(0); next < f.EndOffset(); {
				s, err := f.Read(next, 1<<20, math.MaxInt64, true)
				f.must(err)
				data, err := s.Bytes()
				f.must(err)
				a, err := f.AbortedTransactions(s, next)
				f.must(err)
				s.Release()
				out = append(out, a...)
				for len(data) > 0 {
					b, rest, _ := nextBatch(data)
					next, data = b.NextOffset(), rest
				}
			}
			return out
		}
		want := aborted()
		if len(want) < 3 {
			t.Fatalf("%v", want)
		}
		names := f.files(".txnindex")
		for _, name := range names {
			for what, edit := range map[string]func(env.File, int64){
				"version": flip(0), "last offset": flip(18), "cut short": func(file env.File, size int64) { file.Truncate(size - 5) }, "one more": func(file env.File, size int64) { file.WriteAt(make([]byte, 34), size) },
			} {
				f.must(f.Log.Close())
				f.change(name, edit)
				f.Log = nil
				f.reopen(true)
				if got := aborted(); !slices.Equal(got, want) {
					t.Fatalf("%s of %s: %v, want %v", what, name, got, want)
				}
				if f.recovery.IndexesRebuilt == 0 {
					t.Errorf("%s of %s: nothing was said", what, name)
				}
			}
		}
		f.must(f.Log.Close()) // and all of it, as after a power loss that took the files
		for _, name := range names {
			f.must(f.Remove(home + name))
		}
		f.Log, f.o.RecoveryPoint = nil, 0
		f.reopen(false)
		if got := aborted(); !slices.Equal(got, want) {
			t.Fatalf("after recovery: %v, want %v", got, want)
		}
	})
}
