// Goal: after an unclean stop the log holds the whole batches up to the first damage, and nothing else.
// Method: write, damage the files as a disk might, open again, look.
package log_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
)

const home = "/data/castle-3/"

// fill appends n batches of 2 records, 6 to a segment, and returns what reading must give.
func (f *fixture) fill(n int) (want []string) {
	f.t.Helper()
	for i := range n {
		f.lead(int32(i/10), fmt.Sprintf("value-of-batch-%03d", i), 2)
		for j := range 2 {
			want = append(want, fmt.Sprintf("%d=value-of-batch-%03d-%d", 2*i+j, i, j))
		}
	}
	return want
}

func (f *fixture) has(want []string) {
	f.t.Helper()
	if got := f.values(f.StartOffset(), math.MaxInt64, 1<<20); !slices.Equal(got, want) {
		f.t.Fatalf("has %d records, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	if end := f.StartOffset() + int64(len(want)); f.EndOffset() != end {
		f.t.Fatalf("ends at %d, want %d", f.EndOffset(), end)
	}
	for from := f.StartOffset(); from < f.EndOffset(); from += 3 { // and every offset is found
		f.values(from, from+4, 1)
	}
}

// change overwrites a file's bytes.
func (f *fixture) change(name string, edit func(file env.File, size int64)) {
	f.t.Helper()
	file, err := f.Open(home+name, env.ReadWrite)
	f.must(err)
	size, err := file.Size()
	f.must(err)
	edit(file, size)
	f.must(file.Close())
}

func flip(at int64) func(env.File, int64) {
	return func(file env.File, size int64) {
		b := []byte{0}
		file.ReadAt(b, (at+size)%size)
		b[0] ^= 0x10
		file.WriteAt(b, (at+size)%size)
	}
}

// files lists the partition's files with a suffix.
func (f *fixture) files(suffix string) (names []string) {
	f.t.Helper()
	entries, err := f.ReadDir(home)
	f.must(err)
	for _, e := range entries {
		if len(e.Name) == 20+len(suffix) && e.Name[20:] == suffix {
			names = append(names, e.Name)
		}
	}
	return names
}

func TestUncleanStopLosesNothingThatIsWhole(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		want := f.fill(40)
		for i := range 3 {
			f.reopen(false)
			f.has(want)
			if r := f.recovery; r.Clean || r.From != 0 || r.Batches != 40 || r.CutBytes != 0 || r.End != 80 {
				t.Fatalf("reopened %d: %+v", i, r)
			}
		}
		f.must(f.Flush())
		f.reopen(false)
		f.has(want)
		if r := f.recovery; r.From != 80 || r.Batches > 6 { // no more than an index interval and a batch
			t.Fatalf("%+v", r)
		}
		f.reopen(true)
		f.has(want)
		if r := f.recovery; !r.Clean || r.Batches != 0 {
			t.Fatalf("%+v", r)
		}
	})
}

func TestTornTailIsCut(t *testing.T) {
	for cut := range int64(100) {
		cluster.Test(t, uint64(cut), func(e env.Env) {
			e.MkdirAll("/data")
			f := open(t, e, nil)
			want := f.fill(5)
			f.change("00000000000000000000.log", func(file env.File, size int64) { file.Truncate(size - cut) })
			f.reopen(false)
			batch := (int64(len(build("value-of-batch-000", 2, nil))))
			whole := int64(5) - (cut+batch-1)/batch
			f.has(want[:2*whole])
			if torn := cut % batch; torn > 0 && f.recovery.CutBytes != batch-torn || f.recovery.CutSegments != 0 {
				t.Fatalf("cut %d: %+v", cut, f.recovery)
			}
			f.lead(9, "more", 1)
			f.reopen(false)
			f.has(append(want[:2*whole:2*whole], fmt.Sprintf("%d=more-0", 2*whole)))
		})
	}
}

func TestZeroesBehindTheTailAreCut(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		want := f.fill(5)
		f.change("00000000000000000000.log", func(file env.File, size int64) { file.Truncate(size + 5000) })
		f.reopen(false)
		f.has(want)
		if f.recovery.CutBytes != 5000 || f.recovery.CutReason == "" {
			t.Fatalf("%+v", f.recovery)
		}
	})
}

