package reports

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Soak is what many runs came to: one soak of one machine, or several merged.
type Soak struct {
	Commit      string          `json:"commit,omitempty"`
	Bugs        string          `json:"bugs,omitempty"`
	Started     time.Time       `json:"started"`
	Wall        time.Duration   `json:"wall_ns"` // that the soak took; of merged ones the longest
	Shards      []string        `json:"shards"`  // "1/4"
	Scenarios   []SoakScenario  `json:"scenarios"`
	Regressions int             `json:"regressions"` // of the past that were run
	Rechecked   int             `json:"rechecked"`   // runs that were run twice, their hashes compared
	Kinds       []FaultCount    `json:"fault_counts"`
	Marks       []MarkCount     `json:"marks"`
	Failures    []SoakFailure   `json:"failures"` // by signature: new, ongoing, known, gone
	Earlier     []Night         `json:"earlier"`  // soaks before this one, oldest first
	Passed      map[string]*Run `json:"-"`        // one run that passed, a scenario
}

// SoakScenario sums up the runs of one scenario.
type SoakScenario struct {
	Name       string        `json:"name"`
	Summary    string        `json:"summary"`
	Weight     int           `json:"weight"`
	Runs       int           `json:"runs"`
	Failed     int           `json:"failed"`
	SeedFirst  uint64        `json:"seed_first"`
	SeedLast   uint64        `json:"seed_last"`
	Operations int           `json:"operations"`
	Acked      int           `json:"records_acked"`
	Faults     int           `json:"faults_fired"`
	Elections  int           `json:"elections"`
	Events     uint64        `json:"events"`
	Virtual    time.Duration `json:"virtual_ns"`
	Wall       time.Duration `json:"wall_ns"`
}

// MarkCount is how often a coverage mark was hit.
type MarkCount struct {
	Name string `json:"name"`
	Hits uint64 `json:"hits"`
}

// The standings of a signature against the last soak's.
const (
	StandingNew     = "new"
	StandingOngoing = "ongoing"
	StandingKnown   = "known" // masked: somebody has said that it is known
	StandingGone    = "gone"  // the last soak had it, this one not
)

// SoakFailure is all failures with one signature: what broke, in which scenario, and the top of its trace.
type SoakFailure struct {
	Broken   string   `json:"broken"` // an invariant, or a verdict
	Scenario string   `json:"scenario"`
	Top      string   `json:"top,omitempty"` // of its trace: Run.Top
	Standing string   `json:"standing"`
	Note     string   `json:"note,omitempty"` // why it is known
	Verdict  Verdict  `json:"verdict"`
	Count    int      `json:"count"`
	Seeds    []uint64 `json:"seeds"` // the first few
	Since    string   `json:"since,omitempty"`
	Reason   string   `json:"reason,omitempty"` // of the first
	Dir      string   `json:"dir,omitempty"`    // of the first, from the soak's directory
	First    *Run     `json:"first,omitempty"`
}

// Signature is what failures are told apart by.
func (f *SoakFailure) Signature() string {
	return strings.TrimSpace(f.Scenario + " " + f.Broken + " " + f.Top)
}

// Night is one soak in the trend.
type Night struct {
	Started  time.Time     `json:"started"`
	Commit   string        `json:"commit,omitempty"`
	Runs     int           `json:"runs"`
	Failed   int           `json:"failed"`
	Problems int           `json:"signatures"` // new and ongoing ones
	Virtual  time.Duration `json:"virtual_ns"`
	Wall     time.Duration `json:"wall_ns"`
}

// seedsKept is how many seeds of a signature are listed.
const seedsKept = 12

// Add counts a run. What belongs to the failure's first run only is kept there.
func (s *Soak) Add(r *Run, summary string, weight int) *SoakFailure {
	row := s.scenario(r.Scenario, summary, weight)
	if row.Runs == 0 || r.Seed < row.SeedFirst {
		row.SeedFirst = r.Seed
	}
	row.SeedLast = max(row.SeedLast, r.Seed)
	row.Runs++
	row.Operations += r.Counts.OK + r.Counts.Failed + r.Counts.Unknown
	row.Acked += r.Counts.RecordsAcked
	row.Elections += r.Counts.Elections
	row.Events += r.Events
	row.Virtual += r.Virtual
	row.Wall += r.Wall
	for _, f := range r.Fired {
		row.Faults += f.Fired
		s.kind(f)
	}
	if r.Verdict == Pass {
		return nil
	}
	row.Failed++
	return s.fail(r)
}

