package txn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Random producers, one of them alive and the others zombies, on one transactional id whose writes fail, are late or vanish with the
// coordinator, against what transactions promise: a transaction has one end, the one that its producer was told; all partitions that were
// added get its marker; and who was fenced does nothing any more.

type world struct {
	t     *testing.T
	r     *rand.Rand
	m     *Txn
	at    Now
	v2    bool
	steps []string

	writes    []Write
	durable   Metadata // what the log says
	written   bool     // it says anything
	producers []owner  // what each believes to be
	fence     owner    // the last that an InitProducerId was answered
	open      *instance
	seen      map[string]bool
}

type owner struct {
	id    int64
	epoch int16
}

// instance is one transaction: from its first partition to its end.
type instance struct {
	by      owner
	added   []wire.TopicPartition // whose addition was answered
	decided string                // "", "commit", "abort": of the markers that were sent
	told    string                // what the producer was told
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, s := range w.steps[max(0, len(w.steps)-40):] {
		w.t.Log(s)
	}
	w.t.Fatalf(format, args...)
}

func TestRandomProducersAgainstPromises(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(1500) {
		runModel(t, seed, 0, seen)
	}
	for _, what := range []string{"commit told", "abort told", "markers commit", "markers abort", "fenced", "timed out", "reloaded", "reloaded decided", "new id"} {
		if !seen[what] {
			t.Errorf("never happened: %s", what)
		}
	}
}

// A machine without the bump is found by the same test.
func TestRandomProducersFindTheZombie(t *testing.T) {
	for seed := range uint64(1500) {
		probe := &testing.T{}
		done := make(chan bool)
		go func() {
			defer close(done)
			runModel(probe, seed, bug.TxnNoEpochBump, map[string]bool{})
		}()
		<-done
		if probe.Failed() {
			return
		}
	}
	t.Error("txn-no-epoch-bump was not found")
}

func runModel(t *testing.T, seed uint64, bugs bug.Set, seen map[string]bool) {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{t: t, r: r, at: Now{Wall: 1000}, v2: seed%2 == 1, producers: make([]owner, 3), fence: owner{-1, -1}, seen: seen}
	w.m = New("x", 7, 1000, bugs, w.at)
	if seed%5 == 0 {
		w.m.at.Epoch = epochLast - 3
	}
	for i := range w.producers {
		w.producers[i] = owner{-1, -1}
	}
	for range 120 {
		w.step()
		w.collect()
	}
}

func (w *world) step() {
	p := &w.producers[w.r.IntN(len(w.producers))]
	switch n := w.r.IntN(20); {
	case n < 2:
		w.init(p)
	case n < 7:
		w.add(p)
	case n < 10:
		w.end(p)
	case n < 15:
		w.settle()
	case n < 18:
		tp := wire.TopicPartition{Topic: "t", Partition: w.r.Int32N(4)}
		w.steps = append(w.steps, fmt.Sprintf("marked %s", tp))
		w.m.Marked(w.at, w.m.at.ProducerID, w.m.at.Epoch, tp)
	case n < 19:
		w.pass(int64(w.r.IntN(700)))
	default:
		if w.r.IntN(3) == 0 {
			w.reload()
		}
	}
}

func (w *world) pass(ms int64) {
	w.at = Now{Mono: w.at.Mono + env.Instant(ms*1e6), Wall: w.at.Wall + ms}
	w.steps = append(w.steps, fmt.Sprintf("%d ms pass", ms))
	if w.m.Deadline() <= w.at.Mono {
		ongoing := w.m.at.State == Ongoing
		if w.m.Tick(w.at); ongoing && w.m.Pending() {
			w.seen["timed out"] = true
			w.fence = owner{w.m.at.ProducerID, w.m.at.Epoch}
			if w.open != nil && w.m.at.Epoch == w.open.by.epoch {
				w.fail("a transaction timed out, and its producer is not fenced")
			}
		}
	}
}

func (w *world) init(p *owner) {
	r := InitRequest{TimeoutMs: 1000, ProducerID: -1, Epoch: -1, NewID: -1}
	if w.r.IntN(3) == 0 {
		r.ProducerID, r.Epoch = p.id, p.epoch
	}
	if w.m.NeedsID(r) {
		r.NewID = w.m.at.ProducerID + 1
		w.seen["new id"] = true
	}
	w.steps = append(w.steps, fmt.Sprintf("init %+v", r))
	w.m.Init(w.at, r, func(res InitResult) {
		w.steps = append(w.steps, fmt.Sprintf("  init answered %s %d %d", name(res.Err), res.ProducerID, res.Epoch))
		if res.Err != nil {
			return
		}
		now := owner{res.ProducerID, res.Epoch}
		if now.older(w.fence) {
			w.fail("a producer is given %v after %v", now, w.fence)
		}
		w.fence, *p = now, now
	})
}

func (o owner) older(than owner) bool {
	return o.id < than.id || o.id == than.id && o.epoch < than.epoch
}

