package server

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
	"barnabas/broker/zookeeper/server/tree"
)

// dispatch does one request at a wall clock of wall ms. The mutex is held.
//
// What is not served (containers, TTLs, persistent watches, reconfiguration, SASL, read-only multi) is Unimplemented.
// Credentials (auth) are accepted and ignored; since nothing checks them, an access control list that would keep
// anybody out is refused with InvalidACL rather than taken and not kept.
func (c *conn) dispatch(r *jute.Request, wall int64) (jute.Response, jute.Code) {
	s := c.s
	switch r.Code {
	case jute.OpPing, jute.OpAuth:
		return jute.Response{}, jute.OK
	case jute.OpSync:
		return jute.Response{Path: r.Path}, jute.OK
	case jute.OpCreate, jute.OpCreate2, jute.OpDelete, jute.OpSetData, jute.OpSetACL, jute.OpCheck:
		return c.single(&r.Op, wall)
	case jute.OpMulti:
		return c.multi(r.Ops, wall)
	case jute.OpExists, jute.OpGetData, jute.OpGetACL, jute.OpGetChildren, jute.OpGetChildren2:
		return c.readNode(r)
	case jute.OpSetWatches, jute.OpSetWatches2:
		c.setWatches(r)
		return jute.Response{}, jute.OK
	case jute.OpRemoveWatches:
		return jute.Response{}, c.removeWatches(r)
	case jute.OpGetEphemerals:
		paths := slices.DeleteFunc(s.tree.Ephemerals(c.session.id), func(path string) bool {
			return !strings.HasPrefix(path, r.Path)
		})
		return jute.Response{Children: paths}, jute.OK
	case jute.OpAllChildrenNumber:
		n, ok := s.tree.Descendants(r.Path)
		if !ok {
			return jute.Response{}, jute.NoNode
		}
		return jute.Response{Count: int32(n)}, jute.OK
	case jute.OpCloseSession:
		n := s.endSession(c.session.id, wall)
		s.e.Emit(env.Event{Kind: evSessionClosed, V: [4]int64{c.session.id, int64(n)}, Text: c.peer})
		return jute.Response{}, jute.OK
	}
	return jute.Response{}, jute.Unimplemented
}

func (c *conn) readNode(r *jute.Request) (jute.Response, jute.Code) {
	data, stat, ok := c.s.tree.Get(r.Path)
	if r.Watch && r.Code == jute.OpExists {
		c.s.watches.addData(r.Path, c) // waits for the creation of a node that is not there
	}
	if !ok {
		return jute.Response{}, jute.NoNode
	}
	response := jute.Response{Data: data, Stat: stat, ACL: jute.OpenACL}
	switch r.Code {
	case jute.OpGetData:
		if r.Watch {
			c.s.watches.addData(r.Path, c)
		}
	case jute.OpGetChildren, jute.OpGetChildren2:
		response.Children, _, _ = c.s.tree.Children(r.Path)
		if r.Watch {
			c.s.watches.addChild(r.Path, c)
		}
	}
	return response, jute.OK
}

// treeOp turns an operation of the wire into one of the tree.
func treeOp(op *jute.Op) (zookeeper.Op, jute.Code) {
	o := zookeeper.Op{Path: op.Path, Data: bytes.Clone(op.Data), Version: op.Version, Mode: op.Mode}
	switch op.Code {
	case jute.OpCreate, jute.OpCreate2:
		o.Kind = zookeeper.OpCreate
	case jute.OpDelete:
		o.Kind = zookeeper.OpDelete
	case jute.OpSetData:
		o.Kind = zookeeper.OpSet
	case jute.OpCheck:
		o.Kind = zookeeper.OpCheck
	case jute.OpSetACL:
		o.Kind = tree.OpSetACL
	}
	if o.Kind == zookeeper.OpCreate || o.Kind == tree.OpSetACL {
		if !slices.Contains(op.ACL, jute.OpenACL[0]) {
			return o, jute.InvalidACL
		}
	}
	return o, jute.OK
}