func (s *Soak) scenario(name, summary string, weight int) *SoakScenario {
	i := slices.IndexFunc(s.Scenarios, func(r SoakScenario) bool { return r.Name == name })
	if i < 0 {
		i = len(s.Scenarios)
		s.Scenarios = append(s.Scenarios, SoakScenario{Name: name, Summary: summary, Weight: weight})
	}
	return &s.Scenarios[i]
}

func (s *Soak) kind(f FaultCount) {
	i, found := slices.BinarySearchFunc(s.Kinds, f.Kind, func(k FaultCount, name string) int { return cmp.Compare(k.Kind, name) })
	if !found {
		s.Kinds = slices.Insert(s.Kinds, i, FaultCount{Kind: f.Kind})
	}
	k := &s.Kinds[i]
	k.Planned += f.Planned
	k.Applied += f.Applied
	k.Fired += f.Fired
	k.Withheld += f.Withheld
}

func (s *Soak) fail(r *Run) *SoakFailure {
	for i := range s.Failures {
		f := &s.Failures[i]
		if f.Scenario == r.Scenario && f.Broken == r.Broken() && f.Top == r.Top() && f.Standing != StandingGone {
			f.Count++
			if len(f.Seeds) < seedsKept {
				f.Seeds = append(f.Seeds, r.Seed)
			}
			return f
		}
	}
	s.Failures = append(s.Failures, SoakFailure{Broken: r.Broken(), Scenario: r.Scenario, Top: r.Top(), Standing: StandingNew, Verdict: r.Verdict,
		Count: 1, Seeds: []uint64{r.Seed}, Reason: r.Reason, First: r})
	return &s.Failures[len(s.Failures)-1]
}

// Known is a mask: failures of that signature fail no soak. Scenario "*" is any.
type Known struct{ Broken, Scenario, Note string }

// Compare gives every signature its standing against the last soak, which may be nil, and the masks.
func (s *Soak) Compare(last *Soak, known []Known) {
	s.Failures = slices.DeleteFunc(s.Failures, func(f SoakFailure) bool { return f.Standing == StandingGone })
	before := map[string]*SoakFailure{}
	if last != nil {
		for i := range last.Failures {
			if f := &last.Failures[i]; f.Standing != StandingGone {
				before[f.Signature()] = f
			}
		}
	}
	seen := map[string]bool{}
	for i := range s.Failures {
		f := &s.Failures[i]
		seen[f.Signature()] = true
		f.Standing, f.Since, f.Note = StandingNew, s.Started.UTC().Format("2006-01-02 15:04"), ""
		if old := before[f.Signature()]; old != nil {
			f.Standing, f.Since = StandingOngoing, old.Since
		}
		for _, k := range known {
			if k.Broken == f.Broken && (k.Scenario == "*" || k.Scenario == f.Scenario) {
				f.Standing, f.Note = StandingKnown, k.Note
			}
		}
	}
	if last != nil {
		s.Earlier = slices.Concat(last.Earlier, []Night{last.night()})
		s.Earlier = s.Earlier[max(0, len(s.Earlier)-60):]
		for _, f := range last.Failures {
			if f.Standing != StandingGone && !seen[f.Signature()] && s.ran(f.Scenario) {
				f.Standing, f.First, f.Dir = StandingGone, nil, ""
				s.Failures = append(s.Failures, f)
			}
		}
	}
	s.sort()
}

func (s *Soak) ran(scenario string) bool {
	return slices.ContainsFunc(s.Scenarios, func(r SoakScenario) bool { return r.Name == scenario && r.Runs > 0 })
}

func (s *Soak) sort() {
	order := []string{StandingNew, StandingOngoing, StandingKnown, StandingGone}
	slices.SortStableFunc(s.Failures, func(a, b SoakFailure) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Standing), slices.Index(order, b.Standing)), -cmp.Compare(a.Count, b.Count),
			cmp.Compare(a.Signature(), b.Signature()))
	})
}

