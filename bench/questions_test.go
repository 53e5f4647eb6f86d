package bench

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/reports/load"
)

// Goal: a ramp's records come at the rate that it has at each moment, and as many as its area says. Method: counts in ten
// slices of a ramp from 1000 to 9000 over 8 s that begins at 2 s, against the integral.
func TestRampFollowsItsRate(t *testing.T) {
	r := rate{from: 1000, to: 9000, begin: 2, over: 8}
	for _, kind := range []string{"constant", "poisson"} {
		a := newArrivals(kind, r, rand.New(rand.NewPCG(5, 6)))
		var slices [12]int
		for last := int64(0); ; {
			at := a.next()
			if at < last {
				t.Fatalf("%s: time goes back from %d to %d", kind, last, at)
			}
			if last = at; at >= 12e9 {
				break
			}
			slices[at/1e9]++
		}
		for n, got := range slices {
			want := 1000.0
			if n >= 2 {
				want = math.Min(9000, 1000+1000*(float64(n-2)+.5))
			}
			slack := 2.0
			if kind == "poisson" {
				slack = 5 * math.Sqrt(want)
			}
			if math.Abs(float64(got)-want) > slack {
				t.Errorf("%s: %d records in second %d, want %.0f", kind, got, n, want)
			}
		}
	}
	if w, _ := Read("ramp", nil); w.meant(0, 20) != 510_000 || w.meant(0, 2) != 2000+4900 {
		t.Errorf("a ramp's schedule has %v records, %v in its first two seconds", w.meant(0, 20), w.meant(0, 2))
	}
	if w, err := Read("ramp", nil); err != nil || w.rates()[0] != 25_500 || w.rate(0, 2e9) != (rate{1000, 50000, 2, 20}) {
		t.Errorf("%v %+v", err, w.Load)
	}
}

func soaked(memory func(i int) float64) *load.Repetition {
	r := &load.Repetition{Mode: "open"}
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 60 {
		i := load.Interval{At: float64(n) * 60, Seconds: 60, Produced: load.Flow{Records: 1, Bytes: 6e9, Seconds: 60}, Produce: load.NewLatency(), BrokerCPU: .1, BrokerRSS: int64(memory(n) * 1e6)}
		i.Produce.Record(int64(1000 + rnd.IntN(200)))
		r.Intervals = append(r.Intervals, i)
	}
	return r
}

// Goal: a soak sees memory that grows, not one that wavers, nor a single spike. Method: an hour of intervals whose answer is known.
func TestDrift(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for _, c := range []struct {
		name    string
		memory  func(int) float64
		drifts  bool
		perHour float64
	}{
		{"steady", func(int) float64 { return 100 + rnd.Float64() }, false, 0},
		{"spike", func(i int) float64 {
			if i == 50 {
				return 1000
			}
			return 100 + rnd.Float64()
		}, false, 0},
		{"leak", func(i int) float64 { return 100 + float64(i)/2 }, true, 30.0 / 115},
	} {
		for _, d := range drift(soaked(c.memory), .05) {
			if d.Figure != "broker RSS MB" {
				if d.Exceeded {
					t.Errorf("%s: %s is said to drift: %+v", c.name, d.Figure, d)
				}
				continue
			}
			if d.Exceeded != c.drifts || math.Abs(d.PerHour-c.perHour) > .02 {
				t.Errorf("%s: %+v, want %v an hour", c.name, d, c.perHour)
			}
		}
	}
}

// measuredRun is a curve of one broker of four cores: 10, 50 and 100 MB/s, the last beyond 5 ms.
func measuredRun(t *testing.T) *load.Run {
	w, err := Read("steps", []string{"load.steps=[10000, 50000, 100000]"})
	if err != nil {
		t.Fatal(err)
	}
	run := &load.Run{Workload: "steps", Label: "x", Settings: w.YAML(), Machine: load.Machine{Cores: 4}, Target: load.Target{Brokers: []string{"1 b:1"}}}
	for i, rate := range w.rates() {
		r := load.Repetition{Mode: "open", Offered: rate, Seconds: 10, Produce: load.NewLatency(), Produced: load.Flow{Records: int64(rate) * 10, Bytes: int64(rate) * 1e4, Seconds: 10},
			Consumed: load.Flow{Records: int64(rate) * 10, Bytes: int64(rate) * 1e4, Seconds: 10}}
		r.Produce.Record([]int64{500, 3000, 20000}[i])
		r.Brokers = load.Usage{Processes: 1, Seconds: 10, CPUSeconds: rate * 2e4 / 1e9} // 1 s/GB moved
		run.Repetitions = append(run.Repetitions, r)
	}
	return run
}

