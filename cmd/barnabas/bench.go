package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"barnabas/bench"
	"barnabas/reports/load"
)

// benchFlags are the flags that every kind of bench has.
type benchFlags struct {
	bootstrap string
	label     string
	out       string
	sets      []string
	reps      int
	noise     bool
	pids      []int
	varies    []string
	p99       time.Duration
	startRate float64
	confirm   int
	other     string
	otherName string
	world     string
	profile   string
	brokers   int
	seed      uint64
	scenario  string
	gcLogs    []string
	otherGC   []string
}

func (f *benchFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.bootstrap, "bootstrap", "127.0.0.1:9092", "the cluster, HOST:PORT,…")
	flags.StringVar(&f.label, "label", "", "what to call it in the report; by default its address")
	flags.StringVar(&f.out, "out", "", "directory for the record and the report; by default out/bench-WORKLOAD-TIME")
	flags.StringArrayVar(&f.sets, "set", nil, "KEY=VALUE of the workload with a dotted key (producers.batch=64KiB); may be repeated")
	flags.IntVar(&f.reps, "repetitions", 0, "in place of the workload's")
	flags.BoolVar(&f.noise, "allow-noise", false, "CPU use of other processes is a note, not a reason to void a run")
	flags.IntSliceVar(&f.pids, "broker-pid", nil, "processes to watch, where they are not found by their ports")
	flags.StringArrayVar(&f.gcLogs, "gc-log", nil, "a JVM broker's log of -Xlog:gc:file=…:time, for marks in the plots; may be repeated")
}

// addWorld adds the flags of kinds that run in either world.
func (f *benchFlags) addWorld(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.world, "world", "real", "real, or sim: a cluster that exists in the simulator alone")
	flags.StringVar(&f.profile, "profile", "laptop", "of the simulated machines: "+strings.Join(bench.ProfileNames(), ", ")+", or a file")
	flags.IntVar(&f.brokers, "brokers", 0, "of a simulated cluster, or one that --scenario starts; by default as many as the topic has replicas")
	flags.Uint64Var(&f.seed, "seed", 1, "of the simulated world")
}

func benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench WORKLOAD",
		Short: "Measure any Kafka-compatible cluster",
		Long: `Put a workload on a cluster and measure it: a YAML file, or a ready-made one by its name. In an open loop every
record has an intended time and latency counts from it; a run whose own generator was late, or that other processes
disturbed, is void, and the report says so. The cluster may be ours (barnabas up), Apache Kafka or another.

Ready-made workloads: ` + strings.Join(bench.Names(), ", ") + `.`,
		Example: `  barnabas bench tail-5k --bootstrap 127.0.0.1:9092
  barnabas bench produce-64k --set producers.codec=lz4 --set records.compressibility=0.6
  barnabas bench capacity steps --p99 5ms --set load.rate=1000 --set load.steps=[]
  barnabas bench compare tail-5k --bootstrap 127.0.0.1:9092 --against 127.0.0.1:9192
  barnabas bench replicated-5k --world sim --profile three-zones --brokers 3
  barnabas bench replicated-5k --scenario leader-failover            # a cluster of its own, one of whose brokers is killed`,
		Args: exactly(1, "one workload"),
		RunE: func(_ *cobra.Command, args []string) error { return f.run(args[0]) },
	}
	f.add(cmd)
	f.addWorld(cmd)
	cmd.Flags().StringVar(&f.scenario, "scenario", "", "a fault in the middle of each repetition: "+strings.Join(bench.ScenarioNames, ", ")+". In the real world it starts a cluster of its own")
	cmd.AddCommand(capacityCommand(), compareCommand(), sweepCommand(), soakBenchCommand(), planCommand(), calibrateCommand(), generatorCommand(), checkBenchCommand(), workloadsCommand())
	return cmd
}

func capacityCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "capacity WORKLOAD", Short: "Find the highest rate that keeps a goal",
		Long: `Find the highest rate at which p99 stays within --p99, with no error, consumers that keep up and a client's buffer that
never fills: by doubling, halving the gap, and confirming the rate found. The workload is an open loop; its rate is not used.
In the simulated world (--world sim) the cluster is one that nobody needs to have.`,
		Example: `  barnabas bench capacity tail-5k --p99 5ms
  barnabas bench capacity replicated-5k --world sim --profile three-zones --p99 20ms --set phases.measure=4s`,
		Args: exactly(1, "one workload"),
		RunE: func(_ *cobra.Command, args []string) error { return f.capacity(args[0]) },
	}
	f.add(cmd)
	f.addWorld(cmd)
	cmd.Flags().DurationVar(&f.p99, "p99", 5*time.Millisecond, "the goal")
	cmd.Flags().Float64Var(&f.startRate, "start", 1000, "records a second to begin with")
	cmd.Flags().IntVar(&f.confirm, "confirm", 3, "how often the found rate must pass again")
	return cmd
}

func compareCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "compare WORKLOAD", Short: "One workload on two clusters, in interleaved pairs",
		Args: exactly(1, "one workload"),
		RunE: func(_ *cobra.Command, args []string) error { return f.compare(args[0]) },
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.other, "against", "", "the other cluster, HOST:PORT,…")
	cmd.Flags().StringVar(&f.otherName, "against-label", "", "what to call it; by default its address")
	cmd.Flags().StringArrayVar(&f.otherGC, "against-gc-log", nil, "as --gc-log, of the other cluster's brokers")
	cmd.MarkFlagRequired("against")
	return cmd
}

func sweepCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "sweep WORKLOAD", Short: "A matrix of settings",
		Example: `  barnabas bench sweep replicated-5k --world sim --profile three-zones --vary producers.linger=0s,5ms --vary load.rate=1000,20000
  barnabas bench sweep produce-1m --vary producers.batch=16KiB,64KiB,1MiB --vary producers.acks=1,all --set producers.idempotent=false`,
		Args: exactly(1, "one workload"),
		RunE: func(_ *cobra.Command, args []string) error { return f.sweep(args[0]) },
	}
	f.add(cmd)
	f.addWorld(cmd)
	cmd.Flags().StringArrayVar(&f.varies, "vary", nil, "KEY=VALUE,VALUE,… with a dotted key of the workload; may be repeated")
	cmd.MarkFlagRequired("vary")
	return cmd
}

func workloadsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "workloads", Short: "The ready-made workloads", Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			for _, name := range bench.Names() {
				w, err := bench.Read(name, nil)
				if err != nil {
					return err
				}
				fmt.Printf("%-14s %s\n%-14s %s\n", name, w.Title, "", w.Question)
			}
			return nil
		},
	}
}

// workload reads and adapts one.
func (f *benchFlags) workload(name string, more ...string) (*bench.Workload, error) {
	w, err := bench.Read(name, append(append([]string(nil), f.sets...), more...))
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return nil, usage("%w", err)
	}
	if f.reps > 0 {
		w.Phases.Repetitions = f.reps
	}
	if f.out == "" {
		f.out = filepath.Join("out", fmt.Sprintf("bench-%s-%s", w.Name, time.Now().UTC().Format("20060102-150405")))
	}
	debug.SetGCPercent(400) // the client's memory is cheap, its CPU is not
	return w, nil
}

// check finds flags that make no sense before anything is started.
func (f *benchFlags) check() error {
	if f.reps < 0 || f.reps > 1000 {
		return fmt.Errorf("--repetitions %d: from 1 to 1000; 0 takes the workload's", f.reps)
	}
	if f.world != "" && f.world != "real" && f.world != "sim" {
		return fmt.Errorf("--world %s: real or sim", f.world)
	}
	if f.brokers < 0 || f.brokers > 100 {
		return fmt.Errorf("--brokers %d: from 1 to 100; 0 takes as many as the topic has replicas", f.brokers)
	}
	if strings.TrimSpace(f.bootstrap) == "" {
		return errors.New("--bootstrap is empty: HOST:PORT of one broker or of several, please")
	}
	for _, pid := range f.pids {
		if pid <= 0 || syscall.Kill(pid, 0) == syscall.ESRCH {
			return fmt.Errorf("--broker-pid %d: there is no such process", pid)
		}
	}
	for _, file := range append(slices.Clone(f.gcLogs), f.otherGC...) {
		log, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("--gc-log: %w", err)
		}
		log.Close()
	}
	return nil
}

