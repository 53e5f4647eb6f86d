// Goal: a log gives back what was appended, under the offsets it said, and refuses what Kafka refuses.
// Method: one log on a simulated disk; each test is a short story.
package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
)

var tp = wire.TopicPartition{Topic: "castle", Partition: 3}

// small makes segments roll and indexes grow within a few records.
var small = config.Topic{SegmentBytes: 1000, IndexIntervalBytes: 100}

// fixture is one log and how to open it again.
type fixture struct {
	t testing.TB
	env.Env
	o log.Options
	*log.Log
	recovery log.Recovery
}

func open(t testing.TB, e env.Env, change func(*log.Options)) *fixture {
	o := log.Options{Dir: "/data", TP: tp, TopicID: [16]byte{7}, Config: small}
	if change != nil {
		change(&o)
	}
	f := &fixture{t: t, Env: e, o: o}
	f.reopen(false)
	return f
}

// reopen opens the log as after a process crash, or after a clean stop.
func (f *fixture) reopen(clean bool) {
	f.t.Helper()
	if f.Log != nil {
		f.o.RecoveryPoint = f.RecoveryPoint()
		f.o.StartOffset = f.StartOffset()
		if clean {
			f.must(f.Log.Close())
		}
	}
	f.o.CleanShutdown = clean
	var err error
	f.Log, f.recovery, err = log.Open(f.Env, f.o)
	f.must(err)
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) want(err error, want *kerr.Error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Fatalf("error is %v, want %v", err, want)
	}
}

// build makes a batch of n records whose values are value-0, value-1 ….
func build(value string, n int, change func(*record.BatchOptions)) record.Batch {
	var b record.Builder
	for i := range n {
		b.Append(int64(1000+i), []byte("k"), fmt.Appendf(nil, "%s-%d", value, i))
	}
	o := record.NewBatchOptions()
	if change != nil {
		change(&o)
	}
	raw, err := b.Build(nil, o)
	if err != nil {
		panic(err)
	}
	return raw
}

// lead appends n records as the leader of an epoch.
func (f *fixture) lead(epoch int32, value string, n int) log.AppendInfo {
	f.t.Helper()
	info, err := f.AppendAsLeader(build(value, n, nil), epoch, log.AppendOptions{})
	f.must(err)
	return info
}

// follow appends records as a follower, at an offset.
func (f *fixture) follow(epoch int32, offset int64, value string, n int) error {
	_, err := f.AppendAsFollower(build(value, n, func(o *record.BatchOptions) { o.BaseOffset, o.LeaderEpoch = offset, epoch }))
	return err
}

// sent appends n records as an idempotent producer.
func (f *fixture) sent(id int64, epoch int16, sequence int32, n int) (log.AppendInfo, error) {
	return f.AppendAsLeader(build("p", n, func(o *record.BatchOptions) {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = id, epoch, sequence
	}), 0, log.AppendOptions{})
}

// values reads everything from an offset to upper, in pieces of maxBytes, as "offset=value".
func (f *fixture) values(from, upper int64, maxBytes int32) []string {
	f.t.Helper()
	var out []string
	for next := from; ; {
		s, err := f.Read(next, maxBytes, upper, true)
		f.must(err)
		data, err := s.Bytes()
		s.Release()
		f.must(err)
		if len(data) == 0 {
			return out
		}
		for len(data) > 0 {
			var b record.Batch
			b, data, err = record.Next(data)
			f.must(err)
			f.must(b.Check())
			for it := record.NewIterator(b, 0); it.Next(); {
				if r := it.Record(); r.Offset >= from {
					out = append(out, fmt.Sprintf("%d=%s", r.Offset, r.Value))
				}
			}
			next = b.NextOffset()
		}
	}
}

// run runs a story on a simulated node.
func run(t *testing.T, story func(e env.Env)) {
	t.Helper()
	for seed := range uint64(3) {
		cluster.Test(t, seed, func(e env.Env) {
			if err := e.MkdirAll("/data"); err != nil {
				t.Fatal(err)
			}
			story(e)
		})
	}
}

