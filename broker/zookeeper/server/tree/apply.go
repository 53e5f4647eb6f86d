package tree

import (
	"errors"
	"fmt"
	"slices"

	"barnabas/broker/assert"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

// OpSetACL counts the node's Aversion up. Every node is open to everybody here, so there is no list to keep.
const OpSetACL zookeeper.OpKind = 16

// Result is what one operation did.
type Result struct {
	Path string // as created, with its number
	Stat zookeeper.Stat
}

// Change is one thing that watches may be waiting for. A change of children carries the parent's path.
type Change struct {
	Type zookeeper.EventType
	Path string
}

// Do carries out ops for a session, all or none, at a wall clock of timeMs. It takes over the ops' data.
//
// The transaction is what must be logged; it has no zxid and must not be if nothing changed (checks only). Errors:
// *zookeeper.OpError with one of package zookeeper's errors or a jute.Code; ErrSessionExpired if the session is not
// open. After an error the tree is as before.
func (t *Tree) Do(session, timeMs int64, ops []zookeeper.Op) (Txn, []Result, []Change, error) {
	if t.sessions[session] == nil {
		return Txn{}, nil, nil, zookeeper.ErrSessionExpired
	}
	a := applier{t: t, zxid: t.zxid + 1, timeMs: timeMs, session: session, keepUndo: len(ops) > 1}
	txn := Txn{Kind: KindOps, TimeMs: timeMs, Session: session}
	results := make([]Result, 0, len(ops))
	for i, op := range ops {
		op, err := t.check(op)
		if err != nil {
			a.rollBack()
			return Txn{}, nil, nil, &zookeeper.OpError{Index: i, Op: ops[i], Err: err}
		}
		results = append(results, a.apply(op))
		if op.Kind != zookeeper.OpCheck {
			txn.Ops = append(txn.Ops, op)
		}
	}
	if len(txn.Ops) > 0 {
		t.zxid++
		txn.Zxid = t.zxid
	}
	return txn, results, a.changes, nil
}

// OpenSession opens a session, whose id is in the transaction. Ids come from the zxid, so that none is ever used twice;
// the top byte is the server's number, as in ZooKeeper.
func (t *Tree) OpenSession(timeMs int64, timeoutMs int32, password []byte) Txn {
	t.zxid++
	txn := Txn{
		Kind: KindOpenSession, Zxid: t.zxid, TimeMs: timeMs, Session: 1<<56 | t.zxid,
		TimeoutMs: timeoutMs, Password: password,
	}
	t.openSession(&txn)
	return txn
}

// CloseSession closes a session, with its ephemeral nodes. It reports false if it is not open.
func (t *Tree) CloseSession(timeMs, id int64) (Txn, []Change, bool) {
	if t.sessions[id] == nil {
		return Txn{}, nil, false
	}
	t.zxid++
	txn := Txn{Kind: KindCloseSession, Zxid: t.zxid, TimeMs: timeMs, Session: id}
	return txn, t.closeSession(&txn), true
}

// Replay does a logged transaction again. Errors: it does not follow the tree's last one, or does not fit the tree.
func (t *Tree) Replay(txn *Txn) error {
	if txn.Zxid != t.zxid+1 {
		return fmt.Errorf("transaction %#x does not follow %#x", txn.Zxid, t.zxid)
	}
	switch txn.Kind {
	case KindOpenSession:
		if t.sessions[txn.Session] != nil {
			return fmt.Errorf("transaction %#x: session %#x is open already", txn.Zxid, txn.Session)
		}
		t.openSession(txn)
	case KindCloseSession:
		if t.sessions[txn.Session] == nil {
			return fmt.Errorf("transaction %#x: no session %#x", txn.Zxid, txn.Session)
		}
		t.closeSession(txn)
	case KindOps:
		if t.sessions[txn.Session] == nil {
			return fmt.Errorf("transaction %#x: no session %#x", txn.Zxid, txn.Session)
		}
		a := applier{t: t, zxid: txn.Zxid, timeMs: txn.TimeMs, session: txn.Session}
		for _, op := range txn.Ops {
			op.Version = zookeeper.AnyVersion
			checked, err := t.check(op)
			if err != nil {
				return fmt.Errorf("transaction %#x: %s: %w", txn.Zxid, op.Path, err)
			}
			a.apply(checked)
		}
	default:
		return fmt.Errorf("transaction %#x of kind %d", txn.Zxid, txn.Kind)
	}
	t.zxid = txn.Zxid
	return nil
}

func (t *Tree) openSession(txn *Txn) {
	t.sessions[txn.Session] = &session{
		timeoutMs: txn.TimeoutMs, password: txn.Password, ephemerals: map[string]struct{}{},
	}
}

func (t *Tree) closeSession(txn *Txn) []Change {
	a := applier{t: t, zxid: txn.Zxid, timeMs: txn.TimeMs, session: txn.Session}
	for _, path := range t.Ephemerals(txn.Session) {
		a.delete(path)
	}
	assert.That(len(t.sessions[txn.Session].ephemerals) == 0, "INV-ZK-EPHEMERALS: session %#x keeps some", txn.Session)
	delete(t.sessions, txn.Session)
	return a.changes
}

// check decides whether op can be done now, and returns it as it will be logged: a sequential create has its number.
func (t *Tree) check(op zookeeper.Op) (zookeeper.Op, error) {
	if op.Kind == zookeeper.OpCreate {
		return t.checkCreate(op)
	}
	if err := jute.ValidatePath(op.Path, false); err != nil {
		return op, err
	}
	if op.Kind == zookeeper.OpDelete && slices.Contains(reserved, op.Path) {
		return op, zookeeper.ErrBadArguments
	}
	n := t.nodes[op.Path]
	if n == nil {
		return op, zookeeper.ErrNoNode
	}
	have := n.stat.Version
	if op.Kind == OpSetACL {
		have = n.stat.Aversion
	}
	if op.Version != zookeeper.AnyVersion && op.Version != have {
		return op, zookeeper.ErrBadVersion
	}
	switch op.Kind {
	case zookeeper.OpDelete:
		if len(n.children) > 0 {
			return op, zookeeper.ErrNotEmpty
		}
	case zookeeper.OpSet, zookeeper.OpCheck, OpSetACL:
	default:
		return op, jute.Unimplemented
	}
	return op, nil
}

func (t *Tree) checkCreate(op zookeeper.Op) (zookeeper.Op, error) {
	sequential := op.Mode == zookeeper.PersistentSequential || op.Mode == zookeeper.EphemeralSequential
	if op.Mode < zookeeper.Persistent || op.Mode > zookeeper.EphemeralSequential {
		return op, jute.Unimplemented
	}
	if err := jute.ValidatePath(op.Path, sequential); err != nil {
		return op, err
	}
	parent := t.nodes[parentOf(op.Path)]
	if parent == nil {
		return op, zookeeper.ErrNoNode
	}
	if sequential {
		// Ten digits of the parent's count of creates: deletes do not change it, so numbers do not come back.
		op.Path = fmt.Sprintf("%s%010d", op.Path, parent.creates)
		op.Mode -= zookeeper.PersistentSequential - zookeeper.Persistent
	}
	if t.nodes[op.Path] != nil {
		return op, zookeeper.ErrNodeExists
	}
	if parent.stat.EphemeralOwner != 0 {
		return op, zookeeper.ErrNoChildrenForEphemerals
	}
	return op, nil
}

// applier does checked operations of one transaction and keeps what they changed and how to take it back.
type applier struct {
	t            *Tree
	zxid, timeMs int64
	session      int64
	changes      []Change
	keepUndo     bool
	undo         []func()
}

func (a *applier) apply(op zookeeper.Op) Result {
	switch op.Kind {
	case zookeeper.OpCreate:
		return a.create(op)
	case zookeeper.OpDelete:
		a.delete(op.Path)
		return Result{Path: op.Path}
	}
	n := a.t.nodes[op.Path]
	switch op.Kind {
	case zookeeper.OpSet:
		data, stat := n.data, n.stat
		a.onUndo(func() { n.data, n.stat = data, stat })
		n.data = op.Data
		n.stat.Version++
		n.stat.Mzxid, n.stat.MtimeMs = a.zxid, a.timeMs
		a.changed(zookeeper.EventNodeDataChanged, op.Path)
	case OpSetACL:
		aversion := n.stat.Aversion
		a.onUndo(func() { n.stat.Aversion = aversion })
		n.stat.Aversion++
	}
	return Result{Path: op.Path, Stat: n.fullStat()}
}

func (a *applier) create(op zookeeper.Op) Result {
	n := &node{data: op.Data, stat: zookeeper.Stat{
		Czxid: a.zxid, Mzxid: a.zxid, Pzxid: a.zxid, CtimeMs: a.timeMs, MtimeMs: a.timeMs,
	}}
	parentPath, name := parentOf(op.Path), nameOf(op.Path)
	parent := a.t.nodes[parentPath]
	pzxid := parent.stat.Pzxid
	owner := a.t.sessions[a.session]
	if op.Mode == zookeeper.Ephemeral {
		n.stat.EphemeralOwner = a.session
		owner.ephemerals[op.Path] = struct{}{}
	}
	a.t.nodes[op.Path] = n
	parent.addChild(name)
	parent.creates++
	parent.stat.Pzxid = a.zxid
	a.onUndo(func() {
		delete(a.t.nodes, op.Path)
		delete(owner.ephemerals, op.Path)
		parent.removeChild(name)
		parent.creates--
		parent.stat.Pzxid = pzxid
	})
	a.changed(zookeeper.EventNodeCreated, op.Path)
	a.changed(zookeeper.EventNodeChildrenChanged, parentPath)
	return Result{Path: op.Path, Stat: n.fullStat()}
}

func (a *applier) delete(path string) {
	n := a.t.nodes[path]
	parentPath, name := parentOf(path), nameOf(path)
	parent := a.t.nodes[parentPath]
	assert.That(n != nil && parent != nil && len(n.children) == 0, "INV-ZK-TREE: %s is not a leaf", path)
	pzxid := parent.stat.Pzxid
	owner := a.t.sessions[n.stat.EphemeralOwner]
	delete(a.t.nodes, path)
	if owner != nil {
		delete(owner.ephemerals, path)
	}
	parent.removeChild(name)
	parent.stat.Pzxid = a.zxid
	a.onUndo(func() {
		a.t.nodes[path] = n
		if owner != nil {
			owner.ephemerals[path] = struct{}{}
		}
		parent.addChild(name)
		parent.stat.Pzxid = pzxid
	})
	a.changed(zookeeper.EventNodeDeleted, path)
	a.changed(zookeeper.EventNodeChildrenChanged, parentPath)
}

func (a *applier) changed(typ zookeeper.EventType, path string) {
	a.changes = append(a.changes, Change{typ, path})
}

func (a *applier) onUndo(f func()) {
	if a.keepUndo {
		a.undo = append(a.undo, f)
	}
}

func (a *applier) rollBack() {
	for _, f := range slices.Backward(a.undo) {
		f()
	}
}

// FailedIndex is the index of the operation an error of Do is about, -1 if about none.
func FailedIndex(err error) int {
	var opErr *zookeeper.OpError
	if errors.As(err, &opErr) {
		return opErr.Index
	}
	return -1
}