func (f *benchFlags) options() bench.Options {
	return bench.Options{Bootstrap: f.bootstrap, Label: f.label, AllowNoise: f.noise, Pids: f.pids, GCLogs: f.gcLogs,
		Say: func(format string, args ...any) { say(format, args...) }}
}

// interruptible is a context that a signal ends. A second one ends the program at once, as if nobody had asked for the first.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func (f *benchFlags) run(name string) error {
	w, err := f.workload(name)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if f.scenario != "" && !slices.Contains(bench.ScenarioNames, f.scenario) {
		return usage("--scenario %s: there are %s", f.scenario, strings.Join(bench.ScenarioNames, ", "))
	}
	if f.scenario != "" && w.Load.Mode == "none" {
		return usage("--scenario %s: workload %s has no producers, and what a fault costs is told by what they send; mixed reads a backlog, too", f.scenario, w.Name)
	}
	if f.scenario != "" { // a fault is over in seconds
		w.Phases.Interval = min(w.Phases.Interval, bench.Duration(250*time.Millisecond))
	}
	var run *load.Run
	switch {
	case f.world == "sim":
		run, err = f.simulate(ctx, w)
	case f.scenario != "":
		run, err = f.throughFault(ctx, w)
	default:
		run, err = bench.Run(ctx, w, f.options())
	}
	if err := f.finish(err, run); err != nil {
		return err
	}
	return missedRate(w, run)
}

// missedRate says that an open loop's one rate could not be met. Steps may go beyond what can be: that is their point.
func missedRate(w *bench.Workload, run *load.Run) error {
	const met = 0.98
	if w.Load.Mode != "open" || len(w.Load.Steps) > 0 || run.Scenario != "" {
		return nil
	}
	for _, r := range run.Valid() {
		if got := r.Produced.Rate(); got < met*r.Offered && r.Blocked > 0 {
			return fmt.Errorf("the rate of %.0f records/s could not be met: %.0f/s went through", r.Offered, got)
		}
	}
	return nil
}

// simulate runs in the simulated world.
func (f *benchFlags) simulate(ctx context.Context, w *bench.Workload) (*load.Run, error) {
	o, err := f.simOptions()
	if err != nil {
		return nil, err
	}
	return bench.Simulate(ctx, w, o)
}

func (f *benchFlags) simOptions() (bench.SimOptions, error) {
	p, err := bench.ReadProfile(f.profile)
	if err != nil {
		return bench.SimOptions{}, usage("%w", err)
	}
	return bench.SimOptions{Profile: p, Brokers: f.brokers, Seed: f.seed, Label: f.label, Scenario: f.scenario,
		Say: func(format string, args ...any) { say(format, args...) }}, nil
}

func (f *benchFlags) capacity(name string) error {
	w, err := f.workload(name)
	if err != nil {
		return err
	}
	if f.p99 <= 0 {
		return usage("--p99 %s: the goal is a time above 0", f.p99)
	}
	if !(f.startRate >= 1 && f.startRate <= 1e8) {
		return usage("--start %v: from 1 to 100,000,000 records a second", f.startRate)
	}
	if f.confirm < 1 || f.confirm > 100 {
		return usage("--confirm %d: from 1 to 100", f.confirm)
	}
	ctx, stop := interruptible()
	defer stop()
	o := bench.CapacityOptions{Options: f.options(), P99: f.p99, Start: f.startRate, Confirm: f.confirm}
	var run *load.Run
	if f.world == "sim" {
		sim, err2 := f.simOptions()
		if err2 != nil {
			return err2
		}
		run, err = bench.SimulatedCapacity(ctx, w, sim, o)
	} else {
		run, err = bench.Capacity(ctx, w, o)
	}
	if run != nil && run.Goal != nil && err == nil && !run.Interrupted {
		if run.Goal.Rate == 0 {
			say("no rate keeps p99 <= %s: %s", f.p99, run.Goal.Note)
		} else {
			say("capacity: %.0f records/s keep p99 <= %s (confirmed %d times; %s)", run.Goal.Rate, f.p99, run.Goal.Confirmed, run.Goal.Note)
		}
	}
	return f.finish(err, run)
}

