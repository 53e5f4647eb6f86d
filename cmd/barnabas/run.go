package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"barnabas/broker/bug"
	"barnabas/faults"
	"barnabas/reports"
	"barnabas/scenarios"
	"barnabas/sim/trace"
)

// runFlags are the flags of run.
type runFlags struct {
	seed     uint64
	seeds    string
	world    string
	schedule string
	bugs     string
	twice    bool
	beyond   bool
	out      string
	jobs     int
	real     realFlags
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run SCENARIO",
		Short: "Run a scenario under faults and judge it",
		Long: `Run a scenario: a cluster, clients, and faults, all decided by the seed; then everything heals, the cluster must
converge, fresh clients read everything back, and checkers judge what the clients were told.

A failure's files go to OUT/SCENARIO-SEED: the card, the schedule of faults (a text you can edit and give back with
--schedule), the history of operations, and the record. OUT/report.html and OUT/junit.xml cover all runs.

With --world real the same scenario runs on processes of this binary on this machine: the same faults (kill -9, SIGSTOP,
links and disks by a hook in each process), workload and checks, in real time; the logs are in OUT/SCENARIO-SEED/logs.
What no process can do, such as losing power, is left out, and the card says so. The card also tells how long partitions
could not be written to while brokers stopped or were killed. With --bootstrap the same workload and checks go to any
Kafka-compatible cluster, on a topic of their own and without faults.`,
		Example: `  barnabas run leader-failover --seed 7
  barnabas run power-loss --seeds 1..200
  barnabas run isr-shrink --seeds 1..500 --bug ack-before-isr      # must end with exit code 12
  barnabas run steady --schedule my-faults.txt
  barnabas run rolling-restart --world real --brokers 3
  barnabas run leader-failover --world real --zookeeper-jar /usr/share/java/zookeeper.jar
  barnabas run steady --bootstrap kafka-1:9092,kafka-2:9092 --for 60s`,
		Args: exactly(1, "the name of a scenario ('barnabas scenarios' lists them)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := newPlan(args[0], f, cmd.Flags().Changed("seed"))
			if err != nil {
				return err
			}
			return plan.run()
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&f.seed, "seed", 1, "the seed")
	flags.StringVar(&f.seeds, "seeds", "", "several seeds, FIRST..LAST, instead of --seed")
	flags.StringVar(&f.world, "world", "sim", "sim, or real: processes on this machine")
	flags.StringVar(&f.schedule, "schedule", "", "play the faults of this file instead of those drawn from the seed; without --seed with the seed of its header")
	flags.StringVar(&f.bugs, "bug", "", "switch on these bugs of the zoo, comma-separated")
	flags.BoolVar(&f.twice, "twice", false, "run each seed two times and compare the hashes")
	flags.BoolVar(&f.beyond, "beyond", false, "let faults do more than Kafka promises to bear, and check the weaker promise")
	flags.StringVar(&f.out, "out", "out", "directory for reports and failures")
	flags.IntVar(&f.jobs, "jobs", runtime.NumCPU(), "runs at once; in the real world always one")
	flags.IntVar(&f.real.brokers, "brokers", 0, "real world: how many brokers; 0 is as the seed says")
	flags.DurationVar(&f.real.duration, "for", 0, "real world: how long faults and load last; 0 is as the scenario says")
	flags.DurationVar(&f.real.budget, "budget", 0, "real world: the run ends by then, whatever happens; 0 is what its phases may take in all")
	flags.StringVar(&f.real.zkJar, "zookeeper-jar", "", "real world: run Apache ZooKeeper from this jar and those beside it in place of the embedded one")
	flags.StringVar(&f.real.bootstrap, "bootstrap", "", "HOST:PORT[,HOST:PORT…] of any Kafka-compatible cluster to run the workload and checks on, without faults")
	flags.BoolVar(&f.real.keep, "keep", false, "real world: keep the brokers' data after a pass, too")
	flags.StringVar(&f.real.level, "log-level", "info", "real world: of the processes' logs")
	return cmd
}

// plan is what run will do.
type plan struct {
	flags    runFlags
	scenario *scenarios.Scenario
	seeds    seedRange
	bugs     bug.Set
	schedule *faults.File
	masked   []string      // invariants that are known to break
	stateAt  time.Duration // for replay
}

