package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barnabas/reports"
	"barnabas/sim/trace"
)

// replayFlags are the flags of replay.
type replayFlags struct {
	last        int
	choices     bool
	nodes       string
	partition   string
	from, until string
	state       string
	all         bool
}

// filter is which lines of the trace are printed.
type filter struct {
	nodes       []string
	topic       string
	partition   int32
	from, until time.Duration
	all         bool // what the network and the disks did, too
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay DIR",
		Short: "Run a recorded run again, with its trace",
		Long: `Run the run of DIR again: the same scenario, seed, bugs and schedule of faults, and so, at the same commit, the same
events. The whole trace goes to DIR/trace.txt, one event a line. Printed are the last lines before the first violation, or
those that --node, --partition, --from and --until ask for; --state prints every replica at a moment. The exit code is
the run's.`,
		Example: `  barnabas replay out/leader-failover-7
  barnabas replay out/leader-failover-7 --node b1,zk --from 8s --until 9.5s
  barnabas replay out/leader-failover-7 --partition t-0 --state 9.317s`,
		Args: exactly(1, "the directory of a run"),
		RunE: func(_ *cobra.Command, args []string) error {
			show, state, err := f.filter()
			if err != nil {
				return err
			}
			return replay(args[0], trace.Options{Last: f.last, NoChoices: !f.choices}, show, state)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.last, "last", 2_000_000, "how many of the last events the trace holds")
	flags.BoolVar(&f.choices, "choices", false, "also trace every choice of the scheduler")
	flags.StringVar(&f.nodes, "node", "", "print what these nodes told: b1,zk,p2")
	flags.StringVar(&f.partition, "partition", "", "print what was told of this partition: t-0")
	flags.StringVar(&f.from, "from", "", "print from this moment on: 8.5s")
	flags.StringVar(&f.until, "until", "", "print up to this moment")
	flags.StringVar(&f.state, "state", "", "print the state of every replica at this moment")
	flags.BoolVar(&f.all, "all", false, "print network and disk events, too")
	return cmd
}

// filter is nil if nothing was asked for.
func (f *replayFlags) filter() (show *filter, state time.Duration, err error) {
	moment := func(name, text string, otherwise time.Duration) time.Duration {
		if text == "" {
			return otherwise
		}
		d, perr := time.ParseDuration(text)
		if perr != nil || d < 0 {
			err = usage("--%s %s: write a moment with its unit, such as 9.317s", name, text)
		}
		return d
	}
	show = &filter{all: f.all, partition: -1, from: moment("from", f.from, 0), until: moment("until", f.until, math.MaxInt64)}
	state = moment("state", f.state, 0)
	if err == nil && show.from > show.until {
		err = usage("--from %s is after --until %s", f.from, f.until)
	}
	if f.last < 1 {
		err = usage("--last must be above zero")
	}
	if f.nodes != "" {
		show.nodes = strings.Split(f.nodes, ",")
	}
	if f.partition != "" {
		topic, number, ok := cutLast(f.partition, "-")
		n, perr := strconv.ParseInt(number, 10, 32)
		if !ok || perr != nil || n < 0 {
			err = usage("--partition %s: write it as t-0", f.partition)
		}
		show.topic, show.partition = topic, int32(n)
	}
	if f.nodes == "" && f.partition == "" && f.from == "" && f.until == "" && !f.all {
		show = nil
	}
	return show, state, err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// takes tells whether the entry is to be printed. What the world did to all is told with every node.
func (f *filter) takes(e trace.Entry) bool {
	at := time.Duration(e.At)
	switch {
	case at < f.from || at > f.until:
		return false
	case f.partition >= 0:
		return e.Event.Topic == f.topic && e.Event.Partition == f.partition && (f.nodes == nil || slices.Contains(f.nodes, e.Node))
	case e.What != trace.Emit && e.What != trace.World && !f.all:
		return false
	}
	return f.nodes == nil || slices.Contains(f.nodes, e.Node) || e.Node == ""
}

func replay(dir string, t trace.Options, show *filter, state time.Duration) error {
	recorded, schedule, err := readRun(dir)
	if err != nil {
		return err
	}
	p, err := planOf(dir, recorded, schedule)
	if err != nil {
		return err
	}
	p.stateAt = state
	result := p.attempt(recorded.Seed, t)
	r := result.Report
	if err := writeTrace(filepath.Join(dir, fileTrace), result.Trace); err != nil {
		return err
	}
	if show != nil {
		printEntries(result.Trace, show)
	} else {
		printTail(result.Trace, r)
	}
	if state > 0 {
		if result.State == "" {
			result.State = fmt.Sprintf("the run had ended by %s\n", state)
		}
		fmt.Println(result.State)
	}
	reports.Card(os.Stdout, r)
	fmt.Printf("trace: %s\n", filepath.Join(dir, fileTrace))
	if r.Hash == recorded.Hash {
		fmt.Printf("the same run: hash %s\n", r.Hash)
		return exitWith(r.Verdict)
	}
	if edited(recorded) {
		fmt.Printf("another run: hash %s, recorded %s; %s was edited since\n", r.Hash, recorded.Hash, filepath.Join(dir, fileSchedule))
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

// printEntries prints what the filter takes. If that is nothing, it says what there is.
func printEntries(log *trace.Log, f *filter) {
	b := bufio.NewWriter(os.Stdout)
	defer b.Flush()
	printed := 0
	nodes, partitions := map[string]bool{}, map[string]bool{}
	for _, e := range log.Entries() {
		if f.takes(e) {
			fmt.Fprintln(b, e)
			printed++
		}
		nodes[e.Node] = true
		if e.Event.Topic != "" {
			partitions[fmt.Sprintf("%s-%d", e.Event.Topic, e.Event.Partition)] = true
		}
	}
	if printed == 0 {
		delete(nodes, "") // the world's own
		fmt.Fprintf(b, "nothing was told of that; there are nodes %s and partitions %s\n\n",
			strings.Join(slices.Sorted(maps.Keys(nodes)), ","), strings.Join(slices.Sorted(maps.Keys(partitions)), ","))
	}
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
