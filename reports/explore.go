package reports

import (
	"encoding/json"
	"html/template"
	"io"
	"sync"

	_ "embed"
)

// Op is one operation of a client, for the explorer. Moments are virtual nanoseconds.
type Op struct {
	Client    string // p1, c2, drain
	What      string // produce, fetch
	Partition string
	Call      int64
	Return    int64
	Outcome   string // ok, failed, unknown
	Offset    int64  // of a produce: where it landed, -1 unknown; of a fetch: from where
	Next      int64  // of a fetch
	Values    []int64
	Error     string
}

// valuesShown bounds how many values of one operation are written out.
const valuesShown = 6

// Explore writes a run as one HTML file in which to look around: lanes for faults, brokers, ZooKeeper, partitions and
// clients over virtual time; zoom, hover and filter. It needs no network and no server.
func Explore(w io.Writer, r *Run, ops []Op) error {
	data := explorer{Title: r.Title(), Run: r, Replay: "barnabas replay " + r.Dir}
	lanes := map[string]int{}
	parts := map[string]int{}
	for _, op := range ops {
		row := exploredOp{index(lanes, &data.Clients, op.Client), index(parts, &data.Partitions, op.Partition), op.What, op.Call / 1000, op.Return / 1000,
			op.Outcome, op.Offset, op.Next, len(op.Values), op.Values[:min(len(op.Values), valuesShown)], op.Error}
		data.Ops = append(data.Ops, row)
	}
	slim := *r
	slim.Stack = ""
	slim.Failures = r.Failures[:min(len(r.Failures), 12)]
	data.Run = &slim
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return exploreTemplate().Execute(w, struct {
		Title   string
		Run     *Run
		Replay  string
		Data    template.JS
		Script  template.JS
		Style   template.CSS
		Verdict string
	}{r.Title(), &slim, data.Replay, template.JS(text), template.JS(exploreScript), template.CSS(exploreStyle), string(r.Verdict)})
}

type explorer struct {
	Title      string       `json:"title"`
	Replay     string       `json:"replay"`
	Run        *Run         `json:"run"`
	Clients    []string     `json:"clients"`
	Partitions []string     `json:"partitions"`
	Ops        []exploredOp `json:"ops"`
}

// exploredOp is written as an array: a failure has many thousands.
type exploredOp struct {
	client, partition int
	what              string
	call, ret         int64 // microseconds
	outcome           string
	offset, next      int64
	count             int
	values            []int64
	err               string
}

func (o exploredOp) MarshalJSON() ([]byte, error) {
	if o.values == nil {
		o.values = []int64{}
	}
	return json.Marshal([]any{o.client, o.partition, o.what, o.call, o.ret, o.outcome, o.offset, o.next, o.count, o.values, o.err})
}

// index numbers names in the order they come.
func index(known map[string]int, names *[]string, name string) int {
	i, ok := known[name]
	if !ok {
		i = len(*names)
		known[name] = i
		*names = append(*names, name)
	}
	return i
}

//go:embed explore.js
var exploreScript string

//go:embed explore.css
var exploreStyle string

var exploreTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("explore").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<header class="{{.Verdict}}">
<h1>{{.Title}}</h1>
<p id="why"></p>
<p class="small"><code>{{.Replay}}</code>{{if .Run.Bugs}} · with {{.Run.Bugs}}{{end}} · hash <code>{{.Run.Hash}}</code></p>
</header>
<nav>
<button id="all" title="key 0">whole run</button><button id="in" title="key +">zoom in</button><button id="out" title="key −">zoom out</button><span id="jumps"></span>
<label>partition <select id="partition"><option value="">all</option></select></label>
<label>outcome <select id="outcome"><option value="">all</option><option>ok</option><option>failed</option><option>unknown</option></select></label>
<label>find <input id="find" size="14" placeholder="value, offset, error"></label>
<span id="range"></span>
</nav>
<div id="stage"><canvas id="map"></canvas><canvas id="lanes"></canvas><div id="tip"></div></div>
<div class="legend" id="legend"></div>
<main id="below"></main>
<script>const DATA = {{.Data}};
{{.Script}}</script>
</body></html>
`))
})
