package tree

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

// Goal: requests do to the tree what ZooKeeper's do. Method: scripts; -rewrite refreshes them. In a script time is the
// number of the command, in ms.
func TestTreeByScript(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		tr, now := New(), int64(0)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			now++
			return command(t, tr, now, d)
		})
	})
}

func command(t *testing.T, tr *Tree, now int64, d *datadriven.TestData) string {
	var b strings.Builder
	tell := func(txn Txn, changes []Change) {
		fmt.Fprintf(&b, "zxid=%d\n", txn.Zxid)
		for _, ch := range changes {
			fmt.Fprintf(&b, "%s %s\n", eventNames[ch.Type], ch.Path)
		}
	}
	switch d.Cmd {
	case "open": // open
		txn := tr.OpenSession(now, 1000, make([]byte, 16))
		fmt.Fprintf(&b, "session=%#x ", txn.Session)
		tell(txn, nil)
	case "close": // close session=ID
		txn, changes, ok := tr.CloseSession(now, scanSession(t, d))
		if !ok {
			return "no such session\n"
		}
		tell(txn, changes)
	case "do": // do session=ID, one operation a line
		ops := parseOps(t, d.Input)
		txn, results, changes, err := tr.Do(scanSession(t, d), now, ops)
		if err != nil {
			return fmt.Sprintf("op %d: %v\n", FailedIndex(err), err)
		}
		for i, r := range results {
			fmt.Fprintf(&b, "%s version=%d cversion=%d\n", r.Path, r.Stat.Version, r.Stat.Cversion)
			if ops[i].Kind == zookeeper.OpCreate && r.Stat.Czxid != txn.Zxid {
				t.Errorf("czxid %d in transaction %d", r.Stat.Czxid, txn.Zxid)
			}
		}
		tell(txn, changes)
	case "tree": // tree
		for _, path := range tr.Paths() {
			data, s, _ := tr.Get(path)
			fmt.Fprintf(&b, "%s %q czxid=%d mzxid=%d pzxid=%d version=%d cversion=%d aversion=%d", path, data,
				s.Czxid, s.Mzxid, s.Pzxid, s.Version, s.Cversion, s.Aversion)
			if s.EphemeralOwner != 0 {
				fmt.Fprintf(&b, " owner=%#x", s.EphemeralOwner)
			}
			b.WriteByte('\n')
		}
	default:
		t.Fatalf("%s: no command %s", d.Pos, d.Cmd)
	}
	return b.String()
}

var eventNames = map[zookeeper.EventType]string{
	zookeeper.EventNodeCreated: "created", zookeeper.EventNodeDeleted: "deleted",
	zookeeper.EventNodeDataChanged: "changed", zookeeper.EventNodeChildrenChanged: "children-changed",
}

// scanSession reads session=N, which stands for 0x100000000000000+N.
func scanSession(t *testing.T, d *datadriven.TestData) int64 {
	var n int
	d.ScanArgs(t, "session", &n)
	return 1<<56 | int64(n)
}

func parseOps(t *testing.T, input string) []zookeeper.Op {
	modes := map[string]zookeeper.CreateMode{"-e": zookeeper.Ephemeral, "-s": zookeeper.PersistentSequential, "-es": zookeeper.EphemeralSequential}
	var ops []zookeeper.Op
	for line := range strings.Lines(input) {
		f := append(strings.Fields(line), "", "")
		version, err := strconv.Atoi(f[2])
		if err != nil {
			version = -1
		}
		switch f[0] {
		case "create":
			mode, ok := modes[f[2]]
			if !ok && f[2] != "" {
				t.Fatalf("no mode %s", f[2])
			}
			ops = append(ops, zookeeper.CreateOp(f[1], []byte("new"), mode))
		case "set":
			ops = append(ops, zookeeper.SetOp(f[1], []byte("set"), int32(version)))
		case "delete":
			ops = append(ops, zookeeper.DeleteOp(f[1], int32(version)))
		case "check":
			ops = append(ops, zookeeper.CheckOp(f[1], int32(version)))
		default:
			t.Fatalf("no operation %s", f[0])
		}
	}
	return ops
}

