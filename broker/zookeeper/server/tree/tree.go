package tree

import (
	"slices"
	"strings"

	"barnabas/broker/zookeeper"
)

// Tree is the state. It is not safe for concurrent use.
type Tree struct {
	nodes    map[string]*node
	sessions map[int64]*session
	zxid     int64
}

type node struct {
	data     []byte   // nil stands for null, which ZooKeeper tells from empty
	children []string // sorted
	creates  int32    // children ever created: the counter of sequential names
	stat     zookeeper.Stat
}

type session struct {
	timeoutMs  int32
	password   []byte
	ephemerals map[string]struct{}
}

// Nodes every ZooKeeper has; they can not be deleted.
var reserved = []string{"/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"}

// New makes the tree of a server that has never been used.
func New() *Tree {
	t := &Tree{nodes: map[string]*node{}, sessions: map[int64]*session{}}
	for _, path := range reserved {
		t.nodes[path] = &node{}
		if path != "/" {
			parent := t.nodes[parentOf(path)]
			parent.children = append(parent.children, nameOf(path))
		}
	}
	return t
}

// Zxid is the id of the last transaction.
func (t *Tree) Zxid() int64 { return t.zxid }

// Len is the number of nodes.
func (t *Tree) Len() int { return len(t.nodes) }

// Get reads a node. The data is the tree's own and never changes.
func (t *Tree) Get(path string) (data []byte, stat zookeeper.Stat, ok bool) {
	n := t.nodes[path]
	if n == nil {
		return nil, zookeeper.Stat{}, false
	}
	return n.data, n.fullStat(), true
}

// Children lists the names of a node's children, sorted. The slice is the tree's own and valid until the next change.
func (t *Tree) Children(path string) (names []string, stat zookeeper.Stat, ok bool) {
	n := t.nodes[path]
	if n == nil {
		return nil, zookeeper.Stat{}, false
	}
	return n.children, n.fullStat(), true
}

// Descendants counts the nodes below path; ok is false if there is no such node.
func (t *Tree) Descendants(path string) (count int, ok bool) {
	n := t.nodes[path]
	if n == nil {
		return 0, false
	}
	count = len(n.children)
	for _, name := range n.children {
		below, _ := t.Descendants(join(path, name))
		count += below
	}
	return count, true
}

// Paths lists every node's path, sorted.
func (t *Tree) Paths() []string {
	paths := make([]string, 0, len(t.nodes))
	for path := range t.nodes {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// Session describes an open session. The password is the tree's own.
func (t *Tree) Session(id int64) (timeoutMs int32, password []byte, ok bool) {
	s := t.sessions[id]
	if s == nil {
		return 0, nil, false
	}
	return s.timeoutMs, s.password, true
}

// Sessions lists the open sessions' ids, sorted.
func (t *Tree) Sessions() []int64 {
	ids := make([]int64, 0, len(t.sessions))
	for id := range t.sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Ephemerals lists the paths of a session's ephemeral nodes, sorted.
func (t *Tree) Ephemerals(id int64) []string {
	s := t.sessions[id]
	if s == nil {
		return nil
	}
	paths := make([]string, 0, len(s.ephemerals))
	for path := range s.ephemerals {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// fullStat fills in what is derived. ZooKeeper counts creates only and reports creates + deletes as cversion:
// deletes = creates − children, so cversion = 2·creates − children (DataNode#copyStat). A new tree's root, whose child
// was never created by anybody, has cversion −1.
func (n *node) fullStat() zookeeper.Stat {
	s := n.stat
	s.DataLength = int32(len(n.data))
	s.NumChildren = int32(len(n.children))
	s.Cversion = 2*n.creates - s.NumChildren
	return s
}

func (n *node) addChild(name string) {
	i, found := slices.BinarySearch(n.children, name)
	if !found {
		n.children = slices.Insert(n.children, i, name)
	}
}

func (n *node) removeChild(name string) {
	if i, found := slices.BinarySearch(n.children, name); found {
		n.children = slices.Delete(n.children, i, i+1)
	}
}

func parentOf(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

func nameOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func join(path, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}
