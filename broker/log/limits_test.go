// Goal: what the log adds to the machine's own limits, measured in one run (make bench-log, readable by benchstat).
// Method: each benchmark of the log has a plain one beside it that moves the same bytes through the same calls of osenv.
// cpu-s/GB is the CPU of the whole process, kernel included: on a busy machine it says more than MB/s.
package log_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/osenv"
	"barnabas/broker/record"

	"golang.org/x/sys/unix"
)

const (
	benchSegment = 256 << 20
	benchTotal   = 1 << 30 // then everything is deleted, outside of the clock: the disk stays small
)

var batchSizes = []struct {
	name  string
	bytes int
}{{"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

// benchBatch makes a batch of 1 KiB records, a little below bytes.
func benchBatch(b *testing.B, bytes int) record.Batch {
	var builder record.Builder
	for range (bytes - record.HeaderSize) / 1034 {
		builder.Append(1, nil, make([]byte, 1024))
	}
	batch, err := builder.Build(nil, record.NewBatchOptions())
	if err != nil {
		b.Fatal(err)
	}
	return batch
}

// cpuTime is the CPU time of the process so far, the kernel's part included.
func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type cpuClock struct{ from, sum time.Duration }

func (c *cpuClock) start() { c.from = cpuTime() }
func (c *cpuClock) stop()  { c.sum += cpuTime() - c.from }
func (c *cpuClock) report(b *testing.B, bytes int) {
	b.SetBytes(int64(bytes))
	b.ReportMetric(c.sum.Seconds()/(float64(b.N)*float64(bytes)/1e9), "cpu-s/GB")
}

func BenchmarkLogAppend(b *testing.B) {
	for _, size := range batchSizes {
		b.Run(size.name, func(b *testing.B) {
			e, batch := osenv.New(osenv.Options{}), benchBatch(b, size.bytes)
			dir := b.TempDir()
			var l *log.Log
			fresh := func() {
				if l != nil {
					l.Close()
					os.RemoveAll(filepath.Join(dir, "castle-3"))
				}
				var err error
				if l, _, err = log.Open(e, log.Options{Dir: dir, TP: tp, Config: benchConfig(), CleanShutdown: true}); err != nil {
					b.Fatal(err)
				}
			}
			fresh()
			b.ReportAllocs()
			b.ResetTimer()
			var cpu cpuClock
			cpu.start()
			for i := range b.N {
				if i > 0 && i%(benchTotal/len(batch)) == 0 {
					cpu.stop()
					b.StopTimer()
					fresh()
					b.StartTimer()
					cpu.start()
				}
				batch.SetBaseOffset(0)
				if _, err := l.AppendAsLeader(batch, 1, log.AppendOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			cpu.stop()
			cpu.report(b, len(batch))
			b.StopTimer()
			l.Close()
		})
	}
}

func benchConfig() config.Topic {
	c := config.DefaultTopic()
	c.SegmentBytes = benchSegment
	return c
}

// BenchmarkLogPlainWrite is the limit of BenchmarkLogAppend: the same writes into files of the same size, and nothing else.
func BenchmarkLogPlainWrite(b *testing.B) {
	for _, size := range batchSizes {
		b.Run(size.name, func(b *testing.B) {
			e, batch := osenv.New(osenv.Options{}), benchBatch(b, size.bytes)
			dir := b.TempDir()
			var f env.File
			var files int
			var pos int64
			next := func() {
				if f != nil {
					f.Close()
				}
				if files++; files > benchTotal/benchSegment {
					b.StopTimer()
					for i := range files {
						os.Remove(filepath.Join(dir, fmt.Sprint(i)))
					}
					files = 1
					b.StartTimer()
				}
				var err error
				if f, err = e.Open(filepath.Join(dir, fmt.Sprint(files)), env.CreateNew); err != nil {
					b.Fatal(err)
				}
				pos = 0
			}
			next()
			b.ReportAllocs()
			b.ResetTimer()
			var cpu cpuClock
			cpu.start()
			for range b.N {
				if pos+int64(len(batch)) > benchSegment {
					cpu.stop()
					next()
					cpu.start()
				}
				if _, err := f.WriteAt(batch, pos); err != nil {
					b.Fatal(err)
				}
				pos += int64(len(batch))
			}
			cpu.stop()
			cpu.report(b, len(batch))
			b.StopTimer()
			f.Close()
		})
	}
}

// benchPeer is a connection whose other end throws everything away.
func benchPeer(b *testing.B, e env.Env) env.Conn {
	l, err := e.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	out, err := e.Dial(l.Addr(), time.Second)
	if err != nil {
		b.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := in.Read(buf); err != nil {
				if err != io.EOF {
					in.Close()
				}
				return
			}
		}
	}()
	b.Cleanup(func() { out.Close() })
	return out
}

// BenchmarkLogFetch finds a stretch of a cached log and sends it; /plain sends the same stretch of the same file by sendfile alone.
func BenchmarkLogFetch(b *testing.B) {
	e := osenv.New(osenv.Options{})
	l, _, err := log.Open(e, log.Options{Dir: b.TempDir(), TP: tp, Config: benchConfig(), CleanShutdown: true})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	batch := benchBatch(b, 64<<10)
	count := int64(batch.Count())
	const batches = 2000
	for range batches {
		batch.SetBaseOffset(0)
		if _, err := l.AppendAsLeader(batch, 1, log.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	end := l.EndOffset()
	for _, size := range append(batchSizes, struct {
		name  string
		bytes int
	}{"16MiB", 16 << 20}) {
		for _, plain := range []bool{true, false} {
			name := size.name + "/log"
			if plain {
				name = size.name + "/plain"
			}
			b.Run(name, func(b *testing.B) {
				conn := benchPeer(b, e)
				s, err := l.Read(0, int32(size.bytes), end, true)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Release()
				room := int64(batches - size.bytes/len(batch))
				b.ReportAllocs()
				b.ResetTimer()
				var cpu cpuClock
				cpu.start()
				for i := range b.N {
					at := int64(i) % room
					if plain {
						_, err = conn.SendFile(s.File, at*int64(len(batch)), int64(s.Len))
					} else {
						var r log.Slice
						if r, err = l.Read(at*count, int32(size.bytes), end, true); err == nil {
							_, err = conn.SendFile(r.File, r.Pos, int64(r.Len))
							r.Release()
						}
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				cpu.stop()
				cpu.report(b, int(s.Len))
			})
		}
	}
}

// BenchmarkLogCRC is what checking a produce costs besides.
func BenchmarkLogCRC(b *testing.B) {
	for _, size := range batchSizes {
		b.Run(size.name, func(b *testing.B) {
			batch := benchBatch(b, size.bytes)
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				batch.ComputeCRC()
			}
		})
	}
}
