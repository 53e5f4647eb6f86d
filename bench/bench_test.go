package bench

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/reports/load"
)

// Goal: a mistake in a workload file is found, with its line and in words. Method: one mistake a case.
func TestWorkloadMistakesAreNamedWithTheirLine(t *testing.T) {
	good := `name: w
title: t
topic:
  partitions: 2
records: {size: 1KiB}
load:
  mode: open
  rate: 10
`
	if _, err := Parse("w.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"  partitions: 2", "  partitons: 2", "w.yaml:4: unknown field"},
		{"  partitions: 2", "  partitions: 0", "w.yaml:4: topic.partitions"},
		{"  partitions: 2", "  partitions: many", `w.yaml:4: "many" is not a whole number`},
		{"load:", "producers: {idempotent: 3}\nload:", `w.yaml:6: "3" is not true or false`},
		{"  rate: 10", "  rate: many", `w.yaml:8: "many" is not a number`},
		{"size: 1KiB", "size: 1KX", `w.yaml:5: records.size: "1KX" is not a size`},
		{"size: 1KiB", "size: [1KiB]", "w.yaml:5: records.size: a plain value is wanted here"},
		{"size: 1KiB", "size: 1KiB, key: zipf, zipf: .nan", "w.yaml:5: records.zipf"},
		{"load:", "consumers: [{mode: tail, members: -1}]\nload:", "w.yaml:6: consumers[0].members"},
		{"load:", "consumers: [{mode: tail, fanout: 100000}]\nload:", "w.yaml:6: consumers[0].fanout"},
		{"load:", "consumers: [{mode: tail, max_bytes: 3GiB}]\nload:", "w.yaml:6: consumers[0].max_bytes"},
		{"load:", "consumers: [{mode: tail, min_bytes: 20MiB}]\nload:", "w.yaml:6: consumers[0].min_bytes"},
		{"load:", "consumers: [{mode: tail, max_wait: 2h}]\nload:", "w.yaml:6: consumers[0].max_wait: 2h0m0s is not within 1ms and 1m0s"},
		{"load:", "producers: {linger: 1h}\nload:", "w.yaml:6: producers.linger: 1h0m0s is not within 0s and 1m0s"},
		{"  rate: 10", "  rate: 10\n---\nname: w2", "w.yaml: a second document"},
		{"size: 1KiB", "size: 3", "w.yaml:5: records.size: 3 is not within"},
		{"size: 1KiB", "key: none", "give either size or sizes"},
		{"size: 1KiB", "size: 1KiB, compressibility: 2", "w.yaml:5: records.compressibility"},
		{"mode: open", "mode: closed", "a rate needs mode: open"},
		{"  rate: 10", "", "needs either rate or steps"},
		{"  rate: 10", "  rate: -1", "not within"},
		{"name: w", "name: W W", "w.yaml:1: name"},
		{"load:", "consumers:\n  - {mode: head}\nload:", "w.yaml:7: consumers[0].mode"},
		{"load:", "producers: {acks: 1}\nload:", "idempotent producers need acks: all"},
		{"load:", "phases: {measure: soon}\nload:", "w.yaml:6: phases.measure: \"soon\" is not a length of time"},
		{"load:", "load:\nload:", "w.yaml:7: mapping key \"load\" already defined"},
		{"load:", "producers: {idempotent: false, transaction: 5}\nload:", "w.yaml:6: producers.transaction: transactions need idempotent: true"},
		{"load:", "producers: {buffer: 4KiB, transaction: 5}\nload:", "it must hold two transactions"},
		{"  rate: 10", "  ramp: {from: 1, to: -2}", "-2 records a second is not within"},
		{"  rate: 10", "  rate: 10\n  ramp: {from: 1, to: 2}", "needs either rate or steps or ramp"},
		{"  mode: open\n  rate: 10", "  mode: closed\n  ramp: {from: 1, to: 2}", "a ramp needs mode: open"},
		{"load:", "consumers: [{mode: tail, commit: 1s}]\nload:", "w.yaml:6: consumers[0].commit: only a group commits"},
		{"load:", "consumers: [{mode: tail, isolation: none}]\nload:", "none of [read_uncommitted read_committed]"},
	} {
		_, err := Parse("w.yaml", []byte(strings.Replace(good, c.from, c.to, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error is %v, want %q", c.to, err, c.want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: not one line: %v", c.to, err)
		}
	}
}

// Goal: every ready-made workload is sound, bears its file's name, and its full form reads as the same again.
func TestReadyMadeWorkloads(t *testing.T) {
	for _, name := range append(Names(), calibrateWorkload) {
		w, err := Read(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again", []byte(w.YAML()))
		if err != nil || again.YAML() != w.YAML() {
			t.Errorf("%s: %v\n%s", name, err, w.YAML())
		}
		if w.Name != name || w.Title == "" || w.Question == "" {
			t.Errorf("%s: name %q, title %q, question %q", name, w.Name, w.Title, w.Question)
		}
	}
	w, err := Read("tail-5k", []string{"load.rate=77", "producers.batch=64KiB", "topic.config.retention.ms=5"})
	if err == nil {
		t.Errorf("a dotted topic config became %v", w.Topic.Config)
	}
	if w, err = Read("tail-5k", []string{"load.rate=77", "producers.batch=64KiB"}); err != nil || w.Load.Rate != 77 || w.Producers.Batch != 64<<10 {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err = Read("tail-5k", []string{"load.rat=77"}); err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("unknown key in --set: %v", err)
	}
}

// model is a clock that goes on only when somebody looks at it or waits, so that a busy machine changes nothing.
type model struct {
	at    int64
	event int64 // when what happens, once
	what  func()
}

func (m *model) now() int64 {
	m.waitUntil(m.at + 200) // a look takes 200 ns
	return m.at
}

func (m *model) waitUntil(deadline int64) {
	if m.what != nil && deadline >= m.event {
		m.at = max(m.at, m.event)
		what := m.what
		m.what = nil
		what()
	}
	m.at = max(m.at, deadline)
}

func (m *model) nap(deadline, least int64) { m.waitUntil(max(deadline, m.at+least)) }

// stalling is a sink that answers at once, except within a stall, when it answers at the stall's end.
type stalling struct {
	clock    clock
	from, to int64
	held     []*item
}

func (s *stalling) send(it *item) {
	if now := s.clock.now(); now >= s.from && now < s.to {
		s.held = append(s.held, it)
		return
	}
	it.promise(nil, nil)
}

func (s *stalling) release() {
	for _, it := range s.held {
		it.promise(nil, nil)
	}
}

func testWorkload(buffer Size) *Workload {
	w := defaults()
	w.Records.Size, w.Producers.Buffer = 100, buffer
	return &w
}

// Goal: a stall shows in the latency as arithmetic says, and not in the slip; also when the client's buffer fills and
// sending stops meanwhile, which is where other generators forget the records that they did not send.
// Method: 2,000 records/s for 2 s against a sink that stalls for 500 ms, on a clock that is a model. A quarter of the records is meant for
// the stall, and those wait between 0 and 500 ms, evenly: percentile p is 500 ms - (100 - p) % of 2,000 ms, where that is above 0.
func TestStallShowsInLatencyNotInSlip(t *testing.T) {
	for name, buffer := range map[string]Size{"room": 1 << 20, "full": 10_000} {
		c := &model{}
		s := &stalling{clock: c, from: 7e8, to: 12e8}
		c.event, c.what = s.to, s.release
		g := newGenerator(c, "t", testWorkload(buffer), []sink{s})
		g.begin(1, 2e9)
		ctx, stop := context.WithCancel(context.Background())
		a := newArrivals("constant", constant(2000), nil)
		g.sinks = []sink{until{s, c, 2e9, stop}}
		g.open(ctx, a, 0)
		if left := g.drain(0); left > 0 {
			t.Fatalf("%s: %d records left", name, left)
		}
		_, h := g.acked.total(2)
		if n := h.Count(); n < 3999 || n > 4000 {
			t.Errorf("%s: %d records, want 4000", name, n)
		}
		for _, p := range []float64{50, 70, 80, 90, 99, 99.9, 100} {
			want := max(0, 500-(100-p)/100*2000)
			if got := float64(h.At(p)) / 1000; math.Abs(got-want) > 2 {
				t.Errorf("%s: p%v is %.1f ms, want %.1f", name, p, got, want)
			}
		}
		if slip := time.Duration(g.slip.At(100)); slip > 300*time.Microsecond { // a thousand promises at once take the model 200
			t.Errorf("%s: slip up to %s", name, slip)
		}
		if full := name == "full"; (g.blocked > 0) != full || full && math.Abs(float64(g.blocked)-45e7) > 2e6 { // 100 records fill it, in 50 ms
			t.Errorf("%s: blocked for %s", name, time.Duration(g.blocked))
		}
	}
}

// until ends the run at a time.
type until struct {
	sink
	clock clock
	end   int64
	stop  func()
}

func (u until) send(it *item) {
	u.sink.send(it)
	if u.clock.now() >= u.end {
		u.stop()
	}
}

// Goal: Poisson arrivals have the mean and the spread of a Poisson process, and constant ones do not drift.
func TestArrivals(t *testing.T) {
	const n, rate = 200_000, 1000.0
	a := newArrivals("poisson", constant(rate), rand.New(rand.NewPCG(1, 2)))
	last, sum, squares := int64(0), 0.0, 0.0
	for range n {
		at := a.next()
		gap := float64(at-last) / 1e9
		last, sum, squares = at, sum+gap, squares+gap*gap
	}
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean*rate-1) > .02 || math.Abs(deviation*rate-1) > .02 {
		t.Errorf("gaps of %v ± %v s, want %v for both", mean, deviation, 1/rate)
	}
	c := newArrivals("constant", constant(3), nil)
	for range 3_000_000 {
		last = c.next()
	}
	if last != 1e15 {
		t.Errorf("three million records at 3/s end at %d ns", last)
	}
}

// Goal: percentiles agree with a sort of the raw samples within three digits.
func TestPercentilesAgreeWithASort(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	h, raw := load.NewLatency(), []int64{}
	for range 100_000 {
		v := int64(math.Exp(r.NormFloat64()*2+7)) + 1
		raw = append(raw, v)
		h.Record(v)
	}
	slices.Sort(raw)
	for _, p := range []float64{1, 50, 90, 99, 99.9, 99.99, 100} {
		want := raw[max(0, int(math.Ceil(p/100*float64(len(raw))-1e-6))-1)]
		if got := h.At(p); math.Abs(float64(got-want)) > float64(want)/1000+1 {
			t.Errorf("p%v is %d, sorted samples say %d", p, got, want)
		}
	}
}

// Goal: the capacity search finds the edge to its precision, confirms it, steps down when a confirmation fails, and ends
// where nothing passes. Method: clusters that are arithmetic.
func TestCapacitySearch(t *testing.T) {
	never := func() bool { return false }
	o := CapacityOptions{Start: 1000, Precision: .05, Confirm: 3}
	for _, edge := range []float64{10, 900, 1000, 37_000, 2e6} {
		tries := 0
		rate, confirmed, err := search(o, func(r float64) (bool, error) { tries++; return r <= edge, nil }, never)
		if err != nil || confirmed != 3 || rate > edge || rate < edge*.9 || tries > 40 {
			t.Errorf("edge %v: found %v, confirmed %d, %d tries, %v", edge, rate, confirmed, tries, err)
		}
	}
	luck := map[float64]int{}
	rate, confirmed, _ := search(o, func(r float64) (bool, error) {
		luck[r]++
		return r <= 10_000 || r <= 12_000 && luck[r] <= 2, nil // passes twice by luck
	}, never)
	if confirmed != 3 || rate > 10_000 || rate < 9_000 {
		t.Errorf("a lucky rate: found %v, confirmed %d", rate, confirmed)
	}
	if rate, _, _ = search(o, func(float64) (bool, error) { return false, nil }, never); rate != 0 {
		t.Errorf("nothing passes, found %v", rate)
	}
	broken := errors.New("broken")
	if _, _, err := search(o, func(float64) (bool, error) { return false, broken }, never); err != broken {
		t.Errorf("error is %v", err)
	}
}

// Goal: a try that is void is done again, twice, and then counts as failed. Method: a cluster that carries 3,000 a second, beside a neighbour who
// spoils two tries of three, and one who spoils all.
func TestCapacityRepeatsWhatIsVoid(t *testing.T) {
	for name, c := range map[string]struct {
		every int // of so many tries one is left alone
		least float64
	}{"two of three": {3, 2500}, "all": {1 << 30, 0}} {
		run, n := &load.Run{}, 0
		repeat := func(rate float64, _ int) error {
			r := load.Repetition{Mode: "open", Offered: rate, Seconds: 1, Produce: load.NewLatency()}
			r.Produce.Record(100)
			if rate > 3000 {
				r.Blocked = 1
			}
			if n++; n%c.every != 0 {
				r.Void = []string{"other processes used 1.00 cores"}
			}
			run.Repetitions = append(run.Repetitions, r)
			return nil
		}
		if err := capacity(run, CapacityOptions{P99: time.Second, Precision: .1}, repeat); err != nil {
			t.Fatal(err)
		}
		if g := run.Goal; g.Rate < c.least || g.Rate > 3000 || (g.Rate > 0) != (c.least > 0) {
			t.Errorf("%s: %+v after %d tries", name, g, n)
		}
	}
}

// Goal: a run does not count when its generator was late, when others used the CPU, or when none was left; and it counts else.
func TestJudge(t *testing.T) {
	sound := func() *load.Repetition {
		r := &load.Repetition{Mode: "open", Offered: 1000, Seconds: 1, Produce: load.NewLatency(), Slip: load.NewSlip(), Idle: .5}
		r.Brokers.Processes = 1
		for range 1000 {
			r.Produce.Record(1000)
			r.Slip.Record(5_000)
		}
		return r
	}
	for _, c := range []struct {
		name  string
		spoil func(*load.Repetition)
		void  string
	}{
		{"sound", func(*load.Repetition) {}, ""},
		{"late", func(r *load.Repetition) { r.Slip.RecordValues(200_000, 100) }, "late by"},
		{"short", func(r *load.Repetition) { r.Offered = 2000 }, "sent 1000 of 2000"},
		{"silent", func(r *load.Repetition) { r.Produce, r.Unfinished = load.NewLatency(), 1000 }, "no record was acknowledged"},
		{"noisy", func(r *load.Repetition) { r.Others = .2 }, "other processes"},
		{"starved", func(r *load.Repetition) { r.Idle = 0 }, "no CPU was left"},
	} {
		r := sound()
		c.spoil(r)
		judge(r, r.Offered*r.Seconds, false)
		if all := strings.Join(r.Void, "; "); (all == "") != (c.void == "") || !strings.Contains(all, c.void) {
			t.Errorf("%s: void %q", c.name, all)
		}
	}
	r := sound()
	r.Others = .2
	judge(r, r.Offered*r.Seconds, true)
	if len(r.Void) != 0 || len(r.Caveats) != 1 {
		t.Errorf("allowed noise: void %q, caveats %q", r.Void, r.Caveats)
	}
}

// BenchmarkGenerator is the generator alone, against a sink that answers at once: records a second of one thread.
func BenchmarkGenerator(b *testing.B) {
	c := newClock()
	g := newGenerator(c, "t", testWorkload(64<<20), []sink{&stalling{clock: c}})
	b.ReportAllocs()
	a := newArrivals("constant", constant(1e9), nil) // always late: as fast as it can
	for b.Loop() {
		intended := a.next()
		g.clock.waitUntil(intended)
		g.inFlight.Add(1)
		g.sinks[0].send(g.maker.make(intended))
	}
}
