// Goal: whatever is appended, truncated, rolled, closed, crashed and torn by power losses, the log holds what a list in
// memory would, and after a crash what it may: at least everything that was durable, at most everything that was there,
// always a prefix of it.
// Method: one node on a simulated disk does random operations on two partitions of a manager; a harness kills it at
// random steps, by process crash or power loss, starts it again, and compares before going on.
package log_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
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

// modelBatch is one batch as the model remembers it.
type modelBatch struct {
	base, next int64
	epoch      int32
	name       string
	producer   int64 // -1: none
	sequence   int32
}

// modelLog is one partition's log as it must be.
type modelLog struct {
	start, end int64
	batches    []modelBatch
	durable    int64 // offset below which nothing may be lost
	epoch      int32

	// What was being done when the node died may have happened, or not, or in part.
	adding    []modelBatch // were being appended
	cutting   int64        // the log was being truncated to this offset; math.MaxInt64: it was not
	starting  int64        // it was being emptied and restarted here; -1: it was not
	advancing int64        // its start was being raised to this; -1: it was not

	lossy bool // there was a power loss since the log was last looked at
}

func newModel() *modelLog { return &modelLog{cutting: math.MaxInt64, starting: -1, advancing: -1} }

func (m *modelLog) truncate(offset int64) {
	for len(m.batches) > 0 && m.batches[len(m.batches)-1].next > offset {
		m.end = m.batches[len(m.batches)-1].base
		m.batches = m.batches[:len(m.batches)-1]
	}
	m.durable = min(m.durable, m.end)
	m.start = min(m.start, m.end)
}

func (m *modelLog) advance(offset int64) {
	m.start = max(m.start, offset)
}

func (m *modelLog) restart(offset int64) {
	*m = modelLog{start: offset, end: offset, durable: offset, epoch: m.epoch, cutting: math.MaxInt64, starting: -1, advancing: -1}
}

// modelRun is one seed.
type modelRun struct {
	t          *testing.T
	seed       uint64
	rand       *rand.Rand
	cfg        config.Broker
	logs       map[wire.TopicPartition]*modelLog
	tps        []wire.TopicPartition
	serial     int
	lives      int
	clean      bool // the last stop was clean
	held       []heldSlice
	did        map[string]int
	recoveries []log.Recovered
}

// heldSlice is a slice that somebody is slow to send.
type heldSlice struct {
	slice log.Slice
	tp    wire.TopicPartition
	want  []string // names of its batches
}

func (r *modelRun) fatal(format string, args ...any) {
	panic(fmt.Sprintf("seed %d life %d: ", r.seed, r.lives) + fmt.Sprintf(format, args...) + fmt.Sprintf("\n%+v", r.recoveries))
}

func (r *modelRun) must(err error) {
	if err != nil {
		r.fatal("%v", err)
	}
}

// life is the main function of the node.
func (r *modelRun) life(e env.Env) {
	r.lives++
	r.held = nil
	m, err := log.OpenManager(e, &r.cfg)
	r.must(err)
	r.recoveries = m.Recoveries()
	m.Start()
	for _, tp := range r.tps {
		l, err := m.GetOrCreate(tp, [16]byte{1}, r.cfg.Topic)
		r.must(err)
		r.reconcile(tp, l)
	}
	r.clean = false
	for range 1 + r.rand.IntN(200) {
		tp := r.tps[r.rand.IntN(len(r.tps))]
		r.step(m.Get(tp), tp, r.logs[tp])
	}
	for _, tp := range r.tps {
		r.compare(m.Get(tp), r.logs[tp])
	}
	for _, h := range r.held {
		h.slice.Release()
	}
	r.must(m.Shutdown(true))
	for _, tp := range r.tps {
		r.logs[tp].durable = r.logs[tp].end
	}
	r.clean = true
}

func (b modelBatch) String() string {
	return fmt.Sprintf("%d-%d:%d:%s", b.base, b.next, b.epoch, b.name)
}

