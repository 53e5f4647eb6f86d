package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"barnabas/broker/bug"
	"barnabas/scenarios"
)

func scenariosCommand() *cobra.Command {
	var names bool
	cmd := &cobra.Command{
		Use:   "scenarios",
		Short: "List the scenarios and the bugs of the zoo",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if names {
				for _, s := range scenarios.Catalog() {
					fmt.Fprintln(cmd.OutOrStdout(), s.Name)
				}
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "SCENARIO\tWHAT HAPPENS")
			for _, s := range scenarios.Catalog() {
				fmt.Fprintf(w, "%s\t%s\n", s.Name, s.Summary)
			}
			fmt.Fprintln(w, "\nBUG (run --bug NAME)\tDEFECT\tKNOWN AS")
			for _, a := range bug.Zoo {
				fmt.Fprintf(w, "%s\t%s: %s\t%s\n", a.Name, a.Defect, a.Effect, a.Known)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&names, "names", false, "only the scenarios' names, for scripts")
	return cmd
}
