package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"barnabas/broker/bug"
	"barnabas/reports"
	"barnabas/scenarios"
	"barnabas/sim/trace"
)

// zooFlags are the flags of zoo.
type zooFlags struct {
	trials int
	limit  int
	jobs   int
	first  uint64
	out    string
	skip   []string
	shrink bool
}

func zooCommand() *cobra.Command {
	var f zooFlags
	cmd := &cobra.Command{
		Use:   "zoo [BUG…]",
		Short: "Plant each bug of the zoo and say after how many seeds the soak's mix finds it",
		Long: `Plant the bugs of the zoo one after the other and run the soak's mix of scenarios, in the soak's order and no scenario
for one bug alone, until a run fails; several times each, with other seeds. The table tells of each bug the median and the
worst number of seeds, the scenarios that found it, and what it was found as. A run that fails without the bug, too, is no
find, and makes the command fail with that run's exit code. A bug that is not found within the limit makes it fail with 1.`,
		Example: `  barnabas zoo --trials 3
  barnabas zoo truncate-to-hw fsync-ignored --trials 10 --limit 300`,
		RunE: func(_ *cobra.Command, args []string) error {
			z, err := newZoo(args, f)
			if err != nil {
				return err
			}
			return z.run()
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.trials, "trials", 3, "how often each bug is looked for")
	flags.IntVar(&f.limit, "limit", 1000, "seeds after which a bug is given up")
	flags.IntVar(&f.jobs, "jobs", runtime.NumCPU(), "runs at once")
	flags.Uint64Var(&f.first, "first", 1, "the first seed; each trial begins 100,000 further on")
	flags.StringVar(&f.out, "out", "out/zoo", "directory for zoo.md, zoo.json and a failing run of each bug")
	flags.StringSliceVar(&f.skip, "without", []string{"large-cluster"}, "scenarios to leave out")
	flags.BoolVar(&f.shrink, "shrink", false, "shrink each bug's first failure, too, and say to what size and in how long")
	return cmd
}

// zoo is one going through the zoo.
type zoo struct {
	flags zooFlags
	bugs  []bug.Animal
	list  []*scenarios.Scenario
	rows  []zooRow
	ctx   context.Context

	mu    sync.Mutex
	clean map[string]reports.Verdict // runs that failed without any bug, by title
}

// zooRow is what became of one bug.
type zooRow struct {
	Bug    string         `json:"bug"`
	Seeds  []int          `json:"seeds"`  // runs until it was found, ascending; of those trials in which it was
	Missed int            `json:"missed"` // trials in which it was not
	As     map[string]int `json:"as"`     // what it was found as, how often
	By     map[string]int `json:"by"`     // scenarios that found it
	Wall   time.Duration  `json:"wall_ns"`
	Dir    string         `json:"dir,omitempty"` // of one failing run
	Shrunk *shrunkTo      `json:"shrunk,omitempty"`
}

func newZoo(names []string, f zooFlags) (*zoo, error) {
	if f.trials < 1 || f.limit < 1 || f.jobs < 1 {
		return nil, usage("--trials, --limit and --jobs must be above zero")
	}
	z := &zoo{flags: f, bugs: bug.Zoo}
	if len(names) > 0 {
		z.bugs = nil
		for _, name := range names {
			if _, err := bug.Parse(name); err != nil {
				return nil, usage("%w", err)
			}
			z.bugs = append(z.bugs, bug.Zoo[slices.IndexFunc(bug.Zoo, func(a bug.Animal) bool { return a.Name == name })])
		}
	}
	for _, name := range f.skip {
		if _, err := scenarios.Find(name); err != nil {
			return nil, usage("--without: %w", err)
		}
	}
	for _, s := range scenarios.Catalog() {
		if !slices.Contains(f.skip, s.Name) {
			z.list = append(z.list, s)
		}
	}
	return z, nil
}

func (z *zoo) run() error {
	collectSeldom()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	z.ctx = ctx
	for _, a := range z.bugs {
		if z.ctx.Err() != nil {
			break
		}
		row := z.look(a)
		if z.flags.shrink && row.Dir != "" {
			row.shrink(z.flags)
		}
		z.rows = append(z.rows, row)
		fmt.Println(row.line())
	}
	if err := z.write(); err != nil {
		return err
	}
	return z.verdict()
}

// look looks for one bug, trial after trial.
func (z *zoo) look(a bug.Animal) zooRow {
	row := zooRow{Bug: a.Name, As: map[string]int{}, By: map[string]int{}}
	began := time.Now()
	bar := newStatus()
	defer bar.clear()
	for trial := range z.flags.trials {
		mix := mixOf(z.list, z.flags.first+100_000*uint64(trial))
		results := make([]*scenarios.Result, z.flags.limit)
		at := firstOf(z.flags.limit, z.flags.jobs, func() bool { return z.ctx.Err() != nil }, func(n int) bool {
			bar.show("%s, trial %d: run %d", a.Name, trial+1, n+1)
			w := mix.at(n)
			p := &plan{scenario: w.scenario, bugs: a.Set}
			r := p.attempt(w.seed, trace.Options{})
			if v := r.Report.Verdict; v == reports.Pass || v == reports.Vacuous {
				return false
			}
			if clean := (&plan{scenario: w.scenario}).attempt(w.seed, trace.Options{}).Report; clean.Verdict != reports.Pass && clean.Verdict != reports.Vacuous {
				z.failsClean(clean)
				return false // no find
			}
			results[n] = r
			return true
		})
		switch {
		case z.ctx.Err() != nil:
			return row
		case at < 0:
			row.Missed++
			continue
		}
		r := results[at].Report
		row.Seeds = append(row.Seeds, at+1)
		row.As[r.Broken()]++
		row.By[r.Scenario]++
		if row.Dir == "" {
			row.Dir = r.ID()
			if err := writeRun(filepath.Join(z.flags.out, row.Dir), results[at]); err != nil {
				fmt.Fprintln(os.Stderr, "barnabas:", err)
			}
		}
	}
	slices.Sort(row.Seeds)
	row.Wall = time.Since(began)
	return row
}

// shrink shrinks the failing run that was kept; what it does meanwhile goes to shrink.txt beside it.
func (r *zooRow) shrink(f zooFlags) {
	dir := filepath.Join(f.out, r.Dir)
	log, err := os.Create(filepath.Join(dir, "shrink.txt"))
	if err == nil {
		defer log.Close()
		r.Shrunk, err = shrinkRun(log, dir, shrinkFlags{limit: shrinkLimit, jobs: f.jobs})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "barnabas:", err)
	}
}

