package load

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"
)

// Page writes one HTML file that stands alone and asks nothing of the network.
func Page(w io.Writer, runs []*Run, plots []Plot) error {
	p := page{Runs: runs, Rows: Summary(runs), Ratios: Comparisons(runs), Caveats: caveats(runs), OK: true}
	void, all := 0, 0
	labels, seen := []string{}, map[string]bool{}
	for _, run := range runs {
		all += len(run.Repetitions)
		void += len(run.Repetitions) - len(run.Valid())
		if !seen[run.Label] {
			seen[run.Label] = true
			labels = append(labels, run.Label)
		}
	}
	p.Title = "Load test: " + strings.Join(labels, " and ")
	workloads := map[string]bool{}
	for _, r := range runs {
		workloads[r.Workload] = true
	}
	switch joined := len(runs) > 0 && runs[0].pairedWith != ""; {
	case joined:
		p.Title = "Load tests: before and after"
	case len(labels) > 3 && len(workloads) == 1: // a sweep
		p.Title = fmt.Sprintf("Load test: %s, %d variants", runs[0].Workload, len(labels))
	case len(labels) > 3:
		p.Title = fmt.Sprintf("Load test: %d workloads, %d clusters", len(workloads), len(labels))
	}
	p.Sub = fmt.Sprintf("%d of %d repetitions count.", all-void, all)
	p.OK = void == 0
	for _, run := range runs {
		if run.World == "sim" {
			p.Sub += " What bears the name of a profile was simulated, not measured."
			if len(runs) == 1 {
				p.Sub = strings.Replace(p.Sub, "What bears the name of a profile", "It", 1)
			}
			break
		}
	}
	for _, run := range runs {
		if run.Interrupted {
			p.OK = false
			p.Sub += " Not all of it was done: the run ended before its end, and what is here is what was measured until then."
			break
		}
	}
	for _, plot := range plots {
		p.Plots = append(p.Plots, picture{plot.Caption, inline(plot.SVG, "plot broad"), inline(plot.Narrow, "plot narrow")})
	}
	return pageTemplate().Execute(w, p)
}

type page struct {
	Title, Sub string
	OK         bool
	Runs       []*Run
	Rows       []Row
	Ratios     []Ratio
	Plots      []picture
	Caveats    []string
}

type picture struct {
	Caption     string
	SVG, Narrow template.HTML
}

// inline makes an SVG file part of a page: without its prologue, and as wide as the page.
func inline(svg []byte, class string) template.HTML {
	at := bytes.Index(svg, []byte("<svg"))
	if at < 0 {
		return ""
	}
	text := string(svg[at:])
	if head, rest, ok := strings.Cut(text, ">"); ok {
		head = strings.Replace(head, `width="`, `data-width="`, 1)
		head = strings.Replace(head, `height="`, `data-height="`, 1)
		text = head + ` class="` + class + `">` + rest
	}
	return template.HTML(text)
}

var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("load").Funcs(template.FuncMap{
		"micros": micros, "count": count,
		"f1": func(v float64) string {
			if v == 0 {
				return "–"
			}
			return fmt.Sprintf("%.1f", v)
		},
		"f2":      func(v float64) string { return fmt.Sprintf("%.2f", v) },
		"percent": func(v float64) string { return fmt.Sprintf("%+.0f %%", 100*v) },
		"share":   func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
		"latency": func(h *Histogram, p float64) string { return micros(float64(h.At(p))) },
		"next":    func(i int) int { return i + 1 },
		"g4":      Number,
		"ns":      func(v int64) string { return fmt.Sprintf("%.1f µs", float64(v)/1000) },
	}).Parse(pageHTML))
})

