package bench

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"barnabas/reports/load"
)

// Wish is what a cluster shall carry.
type Wish struct {
	Peak        float64       `json:"peak_mb_s"` // MB/s (10^6) of records that producers send, at the busiest time
	Average     float64       `json:"average_mb_s"`
	Retention   time.Duration `json:"retention"`
	Replication int           `json:"replication"`
	Fanout      float64       `json:"fanout"`   // how many times everything is read
	Headroom    float64       `json:"headroom"` // share of each resource that is to stay free at the peak
	Zones       int           `json:"zones"`
	P99         time.Duration `json:"p99"`          // the latency to keep; 0: any that was measured without errors
	LoseBrokers int           `json:"lose_brokers"` // so many may be down at the peak; 0: with several zones, all of one zone

	// Each broker's machine, where it is another than the measured one.
	Cores       float64 `json:"cores"`        // 0: as measured
	DiskGB      float64 `json:"disk_gb"`      // of log, per broker
	DiskMBs     float64 `json:"disk_mb_s"`    // sustained writes
	NetworkMBs  float64 `json:"network_mb_s"` // each direction
	Compression float64 `json:"compression"`  // bytes on disk and wire a byte of records; 0: 1
}

// Resource is one thing that a cluster may run out of.
type Resource struct {
	Name    string  `json:"name"`
	Need    float64 `json:"need"`    // of the whole cluster at the peak
	Each    float64 `json:"each"`    // what a broker has
	Unit    string  `json:"unit"`    // of both
	Brokers int     `json:"brokers"` // that this resource alone asks for, headroom included
	Used    float64 `json:"used"`    // share at the peak with all brokers up
	UsedBad float64 `json:"used_after_loss"`
	Why     string  `json:"why"`
}

// Plan is the answer.
type Plan struct {
	Wish      Wish       `json:"wish"`
	Source    string     `json:"source"`   // the measurement
	PerCore   float64    `json:"cpu_s_gb"` // broker CPU seconds a GB of traffic
	StepMBs   float64    `json:"step_mb_s"`
	Brokers   int        `json:"brokers"`
	Survives  int        `json:"survives"` // brokers that may be down
	Resources []Resource `json:"resources"`
	First     string     `json:"fails_first"`
	Notes     []string   `json:"notes"`
}

// NewPlan answers a wish from a measured curve: an open loop's steps (or one rate) of one cluster. What each resource needs is
// arithmetic over what was measured: broker CPU a byte moved, the highest rate that kept the latency, and the wish's own numbers for
// disk and network.
//
// Traffic, for P MB/s produced, replication R, fan-out F, compression c: into the brokers P·c·R (a copy to each replica), out of
// them P·c·(R−1+F), to disk P·c·R, and of CPU what a GB moved costs times both.
func NewPlan(run *load.Run, w Wish) (*Plan, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	step, err := bestStep(run, w.P99)
	if err != nil {
		return nil, err
	}
	cores := w.Cores
	if cores == 0 {
		if cores, err = coresOf(run); err != nil {
			return nil, err
		}
	}
	p := &Plan{Wish: w, Source: fmt.Sprintf("%s on %s, %s", run.Workload, run.Label, run.Started.Format("2006-01-02")), PerCore: step.cpuPerGB, StepMBs: step.mbs}
	c := w.Compression
	if c == 0 {
		c = 1
	}
	in, out := w.Peak*c*float64(w.Replication), w.Peak*c*(float64(w.Replication)-1+w.Fanout)
	add := func(name, unit string, need, each float64, why string) {
		if each > 0 && need > 0 {
			p.Resources = append(p.Resources, Resource{Name: name, Unit: unit, Need: need, Each: each, Why: why})
		}
	}
	if step.cpuPerGB > 0 {
		add("CPU", "cores", step.cpuPerGB*(in+out)/1e3, cores, fmt.Sprintf("%.2f CPU s a GB moved, as measured", step.cpuPerGB))
	}
	add("latency", "MB/s", w.Peak*float64(w.Replication), step.mbs*step.replication, fmt.Sprintf("a broker kept p99 %s at %.1f MB/s of records, replication %.0f", micros(int64(step.p99)), step.mbs, step.replication))
	add("disk writes", "MB/s", in, w.DiskMBs, "every replica writes every byte once")
	average := w.Average
	if average == 0 {
		average = w.Peak
	}
	add("disk space", "GB", average*c*float64(w.Replication)*w.Retention.Seconds()/1e3, w.DiskGB, fmt.Sprintf("%.0f MB/s kept for %s by every replica", average, hours(w.Retention)))
	add("network in", "MB/s", in, w.NetworkMBs, "from producers, and to each follower")
	add("network out", "MB/s", out, w.NetworkMBs, "to followers and consumers")
	if !p.solve() {
		return nil, fmt.Errorf("more than %d brokers would not carry it: first to run out is %s", brokersMax, p.First)
	}
	p.note(run, step)
	return p, nil
}

