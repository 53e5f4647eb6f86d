package bench

import (
	"context"
	"errors"
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
	// From is an earlier calibration's record and Guess its first guess: nothing is measured again.
	From  *load.Run
	Guess *Profile
	// Probed is told the first guess, so that it can be kept.
	Probed func(*Profile)
}

// loads are the three loads that are predicted, as shares of what went through when more was offered than could.
var loads = []struct {
	name  string
	share float64
}{{"low", 0.1}, {"half", 0.5}, {"near saturation", 0.85}}

// Calibrate fits a profile to this machine. Probes of loopback and disk give the first guess; then a real broker is
// measured, as fast as it goes and at three rates, and what probes cannot see (what a broker and a client compute for a request, how
// late a busy machine wakes a process) is fitted to every other repetition, by simulation. The table compares what the fitted
// profile predicts with the medians of the repetitions between those, which the fit has not seen.
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
	p, m := o.Guess, &measured{run: o.From}
	if o.From == nil {
		pr, err := probe(o.Dir)
		if err != nil {
			return nil, nil, err
		}
		o.Say("loopback: round trip p50 %s p99 %s, CPU of a call %s; disk: fdatasync p50 %s p99 %s, %.0f MB/s", at(pr.rtt, 50), at(pr.rtt, 99), pr.call, at(pr.sync, 50), at(pr.sync, 99), pr.write/1e6)
		p = pr.profile()
		if o.Probed != nil {
			o.Probed(p)
		}
		if err = m.measure(ctx, o); err != nil || m.run.Interrupted {
			return nil, m.run, err
		}
	}
	if err := m.arrange(); err != nil {
		return nil, m.run, err
	}
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
	run   *load.Run
	rates []float64 // the overload first
	reps  map[float64][]*load.Repetition
	open  []*Workload
}

// measure runs the closed loop once, to know how much is too much; then an open loop that offers so much, whose throughput is what
// an open loop can carry (it has its schedule's small batches, and a closed loop has not); then the three rates.
func (m *measured) measure(ctx context.Context, o CalibrateOptions) error {
	closed, err := Read(calibrateWorkload, nil)
	if err != nil {
		return err
	}
	closed.Phases.Repetitions = 1
	first, err := Run(ctx, closed, o.Options)
	if m.run = first; err != nil || m.run.Interrupted {
		return err
	}
	most := first.Repetitions[0].Produced.Rate()
	m.run.Repetitions = nil
	add := func(rate float64) error {
		w, err := openAt(math.Round(rate))
		if err != nil {
			return err
		}
		run, err := Run(ctx, w, o.Options)
		if err != nil {
			return err
		}
		m.run.Repetitions = append(m.run.Repetitions, run.Repetitions...)
		m.run.Interrupted = run.Interrupted
		return nil
	}
	if err := add(most); err != nil || m.run.Interrupted {
		return err
	}
	top := m.top()
	for _, l := range loads {
		if err := add(top * l.share); err != nil || m.run.Interrupted {
			return err
		}
	}
	return nil
}

func openAt(rate float64) (*Workload, error) {
	return Read(calibrateWorkload, []string{"load.mode=open", fmt.Sprintf("load.rate=%.0f", rate)})
}

// top is what went through in the first rate, which was too much.
func (m *measured) top() float64 {
	var through []float64
	for i := range m.run.Repetitions {
		if r := &m.run.Repetitions[i]; r.Offered == m.run.Repetitions[0].Offered {
			through = append(through, r.Produced.Rate())
		}
	}
	return middle(through)
}

// arrange sorts the repetitions by load.
func (m *measured) arrange() (err error) {
	if len(m.run.Repetitions) == 0 {
		return errors.New("the record holds no repetition")
	}
	if top := m.top(); top < 100 {
		return fmt.Errorf("an overload let through %.0f records/s: too little to calibrate by", top)
	}
	m.reps = map[float64][]*load.Repetition{}
	for i := range m.run.Repetitions {
		r := &m.run.Repetitions[i]
		if m.reps[r.Offered] == nil {
			w, err := openAt(r.Offered)
			if err != nil {
				return err
			}
			m.rates, m.open = append(m.rates, r.Offered), append(m.open, w)
		}
		m.reps[r.Offered] = append(m.reps[r.Offered], r)
	}
	if len(m.rates) != len(loads)+1 {
		return fmt.Errorf("the record has %d rates, a calibration has %d", len(m.rates), len(loads)+1)
	}
	return nil
}