const pageStyle = `<style>
:root { --ink:#1b1f24; --soft:#5b6570; --line:#d9dee3; --paper:#fff; --ok:#00735c; --bad:#b3400a }
* { box-sizing:border-box }
body { margin:0; font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; color:var(--ink); background:#f4f6f8 }
main { max-width:1240px; margin:0 auto; padding:24px 20px 60px }
header { background:var(--paper); border:1px solid var(--line); border-left:8px solid var(--ok); border-radius:6px; padding:20px 24px; margin-bottom:20px }
header.bad { border-left-color:var(--bad) }
h1 { margin:0 0 4px; font-size:26px; letter-spacing:-.01em } h2 { font-size:18px; margin:0 0 8px }
.sub, .small { color:var(--soft); margin:0 } .small { font-size:13px }
section { background:var(--paper); border:1px solid var(--line); border-radius:6px; padding:16px 20px; margin-bottom:18px; overflow-x:auto }
table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums }
th { text-align:left; font-weight:600; color:var(--soft); font-size:13px; border-bottom:1px solid var(--line); padding:4px 12px 6px 0; vertical-align:bottom }
td { padding:7px 12px 7px 0; border-bottom:1px solid #eef1f4; vertical-align:top }
td.n, th.n { text-align:right; white-space:nowrap } tr:last-child td { border-bottom:0 }
.tag { display:inline-block; padding:1px 9px; border-radius:10px; font-size:13px; font-weight:600; color:#fff; background:var(--bad) }
pre, code { font:13px/1.45 ui-monospace,"DejaVu Sans Mono",Menlo,monospace }
pre { background:#f4f6f8; border:1px solid var(--line); border-radius:4px; padding:10px 12px; white-space:pre-wrap; word-break:break-word }
.plot { width:100%; height:auto; display:block } .narrow { display:none } @media screen and (max-width:700px) { .broad-only { display:none } } .plot text { font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif }
figure { margin:0 } figcaption { color:var(--soft); font-size:13px; margin-top:4px }
.wide { font-size:13px } .wide td, .wide th { padding-right:8px } .wide th { font-size:11.5px } .wide td:first-child { white-space:nowrap } .scroll { overflow-x:auto }
li { margin:2px 0 } @media screen and (max-width:700px) { .tight td, .tight th { font-size:12px; padding-right:6px } }
@media screen and (max-width:700px) { main { padding:10px 8px 40px } section, header { padding:12px } h1 { font-size:21px } .broad { display:none } .narrow { display:block }
 .cards tr:first-child { display:none } .cards tr { display:grid; grid-template-columns:1fr 1fr; gap:2px 14px; border-bottom:1px solid var(--line); padding:8px 0 } .cards tr:last-child { border-bottom:0 }
 .cards td, .cards td.n { display:flex; justify-content:space-between; gap:8px; border:0; padding:1px 0; font-size:13px; text-align:right; white-space:normal } .cards td:first-child, .cards td.full { grid-column:1/-1; font-weight:600; text-align:left; justify-content:flex-start }
 .cards td[data-l]::before { content:attr(data-l); color:var(--soft); font-weight:400; text-align:left } .kv td { display:block; padding:2px 0; border:0 } }
@media print { @page { size:A4; margin:14mm } body { background:#fff } pre, code { font-size:9.5px } main { max-width:none; padding:0 } section, header { border:0; padding:6px 0; overflow:visible } header { border-left:8px solid var(--ok); padding-left:14px } figure, tr { break-inside:avoid } h2 { break-after:avoid } details:not([open]) > *:not(summary) { display:none } .wide { font-size:9px } .wide th { font-size:8.5px } .wide td, .wide th { padding-right:4px } .scroll .wide { font-size:7px } .scroll .wide th { font-size:6.5px } .scroll .wide td, .scroll .wide th { padding-right:3px } table { font-size:10.5px } th { font-size:9.5px } .small, figcaption { font-size:10.5px } }
</style>`