func (f *benchFlags) compare(name string) error {
	w, err := f.workload(name)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	a, b := f.options(), f.options()
	b.Bootstrap, b.Label, b.Pids, b.GCLogs = f.other, f.otherName, nil, f.otherGC
	ra, rb, err := bench.Compare(ctx, w, a, b)
	if err == nil && !ra.Interrupted {
		for _, r := range load.Compare(ra, rb) {
			say("%s", r)
		}
	}
	return f.finish(err, ra, rb)
}

func (f *benchFlags) sweep(name string) error {
	matrix, err := bench.Matrix(f.varies)
	if err != nil {
		return usage("%w", err)
	}
	var all []*bench.Workload
	for _, v := range matrix { // a mistake in the last cell is found before the first runs
		w, err := f.workload(name, v.Sets...)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	ctx, stop := interruptible()
	defer stop()
	var runs []*load.Run
	for i, w := range all {
		say("%s", matrix[i].Name)
		var run *load.Run
		if f.world == "sim" {
			run, err = f.simulate(ctx, w)
		} else {
			run, err = bench.Run(ctx, w, f.options())
		}
		if run != nil {
			label := f.label
			if label == "" && f.world == "sim" {
				label = run.Label // the profile's name
			}
			run.Label = strings.TrimSpace(label + " " + matrix[i].Name)
			runs = append(runs, run)
		}
		if err != nil || run.Interrupted {
			return f.finish(err, runs...)
		}
	}
	return f.finish(nil, runs...)
}

var unfitName = regexp.MustCompile(`[^A-Za-z0-9.=]+`)

// finish saves what there is, makes the report of the directory, and says how it ended.
func (f *benchFlags) finish(failed error, runs ...*load.Run) error {
	if unfit := bench.Unfit(""); errors.As(failed, &unfit) {
		return usage("%w", failed)
	}
	interrupted, saved, counted := errors.Is(failed, context.Canceled), false, false
	for _, r := range runs {
		if r == nil {
			continue
		}
		if r.Interrupted = r.Interrupted || failed != nil; len(r.Repetitions) > 0 {
			name := strings.Trim(unfitName.ReplaceAllString(r.Workload+"-"+r.Label, "-"), "-")
			if err := r.Save(filepath.Join(f.out, strings.ToLower(name)+".json")); err != nil {
				return err
			}
			saved = true
		}
		interrupted = interrupted || r.Interrupted && failed == nil
		counted = counted || len(r.Valid()) > 0
	}
	if interrupted {
		failed = &exitError{code: 1}
	}
	switch {
	case interrupted && !saved:
		say("interrupted before anything was measured: there is no report")
		return failed
	case interrupted:
		say("interrupted: what was measured so far is in %s, marked", f.out)
	case failed != nil && !saved:
		return failed
	case failed != nil:
		say("what was measured before it failed is in %s, marked", f.out)
	case !saved:
		return fmt.Errorf("nothing was measured")
	}
	if err := writeReport(f.out); err != nil {
		return err
	}
	if failed == nil && !counted {
		failed = fmt.Errorf("every repetition is void: see the reasons above")
	}
	return failed
}

func writeReport(dir string) error {
	runs, err := load.LoadDir(dir)
	if err != nil {
		return err
	}
	if err := load.Write(dir, runs); err != nil {
		return err
	}
	say("report: %s", filepath.Join(dir, "report.html"))
	return nil
}