func (r *modelRun) bytes(b modelBatch) []byte {
	var bld record.Builder
	size := len(b.name) * 7 % 90
	for range b.next - b.base {
		bld.Append(int64(r.serial), []byte(b.name), make([]byte, size))
	}
	o := record.NewBatchOptions()
	if b.producer >= 0 {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = b.producer, 0, b.sequence
	}
	raw, err := bld.Build(nil, o)
	r.must(err)
	return raw
}

// step does one random operation on the log, and on the model as far as it is certain.
func (r *modelRun) step(l *log.Log, tp wire.TopicPartition, m *modelLog) {
	op := r.rand.IntN(100)
	switch {
	case op < 50:
		r.lead(l, m)
	case op < 65:
		r.follow(l, m)
	case op < 78:
		r.read(l, tp, m)
	case op < 84:
		r.did["flush"]++
		end := m.end
		r.must(l.Flush())
		m.durable = max(m.durable, end)
	case op < 92:
		r.did["truncate"]++
		m.cutting = max(0, m.end-int64(r.rand.IntN(40)))
		m.durable = min(m.durable, m.cutting)
		if r.rand.IntN(10) == 0 {
			m.cutting = r.rand.Int64N(m.end + 1)
		}
		if m.cutting < l.StartOffset() {
			m.cutting = l.StartOffset()
		}
		r.must(l.TruncateTo(m.cutting))
		m.truncate(m.cutting)
		m.cutting = math.MaxInt64
		if l.EndOffset() != m.end {
			r.fatal("truncated to %d, model to %d", l.EndOffset(), m.end)
		}
	case op < 94:
		r.did["advance"]++
		m.advancing = m.start + r.rand.Int64N(m.end-m.start+1)
		r.must(l.AdvanceStartOffset(m.advancing))
		m.advance(m.advancing)
		m.advancing = -1
	case op < 96:
		r.did["retention"]++
		r.retain(l, m)
	case op < 97:
		r.did["restart"]++
		m.starting = max(0, m.end-20+int64(r.rand.IntN(60)))
		r.must(l.TruncateFullyAndStartAt(m.starting))
		m.restart(m.starting)
	case op < 98:
		m.epoch++
		r.must(l.AssignEpoch(m.epoch, m.end))
	default:
		r.compare(l, m)
	}
}

// retain lets everything be committed and keeps some of it.
func (r *modelRun) retain(l *log.Log, m *modelLog) {
	cfg := r.cfg.Topic
	cfg.CleanupPolicyDelete, cfg.Retention, cfg.RetentionBytes = true, -1, r.rand.Int64N(l.Size()+1)
	l.SetConfig(cfg)
	l.SetHighWatermark(m.end)
	m.advancing = m.end                         // or less
	whole := l.StartOffset() == l.FirstOffset() // else a crash left segments below the start, which go whatever there is
	_, err := l.DeleteOldSegments()
	r.must(err)
	if least := cfg.RetentionBytes; l.Size() < least && whole {
		r.fatal("%d bytes are left, retention.bytes is %d", l.Size(), least)
	}
	m.advance(l.StartOffset())
	m.advancing = -1
	l.SetConfig(r.cfg.Topic)
}

// next makes the batch that comes now.
func (r *modelRun) next(m *modelLog, base int64) modelBatch {
	r.serial++
	b := modelBatch{base: base, next: base + 1 + int64(r.rand.IntN(5)), epoch: m.epoch, name: fmt.Sprintf("n%d", r.serial), producer: -1}
	if r.rand.IntN(3) == 0 {
		b.producer = int64(r.serial) // each id once: any sequence is its first
		b.sequence = int32(r.rand.IntN(1000))
	}
	return b
}

func (r *modelRun) lead(l *log.Log, m *modelLog) {
	r.did["lead"]++
	m.epoch = max(m.epoch, l.LatestEpoch())
	b := r.next(m, m.end)
	m.adding = []modelBatch{b}
	info, err := l.AppendAsLeader(r.bytes(b), m.epoch, log.AppendOptions{})
	r.must(err)
	if info.Duplicate || info.FirstOffset != b.base || info.LastOffset != b.next-1 {
		r.fatal("appended %v: %+v", b, info)
	}
	r.added(m)
}

