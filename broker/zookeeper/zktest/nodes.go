package zktest

import (
	"bytes"
	"errors"
	"fmt"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

var nodeCases = []Case{
	{"node-lives-and-its-stat-tells", nodeLife},
	{"parent-stat-follows-its-children", parentStat},
	{"every-operation-names-its-error", operationErrors},
	{"bad-paths-are-bad-arguments", badPaths},
	{"sequential-numbers-never-come-back", sequentialNumbers},
	{"data-is-binary-and-may-be-empty", binaryData},
	{"too-big-a-node-is-refused-and-harms-nothing", bigNode},
	{"versions-let-one-of-many-win", contention},
	{"children-are-sorted", manyChildren},
}

func nodeLife(r *run) {
	path, created, err := r.s.Create(r.root+"/a", []byte("one"), zookeeper.Persistent)
	r.ok(err, "create")
	r.equal(path, r.root+"/a", "path")
	r.equal(created.DataLength, int32(3), "data length")
	r.equal([]int64{created.Mzxid, created.Pzxid}, []int64{created.Czxid, created.Czxid}, "mzxid, pzxid")
	r.equal([]int32{created.Version, created.Cversion, created.Aversion, created.NumChildren}, []int32{0, 0, 0, 0}, "versions")
	if created.Czxid <= 0 || created.CtimeMs <= 0 || created.CtimeMs != created.MtimeMs || created.EphemeralOwner != 0 {
		r.failf("stat of a new node: %+v", created)
	}
	data, stat, err := r.s.Get(r.root+"/a", false)
	r.ok(err, "get")
	r.equal(string(data), "one", "data")
	r.equal(stat, created, "stat by get")

	set, err := r.s.Set(r.root+"/a", []byte("three"), 0)
	r.ok(err, "set")
	want := created
	want.Version, want.DataLength, want.Mzxid, want.MtimeMs = 1, 5, set.Mzxid, set.MtimeMs
	r.equal(set, want, "stat by set")
	if set.Mzxid <= created.Mzxid {
		r.failf("mzxid %d after %d", set.Mzxid, created.Mzxid)
	}
	_, err = r.s.Set(r.root+"/a", nil, zookeeper.AnyVersion)
	r.ok(err, "set any version")
	exists, stat, err := r.s.Exists(r.root+"/a", false)
	r.ok(err, "exists")
	r.equal([]any{exists, stat.Version, stat.DataLength}, []any{true, int32(2), int32(0)}, "exists")
	r.ok(r.s.Delete(r.root+"/a", 2), "delete")
	exists, stat, err = r.s.Exists(r.root+"/a", false)
	r.ok(err, "exists")
	r.equal([]any{exists, stat}, []any{false, zookeeper.Stat{}}, "exists after delete")

	_, again, err := r.s.Create(r.root+"/a", nil, zookeeper.Persistent)
	r.ok(err, "create again")
	if again.Version != 0 || again.Czxid <= set.Mzxid {
		r.failf("stat of a node created again: %+v", again)
	}
}

func parentStat(r *run) {
	_, before, err := r.s.Exists(r.root, false)
	r.ok(err, "exists")
	_, a, err := r.s.Create(r.root+"/a", nil, zookeeper.Persistent)
	r.ok(err, "create")
	r.create(r.s, "/b", "", zookeeper.Ephemeral)
	r.ok(r.s.Delete(r.root+"/a", 0), "delete")
	_, _, err = r.s.Create(r.root+"/b", nil, zookeeper.Persistent)
	r.fails(err, zookeeper.ErrNodeExists, "create b again")
	_, after, err := r.s.Exists(r.root, false)
	r.ok(err, "exists")
	want := before
	want.Cversion, want.NumChildren, want.Pzxid = 3, 1, after.Pzxid // two creates, one delete
	r.equal(after, want, "stat of the parent")
	if after.Pzxid <= a.Czxid {
		r.failf("pzxid %d, although a child created at %d was deleted since", after.Pzxid, a.Czxid)
	}
}

func operationErrors(r *run) {
	r.create(r.s, "/parent", "", zookeeper.Persistent)
	r.create(r.s, "/parent/child", "", zookeeper.Persistent)
	r.create(r.s, "/ephemeral", "", zookeeper.Ephemeral)
	none := r.root + "/none"

	_, _, err := r.s.Create(none+"/child", nil, zookeeper.Persistent)
	r.fails(err, zookeeper.ErrNoNode, "create without parent")
	_, _, err = r.s.Create(r.root+"/parent", nil, zookeeper.Persistent)
	r.fails(err, zookeeper.ErrNodeExists, "create twice")
	_, _, err = r.s.Create("/", nil, zookeeper.Persistent)
	r.fails(err, zookeeper.ErrNodeExists, "create the root")
	_, _, err = r.s.Create(r.root+"/ephemeral/child", nil, zookeeper.Persistent)
	r.fails(err, zookeeper.ErrNoChildrenForEphemerals, "create below an ephemeral node")
	_, _, err = r.s.Create(r.root+"/ephemeral/child", nil, zookeeper.EphemeralSequential)
	r.fails(err, zookeeper.ErrNoChildrenForEphemerals, "create sequential below an ephemeral node")

	_, _, err = r.s.Get(none, true)
	r.fails(err, zookeeper.ErrNoNode, "get")
	_, _, err = r.s.Children(none, true)
	r.fails(err, zookeeper.ErrNoNode, "children")
	_, err = r.s.Set(none, nil, zookeeper.AnyVersion)
	r.fails(err, zookeeper.ErrNoNode, "set")
	r.fails(r.s.Delete(none, 3), zookeeper.ErrNoNode, "delete")

	_, err = r.s.Set(r.root+"/parent", nil, 1)
	r.fails(err, zookeeper.ErrBadVersion, "set")
	r.fails(r.s.Delete(r.root+"/parent/child", 1), zookeeper.ErrBadVersion, "delete")
	r.fails(r.s.Delete(r.root+"/parent", 1), zookeeper.ErrBadVersion, "delete with children and another version")
	r.fails(r.s.Delete(r.root+"/parent", 0), zookeeper.ErrNotEmpty, "delete with children")
	r.fails(r.s.Delete("/zookeeper", zookeeper.AnyVersion), zookeeper.ErrBadArguments, "delete /zookeeper")
	r.fails(r.s.Delete("/", zookeeper.AnyVersion), zookeeper.ErrBadArguments, "delete /")
	r.quiet(r.s) // a get or children that fails leaves no watch
	r.create(r.s, "/none", "", zookeeper.Persistent)
	r.quiet(r.s)
}

func badPaths(r *run) {
	for _, path := range []string{"", "a", "a/b", "//", r.root + "/", r.root + "//a", r.root + "/./a", r.root + "/..", r.root + "/\x01"} {
		_, _, err := r.s.Create(path, nil, zookeeper.Persistent)
		r.fails(err, zookeeper.ErrBadArguments, fmt.Sprintf("create %q", path))
		_, _, err = r.s.Get(path, false)
		r.fails(err, zookeeper.ErrBadArguments, fmt.Sprintf("get %q", path))
		_, err = r.s.Multi(zookeeper.CheckOp(r.root, zookeeper.AnyVersion), zookeeper.CreateOp(path, nil, zookeeper.Persistent))
		r.fails(err, zookeeper.ErrBadArguments, fmt.Sprintf("multi %q", path))
	}
}

func sequentialNumbers(r *run) {
	create := func(name string, mode zookeeper.CreateMode, want string) {
		r.equal(r.create(r.s, name, "", mode), r.root+want, "sequential path")
	}
	r.create(r.s, "/q", "", zookeeper.Persistent)
	create("/q/n-", zookeeper.PersistentSequential, "/q/n-0000000000")
	create("/q/n-", zookeeper.EphemeralSequential, "/q/n-0000000001")
	create("/q/m-", zookeeper.PersistentSequential, "/q/m-0000000002")
	create("/q/plain", zookeeper.Persistent, "/q/plain")
	create("/q/", zookeeper.PersistentSequential, "/q/0000000004")
	r.ok(r.s.Delete(r.root+"/q/0000000004", 0), "delete")
	r.ok(r.s.Delete(r.root+"/q/plain", 0), "delete")
	create("/q/n-", zookeeper.PersistentSequential, "/q/n-0000000005")
	_, stat, err := r.s.Get(r.root+"/q/n-0000000001", false)
	r.ok(err, "get")
	r.equal(stat.EphemeralOwner, r.s.ID(), "owner of an ephemeral sequential node")
	results, err := r.s.Multi(
		zookeeper.CreateOp(r.root+"/q/x-", nil, zookeeper.PersistentSequential),
		zookeeper.CreateOp(r.root+"/q/x-", nil, zookeeper.PersistentSequential))
	if r.ok(err, "multi") {
		r.equal([]string{results[0].Path, results[1].Path}, []string{r.root + "/q/x-0000000006", r.root + "/q/x-0000000007"}, "paths by multi")
	}
}

func binaryData(r *run) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, data := range [][]byte{nil, {}, {0}, all, bytes.Repeat(all, 2048)} {
		path := fmt.Sprintf("%s/%d", r.root, i)
		_, stat, err := r.s.Create(path, data, zookeeper.Persistent)
		r.ok(err, "create")
		r.equal(stat.DataLength, int32(len(data)), "data length")
		got, _, err := r.s.Get(path, false)
		r.ok(err, "get")
		if !bytes.Equal(got, data) {
			r.failf("%d bytes come back as %d others", len(data), len(got))
		}
	}
}

