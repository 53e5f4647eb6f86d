package tidy

import (
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

// sealed are the folders in which only env touches time, chance, threads, sockets and files.
var sealed = []string{"broker", "sim", "faults", "scenarios"}

// unsealed are the implementations of env: the real one may use everything; the simulated scheduler must recover its
// sentinel and switch coroutines.
var unsealed = []string{"broker/osenv"}

var mayRecover = []string{"sim/sched"}

// bannedImports, and why.
var bannedImports = map[string]string{
	"os": "files are behind env.FS", "os/exec": "processes are outside", "os/signal": "signals are outside",
	"net": "sockets are behind env.Net", "net/http": "sockets are behind env.Net", "syscall": "the system is behind env",
	"golang.org/x/sys/unix": "the system is behind env", "crypto/rand": "chance is behind env.Rand",
	"sync": "use env.Mutex, env.Cond, env.Queue (sync/atomic is allowed)", "io/ioutil": "files are behind env.FS",
	"log": "use env.Trace", "log/slog": "use env.Trace", "testing/synctest": "it has no seed",
}

// bannedFuncs of packages that may otherwise be imported.
var bannedFuncs = map[string]map[string]string{
	"time": {
		"Now": "use env.Clock", "Sleep": "use env.Clock", "After": "use env.Clock", "AfterFunc": "use env.Clock", "Tick": "use env.Clock",
		"NewTimer": "use env.Clock", "NewTicker": "use env.Clock", "Since": "use env.Clock", "Until": "use env.Clock",
	},
	"context": {
		"WithTimeout": "use deadlines of env.Clock", "WithDeadline": "use deadlines of env.Clock",
		"WithTimeoutCause": "use deadlines of env.Clock", "WithDeadlineCause": "use deadlines of env.Clock",
	},
	"runtime": {"Gosched": "only env calls are scheduling points", "NumGoroutine": "tasks are behind env", "GC": "not here"},
}

// randMakers make a generator of their own and so are no global state.
var randMakers = map[string]bool{"New": true, "NewPCG": true, "NewChaCha8": true, "NewZipf": true, "NewSource": true}

// Seam reports what goes around env.
var Seam = &analysis.Analyzer{
	Name: "seam",
	Doc:  "reports uses of time, chance, threads, sockets and files that go around broker/env",
	Run:  runSeam,
}

func runSeam(pass *analysis.Pass) (any, error) {
	path, ok := inModule(pass.Pkg.Path())
	if !ok || !inAny(path, sealed) || inAny(path, unsealed) {
		return nil, nil
	}
	for _, file := range pass.Files {
		if isTest(pass, file) {
			continue
		}
		s := &seam{pass: pass, path: path, file: file}
		s.imports()
		ast.Inspect(file, s.visit)
	}
	return nil, nil
}

func inAny(path string, folders []string) bool {
	for _, f := range folders {
		if within(path, f) {
			return true
		}
	}
	return false
}

type seam struct {
	pass *analysis.Pass
	path string
	file *ast.File
}

func (s *seam) imports() {
	for _, spec := range s.file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if why, ok := bannedImports[path]; ok {
			s.pass.Reportf(spec.Pos(), "import of %s: %s", path, why)
		}
	}
}

func (s *seam) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		s.pass.Reportf(n.Pos(), "go statement: use env.Tasks")
	case *ast.SelectStmt:
		s.pass.Reportf(n.Pos(), "select: use env.Cond or env.Queue")
	case *ast.SendStmt:
		s.pass.Reportf(n.Pos(), "send on a channel: use env.Queue")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			s.pass.Reportf(n.Pos(), "receive from a channel: use env.Queue")
		}
	case *ast.ChanType:
		s.pass.Reportf(n.Pos(), "channel type: use env.Queue")
	case *ast.Ident:
		s.ident(n)
	case *ast.CallExpr:
		s.call(n)
	}
	return true
}

// ident catches banned functions wherever they are named, called or not.
func (s *seam) ident(id *ast.Ident) {
	f, ok := s.pass.TypesInfo.Uses[id].(*types.Func)
	if !ok || f.Pkg() == nil || f.Signature().Recv() != nil {
		return
	}
	switch pkg := f.Pkg().Path(); pkg {
	case "math/rand", "math/rand/v2":
		if !randMakers[f.Name()] {
			s.pass.Reportf(id.Pos(), "%s.%s draws from a global generator: use env.Rand", pkg, f.Name())
		}
	default:
		if why, ok := bannedFuncs[pkg][f.Name()]; ok {
			s.pass.Reportf(id.Pos(), "%s.%s: %s", pkg, f.Name(), why)
		}
	}
}

func (s *seam) call(call *ast.CallExpr) {
	b, ok := typeutil.Callee(s.pass.TypesInfo, call).(*types.Builtin)
	if ok && b.Name() == "recover" && !inAny(s.path, mayRecover) {
		s.pass.Reportf(call.Pos(), "recover: a crash must reach its task's root")
	}
}

// MapOrder reports loops over maps whose order may matter.
var MapOrder = &analysis.Analyzer{
	Name: "maporder",
	Doc:  "reports ranging over a map unless the order plainly cannot matter or a comment says why it does not",
	Run:  runMapOrder,
}

