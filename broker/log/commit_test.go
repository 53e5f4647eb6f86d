// Goal: with flush.messages=1 nobody sees a record before it is durable, and appends that come together share a sync,
// during which others go on. Method: an environment that counts syncs, and tasks that append at once.
package log_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// counting counts the syncs of segments and lets each take a while.
type counting struct {
	syncing
	syncs  int
	during func()
}

func newCounting(e env.Env) *counting {
	c := &counting{}
	c.syncing = syncing{Env: e, extension: ".log", sync: func(f env.File) error {
		c.syncs++
		e.Sleep(10 * time.Millisecond)
		if c.during != nil {
			c.during()
		}
		return f.Sync()
	}}
	return c
}

func TestAppendsShareASync(t *testing.T) {
	run(t, func(e env.Env) {
		c := newCounting(e)
		f := open(t, c, func(o *log.Options) { o.Config.FlushMessages = 1 })
		c.during = func() {
			if f.EndOffset() > f.RecoveryPoint() {
				t.Errorf("records to %d are visible, durable to %d", f.EndOffset(), f.RecoveryPoint())
			}
			if s, err := f.Read(f.EndOffset(), 1000, math.MaxInt64, true); err != nil || s.Len != 0 {
				t.Errorf("%d bytes can be read behind the end: %v", s.Len, err)
			}
		}
		const tasks, each = 20, 10
		g := env.NewGroup(e)
		for task := range tasks {
			g.Go("producer", func() {
				for i := range each {
					info, err := f.AppendAsLeader(build(fmt.Sprintf("p%d-%d", task, i), 1, nil), 1, log.AppendOptions{})
					if err != nil || f.EndOffset() <= info.LastOffset || f.RecoveryPoint() <= info.LastOffset {
						t.Errorf("append at %d came back with the log [,%d), durable to %d: %v", info.LastOffset, f.EndOffset(), f.RecoveryPoint(), err)
					}
				}
			})
		}
		g.Wait()
		if f.EndOffset() != tasks*each || len(f.values(0, tasks*each, 1<<20)) != tasks*each {
			t.Errorf("the log ends at %d", f.EndOffset())
		}
		if c.syncs > tasks*each/4 {
			t.Errorf("%d appends of %d tasks took %d syncs", tasks*each, tasks, c.syncs)
		}
		f.reopen(false)
		if f.EndOffset() != tasks*each || f.recovery.CutBytes > 0 {
			t.Errorf("recovered %+v", f.recovery)
		}
	})
}

// A producer that sends again while its first attempt waits for its sync must not be answered before that.
func TestDuplicateWaitsForTheFirstAttemptsSync(t *testing.T) {
	run(t, func(e env.Env) {
		c := newCounting(e)
		f := open(t, c, func(o *log.Options) { o.Config.FlushMessages = 1 })
		again := env.NewGroup(e)
		c.during = func() {
			c.during = nil
			again.Go("again", func() {
				info, err := f.sent(9, 0, 0, 3)
				if err != nil || !info.Duplicate || f.RecoveryPoint() <= info.LastOffset {
					t.Errorf("%+v with the log durable to %d: %v", info, f.RecoveryPoint(), err)
				}
			})
			e.Sleep(time.Millisecond)
		}
		if _, err := f.sent(9, 0, 0, 3); err != nil {
			t.Error(err)
		}
		again.Wait()
	})
}

// Flush, truncation and close while appends wait: nobody waits for ever, and nothing is lost or seen too early.
func TestCommitMeetsTruncationAndClose(t *testing.T) {
	run(t, func(e env.Env) {
		c := newCounting(e)
		f := open(t, c, func(o *log.Options) { o.Config.FlushMessages = 1 })
		g := env.NewGroup(e)
		for task := range 8 {
			g.Go("producer", func() {
				for i := range 20 {
					_, err := f.AppendAsLeader(build(fmt.Sprintf("%d-%d", task, i), 1+i%3, nil), 1, log.AppendOptions{})
					if err != nil {
						return // closed
					}
				}
			})
		}
		for range 5 {
			e.Sleep(15 * time.Millisecond)
			f.must(f.TruncateTo(f.EndOffset() / 2))
			f.must(f.Flush())
			if f.EndOffset() > f.RecoveryPoint() && c.syncs == 0 {
				t.Error("visible and not durable")
			}
		}
		f.must(f.Close())
		g.Wait()
	})
}

