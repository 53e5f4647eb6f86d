package workload

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"
	"barnabas/linearizability/history"
)

// zkRoot is where clients of ZooKeeper write, in zkPaths nodes.
const (
	zkRoot  = "/trial"
	zkPaths = 4
)

// ZKName is the node of a client of ZooKeeper.
func ZKName(index int) string { return fmt.Sprintf("z%d", index) }

// ZKSessions is a node's main function: one session with ZooKeeper at addr after the other, each doing one thing at a time to a
// few nodes that all share, until Stop; then a last one that reads everything.
func (l *Load) ZKSessions(name, addr string) func(env.Env) {
	return func(e env.Env) {
		life := l.life(name)
		defer l.ended(name, life)
		x := &zkRun{l: l, e: e, r: e.Rand("workload"), name: name, life: life, addr: addr}
		l.sleepUntilBegin(e)
		for !l.ending() {
			x.session(func() bool { return !l.ending() })
		}
		x.last()
	}
}

// zkRun is a life of a client of ZooKeeper.
type zkRun struct {
	l       *Load
	e       env.Env
	r       *rand.Rand
	name    string
	life    int
	addr    string
	s       *zkclient.Session
	process int32
}

// open begins a session; false if ZooKeeper is not to be reached.
func (x *zkRun) open() bool {
	s, err := zkclient.Open(x.e, []string{x.addr}, 3000, x.e.Mono().Add(2*time.Second))
	if err != nil {
		return false
	}
	x.s = s.(*zkclient.Session)
	x.l.mu.Lock()
	x.l.zkSessions++
	x.process = -int32(x.l.zkSessions)
	x.l.mu.Unlock()
	x.s.Create(zkRoot, nil, zookeeper.Persistent) // who is first makes it
	return true
}

// session works until it is over, or until says so.
func (x *zkRun) session(goesOn func() bool) {
	if !x.open() {
		x.e.Sleep(200 * time.Millisecond)
		return
	}
	defer x.s.Close()
	for goesOn() {
		x.e.Sleep(jitter(x.r, 60*time.Millisecond))
		err := x.act(fmt.Sprintf("%s/n%d", zkRoot, x.r.IntN(zkPaths)))
		if errors.Is(err, zookeeper.ErrSessionExpired) || errors.Is(err, zookeeper.ErrSessionClosed) {
			return
		}
	}
}

func (x *zkRun) act(path string) error {
	switch k := x.r.IntN(20); {
	case k < 7:
		return x.read(path)
	case k < 13:
		return x.write(history.ZKSet, path)
	case k < 16:
		return x.write(history.ZKCreate, path)
	case k < 18:
		op := x.op(history.ZKDelete, path)
		done := x.begin(&op)
		return done(x.s.Delete(path, zookeeper.AnyVersion))
	}
	op := x.op(history.ZKSync, path)
	done := x.begin(&op)
	return done(x.s.Sync(path))
}

func (x *zkRun) write(kind history.Kind, path string) error {
	id, value := x.l.newValue(x.r)
	op := x.op(kind, path)
	op.Records = []history.Record{{Offset: history.None, Value: id, Sum: crc32.Checksum(value, castagnoli)}}
	done := x.begin(&op)
	if kind == history.ZKSet {
		_, err := x.s.Set(path, value, zookeeper.AnyVersion)
		return done(err)
	}
	_, _, err := x.s.Create(path, value, zookeeper.Persistent)
	return done(err)
}

// read is OK also where it finds no node.
func (x *zkRun) read(path string) error {
	op := x.op(history.ZKRead, path)
	done := x.begin(&op)
	value, stat, err := x.s.Get(path, false)
	switch {
	case err == nil:
		op.Records = []history.Record{{Offset: stat.Mzxid, Value: idOf(value), Sum: crc32.Checksum(value, castagnoli)}}
	case errors.Is(err, zookeeper.ErrNoNode):
		err = nil
	}
	return done(err)
}

// last reads everything after a sync, once all has healed.
func (x *zkRun) last() {
	for range 10 {
		if !x.open() {
			x.e.Sleep(200 * time.Millisecond)
			continue
		}
		op := x.op(history.ZKSync, zkRoot)
		done := x.begin(&op)
		err := done(x.s.Sync(zkRoot))
		for n := range zkPaths {
			if err == nil {
				err = x.read(fmt.Sprintf("%s/n%d", zkRoot, n))
			}
		}
		x.s.Close()
		if err == nil {
			return
		}
	}
}

func (x *zkRun) op(kind history.Kind, path string) history.Op {
	op := history.NewOp(kind, path, 0)
	op.Process = x.process
	return op
}

// begin notes that an operation is under way. What it returns records how it ended, and hands the error on if it is of the
// session rather than of the node.
func (x *zkRun) begin(op *history.Op) func(error) error {
	op.Call = int64(x.e.Mono())
	x.l.handOver(x.name, op)
	return func(err error) error {
		zxid := x.s.LastZxid()
		l := x.l
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.running[x.name] != x.life {
			return err
		}
		l.pending[x.name] = slices.DeleteFunc(l.pending[x.name], func(o *history.Op) bool { return o == op })
		op.Return, op.Outcome = int64(x.e.Mono()), history.Unknown
		switch {
		case err == nil:
			op.Outcome, op.Offset = history.OK, zxid
		case errors.Is(err, zookeeper.ErrNoNode), errors.Is(err, zookeeper.ErrNodeExists), errors.Is(err, zookeeper.ErrBadVersion):
			op.Outcome, op.Error, err = history.Failed, err.Error(), nil
		default:
			op.Error = err.Error()
		}
		l.keep(*op)
		return err
	}
}
