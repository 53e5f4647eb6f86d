package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"barnabas/reports"
	"barnabas/sim/trace"
)

// fileCause is what cause found.
const fileCause = "cause.txt"

func causeCommand() *cobra.Command {
	var branches, jobs int
	cmd := &cobra.Command{
		Use:   "cause DIR",
		Short: "Say from which moment on a failure was inevitable",
		Long: `Run the failing run of DIR again and again, each time the same up to a moment and with all randomness redrawn from then
on; the faults stay as they are. Before the decisive moment some of these branches escape; after it none does. What
happened just before that moment is the cause, or close to it. The table also goes to DIR/cause.txt.`,
		Example: "  barnabas cause out/leader-failover-88",
		Args:    exactly(1, "the directory of a failing run"),
		RunE: func(_ *cobra.Command, args []string) error {
			if branches < 1 || jobs < 1 {
				return usage("--branches and --jobs must be above zero")
			}
			return cause(args[0], branches, jobs)
		},
	}
	cmd.Flags().IntVar(&branches, "branches", 8, "branches at each moment")
	cmd.Flags().IntVar(&jobs, "jobs", runtime.NumCPU(), "runs at once")
	return cmd
}

// branching is what became of the branches at one moment.
type branching struct {
	at    time.Duration
	fails int
}

// causeSearch looks for the decisive moment.
type causeSearch struct {
	f        *failure
	branches int
	jobs     int
	runs     atomic.Int64
	bar      *status
	known    []branching
}

func cause(dir string, branches, jobs int) error {
	collectSeldom()
	f, err := readFailure(dir)
	if err != nil {
		return err
	}
	if f.changes.RedrawAt > 0 {
		return usage("%s is itself a branch", dir)
	}
	base := f.run(f.schedule, f.changes, trace.Options{Last: 2_000_000, NoChoices: true})
	if !base.Report.Breaks(f.broken) {
		return f.gone()
	}
	seenAt := base.Report.Virtual
	for _, x := range base.Report.Failures {
		if x.ID == f.broken {
			seenAt = x.At
			break
		}
	}
	s := &causeSearch{f: f, branches: branches, jobs: jobs, bar: newStatus()}
	low, high := s.search(base.Report.Virtual)
	s.bar.clear()
	var b strings.Builder
	s.tell(&b, base.Report, low, high, seenAt)
	if high > 0 { // at the start nothing has happened
		happened(&b, base.Trace, base.Report, low, high)
	}
	fmt.Print(b.String())
	return os.WriteFile(filepath.Join(dir, fileCause), []byte(b.String()), 0o644)
}

// search narrows the time between the last moment at which a branch escaped and the first from which none does.
func (s *causeSearch) search(end time.Duration) (low, high time.Duration) {
	const grid, narrow = 10, 7
	low, high = 0, end
	for i := grid - 1; i >= 1; i-- { // from the end backwards: later branches are the surer ones
		at := end * time.Duration(i) / grid
		if s.branch(at) < s.branches {
			low = at
			break
		}
		high = at
	}
	if low == 0 && s.branch(0) == s.branches {
		return 0, 0
	}
	for range narrow {
		if high-low <= time.Millisecond {
			break
		}
		if at := (low + high) / 2; s.branch(at) < s.branches {
			low = at
		} else {
			high = at
		}
	}
	return low, high
}

// branch counts the branches at the moment that fail as the run did.
func (s *causeSearch) branch(at time.Duration) int {
	at = max(at, 1)
	var fails atomic.Int64
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(s.jobs, s.branches) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				c := s.f.changes
				if c.RedrawAt = at; c.Redraw != 0 {
					c.Redraw += 1_000_000
				}
				c.Redraw += uint64(i + 1)
				if s.f.fails(s.f.schedule, c) {
					fails.Add(1)
				}
				s.bar.show("%d runs; branching at %.3fs", s.runs.Add(1), at.Seconds())
			}
		}()
	}
	for i := range s.branches {
		next <- i
	}
	close(next)
	wg.Wait()
	s.known = append(s.known, branching{at, int(fails.Load())})
	return int(fails.Load())
}

func (s *causeSearch) tell(w io.Writer, r *reports.Run, low, high, seen time.Duration) {
	fmt.Fprintf(w, "%s breaks %s at %.3fs; of %d branches at each moment\n", r.ID(), s.f.broken, seen.Seconds(), s.branches)
	for _, b := range s.sorted() {
		fmt.Fprintf(w, "  from %8.3fs on redrawn: %d fail  %s\n", b.at.Seconds(), b.fails, strings.Repeat("█", b.fails*20/s.branches))
	}
	switch {
	case high == 0:
		fmt.Fprintf(w, "inevitable from the start: the plan and the schedule alone bring it about; 'barnabas shrink %s' says which part of them\n", s.f.dir)
	case high >= r.Virtual:
		fmt.Fprintf(w, "inevitable only at the very end\n")
	default:
		fmt.Fprintf(w, "inevitable from %.3fs on; at %.3fs a branch still escaped\n", high.Seconds(), low.Seconds())
	}
}

func (s *causeSearch) sorted() []branching {
	list := append([]branching(nil), s.known...)
	for i := range list {
		for j := i; j > 0 && list[j].at < list[j-1].at; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list
}

// happened prints what the nodes told, and which faults were in force, in the decisive time.
func happened(w io.Writer, log *trace.Log, r *reports.Run, low, high time.Duration) {
	const most = 30
	for _, f := range r.Faults {
		if f.Start <= high && f.End >= low && f.Outcome == "applied" {
			fmt.Fprintf(w, "  in force: %s\n", f.Text)
		}
	}
	margin := max(20*time.Millisecond, (high-low)/2)
	var lines []string
	for _, e := range log.Entries() {
		if at := time.Duration(e.At); (e.What == trace.Emit || e.What == trace.World) && at >= low-margin && at <= high+margin/4 {
			lines = append(lines, e.String())
		}
	}
	if left := len(lines) - most; left > 0 {
		fmt.Fprintf(w, "  … %d lines before (barnabas replay --from %.3fs --until %.3fs shows them)\n", left, (low - margin).Seconds(), high.Seconds())
		lines = lines[left:]
	}
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", line)
	}
}
