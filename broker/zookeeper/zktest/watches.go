package zktest

import (
	"fmt"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

var watchCases = []Case{
	{"watch-fires-once-for-what-it-watches", watchKinds},
	{"watches-on-one-node-fire-together-once", watchDeletion},
	{"event-comes-before-the-answer-that-shows-it", watchOrder},
	{"events-come-in-the-order-of-changes", watchSequence},
}

func watchKinds(r *run) {
	other := r.open(r.Server)
	if other == nil {
		return
	}
	w := r.s
	exists := func(name string, want bool) {
		got, _, err := w.Exists(r.root+name, true)
		r.ok(err, "exists")
		r.equal(got, want, name+" exists")
	}
	exists("/a", false)
	r.create(other, "/a", "", zookeeper.Persistent)
	r.event(w, zookeeper.EventNodeCreated, r.root+"/a")
	r.ok(set(other, r.root+"/a"), "set")
	r.quiet(w) // it has fired

	exists("/a", true)
	r.ok(set(other, r.root+"/a"), "set")
	r.event(w, zookeeper.EventNodeDataChanged, r.root+"/a")
	_, _, err := w.Get(r.root+"/a", true)
	r.ok(err, "get")
	r.create(other, "/a/child", "", zookeeper.Persistent) // not the node's data
	r.quiet(w)
	r.ok(set(other, r.root+"/a"), "set")
	r.event(w, zookeeper.EventNodeDataChanged, r.root+"/a")

	_, _, err = w.Children(r.root+"/a", true)
	r.ok(err, "children")
	r.ok(set(other, r.root+"/a"), "set")       // not the children
	r.ok(set(other, r.root+"/a/child"), "set") // not which there are
	r.create(other, "/a/child/grand", "", zookeeper.Persistent)
	r.quiet(w)
	r.create(other, "/a/second", "", zookeeper.Persistent)
	r.event(w, zookeeper.EventNodeChildrenChanged, r.root+"/a")
	_, _, err = w.Children(r.root+"/a", true)
	r.ok(err, "children")
	r.ok(other.Delete(r.root+"/a/second", 0), "delete")
	r.event(w, zookeeper.EventNodeChildrenChanged, r.root+"/a")
	r.quiet(w)
	if n := other.Events().Len(); n != 0 {
		r.failf("%d events for who watches nothing", n)
	}
}

func set(s zookeeper.Session, path string) error {
	_, err := s.Set(path, nil, zookeeper.AnyVersion)
	return err
}

func watchDeletion(r *run) {
	other := r.open(r.Server)
	if other == nil {
		return
	}
	r.create(other, "/a", "", zookeeper.Persistent)
	for range 2 { // twice the same watch is one watch
		_, _, err := r.s.Get(r.root+"/a", true)
		r.ok(err, "get")
		_, _, err = r.s.Exists(r.root+"/a", true)
		r.ok(err, "exists")
		_, _, err = r.s.Children(r.root+"/a", true)
		r.ok(err, "children")
		_, _, err = r.s.Children(r.root, true)
		r.ok(err, "children")
	}
	r.ok(other.Delete(r.root+"/a", 0), "delete")
	r.event(r.s, zookeeper.EventNodeDeleted, r.root+"/a")
	r.event(r.s, zookeeper.EventNodeChildrenChanged, r.root)
	r.quiet(r.s)
	r.create(other, "/a", "", zookeeper.Persistent)
	r.quiet(r.s) // the watch did not wait for the next node of the name
}

func watchOrder(r *run) {
	other := r.open(r.Server)
	if other == nil {
		return
	}
	r.create(other, "/a", "0", zookeeper.Persistent)
	for i := range 50 {
		before, _, err := r.s.Get(r.root+"/a", true)
		r.ok(err, "get")
		_, err = other.Set(r.root+"/a", fmt.Appendf(nil, "%d", i+1), zookeeper.AnyVersion)
		r.ok(err, "set")
		after, _, err := r.s.Get(r.root+"/a", false)
		r.ok(err, "get")
		if n := r.s.Events().Len(); string(before) != string(after) && n != 1 {
			r.failf("round %d: the new value was answered behind %d events", i, n)
			return
		}
		if !r.event(r.s, zookeeper.EventNodeDataChanged, r.root+"/a") {
			return
		}
	}
	_, _, err := r.s.Get(r.root+"/a", true)
	r.ok(err, "get")
	r.ok(set(r.s, r.root+"/a"), "set")
	r.equal(r.s.Events().Len(), 1, "events before the answer to who changed it himself")
}

func watchSequence(r *run) {
	other := r.open(r.Server)
	if other == nil {
		return
	}
	const n = 100
	for i := range n {
		_, _, err := r.s.Exists(fmt.Sprintf("%s/%d", r.root, i), true)
		r.ok(err, "exists")
	}
	group := env.NewGroup(r.Env)
	group.Go("creator", func() {
		for i := range n {
			r.create(other, fmt.Sprintf("/%d", i), "", zookeeper.Persistent)
		}
	})
	for i := range n {
		if !r.event(r.s, zookeeper.EventNodeCreated, fmt.Sprintf("%s/%d", r.root, i)) {
			break
		}
	}
	group.Wait()
}