// figuresFitted is how many figures the fit has: the overload's throughput, and three of each load.
const figuresFitted, perSecond = 10, "records/s"

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
	{"how often cores are away", func(p *Profile, f float64) { scale(&p.Machine.AwayEvery, f) }},
	{"how long", func(p *Profile, f float64) { scale(&p.Machine.AwayFor, f) }},
	{"broker's calls", func(p *Profile, f float64) {
		scale(&p.Broker.Read, f)
		scale(&p.Broker.Write, f)
		scale(&p.Broker.FileWrite, f)
	}},
	{"client's calls", func(p *Profile, f float64) { scale(&p.Client.Read, f); scale(&p.Client.Write, f) }},
	{"client's records", func(p *Profile, f float64) { scale(&p.Client.Record, f) }},
}

// fit turns the knobs one after the other, keeping what brings the simulated figures nearer to the measured ones, with
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
			weight := 1.0
			if f.Figure == perSecond { // a model that saturates too early has no latencies worth fitting
				weight = 4
			}
			sum += min(weight*d*d, 25)
		}
		return sum
	}
	best := cost(p)
	if first, err := m.predict(ctx, p, m.first); err == nil {
		o.Say("first guess:%s", table(first))
	}
	for factor := 3.0; factor > 1.05 && tries < o.Tries && ctx.Err() == nil; {
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
		o.Say("fit: %d simulations, off by %.0f %% on average", tries*(len(loads)+1), 100*(math.Exp(math.Sqrt(best/figuresFitted))-1))
		if !better {
			factor = math.Sqrt(factor)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return m.predict(ctx, p, m.rest)
}

// first is the median of a figure over every other repetition, those that the fit sees; rest over the others.
func (m *measured) first(rate float64, of func(*load.Repetition) float64) float64 {
	return m.half(rate, 0, of)
}

func (m *measured) rest(rate float64, of func(*load.Repetition) float64) float64 {
	return m.half(rate, 1, of)
}

func (m *measured) half(rate float64, from int, of func(*load.Repetition) float64) float64 {
	var v []float64
	for i := min(from, len(m.reps[rate])-1); i < len(m.reps[rate]); i += 2 {
		v = append(v, of(m.reps[rate][i]))
	}
	return middle(v)
}

// predict simulates the overload and the three loads, briefly, beside what was measured.
func (m *measured) predict(ctx context.Context, p *Profile, of func(float64, func(*load.Repetition) float64) float64) ([]load.Predicted, error) {
	var list []load.Predicted
	for n, w := range m.open {
		short := *w
		short.Phases = Phases{Warmup: Duration(100 * time.Millisecond), Measure: Duration(600 * time.Millisecond), Cooldown: Duration(20 * time.Millisecond), Interval: Duration(300 * time.Millisecond), Repetitions: 1}
		if n == 1 { // few records a second: p99 wants some
			short.Phases.Measure = Duration(time.Second)
		}
		run, err := Simulate(ctx, &short, SimOptions{Profile: p, Seed: 1})
		if err != nil {
			return nil, err
		}
		if len(run.Repetitions) == 0 {
			return nil, ctx.Err()
		}
		r := &run.Repetitions[0]
		name, rate := "more than it can", m.rates[n]
		add := func(figure string, f func(*load.Repetition) float64) {
			list = append(list, load.Predicted{Workload: name, Rate: rate, Figure: figure, Measured: of(rate, f), Predicted: f(r)})
		}
		throughput := func(r *load.Repetition) float64 { return r.Produced.Rate() }
		if n == 0 {
			add(perSecond, throughput)
			continue
		}
		name = loads[n-1].name
		add("p50 µs", func(r *load.Repetition) float64 { return float64(r.EndToEnd.At(50)) })
		add("p99 µs", func(r *load.Repetition) float64 { return float64(r.EndToEnd.At(99)) })
		add(perSecond, throughput)
	}
	return list, nil
}

// table is predictions in lines.
func table(list []load.Predicted) string {
	text := ""
	for _, x := range list {
		text += fmt.Sprintf("\n%-18s %9.0f/s  %-10s measured %9.0f  predicted %9.0f  %+.0f %%", x.Workload, x.Rate, x.Figure, x.Measured, x.Predicted, 100*x.Off())
	}
	return text
}
