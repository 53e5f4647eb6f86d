package bench

import (
	"context"
	"fmt"
	"time"

	"barnabas/reports/load"
)

// CapacityOptions are what a capacity search is after.
type CapacityOptions struct {
	Options
	P99       time.Duration // the goal, end to end where there are tail consumers, else to the ack
	Start     float64       // records/s to begin with; 0: 1000
	Precision float64       // the search ends when it knows the rate to this part; 0: 0.05
	Confirm   int           // how often the found rate must pass again; 0: 3
}

// Capacity finds the highest rate that keeps the goal: doubling until a rate fails, then halving the gap, then the rate
// found must pass again, Confirm times in a row; else the search goes on below it. (A controller that steers by feedback
// settles where it likes.) A rate passes with p99 within the goal, no error, no full buffer and consumers that keep up.
func Capacity(ctx context.Context, w *Workload, o CapacityOptions) (*load.Run, error) {
	if w.Load.Mode != "open" {
		return nil, unfit("workload %s: a capacity search needs load.mode: open, not %s", w.Name, w.Load.Mode)
	}
	s, err := newSession(ctx, w, o.Options)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.run, capacity(s.run, o, func(rate float64, n int) error { return s.repeat(ctx, rate, n) })
}

// SimulatedCapacity is Capacity of a cluster that exists in the simulator alone. Each try has a seed of its own.
func SimulatedCapacity(ctx context.Context, w *Workload, sim SimOptions, o CapacityOptions) (*load.Run, error) {
	if w.Load.Mode != "open" {
		return nil, unfit("workload %s: a capacity search needs load.mode: open, not %s", w.Name, w.Load.Mode)
	}
	run, err := newSimRun(w, &sim)
	if err != nil {
		return nil, err
	}
	o.Say = sim.Say
	return run, capacity(run, o, func(rate float64, n int) error {
		if err := fitsMemory(w, rate); err != nil {
			return err
		}
		return simRepeat(ctx, run, w, sim, rate, n)
	})
}

// voidAgain is how often a void try is repeated before it counts as failed.
const voidAgain = 2

// capacity searches; repeat adds a repetition at a rate to the run, or marks it as interrupted.
func capacity(run *load.Run, o CapacityOptions, repeat func(rate float64, n int) error) (err error) {
	if o.Start <= 0 {
		o.Start = 1000
	}
	if o.Precision <= 0 {
		o.Precision = 0.05
	}
	if o.Confirm <= 0 {
		o.Confirm = 3
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	goal := &load.Goal{P99Millis: float64(o.P99) / float64(time.Millisecond)}
	run.Goal = goal
	try := func(rate float64) (bool, error) {
		var r *load.Repetition
		for again := 0; ; again++ {
			if err := repeat(rate, len(run.Repetitions)); err != nil || run.Interrupted {
				return false, err
			}
			r = &run.Repetitions[len(run.Repetitions)-1]
			if len(r.Void) == 0 || len(r.Errors) > 0 || r.Blocked > 0 || again == voidAgain {
				break
			}
			o.Say("  void: once more") // a neighbour's noise says nothing of the cluster
		}
		why := fails(r, o.P99)
		if why != "" {
			goal.Note = fmt.Sprintf("%.0f/s failed: %s", rate, why)
			o.Say("  %s", goal.Note)
		}
		return why == "", nil
	}
	goal.Rate, goal.Confirmed, err = search(o, try, func() bool { return run.Interrupted })
	return err
}

// search is the arithmetic of Capacity.
func search(o CapacityOptions, try func(float64) (bool, error), interrupted func() bool) (rate float64, confirmed int, err error) {
	const rateMax = 1e8
	low, high := 0.0, 0.0
	for next := o.Start; high == 0 || high-low > o.Precision*high; {
		ok, err := try(next)
		if err != nil || interrupted() {
			return low, 0, err
		}
		switch {
		case ok:
			low = next
		case next < 1:
			return 0, 0, nil
		default:
			high = next
		}
		switch {
		case high == 0 && low >= rateMax:
			high = low
		case high == 0:
			next = low * 2
		case low == 0:
			next = high / 4
		default:
			next = (low + high) / 2
		}
	}
	for low >= 1 {
		for confirmed = 0; confirmed < o.Confirm; confirmed++ {
			ok, err := try(low)
			if err != nil || interrupted() {
				return low, confirmed, err
			}
			if !ok {
				break
			}
		}
		if confirmed == o.Confirm {
			return low, confirmed, nil
		}
		low *= 1 - o.Precision
	}
	return 0, 0, nil
}

// fails says why a repetition does not keep the goal, or "".
func fails(r *load.Repetition, goal time.Duration) string {
	h, what := r.Produce, "to the ack"
	if r.EndToEnd.Count() > 0 {
		h, what = r.EndToEnd, "end to end"
	}
	switch p99 := time.Duration(h.At(99)) * time.Microsecond; {
	case len(r.Errors) > 0:
		return fmt.Sprintf("%d errors: %s", r.Errors[0].Count, r.Errors[0].Error)
	case r.Blocked > 0:
		return fmt.Sprintf("the client's buffer was full for %.1f s", r.Blocked)
	case r.Unfinished > 0:
		return fmt.Sprintf("%d records were never answered", r.Unfinished)
	case r.Consumed.Records > 0 && float64(r.Consumed.Records) < 0.98*float64(r.Produced.Records):
		return fmt.Sprintf("the consumers read %.0f/s of %.0f/s", r.Consumed.Rate(), r.Produced.Rate())
	case p99 > goal:
		return fmt.Sprintf("p99 %s is %s", what, p99)
	case len(r.Void) > 0:
		return r.Void[0]
	}
	return ""
}