func TestReadsGiveBackWhatWasAppended(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		var want []string
		for i := range 100 {
			n := 1 + i%4
			info := f.lead(0, fmt.Sprintf("b%d", i), n)
			if info.FirstOffset != int64(len(want)) || info.LastOffset != info.FirstOffset+int64(n)-1 || info.LogAppendTime != -1 || info.MaxTimestamp != int64(1000+n-1) {
				t.Fatalf("append %d: %+v", i, info)
			}
			for j := range n {
				want = append(want, fmt.Sprintf("%d=b%d-%d", len(want), i, j))
			}
		}
		for _, maxBytes := range []int32{1, 250, 1 << 20} {
			if got := f.values(0, math.MaxInt64, maxBytes); !slices.Equal(got, want) {
				t.Fatalf("max %d: got %d records %v", maxBytes, len(got), got)
			}
		}
		for from := int64(0); from < int64(len(want)); from += 7 {
			if got := f.values(from, math.MaxInt64, 500); !slices.Equal(got, want[from:]) {
				t.Fatalf("from %d: %v", from, got)
			}
		}
		if f.EndOffset() != int64(len(want)) || f.StartOffset() != 0 {
			t.Fatal(f.StartOffset(), f.EndOffset())
		}
	})
}

func TestReadEndsBelowItsBounds(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		var sizes []int32
		for i := range 8 {
			b := build(fmt.Sprint(i), 2, nil)
			sizes = append(sizes, int32(len(b)))
			_, err := f.AppendAsLeader(b, 0, log.AppendOptions{})
			f.must(err)
		}
		length := func(offset int64, maxBytes int32, upper int64, minOne bool) int32 {
			s, err := f.Read(offset, maxBytes, upper, minOne)
			f.must(err)
			s.Release()
			return s.Len
		}
		one := sizes[0]
		for _, c := range []struct {
			offset   int64
			maxBytes int32
			upper    int64
			minOne   bool
			want     int32
		}{
			{0, 1 << 20, 16, false, 8 * one}, {0, 1 << 20, 4, false, 2 * one}, {0, 1 << 20, 5, false, 2 * one}, {0, 1 << 20, 1, false, 0},
			{1, 1 << 20, 4, false, 2 * one}, {0, 2*one + 1, 16, false, 2 * one}, {0, one - 1, 16, false, 0}, {0, one - 1, 16, true, one},
			{15, 1 << 20, 16, true, one}, {16, 1 << 20, 16, true, 0}, {4, 1 << 20, 4, true, 0}, {0, 0, 1, true, 0}, {0, 0, 2, true, one},
		} {
			if got := length(c.offset, c.maxBytes, c.upper, c.minOne); got != c.want {
				t.Errorf("%+v: %d bytes", c, got)
			}
		}
		_, err := f.Read(17, 1, 99, true)
		f.want(err, kerr.OffsetOutOfRange)
		_, err = f.Read(-1, 1, 99, true)
		f.want(err, kerr.OffsetOutOfRange)
	})
}

func TestProducersSequencesAreChecked(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		ok := func(epoch int16, sequence int32, n int) int64 {
			t.Helper()
			info, err := f.sent(9, epoch, sequence, n)
			f.must(err)
			if info.Duplicate {
				t.Fatal("taken for a duplicate")
			}
			return info.FirstOffset
		}
		refused := func(epoch int16, sequence int32, want *kerr.Error) {
			t.Helper()
			_, err := f.sent(9, epoch, sequence, 2)
			f.want(err, want)
		}
		ok(0, 100, 2) // an unknown producer may begin anywhere
		refused(0, 101, kerr.OutOfOrderSequenceNumber)
		refused(0, 103, kerr.OutOfOrderSequenceNumber)
		for i := range int32(6) {
			ok(0, 102+2*i, 2)
		}
		for i := range int32(5) { // the last five are answered again, with their offsets
			info, err := f.sent(9, 0, 104+2*i, 2)
			f.must(err)
			if !info.Duplicate || info.FirstOffset != int64(4+2*i) || info.LastOffset != int64(5+2*i) {
				t.Fatalf("duplicate %d: %+v", i, info)
			}
		}
		refused(0, 102, kerr.OutOfOrderSequenceNumber) // the sixth is forgotten
		refused(1, 5, kerr.OutOfOrderSequenceNumber)   // a new epoch begins at 0
		ok(1, 0, 2)
		refused(0, 114, kerr.InvalidProducerEpoch)
		if end := f.EndOffset(); end != 16 {
			t.Fatalf("log ends at %d", end)
		}
	})
}

