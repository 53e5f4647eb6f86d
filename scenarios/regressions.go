package scenarios

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"barnabas/broker/bug"
	"barnabas/faults"
)

//go:embed testdata/regressions
var regressionFiles embed.FS

const regressionDir = "testdata/regressions"

// Regression is a failure of the past, shrunk: a schedule and all else it takes to run it.
type Regression struct {
	Name     string // of its file, without ".txt"
	File     faults.File
	Scenario *Scenario
	Bugs     bug.Set // that it was found with; without them it must pass
}

// Regressions are all that the repository holds, by name.
func Regressions() ([]Regression, error) {
	entries, err := regressionFiles.ReadDir(regressionDir)
	if err != nil {
		return nil, err
	}
	var out []Regression
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".txt")
		if !ok {
			continue
		}
		data, err := regressionFiles.ReadFile(path.Join(regressionDir, e.Name()))
		if err != nil {
			return nil, err
		}
		r, err := parseRegression(name, data)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRegression(name string, data []byte) (Regression, error) {
	file, err := faults.Parse(path.Join(regressionDir, name+".txt"), data)
	if err != nil {
		return Regression{}, err
	}
	r := Regression{Name: name, File: file}
	if r.Scenario, err = Find(file.Header.Scenario); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	if r.Bugs, err = bug.Parse(file.Header.Bugs); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	if file.Header.Invariant == "" {
		return r, fmt.Errorf("%s: its header names no invariant", name)
	}
	return r, nil
}

// Options are what runs the regression, with its bugs or without.
func (r Regression) Options(bugs bug.Set) Options {
	return Options{Scenario: r.Scenario, Seed: r.File.Header.Seed, Schedule: &r.File, Bugs: bugs}
}
