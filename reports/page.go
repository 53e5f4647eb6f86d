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
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"timeline":  func(r *Run) template.HTML { return template.HTML(Timeline(r)) },
		"seconds":   seconds,
		"thousands": thousands,
		"round":     round,
		"faultline": faultLine,
		"converged": convergence,
		"bad":       func(r *Run) bool { return r.Verdict != Pass },
	}).Parse(pageHTML))
})

// pageStyle is shared by all pages.
const pageStyle = `:root { --ink:#1b1f24; --soft:#5b6570; --line:#d9dee3; --paper:#fff; --ok:#00735c; --bad:#b3400a; }
* { box-sizing:border-box }
body { margin:0; font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; color:var(--ink); background:#f4f6f8 }
main { max-width:1180px; margin:0 auto; padding:24px 20px 60px }
header { background:var(--paper); border:1px solid var(--line); border-left:8px solid var(--ok); border-radius:6px; padding:20px 24px; margin-bottom:20px }
header.bad { border-left-color:var(--bad) }
h1 { margin:0 0 4px; font-size:26px; letter-spacing:-.01em }
h2 { font-size:18px; margin:28px 0 10px }
.sub { color:var(--soft); margin:0 }
.facts { display:flex; flex-wrap:wrap; gap:10px 34px; margin:16px 0 0; padding:0 }
.facts div { line-height:1.25 } .facts b { display:block; font-size:20px; font-variant-numeric:tabular-nums } .facts span { color:var(--soft); font-size:13px }
section { background:var(--paper); border:1px solid var(--line); border-radius:6px; padding:16px 20px; margin-bottom:18px; overflow-x:auto }
table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums }
th { text-align:left; font-weight:600; color:var(--soft); font-size:13px; border-bottom:1px solid var(--line); padding:4px 12px 6px 0; vertical-align:bottom }
td { padding:7px 12px 7px 0; border-bottom:1px solid #eef1f4; vertical-align:top }
td.n, th.n { text-align:right } tr:last-child td { border-bottom:0 }
.tag { display:inline-block; padding:1px 9px; border-radius:10px; font-size:13px; font-weight:600; color:#fff; background:var(--ok) } .tag.bad { background:var(--bad) }
.small { color:var(--soft); font-size:13px }
h3 { margin:0 0 2px; font-size:17px }
pre, code { font:13px/1.45 ui-monospace,"DejaVu Sans Mono",Menlo,monospace }
pre { background:#f4f6f8; border:1px solid var(--line); border-radius:4px; padding:10px 12px; overflow-x:auto; white-space:pre-wrap; word-break:break-word; margin:8px 0 }
.violation { border-left:4px solid var(--bad); padding:2px 0 2px 12px; margin:12px 0 }
.timeline { width:100%; min-width:720px; height:auto; margin-top:8px; display:block }
.timeline text { font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif }
.name { font-size:12px; fill:var(--ink) } .unit { font-size:9.5px; fill:#6b7680 } .row { font-size:7.5px; fill:#6b7680 } .faultname { font-size:9.5px; fill:#3a2416 }
.grid { stroke:#e8ecef; stroke-width:.7 } .rule { stroke:#aab3bb; stroke-width:.8 }
.up { fill:#cfd8df } .paused { fill:#e9c46a } .down { fill:#fff; stroke:#cfd6db; stroke-width:.6; stroke-dasharray:2 2 } .out { fill:#f4f6f8 }
.fault { fill:#f2b187 } .fault.void { fill:#fff; stroke:#d9a27e; stroke-dasharray:3 2 }
.healed { stroke:#00735c; stroke-width:1; stroke-dasharray:5 3 } .broken { stroke:#b3000c; stroke-width:1.6 }
.legend { display:flex; flex-wrap:wrap; gap:4px 18px; font-size:12.5px; color:var(--soft); margin-top:8px } .legend i { display:inline-block; width:14px; height:10px; margin-right:5px; vertical-align:-1px }
@media print { body { background:#fff } section, header { break-inside:avoid } }
`

const pageHTML = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
` + pageStyle + `</style>
</head>
<body><main>
<header{{if not .OK}} class="bad"{{end}}>
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
{{range .Failures}}<div class="violation"><b>{{.ID}}</b>{{if .Anomaly}} <span class="small">({{.Anomaly}})</span>{{end}} at {{seconds .At}}: {{.Message}}{{if .Witness}}<pre>{{range .Witness}}{{.}}
{{end}}</pre>{{end}}</div>{{end}}
{{if .Stack}}<pre>{{.Stack}}</pre>{{end}}
{{timeline .}}
<div class="legend"><span><i style="background:#0072B2"></i>ok</span><span><i style="background:#999"></i>failed</span><span><i style="background:#D55E00"></i>unknown</span><span><i style="background:#cfd8df"></i>node up</span><span><i style="background:#e9c46a"></i>paused</span><span>partition rows: a broker each, strong while it leads, pale while in the ISR</span><span><i style="background:#f2b187"></i>fault</span><span><i style="border-left:2px dashed #00735c"></i>healed</span><span><i style="border-left:2px solid #b3000c"></i>invariant broken</span></div>
<p class="small">Faults fired of planned: {{faultline .}}</p>
{{if and (bad .) .Dir (ne .World "real")}}<pre>barnabas replay {{.Dir}}</pre>{{end}}
{{range .Logs}}<details><summary class="small">The end of {{.Node}}'s log</summary><pre>{{range .Lines}}{{.}}
{{end}}</pre></details>{{end}}
<details><summary class="small">Settings as drawn from the seed</summary><table>{{range .Settings}}<tr><td class="small">{{.Name}}</td><td><code>{{.Value}}</code></td></tr>{{end}}</table></details>
</section>{{end}}
</main></body></html>
`
