// Command barnabas is the one binary: the broker, the embedded ZooKeeper, and the harness that puts them on trial.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"barnabas/reports"
)

const usageText = `Barnabas is a reference broker for the Kafka protocol, and the harness that puts it on trial.

The same broker code runs on real sockets and disks, or in a simulated world where one seed decides every
delay, crash, lost write and interleaving. A run is judged: was anything that was promised broken?

  barnabas run leader-failover               one seeded run, judged; prints a card
  barnabas run leader-failover --seeds 1..50 many, over all cores; a report in out/report.html
  barnabas replay out/leader-failover-7      the same run again, with its trace
  barnabas shrink out/leader-failover-7      the smallest run that still fails
  barnabas cause out/leader-failover-7       from which moment on it was bound to fail
  barnabas soak --for 10m                    seed after seed of all scenarios, and what is new
  barnabas up --brokers 3                    a real cluster on this machine, with its own ZooKeeper

Exit codes: 0 pass, 1 error, 2 usage, 10 a broker crashed, 11 liveness, 12 safety, 13 nondeterminism, 14 vacuous.`

// exitError carries an exit code, with or without words.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as the user's input: exit code 2.
func usage(format string, args ...any) error {
	return &exitError{2, fmt.Errorf(format, args...)}
}

func main() {
	err := rootCommand().Execute()
	if err == nil {
		return
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{1, err}
		if strings.HasPrefix(err.Error(), "required flag(s)") { // cobra's own
			exit.code = 2
		}
	}
	if exit.err != nil {
		fmt.Fprintln(os.Stderr, "barnabas:", exit.err)
	}
	os.Exit(exit.code)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "barnabas", Long: usageText, SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q; 'barnabas --help' lists them", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(runCommand(), replayCommand(), shrinkCommand(), causeCommand(), soakCommand(), zooCommand(), reportCommand(), checkCommand(), scenariosCommand(), brokerCommand(), zookeeperCommand(), upCommand(), benchCommand())
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 && cmd == root {
				return usage("no command %q; 'barnabas --help' lists them", args)
			}
			return cmd.Help()
		},
	})
	return root
}

// exitWith turns a verdict into the command's end.
func exitWith(v reports.Verdict) error {
	if v == reports.Pass {
		return nil
	}
	return &exitError{code: v.ExitCode()}
}

// exactly is cobra.ExactArgs with an error of usage that says what is missing.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("%s takes %s, not %d arguments; see '%s --help'", cmd.Name(), what, len(args), cmd.CommandPath())
		}
		return nil
	}
}
