package reports

import (
	"fmt"
	"html/template"
	"io"
	"sort"
	"sync"
	"time"
)

// Page writes one HTML file that stands alone: the verdict over all runs, the runs by scenario, every failure with
// its picture, and the picture of one run that passed.
func Page(w io.Writer, runs []*Run) error {
	return pageTemplate().Execute(w, newPage(runs))
}

type page struct {
	Title     string
	Verdict   string
	OK        bool
	Facts     []fact
	Scenarios []scenarioRow
	Details   []*Run // failures first, then one pass a scenario
	Hidden    int    // failures not shown in full
}

type fact struct{ Value, Unit string }

type scenarioRow struct {
	Name, Summary   string
	Runs, Failed    int
	Seeds           string
	Operations      string
	Faults          string
	Elections       int
	VirtualMinutes  string
	VirtualPerWall  string
	ConvergedMedian string
	First           *Run // the first failure
}

// shownFailures is how many failures get their picture; the others stand in the table of their scenario and in
// junit.xml.
const shownFailures = 20

func newPage(runs []*Run) *page {
	p := &page{OK: true}
	var virtual, wall time.Duration
	var ops, acked, faults, failed int
	rows := map[string][]*Run{}
	var names []string
	shownPass := map[string]bool{}
	var passes []*Run
	for _, r := range runs {
		if rows[r.Scenario] == nil {
			names = append(names, r.Scenario)
		}
		rows[r.Scenario] = append(rows[r.Scenario], r)
		virtual += r.Virtual
		wall += r.Wall
		ops += r.Counts.OK + r.Counts.Failed + r.Counts.Unknown
		acked += r.Counts.RecordsAcked
		for _, f := range r.Fired {
			faults += f.Fired
		}
		if r.Verdict != Pass {
			failed++
			p.OK = false
			if len(p.Details) < shownFailures {
				p.Details = append(p.Details, r)
			} else {
				p.Hidden++
			}
		} else if !shownPass[r.Scenario] {
			shownPass[r.Scenario] = true
			passes = append(passes, r)
		}
	}
	p.Details = append(p.Details, passes...)
	for _, name := range names {
		p.Scenarios = append(p.Scenarios, newScenarioRow(name, rows[name]))
	}
	p.Title = fmt.Sprintf("Barnabas: %d of %d runs passed", len(runs)-failed, len(runs))
	p.Verdict = fmt.Sprintf("%d of %d runs passed", len(runs)-failed, len(runs))
	p.Facts = []fact{
		{fmt.Sprintf("%.1f", virtual.Minutes()), "virtual minutes of cluster life"},
		{round(wall).String(), "of computing time"},
		{thousands(ops), "client operations judged"},
		{thousands(acked), "records acknowledged"},
		{thousands(faults), "faults that hit something"},
	}
	return p
}

func newScenarioRow(name string, runs []*Run) scenarioRow {
	row := scenarioRow{Name: name, Summary: runs[0].Summary, Runs: len(runs)}
	var virtual, wall time.Duration
	var ops, faults int
	var converged []time.Duration
	low, high := runs[0].Seed, runs[0].Seed
	for _, r := range runs {
		low, high = min(low, r.Seed), max(high, r.Seed)
		virtual += r.Virtual
		wall += r.Wall
		ops += r.Counts.OK + r.Counts.Failed + r.Counts.Unknown
		row.Elections += r.Counts.Elections
		for _, f := range r.Fired {
			faults += f.Fired
		}
		if r.Converged >= 0 && r.HealedAt > 0 {
			converged = append(converged, r.Converged)
		}
		if r.Verdict != Pass {
			row.Failed++
			if row.First == nil {
				row.First = r
			}
		}
	}
	row.Seeds = fmt.Sprint(low)
	if high != low {
		row.Seeds = fmt.Sprintf("%d–%d", low, high)
	}
	row.Operations, row.Faults = thousands(ops), thousands(faults)
	row.VirtualMinutes = fmt.Sprintf("%.1f", virtual.Minutes())
	if wall > 0 {
		row.VirtualPerWall = fmt.Sprintf("%.0f×", virtual.Seconds()/wall.Seconds())
	}
	if len(converged) > 0 {
		sort.Slice(converged, func(i, j int) bool { return converged[i] < converged[j] })
		row.ConvergedMedian = round(converged[len(converged)/2].Round(time.Millisecond)).String()
	}
	return row
}