const pageHTML = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{.Title}}</title>
` + pageStyle + `
</head>
<body><main>
<header{{if not .OK}} class="bad"{{end}}><h1>{{.Title}}</h1><p class="sub">{{.Sub}}</p></header>
<section><h2>Results</h2>
<table class="wide cards">
<tr><th>Workload</th><th>Cluster</th><th class="n">Offered/s</th><th class="n">Produced/s</th><th class="n">MB/s in</th><th class="n">MB/s out</th><th class="n">p50</th><th class="n">p99</th><th class="n">p99.9</th><th class="n">max</th><th class="n">CPU s/GB</th><th class="n">cores</th><th class="n">RSS MB</th><th class="n">Slip µs</th><th class="n">Runs</th></tr>
{{range .Rows}}<tr><td>{{.Workload}}</td><td class="full">{{.Label}}{{if .Latency}} <span class="small">{{.Latency}}</span>{{end}}</td><td class="n" data-l="offered/s">{{if .Offered}}{{count .Offered}}{{else}}–{{end}}</td>
{{if .Counted}}<td class="n" data-l="produced/s">{{if .ProducedRate}}{{count .ProducedRate}}{{else}}–{{end}}</td><td class="n" data-l="MB/s in">{{f1 .ProducedMBs}}</td><td class="n" data-l="MB/s out">{{f1 .ConsumedMBs}}</td><td class="n" data-l="p50">{{micros .P50}}</td><td class="n" data-l="p99">{{micros .P99}}</td><td class="n" data-l="p99.9">{{micros .P999}}</td><td class="n" data-l="max">{{micros .Max}}</td><td class="n" data-l="CPU s/GB">{{if .Local}}{{f2 .CPUPerGB}}{{else}}–{{end}}</td><td class="n" data-l="cores">{{if .Local}}{{f2 .Cores}}{{else}}–{{end}}</td><td class="n" data-l="RSS MB">{{if .Local}}{{f1 .RSS}}{{else}}–{{end}}</td><td class="n" data-l="slip µs">{{f1 .SlipP99}}</td>{{else}}<td colspan="11" class="full"><span class="tag">void</span>&nbsp;<span class="small">no repetition counts; the reasons are below</span></td>{{end}}
<td class="n" data-l="runs">{{.Counted}}{{if .Void}} <span class="small">({{.Void}} void)</span>{{end}}</td></tr>{{end}}
</table>
<p class="small">Medians over the repetitions that count. In an open loop every record has an intended time and latency counts from it. A gigabyte is 10⁹ bytes of keys and values, both directions together. CPU, cores and RSS are the brokers'. Slip is how late the generator was by its own fault, p99. In a closed loop latency is mostly the queue that the client keeps full, and says little.</p>
</section>
{{range .Runs}}{{if .Goal}}<section><h2>Capacity: {{.Label}}</h2><p>{{if .Goal.Rate}}<b>{{count .Goal.Rate}}</b> records a second keep p99 within {{.Goal.P99Millis}} ms, confirmed {{.Goal.Confirmed}} times.{{else}}No rate keeps p99 within {{.Goal.P99Millis}} ms.{{end}} <span class="small">{{.Goal.Note}}</span></p></section>{{end}}{{end}}
{{range .Runs}}{{if .Prediction}}<section><h2>Predicted against measured: {{.Label}}</h2><table class="cards">
<tr><th>Load</th><th class="n">records/s</th><th>Figure</th><th class="n">Measured</th><th class="n">Predicted</th><th class="n">Off by</th></tr>
{{range .Prediction}}<tr><td>{{.Workload}}</td><td class="n" data-l="records/s">{{if .Rate}}{{count .Rate}}{{else}}–{{end}}</td><td data-l="figure">{{.Figure}}</td><td class="n" data-l="measured">{{count .Measured}}</td><td class="n" data-l="predicted">{{count .Predicted}}</td><td class="n" data-l="off by">{{percent .Off}}</td></tr>{{end}}
</table><p class="small">The simulator's profile was fitted to every other repetition of each load; measured is the median of those between, which the fit has not seen.</p></section>{{end}}
{{if .Drift}}<section><h2>Drift: {{.Workload}}, {{.Label}}</h2><table class="cards">
<tr><th>Figure</th><th class="n">First quarter</th><th class="n">Last quarter</th><th class="n">An hour</th><th></th></tr>
{{range .Drift}}<tr><td>{{.Figure}}</td><td class="n" data-l="first">{{g4 .First}}</td><td class="n" data-l="last">{{g4 .Last}}</td><td class="n" data-l="an hour">{{percent .PerHour}}</td><td>{{if .Exceeded}}<span class="tag">drifts</span>{{else if .Trend}}a trend within the limit, or for the better{{else}}no trend shown{{end}}</td></tr>{{end}}
</table><p class="small">Medians of the first and the last quarter; the slope is Theil and Sen's, the trend by Mann and Kendall's test at 95 %.</p></section>{{end}}
{{if .Scenario}}<section><h2>Through a fault: {{.Scenario}}, {{.Label}}</h2><table class="cards">
<tr><th>#</th><th class="n">Fault at</th><th class="n">p99 before</th><th class="n">Worst</th><th class="n">Silent</th><th class="n">Back after</th><th class="n">Late records</th><th class="n">Given up</th></tr>
{{range $i, $r := .Repetitions}}{{with .Fault}}<tr><td>{{next $i}}</td><td class="n" data-l="fault at">{{f1 .At}} s</td><td class="n" data-l="p99 before">{{micros .Before}}</td><td class="n" data-l="worst">{{micros .Worst}}</td><td class="n" data-l="silent">{{f1 .Silent}} s</td><td class="n" data-l="back after">{{if lt .Recovered 0.0}}not within the run{{else}}{{printf "%.1f" .Recovered}} s{{end}}</td><td class="n" data-l="late">{{share .LostBudget}}</td><td class="n" data-l="given up">{{.Failed}}</td></tr>{{end}}{{end}}
</table>{{range $i, $r := .Repetitions}}{{with .Happened}}<p class="small">#{{next $i}}: {{range $n, $e := .}}{{if $n}}; {{end}}{{printf "%.2f" .At}} s {{.Text}}{{end}}</p>{{end}}{{end}}
<p class="small">Silent is the longest time without an acknowledgement. Back: three intervals in a row with nine tenths of the throughput and at most twice the p99 from before. Late: over ten times that p99.</p></section>{{end}}{{end}}
{{if .Ratios}}<section><h2>Compared</h2><table class="cards">
<tr><th>Workload</th><th>Figure</th><th class="n">A</th><th class="n">B</th><th class="n">A / B (95 %)</th><th class="n">Pairs</th><th></th></tr>
{{range .Ratios}}<tr><td>{{.Workload}}{{if .Offered}}&nbsp;<span class="small">{{count .Offered}}/s</span>{{end}}</td><td class="full">{{.Figure}}</td><td class="n" data-l="{{.A}}"><span class="small broad-only">{{.A}}</span> {{g4 .ValueA}}</td><td class="n" data-l="{{.B}}"><span class="small broad-only">{{.B}}</span> {{g4 .ValueB}}</td><td class="n" data-l="A / B">{{.Text}}</td><td class="n" data-l="pairs">{{.Pairs}}</td><td data-l="">{{.Verdict}}</td></tr>{{end}}
</table></section>{{end}}
{{range .Plots}}<section><figure>{{.SVG}}{{.Narrow}}<figcaption>{{.Caption}}</figcaption></figure></section>
{{end}}
{{if .Caveats}}<section><h2>What to know of these numbers</h2><ul>{{range .Caveats}}<li>{{.}}</li>{{end}}</ul></section>{{end}}
<section><h2>What was measured where</h2>
{{range .Runs}}<details><summary><b>{{.Workload}}</b>, {{.Label}}, {{.Started.Format "2006-01-02 15:04 UTC"}}</summary>
<p>{{.Title}} <span class="small">{{.Question}}</span></p>
<table class="kv">
<tr><td class="small">Cluster</td><td>{{.Target.Bootstrap}}, id {{.Target.ClusterID}}{{range .Target.Brokers}}<br>broker {{.}}{{end}}{{range .Target.Local}}<br><code>{{.}}</code>{{end}}<br><span class="small">API versions as {{.Target.Software}}</span></td></tr>
{{if .Target.Config}}<tr><td class="small">Broker's configuration</td><td>{{range $i, $c := .Target.Config}}{{if $i}}<br>{{end}}<code>{{$c}}</code>{{end}}<br><span class="small">what is not the default, of the first broker</span></td></tr>{{end}}
<tr><td class="small">Client's machine</td><td>{{.Machine.Host}}: {{.Machine.Cores}} × {{.Machine.CPU}}, {{f1 .Machine.MemoryGB}} GiB, {{.Machine.Kernel}}, clock {{.Machine.Clock}}, {{.Machine.Go}}, {{.Machine.Client}}{{if .Machine.Commit}}, commit {{.Machine.Commit}}{{end}}; load average {{.Machine.LoadAtRun}}{{range .Machine.Notes}}<br>{{.}}{{end}}</td></tr>
</table>
<div class="scroll"><table class="wide"><tr><th>#</th><th class="n">offered/s</th><th class="n">MB/s in</th><th class="n">MB/s out</th><th class="n">ack p50</th><th class="n">ack p99</th><th class="n">e2e p50</th><th class="n">e2e p99</th><th class="n">fetch p50</th><th class="n">fetch p99</th><th class="n">commit p50</th><th class="n">commit p99</th><th class="n">s/GB</th><th class="n">net MB/s</th><th class="n">disk MB/s</th><th class="n">client cores</th><th class="n">others</th><th class="n">idle</th><th class="n">slip p50</th><th class="n">slip p99</th><th></th></tr>
{{range $i, $r := .Repetitions}}<tr><td>{{next $i}}</td><td class="n">{{count .Offered}}</td><td class="n">{{f1 .Produced.MBs}}</td><td class="n">{{f1 .Consumed.MBs}}</td><td class="n">{{latency .Produce 50}}</td><td class="n">{{latency .Produce 99}}</td><td class="n">{{latency .EndToEnd 50}}</td><td class="n">{{latency .EndToEnd 99}}</td><td class="n">{{latency .Fetch 50}}</td><td class="n">{{latency .Fetch 99}}</td><td class="n">{{latency .Commit 50}}</td><td class="n">{{latency .Commit 99}}</td><td class="n">{{f2 .CPUPerGB}}</td><td class="n">{{f1 .Brokers.NetMBs}}</td><td class="n">{{f1 .Brokers.DiskMBs}}</td><td class="n">{{f2 .Client.Cores}}</td><td class="n">{{f2 .Others}}</td><td class="n">{{f2 .Idle}}</td><td class="n">{{ns (.Slip.At 50)}}</td><td class="n">{{ns (.Slip.At 99)}}</td><td>{{if .Void}}<span class="tag">void</span>{{end}}</td></tr>{{end}}</table></div>
<pre>{{.Settings}}</pre></details>{{end}}
</section>
</main></body></html>
`

var trendTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("trend").Funcs(template.FuncMap{"micros": micros, "count": count,
		"f1": func(v float64) string {
			if v == 0 {
				return "–"
			}
			return fmt.Sprintf("%.1f", v)
		},
	}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{.Title}}</title>
` + pageStyle + `
</head>
<body><main>
<header><h1>{{.Title}}</h1><p class="sub">{{.Sub}}</p></header>
{{range .Plots}}<section><figure>{{.SVG}}{{.Narrow}}<figcaption>{{.Caption}}</figcaption></figure></section>
{{end}}
{{range .Lines}}<section><h2>{{.Name}}</h2><table class="wide">
<tr><th>When</th><th>Commit</th><th class="n">MB/s in</th><th class="n">MB/s out</th><th class="n">p50</th><th class="n">p99</th><th class="n">p99.9</th><th class="n">CPU s/GB</th><th class="n">RSS MB</th><th class="n">Runs</th></tr>
{{range .Points}}<tr><td>{{.When}}</td><td>{{.Commit}}</td><td class="n">{{f1 .ProducedMBs}}</td><td class="n">{{f1 .ConsumedMBs}}</td><td class="n">{{micros .P50}}</td><td class="n">{{micros .P99}}</td><td class="n">{{micros .P999}}</td><td class="n">{{printf "%.2f" .CPUPerGB}}</td><td class="n">{{f1 .RSS}}</td><td class="n">{{.Counted}}{{if .Void}} <span class="small">({{.Void}} void)</span>{{end}}</td></tr>{{end}}
</table></section>{{end}}
</main></body></html>
`))
})
