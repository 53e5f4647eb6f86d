package reports

import (
	"html/template"
	"maps"
)

// parsePage parses a page's template, which has these functions besides those that every page has.
func parsePage(name, html string, more template.FuncMap) *template.Template {
	funcs := template.FuncMap{
		"timeline":  func(r *Run) template.HTML { return template.HTML(Timeline(r)) },
		"seconds":   seconds,
		"thousands": thousands,
		"round":     round,
	}
	maps.Copy(funcs, more)
	return template.Must(template.New(name).Funcs(funcs).Parse(html))
}

// shell is the template of a page that stands alone around its body, with what it has of style besides pageStyle.
func shell(title, style, body string) string {
	return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>` + title + `</title>
<style>
` + pageStyle + style + `</style>
</head>
<body><main>
` + body + `</main></body></html>
`
}

// violationHTML is one Failure.
const violationHTML = `<div class="violation"><b>{{.ID}}</b>{{if .Anomaly}} <span class="small">({{.Anomaly}})</span>{{end}} at {{seconds .At}}: {{.Message}}{{if .Witness}}<pre>{{range .Witness}}{{.}}
{{end}}</pre>{{end}}</div>`

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
