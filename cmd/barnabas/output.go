package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"barnabas/faults"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios"
	"barnabas/scenarios/workload"
)

// The files of a run's directory.
const (
	fileRecord   = "run.json"
	fileCard     = "card.txt"
	fileSchedule = "schedule.txt"
	fileHistory  = "history.jsonl"
	filePage     = "report.html"
	fileTrace    = "trace.txt"
	fileTimeline = "timeline.html"
)

// writeRun writes everything about one run to dir, which alone is enough to replay it.
func writeRun(dir string, result *scenarios.Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r := result.Report
	r.Dir = dir
	header := faults.Header{Scenario: r.Scenario, Seed: r.Seed, Commit: r.Commit, Bugs: r.Bugs, Changes: result.Changes}
	schedule := faults.File{Header: header, Schedule: result.Schedule}.Format()
	r.Schedule = digest(schedule)
	record, err := r.JSON()
	if err != nil {
		return err
	}
	var card, page bytes.Buffer
	reports.Card(&card, r)
	if err := reports.Page(&page, []*reports.Run{r}); err != nil {
		return err
	}
	files := map[string][]byte{
		fileRecord:   record,
		fileCard:     card.Bytes(),
		filePage:     page.Bytes(),
		fileSchedule: schedule,
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	if result.History == nil {
		return nil
	}
	if err := writeTo(filepath.Join(dir, fileTimeline), func(w io.Writer) error { return reports.Explore(w, r, operations(result.History)) }); err != nil {
		return err
	}
	return writeTo(filepath.Join(dir, fileHistory), func(w io.Writer) error { return history.Write(w, result.History) })
}

func digest(schedule []byte) string { return fmt.Sprintf("%x", sha256.Sum256(schedule))[:16] }

// edited tells whether the schedule of a run's directory is another one by now than when the run was recorded.
func edited(r *reports.Run) bool {
	data, err := os.ReadFile(filepath.Join(r.Dir, fileSchedule))
	return err == nil && r.Schedule != "" && digest(data) != r.Schedule
}

// operations are the history's, for the timeline.
func operations(h *history.History) []reports.Op {
	out := make([]reports.Op, 0, len(h.Ops))
	for i := range h.Ops {
		op := &h.Ops[i]
		o := reports.Op{Client: workload.ClientOf(op.Process), What: op.Kind.String(), Partition: fmt.Sprintf("%s-%d", op.Topic, op.Partition),
			Call: op.Call, Return: op.Return, Outcome: op.Outcome.String(), Offset: op.Offset, Next: op.Next, Error: op.Error}
		if op.Kind == history.Fetch {
			o.Offset = op.From
		}
		if op.Kind.OfZooKeeper() {
			o.Partition = op.Topic
		}
		if op.Kind.OfTransaction() {
			o.Partition = "id " + op.TransactionalID
			if op.Kind == history.EndTxn {
				o.What = map[bool]string{true: "commit", false: "abort"}[op.Commits]
			}
		}
		for _, r := range op.Records {
			o.Values = append(o.Values, r.Value)
		}
		out = append(out, o)
	}
	return out
}

func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// writeReports writes the page and the JUnit file over all runs.
func writeReports(dir string, records []*reports.Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeTo(filepath.Join(dir, filePage), func(w io.Writer) error { return reports.Page(w, records) }); err != nil {
		return err
	}
	return writeTo(filepath.Join(dir, "junit.xml"), func(w io.Writer) error { return reports.JUnit(w, records) })
}

// readRun reads a run's directory back.
func readRun(dir string) (*reports.Run, *faults.File, error) {
	data, err := os.ReadFile(filepath.Join(dir, fileRecord))
	if err != nil {
		return nil, nil, usage("%s is not the directory of a run: %w", dir, err)
	}
	var r reports.Run
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, nil, usage("%s: %w", filepath.Join(dir, fileRecord), err)
	}
	if r.Scenario == "" {
		return nil, nil, usage("%s: names no scenario", filepath.Join(dir, fileRecord))
	}
	if r.World == "real" {
		return nil, nil, usage("%s is a run of the real world, where no run repeats; 'barnabas run %s --world real --seed %d --schedule %s' plays its faults again", dir, r.Scenario, r.Seed, filepath.Join(dir, fileSchedule))
	}
	schedule, err := readSchedule(filepath.Join(dir, fileSchedule))
	if err != nil {
		return nil, nil, err
	}
	r.Dir = dir
	return &r, schedule, nil
}

// say prints a line of progress to standard error.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
