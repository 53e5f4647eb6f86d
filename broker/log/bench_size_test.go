package log_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/osenv"
	"barnabas/broker/record"
	"barnabas/broker/wire"
)

// sparseLog is a log of so many segments of 1 GiB that looks like one of 64 KiB batches, each with its index entry, and holds but a
// few of them really: the rest are holes in sparse files. It was stopped cleanly.
type sparseLog struct {
	*log.Log
	targets []int64 // offsets of batches that are there
	batch   record.Batch
}

const sparsePerSegment = 1 << 30 / sparseBatch

const sparseBatch = 64 << 10

func newSparseLog(b *testing.B, e env.Env, name string, segments, targets int) *sparseLog {
	b.Helper()
	s := &sparseLog{batch: exactBatch(b, sparseBatch)}
	dir, p := b.TempDir(), wire.TopicPartition{Topic: name}
	path := filepath.Join(dir, p.String())
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	must(os.Mkdir(path, 0o755))
	count := int64(s.batch.Count())
	r := rand.New(rand.NewPCG(1, 1))
	for n := range segments {
		base := int64(n) * sparsePerSegment * count
		file := filepath.Join(path, fmt.Sprintf("%020d", base))
		f, err := os.Create(file + ".log")
		must(err)
		must(f.Truncate(1 << 30))
		put := func(k int64, whole bool) {
			if k < 0 || k >= sparsePerSegment {
				return
			}
			s.batch.SetBaseOffset(base + k*count)
			p := []byte(s.batch)
			if !whole {
				p = p[:record.HeaderSize]
			}
			_, err := f.WriteAt(p, k*sparseBatch)
			must(err)
		}
		put(0, false)
		put(sparsePerSegment-1, true)
		for range targets / segments {
			k := 2 + r.Int64N(sparsePerSegment-6)
			for near := k - 2; near <= k+3; near++ {
				put(near, near == k)
			}
			s.targets = append(s.targets, base+k*count)
		}
		must(f.Close())
		var index []byte
		for k := int64(1); k < sparsePerSegment; k++ {
			index = binary.BigEndian.AppendUint32(index, uint32((k+1)*count-1))
			index = binary.BigEndian.AppendUint32(index, uint32(k*sparseBatch))
		}
		must(os.WriteFile(file+".index", index, 0o644))
		times := binary.BigEndian.AppendUint64(nil, 1)
		must(os.WriteFile(file+".timeindex", binary.BigEndian.AppendUint32(times, uint32(sparsePerSegment*count-1)), 0o644))
	}
	snapshot := binary.BigEndian.AppendUint32([]byte{0, 1}, crc32.Checksum(make([]byte, 4), crc32.MakeTable(crc32.Castagnoli)))
	must(os.WriteFile(filepath.Join(path, fmt.Sprintf("%020d.snapshot", int64(segments)*sparsePerSegment*count)), append(snapshot, 0, 0, 0, 0), 0o644))
	var err error
	c := benchConfig()
	c.SegmentBytes = 1 << 30
	s.Log, _, err = log.Open(e, log.Options{Dir: dir, TP: p, Config: c, CleanShutdown: true})
	must(err)
	if want := int64(segments) * sparsePerSegment * count; s.EndOffset() != want || s.Size() != int64(segments)<<30 {
		b.Fatalf("the log ends at %d with %d bytes, want %d", s.EndOffset(), s.Size(), want)
	}
	s.batch.SetLeaderEpoch(-1)
	b.Cleanup(func() { s.Close() })
	return s
}

// exactBatch is a batch of 1 KiB records of just so many bytes.
func exactBatch(b *testing.B, size int) record.Batch {
	for last := 0; last < 2048; last++ {
		var builder record.Builder
		for builder.Size()+2100 < size {
			builder.Append(1, nil, make([]byte, 1024))
		}
		builder.Append(1, nil, make([]byte, last))
		if builder.Size() == size {
			batch, err := builder.Build(nil, record.NewBatchOptions())
			if err != nil {
				b.Fatal(err)
			}
			return batch
		}
	}
	b.Fatal("no batch of that size")
	return nil
}

