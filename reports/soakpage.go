package reports

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"sync"
	"time"
)

// SoakPage writes the soak as one HTML file that stands alone: the verdict, what failed and how to run it again, what
// ran, which faults fired, which marks were missed, and the trend.
func SoakPage(w io.Writer, s *Soak) error {
	n := s.night()
	page := struct {
		*Soak
		OK       bool
		Facts    []fact
		Missed   []string
		Reached  int
		Pictures []*Run
		Trend    template.HTML
		Night    Night
	}{Soak: s, OK: s.Verdict() == Pass, Missed: s.Missed(), Night: n, Trend: template.HTML(trend(append(append([]Night(nil), s.Earlier...), n)))}
	page.Reached = len(s.Marks) - len(page.Missed)
	var ops, faults int
	var events uint64
	var computed time.Duration
	for _, r := range s.Scenarios {
		ops += r.Operations
		faults += r.Faults
		events += r.Events
		computed += r.Wall
		if p := s.Passed[r.Name]; p != nil {
			page.Pictures = append(page.Pictures, p)
		}
	}
	page.Facts = []fact{
		{thousands(n.Runs), "runs, each another seed"},
		{lifetime(n.Virtual), "of cluster life"},
		{round(s.Wall.Round(time.Second)).String(), "by the clock"},
		{thousands(ops), "client operations judged"},
		{thousands(faults), "faults that hit something"},
		{fmt.Sprintf("%.0f×", n.Virtual.Seconds()/math.Max(1e-9, computed.Seconds())), "real time, on each core"},
	}
	return soakTemplate().Execute(w, page)
}

// trend draws the soaks so far: a bar each, as high as its runs, with what failed in it on top.
func trend(nights []Night) string {
	if len(nights) < 2 {
		return ""
	}
	const width, height, base = 1120.0, 90.0, 104.0
	most := 1
	for _, n := range nights {
		most = max(most, n.Runs)
	}
	step := math.Min(40, width/float64(len(nights)))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="timeline" viewBox="0 0 %.0f 122" role="img" aria-label="soaks so far">`, width)
	for i, n := range nights {
		x, h := float64(i)*step, height*float64(n.Runs)/float64(most)
		bad := 0.0
		if n.Failed > 0 {
			bad = math.Max(3, h*float64(n.Failed)/float64(max(1, n.Runs)))
		}
		fmt.Fprintf(&b, `<g><title>%s: %s runs, %d failed in %d ways, %s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#0072B2"/>`,
			n.Started.UTC().Format("2006-01-02 15:04"), thousands(n.Runs), n.Failed, n.Problems, lifetime(n.Virtual), x, base-h, step-3, h)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#b3000c"/></g>`, x, base-h, step-3, bad)
		if i == 0 || i == len(nights)-1 {
			anchor := "start"
			if i > 0 {
				anchor = "end"
				x += step - 3
			}
			if i == 0 || float64(i)*step > 90 {
				fmt.Fprintf(&b, `<text x="%.1f" y="118" class="unit" text-anchor="%s">%s</text>`, x, anchor, n.Started.UTC().Format("2 Jan 15:04"))
			}
		}
	}
	b.WriteString(`</svg>`)
	return b.String()
}

var soakTemplate = sync.OnceValue(func() *template.Template {
	return parsePage("soak", soakHTML, template.FuncMap{
		"lifetime": lifetime,
		"seeds":    seedList,
		"clock":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"short": func(s string) string {
			if len(s) > 240 {
				return s[:240] + "…"
			}
			return s
		},
		"percent": func(a, b int) string { return fmt.Sprintf("%.0f%%", 100*float64(a)/math.Max(1, float64(b))) },
		"speed": func(r SoakScenario) string {
			return fmt.Sprintf("%.0f×", r.Virtual.Seconds()/math.Max(1e-9, r.Wall.Seconds()))
		},
	})
})