// A flipped bit in the middle: the batch goes, and every segment behind it.
func TestBitFlipCutsEverythingBehind(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		want := f.fill(40)
		logs := f.files(".log")
		batch := int64(len(build("value-of-batch-000", 2, nil)))
		f.change(logs[1], flip(batch+30)) // in its second batch
		f.reopen(false)
		perSegment := 1000 / batch
		f.has(want[:2*(perSegment+1)])
		if r := f.recovery; r.CutSegments != len(logs)-2 || len(f.files(".log")) != 2 || len(f.files(".index")) > 2 {
			t.Fatalf("%+v, left %v %v", r, f.files(".log"), f.files(".index"))
		}
		if got := f.LatestEpoch(); got != 0 {
			t.Fatalf("leader epoch %d is behind the end", got)
		}
	})
}

// What was below the recovery point is not read again: damage there stays, as in Kafka, until somebody reads it.
func TestDamageBelowTheRecoveryPointIsMetByTheReader(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		f.fill(40)
		f.must(f.Flush())
		f.change("00000000000000000000.log", flip(16)) // the magic
		f.reopen(false)
		if f.recovery.CutBytes != 0 {
			t.Fatalf("%+v", f.recovery)
		}
		_, err := f.Read(0, 1000, 80, true)
		f.want(err, kerr.CorruptMessage)
	})
}

func TestDamagedIndexesAreMadeAgain(t *testing.T) {
	damages := map[string]func(f *fixture, name string){
		"missing":   func(f *fixture, name string) { f.must(f.Remove(home + name)) },
		"empty":     func(f *fixture, name string) { f.change(name, func(file env.File, _ int64) { file.Truncate(0) }) },
		"odd size":  func(f *fixture, name string) { f.change(name, func(file env.File, n int64) { file.Truncate(n - 3) }) },
		"zeroes":    func(f *fixture, name string) { f.change(name, func(file env.File, n int64) { file.Truncate(n + 48) }) },
		"first bit": func(f *fixture, name string) { f.change(name, flip(0)) },
		"last bit":  func(f *fixture, name string) { f.change(name, flip(-1)) },
		"other":     func(f *fixture, name string) { f.change(name, flip(6)) },
	}
	for _, damage := range []string{"missing", "empty", "odd size", "zeroes", "first bit", "last bit", "other"} {
		for _, suffix := range []string{".index", ".timeindex"} {
			for _, clean := range []bool{true, false} {
				run(t, func(e env.Env) {
					f := open(t, e, nil)
					want := f.fill(40)
					f.must(f.Log.Close())
					for _, name := range f.files(suffix) {
						damages[damage](f, name)
					}
					f.o.CleanShutdown, f.o.RecoveryPoint = clean, 70
					var err error
					f.Log, f.recovery, err = log.Open(f.Env, f.o)
					f.must(err)
					f.has(want)
					if offset, _, _, err := f.OffsetForTimestamp(1001); err != nil || offset != 1 {
						t.Fatalf("%s %s clean=%v: offset %d, %v", damage, suffix, clean, offset, err)
					}
					f.lead(9, "more", 1)
					f.has(append(want, "80=more-0"))
				})
			}
		}
	}
}

func TestEpochsSurvive(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		f.fill(40)
		epochs := f.Epochs()
		if !slices.Equal(epochs, []log.EpochEntry{{Epoch: 0, StartOffset: 0}, {Epoch: 1, StartOffset: 20}, {Epoch: 2, StartOffset: 40}, {Epoch: 3, StartOffset: 60}}) {
			t.Fatal(epochs)
		}
		f.reopen(false)
		f.must(f.Remove(home + "leader-epoch-checkpoint"))
		f.reopen(false)
		if got := f.Epochs(); !slices.Equal(got, epochs) {
			t.Fatalf("missing checkpoint: %v", got)
		}
		f.must(f.Log.Close()) // nothing is recovered then
		f.must(f.Remove(home + "leader-epoch-checkpoint"))
		f.o.CleanShutdown = true
		var err error
		f.Log, f.recovery, err = log.Open(f.Env, f.o)
		f.must(err)
		if got := f.Epochs(); !f.recovery.Clean || !slices.Equal(got, epochs) {
			t.Fatalf("missing checkpoint behind a clean stop: %v, recovery %+v", got, f.recovery)
		}
		f.change("leader-epoch-checkpoint", flip(0))
		f.reopen(true)
		if got := f.Epochs(); !slices.Equal(got, epochs) {
			t.Fatalf("corrupt checkpoint: %v", got)
		}
		f.must(f.AssignEpoch(7, 80))
		for _, c := range []struct {
			asked, epoch int32
			end          int64
		}{{7, 7, 80}, {5, 3, 80}, {3, 3, 80}, {2, 2, 60}, {0, 0, 20}, {8, -1, -1}, {-1, -1, -1}} {
			if epoch, end := f.EndOffsetForEpoch(c.asked); epoch != c.epoch || end != c.end {
				t.Errorf("epoch %d: %d ends at %d, want %d at %d", c.asked, epoch, end, c.epoch, c.end)
			}
		}
		f.lead(7, "seven", 1) // is written with its first record
		data, err := env.ReadFile(e, home+"leader-epoch-checkpoint", 1000)
		f.must(err)
		if string(data) != "0\n5\n0 0\n1 20\n2 40\n3 60\n7 80\n" {
			t.Fatalf("%q", data)
		}
	})
}