func (r *modelRun) follow(l *log.Log, m *modelLog) {
	r.did["follow"]++
	m.epoch = max(m.epoch, l.LatestEpoch())
	var raw []byte
	for base := m.end; ; {
		if r.rand.IntN(4) == 0 {
			m.epoch++
		}
		b := r.next(m, base)
		p := record.Batch(r.bytes(b))
		p.SetBaseOffset(b.base)
		p.SetLeaderEpoch(b.epoch)
		raw = append(raw, p...)
		m.adding = append(m.adding, b)
		if base = b.next; r.rand.IntN(3) == 0 {
			break
		}
	}
	_, err := l.AppendAsFollower(raw)
	r.must(err)
	r.added(m)
}

func (r *modelRun) added(m *modelLog) {
	m.batches = append(m.batches, m.adding...)
	m.end = m.adding[len(m.adding)-1].next
	m.adding = nil
	if r.cfg.Topic.FlushMessages == 1 {
		m.durable = m.end
	}
}

// modelSeeds is how many seeds the tests against a model run; make soak-log has 10,000.
var modelSeeds = flag.Uint64("model-seeds", 300, "seeds of the tests of the log against a model")

var modelFirst = flag.Uint64("model-first", 0, "the first of -model-seeds seeds")

// TestModel is described above. -short runs fewer seeds.
func TestModel(t *testing.T) {
	seeds := *modelSeeds
	if testing.Short() {
		seeds = 20
	}
	did := map[string]int{}
	for seed := range seeds {
		runModel(t, *modelFirst+seed, did)
	}
	t.Log(did)
	for _, what := range []string{"lead", "follow", "read", "flush", "truncate", "advance", "retention", "restart", "crash", "power loss", "clean", "duplicate", "slice cut"} {
		if did[what] == 0 {
			t.Errorf("no %s in %d seeds: the test proves nothing about it", what, seeds)
		}
	}
}

func (r *modelRun) powerLoss(w *cluster.World) {
	w.PowerLoss("b1", disk.KeepRandom)
	for _, m := range r.logs {
		m.lossy = true
	}
}

func runModel(t *testing.T, seed uint64, did map[string]int) {
	r := &modelRun{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), logs: map[wire.TopicPartition]*modelLog{}, did: did}
	r.cfg.LogDirs = []string{"/data/logs"}
	r.cfg.Topic = config.Topic{SegmentBytes: int32(300 + r.rand.IntN(3000)), IndexIntervalBytes: int32(50 + r.rand.IntN(400))}
	if r.rand.IntN(3) == 0 {
		r.cfg.Topic.FlushMessages = 1
	}
	r.cfg.Topic.FileDeleteDelay = time.Duration(r.rand.IntN(3)) * time.Millisecond
	for p := range int32(2) {
		tp := wire.TopicPartition{Topic: "m", Partition: p}
		r.tps = append(r.tps, tp)
		r.logs[tp] = newModel()
	}
	w := cluster.New(cluster.Options{Seed: seed})
	defer w.Close()
	w.AddNode("b1", r.life)
	for range 12 {
		w.Start("b1")
		steps := w.Steps() + uint64(r.rand.IntN(3000))
		w.RunUntil(func() bool { return w.Status("b1") != cluster.Running || w.Steps() >= steps }, env.Never)
		if c := w.Crashes(); len(c) > 0 {
			t.Fatalf("seed %d: %s", seed, c[0])
		}
		switch {
		case w.Status("b1") != cluster.Running:
			did["clean"]++
			if r.rand.IntN(2) == 0 {
				r.powerLoss(w)
			}
		case r.rand.IntN(2) == 0:
			did["crash"]++
			w.Crash("b1")
		default:
			did["power loss"]++
			r.powerLoss(w)
		}
	}
}
