// Goal: whatever was appended, committed, aborted, compacted, crashed and torn by power losses at any step, the log holds
// of what a reader may see the last record of each key, with its offset, and nothing else than was written; tombstones
// stay as long as they must, producers are known, and read_committed shows what was committed and nothing that was not.
// Method: as in model_test.go, with keys, transactions and a cleaner that runs beside the appends; the model remembers
// every batch ever appended and judges by the definition of compaction, not by the cleaner's.
package log_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
	"barnabas/sim/disk"
)

// keyed is a record as it was appended.
type keyed struct {
	key, value string // value "": a tombstone
	timestamp  int64
}

// keyedBatch is a batch as it was appended.
type keyedBatch struct {
	base, next int64
	records    []keyed
	producer   int64 // -1: none
	epoch      int16
	sequence   int32
	txn        bool
	marker     string // "", "commit", "abort"
}

type compactRun struct {
	t       testing.TB
	seed    uint64
	rand    *rand.Rand
	cfg     config.Broker
	did     map[string]int
	tp      wire.TopicPartition
	batches []keyedBatch
	adding  []keyedBatch
	durable int64
	cutting int64           // being truncated to; math.MaxInt64: not
	cleaned int64           // a pass may have been here
	firstAt map[int64]int64 // offset of a tombstone -> ms at which a pass that covered it began
	lossy   bool
	serial  int
	lives   int
	seqs    map[int64]int32
	open    map[int64]bool // transactions
	hw      int64
	decided map[int64]string // a marker was lost: its coordinator sends it again, and no other
	unclean bool             // what was committed was lost: what the cleaner did with it proves nothing any more
	retain  time.Duration
}

func (r *compactRun) fatal(format string, args ...any) {
	panic(fmt.Sprintf("seed %d life %d: ", r.seed, r.lives) + fmt.Sprintf(format, args...))
}

func (r *compactRun) must(err error) {
	if err != nil {
		r.fatal("%v", err)
	}
}

func (r *compactRun) end() int64 {
	if n := len(r.batches); n > 0 {
		return r.batches[n-1].next
	}
	return 0
}

func (r *compactRun) life(e env.Env) {
	r.lives++
	m, err := log.OpenManager(e, &r.cfg)
	r.must(err)
	m.Start()
	l, err := m.GetOrCreate(r.tp, [16]byte{1}, r.cfg.Topic)
	r.must(err)
	r.reconcile(e, l)
	if r.unclean {
		r.did["unclean"]++
		return
	}
	var busy bool
	for range 1 + r.rand.IntN(120) {
		switch op := r.rand.IntN(100); {
		case op < 55:
			r.append(e, l)
		case op < 70:
			r.endTxn(e, l)
		case op < 82 && !busy:
			r.noteClean(e, l)
			o := log.CleanOptions{BufferBytes: int64(100 + r.rand.IntN(3000))}
			if r.rand.IntN(3) == 0 {
				o.MapBytes = int64(24 * (1 + r.rand.IntN(8))) // full after a few keys
				r.did["small map"]++
			}
			pass := func() {
				stats, err := l.Clean(o)
				r.must(err)
				if stats.BytesWritten > 0 {
					r.did["cleaned"]++
				}
				if stats.SegmentsAfter < stats.Segments {
					r.did["grouped"]++
				}
				r.did["dropped"] += int(stats.RecordsRead - stats.RecordsKept)
				r.cleaned = l.EndOffset()
			}
			if r.rand.IntN(2) == 0 {
				pass()
				r.check(e, l)
				break
			}
			busy = true
			e.Go("clean", func() { pass(); busy = false })
		case op < 86:
			e.Sleep(time.Duration(r.rand.IntN(20)) * time.Millisecond)
		case op < 90:
			r.did["flush"]++
			end := r.end()
			r.must(l.Flush())
			r.durable = max(r.durable, end)
		case op < 93:
			r.truncate(e, l)
		default:
			r.check(e, l)
		}
	}
	for busy {
		e.Sleep(time.Millisecond)
	}
	r.check(e, l)
	r.must(m.Shutdown(true))
	r.durable = r.end()
}

