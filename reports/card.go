package reports

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Card writes the run's card: what ran, what was done to it, what came of it. A failure ends in lines that are
// commands.
func Card(w io.Writer, r *Run) {
	fmt.Fprintf(w, "%s  %s\n", r.Scenario, r.Summary)
	if r.World == "sim" {
		fmt.Fprintf(w, "  seed       %d   world %s   hash %s\n", r.Seed, r.World, r.Hash)
	} else {
		fmt.Fprintf(w, "  seed       %d   world %s\n", r.Seed, r.World)
	}
	if r.Bugs != "" {
		fmt.Fprintf(w, "  bugs       %s\n", r.Bugs)
	}
	if r.World == "sim" {
		fmt.Fprintf(w, "  time       %s virtual in %s, %s events%s\n", round(r.Virtual), round(r.Wall), thousands(int(r.Events)), speed(r))
	} else {
		fmt.Fprintf(w, "  time       %s, judged in %s\n", round(r.Virtual), round(max(0, r.Wall-r.Virtual)))
	}
	fmt.Fprintf(w, "  clients    %s ok, %s failed, %s unknown; %s records acked, %s read, %s in the final drain\n",
		thousands(r.Counts.OK), thousands(r.Counts.Failed), thousands(r.Counts.Unknown),
		thousands(r.Counts.RecordsAcked), thousands(r.Counts.RecordsRead), thousands(r.Counts.RecordsDrained))
	heirs := ""
	if n := r.Counts.Heirs; n > 0 {
		heirs = fmt.Sprintf(" (%d of eligible leader replicas)", n)
	}
	fmt.Fprintf(w, "  cluster    %d elections%s, %d ISR changes, %d controllers; %s\n",
		r.Counts.Elections, heirs, r.Counts.ISRChanges, r.Counts.Controllers, convergence(r))
	fmt.Fprintf(w, "  faults     %s\n", faultLine(r))
	realLines(w, r)
	if r.Expected != "" {
		fmt.Fprintf(w, "  expected   %s\n", r.Expected)
		for _, f := range r.Met[:min(len(r.Met), 1)] {
			violation(w, "  and so     ", f)
		}
	}
	if promise, knobs := settingLines(r); promise != "" {
		fmt.Fprintf(w, "  promise    %s\n", promise)
		for i, line := range knobs {
			fmt.Fprintf(w, "  %-10s %s\n", map[bool]string{true: "knobs"}[i == 0], line)
		}
	}
	for _, f := range r.Failures[:min(len(r.Failures), 5)] {
		violation(w, "  violation  ", f)
	}
	if n := len(r.Failures) - 5; n > 0 {
		fmt.Fprintf(w, "             and %d more\n", n)
	}
	if r.Stack != "" {
		fmt.Fprintf(w, "  stack\n    %s\n", strings.ReplaceAll(strings.TrimSpace(r.Stack), "\n", "\n    "))
	}
	if r.Verdict != Pass && len(r.Failures) == 0 {
		fmt.Fprintf(w, "  because    %s\n", r.Reason)
	}
	fmt.Fprintln(w, r.Title())
	switch {
	case r.Verdict == Pass || r.Dir == "":
	case r.World == "sim":
		fmt.Fprintf(w, "replay: barnabas replay %s\n", r.Dir)
	default:
		fmt.Fprintf(w, "again: barnabas run %s --world real --seed %d --schedule %s/schedule.txt   logs: %s/logs\n", r.Scenario, r.Seed, r.Dir, r.Dir)
	}
}

// violation writes a broken invariant with its witness.
func violation(w io.Writer, head string, f Failure) {
	fmt.Fprint(w, head, f.ID)
	if f.Anomaly != "" {
		fmt.Fprintf(w, " (%s)", f.Anomaly)
	}
	fmt.Fprintf(w, " at %s: %s\n", seconds(f.At), f.Message)
	for _, line := range f.Witness {
		fmt.Fprintf(w, "               %s\n", line)
	}
}

// settingLines are what the faults keep to, and the broker's settings of this seed, some to a line.
func settingLines(r *Run) (promise string, knobs []string) {
	const width = 130
	for _, s := range r.Settings {
		switch {
		case s.Name == "faults":
			promise = s.Value
		case strings.Contains(s.Name, "."), s.Name == "scheduling":
			word := s.Name + "=" + s.Value
			if n := len(knobs); n > 0 && len(knobs[n-1])+len(word) < width {
				knobs[n-1] += " " + word
			} else {
				knobs = append(knobs, word)
			}
		}
	}
	return promise, knobs
}

func faultLine(r *Run) string {
	if len(r.Fired) == 0 {
		return "none"
	}
	var parts []string
	for _, f := range r.Fired {
		part := fmt.Sprintf("%s %d/%d", f.Kind, f.Fired, f.Planned)
		if f.Withheld > 0 {
			part += fmt.Sprintf(" (%d withheld)", f.Withheld)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ") + "  (fired/planned)"
}

func convergence(r *Run) string {
	switch {
	case r.HealedAt == 0:
		return "not healed"
	case r.Converged < 0:
		return "did not converge after the heal"
	}
	return fmt.Sprintf("healed at %s, converged %s later", seconds(r.HealedAt), seconds(r.Converged))
}

func speed(r *Run) string {
	if r.Wall <= 0 || r.World != "sim" {
		return ""
	}
	return fmt.Sprintf(" (%.0f virtual seconds a second)", r.Virtual.Seconds()/r.Wall.Seconds())
}

func round(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d
}

// thousands writes n with a space every three digits.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