// coresOf is how many cores each broker that was measured had.
func coresOf(run *load.Run) (float64, error) {
	if run.World != "sim" {
		return float64(run.Machine.Cores), nil
	}
	_, profile, _ := strings.Cut(run.Settings, "\n---\n")
	p, err := ParseProfile("the record's profile", []byte(profile))
	if err != nil {
		return 0, err
	}
	return float64(p.Machine.Cores), nil
}

const brokersMax = 100_000

// solve finds the number of brokers: enough for each resource with its headroom when as many are down as may be. Disk space does
// not move with a lost broker; load does. It is false when no number of brokers is enough.
func (p *Plan) solve() (enough bool) {
	w := p.Wish
	for n := max(1, w.Replication); !enough && n <= brokersMax; n++ {
		lost := w.LoseBrokers
		if lost == 0 && w.Zones > 1 {
			lost = (n + w.Zones - 1) / w.Zones
		}
		if lost == 0 && w.Replication > 1 {
			lost = 1
		}
		if n-lost < 1 || n < w.Zones {
			continue
		}
		enough = true
		for i := range p.Resources {
			r := &p.Resources[i]
			left := float64(n - lost)
			if r.Name == "disk space" {
				left = float64(n)
			}
			r.Used, r.UsedBad = r.Need/r.Each/float64(n), r.Need/r.Each/left
			r.Brokers = int(math.Ceil(r.Need / r.Each / (1 - w.Headroom)))
			enough = enough && r.UsedBad <= 1-w.Headroom+1e-9
		}
		p.Brokers, p.Survives = n, lost
	}
	sort.SliceStable(p.Resources, func(i, j int) bool { return p.Resources[i].UsedBad > p.Resources[j].UsedBad })
	if len(p.Resources) > 0 {
		p.First = p.Resources[0].Name
	}
	return enough
}

func (p *Plan) note(run *load.Run, s step) {
	add := func(format string, args ...any) { p.Notes = append(p.Notes, fmt.Sprintf(format, args...)) }
	if s.cpuPerGB == 0 {
		add("the brokers' CPU was not measured (they were not on the client's machine): the plan leaves it out")
	}
	if run.World == "sim" {
		add("the curve is of simulated machines, not measured ones")
	} else if s.cpuPerGB > 0 {
		add("the client shared the machine with the brokers when it was measured: a broker with a machine of its own has more room than this says")
	}
	if s.last {
		add("the highest rate that was measured still kept the latency: more may fit; measure higher rates")
	}
	if p.Wish.DiskGB == 0 || p.Wish.DiskMBs == 0 || p.Wish.NetworkMBs == 0 {
		add("what was not given (--disk, --disk-write, --network) is not in the plan")
	}
	if p.Survives > 0 && p.Wish.Replication-p.Survives < 1 && p.Wish.Zones < 2 {
		add("with %d brokers down, partitions with all %d replicas among them are gone", p.Survives, p.Wish.Replication)
	}
	if p.Wish.Zones > 1 && p.Wish.Replication < p.Wish.Zones {
		add("replication %d does not reach into all %d zones", p.Wish.Replication, p.Wish.Zones)
	}
}