// Goal: a failed multi leaves no trace, a replayed log gives the same tree byte for byte, and so does a snapshot.
// Method: random operations, single and in multis, on a small set of paths, against a model that is a map.
func TestTreeAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		m.open()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0:
				m.open()
			case 1:
				m.close()
			default:
				m.do()
			}
			m.check()
		}
		m.checkLog()
	})
}

type model struct {
	t        *rapid.T
	tree     *Tree
	log      []byte
	sessions []int64
	nodes    map[string]int64 // path to owner
}

func newModel(t *rapid.T) *model {
	m := &model{t: t, tree: New(), nodes: map[string]int64{}}
	for _, path := range reserved {
		m.nodes[path] = 0
	}
	return m
}

func (m *model) open() {
	txn := m.tree.OpenSession(1, 1000, []byte("password"))
	m.log = txn.Append(m.log)
	m.sessions = append(m.sessions, txn.Session)
}

func (m *model) close() {
	if len(m.sessions) < 2 {
		return
	}
	i := rapid.IntRange(0, len(m.sessions)-1).Draw(m.t, "session")
	txn, _, ok := m.tree.CloseSession(2, m.sessions[i])
	if !ok {
		m.t.Fatal("session is not open")
	}
	m.log = txn.Append(m.log)
	maps.DeleteFunc(m.nodes, func(_ string, owner int64) bool { return owner == m.sessions[i] })
	m.sessions = slices.Delete(m.sessions, i, i+1)
}

func (m *model) do() {
	session := rapid.SampledFrom(m.sessions).Draw(m.t, "session")
	before := m.tree.AppendSnapshot(nil)
	after := maps.Clone(m.nodes)
	var ops []zookeeper.Op
	fails := -1
	for i := range rapid.IntRange(1, 4).Draw(m.t, "operations") {
		path := rapid.SampledFrom([]string{"/a", "/b", "/a/c", "/a/d", "/a/c/e"}).Draw(m.t, "path")
		op, ok := draw(m.t, after, path, session)
		if !ok && fails < 0 {
			fails = i
		}
		ops = append(ops, op)
	}
	txn, _, _, err := m.tree.Do(session, 3, ops)
	if FailedIndex(err) != fails {
		m.t.Fatalf("%+v: error %v, want one of operation %d", ops, err, fails)
	}
	if err != nil {
		if !bytes.Equal(m.tree.AppendSnapshot(nil), before) {
			m.t.Fatalf("%+v failed and left a trace", ops)
		}
		return
	}
	m.nodes = after
	if txn.Zxid != 0 {
		m.log = txn.Append(m.log)
	}
}

// draw makes an operation on path, does it to nodes, and tells whether it succeeds there.
func draw(t *rapid.T, nodes map[string]int64, path string, session int64) (zookeeper.Op, bool) {
	_, exists := nodes[path]
	parent, parentExists := nodes[parentOf(path)]
	leaf := true
	for other := range nodes {
		leaf = leaf && !strings.HasPrefix(other, path+"/")
	}
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		mode, owner := zookeeper.Persistent, int64(0)
		if rapid.Bool().Draw(t, "ephemeral") {
			mode, owner = zookeeper.Ephemeral, session
		}
		ok := !exists && parentExists && parent == 0
		if ok {
			nodes[path] = owner
		}
		return zookeeper.CreateOp(path, []byte(path), mode), ok
	case 1:
		ok := exists && leaf
		if ok {
			delete(nodes, path)
		}
		return zookeeper.DeleteOp(path, zookeeper.AnyVersion), ok
	case 2:
		return zookeeper.SetOp(path, []byte("set"), zookeeper.AnyVersion), exists
	default:
		return zookeeper.CheckOp(path, zookeeper.AnyVersion), exists
	}
}

func (m *model) check() {
	want := slices.Sorted(maps.Keys(m.nodes))
	if got := m.tree.Paths(); !slices.Equal(got, want) {
		m.t.Fatalf("nodes %v, want %v", got, want)
	}
	for path, owner := range m.nodes {
		_, stat, _ := m.tree.Get(path)
		if stat.EphemeralOwner != owner || (owner != 0) != slices.Contains(m.tree.Ephemerals(owner), path) {
			m.t.Fatalf("%s belongs to %#x, want %#x", path, stat.EphemeralOwner, owner)
		}
	}
}

