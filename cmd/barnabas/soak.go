package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/reports"
	"barnabas/scenarios"
	"barnabas/sim/trace"
)

// soakFlags are the flags of soak.
type soakFlags struct {
	limit   time.Duration
	runs    int
	shard   string
	jobs    int
	out     string
	bugs    string
	known   string
	first   uint64
	recheck int
	fresh   bool
	beyond  bool
}

func soakCommand() *cobra.Command {
	var f soakFlags
	cmd := &cobra.Command{
		Use:   "soak [SCENARIO…]",
		Short: "Run many seeds of all scenarios, and say what is new",
		Long: `Run seed after seed, spread over the scenarios by their weights, until the time is over. Failures of the past
(scenarios/testdata/regressions) come first. Failures are told apart by what broke in which scenario, and are new,
ongoing or gone against the last soak in the same --out.

OUT then holds index.html, summary.md, junit.xml, soak.json, and a directory for each failure with its timeline. A soak
that was interrupted writes them, too; one that was killed goes on where it was when it is started again.

A shard does every N-th run. Without --shard the number is taken from the environment of common CI systems, Slurm
arrays and Kubernetes indexed jobs (there, set BARNABAS_SHARDS to their number); 'barnabas report merge' joins the outputs.`,
		Example: `  barnabas soak --for 10m
  barnabas soak leader-failover power-loss --for 8h --jobs 16
  barnabas soak --for 1h --shard 2/4 --first 1000000 --out out/soak-2
  barnabas soak --for 10m --known known.txt     # lines such as: INV-NO-LOST-WRITE isr-shrink  issue 12`,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := newSoak(args, f)
			if err != nil {
				return err
			}
			return s.run()
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.limit, "for", 10*time.Minute, "how long")
	flags.IntVar(&f.runs, "runs", 0, "end after so many runs, if that is earlier; 0 for no bound")
	flags.StringVar(&f.shard, "shard", "", "I/N: do every N-th run, from the I-th on")
	flags.IntVar(&f.jobs, "jobs", runtime.NumCPU(), "runs at once")
	flags.StringVar(&f.out, "out", "out/soak", "directory for reports, failures and the state")
	flags.StringVar(&f.bugs, "bug", "", "switch on these bugs of the zoo, comma-separated")
	flags.StringVar(&f.known, "known", "", "file of known failures, a line each: what breaks, the scenario or *, a note")
	flags.Uint64Var(&f.first, "first", 0, "the first seed; by default where the last soak in --out ended")
	flags.IntVar(&f.recheck, "recheck", 25, "run every so-many-th seed twice and compare the hashes; 0 for none")
	flags.BoolVar(&f.beyond, "beyond", false, "let faults do more than Kafka promises to bear, and check the weaker promise")
	flags.BoolVar(&f.fresh, "fresh", false, "do not go on with a soak that was killed")
	return cmd
}

// soak is one soak under way.
type soak struct {
	flags soakFlags
	list  []*scenarios.Scenario
	bugs  bug.Set
	shard shard
	known []reports.Known
	store *soakStore
	last  *reports.Soak // the soak before, or nil
	sum   *reports.Soak
	began time.Time
	stop  context.Context
	bar   *status

	mu     sync.Mutex
	next   int // piece of work
	told   time.Time
	warned map[string]bool
}

// examples is how many failures of one signature keep their directory.
const examples = 3

func newSoak(names []string, f soakFlags) (*soak, error) {
	s := &soak{flags: f, bar: newStatus(), warned: map[string]bool{}}
	var err error
	if s.bugs, err = bug.Parse(f.bugs); err != nil {
		return nil, usage("--bug: %w", err)
	}
	if s.shard, err = findShard(f.shard, os.Getenv); err != nil {
		return nil, err
	}
	if s.known, err = readKnown(f.known); err != nil {
		return nil, err
	}
	if f.limit <= 0 || f.jobs < 1 || f.runs < 0 || f.recheck < 0 {
		return nil, usage("--for and --jobs must be above zero, --runs and --recheck not below")
	}
	for _, name := range names {
		scenario, err := scenarios.Find(name)
		if err != nil {
			return nil, usage("%w", err)
		}
		s.list = append(s.list, scenario)
	}
	if len(names) == 0 {
		s.list = scenarios.Catalog()
	}
	return s, nil
}

