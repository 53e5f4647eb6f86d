// Goal: retention takes whole segments, the oldest first, only what is committed and not wanted any more, and no reader
// loses what it holds. Method: one log of small segments on a simulated disk; each test is a short story.
package log_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// keeping is a log's configuration with retention.
func keeping(bytes int64, retention time.Duration) config.Topic {
	c := small
	c.CleanupPolicyDelete, c.RetentionBytes, c.Retention = true, bytes, retention
	return c
}

const forever = -time.Millisecond

func TestRetentionBySizeKeepsTheNewestSegments(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config = keeping(2500, forever) })
		f.fill(100)
		f.must(f.Flush())
		if n, err := f.DeleteOldSegments(); n != 0 || err != nil {
			t.Fatalf("%d segments went of what is not committed: %v", n, err)
		}
		before, end := f.Size(), f.EndOffset()
		f.SetHighWatermark(end)
		n, err := f.DeleteOldSegments()
		f.must(err)
		if n == 0 || f.Size() < 2500 || f.Size() >= before || f.EndOffset() != end {
			t.Fatalf("%d segments went, of %d bytes %d are left", n, before, f.Size())
		}
		if f.Size()-2500 >= 1000 {
			t.Errorf("%d bytes are left, a segment more than retention.bytes", f.Size())
		}
		start := f.StartOffset()
		if start != f.FirstOffset() || len(f.files(".log")) == 0 || f.files(".log")[0] != fmt.Sprintf("%020d.log", start) {
			t.Errorf("starts at %d, its files at %d: %v", start, f.FirstOffset(), f.files(".log"))
		}
		_, err = f.Read(start-1, 1000, end, true)
		f.want(err, kerr.OffsetOutOfRange)
		if got := f.values(start, end, 1<<20); len(got) == 0 {
			t.Error("nothing is left to read")
		}
		f.reopen(false)
		if f.StartOffset() != start || f.EndOffset() != end {
			t.Errorf("after a crash the log is [%d, %d), was [%d, %d)", f.StartOffset(), f.EndOffset(), start, end)
		}
		if first := f.Epochs()[0].StartOffset; first < start {
			t.Errorf("the first epoch begins at %d, before the log", first)
		}
	})
}

func TestRetentionByTimeTakesAllAndTheLogGoesOn(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config = keeping(-1, 10*time.Minute) })
		now := e.Now().UnixMilli()
		old := func(age time.Duration, n int) {
			for range n {
				var b record.Builder
				b.Append(now-age.Milliseconds(), []byte("k"), make([]byte, 100))
				raw, err := b.Build(nil, record.NewBatchOptions())
				f.must(err)
				_, err = f.AppendAsLeader(raw, 1, log.AppendOptions{})
				f.must(err)
			}
		}
		old(30*time.Minute, 20)
		old(time.Minute, 1)
		f.SetHighWatermark(f.EndOffset())
		n, err := f.DeleteOldSegments()
		f.must(err)
		if n == 0 || f.StartOffset() > 20 || f.Size() == 0 {
			t.Fatalf("%d segments went, the log begins at %d", n, f.StartOffset())
		}
		e.Sleep(20 * time.Minute)
		_, err = f.DeleteOldSegments()
		f.must(err)
		if f.Size() != 0 || f.StartOffset() != 21 || f.EndOffset() != 21 {
			t.Fatalf("the log is [%d, %d) of %d bytes, not empty at 21", f.StartOffset(), f.EndOffset(), f.Size())
		}
		if n, err := f.DeleteOldSegments(); n != 0 || err != nil {
			t.Errorf("an empty segment went: %d, %v", n, err)
		}
		f.lead(1, "on", 2)
		f.reopen(true)
		if f.StartOffset() != 21 || f.EndOffset() != 23 {
			t.Errorf("after a stop the log is [%d, %d)", f.StartOffset(), f.EndOffset())
		}
	})
}

// Without cleanup.policy=delete, and with none at all, a log loses what is below its start, and nothing for its age or size.
func TestLogWithoutDeletionLosesOnlyWhatIsBelowItsStart(t *testing.T) {
	for _, policy := range []string{"compact", ""} {
		run(t, func(e env.Env) {
			f := open(t, e, func(o *log.Options) {
				c, err := keeping(0, 0).WithOverrides(map[string]string{"cleanup.policy": policy})
				if o.Config = c; err != nil {
					t.Fatal(err)
				}
			})
			f.fill(50)
			f.SetHighWatermark(f.EndOffset())
			if n, err := f.DeleteOldSegments(); n != 0 || err != nil {
				t.Fatalf("policy %q: %d segments went: %v", policy, n, err)
			}
			f.must(f.AdvanceStartOffset(25))
			_, err := f.DeleteOldSegments()
			if f.must(err); f.StartOffset() != 25 || f.FirstOffset() == 0 || f.FirstOffset() > 25 {
				t.Fatalf("policy %q: the log begins at %d, its files at %d", policy, f.StartOffset(), f.FirstOffset())
			}
		})
	}
}