func bigNode(r *run) {
	r.create(r.s, "/a", "small", zookeeper.Ephemeral)
	big := make([]byte, 2<<20)
	_, _, err := r.s.Create(r.root+"/big", big, zookeeper.Persistent)
	r.fails(err, zookeeper.ErrTooLarge, "create")
	_, err = r.s.Set(r.root+"/a", big, zookeeper.AnyVersion)
	r.fails(err, zookeeper.ErrTooLarge, "set")
	_, err = r.s.Multi(zookeeper.SetOp(r.root+"/a", big, zookeeper.AnyVersion))
	r.fails(err, zookeeper.ErrTooLarge, "multi")
	r.value(r.s, "/a", "small")
	_, _, err = r.s.Create(r.root+"/nearly", big[:1000<<10], zookeeper.Persistent)
	r.ok(err, "create just below the limit")
	r.quiet(r.s)
}

func contention(r *run) {
	const tasks, rounds = 4, 8
	r.create(r.s, "/n", "0", zookeeper.Persistent)
	group := env.NewGroup(r.Env)
	wins := make([]int, tasks)
	errs := make([]error, tasks)
	for i := range tasks {
		s := r.s
		if i%2 == 1 {
			if s = r.open(r.Server); s == nil {
				return
			}
		}
		group.Go("contend", func() { wins[i], errs[i] = contend(s, r.root+"/n", rounds) })
	}
	group.Wait()
	total := 0
	for i := range tasks {
		r.ok(errs[i], "contend")
		total += wins[i]
	}
	_, stat, err := r.s.Get(r.root+"/n", false)
	r.ok(err, "get")
	r.equal(int(stat.Version), total, "version after so many wins")
	r.equal(total, tasks*rounds, "wins")
}

// contend sets a node as often as it takes to win rounds times.
func contend(s zookeeper.Session, path string, rounds int) (wins int, err error) {
	for wins < rounds {
		_, stat, err := s.Get(path, false)
		if err != nil {
			return wins, err
		}
		switch _, err = s.Set(path, []byte("x"), stat.Version); {
		case err == nil:
			wins++
		case !errors.Is(err, zookeeper.ErrBadVersion):
			return wins, err
		}
	}
	return wins, nil
}

func manyChildren(r *run) {
	want := make([]string, 0, 300)
	for i := range 300 {
		want = append(want, fmt.Sprintf("%03d", i))
		r.create(r.s, fmt.Sprintf("/%03d", (i*7)%300), "", zookeeper.Persistent)
	}
	names, stat, err := r.s.Children(r.root, false)
	r.ok(err, "children")
	r.equal(names, want, "children")
	r.equal([]int32{stat.NumChildren, stat.Cversion}, []int32{300, 300}, "children by stat")
	names, _, err = r.s.Children(r.root+"/000", false)
	r.ok(err, "children")
	r.equal(len(names), 0, "children of a leaf")
}