// noteClean remembers, before a pass begins, which tombstones it may meet, and how far it may come.
func (r *compactRun) noteClean(e env.Env, l *log.Log) {
	now := e.Now().UnixMilli()
	for _, b := range r.batches {
		for i, rec := range b.records {
			if _, ok := r.firstAt[b.base+int64(i)]; !ok && rec.value == "" {
				r.firstAt[b.base+int64(i)] = now
			}
		}
	}
	r.cleaned = math.MaxInt64 // until it is over
}

func (r *compactRun) append(e env.Env, l *log.Log) {
	b := keyedBatch{base: r.end(), producer: -1}
	for range 1 + r.rand.IntN(4) {
		r.serial++
		rec := keyed{key: fmt.Sprintf("k%d", r.rand.IntN(9)), value: fmt.Sprintf("v%d", r.serial), timestamp: e.Now().UnixMilli() - int64(r.rand.IntN(50))}
		if r.rand.IntN(4) == 0 {
			rec.value = ""
		}
		b.records = append(b.records, rec)
	}
	b.next = b.base + int64(len(b.records))
	if r.rand.IntN(2) == 0 {
		b.producer = int64(r.rand.IntN(5))
		b.txn = b.producer >= 2
		b.sequence = r.seqs[b.producer]
	}
	r.adding = []keyedBatch{b}
	for i, rec := range b.records {
		if r.cleaned == math.MaxInt64 && rec.value == "" { // the pass at work may meet it
			r.firstAt[b.base+int64(i)] = e.Now().UnixMilli()
		}
	}
	info, err := l.AppendAsLeader(r.bytes(b), 0, log.AppendOptions{})
	r.must(err)
	if info.Duplicate || info.FirstOffset != b.base || info.LastOffset != b.next-1 {
		r.fatal("appended %+v: %+v", b, info)
	}
	r.added(l)
}

func (r *compactRun) bytes(b keyedBatch) []byte {
	if b.marker != "" {
		m := record.EndTxnMarker{Type: record.ControlCommit, CoordinatorEpoch: 1}
		if b.marker == "abort" {
			m.Type = record.ControlAbort
		}
		return record.AppendEndTxn(nil, 5, b.producer, b.epoch, m)
	}
	var bld record.Builder
	for _, rec := range b.records {
		var value []byte
		if rec.value != "" {
			value = []byte(rec.value)
		}
		bld.Append(rec.timestamp, []byte(rec.key), value)
	}
	o := record.NewBatchOptions()
	o.Codec = record.Codec(b.base % 5)
	if b.producer >= 0 {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = b.producer, b.epoch, b.sequence, b.txn
	}
	raw, err := bld.Build(nil, o)
	r.must(err)
	return raw
}

func (r *compactRun) added(l *log.Log) {
	r.batches = append(r.batches, r.adding...)
	r.adding = nil
	r.relearn()
	if r.rand.IntN(2) == 0 {
		r.hw = r.end()
		l.SetHighWatermark(r.hw)
	}
	if r.cfg.Topic.FlushMessages == 1 {
		r.durable = r.end()
	}
}

// relearn finds sequences and open transactions from the batches.
func (r *compactRun) relearn() {
	r.seqs, r.open = map[int64]int32{}, map[int64]bool{}
	for _, b := range r.batches {
		switch {
		case b.marker != "":
			delete(r.open, b.producer)
		case b.producer >= 0:
			r.seqs[b.producer] = b.sequence + int32(len(b.records))
			if b.txn {
				r.open[b.producer] = true
			}
		}
	}
}

func (r *compactRun) endTxn(e env.Env, l *log.Log) {
	for producer := int64(2); producer < 5; producer++ {
		if !r.open[producer] || r.rand.IntN(3) == 0 {
			continue
		}
		b := keyedBatch{base: r.end(), next: r.end() + 1, producer: producer, txn: true, marker: []string{"commit", "abort"}[r.rand.IntN(2)]}
		if m, ok := r.decided[producer]; ok {
			b.marker = m
		}
		delete(r.decided, producer)
		r.did[b.marker]++
		r.adding = []keyedBatch{b}
		info, err := l.AppendAsLeader(r.bytes(b), 0, log.AppendOptions{Origin: log.FromCoordinator})
		r.must(err)
		if info.FirstOffset != b.base {
			r.fatal("marker %+v: %+v", b, info)
		}
		r.added(l)
		return
	}
}

