package bench

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,60}$`)

// stampBytes is what every value begins with: the intended time and a mark.
const stampBytes = 16

func oneOf(v string, of ...string) error {
	if slices.Contains(of, v) {
		return nil
	}
	return fmt.Errorf("%q is none of %v", v, of)
}

func within(v, low, high int64) error {
	if v < low || v > high {
		return fmt.Errorf("%d is not within %d and %d", v, low, high)
	}
	return nil
}

// lasts is within for lengths of time.
func lasts(v, low, high Duration) error {
	if v < low || v > high {
		return fmt.Errorf("%s is not within %s and %s", time.Duration(v), time.Duration(low), time.Duration(high))
	}
	return nil
}

// check finds the first field that makes no sense.
func (w *Workload) check() (field string, err error) {
	type rule struct {
		field string
		err   error
	}
	rules := []rule{
		{"$.topic.partitions", within(int64(w.Topic.Partitions), 1, 100_000)},
		{"$.topic.replication", within(int64(w.Topic.Replication), 1, 100)},
		{"$.records.key", oneOf(w.Records.Key, "none", "uniform", "zipf")},
		{"$.records.keys", within(int64(w.Records.Keys), 1, 100_000_000)},
		{"$.producers.count", within(int64(w.Producers.Count), 1, 10_000)},
		{"$.producers.acks", oneOf(w.Producers.Acks, "0", "1", "all")},
		{"$.producers.batch", within(int64(w.Producers.Batch), 1<<10, 64<<20)},
		{"$.producers.codec", oneOf(w.Producers.Codec, "none", "gzip", "snappy", "lz4", "zstd")},
		{"$.producers.in_flight", within(int64(w.Producers.InFlight), 1, 1000)},
		{"$.producers.buffer", within(int64(w.Producers.Buffer), int64(w.maxSize()), 16<<30)},
		{"$.load.mode", oneOf(w.Load.Mode, "open", "closed", "none")},
		{"$.load.arrivals", oneOf(w.Load.Arrivals, "constant", "poisson")},
		{"$.producers.linger", lasts(w.Producers.Linger, 0, Duration(time.Minute))},
		{"$.phases.warmup", lasts(w.Phases.Warmup, 0, 1e15)},
		{"$.phases.cooldown", lasts(w.Phases.Cooldown, 0, 1e15)},
		{"$.phases.measure", lasts(w.Phases.Measure, 1e8, 1e15)},
		{"$.phases.interval", lasts(w.Phases.Interval, 1e7, w.Phases.Measure)},
		{"$.phases.repetitions", within(int64(w.Phases.Repetitions), 1, 1000)},
	}
	if !nameForm.MatchString(w.Name) {
		rules = append(rules, rule{"$.name", fmt.Errorf("%q: lower-case letters, digits and -, please", w.Name)})
	}
	if z := w.Records.Zipf; w.Records.Key == "zipf" && !(z > 1 && z <= 100) {
		rules = append(rules, rule{"$.records.zipf", fmt.Errorf("%v: the exponent is above 1, and at most 100", z)})
	}
	if c := w.Records.Compressibility; c < 0 || c > 1 || math.IsNaN(c) {
		rules = append(rules, rule{"$.records.compressibility", fmt.Errorf("%v is not within 0 and 1", c)})
	}
	if w.Producers.Idempotent && w.Producers.Acks != "all" {
		rules = append(rules, rule{"$.producers.idempotent", errors.New("idempotent producers need acks: all")})
	}
	if w.Producers.Idempotent && w.Producers.InFlight != 5 {
		rules = append(rules, rule{"$.producers.in_flight", errors.New("idempotent producers always have 5 requests in flight")})
	}
	if n := w.Producers.Transaction; n != 0 {
		rules = append(rules, rule{"$.producers.transaction", w.checkTransaction(int64(n))})
	}
	for _, part := range []func() (string, error){w.checkSizes, w.checkLoad, w.checkConsumers} {
		field, err := part()
		rules = append(rules, rule{field, err})
	}
	for _, r := range rules {
		if r.err != nil {
			return r.field, r.err
		}
	}
	return "", nil
}

// checkTransaction sees to it that a transaction can fill: its records wait for it in the buffer.
func (w *Workload) checkTransaction(n int64) error {
	if !w.Producers.Idempotent {
		return errors.New("transactions need idempotent: true")
	}
	if err := within(n, 1, 10_000_000); err != nil {
		return err
	}
	if room := int64(w.Producers.Buffer/max(1, w.maxSize())) / int64(max(1, w.Producers.Count)); room < 2*n {
		return fmt.Errorf("%d records a transaction, but the buffer holds %d a producer: it must hold two transactions", n, room)
	}
	return nil
}

func (w *Workload) checkSizes() (string, error) {
	r := w.Records
	if (r.Size == 0) == (len(r.Sizes) == 0) {
		return "$.records", errors.New("give either size or sizes")
	}
	if r.Size != 0 {
		return "$.records.size", within(int64(r.Size), stampBytes, 64<<20)
	}
	for i, s := range r.Sizes {
		field := fmt.Sprintf("$.records.sizes[%d]", i)
		if err := within(int64(s.Bytes), stampBytes, 64<<20); err != nil {
			return field + ".bytes", err
		}
		if s.Share <= 0 || math.IsInf(s.Share, 0) || math.IsNaN(s.Share) {
			return field + ".share", fmt.Errorf("%v: shares are above 0", s.Share)
		}
	}
	return "", nil
}

func (w *Workload) checkLoad() (string, error) {
	l := w.Load
	if l.Mode != "open" {
		if l.Rate != 0 {
			return "$.load.rate", fmt.Errorf("a rate needs mode: open, not %s", l.Mode)
		}
		if len(l.Steps) != 0 {
			return "$.load.steps", fmt.Errorf("steps need mode: open, not %s", l.Mode)
		}
		if l.Ramp != nil {
			return "$.load.ramp", fmt.Errorf("a ramp needs mode: open, not %s", l.Mode)
		}
		return "", nil
	}
	ways := 0
	for _, given := range []bool{l.Rate != 0, len(l.Steps) != 0, l.Ramp != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return "$.load", errors.New("mode open needs either rate or steps or ramp")
	}
	if r := l.Ramp; r != nil {
		for _, v := range []float64{r.From, r.To} {
			if !(v > 0 && v <= 1e8) {
				return "$.load.ramp", fmt.Errorf("%v records a second is not within 0 and 100,000,000", v)
			}
		}
	}
	for _, r := range w.rates() {
		if !(r > 0 && r <= 1e8) {
			return "$.load", fmt.Errorf("%v records a second is not within 0 and 100,000,000", r)
		}
	}
	return "", nil
}

func (w *Workload) checkConsumers() (string, error) {
	catchup := 0
	for i, c := range w.Consumers {
		field := fmt.Sprintf("$.consumers[%d]", i)
		if err := oneOf(c.Mode, "tail", "catchup"); err != nil {
			return field + ".mode", err
		}
		if err := oneOf(c.Isolation, "read_uncommitted", "read_committed"); err != nil {
			return field + ".isolation", err
		}
		if c.Commit != 0 && !c.Group {
			return field + ".commit", errors.New("only a group commits offsets: group: true")
		}
		for _, r := range []struct {
			field   string
			v, high int64
		}{{"fanout", int64(c.Fanout), 1000}, {"members", int64(c.Members), 10_000}, {"max_bytes", int64(c.MaxBytes), math.MaxInt32}, {"min_bytes", int64(c.MinBytes), int64(c.MaxBytes)}} {
			if err := within(r.v, 1, r.high); err != nil {
				return field + "." + r.field, err
			}
		}
		if err := lasts(c.MaxWait, Duration(time.Millisecond), Duration(time.Minute)); err != nil {
			return field + ".max_wait", err
		}
		if c.Members > int(w.Topic.Partitions) {
			return field + ".members", fmt.Errorf("%d members share %d partitions", c.Members, w.Topic.Partitions)
		}
		if c.Mode == "catchup" {
			if catchup++; catchup > 1 {
				return field + ".mode", errors.New("one catchup entry is enough: see fanout and members")
			}
			if c.Backlog <= 0 {
				return field, errors.New("catchup needs a backlog")
			}
		} else if c.Backlog != 0 {
			return field + ".backlog", errors.New("only catchup has a backlog")
		}
	}
	for i, c := range w.Consumers {
		if c.Group && c.Mode == "tail" && catchup > 0 {
			return fmt.Sprintf("$.consumers[%d].group", i), errors.New("a group begins at the start of the topic, and would read the backlog: leave group out beside catchup")
		}
	}
	if w.Load.Mode == "none" && catchup == 0 {
		return "$.load.mode", errors.New("none, and no catchup consumer: nothing to do")
	}
	return "", nil
}

// rates is the rates to run, {0} without open loop.
func (w *Workload) rates() []float64 {
	switch {
	case len(w.Load.Steps) > 0:
		return w.Load.Steps
	case w.Load.Ramp != nil:
		return []float64{(w.Load.Ramp.From + w.Load.Ramp.To) / 2}
	default:
		return []float64{w.Load.Rate}
	}
}

// rate is the schedule at a nominal rate; a ramp begins lead ns after the start and lasts as long as is measured.
func (w *Workload) rate(nominal float64, lead int64) rate {
	if r := w.Load.Ramp; r != nil {
		return rate{from: r.From, to: r.To, begin: float64(lead) / 1e9, over: time.Duration(w.Phases.Measure).Seconds()}
	}
	return constant(nominal)
}

// meant is how many records the schedule has in the first so many seconds of the measured stretch.
func (w *Workload) meant(nominal, seconds float64) float64 {
	if r := w.Load.Ramp; r != nil {
		return r.From*seconds + (r.To-r.From)/time.Duration(w.Phases.Measure).Seconds()*seconds*seconds/2
	}
	return nominal * seconds
}

func (w *Workload) maxSize() Size {
	size := w.Records.Size
	for _, s := range w.Records.Sizes {
		size = max(size, s.Bytes)
	}
	return size
}

func (w *Workload) catchup() *Consumer {
	for i := range w.Consumers {
		if w.Consumers[i].Mode == "catchup" {
			return &w.Consumers[i]
		}
	}
	return nil
}
