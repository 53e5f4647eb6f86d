package bench

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"barnabas/reports/load"
)

func simulated(t *testing.T, name string, o SimOptions, sets ...string) *load.Run {
	t.Helper()
	w, err := Read(name, append([]string{"phases.warmup=200ms", "phases.measure=600ms", "phases.cooldown=100ms", "phases.interval=100ms", "phases.repetitions=1"}, sets...))
	if err != nil {
		t.Fatal(err)
	}
	if o.Profile == nil {
		if o.Profile, err = ReadProfile("laptop"); err != nil {
			t.Fatal(err)
		}
	}
	run, err := Simulate(context.Background(), w, o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// Goal: the same workload, profile and seed give the same figures, another seed others.
func TestSimulatedRunsRepeat(t *testing.T) {
	figures := func(seed uint64) string {
		r := simulated(t, "tail-5k", SimOptions{Seed: seed}).Repetitions[0]
		if r.Produce.Count() != 3000 || r.EndToEnd.Count() != 3000 || len(r.Errors) > 0 {
			t.Errorf("seed %d: %d and %d of 3000 records, errors %v", seed, r.Produce.Count(), r.EndToEnd.Count(), r.Errors)
		}
		data, err := json.Marshal(struct {
			A, B, C *load.Histogram
			U       load.Usage
		}{r.Produce, r.EndToEnd, r.Fetch, r.Brokers})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	a := figures(1)
	if a != figures(1) {
		t.Error("two runs of seed 1 differ")
	}
	if a == figures(2) {
		t.Error("seeds 1 and 2 do not differ")
	}
}

// Goal: every kind of load runs in the simulated world: closed, groups that commit, fan-out, catch-up beside tail, zones.
func TestSimulatedKinds(t *testing.T) {
	r := simulated(t, "produce-64k", SimOptions{Seed: 1}, "phases.warmup=50ms", "phases.measure=100ms", "phases.interval=50ms").Repetitions[0]
	if r.Produced.Records == 0 || r.Brokers.CPUSeconds == 0 {
		t.Errorf("closed: %+v", r)
	}
	r = simulated(t, "tail-5k", SimOptions{Seed: 1}, "load.rate=2000", "topic.partitions=4", "consumers=[{mode: tail, group: true, members: 2, commit: 100ms}]", "phases.warmup=2s").Repetitions[0]
	if r.EndToEnd.Count() != 1200 || r.Commit.Count() == 0 {
		t.Errorf("group: %d records, %d commits, %v", r.EndToEnd.Count(), r.Commit.Count(), r.Errors)
	}
	r = simulated(t, "mixed", SimOptions{Seed: 1}, "consumers=[{mode: tail}, {mode: catchup, backlog: 4MiB}]", "load.rate=500").Repetitions[0]
	if r.Consumed.Bytes < 4<<20 || r.Produced.Records == 0 {
		t.Errorf("mixed: %+v", r)
	}
	r = simulated(t, "consume", SimOptions{Seed: 1}, "consumers=[{mode: catchup, backlog: 8MiB}]").Repetitions[0]
	if r.Consumed.Bytes < 8<<20 || r.Seconds == 0 {
		t.Errorf("catch-up: %+v", r)
	}
	r = simulated(t, "transactions", SimOptions{Seed: 1}, "load.rate=2000", "producers.transaction=50").Repetitions[0]
	if n := r.Produce.Count(); r.EndToEnd.Count() != n || n < 1000 || r.Commit.Count() < 15 || r.Commit.Count() > 30 || len(r.Errors) > 0 {
		t.Errorf("transactions: %d and %d of 1200 records, %d commits, %v", n, r.EndToEnd.Count(), r.Commit.Count(), r.Errors)
	} else if ack := r.Produce.At(50); ack < 25_000/2 || ack < r.Commit.At(50) { // of two producers each has a record a ms: the middle one of fifty waits for 25 more
		t.Errorf("transactions: a record is through after %d µs at the median, a commit takes %d", ack, r.Commit.At(50))
	}
	zones, err := ReadProfile("three-zones")
	if err != nil {
		t.Fatal(err)
	}
	near, err := ReadProfile("cloud-network-disks")
	if err != nil {
		t.Fatal(err)
	}
	far := simulated(t, "replicated-5k", SimOptions{Seed: 1, Profile: zones}, "load.rate=500").Repetitions[0]
	one := simulated(t, "replicated-5k", SimOptions{Seed: 1, Profile: near}, "load.rate=500").Repetitions[0]
	if d := far.Produce.At(50) - one.Produce.At(50); d < 800 || far.Produce.Count() != 300 {
		t.Errorf("three zones 500 µs apart cost %d µs at the median of %d records, with two followers to hear from", d, far.Produce.Count())
	}
}

// Goal: the capacity of a cluster that nobody has is found by the same search, and confirmed. Method: a
// short stretch, a start that is near.
func TestSimulatedCapacity(t *testing.T) {
	laptop, _ := ReadProfile("laptop")
	w, err := Read("tail-5k", []string{"phases.warmup=50ms", "phases.measure=100ms", "phases.cooldown=10ms", "phases.interval=50ms"})
	if err != nil {
		t.Fatal(err)
	}
	run, err := SimulatedCapacity(context.Background(), w, SimOptions{Profile: laptop, Seed: 1}, CapacityOptions{P99: 5 * time.Millisecond, Start: 100_000, Confirm: 1, Precision: .3})
	if err != nil {
		t.Fatal(err)
	}
	if g := run.Goal; g == nil || g.Rate < 10_000 || g.Confirmed != 1 || !strings.Contains(g.Note, "failed") || run.World != "sim" || len(run.Repetitions) < 3 {
		t.Fatalf("%+v after %d tries", g, len(run.Repetitions))
	}
	w.Load.Mode = "closed"
	if _, err := SimulatedCapacity(context.Background(), w, SimOptions{Profile: laptop}, CapacityOptions{}); err == nil || !strings.Contains(err.Error(), "needs load.mode: open") {
		t.Errorf("a closed loop: %v", err)
	}
}

// Goal: a simulated run that is interrupted keeps what it has measured, marked.
func TestSimulatedRunIsInterrupted(t *testing.T) {
	laptop, _ := ReadProfile("laptop")
	w, err := Read("tail-5k", []string{"phases.warmup=50ms", "phases.measure=1000s", "phases.interval=100ms", "load.rate=1000"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer stop()
	run, err := Simulate(ctx, w, SimOptions{Profile: laptop, Seed: 1})
	if err != nil || !run.Interrupted || len(run.Repetitions) != 1 || len(run.Repetitions[0].Intervals) == 0 {
		t.Fatalf("%+v, %v", run, err)
	}
	if c := strings.Join(run.Repetitions[0].Caveats, "; "); !strings.Contains(c, "interrupted: ") || strings.Contains(c, "not answered") {
		t.Errorf("its notes: %s", c)
	}
}

// Goal: a killed leader costs about its session's time-out, and the report says so; nothing else is lost.
func TestSimulatedLeaderFailover(t *testing.T) {
	run := simulated(t, "replicated-5k", SimOptions{Seed: 3, Scenario: "leader-failover"}, "load.rate=200", "topic.partitions=1", "phases.measure=30s", "phases.interval=250ms")
	r := run.Repetitions[0]
	f := r.Fault
	if f == nil || f.Silent < 2 || f.Silent > 9 || f.Recovered < f.Silent-1 || f.Recovered > 15 || f.Worst < 2e6 || f.Failed > 0 {
		t.Fatalf("%+v", f)
	}
	if r.Produce.Count() != 6000 || r.EndToEnd.Count() != 6000 {
		t.Errorf("%d and %d of 6000 records", r.Produce.Count(), r.EndToEnd.Count())
	}
	kinds := ""
	for _, e := range r.Events {
		kinds += e.Kind + " "
	}
	if !strings.Contains(kinds, "fault leader heal") {
		t.Errorf("events %s", kinds)
	}
}

// Goal: what cannot be simulated is refused in a sentence.
func TestSimulatedRefusals(t *testing.T) {
	laptop, _ := ReadProfile("laptop")
	for _, c := range []struct {
		name, set string
		o         SimOptions
		want      string
	}{
		{"tail-5k", "load.rate=10000000", SimOptions{Profile: laptop}, "simulated disks are memory"},
		{"replicated-5k", "load.rate=1", SimOptions{Profile: laptop, Brokers: 2}, "needs as many brokers"},
		{"tail-5k", "load.rate=1", SimOptions{Profile: laptop, Scenario: "flood"}, "there are [leader-failover"},
		{"tail-5k", "load.rate=1", SimOptions{}, "needs a profile"},
	} {
		w, err := Read(c.name, []string{c.set})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Simulate(context.Background(), w, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.set, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"title: t":                                   `p.yaml: name: "": lower-case`,
		"name: x\nmachine: {cores: many}":            `p.yaml:2: "many" is not a whole number`,
		"name: x\nbroker: {read_byte: -1}":           "p.yaml:2: broker: -1 ns a byte",
		"name: x\nbroker: {read: 5h}":                "p.yaml:2: broker: 5h0m0s is not within 0s and 1s",
		"name: x\ndisk: {flush: 5h, bandwidth: 1GB}": "p.yaml:2: disk.flush: 5h0m0s is not within",
	} {
		if !strings.Contains(text, "disk") {
			text += "\ndisk: {bandwidth: 1GB}"
		}
		if _, err := ParseProfile("p.yaml", []byte(text+"\nnetwork: {bandwidth: 1GB}\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ParseProfile("p.yaml", []byte("name: x\nmachine: {cores: 0}\n")); err == nil || !strings.Contains(err.Error(), "p.yaml:2: machine.cores") {
		t.Errorf("a profile without cores: %v", err)
	}
	for _, name := range ProfileNames() {
		p, err := ReadProfile(name)
		if err != nil || p.Name != name || p.Title == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: the cost of a fault is read from intervals as arithmetic says. Method: ten intervals of 1 s at 100 records/s of 1 ms; the fault
// at 3 s takes three of them, the backlog comes through in the seventh, and one bad interval later does not count against it.
func TestFaultCost(t *testing.T) {
	r := &load.Repetition{Mode: "open", Seconds: 12, Events: []load.Event{{At: 3, Kind: "fault"}, {At: 5, Kind: "heal"}}}
	for n := range 12 {
		i := load.Interval{At: float64(n), Seconds: 1, Produced: load.Flow{Records: 100, Seconds: 1}, Produce: load.NewLatency()}
		switch {
		case n >= 3 && n < 6:
			i.Produced.Records = 0
		case n == 6:
			i.Produced.Records = 400
			for v := range int64(400) {
				i.Produce.Record(v * 7500)
			}
		default:
			for range 100 {
				i.Produce.Record(1000)
			}
			if n == 11 {
				i.Produce.RecordValues(90_000, 10)
			}
		}
		r.Intervals = append(r.Intervals, i)
	}
	f := faultCost(r)
	if f.At != 3 || f.Silent != 3 || f.Recovered != 4 || f.Worst < 2.99e6 || f.Worst > 3e6 || f.Before != 1000 {
		t.Errorf("%+v", f)
	}
	if want := (400.0 - 2 + 10) / (400 + 510); f.LostBudget < want-.005 || f.LostBudget > want+.005 {
		t.Errorf("%v of the records were late, want %v", f.LostBudget, want)
	}
	if faultCost(&load.Repetition{Intervals: r.Intervals}) != nil {
		t.Error("a cost without a fault")
	}
}