// readKnown reads the masks: what breaks, in which scenario, and a note that says why that is known.
func readKnown(name string) ([]reports.Known, error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, usage("--known: %w", err)
	}
	var out []reports.Known
	for i, line := range strings.Split(string(data), "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case len(words) < 3:
			return nil, usage("%s:%d: %q; write what breaks, the scenario or *, and a note that says why it is known", name, i+1, line)
		default:
			out = append(out, reports.Known{Broken: words[0], Scenario: words[1], Note: strings.Join(words[2:], " ")})
		}
	}
	return out, nil
}

func (s *soak) run() error {
	collectSeldom()
	var err error
	names := make([]string, len(s.list))
	for i, sc := range s.list {
		names[i] = sc.Name
	}
	if s.last, err = readSoak(filepath.Join(s.flags.out, fileSoak)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if s.flags.first == 0 {
		s.flags.first = s.nextSeed()
	}
	head := soakHead{Scenarios: names, Beyond: s.flags.beyond, Bugs: s.bugs.String(), Shard: s.shard.String(), Commit: commit(), First: s.flags.first, Started: time.Now()}
	var done []soakLine
	if s.store, done, err = openStore(s.flags.out, &head, s.flags.fresh); err != nil {
		return err
	}
	defer s.store.close()
	s.flags.first = head.First
	s.sum = &reports.Soak{Commit: head.Commit, Bugs: head.Bugs, Started: head.Started, Shards: []string{head.Shard}, Passed: map[string]*reports.Run{}}
	s.restore(done)
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	s.stop = stop
	env.CountMarks(true)
	s.workAll()
	env.CountMarks(false)
	s.bar.clear()
	return s.finish()
}

// restore counts what was done before the process was killed.
func (s *soak) restore(done []soakLine) {
	s.began = time.Now()
	s.told = s.began
	if len(done) == 0 {
		return
	}
	for _, l := range done {
		s.count(l)
		s.next = max(s.next, l.Piece+1)
		s.began = time.Now().Add(-l.Elapsed)
	}
	fmt.Printf("going on with a soak of %s after %d runs and %s; --fresh begins anew\n", s.sum.Started.Format("2006-01-02 15:04"), len(done), time.Since(s.began).Round(time.Second))
}

// piece is one piece of work: a failure of the past, or a seed.
type piece struct {
	number     int
	regression *scenarios.Regression
	scenario   *scenarios.Scenario
	seed       uint64
}

// pieces says what the n-th piece of work is, the same for all shards and on every machine.
type pieces struct {
	past  []scenarios.Regression
	list  []*scenarios.Scenario
	order []int // scenarios of one round, each as often as it weighs, spread out
	first uint64
}

func newPieces(list []*scenarios.Scenario, first uint64) (*pieces, error) {
	past, err := scenarios.Regressions()
	if err != nil {
		return nil, err
	}
	p := &pieces{past: past, list: list, first: first}
	p.spread()
	return p, nil
}

// spread says in which order the scenarios of one round come.
func (p *pieces) spread() {
	list := p.list
	credit := make([]int, len(list))
	total := 0
	for _, s := range list {
		total += s.SoakWeight()
	}
	for range total { // smooth weighted round robin
		best := 0
		for i, s := range list {
			if credit[i] += s.SoakWeight(); credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		p.order = append(p.order, best)
	}
}

// at is the n-th piece. Every seed is used for one scenario in each round.
func (p *pieces) at(n int) piece {
	if n < len(p.past) {
		return piece{number: n, regression: &p.past[n], scenario: p.past[n].Scenario, seed: p.past[n].File.Header.Seed}
	}
	n -= len(p.past)
	return piece{number: n + len(p.past), scenario: p.list[p.order[n%len(p.order)]], seed: p.first + uint64(n)}
}

// workAll runs pieces until the time is over.
func (s *soak) workAll() {
	work, err := newPieces(s.list, s.flags.first)
	if err != nil {
		fmt.Fprintln(os.Stderr, "barnabas:", err)
		return
	}
	var wg sync.WaitGroup
	for range s.flags.jobs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n, ok := s.take(); ok; n, ok = s.take() {
				s.one(work.at(n))
			}
		}()
	}
	wg.Wait()
}

