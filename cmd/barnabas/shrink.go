package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"barnabas/faults"
	"barnabas/faults/shrink"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios"
	"barnabas/sim/trace"
)

// fileRegression is the shrunk failure's schedule, in the form of scenarios/testdata/regressions.
const fileRegression = "regression.txt"

// shrinkLimit is how long shrinking may take unless --for says otherwise.
const shrinkLimit = 2 * time.Minute

// shrinkFlags are the flags of shrink.
type shrinkFlags struct {
	limit time.Duration
	jobs  int
	to    string
}

func shrinkCommand() *cobra.Command {
	var f shrinkFlags
	cmd := &cobra.Command{
		Use:   "shrink DIR",
		Short: "Make a failing run as small as it can be and still fail",
		Long: `Take the failing run of DIR and drop faults, shorten and move them, drop clients, records, partitions and brokers, as
long as the same invariant breaks. The smallest run goes to DIR/shrunk, which is a run's directory like any other, and
its schedule to DIR/regression.txt: the schedule with a header that says all it takes to run it.`,
		Example: `  barnabas shrink out/isr-shrink-12-ack-before-isr
  barnabas shrink out/leader-failover-88 --for 10m --to scenarios/testdata/regressions`,
		Args: exactly(1, "the directory of a failing run"),
		RunE: func(_ *cobra.Command, args []string) error {
			if f.jobs < 1 || f.limit <= 0 {
				return usage("--jobs and --for must be above zero")
			}
			_, err := shrinkRun(os.Stdout, args[0], f)
			return err
		},
	}
	cmd.Flags().DurationVar(&f.limit, "for", shrinkLimit, "stop after so long, with what was found by then")
	cmd.Flags().IntVar(&f.jobs, "jobs", runtime.NumCPU(), "runs at once")
	cmd.Flags().StringVar(&f.to, "to", "", "also write the regression file into this directory, under the failure's name")
	return cmd
}

// shrunkTo is how small a failure became.
type shrunkTo struct {
	Faults     int           `json:"faults"`
	Operations int           `json:"operations"`
	Wall       time.Duration `json:"wall_ns"`
}

// shrinkRun shrinks the failing run of dir, and tells what it does.
func shrinkRun(w io.Writer, dir string, flags shrinkFlags) (*shrunkTo, error) {
	collectSeldom()
	f, err := readFailure(dir)
	if err != nil {
		return nil, err
	}
	began, shrunk := time.Now(), filepath.Join(dir, "shrunk")
	if info, err := os.Stat(flags.to); flags.to != "" && (err != nil || !info.IsDir()) {
		return nil, usage("--to %s is no directory", flags.to)
	}
	first := f.run(f.schedule, f.changes, trace.Options{})
	if !first.Report.Breaks(f.broken) {
		reports.Card(w, first.Report)
		return nil, f.gone()
	}
	if err := os.MkdirAll(shrunk, 0o755); err != nil { // before minutes of work
		return nil, err
	}
	fmt.Fprintf(w, "shrinking %s: %s\n", f.record.ID(), sizeOf(first))
	var runs atomic.Int64
	best := f.shrink(w, first, flags, &runs)
	result := f.run(best.Schedule, best.Changes, trace.Options{})
	if !result.Report.Breaks(f.broken) {
		return nil, &exitError{13, fmt.Errorf("the smallest run broke %s once and not again: nondeterminism", f.broken)}
	}
	if err := writeRun(shrunk, result); err != nil {
		return nil, err
	}
	text := f.regression(best, result.Report)
	if err := os.WriteFile(filepath.Join(dir, fileRegression), text, 0o644); err != nil {
		return nil, err
	}
	to := &shrunkTo{len(result.Schedule), len(result.History.Ops), time.Since(began)}
	fmt.Fprintf(w, "\n%s\nshrunk in %s and %d runs to %s\nreplay: barnabas replay %s\nregression: %s\n", bytes.TrimSpace(text), round(to.Wall), runs.Load(), sizeOf(result), shrunk, filepath.Join(dir, fileRegression))
	if flags.to == "" {
		return to, nil
	}
	name := filepath.Join(flags.to, f.record.ID()+".txt")
	fmt.Fprintf(w, "regression: %s\n", name)
	return to, os.WriteFile(name, text, 0o644)
}

