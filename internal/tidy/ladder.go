package tidy

import (
	"go/ast"
	"strconv"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// levels is the ladder of broker packages: each imports only packages of a lower level, or of its own level where
// sameLevel says so. A package below another in its folder (broker/zookeeper/jute) shares that one's level.
var levels = map[string]int{
	"broker/env": 0, "broker/assert": 0, "broker/bug": 0, "broker/config": 0, "broker/metrics": 0,
	"broker/record": 1, "broker/wire": 1,
	"broker/purgatory": 2, "broker/quota": 2, "broker/client": 2, "broker/zookeeper": 2,
	"broker/log": 3, "broker/legacy": 3,
	"broker/partition": 4,
	"broker/replica":   5, "broker/metadata": 5, "broker/coordinator": 5,
	"broker/group": 6, "broker/txn": 6, "broker/controller": 6,
	"broker/api": 7, "broker/server": 7,
	"broker": 8, "broker/osenv": 8,
}

// sameLevel lists imports between packages of one level that the plan asks for.
var sameLevel = map[[2]string]bool{
	{"broker/config", "broker/bug"}:       true,
	{"broker/env", "broker/assert"}:       true,
	{"broker/config", "broker/env"}:       true,
	{"broker/wire", "broker/record"}:      true,
	{"broker/record", "broker/wire"}:      false,
	{"broker/replica", "broker/metadata"}: true,
	{"broker/api", "broker/server"}:       true,
}

// wings are the parts of the harness and what of the module each may import besides its own folder.
var wings = map[string][]string{
	"sim":             {"broker/env", "broker/assert", "sim"},
	"faults":          {"broker/env", "broker/assert", "faults"},
	"linearizability": {"linearizability"},
	"reports":         {"linearizability", "faults", "reports"},
	"bench":           {"broker", "sim", "reports", "scenarios", "bench"},
	"scenarios":       {"broker", "sim", "faults", "linearizability", "reports", "scenarios"},
	"cmd":             {"broker", "sim", "faults", "linearizability", "reports", "bench", "scenarios", "cmd"},
	"internal":        {"internal"},
}

// Ladder reports imports that go the wrong way.
var Ladder = &analysis.Analyzer{
	Name: "ladder",
	Doc:  "reports imports that break the ladder of docs/ARCHITECTURE.md",
	Run:  runLadder,
}

func runLadder(pass *analysis.Pass) (any, error) {
	from, ok := inModule(pass.Pkg.Path())
	if !ok {
		return nil, nil
	}
	for _, file := range pass.Files {
		if isTest(pass, file) {
			continue
		}
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if to, ok := inModule(path); ok {
				if why := forbidden(from, to); why != "" {
					pass.Reportf(spec.Pos(), "%s must not import %s: %s", from, to, why)
				}
			}
		}
	}
	return nil, nil
}

// forbidden says why from must not import to, or "".
func forbidden(from, to string) string {
	if from == to {
		return ""
	}
	if wing := strings.SplitN(from, "/", 2)[0]; wing != "broker" {
		for _, allowed := range wings[wing] {
			if within(to, allowed) {
				if within(to, "broker/osenv") && wing != "cmd" {
					return "only cmd and tests import osenv"
				}
				return ""
			}
		}
		return wing + " imports only " + strings.Join(wings[wing], ", ")
	}
	if !within(to, "broker") {
		return "the broker knows nothing of its harness"
	}
	if within(to, "broker/osenv") {
		return "only cmd and tests import osenv"
	}
	if within(from, "broker/osenv") {
		if within(to, "broker/env") || within(to, "broker/assert") || within(to, "broker/zookeeper") {
			return ""
		}
		return "osenv imports env and the ZooKeeper interface alone"
	}
	a, aok := level(from)
	b, bok := level(to)
	switch {
	case !aok:
		return "add " + from + " to the levels in internal/tidy/ladder.go"
	case !bok:
		return "add " + to + " to the levels in internal/tidy/ladder.go"
	case base(from) == "broker/server" && base(to) == "broker/api":
		return "the root joins them"
	case base(from) == "broker/partition" && base(to) == "broker/zookeeper":
		return "it owns the small interface it needs"
	case a > b, base(from) == base(to), sameLevel[[2]string{base(from), base(to)}]:
		return ""
	}
	return "it stands on level " + strconv.Itoa(b) + ", not below level " + strconv.Itoa(a)
}

// base cuts a path to the package that has a level of its own.
func base(path string) string {
	for p := path; p != "broker" && p != "."; {
		if _, ok := levels[p]; ok {
			return p
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return path
}

func level(path string) (int, bool) {
	n, ok := levels[base(path)]
	return n, ok
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// inModule cuts the module's name off an import path.
func inModule(path string) (string, bool) {
	return strings.CutPrefix(strings.TrimSuffix(path, "_test"), "barnabas/")
}

func isTest(pass *analysis.Pass, file *ast.File) bool {
	return strings.HasSuffix(pass.Fset.Position(file.Pos()).Filename, "_test.go")
}