// shrunk is a cell of the table.
func (r *zooRow) shrunk() string {
	if r.Shrunk == nil {
		return "-"
	}
	return fmt.Sprintf("%d faults, %d operations in %s", r.Shrunk.Faults, r.Shrunk.Operations, r.Shrunk.Wall.Round(time.Second))
}

// mixOf is the soak's order of scenarios, without the failures of the past.
func mixOf(list []*scenarios.Scenario, first uint64) *pieces {
	p := &pieces{list: list, first: first}
	p.spread()
	return p
}

func (r *zooRow) median() int {
	if len(r.Seeds) == 0 {
		return 0
	}
	return r.Seeds[len(r.Seeds)/2]
}

func (r *zooRow) worst() string {
	switch {
	case r.Missed > 0:
		return fmt.Sprintf("missed %d times", r.Missed)
	case len(r.Seeds) == 0:
		return "-"
	}
	return fmt.Sprint(r.Seeds[len(r.Seeds)-1])
}

func (r *zooRow) line() string {
	line := fmt.Sprintf("%-24s median %4d  worst %-6s  as %s  by %s  (%s)", r.Bug, r.median(), r.worst(), counted(r.As), counted(r.By), r.Wall.Round(time.Second))
	if r.Shrunk != nil {
		line += "  shrunk to " + r.shrunk()
	}
	return line
}

// counted lists what was counted, the most frequent first.
func counted(m map[string]int) string {
	var names []string
	for name := range m { // sorted below
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(a, b)
	})
	return strings.Join(names, ", ")
}

// overall is the median of the medians.
func (z *zoo) overall() int {
	var all []int
	for i := range z.rows {
		if m := z.rows[i].median(); m > 0 {
			all = append(all, m)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}

func (z *zoo) found() (n int) {
	for i := range z.rows {
		if len(z.rows[i].Seeds) == z.flags.trials {
			n++
		}
	}
	return n
}

// write writes the table and its data.
func (z *zoo) write() error {
	if err := os.MkdirAll(z.flags.out, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| bug | median seeds | worst of %d | found as | found by | shrunk to |\n|---|---|---|---|---|---|\n", z.flags.trials)
	for i := range z.rows {
		r := &z.rows[i]
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s |\n", r.Bug, r.median(), r.worst(), counted(r.As), counted(r.By), r.shrunk())
	}
	fmt.Fprintf(&b, "\n%d of %d found in every trial within %d seeds; the median over the zoo is %d.\n", z.found(), len(z.rows), z.flags.limit, z.overall())
	if err := os.WriteFile(filepath.Join(z.flags.out, "zoo.md"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	data, err := json.MarshalIndent(z.rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(z.flags.out, "zoo.json"), data, 0o644)
}

// failsClean takes note of a run that fails without any bug: it is no find, and worse.
func (z *zoo) failsClean(r *reports.Run) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.clean == nil {
		z.clean = map[string]reports.Verdict{}
	}
	if _, known := z.clean[r.Title()]; !known {
		fmt.Fprintf(os.Stderr, "barnabas: fails without any bug: %s\n", r.Title())
	}
	z.clean[r.Title()] = r.Verdict
}

func (z *zoo) verdict() error {
	fmt.Printf("%d of %d found in every trial within %d seeds; the median over the zoo is %d\ntable: %s\n", z.found(), len(z.rows), z.flags.limit, z.overall(), filepath.Join(z.flags.out, "zoo.md"))
	for _, title := range slices.Sorted(maps.Keys(z.clean)) {
		return &exitError{z.clean[title].ExitCode(), fmt.Errorf("%d runs fail without any bug, which goes before everything else: %s", len(z.clean), title)}
	}
	if z.ctx.Err() != nil {
		return &exitError{1, fmt.Errorf("interrupted: of %d bugs %d were found in every trial, the others not yet", len(z.bugs), z.found())}
	}
	if z.found() < len(z.bugs) {
		return &exitError{1, fmt.Errorf("%d bugs were not found in every trial", len(z.bugs)-z.found())}
	}
	return nil
}
