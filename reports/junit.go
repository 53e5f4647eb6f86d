package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name       string          `xml:"name,attr"`
	ClassName  string          `xml:"classname,attr"`
	Time       string          `xml:"time,attr"`
	Properties []junitProperty `xml:"properties>property,omitempty"`
	Failure    *junitProblem   `xml:"failure,omitempty"`
	Error      *junitProblem   `xml:"error,omitempty"`
	SystemOut  string          `xml:"system-out,omitempty"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the runs as JUnit XML: a suite a scenario, a case a seed. The harness's own failures are errors, all
// other verdicts but pass are failures. A case that failed carries its card. A simulated run has its hash as a property:
// two files tell which seeds went another way under another build.
func JUnit(w io.Writer, runs []*Run) error {
	all := junitSuites{Name: "barnabas"}
	bySuite := map[string]int{}
	var wall, suiteWall = 0.0, map[string]float64{}
	for _, r := range runs {
		at, ok := bySuite[r.Scenario]
		if !ok {
			at = len(all.Suites)
			bySuite[r.Scenario] = at
			all.Suites = append(all.Suites, junitSuite{Name: r.Scenario})
		}
		s := &all.Suites[at]
		c := junitCase{Name: fmt.Sprintf("seed %d", r.Seed), ClassName: "barnabas." + r.Scenario, Time: fmt.Sprintf("%.3f", r.Wall.Seconds())}
		if r.Hash != "" {
			c.Properties = []junitProperty{{Name: "hash", Value: r.Hash}}
		}
		s.Tests++
		if r.Verdict != Pass {
			var card strings.Builder
			Card(&card, r)
			problem := &junitProblem{Message: r.Title(), Type: string(r.Verdict), Text: card.String()}
			if r.Verdict == Error {
				s.Errors++
				c.Error = problem
			} else {
				s.Failures++
				c.Failure = problem
			}
		}
		s.Cases = append(s.Cases, c)
		suiteWall[r.Scenario] += r.Wall.Seconds()
		wall += r.Wall.Seconds()
	}
	for i := range all.Suites {
		s := &all.Suites[i]
		s.Time = fmt.Sprintf("%.3f", suiteWall[s.Name])
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
	}
	all.Time = fmt.Sprintf("%.3f", wall)
	return writeJUnit(w, all)
}

func writeJUnit(w io.Writer, all junitSuites) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// JUnitOf writes a soak as JUnit XML: a suite a scenario, with a case for each signature that failed and one for all
// seeds that passed, and a suite of what the soak as a whole must do.
func JUnitOf(w io.Writer, s *Soak) error {
	all := junitSuites{Name: "barnabas soak", Time: fmt.Sprintf("%.3f", s.Wall.Seconds())}
	for _, r := range s.Scenarios {
		suite := junitSuite{Name: r.Name, Time: fmt.Sprintf("%.3f", r.Wall.Seconds())}
		class := "barnabas." + r.Name
		if r.Runs > r.Failed {
			suite.Cases = append(suite.Cases, junitCase{Name: fmt.Sprintf("%d seeds passed", r.Runs-r.Failed), ClassName: class, Time: suite.Time})
		}
		for i := range s.Failures {
			f := &s.Failures[i]
			if f.Scenario != r.Name || f.Standing == StandingGone {
				continue
			}
			text := fmt.Sprintf("%s, %d runs, seeds %s\n%s\nreplay: %s\n", f.Standing, f.Count, seedList(f.Seeds), f.Reason, f.Replay())
			c := junitCase{Name: f.Broken, ClassName: class, Time: "0.000"}
			switch {
			case f.Standing == StandingKnown:
				c.SystemOut = "known: " + f.Note + "\n" + text
			case f.Verdict == Error:
				suite.Errors++
				c.Error = &junitProblem{Message: f.Reason, Type: string(f.Verdict), Text: text}
			default:
				suite.Failures++
				c.Failure = &junitProblem{Message: f.Reason, Type: string(f.Verdict), Text: text}
			}
			suite.Cases = append(suite.Cases, c)
		}
		all.add(suite)
	}
	suite := junitSuite{Name: "soak", Time: "0.000"}
	c := junitCase{Name: "every planned kind of fault fired", ClassName: "barnabas.soak", Time: "0.000"}
	if list := s.Unfired(); len(list) > 0 {
		suite.Failures++
		c.Failure = &junitProblem{Message: "never fired: " + strings.Join(list, ", "), Type: string(Vacuous)}
	}
	suite.Cases = append(suite.Cases, c)
	all.add(suite)
	return writeJUnit(w, all)
}

func (all *junitSuites) add(s junitSuite) {
	s.Tests = len(s.Cases)
	all.Suites = append(all.Suites, s)
	all.Tests += s.Tests
	all.Failures += s.Failures
	all.Errors += s.Errors
}