func runMapOrder(pass *analysis.Pass) (any, error) {
	path, ok := inModule(pass.Pkg.Path())
	if !ok || !inAny(path, sealed) || inAny(path, unsealed) {
		return nil, nil
	}
	for _, file := range pass.Files {
		if isTest(pass, file) {
			continue
		}
		excused := excuses(pass, file)
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				loop, ok := n.(*ast.RangeStmt)
				if !ok || !rangesOverMap(pass, loop) {
					return true
				}
				line := pass.Fset.Position(loop.Pos()).Line
				if !excused[line] && !excused[line-1] && !orderFree(pass, fn, loop) {
					pass.Reportf(loop.Pos(), "ranging over a map: sort the keys first, or say in a comment \"unordered: why\"")
				}
				return true
			})
		}
	}
	return nil, nil
}

// excuses are the lines with a comment that begins "unordered:".
func excuses(pass *analysis.Pass, file *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(c.Text, "//")), "unordered:") {
				lines[pass.Fset.Position(group.End()).Line] = true
				lines[pass.Fset.Position(c.Pos()).Line] = true
			}
		}
	}
	return lines
}

// rangesOverMap also knows maps.Keys, maps.Values and maps.All.
func rangesOverMap(pass *analysis.Pass, loop *ast.RangeStmt) bool {
	if call, ok := loop.X.(*ast.CallExpr); ok {
		f, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Func)
		return ok && f.Pkg() != nil && f.Pkg().Path() == "maps"
	}
	t := pass.TypesInfo.TypeOf(loop.X)
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// orderFree recognises bodies whose effect is the same in every order: collecting into a slice that the function
// sorts, deleting, filling another map, and counting.
func orderFree(pass *analysis.Pass, fn *ast.FuncDecl, loop *ast.RangeStmt) bool {
	return blockOrderFree(pass, fn, loop.Body)
}

func blockOrderFree(pass *analysis.Pass, fn *ast.FuncDecl, block *ast.BlockStmt) bool {
	for _, stmt := range block.List {
		if !stmtOrderFree(pass, fn, stmt) {
			return false
		}
	}
	return true
}

func stmtOrderFree(pass *analysis.Pass, fn *ast.FuncDecl, stmt ast.Stmt) bool {
	switch stmt := stmt.(type) {
	case *ast.IncDecStmt:
		return true
	case *ast.BranchStmt:
		return stmt.Tok == token.CONTINUE
	case *ast.ExprStmt:
		call, ok := stmt.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		b, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Builtin)
		return ok && (b.Name() == "delete" || b.Name() == "clear")
	case *ast.IfStmt:
		return (stmt.Init == nil || stmtOrderFree(pass, fn, stmt.Init)) && blockOrderFree(pass, fn, stmt.Body) && stmt.Else == nil
	case *ast.RangeStmt:
		return blockOrderFree(pass, fn, stmt.Body)
	case *ast.AssignStmt:
		return assignOrderFree(pass, fn, stmt)
	}
	return false
}

func assignOrderFree(pass *analysis.Pass, fn *ast.FuncDecl, stmt *ast.AssignStmt) bool {
	switch stmt.Tok {
	case token.DEFINE:
		return true
	case token.ADD_ASSIGN, token.OR_ASSIGN, token.AND_ASSIGN, token.XOR_ASSIGN:
		return !isString(pass, stmt.Lhs[0])
	}
	if len(stmt.Lhs) != 1 || len(stmt.Rhs) != 1 {
		return false
	}
	if index, ok := stmt.Lhs[0].(*ast.IndexExpr); ok {
		t := pass.TypesInfo.TypeOf(index.X)
		if t == nil {
			return false
		}
		_, isMap := t.Underlying().(*types.Map)
		return isMap
	}
	if lit, ok := stmt.Rhs[0].(*ast.Ident); ok && (lit.Name == "true" || lit.Name == "false") {
		return true
	}
	call, ok := stmt.Rhs[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	b, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Builtin)
	if !ok {
		return false
	}
	switch b.Name() {
	case "min", "max":
		return true
	case "append":
		return sortedLater(pass, fn, stmt)
	}
	return false
}

func isString(pass *analysis.Pass, e ast.Expr) bool {
	t, ok := pass.TypesInfo.TypeOf(e).Underlying().(*types.Basic)
	return ok && t.Info()&types.IsString != 0
}

// sortedLater reports whether the slice that is appended to is handed to a function of sort or slices whose name
// speaks of sorting, behind the append.
func sortedLater(pass *analysis.Pass, fn *ast.FuncDecl, appended *ast.AssignStmt) bool {
	target := types.ExprString(appended.Lhs[0])
	found := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Pos() < appended.End() || len(call.Args) == 0 {
			return !found
		}
		f, ok := typeutil.Callee(pass.TypesInfo, call).(*types.Func)
		if ok && f.Pkg() != nil && strings.Contains(strings.ToLower(f.Pkg().Path()+"."+f.Name()), "sort") && types.ExprString(call.Args[0]) == target {
			found = true
		}
		return !found
	})
	return found
}
