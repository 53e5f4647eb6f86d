package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"barnabas/reports/load"
)

// CalibrateOptions are what a calibration needs: a real cluster of one broker on this machine.
type CalibrateOptions struct {
	Options
	Dir   string // on the disk that brokers would use
	Tries int    // of the fit; 0: 90
}

// loads are the three loads that are predicted, as shares of what the closed loop reached.
var loads = []struct {
	name  string
	share float64
}{{"low", 0.1}, {"half", 0.5}, {"near saturation", 0.85}}

// Calibrate fits a profile to this machine. Probes of loopback and disk give the first guess; then a real broker is
// measured, as fast as it goes and at three rates, and what probes cannot see (what a broker and a client compute for a request, how
// late a busy machine wakes a process) is fitted to the first repetition of each, by simulation. The table compares what the fitted
// profile predicts with the medians of the other repetitions, which the fit has not seen.
func Calibrate(ctx context.Context, o CalibrateOptions) (*Profile, *load.Run, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Tries <= 0 {
		o.Tries = 90
	}
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	pr, err := probe(o.Dir)
	if err != nil {
		return nil, nil, err
	}
	o.Say("loopback: round trip p50 %s p99 %s, CPU of a call %s; disk: fdatasync p50 %s p99 %s, %.0f MB/s", at(pr.rtt, 50), at(pr.rtt, 99), pr.call, at(pr.sync, 50), at(pr.sync, 99), pr.write/1e6)
	m, err := measureForFit(ctx, o)
	if err != nil || m.run.Interrupted {
		return nil, m.run, err
	}
	p := pr.profile()
	p.Title = fmt.Sprintf("%s, %d × %s, fitted %s", m.run.Machine.Host, m.run.Machine.Cores, m.run.Machine.CPU, time.Now().UTC().Format("2006-01-02"))
	best, err := m.fit(ctx, p, o)
	if err != nil {
		return nil, m.run, err
	}
	m.run.Prediction = best
	return p, m.run, nil
}

// measured is the real machine's figures.
type measured struct {
	run    *load.Run
	rates  []float64
	reps   map[float64][]*load.Repetition // rate 0: the closed loop
	closed *Workload
	open   []*Workload
}

func measureForFit(ctx context.Context, o CalibrateOptions) (*measured, error) {
	closed, err := Read("calibrate", nil)
	if err != nil {
		return nil, err
	}
	m := &measured{closed: closed, reps: map[float64][]*load.Repetition{}}
	if m.run, err = Run(ctx, closed, o.Options); err != nil || m.run.Interrupted {
		return m, err
	}
	var through []float64
	for i := range m.run.Repetitions {
		through = append(through, m.run.Repetitions[i].Produced.Rate())
	}
	top := middle(through)
	if top < 100 {
		return m, fmt.Errorf("the closed loop reached %.0f records/s: too little to calibrate by", top)
	}
	for _, l := range loads {
		rate := math.Round(top * l.share)
		w, err := Read("calibrate", []string{"load.mode=open", fmt.Sprintf("load.rate=%.0f", rate)})
		if err != nil {
			return m, err
		}
		run, err := Run(ctx, w, o.Options)
		if err != nil {
			return m, err
		}
		m.open, m.rates = append(m.open, w), append(m.rates, rate)
		m.run.Repetitions = append(m.run.Repetitions, run.Repetitions...)
		if m.run.Interrupted = run.Interrupted; run.Interrupted {
			return m, nil
		}
	}
	for i := range m.run.Repetitions {
		r := &m.run.Repetitions[i]
		m.reps[r.Offered] = append(m.reps[r.Offered], r)
	}
	return m, nil
}

// knob is one number of a profile that is fitted; both of its directions multiply.
type knob struct {
	name string
	turn func(*Profile, float64)
}

func scale(d *Duration, f float64) { *d = Duration(max(50, float64(*d)*f)) }

