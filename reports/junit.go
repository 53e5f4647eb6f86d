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
	Name      string        `xml:"name,attr"`
	ClassName string        `xml:"classname,attr"`
	Time      string        `xml:"time,attr"`
	Failure   *junitProblem `xml:"failure,omitempty"`
	Error     *junitProblem `xml:"error,omitempty"`
	SystemOut string        `xml:"system-out,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the runs as JUnit XML: a suite a scenario, a case a seed. The harness's own failures are errors, all
// other verdicts but pass are failures. A case that failed carries its card.
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