var pageTemplate = sync.OnceValue(func() *template.Template {
	return parsePage("page", pageHTML, template.FuncMap{
		"faultline": faultLine,
		"converged": convergence,
		"bad":       func(r *Run) bool { return r.Verdict != Pass },
	})
})

var pageHTML = shell("{{.Title}}", "", `<header{{if not .OK}} class="bad"{{end}}>
<h1>{{.Verdict}}</h1>
<p class="sub">Every run is decided by its seed: the same seed gives the same run, event for event.</p>
<div class="facts">{{range .Facts}}<div><b>{{.Value}}</b><span>{{.Unit}}</span></div>{{end}}</div>
</header>
<section>
<table>
<tr><th>Scenario</th><th></th><th>Seeds</th><th class="n">Runs</th><th class="n">Failed</th><th class="n">Operations</th><th class="n">Faults hit</th><th class="n">Elections</th><th class="n">Virtual min</th><th class="n">Speed</th><th class="n">Converged after, median</th></tr>
{{range .Scenarios}}<tr>
<td><b>{{.Name}}</b><br><span class="small">{{.Summary}}</span></td>
<td>{{if .Failed}}<span class="tag bad">{{.First.Verdict}}</span>{{else}}<span class="tag">pass</span>{{end}}</td>
<td>{{.Seeds}}</td><td class="n">{{.Runs}}</td><td class="n">{{.Failed}}</td><td class="n">{{.Operations}}</td><td class="n">{{.Faults}}</td><td class="n">{{.Elections}}</td><td class="n">{{.VirtualMinutes}}</td><td class="n">{{.VirtualPerWall}}</td><td class="n">{{.ConvergedMedian}}</td>
</tr>{{end}}
</table>
{{if .Hidden}}<p class="small">{{.Hidden}} more failures are not shown below; each is in junit.xml with its replay line.</p>{{end}}
</section>
{{range .Details}}<section id="{{.ID}}">
<h3>{{if bad .}}<span class="tag bad">{{.Verdict}}</span>{{else}}<span class="tag">pass</span>{{end}} {{.Scenario}}, seed {{.Seed}}{{if .Bugs}} <span class="small">with {{.Bugs}}</span>{{end}}</h3>
<p class="small">{{if eq .World "real"}}{{round .Virtual}} in the real world{{else}}{{round .Virtual}} virtual in {{round .Wall}}{{end}} · {{thousands .Counts.OK}} operations ok, {{thousands .Counts.Failed}} failed, {{thousands .Counts.Unknown}} unknown · {{thousands .Counts.RecordsAcked}} records acked · {{.Counts.Elections}} elections, {{.Counts.ISRChanges}} ISR changes · {{converged .}}{{if .Hash}} · hash <code>{{.Hash}}</code>{{end}}</p>
{{range .Measures}}<p class="small">Measured: {{.Line}}</p>{{end}}{{range .LeftOut}}<p class="small">Left out: {{.}}</p>{{end}}{{range .Notes}}<p class="small">{{.}}</p>{{end}}
{{if and (bad .) (not .Failures)}}<div class="violation">{{.Reason}}</div>{{end}}
{{range .Failures}}`+violationHTML+`{{end}}
{{if .Stack}}<pre>{{.Stack}}</pre>{{end}}
{{timeline .}}
<div class="legend"><span><i style="background:#0072B2"></i>ok</span><span><i style="background:#999"></i>failed</span><span><i style="background:#D55E00"></i>unknown</span><span><i style="background:#cfd8df"></i>node up</span><span><i style="background:#e9c46a"></i>paused</span><span>partition rows: a broker each, strong while it leads, pale while in the ISR</span><span><i style="background:#f2b187"></i>fault</span><span><i style="border-left:2px dashed #00735c"></i>healed</span><span><i style="border-left:2px solid #b3000c"></i>invariant broken</span></div>
<p class="small">Faults fired of planned: {{faultline .}}</p>
{{if and (bad .) .Dir (ne .World "real")}}<pre>barnabas replay {{.Dir}}</pre>{{end}}
{{range .Logs}}<details><summary class="small">The end of {{.Node}}'s log</summary><pre>{{range .Lines}}{{.}}
{{end}}</pre></details>{{end}}
<details><summary class="small">Settings as drawn from the seed</summary><table>{{range .Settings}}<tr><td class="small">{{.Name}}</td><td><code>{{.Value}}</code></td></tr>{{end}}</table></details>
</section>{{end}}
`)
