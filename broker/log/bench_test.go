package log_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/osenv"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

// sized makes a batch of about n bytes of 1 KiB records.
func sized(n int) []byte {
	var b record.Builder
	value := make([]byte, 1<<10)
	for b.Size()+len(value)+record.MaxRecordOverhead <= n {
		b.Append(1, nil, value)
	}
	raw, err := b.Build(nil, record.NewBatchOptions())
	if err != nil {
		panic(err)
	}
	return raw
}

func realLog(t testing.TB, cfg config.Topic) *log.Log {
	l, _, err := log.Open(osenv.New(osenv.Options{}), log.Options{Dir: t.TempDir(), TP: tp, Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

var benchSizes = []struct {
	name string
	n    int
}{{"16KiB", 16 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

// BenchmarkAppend is validation, producer check, and the write to the page cache.
func BenchmarkAppend(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			l := realLog(b, config.Topic{})
			batch := record.Batch(sized(size.n))
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				batch.SetBaseOffset(0)
				if _, err := l.AppendAsLeader(batch, 0, log.AppendOptions{}); err != nil {
					b.Fatal(err)
				}
				if l.Size() > 1<<30 {
					b.StopTimer()
					if err := l.TruncateFullyAndStartAt(l.EndOffset()); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkRead is finding a slice anywhere in a log of 256 MiB; its bytes would go by sendfile.
func BenchmarkRead(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			l := realLog(b, config.Topic{SegmentBytes: 64 << 20})
			batch := record.Batch(sized(size.n))
			for l.Size() < 256<<20 {
				batch.SetBaseOffset(0)
				if _, err := l.AppendAsLeader(batch, 0, log.AppendOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i += 7919 {
				s, err := l.Read(i%l.EndOffset(), 1<<20, math.MaxInt64, true)
				if err != nil {
					b.Fatal(err)
				}
				s.Release()
			}
		})
	}
}

// Goal: on real threads and real files, appends, reads and truncations at once stay apart. Run with -race.
func TestRealThreads(t *testing.T) {
	t.Run("page cache", func(t *testing.T) { realThreads(t, small, 0) })
	t.Run("two descriptors", func(t *testing.T) { realThreads(t, small, 2) })
	t.Run("synced, with retention", func(t *testing.T) {
		c := keeping(5000, forever)
		c.FlushMessages, c.FileDeleteDelay = 1, time.Millisecond
		realThreads(t, c, 0)
	})
}

func realThreads(t *testing.T, c config.Topic, descriptors int) {
	e := osenv.New(osenv.Options{Descriptors: descriptors})
	cfg := brokerConfig(t.TempDir())
	cfg.LogRetentionCheck = 2 * time.Millisecond
	m, err := log.OpenManager(e, cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Start()
	l := create(t, m, topic("t", 0), 10)
	l.SetConfig(c)
	group := env.NewGroup(e)
	for task := range 4 {
		group.Go("append", func() {
			for i := range 300 {
				if _, err := l.AppendAsLeader(build(fmt.Sprintf("%d-%d", task, i), 1+i%3, nil), 4, log.AppendOptions{}); err != nil && !errors.Is(err, kerr.NotLeaderForPartition) { // truncated while it waited
					t.Error(err)
					return
				}
			}
		})
		group.Go("read", func() {
			for i := range 600 {
				end := l.EndOffset()
				s, err := l.Read(end*int64(i)/600, 700, end, true)
				if errors.Is(err, kerr.OffsetOutOfRange) {
					continue // truncated meanwhile
				}
				if err != nil {
					t.Error(err)
					return
				}
				data, err := s.Bytes()
				s.Release()
				if err != nil && !errors.Is(err, kerr.NotLeaderForPartition) {
					t.Error(err)
					return
				}
				for len(data) > 0 {
					if _, data, err = nextBatch(data); err != nil {
						t.Error(err)
						return
					}
				}
				l.LastStableOffset(end)
				l.SetHighWatermark(max(end-20, 0))
				l.EndOffsetForEpoch(4)
			}
		})
	}
	group.Go("truncate", func() {
		for i := range 50 {
			if err := l.TruncateTo(max(0, l.EndOffset()-int64(i%5))); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if err := m.Shutdown(true); err != nil {
		t.Fatal(err)
	}
}