// Goal: a plan is the arithmetic that it says it is. Method: a wish whose numbers can be done by hand. 200 MB/s, three
// replicas, read twice: in 600, out 200·(2+2) = 800, CPU 1.4 cores of 4; a broker kept 5 ms at 50 MB/s unreplicated, so 600 MB/s of copies
// take 12 broker's worth, and with 30 % free and a third down, n − ⌈n/3⌉ ≥ 600/50/0.7 = 17.14: 27 brokers.
func TestPlanIsArithmetic(t *testing.T) {
	wish := Wish{Peak: 200, Retention: 24 * time.Hour, Replication: 3, Fanout: 2, Headroom: .3, Zones: 3, P99: 5 * time.Millisecond, DiskGB: 4000, DiskMBs: 250, NetworkMBs: 1250}
	p, err := NewPlan(measuredRun(t), wish)
	if err != nil {
		t.Fatal(err)
	}
	need := map[string]float64{}
	for _, r := range p.Resources {
		need[r.Name] = r.Need
	}
	for name, want := range map[string]float64{"CPU": 1.4, "latency": 600, "disk writes": 600, "disk space": 200 * 3 * 86400 / 1e3, "network in": 600, "network out": 800} {
		if math.Abs(need[name]-want) > want*.01 {
			t.Errorf("%s: %v, want %v", name, need[name], want)
		}
	}
	if p.Brokers != 27 || p.Survives != 9 || p.First != "latency" {
		t.Errorf("%d brokers, %d may be down, %s first:\n%s", p.Brokers, p.Survives, p.First, p.Text())
	}
	wish.P99 = time.Microsecond
	if _, err := NewPlan(measuredRun(t), wish); err != errNoStep {
		t.Errorf("a goal that nothing keeps: %v", err)
	}
	wish.P99 = 0
	simulated := measuredRun(t)
	profile, err := ReadProfile("three-zones")
	if err != nil {
		t.Fatal(err)
	}
	simulated.World, simulated.Settings = "sim", simulated.Settings+"---\n"+profile.YAML()
	if p, err := NewPlan(simulated, wish); err != nil || !slices.ContainsFunc(p.Resources, func(r Resource) bool { return r.Name == "CPU" && r.Each == float64(profile.Machine.Cores) }) {
		t.Errorf("a simulated broker does not have its profile's %d cores, but this machine's: %+v, %v", profile.Machine.Cores, p, err)
	}
	for name, spoil := range map[string]func(*Wish){"retention": func(w *Wish) { w.Retention = -time.Hour }, "disk": func(w *Wish) { w.DiskGB = -1 }, "cores": func(w *Wish) { w.Cores = -1 },
		"p99": func(w *Wish) { w.P99 = -1 }, "more than 100000 brokers": func(w *Wish) { w.Peak = 1e9 }} {
		bad := wish
		spoil(&bad)
		if _, err := NewPlan(measuredRun(t), bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wish.Headroom = 2
	if _, err := NewPlan(measuredRun(t), wish); err == nil {
		t.Error("a headroom of 200 % was planned")
	}
}

// Goal: the generator alone outdoes every committed report five times over, counted in CPU since this machine has other work.
// Method: what a record costs it, against the highest rate in any report under docs/benchmarks.
func TestGeneratorOutdoesEveryReport(t *testing.T) {
	files, err := filepath.Glob("../docs/benchmarks/*/report.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no committed report: %v", err)
	}
	highest := 0.0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r struct{ Rows []load.Row }
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, row := range r.Rows {
			highest = max(highest, row.ProducedRate)
		}
	}
	g := MeasureGenerator(300*time.Millisecond, 1000)
	t.Logf("%.2f million/s, %s of CPU a record; the highest rate reported is %.0f/s", g.PerSecond/1e6, g.CPU, highest)
	if perCore := 1e9 / float64(g.CPU.Nanoseconds()); !raceEnabled && perCore < 5*highest {
		t.Errorf("a core makes %.0f records/s, the highest rate reported is %.0f", perCore, highest)
	}
}
