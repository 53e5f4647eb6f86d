package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"barnabas/reports"
	"barnabas/reports/load"
)

func reportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Make the report of load tests anew, or merge those of soaks",
		Long: `Read every record of a load test in DIR (*.json made by bench) and write beside them: report.html (one file that stands
alone), report.md, report.csv, report.json, the plots as PNG, percentile files (.hgrm) and interval logs (.hlog) that
HDR histogram tools read. 'report merge' joins the outputs of a soak's shards.`,
		Args: exactly(1, "one directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := load.LoadDir(args[0]); err != nil {
				return usage("%w", err)
			}
			return writeReport(args[0])
		},
	}
	cmd.AddCommand(mergeCommand(), trendCommand(), diffCommand())
	return cmd
}

func mergeCommand() *cobra.Command {
	var out, against string
	var known string
	cmd := &cobra.Command{
		Use:   "merge DIR…",
		Short: "Join the outputs of several shards of a soak",
		Long: `Join the soaks of several directories, such as the shards of a CI job, into one report in --out. The exit code is that
of the whole. With --against the failures are new, ongoing or gone against the soak of that directory.`,
		Example: "  barnabas report merge out/soak-1 out/soak-2 --out out/night",
		RunE: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) == 0 {
				return usage("merge takes the directories of soaks")
			}
			masks, err := readKnown(known)
			if err != nil {
				return err
			}
			return mergeSoaks(dirs, out, against, masks)
		},
	}
	cmd.Flags().StringVar(&out, "out", "out/night", "directory of the joint report")
	cmd.Flags().StringVar(&against, "against", "", "directory of the last joint report")
	cmd.Flags().StringVar(&known, "known", "", "file of known failures, as for soak")
	return cmd
}

func mergeSoaks(dirs []string, out, against string, known []reports.Known) error {
	var list []*reports.Soak
	for _, dir := range dirs {
		s, err := readSoak(filepath.Join(dir, fileSoak))
		if err != nil {
			return usage("%s is not the directory of a soak: %w", dir, err)
		}
		for i := range s.Failures {
			if f := &s.Failures[i]; f.Dir != "" {
				if f.Dir, err = filepath.Rel(out, filepath.Join(dir, f.Dir)); err != nil {
					return err
				}
			}
		}
		list = append(list, s)
	}
	merged := reports.Merge(list)
	if against != "" {
		last, err := readSoak(filepath.Join(against, fileSoak))
		if err != nil {
			return usage("--against %s: %w", against, err)
		}
		merged.Compare(last, known)
	} else if known != nil {
		merged.Compare(nil, known)
	}
	if err := writeSoak(out, merged); err != nil {
		return err
	}
	return tellSoak(out, merged)
}