// truncate cuts behind the high watermark: nothing there was compacted.
func (r *compactRun) truncate(e env.Env, l *log.Log) {
	to := max(r.hw, r.end()-int64(r.rand.IntN(30)))
	r.cutting = to
	r.durable = min(r.durable, to)
	r.must(l.TruncateTo(to))
	r.cut(l.EndOffset(), to)
	r.cutting = math.MaxInt64
	r.did["truncate"]++
}

// cut takes a truncation into the model: the log ends at end, which may be lower than asked by what was compacted or
// did not end there.
func (r *compactRun) cut(end, asked int64) {
	if end > asked {
		r.fatal("truncated to %d, ends at %d", asked, end)
	}
	keep := 0
	for keep < len(r.batches) && r.batches[keep].next <= end {
		keep++
	}
	if next := r.batches[keep:]; len(next) > 0 && next[0].next <= asked {
		r.fatal("truncated to %d, ends at %d, %+v is gone", asked, end, next[0])
	}
	lost := r.batches[keep:]
	r.batches = r.batches[:keep:keep]
	if keep > 0 && r.end() != end || keep == 0 && end != 0 {
		r.fatal("truncated to %d, ends at %d, in the midst of a batch", asked, end)
	}
	r.durable = min(r.durable, end)
	for offset := range r.firstAt { // unordered: each is judged by itself
		if offset >= end {
			delete(r.firstAt, offset)
		}
	}
	r.relearn()
	for _, b := range slices.Backward(lost) { // of several the first
		if b.marker != "" && r.open[b.producer] {
			r.decided[b.producer] = b.marker
		}
	}
}

func newCompactRun(t testing.TB, seed uint64, did map[string]int) *compactRun {
	r := &compactRun{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 2)), did: did, tp: wire.TopicPartition{Topic: "m"}, cutting: math.MaxInt64, firstAt: map[int64]int64{}, decided: map[int64]string{}}
	r.retain = time.Duration(r.rand.IntN(3)) * 20 * time.Millisecond
	r.cfg.LogDirs = []string{"/data/logs"}
	r.cfg.Topic = config.Topic{SegmentBytes: int32(300 + r.rand.IntN(1500)), IndexIntervalBytes: int32(50 + r.rand.IntN(400)), CleanupPolicyCompact: true, DeleteRetention: r.retain}
	if r.rand.IntN(3) == 0 {
		r.cfg.Topic.FlushMessages = 1
	}
	r.relearn()
	return r
}

// run returns what the node died of, "" if nothing.
func (r *compactRun) run() string {
	w := cluster.New(cluster.Options{Seed: r.seed})
	defer w.Close()
	w.AddNode("b1", r.life)
	for range 8 {
		if r.unclean {
			break
		}
		w.Start("b1")
		steps := w.Steps() + uint64(r.rand.IntN(2500))
		w.RunUntil(func() bool { return w.Status("b1") != cluster.Running || w.Steps() >= steps }, env.Never)
		if c := w.Crashes(); len(c) > 0 {
			return c[0].String()
		}
		switch {
		case w.Status("b1") != cluster.Running:
			r.did["clean stop"]++
		case r.rand.IntN(2) == 0:
			r.did["crash"]++
			w.Crash("b1")
		default:
			r.did["power loss"]++
			r.lossy = true
			w.PowerLoss("b1", disk.KeepRandom)
		}
	}
	return ""
}

func TestCompactionModel(t *testing.T) {
	seeds := *modelSeeds
	if testing.Short() {
		seeds = 20
	}
	did := map[string]int{}
	for seed := range seeds {
		if why := newCompactRun(t, *modelFirst+seed, did).run(); why != "" {
			t.Fatal(why)
		}
	}
	t.Log(did)
	for _, what := range []string{"cleaned", "grouped", "dropped", "small map", "commit", "abort", "tombstone gone", "truncate", "flush", "crash", "power loss", "clean stop", "duplicate"} {
		if did[what] == 0 {
			t.Errorf("no %s in %d seeds: the test proves nothing about it", what, seeds)
		}
	}
}