// Goal: an append that was to be synced and is truncated away holds up nobody who comes after it. Method: a sync is due
// every few records; the log is cut below one whose sync fails to come, and appended to again.
func TestTruncationForgetsTheSyncThatWasDue(t *testing.T) {
	for _, cut := range []func(f *fixture) error{func(f *fixture) error { return f.TruncateTo(2) }, func(f *fixture) error { return f.TruncateFullyAndStartAt(3) }} {
		run(t, func(e env.Env) {
			c := newCounting(e)
			f := open(t, c, func(o *log.Options) { o.Config.FlushMessages = 8 })
			f.lead(1, "a", 2)
			waits := env.NewGroup(e)
			waits.Go("producer", func() { f.AppendAsLeader(build("b", 8, nil), 1, log.AppendOptions{}) })
			e.Sleep(time.Millisecond) // it waits for its sync
			f.must(cut(f))
			waits.Wait()
			done := false
			e.Go("later", func() {
				for range 3 {
					f.AppendAsLeader(build("c", 1, nil), 1, log.AppendOptions{})
				}
				done = true
			})
			e.Sleep(time.Minute)
			if !done {
				t.Error("an append waits for ever")
			}
		})
	}
}

func TestTimestampsOutOfBoundsAreRefused(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config.TimestampBeforeMax, o.Config.TimestampAfterMax = time.Hour, time.Minute })
		at := func(when time.Duration) error {
			var b record.Builder
			b.Append(e.Now().Add(when).UnixMilli(), []byte("k"), nil)
			raw, err := b.Build(nil, record.NewBatchOptions())
			f.must(err)
			_, err = f.AppendAsLeader(raw, 1, log.AppendOptions{})
			return err
		}
		f.must(at(-59 * time.Minute))
		f.must(at(50 * time.Second))
		f.want(at(-61*time.Minute), kerr.InvalidTimestamp)
		f.want(at(2*time.Minute), kerr.InvalidTimestamp)
		c := f.Config()
		c.MessageTimestampLogAppend = true
		f.SetConfig(c)
		f.must(at(-61 * time.Minute)) // the broker's own time takes its place
	})
}

func TestTopicsCodecTakesThePlaceOfTheProducers(t *testing.T) {
	run(t, func(e env.Env) {
		for _, name := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
			f := open(t, e, func(o *log.Options) { o.TP.Topic, o.Config.CompressionType = name, name })
			want, _ := record.ParseCodec(name)
			offset := int64(0)
			for c := record.None; c <= record.Zstd; c++ {
				raw := build("v", 5, func(o *record.BatchOptions) {
					o.Codec, o.ProducerID, o.ProducerEpoch, o.BaseSequence = c, int64(c), 0, 7
				})
				info, err := f.AppendAsLeader(raw, 1, log.AppendOptions{})
				f.must(err)
				if info.FirstOffset != offset || info.Bytes == 0 {
					t.Errorf("%s in %s: %+v", c, name, info)
				}
				offset += 5
			}
			s, err := f.Read(0, 1<<20, offset, true)
			f.must(err)
			data, err := s.Bytes()
			f.must(err)
			s.Release()
			for next := int64(0); len(data) > 0; next += 5 {
				var b record.Batch
				b, data, err = nextBatch(data)
				f.must(err)
				if b.Codec() != want || b.BaseOffset() != next || b.Count() != 5 || b.BaseSequence() != 7 {
					t.Errorf("topic %s holds a batch in %s at %d", name, b.Codec(), b.BaseOffset())
				}
			}
			if got := f.values(0, offset, 1<<20); len(got) != int(offset) {
				t.Errorf("topic %s gives back %d of %d records", name, len(got), offset)
			}
		}
	})
}

// Goal: a topic's codec packs as hard as its level says, where the broker has to pack (KIP-390). Method: the same records at the ends of each
// codec's range, and at none.
func TestTopicsCodecHasALevel(t *testing.T) {
	run(t, func(e env.Env) {
		var text strings.Builder
		for i := range 4000 {
			fmt.Fprintf(&text, "%d bottles of %d, %x ", i*i, i%7, i*i*i)
		}
		logs := 0
		size := func(name string, level int) int64 {
			logs++
			f := open(t, e, func(o *log.Options) {
				o.TP.Topic, o.Config.CompressionType = fmt.Sprint("log-", logs), name
				o.Config.GzipLevel, o.Config.LZ4Level, o.Config.ZstdLevel, o.Config.SegmentBytes = level, level, level, 1<<20
			})
			f.lead(1, text.String(), 1)
			if got := f.values(0, 1, 1<<20); len(got) != 1 || !strings.Contains(got[0], text.String()) {
				t.Errorf("%s at level %d gives back %.50q", name, level, got)
			}
			return f.Size()
		}
		for _, c := range []struct {
			name                 string
			low, high, byDefault int
		}{{"gzip", 1, 9, -1}, {"lz4", 9, 17, 9}, {"zstd", -131072, 22, 3}} {
			if low, high := size(c.name, c.low), size(c.name, c.high); low <= high {
				t.Errorf("%s: %d bytes at level %d, %d at %d", c.name, low, c.low, high, c.high)
			}
			if none, byDefault := size(c.name, 0), size(c.name, c.byDefault); none != byDefault {
				t.Errorf("%s: %d bytes without a level, %d at the default", c.name, none, byDefault)
			}
		}
	})
}
