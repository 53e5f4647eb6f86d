package models_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
	"barnabas/linearizability/models"
)

// long is a sound history of so many operations of one partition by twenty clients: appends, a fifth of them of unknown
// end, and fetches that keep up.
func long(ops int) *history.History {
	topic := history.Promised("t", 1)
	h := &history.History{Header: history.Header{Scenario: "long", Topics: []history.Topic{topic}}}
	var log []history.Record
	next := make([]int64, 20)
	now := int64(0)
	for i := range ops {
		now += 1000
		c := i % 20
		op := history.NewOp(history.Fetch, "t", 0)
		op.ID, op.Process, op.Call, op.Return, op.Outcome = int64(i+1), int32(c), now, now+15_000, history.OK
		if i%5 < 3 {
			op.Kind, op.Acks, op.Offset = history.Produce, -1, int64(len(log))
			op.Records = []history.Record{{Offset: history.None, Value: int64(i + 1), Sum: uint32(i)}}
			log = append(log, history.Record{Offset: int64(len(log)), Value: int64(i + 1), Sum: uint32(i)})
			if i%15 == 0 {
				op.Outcome, op.Offset = history.Unknown, history.None
			}
		} else {
			end := min(int64(len(log)), next[c]+40)
			op.From, op.Next, op.HighWatermark = next[c], end, int64(len(log))
			op.Records = log[next[c]:end:end]
			next[c] = end
		}
		h.Ops = append(h.Ops, op)
	}
	now += 100_000
	for from := 0; from < len(log); from += 50_000 {
		end := min(len(log), from+50_000)
		op := history.NewOp(history.Fetch, "t", 0)
		op.ID, op.Process, op.Call, op.Return, op.Outcome, op.Drain = int64(len(h.Ops)+1), 99, now, now+5, history.OK, true
		op.From, op.Next, op.HighWatermark, op.Records = int64(from), int64(end), int64(len(log)), log[from:end:end]
		now += 10
		h.Ops = append(h.Ops, op)
	}
	h.Drains = []history.Drain{{Topic: "t", End: int64(len(log)), Time: now}}
	return h
}

// BenchmarkEverything is the speed and the memory of judging 100,000 operations with everything on: the online judge, the
// gate, and the counted model in windows.
func BenchmarkEverything(b *testing.B) {
	h := long(100_000)
	var most uint64
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		stop, peak := make(chan bool), make(chan uint64)
		go func() {
			top := uint64(0)
			for {
				select {
				case <-stop:
					peak <- top
					return
				case <-time.After(5 * time.Millisecond):
					runtime.ReadMemStats(&after)
					top = max(top, after.HeapInuse)
				}
			}
		}()
		o := check.NewOnline(h.Header.Topics, 0)
		for i := range h.Ops {
			o.Op(h.Ops[i])
		}
		if v := o.First(); v != nil {
			b.Fatal(v)
		}
		if v := check.Judge(h, check.Options{}); !v.OK {
			b.Fatal(v.Unknown, v.Violations)
		}
		if got := models.Counted(h, "t", 0, 2000, time.Minute); got != porcupine.Ok {
			b.Fatal(got)
		}
		stop <- true
		most = max(most, <-peak)
	}
	b.ReportMetric(float64(most)/1e6, "heap-MB")
	b.ReportMetric(float64(len(h.Ops)), "ops")
}
