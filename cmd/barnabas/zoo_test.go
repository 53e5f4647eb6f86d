package main

import (
	"context"
	"strings"
	"testing"

	"barnabas/broker/bug"
	"barnabas/reports"
)

// Goal: a zoo whose bugs are all found passes, unless a run failed without any bug: that goes before everything else, with its own exit code. A bug
// that was not found in some trial, or not looked for since somebody interrupted, is told as what it is.
func TestZooVerdict(t *testing.T) {
	stopped, stop := context.WithCancel(context.Background())
	stop()
	all := []zooRow{{Bug: "a", Seeds: []int{1, 2}}, {Bug: "b", Seeds: []int{3, 4}}}
	for name, c := range map[string]struct {
		rows  []zooRow
		ctx   context.Context
		clean *reports.Run
		code  int
		want  string
	}{
		"all found":       {all, context.Background(), nil, 0, ""},
		"one missed":      {[]zooRow{all[0], {Bug: "b", Seeds: []int{3}, Missed: 1}}, context.Background(), nil, 1, "1 bugs were not found"},
		"interrupted":     {[]zooRow{all[0], {Bug: "b", Seeds: []int{3}}}, stopped, nil, 1, "of 2 bugs 1 were found in every trial"},
		"fails without":   {all, context.Background(), &reports.Run{Scenario: "s", Seed: 7, Verdict: reports.Safety, Reason: "INV-X"}, 12, "fail without any bug"},
		"does not settle": {all, context.Background(), &reports.Run{Scenario: "s", Seed: 7, Verdict: reports.Liveness}, 11, "seed=7"},
	} {
		z := &zoo{flags: zooFlags{trials: 2, limit: 10}, bugs: make([]bug.Animal, 2), rows: c.rows, ctx: c.ctx}
		if c.clean != nil {
			z.failsClean(c.clean)
			z.failsClean(c.clean)
		}
		err := z.verdict()
		if codeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: exit code %d, %v; want %d, %q", name, codeOf(err), err, c.code, c.want)
		}
	}
}
