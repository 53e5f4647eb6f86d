package env

import (
	"runtime"
	"sort"
	"strings"
	"sync/atomic"
)

// Mark is a point in the code that a trial should reach: a branch that is rarely taken, and interesting when it is. A
// mark is made once as a package variable, and hit where it stands.
//
//	var markDiverged = env.NewMark("follower-truncates-on-divergence")
//	…
//	markDiverged.Hit()
//
// It changes nothing and decides nothing: what is counted is read by the harness after a run. Every event kind is a mark
// besides, hit when a simulated node emits it.
type Mark struct {
	name string
	hits atomic.Uint64
}

// marks are all that were made, in the order of the packages' initialization.
var marks []*Mark

// counting switches all marks on. A real broker never does.
var counting atomic.Bool

// NewMark makes a mark; its full name is the package's and this one: "log/segment-rolled".
func NewMark(name string) *Mark {
	m := &Mark{name: callerPackage() + "/" + name}
	marks = append(marks, m)
	return m
}

// Hit counts. While marks are off it is a load and a branch.
func (m *Mark) Hit() {
	if counting.Load() {
		m.hits.Add(1)
	}
}

// CountMarks switches the counting of all marks of the process on or off.
func CountMarks(on bool) { counting.Store(on) }

// MarkCount is how often a mark was hit in this process.
type MarkCount struct {
	Name string
	Hits uint64
}

// Marks are all marks of the broker with their counts, by name.
func Marks() []MarkCount {
	out := make([]MarkCount, 0, len(marks))
	for _, m := range marks {
		out = append(out, MarkCount{m.name, m.hits.Load()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// callerPackage is the package, below broker, of who called the function that called this one; "" outside of it.
func callerPackage() string {
	pc, _, _, _ := runtime.Caller(2)
	name := runtime.FuncForPC(pc).Name() // barnabas/broker/log.init
	slash := strings.LastIndexByte(name, '/')
	dot := strings.IndexByte(name[slash+1:], '.')
	path, below := strings.CutPrefix(name[:slash+1+dot], "barnabas/broker/")
	if !below {
		if path == "barnabas/broker" {
			return "broker"
		}
		return ""
	}
	return path
}
