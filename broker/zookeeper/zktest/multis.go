package zktest

import (
	"errors"

	"barnabas/broker/zookeeper"
)

var multiCases = []Case{
	{"multi-does-all", multiAll},
	{"multi-does-nothing-if-one-fails", multiNothing},
	{"multi-sees-its-own-changes", multiSeesItself},
	{"multi-fires-watches-once-done", multiWatches},
}

func multiAll(r *run) {
	r.create(r.s, "/set", "old", zookeeper.Persistent)
	r.create(r.s, "/delete", "", zookeeper.Persistent)
	results, err := r.s.Multi(
		zookeeper.CheckOp(r.root+"/set", 0),
		zookeeper.CreateOp(r.root+"/a", []byte("a"), zookeeper.Persistent),
		zookeeper.SetOp(r.root+"/set", []byte("new"), 0),
		zookeeper.DeleteOp(r.root+"/delete", 0),
		zookeeper.CreateOp(r.root+"/b", []byte("bb"), zookeeper.Ephemeral))
	if !r.ok(err, "multi") || !r.equal(len(results), 5, "results") {
		return
	}
	r.equal([]string{results[1].Path, results[4].Path}, []string{r.root + "/a", r.root + "/b"}, "paths")
	r.equal(results[2].Stat.Version, int32(1), "version by set")
	zxid := results[2].Stat.Mzxid
	_, stat, err := r.s.Get(r.root+"/b", false)
	r.ok(err, "get")
	r.equal(stat.Czxid, zxid, "czxid: one transaction")
	if results[4].Stat != (zookeeper.Stat{}) { // not every server and client brings it
		r.equal(stat, results[4].Stat, "stat by multi")
	}
	r.equal(stat.EphemeralOwner, r.s.ID(), "owner")
	r.value(r.s, "/set", "new")
	exists, _, err := r.s.Exists(r.root+"/delete", false)
	r.ok(err, "exists")
	r.equal(exists, false, "deleted node exists")
	empty, err := r.s.Multi()
	r.ok(err, "empty multi")
	r.equal(len(empty), 0, "results of an empty multi")
}

func multiNothing(r *run) {
	r.create(r.s, "/a", "old", zookeeper.Persistent)
	r.create(r.s, "/a/child", "old", zookeeper.Persistent)
	_, before, err := r.s.Children(r.root, true)
	r.ok(err, "children")
	_, beforeA, err := r.s.Get(r.root+"/a", true)
	r.ok(err, "get")
	good := []zookeeper.Op{
		zookeeper.CreateOp(r.root+"/new", nil, zookeeper.Ephemeral),
		zookeeper.CreateOp(r.root+"/n-", nil, zookeeper.PersistentSequential),
		zookeeper.SetOp(r.root+"/a", []byte("new"), 0),
		zookeeper.DeleteOp(r.root+"/a/child", 0),
	}
	for _, bad := range []struct {
		op  zookeeper.Op
		err error
	}{
		{zookeeper.CheckOp(r.root+"/a", 7), zookeeper.ErrBadVersion},
		{zookeeper.CheckOp(r.root+"/none", zookeeper.AnyVersion), zookeeper.ErrNoNode},
		{zookeeper.SetOp(r.root+"/a", nil, 0), zookeeper.ErrBadVersion}, // 1 by then
		{zookeeper.CreateOp(r.root+"/a", nil, zookeeper.Persistent), zookeeper.ErrNodeExists},
		{zookeeper.CreateOp(r.root+"/new/child", nil, zookeeper.Persistent), zookeeper.ErrNoChildrenForEphemerals},
		{zookeeper.DeleteOp(r.root, 0), zookeeper.ErrNotEmpty},
		{zookeeper.DeleteOp(r.root+"/a/child", 0), zookeeper.ErrNoNode},
	} {
		ops := append(append([]zookeeper.Op{}, good...), bad.op, zookeeper.CreateOp(r.root+"/after", nil, zookeeper.Persistent))
		_, err := r.s.Multi(ops...)
		r.fails(err, bad.err, "multi")
		var opErr *zookeeper.OpError
		if errors.As(err, &opErr) {
			r.equal([]any{opErr.Index, opErr.Op}, []any{len(good), bad.op}, "the operation that failed")
		} else {
			r.failf("error %v names no operation", err)
		}
	}
	_, err = r.s.Multi(zookeeper.CheckOp(r.root+"/none", 0), good[0])
	r.fails(err, zookeeper.ErrNoNode, "multi whose first operation fails")
	r.quiet(r.s)
	names, after, err := r.s.Children(r.root, false)
	r.ok(err, "children")
	r.equal(names, []string{"a"}, "children")
	r.equal(after, before, "stat of the parent")
	_, afterA, err := r.s.Get(r.root+"/a", false)
	r.ok(err, "get")
	r.equal(afterA, beforeA, "stat of /a")
	r.value(r.s, "/a/child", "old")
	r.equal(r.create(r.s, "/n-", "", zookeeper.PersistentSequential), r.root+"/n-0000000001", "the number was not used up")
}

func multiSeesItself(r *run) {
	results, err := r.s.Multi(
		zookeeper.CreateOp(r.root+"/a", []byte("0"), zookeeper.Persistent),
		zookeeper.CreateOp(r.root+"/a/b", nil, zookeeper.Persistent),
		zookeeper.SetOp(r.root+"/a", []byte("1"), 0),
		zookeeper.CheckOp(r.root+"/a", 1),
		zookeeper.DeleteOp(r.root+"/a/b", 0),
		zookeeper.CreateOp(r.root+"/a/b", []byte("again"), zookeeper.Persistent))
	if r.ok(err, "multi") {
		r.equal(results[2].Stat.NumChildren, int32(1), "children in the middle of the multi")
	}
	r.value(r.s, "/a", "1")
	r.value(r.s, "/a/b", "again")
	_, stat, err := r.s.Exists(r.root+"/a", false)
	r.ok(err, "exists")
	r.equal(stat.Cversion, int32(3), "cversion")
}

func multiWatches(r *run) {
	r.create(r.s, "/a", "", zookeeper.Persistent)
	watcher := r.open(r.Server)
	if watcher == nil {
		return
	}
	_, _, err := watcher.Get(r.root+"/a", true)
	r.ok(err, "get")
	_, _, err = watcher.Exists(r.root+"/b", true)
	r.ok(err, "exists")
	_, _, err = watcher.Children(r.root, true)
	r.ok(err, "children")
	_, err = r.s.Multi(
		zookeeper.SetOp(r.root+"/a", nil, 0),
		zookeeper.CreateOp(r.root+"/b", nil, zookeeper.Persistent),
		zookeeper.DeleteOp(r.root+"/a", 1))
	r.ok(err, "multi")
	r.event(watcher, zookeeper.EventNodeDataChanged, r.root+"/a")
	r.event(watcher, zookeeper.EventNodeCreated, r.root+"/b")
	r.event(watcher, zookeeper.EventNodeChildrenChanged, r.root)
	r.quiet(watcher)
}