// hours writes whole hours as such, and not as 72h0m0s.
func hours(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

func (w Wish) check() error {
	for _, r := range []struct {
		name      string
		v         float64
		low, high float64
	}{
		{"peak", w.Peak, 1e-6, 1e9}, {"headroom", w.Headroom, 0, 0.95}, {"replication", float64(w.Replication), 1, 100},
		{"zones", float64(w.Zones), 1, 100}, {"fan-out", w.Fanout, 0, 1e4}, {"lose", float64(w.LoseBrokers), 0, 1000}, {"average", w.Average, 0, w.Peak},
		{"compression", w.Compression, 0, 10}, {"retention (hours)", w.Retention.Hours(), 0, 1e6}, {"p99 (ms)", float64(w.P99) / 1e6, 0, 1e7}, {"cores", w.Cores, 0, 1e5},
		{"disk", w.DiskGB, 0, 1e9}, {"disk-write", w.DiskMBs, 0, 1e9}, {"network", w.NetworkMBs, 0, 1e9},
	} {
		if !(r.v >= r.low && r.v <= r.high) {
			return fmt.Errorf("%s %g is not within %g and %g", r.name, r.v, r.low, r.high)
		}
	}
	return nil
}

// step is one measured rate, per broker.
type step struct {
	mbs, p99, cpuPerGB float64
	replication        float64
	last               bool // no higher one was measured
}

var errNoStep = errors.New("no rate of the measurement keeps the latency without errors")

// bestStep is the highest measured rate that keeps p99, divided among the brokers that were measured.
func bestStep(run *load.Run, goal time.Duration) (step, error) {
	var best step
	found := false
	rows := load.Summary([]*load.Run{run})
	w, err := Parse("settings", []byte(firstDocument(run.Settings)))
	if err != nil {
		return best, fmt.Errorf("the record's settings: %w", err)
	}
	brokers := max(1, len(run.Target.Brokers))
	for i, row := range rows {
		if row.Counted == 0 || goal > 0 && row.P99 > float64(goal.Microseconds()) || row.Mode == "open" && row.ProducedRate < offeredPartMin*row.Offered {
			continue
		}
		if mbs := row.ProducedMBs / float64(brokers); mbs > best.mbs {
			found = true
			traffic := row.ProducedMBs*(2*float64(w.Topic.Replication)-1) + row.ConsumedMBs
			best = step{mbs: mbs, p99: row.P99, cpuPerGB: row.Cores * 1e3 / traffic, replication: float64(w.Topic.Replication), last: i == len(rows)-1}
			if !row.Local {
				best.cpuPerGB = 0
			}
		}
	}
	if !found {
		return best, errNoStep
	}
	return best, nil
}

// firstDocument is the workload of a record's settings; a simulated run has its profile behind it.
func firstDocument(settings string) string {
	text, _, _ := strings.Cut(settings, "\n---\n")
	return text
}

// Text is the plan for a person.
func (p *Plan) Text() string {
	var b strings.Builder
	w := p.Wish
	fmt.Fprintf(&b, "For %s MB/s at the peak, %d replicas, read %.3g times, kept for %s, with %.0f %% free:\n", load.Number(w.Peak), w.Replication, w.Fanout, hours(w.Retention), 100*w.Headroom)
	fmt.Fprintf(&b, "\n  %d brokers, of which %d may be down.  First to run out: %s.\n\n", p.Brokers, p.Survives, p.First)
	fmt.Fprintf(&b, "  %-13s %12s %12s %9s %12s  %s\n", "", "needed", "a broker has", "used", "used, some", "")
	fmt.Fprintf(&b, "  %-13s %12s %12s %9s %12s  %s\n", "resource", "in all", "", "", "down", "why")
	for _, r := range p.Resources {
		fmt.Fprintf(&b, "  %-13s %7s %-5s %7s %-5s %6.0f %% %10.0f %%  %s\n", r.Name, load.Number(r.Need), r.Unit, load.Number(r.Each), r.Unit, 100*r.Used, 100*r.UsedBad, r.Why)
	}
	fmt.Fprintf(&b, "\nMeasured: %s.\n", p.Source)
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "Note: %s.\n", n)
	}
	return b.String()
}