var knobs = []knob{
	{"wire and wake-up", func(p *Profile, f float64) { scale(&p.Network.LatencyMin, f); scale(&p.Network.LatencyMax, f) }},
	{"spread of it", func(p *Profile, f float64) {
		scale(&p.Network.LatencyMax, f)
		p.Network.LatencyMax = max(p.Network.LatencyMax, p.Network.LatencyMin)
	}},
	{"how often late", func(p *Profile, f float64) {
		p.Network.SlowOneIn = max(2, int(math.Round(float64(p.Network.SlowOneIn)/f)))
	}},
	{"how late", func(p *Profile, f float64) { scale(&p.Network.SlowMean, f) }},
	{"broker's calls", func(p *Profile, f float64) {
		scale(&p.Broker.Read, f)
		scale(&p.Broker.Write, f)
		scale(&p.Broker.FileWrite, f)
	}},
	{"client's calls", func(p *Profile, f float64) { scale(&p.Client.Read, f); scale(&p.Client.Write, f) }},
	{"client's records", func(p *Profile, f float64) { scale(&p.Client.Record, f) }},
}

// fit turns the knobs one after the other, keeping what brings the simulated figures nearer to the first repetition's, with
// steps that shrink; then it predicts. p becomes the fitted profile.
func (m *measured) fit(ctx context.Context, p *Profile, o CalibrateOptions) ([]load.Predicted, error) {
	tries := 0
	cost := func(q *Profile) float64 {
		tries++
		predicted, err := m.predict(ctx, q, m.first)
		if err != nil {
			return math.Inf(1)
		}
		sum := 0.0
		for _, f := range predicted {
			d := math.Log(max(f.Predicted, 1) / max(f.Measured, 1))
			sum += min(d*d, 9)
		}
		return sum
	}
	best := cost(p)
	for factor := 2.0; factor > 1.05 && tries < o.Tries && ctx.Err() == nil; {
		better := false
		for _, k := range knobs {
			for _, f := range []float64{factor, 1 / factor} {
				q := *p
				k.turn(&q, f)
				if c := cost(&q); c < best*0.995 {
					*p, best, better = q, c, true
					break
				}
				if tries >= o.Tries || ctx.Err() != nil {
					break
				}
			}
		}
		o.Say("fit: %d simulations, off by %.0f %% on average", tries*(len(loads)+1), 100*(math.Exp(math.Sqrt(best/7))-1))
		if !better {
			factor = math.Sqrt(factor)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return m.predict(ctx, p, m.rest)
}

// first is the figure of the repetition that the fit sees, rest the median of the others.
func (m *measured) first(rate float64, of func(*load.Repetition) float64) float64 {
	return of(m.reps[rate][0])
}

func (m *measured) rest(rate float64, of func(*load.Repetition) float64) float64 {
	var v []float64
	for _, r := range m.reps[rate][min(1, len(m.reps[rate])-1):] {
		v = append(v, of(r))
	}
	return middle(v)
}

// predict simulates the closed loop and the three loads, briefly, beside what was measured.
func (m *measured) predict(ctx context.Context, p *Profile, of func(float64, func(*load.Repetition) float64) float64) ([]load.Predicted, error) {
	var list []load.Predicted
	for n, w := range append([]*Workload{m.closed}, m.open...) {
		short := *w
		short.Phases = Phases{Warmup: Duration(300 * time.Millisecond), Measure: Duration(700 * time.Millisecond), Cooldown: Duration(50 * time.Millisecond), Interval: Duration(350 * time.Millisecond), Repetitions: 1}
		if n == 1 { // few records a second: p99 wants some
			short.Phases.Measure = Duration(2 * time.Second)
		}
		run, err := Simulate(ctx, &short, SimOptions{Profile: p, Seed: 1})
		if err != nil {
			return nil, err
		}
		if len(run.Repetitions) == 0 {
			return nil, ctx.Err()
		}
		r := &run.Repetitions[0]
		name, rate := "as fast as it goes", 0.0
		add := func(figure string, f func(*load.Repetition) float64) {
			list = append(list, load.Predicted{Workload: name, Rate: rate, Figure: figure, Measured: of(rate, f), Predicted: f(r)})
		}
		throughput := func(r *load.Repetition) float64 { return r.Produced.Rate() }
		if n == 0 {
			add("records/s", throughput)
			continue
		}
		name, rate = loads[n-1].name, m.rates[n-1]
		add("p50 µs", func(r *load.Repetition) float64 { return float64(r.EndToEnd.At(50)) })
		add("p99 µs", func(r *load.Repetition) float64 { return float64(r.EndToEnd.At(99)) })
		add("records/s", throughput)
	}
	return list, nil
}