func (s *Soak) night() Night {
	n := Night{Started: s.Started, Commit: s.Commit, Wall: s.Wall, Problems: len(s.Problems())}
	for _, r := range s.Scenarios {
		n.Runs += r.Runs
		n.Failed += r.Failed
		n.Virtual += r.Virtual
	}
	return n
}

// Problems are the signatures that fail the soak: new and ongoing ones.
func (s *Soak) Problems() []SoakFailure {
	return slices.DeleteFunc(slices.Clone(s.Failures), func(f SoakFailure) bool { return f.Standing == StandingKnown || f.Standing == StandingGone })
}

// Unfired are the kinds of faults that were planned and never fired.
func (s *Soak) Unfired() []string {
	var out []string
	for _, k := range s.Kinds {
		if k.Planned > 0 && k.Fired == 0 {
			out = append(out, k.Kind)
		}
	}
	return out
}

// Missed are the marks that no run reached.
func (s *Soak) Missed() []string {
	var out []string
	for _, m := range s.Marks {
		if m.Hits == 0 {
			out = append(out, m.Name)
		}
	}
	return out
}

// Verdict is the soak's: that of its first problem, vacuous if a planned kind never fired or nothing ran, else pass.
func (s *Soak) Verdict() Verdict {
	if p := s.Problems(); len(p) > 0 {
		return p[0].Verdict
	}
	if len(s.Unfired()) > 0 || s.night().Runs == 0 {
		return Vacuous
	}
	return Pass
}

// Merge adds up soaks of several shards.
func Merge(list []*Soak) *Soak {
	m := &Soak{}
	for i, s := range list {
		if i == 0 || s.Started.Before(m.Started) {
			m.Started = s.Started
		}
		m.Commit, m.Bugs = joined(m.Commit, s.Commit), joined(m.Bugs, s.Bugs)
		m.Wall = max(m.Wall, s.Wall)
		m.Shards = append(m.Shards, s.Shards...)
		m.Regressions = max(m.Regressions, s.Regressions)
		m.Rechecked += s.Rechecked
		for _, k := range s.Kinds {
			m.kind(k)
		}
		for _, r := range s.Scenarios {
			m.mergeScenario(r)
		}
		m.mergeMarks(s.Marks)
		for _, f := range s.Failures {
			m.mergeFailure(f)
		}
		if len(s.Earlier) > len(m.Earlier) {
			m.Earlier = s.Earlier
		}
	}
	m.sort()
	return m
}

func joined(a, b string) string {
	if a == "" || a == b {
		return b
	}
	if b == "" || strings.Contains(a, b) {
		return a
	}
	return a + ", " + b
}

func (s *Soak) mergeScenario(r SoakScenario) {
	row := s.scenario(r.Name, r.Summary, r.Weight)
	if row.Runs == 0 || r.Runs > 0 && r.SeedFirst < row.SeedFirst {
		row.SeedFirst = r.SeedFirst
	}
	row.SeedLast = max(row.SeedLast, r.SeedLast)
	row.Runs += r.Runs
	row.Failed += r.Failed
	row.Operations += r.Operations
	row.Acked += r.Acked
	row.Faults += r.Faults
	row.Elections += r.Elections
	row.Events += r.Events
	row.Virtual += r.Virtual
	row.Wall += r.Wall
}

func (s *Soak) mergeMarks(marks []MarkCount) {
	for _, k := range marks {
		i, found := slices.BinarySearchFunc(s.Marks, k.Name, func(m MarkCount, name string) int { return cmp.Compare(m.Name, name) })
		if !found {
			s.Marks = slices.Insert(s.Marks, i, MarkCount{Name: k.Name})
		}
		s.Marks[i].Hits += k.Hits
	}
}

// mergeFailure adds a signature; one that any shard still has is not gone.
func (s *Soak) mergeFailure(f SoakFailure) {
	i := slices.IndexFunc(s.Failures, func(o SoakFailure) bool { return o.Signature() == f.Signature() })
	switch {
	case i < 0:
		s.Failures = append(s.Failures, f)
	case f.Standing == StandingGone:
	case s.Failures[i].Standing == StandingGone:
		s.Failures[i] = f
	default:
		o := &s.Failures[i]
		o.Count += f.Count
		o.Seeds = append(o.Seeds, f.Seeds...)
		slices.Sort(o.Seeds)
		o.Seeds = o.Seeds[:min(len(o.Seeds), seedsKept)]
		if f.Standing == StandingOngoing {
			o.Standing, o.Since = f.Standing, f.Since
		}
	}
}