func TestSequenceWrapsToZero(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		for _, sequence := range []int32{math.MaxInt32 - 2, math.MaxInt32, 1} { // 2, 2 and 1 records
			n := 2
			_, err := f.sent(4, 0, sequence, n)
			f.must(err)
		}
		info, err := f.sent(4, 0, math.MaxInt32, 2)
		f.must(err)
		if !info.Duplicate || info.FirstOffset != 2 {
			t.Fatalf("%+v", info)
		}
		// A batch that ends with the largest sequence is followed by 0, and by nothing else.
		_, err = f.sent(5, 0, math.MaxInt32-1, 2)
		f.must(err)
		_, err = f.sent(5, 0, 1, 2)
		f.want(err, kerr.OutOfOrderSequenceNumber)
		info, err = f.sent(5, 0, 0, 2)
		f.must(err)
		if info.Duplicate {
			t.Fatalf("%+v", info)
		}
	})
}

func TestDuplicatesAreKnownAfterRestartAndTruncation(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		for i := range int32(30) {
			_, err := f.sent(4, 0, 2*i, 2)
			f.must(err)
		}
		for _, clean := range []bool{true, false} {
			f.reopen(clean)
			if f.recovery.Clean != clean {
				t.Fatalf("%+v", f.recovery)
			}
			info, err := f.sent(4, 0, 58, 2)
			f.must(err)
			if !info.Duplicate || info.FirstOffset != 58 {
				t.Fatalf("clean=%v: %+v", clean, info)
			}
		}
		f.must(f.TruncateTo(40))
		info, err := f.sent(4, 0, 38, 2)
		f.must(err)
		if !info.Duplicate || info.FirstOffset != 38 {
			t.Fatalf("%+v", info)
		}
		info, err = f.sent(4, 0, 40, 2)
		f.must(err)
		if info.Duplicate || info.FirstOffset != 40 {
			t.Fatalf("%+v", info)
		}
	})
}

func TestDupOnRetryTakesWhatItHasAgain(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Bugs = bug.DupOnRetry })
		for range 2 {
			info, err := f.sent(4, 0, 0, 1)
			f.must(err)
			if info.Duplicate {
				t.Fatal("the bug is not there")
			}
		}
	})
}

func TestFollowerContinuesExactly(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		f.must(f.follow(2, 0, "a", 3))
		f.want(f.follow(2, 2, "b", 2), kerr.OffsetOutOfRange)
		f.want(f.follow(2, 4, "b", 2), kerr.OffsetOutOfRange)
		b := build("c", 2, func(o *record.BatchOptions) { o.BaseOffset, o.LeaderEpoch = 3, 4 })
		b[len(b)-1] ^= 1
		_, err := f.AppendAsFollower(b)
		f.want(err, kerr.CorruptMessage)
		b[len(b)-1] ^= 1
		info, err := f.AppendAsFollower(append(slices.Clone(b), b[:50]...)) // with a partial batch behind
		f.must(err)
		if info.FirstOffset != 3 || info.LastOffset != 4 || info.Batches != 1 || f.EndOffset() != 5 {
			t.Fatalf("%+v", info)
		}
		if got := f.Epochs(); !slices.Equal(got, []log.EpochEntry{{Epoch: 2, StartOffset: 0}, {Epoch: 4, StartOffset: 3}}) {
			t.Fatal(got)
		}
		_, err = f.AppendAsLeader(build("x", 1, nil), 3, log.AppendOptions{})
		f.want(err, kerr.FencedLeaderEpoch)
	})
}