// A deleted segment's files keep another name for a while, then they go; who holds a slice reads it to its end.
func TestDeletedFilesStayForReadersAndForAWhile(t *testing.T) {
	run(t, func(e env.Env) {
		cfg := brokerConfig("/data")
		cfg.Topic = keeping(0, forever)
		cfg.Topic.FileDeleteDelay = time.Minute
		cfg.LogRetentionCheck = time.Second
		m := manager(t, e, cfg)
		m.Start()
		tp := topic("castle", 3)
		l := create(t, m, tp, 50)
		l.SetConfig(cfg.Topic)
		l.SetHighWatermark(l.EndOffset())
		slice, err := l.Read(0, 1000, l.EndOffset(), true)
		if err != nil {
			t.Fatal(err)
		}
		e.Sleep(5 * time.Second) // the background task comes by
		if l.StartOffset() != l.EndOffset() {
			t.Fatalf("the log is [%d, %d)", l.StartOffset(), l.EndOffset())
		}
		deleted := func() (n int) {
			entries, err := e.ReadDir("/data/castle-3")
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if strings.HasSuffix(entry.Name, ".log.deleted") {
					n++
				}
			}
			return n
		}
		if deleted() == 0 {
			t.Error("the files are gone at once")
		}
		e.Sleep(2 * time.Minute)
		if n := deleted(); n != 0 {
			t.Errorf("%d files are still there", n)
		}
		if data, err := slice.Bytes(); err != nil || len(data) != int(slice.Len) {
			t.Errorf("the reader got %d of %d bytes: %v", len(data), slice.Len, err)
		}
		slice.Release()
		if err := m.Shutdown(true); err != nil {
			t.Error(err)
		}
	})
}

// What DeleteRecords was told is durable when it returns, and the rest is found again.
func TestStartOffsetSurvivesPowerLossOnceRaised(t *testing.T) {
	run(t, func(e env.Env) {
		cfg := brokerConfig("/data")
		m := manager(t, e, cfg)
		tp := topic("castle", 0)
		l := create(t, m, tp, 30)
		if err := l.AdvanceStartOffset(17); err != nil {
			t.Fatal(err)
		}
		if text := content(t, e, "/data/log-start-offset-checkpoint"); !strings.Contains(text, "castle 0 17") {
			t.Errorf("checkpoint:\n%s", text)
		}
		_ = m.Shutdown(false)
		m = manager(t, e, cfg)
		if got := m.Get(tp).StartOffset(); got != 17 {
			t.Errorf("the log begins at %d", got)
		}
	})
}

func TestSegmentsRollByTimeAndByFullIndex(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) {
			o.Config = config.Topic{SegmentBytes: 1 << 20, IndexIntervalBytes: 1, SegmentIndexBytes: 80}
		})
		f.fill(60) // 10 offset entries, or 5 of the time index, fill a segment
		if n := len(f.files(".log")); n < 4 {
			t.Errorf("%d segments", n)
		}
		g := open(t, e, func(o *log.Options) {
			o.TP = topic("clock", 0)
			o.Config = config.Topic{Segment: time.Hour, SegmentJitter: 30 * time.Minute}
		})
		at := func(ms int64) {
			var b record.Builder
			b.Append(ms, []byte("k"), []byte("v"))
			raw, err := b.Build(nil, record.NewBatchOptions())
			g.must(err)
			_, err = g.AppendAsLeader(raw, 1, log.AppendOptions{})
			g.must(err)
		}
		at(0)
		at(29 * 60_000)
		if n := len(logsOf(t, e, "/data/clock-0")); n != 1 {
			t.Errorf("%d segments before segment.ms less segment.jitter.ms", n)
		}
		at(61 * 60_000)
		if n := len(logsOf(t, e, "/data/clock-0")); n != 2 {
			t.Errorf("%d segments after segment.ms", n)
		}
	})
}

func logsOf(t *testing.T, e env.Env, dir string) (names []string) {
	entries, err := e.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name, ".log") {
			names = append(names, entry.Name)
		}
	}
	slices.Sort(names)
	return names
}