var soakHTML = shell("Barnabas soak: {{.Headline}}", `.new { background:#b3000c } .ongoing { background:#b3400a } .known { background:#6b7680 } .gone { background:var(--ok) }
.bar { display:inline-block; height:9px; background:#0072B2; border-radius:2px; vertical-align:1px } .zero { color:#b3000c; font-weight:600 }
.marks { columns:3; column-gap:28px; margin:8px 0 0; padding:0; list-style:none; font:12.5px/1.6 ui-monospace,"DejaVu Sans Mono",monospace }
td.n, td.seeds { white-space:nowrap } td .tag { white-space:nowrap } a { color:#0a5a9c } summary { cursor:pointer }
`, `<header{{if not .OK}} class="bad"{{end}}>
<h1>{{.Headline}}</h1>
<p class="sub">Soak of {{clock .Started}}{{if .Commit}}, commit <code>{{.Commit}}</code>{{end}}{{if .Bugs}}, with {{.Bugs}}{{end}}{{if .Shards}}, shards {{range $i, $s := .Shards}}{{if $i}}, {{end}}{{$s}}{{end}}{{end}}. {{.Regressions}} failures of the past ran first; {{thousands .Rechecked}} runs were run twice to compare their hashes.</p>
<div class="facts">{{range .Facts}}<div><b>{{.Value}}</b><span>{{.Unit}}</span></div>{{end}}</div>
</header>
{{if .Unfired}}<section><div class="violation"><b>Planned and never fired:</b> {{range .Unfired}}<code>{{.}}</code> {{end}}. A fault that hits nothing proves nothing.</div></section>{{end}}
{{if .Failures}}<h2>Failures, by what broke where</h2>
<section><table>
<tr><th></th><th>Broken</th><th>Scenario</th><th class="n">Runs</th><th>Seeds</th><th>Since</th><th>Run it again, from this page’s directory</th></tr>
{{range .Failures}}<tr><td><span class="tag {{.Standing}}">{{.Standing}}</span></td>
<td><b>{{.Broken}}</b>{{if .Top}} <code>{{.Top}}</code>{{end}}<br><span class="small">{{short .Reason}}{{if .Note}} — {{.Note}}{{end}}</span></td><td>{{.Scenario}}</td><td class="n">{{.Count}}</td><td>{{seeds .Seeds}}</td><td class="small">{{.Since}}</td>
<td>{{if ne .Standing "gone"}}<code>{{.Replay}}</code>{{if .Dir}}<br><a href="{{.Dir}}/timeline.html">timeline</a> · <a href="{{.Dir}}/report.html">report</a> · <a href="{{.Dir}}/schedule.txt">schedule</a>{{end}}{{end}}</td></tr>
{{end}}</table></section>{{end}}
<h2>What ran</h2>
<section><table>
<tr><th>Scenario</th><th>Seeds</th><th class="n">Runs</th><th class="n">Failed</th><th class="n">Operations</th><th class="n">Faults hit</th><th class="n">Elections</th><th class="n">Cluster life</th><th class="n">Speed</th></tr>
{{range .Scenarios}}<tr><td><b>{{.Name}}</b><br><span class="small">{{.Summary}}</span></td><td class="seeds">{{.SeedFirst}}–{{.SeedLast}}</td><td class="n">{{thousands .Runs}}</td><td class="n">{{.Failed}}</td><td class="n">{{thousands .Operations}}</td><td class="n">{{thousands .Faults}}</td><td class="n">{{thousands .Elections}}</td><td class="n">{{lifetime .Virtual}}</td><td class="n">{{speed .}}</td></tr>
{{end}}</table></section>
<h2>Faults</h2>
<section><table>
<tr><th>Kind</th><th class="n">Planned</th><th class="n">Withheld</th><th class="n">Fired</th><th style="width:45%">of planned ones hit something</th></tr>
{{range .Kinds}}<tr><td>{{.Kind}}</td><td class="n">{{thousands .Planned}}</td><td class="n">{{thousands .Withheld}}</td><td class="n{{if not .Fired}} zero{{end}}">{{thousands .Fired}}</td><td><span class="bar" style="width:{{percent .Fired .Planned}};max-width:70%"></span> <span class="small">{{percent .Fired .Planned}}</span></td></tr>
{{end}}</table></section>
<h2>Coverage: {{.Reached}} of {{len .Marks}} marks reached</h2>
<section>{{if .Missed}}<p class="small">Points in the broker that no run of this soak reached:</p><ul class="marks">{{range .Missed}}<li>{{.}}</li>{{end}}</ul>{{else}}<p>Every mark was reached.</p>{{end}}
<details><summary class="small">all marks, with how often each was reached</summary><ul class="marks">{{range .Marks}}<li>{{.Hits}} {{.Name}}</li>{{end}}</ul></details></section>
{{if .Trend}}<h2>Earlier soaks</h2><section>{{.Trend}}<p class="small">A bar a soak, as high as its runs; red is what failed.</p></section>{{end}}
{{range .Failures}}{{if .First}}<section id="{{.First.ID}}">
<h3><span class="tag {{.Standing}}">{{.Standing}}</span> {{.Broken}} in {{.Scenario}}, seed {{.First.Seed}}</h3>
{{if not .First.Failures}}<div class="violation">{{.Reason}}</div>{{end}}{{range $i, $v := .First.Failures}}{{if lt $i 3}}`+violationHTML+`{{end}}{{end}}
{{if .First.Stack}}<pre>{{.First.Stack}}</pre>{{end}}
{{timeline .First}}<pre>{{.Replay}}</pre></section>{{end}}{{end}}
{{if .Pictures}}<details><summary><b>One run that passed, of each scenario</b></summary>{{range .Pictures}}<section><h3><span class="tag">pass</span> {{.Scenario}}, seed {{.Seed}}</h3>{{timeline .}}</section>{{end}}</details>{{end}}
`)
