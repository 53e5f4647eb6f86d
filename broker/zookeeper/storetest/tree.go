package storetest

import (
	"fmt"
	"slices"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// Tree is a ZooKeeper in memory, shared by the sessions opened on it.
type Tree struct {
	nodes    map[string]*node
	sessions map[int64]*Session
	zxid     int64
	nextID   int64
}

type node struct {
	data []byte
	stat zookeeper.Stat
	seq  int32
}

// NewTree makes a tree with nothing but its root.
func NewTree() *Tree {
	return &Tree{nodes: map[string]*node{"/": {}}, sessions: map[int64]*Session{}}
}

// Open begins a session.
func (t *Tree) Open(e env.Env) *Session {
	t.nextID++
	s := &Session{tree: t, env: e, id: t.nextID, events: env.NewQueue[zookeeper.Event](e, 0),
		data: map[string]bool{}, children: map[string]bool{}}
	t.sessions[s.id] = s
	return s
}

// Expire ends a session as ZooKeeper does when it has not heard of it: its ephemerals go, its owner is told.
func (t *Tree) Expire(id int64) { t.end(id, zookeeper.StateExpired) }

// Sessions lists the ids of the open sessions, oldest first.
func (t *Tree) Sessions() []int64 {
	var ids []int64
	for id := range t.sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Get looks at a znode.
func (t *Tree) Get(path string) (data []byte, stat zookeeper.Stat, ok bool) {
	n := t.nodes[path]
	if n == nil {
		return nil, stat, false
	}
	return n.data, n.stat, true
}

// Set writes a znode behind everybody's back, creating it and those above it where they are missing.
func (t *Tree) Set(path string, data []byte) {
	t.zxid++
	for i, c := range path + "/" {
		if c == '/' && i > 0 && t.nodes[path[:i]] == nil {
			t.create(path[:i], nil, zookeeper.Persistent, 0)
		}
	}
	t.set(path, data)
}

// Delete removes a znode behind everybody's back.
func (t *Tree) Delete(path string) {
	t.zxid++
	t.delete(path)
}

// Paths lists all znodes below prefix, sorted.
func (t *Tree) Paths(prefix string) []string {
	var paths []string
	for path := range t.nodes {
		if strings.HasPrefix(path, prefix) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func (t *Tree) end(id int64, state zookeeper.State) {
	s := t.sessions[id]
	if s == nil {
		return
	}
	delete(t.sessions, id)
	t.zxid++
	for _, path := range t.Paths("/") {
		if t.nodes[path].stat.EphemeralOwner == id {
			t.delete(path)
		}
	}
	s.over = zookeeper.ErrSessionExpired
	if state == zookeeper.StateClosed {
		s.over = zookeeper.ErrSessionClosed
	}
	s.events.Put(zookeeper.Event{Type: zookeeper.EventSession, State: state})
	s.events.Close()
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

func (t *Tree) childNames(path string) []string {
	prefix := strings.TrimSuffix(path, "/") + "/"
	names := []string{}
	for p := range t.nodes {
		if rest, ok := strings.CutPrefix(p, prefix); ok && rest != "" && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

// check tells whether an operation can be done on the tree as it is.
func (t *Tree) check(op zookeeper.Op) error {
	n := t.nodes[op.Path]
	if op.Kind == zookeeper.OpCreate {
		up := t.nodes[parent(op.Path)]
		switch {
		case up == nil:
			return zookeeper.ErrNoNode
		case up.stat.EphemeralOwner != 0:
			return zookeeper.ErrNoChildrenForEphemerals
		case n != nil && op.Mode < zookeeper.PersistentSequential:
			return zookeeper.ErrNodeExists
		}
		return nil
	}
	switch {
	case n == nil:
		return zookeeper.ErrNoNode
	case op.Version != zookeeper.AnyVersion && op.Version != n.stat.Version:
		return zookeeper.ErrBadVersion
	case op.Kind == zookeeper.OpDelete && len(t.childNames(op.Path)) > 0:
		return zookeeper.ErrNotEmpty
	}
	return nil
}

func (t *Tree) create(path string, data []byte, mode zookeeper.CreateMode, owner int64) string {
	up := t.nodes[parent(path)]
	if mode >= zookeeper.PersistentSequential {
		path += fmt.Sprintf("%010d", up.seq)
		up.seq++
	}
	n := &node{data: data, stat: zookeeper.Stat{Czxid: t.zxid, Mzxid: t.zxid, Pzxid: t.zxid, DataLength: int32(len(data))}}
	if mode == zookeeper.Ephemeral || mode == zookeeper.EphemeralSequential {
		n.stat.EphemeralOwner = owner
	}
	t.nodes[path] = n
	up.stat.Cversion++
	t.fire(path, zookeeper.EventNodeCreated)
	t.fireChildren(parent(path))
	return path
}

func (t *Tree) set(path string, data []byte) {
	n := t.nodes[path]
	n.data, n.stat.Mzxid, n.stat.DataLength = data, t.zxid, int32(len(data))
	n.stat.Version++
	t.fire(path, zookeeper.EventNodeDataChanged)
}

func (t *Tree) delete(path string) {
	delete(t.nodes, path)
	t.fire(path, zookeeper.EventNodeDeleted)
	for _, id := range t.Sessions() {
		if s := t.sessions[id]; s.children[path] {
			delete(s.children, path) // told by the deletion
		}
	}
	t.fireChildren(parent(path))
}

func (t *Tree) fire(path string, what zookeeper.EventType) {
	for _, id := range t.Sessions() {
		if s := t.sessions[id]; s.data[path] {
			delete(s.data, path)
			s.events.Put(zookeeper.Event{Type: what, Path: path})
		}
	}
}

func (t *Tree) fireChildren(path string) {
	for _, id := range t.Sessions() {
		if s := t.sessions[id]; s.children[path] {
			delete(s.children, path)
			s.events.Put(zookeeper.Event{Type: zookeeper.EventNodeChildrenChanged, Path: path})
		}
	}
}