func newPlan(name string, f runFlags, seedGiven bool) (*plan, error) {
	p := &plan{flags: f, seeds: seedRange{f.seed, f.seed}}
	var err error
	if p.scenario, err = scenarios.Find(name); err != nil {
		return nil, usage("%w", err)
	}
	if f.real.bootstrap != "" {
		p.flags.world = "real"
	}
	if err := p.checkReal(); err != nil {
		return nil, err
	}
	if f.seeds != "" {
		if seedGiven {
			return nil, usage("give --seed or --seeds, not both")
		}
		if p.seeds, err = parseSeeds(f.seeds); err != nil {
			return nil, err
		}
	}
	if p.bugs, err = bug.Parse(f.bugs); err != nil {
		return nil, usage("--bug: %w", err)
	}
	if f.schedule != "" {
		if err := p.takeSchedule(f.seeds != "" || seedGiven); err != nil {
			return nil, err
		}
	}
	if f.jobs < 1 {
		return nil, usage("--jobs %d: at least one", f.jobs)
	}
	return p, nil
}

// takeSchedule reads the schedule, and the seed from its header if no other was given, and checks that the cluster has what it names.
func (p *plan) takeSchedule(seedGiven bool) (err error) {
	if p.schedule, err = readSchedule(p.flags.schedule); err != nil {
		return err
	}
	if h := p.schedule.Header; h.Scenario != "" {
		if h.Scenario != p.scenario.Name {
			fmt.Fprintf(os.Stderr, "barnabas: note: %s was made by %s, seed %d; here its faults are played in %s\n", p.flags.schedule, h.Scenario, h.Seed, p.scenario.Name)
		} else if !seedGiven {
			p.seeds = seedRange{h.Seed, h.Seed}
		}
	}
	if p.flags.real.bootstrap != "" {
		return nil // nobody knows that cluster
	}
	for i := range p.seeds.count() {
		if err := scenarios.Fits(p.scenario, p.seeds.first+uint64(i), p.schedule, p.flags.real.brokers); err != nil {
			return usage("%w", err)
		}
	}
	return nil
}

func readSchedule(name string) (*faults.File, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, usage("%w", err)
	}
	file, err := faults.Parse(name, data)
	if err != nil {
		return nil, usage("%w", err)
	}
	return &file, nil
}

// gcPercent makes room for a faster simulator: collecting a run's live heap of 10 to 20 MB ten times less often than Go would costs some 100 MB a
// core, and saves a tenth of the time.
const gcPercent = 1000

// collectSeldom is for commands that run seed after seed.
func collectSeldom() { debug.SetGCPercent(gcPercent) }

// run runs all seeds, prints as it goes, writes the reports, and ends with the worst verdict: that of the first
// failing seed.
func (p *plan) run() error {
	collectSeldom()
	if err := os.MkdirAll(p.flags.out, 0o777); err != nil { // now, and not when all the work is done
		return usage("--out: %w", err)
	}
	one := p.one
	if p.flags.world == "real" {
		one = p.newReals().one
	}
	bar := newProgress(p.scenario.Name, p.seeds.count())
	records := p.runAll(one, func(r *reports.Run) {
		bar.done(r.Verdict != reports.Pass)
		if p.seeds.count() == 1 || r.Verdict != reports.Pass && bar.failed <= 3 {
			reports.Card(bar.out(), r)
		}
	})
	bar.end()
	if err := writeReports(p.flags.out, records); err != nil {
		return err
	}
	failed := 0
	var first *reports.Run
	for _, r := range records {
		if r.Verdict != reports.Pass {
			failed++
			if first == nil {
				first = r
			}
		}
	}
	if len(records) > 1 {
		p.summary(records, failed, first)
	}
	if first != nil {
		return exitWith(first.Verdict)
	}
	return nil
}