// JSON is the soak's lasting form, and what the next soak compares itself with.
func (s *Soak) JSON() ([]byte, error) { return json.MarshalIndent(s, "", " ") }

// Markdown writes the summary for a CI's page.
func (s *Soak) Markdown(w io.Writer) error {
	var b strings.Builder
	n := s.night()
	mark := "✅"
	if s.Verdict() != Pass {
		mark = "❌"
	}
	fmt.Fprintf(&b, "## %s Barnabas soak: %s\n\n", mark, s.Headline())
	fmt.Fprintf(&b, "%s runs, %s of cluster life in %s", thousands(n.Runs), lifetime(n.Virtual), round(s.Wall.Round(time.Second)))
	if len(s.Shards) > 1 {
		fmt.Fprintf(&b, " on %d shards", len(s.Shards))
	}
	if s.Commit != "" {
		fmt.Fprintf(&b, ", commit `%s`", s.Commit)
	}
	b.WriteString("\n")
	if len(s.Failures) > 0 {
		b.WriteString("\n| | broken | scenario | runs | seeds | replay, from the directory of this report |\n|---|---|---|---:|---|---|\n")
		for _, f := range s.Failures {
			replay := f.Note
			if f.Standing != StandingGone {
				replay = "`" + f.Replay() + "` " + f.Note
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %d | %s | %s |\n", f.Standing, f.Broken, f.Scenario, f.Count, seedList(f.Seeds), replay)
		}
	}
	b.WriteString("\n| scenario | runs | failed | operations | faults hit | virtual |\n|---|---:|---:|---:|---:|---:|\n")
	for _, r := range s.Scenarios {
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s |\n", r.Name, r.Runs, r.Failed, thousands(r.Operations), thousands(r.Faults), lifetime(r.Virtual))
	}
	if list := s.Unfired(); len(list) > 0 {
		fmt.Fprintf(&b, "\n**Planned and never fired:** %s\n", strings.Join(list, ", "))
	}
	missed := s.Missed()
	fmt.Fprintf(&b, "\nCoverage: %d of %d marks reached.", len(s.Marks)-len(missed), len(s.Marks))
	if len(missed) > 0 {
		fmt.Fprintf(&b, " <details><summary>never reached</summary>\n\n%s\n\n</details>", "`"+strings.Join(missed, "` `")+"`")
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Headline is the soak in a few words.
func (s *Soak) Headline() string {
	n := s.night()
	problems := s.Problems()
	switch {
	case len(problems) > 0:
		fresh := 0
		for _, f := range problems {
			if f.Standing == StandingNew {
				fresh++
			}
		}
		return fmt.Sprintf("%d of %s runs failed, in %d ways, %d of them new", n.Failed, thousands(n.Runs), len(problems), fresh)
	case len(s.Unfired()) > 0:
		return "vacuous: faults were planned that never fired (" + strings.Join(s.Unfired(), ", ") + ")"
	case n.Runs == 0:
		return "nothing ran"
	case n.Failed > 0:
		return fmt.Sprintf("%s runs, nothing new; %d failed in known ways", thousands(n.Runs), n.Failed)
	}
	return fmt.Sprintf("all %s runs passed", thousands(n.Runs))
}

// Replay is the command that runs the first failure again.
func (f *SoakFailure) Replay() string {
	if f.Dir != "" {
		return "barnabas replay " + f.Dir
	}
	line := fmt.Sprintf("barnabas run %s --seed %d", f.Scenario, f.Seeds[0])
	if f.First != nil && f.First.Bugs != "" {
		line += " --bug " + f.First.Bugs
	}
	return line
}

func seedList(seeds []uint64) string {
	var words []string
	for _, s := range seeds[:min(len(seeds), 4)] {
		words = append(words, fmt.Sprint(s))
	}
	if len(seeds) > 4 {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}

// lifetime is a long virtual time in words.
func lifetime(d time.Duration) string {
	switch days := d.Hours() / 24; {
	case days >= 365:
		return fmt.Sprintf("%.1f years", days/365.25)
	case days >= 2:
		return fmt.Sprintf("%.1f days", days)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	}
	return fmt.Sprintf("%.1f minutes", d.Minutes())
}
