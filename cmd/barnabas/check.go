package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
	"barnabas/reports"
)

func checkCommand() *cobra.Command {
	var undrained bool
	cmd := &cobra.Command{
		Use:   "check HISTORY",
		Short: "Judge a recorded history",
		Long: `Judge a history of operations in the form of docs/formats/history.md, from a run's directory or from anywhere: was
anything lost, doubled, reordered, changed? Exit code 12 if so.`,
		Example: "  barnabas check out/leader-failover-7/history.jsonl",
		Args:    exactly(1, "a history file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return usage("%w", err)
			}
			defer f.Close()
			h, err := history.Read(args[0], f)
			if err != nil {
				return usage("%w", err)
			}
			return report(args[0], h, check.Judge(h, check.Options{DrainOptional: undrained}))
		},
	}
	cmd.Flags().BoolVar(&undrained, "undrained", false, "judge a history without a final drain; lost writes then go unseen")
	return cmd
}

func report(name string, h *history.History, v check.Verdict) error {
	fmt.Printf("%s: %d operations on %d topics, %d partitions drained\n", name, len(h.Ops), len(h.Header.Topics), len(h.Drains))
	for _, x := range v.Violations {
		fmt.Printf("violation  %s (%s) at %.3fs: %s\n", x.Invariant, x.Anomaly, float64(x.At)/1e9, x.Message)
		for _, line := range x.Lines() {
			fmt.Printf("             %s\n", strings.TrimSpace(line))
		}
	}
	switch {
	case len(v.Violations) > 0:
		fmt.Printf("FAIL safety %s\n", v.Violations[0].Invariant)
		return exitWith(reports.Safety)
	case len(v.Unknown) > 0:
		fmt.Printf("FAIL unknown: %s\n", strings.Join(v.Unknown, "; "))
		return &exitError{code: 1}
	}
	fmt.Println("PASS")
	return nil
}