// take is the next piece of this shard; false once the time is over.
func (s *soak) take() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop.Err() != nil || time.Since(s.began) >= s.flags.limit || s.flags.runs > 0 && s.store.lines >= s.flags.runs {
		return 0, false
	}
	for !s.shard.takes(s.next) {
		s.next++
	}
	s.next++
	if s.flags.runs > 0 {
		s.store.lines++ // claimed
	}
	return s.next - 1, true
}

// one runs a piece, judges it and keeps what is worth keeping.
func (s *soak) one(w piece) {
	p := &plan{scenario: w.scenario, seeds: seedRange{w.seed, w.seed}, bugs: s.bugs}
	p.flags.beyond = s.flags.beyond && w.regression == nil
	p.masked = s.masked(w)
	if w.regression != nil {
		p.schedule = &w.regression.File
	}
	result := p.attempt(w.seed, trace.Options{})
	rechecked := s.flags.recheck > 0 && w.number%s.flags.recheck == 0
	if rechecked && result.Report.Verdict != reports.Error {
		if again := p.attempt(w.seed, trace.Options{}); again.Report.Hash != result.Report.Hash {
			result.Report.Verdict = reports.Nondeterminism
			result.Report.Reason = p.firstDifference(w.seed, result, again)
		}
	}
	r := result.Report
	if w.regression != nil && r.Verdict == reports.Vacuous {
		r.Verdict, r.Reason = reports.Pass, "" // a shrunk trial does next to nothing when all is well
	}
	l := soakLine{Piece: w.number, Elapsed: time.Since(s.began), Rechecked: rechecked, Run: r}
	if w.regression != nil {
		l.Regression = w.regression.Name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.count(l); f != nil && f.Count <= examples {
		s.keep(f, result)
		l.Dir = r.ID()
	}
	if err := s.store.add(l); err != nil && !s.warned["store"] {
		s.warned["store"] = true
		fmt.Fprintln(os.Stderr, "barnabas:", err)
	}
	s.progress()
}

// masked are the invariants that are known to break in the piece's scenario: they do not keep a run from showing what else
// does. A failure of the past is what it is about.
func (s *soak) masked(w piece) (ids []string) {
	for _, k := range s.known {
		if w.regression == nil && (k.Scenario == "*" || k.Scenario == w.scenario.Name) {
			ids = append(ids, k.Broken)
		}
	}
	return ids
}

// count adds a run to the sum.
func (s *soak) count(l soakLine) *reports.SoakFailure {
	summary, weight := "", 0
	for _, sc := range scenarios.Catalog() {
		if sc.Name == l.Run.Scenario {
			summary, weight = sc.Summary, sc.SoakWeight()
		}
	}
	if l.Rechecked {
		s.sum.Rechecked++
	}
	if l.Regression != "" {
		s.sum.Regressions++
		if l.Run.Verdict == reports.Pass {
			return nil
		}
	}
	f := s.sum.Add(l.Run, summary, weight)
	if f == nil && s.sum.Passed[l.Run.Scenario] == nil && len(l.Run.Slices) > 0 {
		s.sum.Passed[l.Run.Scenario] = l.Run
	}
	if f != nil && f.Count == 1 {
		f.Dir = l.Dir
	}
	return f
}

// keep writes the directory of a failure and tells of a signature's first.
func (s *soak) keep(f *reports.SoakFailure, result *scenarios.Result) {
	r := result.Report
	dir := filepath.Join(s.flags.out, r.ID())
	if err := writeRun(dir, result); err != nil {
		fmt.Fprintln(os.Stderr, "barnabas:", err)
	}
	if f.Count == 1 {
		f.Dir = r.ID()
		s.bar.clear()
		fmt.Printf("%s\nreplay: barnabas replay %s\n", r.Title(), dir)
	}
}

// progress tells how far the soak is: always on a terminal, once a minute elsewhere.
func (s *soak) progress() {
	elapsed := time.Since(s.began)
	runs, failed := 0, 0
	var virtual time.Duration
	for _, r := range s.sum.Scenarios {
		runs += r.Runs
		failed += r.Failed
		virtual += r.Virtual
	}
	line := fmt.Sprintf("%s of %s: %d runs, %d failed in %d ways, %.1f hours of cluster life", elapsed.Round(time.Second), s.flags.limit, runs, failed, len(s.sum.Failures), virtual.Hours())
	if s.bar.on {
		s.bar.show("%s", line)
	} else if time.Since(s.told) >= time.Minute {
		s.told = time.Now()
		fmt.Println(line)
	}
}

// finish compares the soak with the last one, writes everything, and ends with the soak's verdict.
func (s *soak) finish() error {
	s.sum.Wall = time.Since(s.began)
	for _, m := range env.Marks() {
		if strings.HasPrefix(m.Name, "osenv/") {
			continue // the real world's: no simulation comes there
		}
		s.sum.Marks = append(s.sum.Marks, reports.MarkCount{Name: m.Name, Hits: m.Hits + s.store.marks[m.Name]})
	}
	s.sum.Compare(s.last, s.known)
	if err := writeSoak(s.flags.out, s.sum); err != nil {
		return err
	}
	if err := s.store.finish(); err != nil {
		return err
	}
	return tellSoak(s.flags.out, s.sum)
}

// nextSeed is the seed behind those of the last soak, so that each soak looks where none has looked.
func (s *soak) nextSeed() uint64 {
	next := uint64(1)
	if s.last != nil {
		for _, r := range s.last.Scenarios {
			next = max(next, r.SeedLast+1)
		}
	}
	return next
}

// tellSoak prints what a soak came to, and turns its verdict into the command's end.
func tellSoak(out string, s *reports.Soak) error {
	fmt.Println(s.Headline())
	for _, f := range s.Failures {
		fmt.Printf("  %-8s %s in %s, %d runs, seeds %v\n", f.Standing, f.Broken, f.Scenario, f.Count, f.Seeds)
	}
	missed := s.Missed()
	fmt.Printf("coverage: %d of %d marks reached\n", len(s.Marks)-len(missed), len(s.Marks))
	fmt.Printf("report: %s\n", filepath.Join(out, "index.html"))
	if p := s.Problems(); len(p) > 0 {
		f := p[0]
		f.Dir = prefixed(out, f.Dir)
		fmt.Printf("FAIL %s %s %s seed=%d\nreplay: %s\n", f.Verdict, f.Broken, f.Scenario, f.Seeds[0], f.Replay())
		if f.Dir != "" && (f.Verdict == reports.Safety || f.Verdict == reports.Crash || f.Verdict == reports.Liveness) {
			fmt.Printf("shrink: barnabas shrink %s\n", f.Dir)
		}
	}
	return exitWith(s.Verdict())
}

func prefixed(dir, name string) string {
	if name == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// writeSoak writes all outputs of a soak.
func writeSoak(out string, s *reports.Soak) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer) error{
		"index.html": func(w io.Writer) error { return reports.SoakPage(w, s) },
		"summary.md": s.Markdown,
		"junit.xml":  func(w io.Writer) error { return reports.JUnitOf(w, s) },
		fileSoak: func(w io.Writer) error {
			data, err := s.JSON()
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		},
	} {
		if err := writeTo(filepath.Join(out, name), write); err != nil {
			return err
		}
	}
	return nil
}
