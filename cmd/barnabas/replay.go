package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"barnabas/reports"
	"barnabas/sim/trace"
)

func replayCommand() *cobra.Command {
	var last int
	var choices bool
	cmd := &cobra.Command{
		Use:   "replay DIR",
		Short: "Run a recorded run again, with its trace",
		Long: `Run the run of DIR again: the same scenario, seed, bugs and schedule of faults, and so, at the same commit, the same
events. The trace goes to DIR/trace.txt, one event a line; its end is printed. The exit code is the run's.`,
		Example: "  barnabas replay out/leader-failover-7",
		Args:    exactly(1, "the directory of a run"),
		RunE: func(_ *cobra.Command, args []string) error {
			return replay(args[0], trace.Options{Last: last, NoChoices: !choices})
		},
	}
	cmd.Flags().IntVar(&last, "last", 2_000_000, "how many of the last events the trace holds")
	cmd.Flags().BoolVar(&choices, "choices", false, "also trace every choice of the scheduler")
	return cmd
}

func replay(dir string, t trace.Options) error {
	recorded, schedule, err := readRun(dir)
	if err != nil {
		return err
	}
	p, err := planOf(dir, recorded, schedule)
	if err != nil {
		return err
	}
	result := p.attempt(recorded.Seed, t)
	r := result.Report
	if err := writeTrace(filepath.Join(dir, fileTrace), result.Trace); err != nil {
		return err
	}
	printTail(result.Trace, r)
	reports.Card(os.Stdout, r)
	fmt.Printf("trace: %s\n", filepath.Join(dir, fileTrace))
	if r.Hash == recorded.Hash {
		fmt.Printf("the same run: hash %s\n", r.Hash)
		return exitWith(r.Verdict)
	}
	if recorded.Commit != r.Commit {
		fmt.Printf("another run: hash %s, recorded %s; the record is of commit %q, this is %q\n", r.Hash, recorded.Hash, recorded.Commit, r.Commit)
		return exitWith(r.Verdict)
	}
	fmt.Printf("another run: hash %s, recorded %s; if the code has not changed since, this is nondeterminism\n", r.Hash, recorded.Hash)
	if r.Verdict == reports.Pass {
		return exitWith(reports.Nondeterminism)
	}
	return exitWith(r.Verdict)
}

func writeTrace(name string, log *trace.Log) error {
	if log == nil {
		return nil
	}
	return writeTo(name, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		for _, e := range log.Entries() {
			fmt.Fprintln(b, e)
		}
		return b.Flush()
	})
}

// printTail prints what the nodes said about themselves just before the first violation, or at the end.
func printTail(log *trace.Log, r *reports.Run) {
	const lines = 25
	if log == nil {
		return
	}
	var tail []trace.Entry
	for _, e := range log.Entries() {
		if len(r.Failures) > 0 && int64(e.At) > int64(r.Failures[0].At) {
			break
		}
		if e.What == trace.Emit || e.What == trace.World {
			tail = append(tail, e)
		}
	}
	for _, e := range tail[max(0, len(tail)-lines):] {
		fmt.Println(e)
	}
	fmt.Println()
}
