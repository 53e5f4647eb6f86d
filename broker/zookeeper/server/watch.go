package server

import (
	"cmp"
	"slices"

	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/server/tree"
)

// watches knows which connections watch which nodes (WatchManager). A watch fires once. Those of exists and getData are
// the same kind; a getChildren watch is the other.
type watches struct {
	data  watchTable
	child watchTable
}

// watchTable maps a path to its watchers.
type watchTable map[string]map[*conn]struct{}

func newWatches() *watches { return &watches{data: watchTable{}, child: watchTable{}} }

func (t watchTable) add(path string, c *conn, own map[string]struct{}) {
	watchers := t[path]
	if watchers == nil {
		watchers = map[*conn]struct{}{}
		t[path] = watchers
	}
	watchers[c] = struct{}{}
	own[path] = struct{}{}
}

func (t watchTable) remove(path string, c *conn) {
	watchers := t[path]
	delete(watchers, c)
	if len(watchers) == 0 {
		delete(t, path)
	}
}

func (w *watches) addData(path string, c *conn)  { w.data.add(path, c, c.dataWatches) }
func (w *watches) addChild(path string, c *conn) { w.child.add(path, c, c.childWatches) }

// removeData and removeChild take one watch away; they report whether there was one.
func (w *watches) removeData(path string, c *conn) bool {
	_, had := c.dataWatches[path]
	delete(c.dataWatches, path)
	w.data.remove(path, c)
	return had
}

func (w *watches) removeChild(path string, c *conn) bool {
	_, had := c.childWatches[path]
	delete(c.childWatches, path)
	w.child.remove(path, c)
	return had
}

// removeAll takes away a connection's watches.
func (w *watches) removeAll(c *conn) {
	for path := range c.dataWatches { // unordered: each is taken away by itself
		w.data.remove(path, c)
	}
	for path := range c.childWatches { // unordered: as above
		w.child.remove(path, c)
	}
	clear(c.dataWatches)
	clear(c.childWatches)
}

// fire takes the watches that ch is for, and returns their connections in the order these came, each once: who watches
// both data and children of a node that is deleted gets one event.
func (w *watches) fire(ch tree.Change) []*conn {
	var fired []*conn
	if ch.Type != zookeeper.EventNodeChildrenChanged {
		for c := range w.data[ch.Path] {
			fired = append(fired, c)
			delete(c.dataWatches, ch.Path)
		}
		delete(w.data, ch.Path)
	}
	if ch.Type == zookeeper.EventNodeChildrenChanged || ch.Type == zookeeper.EventNodeDeleted {
		for c := range w.child[ch.Path] {
			fired = append(fired, c)
			delete(c.childWatches, ch.Path)
		}
		delete(w.child, ch.Path)
	}
	slices.SortFunc(fired, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	return slices.Compact(fired)
}