func TestCorruptSnapshotIsPassedOver(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		for i := range int32(30) {
			_, err := f.sent(4, 0, i, 1)
			f.must(err)
		}
		f.must(f.Log.Close())
		for _, name := range f.files(".snapshot") {
			f.change(name, flip(20))
		}
		f.o.CleanShutdown = true
		var err error
		f.Log, f.recovery, err = log.Open(e, f.o)
		f.must(err)
		info, err := f.sent(4, 0, 29, 1)
		f.must(err)
		if !info.Duplicate || info.FirstOffset != 29 {
			t.Fatalf("%+v", info)
		}
	})
}

func TestAnotherTopicsDirectoryIsRefused(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		f.fill(1)
		f.must(f.Log.Close())
		f.o.TopicID = [16]byte{8}
		_, _, err := log.Open(e, f.o)
		f.want(err, kerr.InconsistentTopicID)
	})
}

func TestFailedWriteTakesTheLogOffline(t *testing.T) {
	for _, sync := range []bool{false, true} {
		w := cluster.New(cluster.Options{Seed: 1})
		var failures []error
		w.AddNode("b1", func(e env.Env) {
			e.MkdirAll("/data")
			f := open(t, e, func(o *log.Options) {
				o.Config.FlushMessages = 1
				o.OnFailure = func(err error) { failures = append(failures, err) }
			})
			want := f.fill(3)
			if sync {
				w.Disk("b1").SetFail(diskOpSync, true)
			} else {
				w.Disk("b1").SetFail(diskOpWrite, true)
			}
			_, err := f.AppendAsLeader(build("lost", 2, nil), 0, log.AppendOptions{})
			f.want(err, kerr.KafkaStorageError)
			w.Disk("b1").Heal()
			_, err = f.AppendAsLeader(build("lost", 2, nil), 0, log.AppendOptions{})
			f.want(err, kerr.KafkaStorageError)
			_, err = f.Read(0, 100, 100, true)
			f.want(err, kerr.KafkaStorageError)
			f.want(f.TruncateTo(0), kerr.KafkaStorageError)
			f.want(f.Flush(), kerr.KafkaStorageError)
			if f.EndOffset() != 6 || len(failures) != 1 || !errors.Is(f.Err(), kerr.KafkaStorageError) {
				t.Errorf("end %d, failures %v", f.EndOffset(), failures)
			}
			f.Log = nil
			f.o.RecoveryPoint = 6
			f.reopen(false)
			if got := f.values(0, 6, 1<<20); !slices.Equal(got, want) {
				t.Error(got)
			}
		})
		w.Start("b1")
		w.Run(env.Never)
		if c := w.Crashes(); len(c) > 0 {
			t.Fatal(c[0])
		}
		w.Close()
	}
}