func (p *plan) summary(records []*reports.Run, failed int, first *reports.Run) {
	var virtual, wall time.Duration
	for _, r := range records {
		virtual += r.Virtual
		wall += r.Wall
	}
	twice := ""
	if p.flags.twice {
		twice = ", each run twice"
	}
	if p.flags.world == "real" {
		fmt.Printf("%s seeds %d..%d in the real world: %d passed, %d failed; %.0f minutes\n",
			p.scenario.Name, p.seeds.first, p.seeds.last, len(records)-failed, failed, virtual.Minutes())
	} else {
		fmt.Printf("%s seeds %d..%d%s: %d passed, %d failed; %.0f virtual minutes, %.0f virtual seconds a second and core\n",
			p.scenario.Name, p.seeds.first, p.seeds.last, twice, len(records)-failed, failed, virtual.Minutes(), virtual.Seconds()/wall.Seconds())
	}
	fmt.Printf("report: %s\n", filepath.Join(p.flags.out, "report.html"))
	if first != nil {
		fmt.Println(first.Title())
		if p.flags.world == "sim" {
			fmt.Printf("replay: barnabas replay %s\n", first.Dir)
		} else {
			fmt.Printf("logs: %s\n", filepath.Join(first.Dir, "logs"))
		}
	}
}

// runAll spreads the seeds over the jobs and hands each record to done, one at a time, as they come. The result is in
// the order of the seeds. Of passes only the first is whole, as the report shows no other's picture: what is kept of the rest does not
// hold what happened in them.
func (p *plan) runAll(one func(seed uint64) *reports.Run, done func(*reports.Run)) []*reports.Run {
	records := make([]*reports.Run, p.seeds.count())
	var whole *reports.Run
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range min(p.flags.jobs, len(records)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				r := one(p.seeds.first + uint64(i))
				mu.Lock()
				records[i] = r
				done(r)
				if r.Verdict == reports.Pass {
					if whole == nil || r.Seed < whole.Seed {
						whole, r = r, whole
					}
					if r != nil {
						r.Trim()
					}
				}
				mu.Unlock()
			}
		}()
	}
	for i := range records {
		next <- i
	}
	close(next)
	wg.Wait()
	return records
}

// one runs one seed, twice if asked, and writes its directory if it is the only one or it failed.
func (p *plan) one(seed uint64) *reports.Run {
	result := p.attempt(seed, trace.Options{})
	if p.flags.twice && result.Report.Verdict != reports.Error {
		if again := p.attempt(seed, trace.Options{}); again.Report.Hash != result.Report.Hash {
			result.Report.Verdict = reports.Nondeterminism
			result.Report.Reason = p.firstDifference(seed, result, again)
		}
	}
	r := result.Report
	if r.Verdict != reports.Pass || p.seeds.count() == 1 {
		if err := writeRun(filepath.Join(p.flags.out, r.ID()), result); err != nil {
			fmt.Fprintln(os.Stderr, "barnabas:", err)
		}
	}
	return r
}

// attempt is one run. A panic of the harness itself is an error of this seed and no other's.
func (p *plan) attempt(seed uint64, t trace.Options) (result *scenarios.Result) {
	started := time.Now()
	defer func() {
		if v := recover(); v != nil {
			result = &scenarios.Result{Report: &reports.Run{Scenario: p.scenario.Name, Summary: p.scenario.Summary, Seed: seed, World: "sim",
				Converged: -1, Verdict: reports.Error, Reason: fmt.Sprint("the harness panicked: ", v), Stack: string(debug.Stack())}}
		}
		result.Report.Wall = time.Since(started)
		result.Report.Commit = commit()
	}()
	return scenarios.Run(scenarios.Options{Scenario: p.scenario, Seed: seed, Schedule: p.schedule, Bugs: p.bugs, Trace: t, Masked: p.masked, StateAt: p.stateAt, Changes: p.changes()})
}

// changes are those of the schedule, and what the flags add.
func (p *plan) changes() faults.Changes {
	var c faults.Changes
	if p.schedule != nil {
		c = p.schedule.Header.Changes
	}
	if p.flags.beyond {
		c.Beyond = 1
	}
	return c
}

// firstDifference runs the seed two more times with the stretch recorded in which the first two parted, and names the
// first event that differs.
func (p *plan) firstDifference(seed uint64, first, second *scenarios.Result) string {
	stretch := trace.Options{From: trace.FirstMark(first.Trace.Marks(), second.Trace.Marks()), Count: 2 * trace.MarkEvery}
	a, b := p.attempt(seed, stretch), p.attempt(seed, stretch)
	if diff := trace.FirstDiff(a.Trace.Entries(), b.Trace.Entries()); diff != "" {
		return "the same seed gave two hashes; " + diff
	}
	return fmt.Sprintf("the same seed gave two hashes, and two more runs were equal in the %d events from %d on, where the first two parted: the cause is rare",
		stretch.Count, stretch.From)
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