func (w *world) add(p *owner) {
	by := *p
	list := []wire.TopicPartition{{Topic: "t", Partition: w.r.Int32N(4)}}
	w.steps = append(w.steps, fmt.Sprintf("add %v by %v", list, by))
	w.m.AddPartitions(w.at, by.id, by.epoch, list, func(err *kerr.Error) {
		w.steps = append(w.steps, fmt.Sprintf("  add answered %s", name(err)))
		if err == kerr.ProducerFenced {
			w.seen["fenced"] = true
		}
		if err != nil {
			return
		}
		if by.older(w.fence) {
			w.fail("%v adds a partition after %v was fenced with", by, w.fence)
		}
		if w.open == nil {
			w.fail("a partition is added and no transaction is open")
		}
		w.open.added = append(w.open.added, list...)
	})
}

func (w *world) end(p *owner) {
	by, of := *p, w.open
	r := EndRequest{ProducerID: by.id, Epoch: by.epoch, Commit: w.r.IntN(2) == 0, V2: w.v2, NewID: -1}
	if w.m.NeedsEndID(r) {
		r.NewID = w.m.at.ProducerID + 1
		w.seen["new id"] = true
	}
	want := map[bool]string{true: "commit", false: "abort"}[r.Commit]
	fresh := !w.m.Pending() && w.m.at.State == Ongoing
	w.steps = append(w.steps, fmt.Sprintf("%s by %v", want, by))
	w.m.End(w.at, r, func(res EndResult) {
		w.steps = append(w.steps, fmt.Sprintf("  %s answered %s %d %d", want, name(res.Err), res.ProducerID, res.Epoch))
		if res.Err != nil {
			return
		}
		w.seen[want+" told"] = true
		if w.v2 {
			*p = owner{res.ProducerID, res.Epoch}
		}
		if !fresh {
			return // what it was told before, or an abort of nothing
		}
		if by.older(w.fence) {
			w.fail("%v ends a transaction after %v was fenced with", by, w.fence)
		}
		if of != nil {
			of.told = want
			w.agree(of)
		}
	})
}

func (w *world) agree(i *instance) {
	if i.told != "" && i.decided != "" && i.told != i.decided {
		w.fail("a producer was told %s, the markers say %s", i.told, i.decided)
	}
}

// settle says what has become of the oldest write.
func (w *world) settle() {
	if len(w.writes) == 0 {
		return
	}
	x := w.writes[0]
	switch n := w.r.IntN(12); {
	case n == 0 && x.Late != nil:
		w.steps = append(w.steps, "a write is late")
		x.Late(kerr.CoordinatorNotAvailable)
		return
	case n == 1:
		w.writes = w.writes[1:]
		w.steps = append(w.steps, "a write fails")
		x.Done(w.at, false, kerr.CoordinatorNotAvailable)
	default:
		w.writes = w.writes[1:]
		w.steps = append(w.steps, "written "+show(*x.Value))
		w.begins(*x.Value)
		w.durable, w.written = *x.Value, true
		var err *kerr.Error
		if n == 2 {
			err = kerr.CoordinatorNotAvailable
		}
		x.Done(w.at, true, err)
	}
}

// begins sees where a transaction begins.
func (w *world) begins(next Metadata) {
	if next.State == Ongoing && w.durable.State != Ongoing {
		w.open = &instance{by: owner{next.ProducerID, next.Epoch}}
	}
}

// collect takes what the machine wants written and sent.
func (w *world) collect() {
	w.writes = append(w.writes, w.m.TakeWrites()...)
	for _, m := range w.m.TakeMarkers() {
		what := map[bool]string{true: "commit", false: "abort"}[m.Commit]
		w.steps = append(w.steps, fmt.Sprintf("markers %s %v", what, m.Partitions))
		w.seen["markers "+what] = true
		if w.open == nil {
			w.fail("markers without a transaction")
		}
		if w.open.decided != "" && w.open.decided != what {
			w.fail("markers say %s, and said %s", what, w.open.decided)
		}
		w.open.decided = what
		w.agree(w.open)
		for _, tp := range w.open.added {
			if !slices.Contains(m.Partitions, tp) {
				w.fail("%s was added, and gets no marker: %v", tp, m.Partitions)
			}
		}
	}
}

// reload lets another coordinator take over: a write that is under way is in its log, or is not.
func (w *world) reload() {
	next := w.durable
	if len(w.writes) > 0 && w.r.IntN(2) == 0 {
		next = *w.writes[0].Value
	}
	if !w.written {
		return
	}
	w.begins(next)
	version := int16(0)
	if w.v2 {
		version = wire.TransactionV2
	}
	m, err := decodeValue("x", encodeValue(&next, version))
	if err != nil {
		w.fail("%v", err)
	}
	w.steps = append(w.steps, "reload "+show(m))
	w.seen["reloaded"] = true
	if m.State.decided() {
		w.seen["reloaded decided"] = true
	}
	if w.fence.id == m.ProducerID && m.Epoch < w.fence.epoch {
		w.fence.epoch = m.Epoch // a fence that was never written, and never answered
	}
	bugs := w.m.bugs
	w.durable, w.writes = m, nil
	w.m = load("x", m, bugs)
	w.m.loaded(w.at)
}