func (m *model) checkLog() {
	want := m.tree.AppendSnapshot(nil)
	replayed := New()
	for d := jute.NewDecoder(m.log); d.Len() > 0; {
		txn, err := ParseTxn(d)
		if err == nil {
			err = replayed.Replay(&txn)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	if !bytes.Equal(replayed.AppendSnapshot(nil), want) {
		m.t.Fatal("the replayed log gives another tree")
	}
	read, err := ReadSnapshot(want)
	if err != nil || !bytes.Equal(read.AppendSnapshot(nil), want) {
		m.t.Fatalf("the snapshot gives another tree: %v", err)
	}
}

// Goal: nothing that may stand in a damaged file panics, and what is read as a tree is one.
func FuzzSnapshot(f *testing.F) {
	tr := New()
	f.Add(tr.AppendSnapshot(nil))
	s := tr.OpenSession(1, 1000, []byte("password"))
	tr.Do(s.Session, 2, []zookeeper.Op{zookeeper.CreateOp("/a", []byte("x"), zookeeper.Persistent), zookeeper.CreateOp("/a/b", nil, zookeeper.Ephemeral)})
	f.Add(tr.AppendSnapshot(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := ReadSnapshot(data)
		if err != nil {
			return
		}
		for _, id := range tr.Sessions() {
			if _, _, ok := tr.CloseSession(1, id); !ok {
				t.Fatal("session is not open")
			}
		}
		if _, err := ReadSnapshot(tr.AppendSnapshot(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

// Goal: nothing that may stand in a damaged log panics.
func FuzzTxn(f *testing.F) {
	tr := New()
	s := tr.OpenSession(1, 1000, []byte("password"))
	f.Add(s.Append(nil))
	txn, _, _, _ := tr.Do(s.Session, 2, []zookeeper.Op{zookeeper.CreateOp("/a", []byte("x"), 1), zookeeper.SetOp("/a", nil, 0), zookeeper.DeleteOp("/a", 1)})
	f.Add(txn.Append(s.Append(nil)))
	closed, _, _ := tr.CloseSession(3, s.Session)
	f.Add(closed.Append(txn.Append(s.Append(nil))))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr := New()
		for d := jute.NewDecoder(data); d.Len() > 0; {
			txn, err := ParseTxn(d)
			if err != nil {
				return
			}
			if err := tr.Replay(&txn); err != nil {
				return
			}
		}
		if _, err := ReadSnapshot(tr.AppendSnapshot(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

// Goal: a transaction that does not fit the tree is refused.
func TestReplayRefusesWhatDoesNotFit(t *testing.T) {
	tr := New()
	s := tr.OpenSession(1, 1000, nil).Session
	create := func(zxid int64, path string) *Txn {
		return &Txn{Kind: KindOps, Zxid: zxid, Session: s, Ops: []zookeeper.Op{zookeeper.CreateOp(path, nil, zookeeper.Persistent)}}
	}
	for name, txn := range map[string]*Txn{
		"gap":              create(3, "/a"),
		"again":            create(1, "/a"),
		"no parent":        create(2, "/a/b"),
		"no session":       {Kind: KindOps, Zxid: 2, Session: 7},
		"session twice":    {Kind: KindOpenSession, Zxid: 2, Session: s},
		"close of unknown": {Kind: KindCloseSession, Zxid: 2, Session: 7},
		"kind":             {Kind: 9, Zxid: 2, Session: s},
	} {
		if err := tr.Replay(txn); err == nil {
			t.Errorf("%s: replayed", name)
		}
	}
	if err := tr.Replay(create(2, "/a")); err != nil {
		t.Error(err)
	}
	if _, _, _, err := tr.Do(7, 1, nil); !errors.Is(err, zookeeper.ErrSessionExpired) {
		t.Errorf("do without session: %v", err)
	}
}
