package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barnabas/bench"
	"barnabas/reports/load"
)

func soakBenchCommand() *cobra.Command {
	var f benchFlags
	var o bench.SoakOptions
	cmd := &cobra.Command{
		Use: "soak WORKLOAD", Short: "One load for a long time, and whether anything drifts",
		Long: `Run a workload for --for in one repetition and look for drift in p50, p99, throughput, the brokers' CPU per GB and their memory:
the slope by Theil and Sen's median, whether there is a trend at all by Mann and Kendall's test. A figure that gets worse by more than
--limit an hour, with a trend, makes exit code 1.`,
		Example: "  barnabas bench soak tail-5k --for 1h",
		Args:    exactly(1, "one workload"),
		RunE: func(_ *cobra.Command, args []string) error {
			if o.For < time.Second {
				return usage("--for %s: at least a second", o.For)
			}
			w, err := f.workload(args[0])
			if err != nil {
				return err
			}
			if !(o.Limit > 0) {
				return usage("--limit %v: a share above 0", o.Limit)
			}
			ctx, stop := interruptible()
			defer stop()
			o.Options = f.options()
			run, err := bench.Soak(ctx, w, o)
			if err := f.finish(err, run); err != nil {
				return err
			}
			drifts := 0
			for _, d := range run.Drift {
				word := "no trend shown"
				if d.Exceeded {
					word = "DRIFTS"
					drifts++
				} else if d.Trend {
					word = "a trend within the limit, or for the better"
				}
				say("%-16s first quarter %s, last %s, %+.1f %% an hour: %s", d.Figure, load.Number(d.First), load.Number(d.Last), 100*d.PerHour, word)
			}
			if drifts > 0 {
				return fmt.Errorf("%d figures drift by more than %.0f %% an hour", drifts, 100*o.Limit)
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&o.For, "for", 10*time.Minute, "how long to measure")
	cmd.Flags().Float64Var(&o.Limit, "limit", 0.05, "how much worse a figure may get in an hour, as a share")
	return cmd
}

func planCommand() *cobra.Command {
	var w bench.Wish
	var label, name, out string
	cmd := &cobra.Command{
		Use: "plan DIR", Short: "From a measured curve and a wish to brokers, disks, network and what fails first",
		Long: `Take the record of an open-loop run in DIR (bench steps, or several rates) and say how many such brokers the wish needs, what each
resource is used to, with all brokers up and with those down that may be, and what runs out first. Disk and network are the wish's
own numbers; CPU and latency are as measured.`,
		Example: "  barnabas bench plan out/bench-steps --peak 200 --retention 72h --zones 3 --disk 4000 --disk-write 250 --network 1250 --p99 10ms",
		Args:    exactly(1, "one directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			runs, err := load.LoadDir(args[0])
			if err != nil {
				return usage("%w", err)
			}
			var chosen *load.Run
			for _, r := range runs {
				if (label == "" || r.Label == label) && (name == "" || r.Workload == name) {
					if chosen != nil {
						return usage("%s holds several runs: say which by --workload and --label", args[0])
					}
					chosen = r
				}
			}
			if chosen == nil {
				return usage("%s holds no run of workload %q, label %q", args[0], name, label)
			}
			p, err := bench.NewPlan(chosen, w)
			if err != nil {
				return usage("%w", err)
			}
			fmt.Print(p.Text())
			if out == "" {
				return nil
			}
			data, err := json.MarshalIndent(p, "", " ")
			if err != nil {
				return err
			}
			return os.WriteFile(out, append(data, '\n'), 0o644)
		},
	}
	flags := cmd.Flags()
	flags.Float64Var(&w.Peak, "peak", 0, "MB/s that producers send at the busiest time")
	flags.Float64Var(&w.Average, "average", 0, "MB/s on average, which retention keeps; by default the peak")
	flags.DurationVar(&w.Retention, "retention", 72*time.Hour, "how long records are kept")
	flags.IntVar(&w.Replication, "replication", 3, "replicas of each partition")
	flags.Float64Var(&w.Fanout, "fanout", 1, "how many times everything is read")
	flags.Float64Var(&w.Headroom, "headroom", 0.3, "share of each resource that stays free at the peak")
	flags.IntVar(&w.Zones, "zones", 1, "zones that brokers stand in; all of one may be down")
	flags.IntVar(&w.LoseBrokers, "lose", 0, "brokers that may be down at the peak; by default one, or all of a zone")
	flags.DurationVar(&w.P99, "p99", 0, "the latency to keep; by default any that was measured")
	flags.Float64Var(&w.Cores, "cores", 0, "of each broker; by default as measured")
	flags.Float64Var(&w.DiskGB, "disk", 0, "GB for logs on each broker")
	flags.Float64Var(&w.DiskMBs, "disk-write", 0, "MB/s that each broker's disks sustain")
	flags.Float64Var(&w.NetworkMBs, "network", 0, "MB/s of each broker's network, each way")
	flags.Float64Var(&w.Compression, "compression", 1, "bytes on disk and network a byte of records")
	flags.StringVar(&label, "label", "", "which run, where there are several")
	flags.StringVar(&name, "workload", "", "which run, where there are several")
	flags.StringVar(&out, "json", "", "write the plan to this file too")
	cmd.MarkFlagRequired("peak")
	return cmd
}

func calibrateCommand() *cobra.Command {
	var f benchFlags
	var tries int
	var from string
	cmd := &cobra.Command{
		Use: "calibrate", Short: "Fit a simulator profile to this machine, and say how well it predicts",
		Long: `Measure this machine (loopback, disk, and one real broker that is started for it: as fast as it goes, and at a tenth, a half and 85 % of
that), fit a profile to every other repetition of each, and print what the simulated world predicts against what those between measured.
The profile is OUT/profile.yaml: bench … --world sim --profile OUT/profile.yaml.`,
		Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if _, err := f.workload("calibrate"); err != nil {
				return err
			}
			ctx, stop := interruptible()
			defer stop()
			o := bench.CalibrateOptions{Tries: tries}
			if from != "" {
				runs, err := load.LoadDir(from)
				if err != nil {
					return usage("--from: %w", err)
				}
				if o.Guess, err = bench.ReadProfile(filepath.Join(from, "first-guess.yaml")); err != nil {
					return usage("--from: %w", err)
				}
				o.From = runs[0]
			} else {
				c, end, err := ownCluster(ctx, 1)
				if err != nil {
					return err
				}
				defer end()
				o.Dir, o.Bootstrap = c.flags.dir, strings.Join(c.addrs, ",")
				f.bootstrap = o.Bootstrap
			}
			o.Options = f.options()
			if o.Label == "" {
				o.Label = "this machine"
			}
			keep := func(name string, p *bench.Profile) {
				if err := os.MkdirAll(f.out, 0o755); err == nil {
					err = os.WriteFile(f.path(name), []byte(p.YAML()), 0o644)
					if err != nil {
						say("%v", err)
					}
				}
			}
			o.Probed = func(p *bench.Profile) { keep("first-guess.yaml", p) }
			p, run, err := bench.Calibrate(ctx, o)
			if p != nil {
				keep("profile.yaml", p)
				if from != "" {
					keep("first-guess.yaml", o.Guess)
				}
				say("profile: %s", f.path("profile.yaml"))
				for _, x := range run.Prediction {
					say("%-18s %9.0f/s  %-10s measured %9.0f  predicted %9.0f  %+.0f %%", x.Workload, x.Rate, x.Figure, x.Measured, x.Predicted, 100*x.Off())
				}
			}
			return f.finish(err, run)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "directory of an earlier calibration: fit again, measure nothing")
	cmd.Flags().IntVar(&tries, "tries", 0, "simulated profiles that the fit may try; by default 90")
	return cmd
}

func generatorCommand() *cobra.Command {
	var seconds time.Duration
	var rate float64
	cmd := &cobra.Command{
		Use: "generator", Short: "The load generator alone, against a sink that answers at once",
		Long: "How many records a second the generator makes and accounts for without any cluster, and how late it is on a schedule.",
		Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if seconds < 100*time.Millisecond || !(rate >= 1 && rate <= 1e8) {
				return usage("--for %s --rate %v: at least 100ms, and from 1 to 100,000,000 records a second", seconds, rate)
			}
			g := bench.MeasureGenerator(seconds, rate)
			fmt.Printf("as fast as it goes   %.2f million records/s of 100 bytes, %d ns of CPU each: %.1f million/s a core\n", g.PerSecond/1e6, g.CPU.Nanoseconds(), 1e3/float64(g.CPU.Nanoseconds()))
			fmt.Printf("at %.0f/s         slip p50 %s, p99 %s, p99.9 %s, max %s over %d records\n", rate, g.Slip(50), g.Slip(99), g.Slip(99.9), g.Slip(100), g.Count())
			return nil
		},
	}
	cmd.Flags().DurationVar(&seconds, "for", 2*time.Second, "how long for each")
	cmd.Flags().Float64Var(&rate, "rate", 50_000, "records a second of the schedule")
	return cmd
}

func checkBenchCommand() *cobra.Command {
	var file, baseline string
	cmd := &cobra.Command{
		Use: "check DIR", Short: "Hold a report to a threshold file: for CI",
		Long: `Hold the runs in DIR to a file of thresholds; exit code 1 when one is broken, or when it meets nothing. The file is a list in YAML:

  - {workload: tail-5k, label: Barnabas, figure: p99, max: 1200}
  - {workload: produce-64k, figure: cpu, label: Barnabas, against: "Apache Kafka 3.9.1", max_ratio: 0.34}
  - {workload: tail-5k, figure: p99, worse_by: 0.2}            # than the same row in --baseline

Figures: ` + strings.Join(load.Figures(), ", ") + ` (µs, MB/s, CPU seconds a GB, MB).`,
		Args: exactly(1, "one directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := load.ReadThresholds(file)
			if err != nil {
				return usage("%w", err)
			}
			runs, err := load.LoadDir(args[0])
			if err != nil {
				return usage("%w", err)
			}
			var old []*load.Run
			if baseline != "" {
				if old, err = load.LoadDir(baseline); err != nil {
					return usage("--baseline: %w", err)
				}
			}
			broken := 0
			for _, v := range load.Check(list, runs, old) {
				fmt.Println(v.Text)
				if !v.OK {
					broken++
				}
			}
			if broken > 0 {
				return fmt.Errorf("%d thresholds broken", broken)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "thresholds", "", "the threshold file")
	cmd.Flags().StringVar(&baseline, "baseline", "", "directory of an earlier report")
	cmd.MarkFlagRequired("thresholds")
	return cmd
}

func trendCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "trend DIR…", Short: "Load tests through time: many reports' runs on one page",
		RunE: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) == 0 {
				return usage("trend takes the directories of load tests")
			}
			var all []*load.Run
			for _, dir := range dirs {
				runs, err := load.LoadDir(dir)
				if err != nil {
					return usage("%w", err)
				}
				all = append(all, runs...)
			}
			if err := load.WriteTrend(out, all); err != nil {
				return err
			}
			say("trend: %s", filepath.Join(out, "trend.html"))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "out/trend", "directory of the page and its plots")
	return cmd
}

func diffCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "diff BEFORE AFTER", Short: "Two reports of the same workloads on one page, with ratios",
		Args: exactly(2, "two directories"),
		RunE: func(_ *cobra.Command, dirs []string) error {
			var sides [2][]*load.Run
			for i, dir := range dirs {
				var err error
				if sides[i], err = load.LoadDir(dir); err != nil {
					return usage("%w", err)
				}
			}
			joined := load.Joined(sides[0], sides[1], "before", "after")
			if len(load.Comparisons(joined)) == 0 {
				return fmt.Errorf("no workload and cluster is in both %s and %s with repetitions that count", dirs[0], dirs[1])
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return err
			}
			for i, r := range joined {
				r.File = fmt.Sprintf("%d-%s", i+1, filepath.Base(r.File))
			}
			if err := load.Write(out, joined); err != nil {
				return err
			}
			say("report: %s", filepath.Join(out, "report.html"))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "out/diff", "directory of the report")
	return cmd
}