// BenchmarkLogSize has a log of 1 GiB and one of 50 take turns: what an append and a fetch of 64 KiB cost on the large one, in CPU,
// over what they cost on the small one. The goal is 1, ± 10 %.
func BenchmarkLogSize(b *testing.B) {
	e := osenv.New(osenv.Options{})
	conn := benchPeer(b, e)
	logs := []*sparseLog{newSparseLog(b, e, "small", 1, 150), newSparseLog(b, e, "large", 50, 150)}
	const each = 300
	fetch := func(l *sparseLog) {
		for i := range each {
			s, err := l.Read(l.targets[i*7%len(l.targets)], sparseBatch, math.MaxInt64, true)
			if err == nil {
				if s.Len != sparseBatch {
					b.Fatalf("%d bytes", s.Len)
				}
				_, err = conn.SendFile(s.File, s.Pos, int64(s.Len))
				s.Release()
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	appends := func(l *sparseLog) {
		for range each {
			l.batch.SetBaseOffset(0)
			if _, err := l.AppendAsLeader(l.batch, 1, log.AppendOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, work := range []struct {
		name string
		do   func(*sparseLog)
	}{{"fetch", fetch}, {"append", appends}} {
		b.Run(work.name, func(b *testing.B) {
			work.do(logs[0])
			work.do(logs[1])
			b.ResetTimer()
			var small, large []float64
			for i := range b.N {
				var cost [2]float64
				for turn := range 2 {
					which := (i + turn) % 2
					from := cpuTime()
					work.do(logs[which])
					cost[which] = (cpuTime() - from).Seconds()
				}
				small, large = append(small, cost[0]), append(large, cost[1])
			}
			b.ReportMetric(middle(small)/each*1e6, "cpu-µs/op-1GB")
			b.ReportMetric(middle(large)/each*1e6, "cpu-µs/op-50GB")
			b.ReportMetric(middle(large)/middle(small), "50GB/1GB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// BenchmarkLogAppendRatio has the log and plain writes of the same bytes through the same file system calls take turns, 64 MiB
// each: the log's CPU and speed over the plain ones. The goals are a speed of 0.8 or more at 1 MiB.
func BenchmarkLogAppendRatio(b *testing.B) {
	const stretch = 64 << 20
	for _, size := range batchSizes {
		b.Run(size.name, func(b *testing.B) {
			e, batch := osenv.New(osenv.Options{}), benchBatch(b, size.bytes)
			var cpu, speed []float64
			for i := range b.N {
				dir := b.TempDir()
				l, _, err := log.Open(e, log.Options{Dir: dir, TP: tp, Config: benchConfig(), CleanShutdown: true})
				if err != nil {
					b.Fatal(err)
				}
				batch.SetBaseOffset(0)
				if _, err := l.AppendAsLeader(batch, 1, log.AppendOptions{}); err != nil { // the first has the files made
					b.Fatal(err)
				}
				f, err := e.Open(filepath.Join(dir, "plain"), env.CreateNew)
				if err == nil {
					_, err = f.WriteAt(batch, 0)
				}
				if err != nil {
					b.Fatal(err)
				}
				var used [2]float64
				var took [2]time.Duration
				for turn := range 2 {
					which := (i + turn) % 2
					from, began := cpuTime(), time.Now()
					for pos := int64(len(batch)); pos < stretch; pos += int64(len(batch)) {
						if which == 0 {
							_, err = f.WriteAt(batch, pos)
						} else {
							batch.SetBaseOffset(0)
							_, err = l.AppendAsLeader(batch, 1, log.AppendOptions{})
						}
						if err != nil {
							b.Fatal(err)
						}
					}
					used[which], took[which] = (cpuTime() - from).Seconds(), time.Since(began)
				}
				cpu, speed = append(cpu, used[1]/used[0]), append(speed, took[0].Seconds()/took[1].Seconds())
				l.Close()
				f.Close()
				os.RemoveAll(dir)
			}
			b.ReportMetric(middle(cpu), "cpu/plain")
			b.ReportMetric(middle(speed), "speed/plain")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkLogFetchRatio does the same for sending a stretch of a cached log: found and sent, over sent alone. The goal is a
// speed of 0.9 or more.
func BenchmarkLogFetchRatio(b *testing.B) {
	e := osenv.New(osenv.Options{})
	l, _, err := log.Open(e, log.Options{Dir: b.TempDir(), TP: tp, Config: benchConfig(), CleanShutdown: true})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	batch := benchBatch(b, 64<<10)
	for range 2000 {
		batch.SetBaseOffset(0)
		if _, err := l.AppendAsLeader(batch, 1, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for _, size := range batchSizes {
		b.Run(size.name, func(b *testing.B) {
			conn := benchPeer(b, e)
			first, err := l.Read(0, int32(size.bytes), math.MaxInt64, true)
			if err != nil {
				b.Fatal(err)
			}
			defer first.Release()
			var cpu, speed []float64
			for i := range b.N {
				var used [2]float64
				var took [2]time.Duration
				for turn := range 2 {
					which := (i + turn) % 2
					from, began := cpuTime(), time.Now()
					for at := int64(0); at+int64(first.Len) <= 64<<20; at += int64(first.Len) {
						s := first
						s.Pos = at
						if which == 1 {
							offset := at / int64(len(batch)) * int64(batch.Count())
							if s, err = l.Read(offset, int32(size.bytes), math.MaxInt64, true); err != nil {
								b.Fatal(err)
							}
						}
						if _, err := conn.SendFile(s.File, s.Pos, int64(s.Len)); err != nil {
							b.Fatal(err)
						}
						if which == 1 {
							s.Release()
						}
					}
					used[which], took[which] = (cpuTime() - from).Seconds(), time.Since(began)
				}
				cpu, speed = append(cpu, used[1]/used[0]), append(speed, took[0].Seconds()/took[1].Seconds())
			}
			b.ReportMetric(middle(cpu), "cpu/plain")
			b.ReportMetric(middle(speed), "speed/plain")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkLogOpen is the start of a broker with 2,000 partitions after a clean stop, as far as the log goes, and the heap that it
// leaves. The goals are 2 s and 50 MB.
func BenchmarkLogOpen(b *testing.B) {
	const partitions = 2000
	e := osenv.New(osenv.Options{})
	cfg := config.Default()
	cfg.LogDirs = []string{b.TempDir()}
	m, err := log.OpenManager(e, cfg)
	if err != nil {
		b.Fatal(err)
	}
	for n := range int32(partitions) {
		l, err := m.GetOrCreate(wire.TopicPartition{Topic: "many", Partition: n}, [16]byte{1}, cfg.Topic)
		if err == nil {
			_, err = l.AppendAsLeader(benchBatch(b, 4<<10), 0, log.AppendOptions{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := m.Shutdown(true); err != nil {
		b.Fatal(err)
	}
	m = nil
	b.ResetTimer()
	var heap uint64
	for range b.N {
		before := liveHeap()
		m, err := log.OpenManager(e, cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		heap = liveHeap() - before
		if err := m.Shutdown(true); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(heap)/1e6, "heap-MB")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
}

func liveHeap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