// shrink looks for the smallest case until nothing helps or the time is over.
func (f *failure) shrink(w io.Writer, first *scenarios.Result, flags shrinkFlags, runs *atomic.Int64) shrink.Case {
	began := time.Now()
	bar := newStatus()
	defer bar.clear()
	stop := func() bool { return time.Since(began) > flags.limit }
	size := scenarios.SizeOf(f.plan.scenario, f.record.Seed, f.changes)
	best := shrink.Case{Schedule: first.Schedule, Changes: f.changes}
	return shrink.Shrink(best, shrink.Options{
		Size: shrink.Size{Brokers: size.Brokers, Partitions: size.Partitions, Producers: size.Producers, Consumers: size.Consumers,
			Transactional: size.Transactional, Processors: size.Processors, Members: size.Members, Legacy: size.Legacy, Operators: size.Operators,
			Records: records(first), Pause: size.Pause, Heal: size.Heal, Settle: size.Settle, Seen: f.seen(first), Named: f.named(first)},
		Stop: stop,
		Ways: func(c shrink.Case) int { return f.ways(c, flags.jobs, stop, runs) },
		Judge: func(cases []shrink.Case, ways int) int {
			return firstOf(len(cases), flags.jobs, stop, func(i int) bool {
				bar.show("%d runs in %s; %d faults, %s", runs.Add(1), time.Since(began).Round(time.Second), len(best.Schedule), best.Changes)
				return f.fails(cases[i].Schedule, cases[i].Changes) && f.robust(cases[i], ways, runs)
			})
		},
		Smaller: func(c shrink.Case, step string) {
			best = c
			bar.clear()
			fmt.Fprintf(w, "%6s  %-18s %d faults  %s\n", time.Since(began).Round(100*time.Millisecond), step, len(c.Schedule), c.Changes)
		},
	})
}

// seen is when the run broke what the failure is about.
func (f *failure) seen(r *scenarios.Result) time.Duration {
	for _, x := range r.Report.Failures {
		if x.ID == f.broken {
			return x.At
		}
	}
	return r.Report.Virtual
}

var namesOperation = regexp.MustCompile(`operation (\d+)`)

// named is when the first operation was called that the failure names; zero if it names none.
func (f *failure) named(r *scenarios.Result) (first time.Duration) {
	i := slices.IndexFunc(r.Report.Failures, func(x reports.Failure) bool { return x.ID == f.broken })
	if i < 0 {
		return 0
	}
	for _, m := range namesOperation.FindAllStringSubmatch(r.Report.Failures[i].Message, -1) {
		for j := range r.History.Ops {
			if op := &r.History.Ops[j]; strconv.FormatInt(op.ID, 10) == m[1] && (first == 0 || time.Duration(op.Call) < first) {
				first = time.Duration(op.Call)
			}
		}
	}
	return first
}

// A regression file is to outlast changes of the broker, each of which shifts every random choice. So a smaller case must
// fail in some of robustWays other ways, too: robustMin of them, or as many as the first small one does.
const robustWays, robustMin = 10, 3

// redrawn is the case in its i-th other way.
func redrawn(c shrink.Case, i int) shrink.Case {
	c.Changes.Redraw = 1_000_000 + uint64(i)
	return c
}

// ways counts in how many other ways the case fails, up to robustMin.
func (f *failure) ways(c shrink.Case, jobs int, stop func() bool, runs *atomic.Int64) int {
	var fails atomic.Int64
	firstOf(robustWays, jobs, stop, func(i int) bool {
		runs.Add(1)
		r := redrawn(c, i)
		return f.fails(r.Schedule, r.Changes) && fails.Add(1) >= robustMin
	})
	return min(robustMin, int(fails.Load()))
}

// robust tells whether the case fails in as many other ways as are needed.
func (f *failure) robust(c shrink.Case, need int, runs *atomic.Int64) bool {
	for i := 0; need > 0 && i < robustWays && need <= robustWays-i; i++ {
		runs.Add(1)
		if r := redrawn(c, i); f.fails(r.Schedule, r.Changes) {
			need--
		}
	}
	return need <= 0
}

// records counts what was handed over to the producers.
func records(r *scenarios.Result) int {
	n := 0
	for i := range r.History.Ops {
		if op := &r.History.Ops[i]; op.Kind == history.Produce {
			n += len(op.Records)
		}
	}
	return n
}

// sizeOf says how large a run is.
func sizeOf(r *scenarios.Result) string {
	return fmt.Sprintf("%d faults, %d operations, %s virtual", len(r.Schedule), len(r.History.Ops), round(r.Report.Virtual))
}

// regression is the schedule file of a shrunk failure: header, what it breaks and how, faults.
func (f *failure) regression(c shrink.Case, r *reports.Run) []byte {
	text := faults.File{Header: f.header(c.Changes), Schedule: c.Schedule}.Format()
	head, rest, _ := strings.Cut(string(text), "\n")
	return []byte(fmt.Sprintf("%s\n# %s\n%s", head, strings.Join(strings.Fields(r.Reason), " "), rest))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