func TestLeaderRefusesWhatKafkaRefuses(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config.MessageBytesMax = 300 })
		b := build("a", 2, nil)
		b[len(b)-1] ^= 1
		_, err := f.AppendAsLeader(b, 0, log.AppendOptions{})
		f.want(err, kerr.CorruptMessage)
		_, err = f.AppendAsLeader(build("a", 30, nil), 0, log.AppendOptions{})
		f.want(err, kerr.MessageTooLarge)
		_, err = f.AppendAsLeader(bytes.Repeat(build("a", 9, nil), 10), 0, log.AppendOptions{})
		f.want(err, kerr.RecordListTooLarge)
		if f.EndOffset() != 0 || f.Size() != 0 {
			t.Fatal("something was written")
		}
	})
}

func TestLogAppendTimeIsTheBrokers(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, func(o *log.Options) { o.Config.MessageTimestampLogAppend = true })
		now := e.Now().UnixMilli()
		info := f.lead(0, "a", 2)
		if info.LogAppendTime < now || info.MaxTimestamp != info.LogAppendTime {
			t.Fatalf("%+v at %d", info, now)
		}
		f.values(0, 2, 1<<20) // checks the CRC
	})
}

func TestTimestampsAreFound(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		ts := func(i int) int64 { return int64(1000 + 10*i - 25*(i%3)) } // not monotonic
		for i := range 200 {
			var b record.Builder
			b.Append(ts(i), nil, []byte("v"))
			raw, err := b.Build(nil, record.NewBatchOptions())
			f.must(err)
			_, err = f.AppendAsLeader(raw, int32(i/50), log.AppendOptions{})
			f.must(err)
		}
		for _, reopen := range []func(){func() {}, func() { f.reopen(true) }, func() { f.reopen(false) }} {
			reopen()
			for want := int64(900); want < 3100; want += 7 {
				first := -1
				for i := range 200 {
					if ts(i) >= want {
						first = i
						break
					}
				}
				offset, at, epoch, err := f.OffsetForTimestamp(want)
				f.must(err)
				if offset != int64(first) || first >= 0 && (at != ts(first) || epoch != int32(first/50)) {
					t.Fatalf("%d: offset %d at %d epoch %d, want %d", want, offset, at, epoch, first)
				}
			}
			offset, at, _, err := f.OffsetForTimestamp(log.TimestampMax)
			f.must(err)
			if offset != 198 || at != ts(198) {
				t.Fatal(offset, at)
			}
		}
	})
}

func TestLastStableOffsetStaysBelowOpenTransactions(t *testing.T) {
	run(t, func(e env.Env) {
		f := open(t, e, nil)
		txn := func(id int64, sequence int32) {
			_, err := f.AppendAsLeader(build("t", 2, func(o *record.BatchOptions) {
				o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = id, 0, sequence, true
			}), 0, log.AppendOptions{})
			f.must(err)
		}
		end := func(id int64) {
			_, err := f.AppendAsLeader(record.AppendEndTxn(nil, 1, id, 0, record.EndTxnMarker{Type: record.ControlCommit}), 0, log.AppendOptions{Origin: log.FromCoordinator})
			f.must(err)
		}
		lso := func(hw, want int64) {
			t.Helper()
			f.SetHighWatermark(hw)
			if got := f.LastStableOffset(hw); got != want {
				t.Fatalf("hw %d: LSO %d, want %d", hw, got, want)
			}
		}
		f.lead(0, "a", 2)
		txn(1, 0) // 2, 3
		txn(2, 0) // 4, 5
		lso(1, 1)
		lso(6, 2)
		end(1) // 6
		lso(6, 2)
		lso(7, 4)
		f.reopen(false)
		lso(7, 4)
		end(2) // 7
		lso(8, 8)
		f.reopen(true)
		lso(8, 8)
	})
}