func (c *conn) single(op *jute.Op, wall int64) (jute.Response, jute.Code) {
	o, code := treeOp(op)
	if code != jute.OK {
		return jute.Response{}, code
	}
	results, err := c.do(wall, o)
	if err != nil {
		return jute.Response{}, errorCode(err)
	}
	return jute.Response{Path: results[0].Path, Stat: results[0].Stat}, jute.OK
}

// multi answers OK even if it did nothing: the codes are in the results (PrepRequestProcessor, DataTree#processTxn).
func (c *conn) multi(ops []jute.Op, wall int64) (jute.Response, jute.Code) {
	todo := make([]zookeeper.Op, 0, len(ops))
	failed, code := -1, jute.OK
	for i := range ops {
		o, bad := treeOp(&ops[i])
		if bad != jute.OK {
			// What stands before it may fail first, so try that; but it must not stay.
			failed, code = i, bad
			o = zookeeper.Op{Kind: zookeeper.OpCreate, Mode: -1}
		}
		todo = append(todo, o)
		if failed >= 0 {
			break
		}
	}
	results, err := c.do(wall, todo...)
	if err != nil {
		if i := tree.FailedIndex(err); failed < 0 || i < failed {
			failed, code = i, errorCode(err)
		}
		return jute.Response{Results: failedResults(len(ops), failed, code)}, jute.OK
	}
	answers := make([]jute.OpResult, len(ops))
	for i, r := range results {
		answers[i] = jute.OpResult{Code: ops[i].Code, Path: r.Path, Stat: r.Stat}
	}
	return jute.Response{Results: answers}, jute.OK
}

func failedResults(n, failed int, code jute.Code) []jute.OpResult {
	results := make([]jute.OpResult, n)
	for i := range results {
		results[i] = jute.OpResult{Code: jute.OpError, Err: jute.RuntimeInconsistency}
		if i < failed {
			results[i].Err = jute.OK
		}
	}
	results[failed].Err = code
	return results
}

func (c *conn) do(wall int64, ops ...zookeeper.Op) ([]tree.Result, error) {
	txn, results, changes, err := c.s.tree.Do(c.session.id, wall, ops)
	if err != nil {
		return nil, err
	}
	if txn.Zxid != 0 {
		c.s.log(&txn)
		c.s.fire(changes)
	}
	return results, nil
}

func errorCode(err error) jute.Code {
	var opErr *zookeeper.OpError
	if errors.As(err, &opErr) {
		err = opErr.Err
	}
	return jute.CodeOf(err)
}

// setWatches sets the watches that a client had on its last connection; those that have fired since RelativeZxid fire
// now (DataTree#setWatches).
func (c *conn) setWatches(r *jute.Request) {
	s := c.s
	for _, path := range r.DataWatches {
		_, stat, ok := s.tree.Get(path)
		switch {
		case !ok:
			c.event(zookeeper.EventNodeDeleted, path)
		case stat.Mzxid > r.RelativeZxid:
			c.event(zookeeper.EventNodeDataChanged, path)
		default:
			s.watches.addData(path, c)
		}
	}
	for _, path := range r.ExistWatches {
		if _, _, ok := s.tree.Get(path); ok {
			c.event(zookeeper.EventNodeCreated, path)
		} else {
			s.watches.addData(path, c)
		}
	}
	for _, path := range r.ChildWatches {
		_, stat, ok := s.tree.Get(path)
		switch {
		case !ok:
			c.event(zookeeper.EventNodeDeleted, path)
		case stat.Pzxid > r.RelativeZxid:
			c.event(zookeeper.EventNodeChildrenChanged, path)
		default:
			s.watches.addChild(path, c)
		}
	}
}

// Watcher types of removeWatches (Watcher.WatcherType).
const (
	watcherChildren = 1
	watcherData     = 2
	watcherAny      = 3
)

func (c *conn) removeWatches(r *jute.Request) jute.Code {
	if r.WatcherType < watcherChildren || r.WatcherType > watcherAny {
		return jute.BadArguments
	}
	had := false
	if r.WatcherType&watcherChildren != 0 {
		had = c.s.watches.removeChild(r.Path, c)
	}
	if r.WatcherType&watcherData != 0 {
		had = c.s.watches.removeData(r.Path, c) || had
	}
	if !had {
		return jute.NoWatcher
	}
	return jute.OK
}