func TestSliceOutlivesRemovalAndCloseButNotTruncation(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		want := f.fill(40)
		read := func(offset int64) log.Slice {
			s, err := f.Read(offset, 1<<20, math.MaxInt64, true)
			f.must(err)
			return s
		}
		first := read(0)
		f.must(f.AdvanceStartOffset(30))
		f.has(want[30:])
		data, err := first.Bytes()
		f.must(err)
		if b, _, err := record.Next(data); err != nil || b.BaseOffset() != 0 || b.Check() != nil {
			t.Fatal("the removed segment is not readable any more")
		}
		first.Release()

		cut, part, gone := read(60), read(56), read(76)
		f.must(f.TruncateTo(60))
		for i := range 12 { // new batches, of the same size, where the old ones were
			f.lead(9, fmt.Sprintf("value-of-BATCH-%03d", i), 2)
		}
		for _, s := range []log.Slice{cut, part, gone} {
			if data, err := s.Bytes(); !errors.Is(err, kerr.NotLeaderForPartition) {
				t.Fatalf("a truncated slice gives %d bytes, %v", len(data), err)
			}
			s.Release()
			s.Release()
		}
		if got := f.values(58, 62, 1<<20); !slices.Equal(got, []string{"58=value-of-batch-029-0", "59=value-of-batch-029-1", "60=value-of-BATCH-000-0", "61=value-of-BATCH-000-1"}) {
			t.Fatal(got)
		}
		held := read(60)
		f.must(f.TruncateFullyAndStartAt(64))
		f.lead(10, "fresh", 2)
		if _, err := held.Bytes(); !errors.Is(err, kerr.NotLeaderForPartition) {
			t.Fatal(err)
		}
		last := read(64)
		f.must(f.Log.Close())
		if _, err := last.Bytes(); err != nil {
			t.Fatal(err)
		}
		last.Release()
		f.Log = nil
		f.o.StartOffset = 64
		f.reopen(false)
		f.has([]string{"64=fresh-0", "65=fresh-1"})
	})
}

func TestTruncation(t *testing.T) {
	for to := int64(0); to <= 82; to++ {
		cluster.Test(t, uint64(to), func(e env.Env) {
			e.MkdirAll("/data")
			f := open(t, e, nil)
			want := f.fill(40)
			f.must(f.TruncateTo(to))
			end := min(to-to%2, 80) // batches of two are whole or gone
			f.has(want[:end])
			if epoch := f.LatestEpoch(); end > 0 && epoch != int32((end-1)/20) || end == 0 && epoch != -1 {
				t.Fatalf("to %d: epoch %d", to, epoch)
			}
			f.lead(50, "new", 1)
			now := append(want[:end:end], fmt.Sprintf("%d=new-0", end))
			f.has(now)
			f.reopen(to%3 == 0)
			f.has(now)
		})
	}
}

func TestRestartAtAnyOffset(t *testing.T) {
	for _, at := range []int64{0, 5, 30, 33, 50, 80, 81, 5000} {
		run(t, func(e env.Env) {
			f := open(t, e, nil)
			f.fill(40)
			f.must(f.AdvanceStartOffset(30))
			f.must(f.TruncateFullyAndStartAt(at))
			if f.StartOffset() != at || f.EndOffset() != at || f.LatestEpoch() != -1 || f.Size() != 0 {
				t.Fatal(f.StartOffset(), f.EndOffset(), f.LatestEpoch())
			}
			f.must(f.follow(8, at, "x", 3))
			f.reopen(at%2 == 0)
			f.has([]string{fmt.Sprintf("%d=x-0", at), fmt.Sprintf("%d=x-1", at+1), fmt.Sprintf("%d=x-2", at+2)})
		})
	}
}

// Goal: an index that makes sense and is not this segment's (of another log, or of batches that were cut) is found out by a truncation
// too, which neither fails nor cuts at the wrong place.
func TestTruncationMeetsAnothersIndex(t *testing.T) {
	for _, to := range []int64{3, 20, 31, 50, 77} {
		for shift := byte(1); shift < 60; shift += 7 {
			run(t, func(e env.Env) {
				f := open(t, e, nil)
				want := f.fill(40)
				f.must(f.Log.Close())
				for _, name := range f.files(".index") {
					f.change(name, func(file env.File, n int64) {
						for at := int64(7); at < n; at += 8 { // the last byte of each position: the entry behind the cut comes to stand before it
							var p [1]byte
							file.ReadAt(p[:], at)
							p[0] -= shift
							file.WriteAt(p[:], at)
						}
					})
				}
				f.o.CleanShutdown = true
				var err error
				f.Log, f.recovery, err = log.Open(f.Env, f.o)
				f.must(err)
				f.must(f.TruncateTo(to))
				f.has(want[:f.EndOffset()])
				if end := f.EndOffset(); end > to || end < to-1 {
					t.Fatalf("cut to %d, asked for %d", end, to)
				}
				f.lead(9, "more", 1)
			})
		}
	}
}
