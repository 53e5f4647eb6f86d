package tree

import (
	"bytes"
	"fmt"

	"barnabas/broker/zookeeper/jute"
)

// AppendSnapshot appends the whole state; docs/formats/zookeeper-log.md. Equal trees give equal bytes.
func (t *Tree) AppendSnapshot(dst []byte) []byte {
	e := jute.Encoder{Buf: dst}
	e.Long(t.zxid)
	ids := t.Sessions()
	e.Int(int32(len(ids)))
	for _, id := range ids {
		s := t.sessions[id]
		e.Long(id)
		e.Int(s.timeoutMs)
		e.Buffer(s.password)
	}
	paths := t.Paths()
	e.Int(int32(len(paths)))
	for _, path := range paths {
		n := t.nodes[path]
		e.String(path)
		e.Buffer(n.data)
		e.Int(n.creates)
		e.Stat(&n.stat)
	}
	return e.Buf
}

// ReadSnapshot makes a tree of what AppendSnapshot wrote. It checks that every node hangs on its parent and every
// ephemeral node on its session. The tree keeps no part of data.
func ReadSnapshot(data []byte) (*Tree, error) {
	d := jute.NewDecoder(data)
	t := &Tree{nodes: map[string]*node{}, sessions: map[int64]*session{}, zxid: d.Long()}
	for range d.Count(16) {
		id := d.Long()
		t.sessions[id] = &session{
			timeoutMs: d.Int(), password: bytes.Clone(d.Buffer()), ephemerals: map[string]struct{}{},
		}
	}
	for range d.Count(80) {
		path := d.String()
		n := &node{data: bytes.Clone(d.Buffer()), creates: d.Int(), stat: d.Stat()}
		if d.Err() != nil {
			break
		}
		if err := t.adopt(path, n); err != nil {
			return nil, err
		}
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	if d.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the snapshot", jute.ErrMalformed, d.Len())
	}
	for _, path := range reserved {
		if t.nodes[path] == nil {
			return nil, fmt.Errorf("%w: snapshot without %s", jute.ErrMalformed, path)
		}
	}
	return t, nil
}

// adopt hangs a node of a snapshot into the tree. Parents sort before their children, so they are there.
func (t *Tree) adopt(path string, n *node) error {
	if err := jute.ValidatePath(path, false); err != nil {
		return err
	}
	if t.nodes[path] != nil {
		return fmt.Errorf("%w: two nodes %s", jute.ErrMalformed, path)
	}
	if path != "/" {
		parent := t.nodes[parentOf(path)]
		if parent == nil {
			return fmt.Errorf("%w: node %s without its parent", jute.ErrMalformed, path)
		}
		parent.addChild(nameOf(path))
	}
	if owner := n.stat.EphemeralOwner; owner != 0 {
		s := t.sessions[owner]
		if s == nil {
			return fmt.Errorf("%w: ephemeral node %s without session %#x", jute.ErrMalformed, path, owner)
		}
		s.ephemerals[path] = struct{}{}
	}
	t.nodes[path] = n
	return nil
}
