package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"barnabas/broker/bug"
	"barnabas/faults"
	"barnabas/reports"
	"barnabas/scenarios"
	"barnabas/sim/trace"
)

// failure is a recorded run that failed, ready to be run again in its own way or a changed one.
type failure struct {
	dir      string
	record   *reports.Run
	plan     *plan
	schedule faults.Schedule
	changes  faults.Changes
	broken   string // what it broke
}

// readFailure reads the directory of a run that failed.
func readFailure(dir string) (*failure, error) {
	record, file, err := readRun(dir)
	if err != nil {
		return nil, err
	}
	p, err := planOf(dir, record, file)
	if err != nil {
		return nil, err
	}
	f := &failure{dir: dir, record: record, plan: p, schedule: file.Schedule, changes: file.Header.Changes, broken: record.Broken()}
	switch record.Verdict {
	case reports.Pass:
		return nil, usage("%s: this run passed", dir)
	case reports.Error, reports.Nondeterminism, reports.Vacuous:
		return nil, usage("%s: the verdict is %s, which no smaller trial explains; see 'barnabas replay %s'", dir, record.Verdict, dir)
	}
	return f, nil
}

// planOf is the plan to run a recorded run again.
func planOf(dir string, record *reports.Run, file *faults.File) (*plan, error) {
	name := filepath.Join(dir, fileRecord)
	scenario, err := scenarios.Find(record.Scenario)
	if err != nil {
		return nil, usage("%s: %w", name, err)
	}
	bugs, err := bug.Parse(record.Bugs)
	if err != nil {
		return nil, usage("%s: %w", name, err)
	}
	return &plan{scenario: scenario, seeds: seedRange{record.Seed, record.Seed}, bugs: bugs, schedule: file, masked: record.Masked}, nil
}

// run is one trial of the failure's seed, with this schedule and these changes.
func (f *failure) run(s faults.Schedule, c faults.Changes, t trace.Options) *scenarios.Result {
	p := *f.plan
	p.schedule = &faults.File{Schedule: s, Header: faults.Header{Changes: c}}
	return p.attempt(f.record.Seed, t)
}

// fails tells whether a trial fails as the recorded one did.
func (f *failure) fails(s faults.Schedule, c faults.Changes) bool {
	return f.run(s, c, trace.Options{}).Report.Breaks(f.broken)
}

// gone is the error of a failure that does not come back.
func (f *failure) gone() error {
	why := "the code has changed since"
	if edited(f.record) {
		why = filepath.Join(f.dir, fileSchedule) + " was edited since"
	}
	return &exitError{1, fmt.Errorf("%s does not break %s any more: %s; see 'barnabas replay %s'", f.dir, f.broken, why, f.dir)}
}

// header is that of a schedule file that reproduces the failure.
func (f *failure) header(c faults.Changes) faults.Header {
	return faults.Header{Scenario: f.record.Scenario, Seed: f.record.Seed, Bugs: f.record.Bugs, Invariant: f.broken, Changes: c}
}

// firstOf calls test for 0 to n-1, jobs at once, and returns the lowest number for which it is true as soon as all below
// it are known; -1 if it is for none. Once stop says so nothing more is begun, and it is -1.
func firstOf(n, jobs int, stop func() bool, test func(int) bool) int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	next, found := 0, n
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next >= found || stop() {
			return -1
		}
		next++
		return next - 1
	}
	for range min(jobs, n) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := take(); i >= 0; i = take() {
				if test(i) {
					mu.Lock()
					found = min(found, i)
					mu.Unlock()
				}
			}
		}()
	}
	wg.Wait()
	if found == n {
		return -1
	}
	return found
}

// status is one line of progress that writes over itself on a terminal, and is silent elsewhere.
type status struct {
	on bool
	mu sync.Mutex
}

func newStatus() *status { return &status{on: isTerminal(os.Stderr)} }

func (s *status) show(format string, args ...any) {
	if s.on {
		s.mu.Lock()
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
		s.mu.Unlock()
	}
}

func (s *status) clear() { s.show("") }
