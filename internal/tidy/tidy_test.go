package tidy

import (
	"bufio"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

var analyzers = []*analysis.Analyzer{Ladder, Seam, MapOrder, PackageDoc}

// Goal: nothing in the module breaks the ladder, goes around env, or lets a map's order out. Method: all analyses,
// with types, over every package.
func TestTidy(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax, Dir: "../.."}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range pkgs {
		for _, e := range pkg.Errors {
			t.Error(e)
		}
	}
	graph, err := checker.Analyze(analyzers, pkgs, nil)
	if err != nil {
		t.Fatal(err)
	}
	root, _ := filepath.Abs("../..")
	var lines []string
	for action := range graph.All() {
		if action.Err != nil {
			t.Errorf("%s: %v", action, action.Err)
		}
		for _, d := range action.Diagnostics {
			where := action.Package.Fset.Position(d.Pos)
			name, _ := filepath.Rel(root, where.Filename)
			lines = append(lines, strings.TrimPrefix(name, "./")+":"+strconv.Itoa(where.Line)+": "+d.Message)
		}
	}
	sort.Strings(lines)
	for _, line := range lines {
		t.Error(line)
	}
}

// Goal: each rule catches its offender and spares what is allowed. Method: `want` comments in testdata.
func TestRulesCatchTheirOffenders(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), Seam, "barnabas/broker/offender")
	analysistest.Run(t, analysistest.TestData(), MapOrder, "barnabas/broker/offender2")
	analysistest.Run(t, analysistest.TestData(), Ladder, "barnabas/broker/partition")
}

// Goal: the ladder says no where the plan does, and yes where it does.
func TestLadder(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"broker/log", "broker/record", true},
		{"broker/record", "broker/log", false},
		{"broker/server", "broker/api", false},
		{"broker/partition", "broker/replica", false},
		{"broker/partition", "broker/zookeeper", false},
		{"broker/controller", "broker/zookeeper", true},
		{"broker/zookeeper/server", "broker/zookeeper/jute", true},
		{"broker/controller", "broker/osenv", false},
		{"broker/osenv", "broker/env", true},
		{"broker/osenv", "broker/log", false},
		{"broker", "broker/api", true},
		{"broker/api", "broker", false},
		{"broker/env", "sim/sched", false},
		{"sim/cluster", "broker/env", true},
		{"sim/cluster", "broker/log", false},
		{"scenarios", "broker", true},
		{"scenarios", "broker/osenv", false},
		{"cmd/barnabas", "broker/osenv", true},
		{"linearizability/check", "broker/log", false},
	} {
		if why := forbidden(c.from, c.to); (why == "") != c.ok {
			t.Errorf("%s imports %s: %q", c.from, c.to, why)
		}
	}
}

// PackageDoc reports packages without a doc comment.
var PackageDoc = &analysis.Analyzer{
	Name: "packagedoc", Doc: "reports packages without a package comment",
	Run: func(pass *analysis.Pass) (any, error) {
		if _, ok := inModule(pass.Pkg.Path()); !ok || len(pass.Files) == 0 {
			return nil, nil
		}
		var first *ast.File
		for _, file := range pass.Files {
			if file.Doc != nil {
				return nil, nil
			}
			if first == nil {
				first = file
			}
		}
		pass.Reportf(first.Pos(), "package %s has no package comment", pass.Pkg.Path())
		return nil, nil
	},
}

// lineLimit is what a file may have at most; 500 is where to ask whether it tells one story.
const lineLimit = 800

// Goal: no file grows past reading. Method: count the lines of every Go file git knows or will know.
func TestFilesStayReadable(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "ls-files", "--cached", "--others", "--exclude-standard", "*.go").Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		f, err := os.Open(filepath.Join("../..", name))
		if err != nil {
			continue // deleted, and not yet committed
		}
		lines := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			lines++
		}
		f.Close()
		if lines > lineLimit {
			t.Errorf("%s has %d lines, more than %d: split it by story", name, lines, lineLimit)
		}
	}
}
