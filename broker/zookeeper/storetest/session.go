package storetest

import (
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// Session is a session on a Tree.
type Session struct {
	tree           *Tree
	env            env.Env
	id             int64
	events         *env.Queue[zookeeper.Event]
	data, children map[string]bool // one-shot watches
	over           error           // once it has ended

	// Lose, if set, is asked for every operation, by its kind ("create", "get", "multi" …) and first path, and tells
	// whether it is not done, or done but its answer lost. Either way the caller sees ErrConnectionLoss.
	Lose func(kind, path string) Loss
	// Latency is slept before every operation; 0 does not even yield.
	Latency func()
}

// Loss says what becomes of an operation.
type Loss uint8

const (
	Answered Loss = iota
	RequestLost
	AnswerLost
)

var _ zookeeper.Session = (*Session)(nil)

// around does an operation with the session's losses.
func (s *Session) around(kind, path string, do func() error) error {
	if s.Latency != nil {
		s.Latency()
	}
	if s.over != nil {
		return s.over
	}
	loss := Answered
	if s.Lose != nil {
		loss = s.Lose(kind, path)
	}
	if loss == RequestLost {
		return zookeeper.ErrConnectionLoss
	}
	err := do()
	if loss == AnswerLost {
		return zookeeper.ErrConnectionLoss
	}
	return err
}

// Create implements zookeeper.Session.
func (s *Session) Create(path string, data []byte, mode zookeeper.CreateMode) (made string, stat zookeeper.Stat, err error) {
	err = s.around("create", path, func() error {
		if err := s.tree.check(zookeeper.CreateOp(path, data, mode)); err != nil {
			return err
		}
		s.tree.zxid++
		made = s.tree.create(path, data, mode, s.id)
		stat = s.tree.nodes[made].stat
		return nil
	})
	return made, stat, err
}

// Get implements zookeeper.Session.
func (s *Session) Get(path string, watch bool) (data []byte, stat zookeeper.Stat, err error) {
	err = s.around("get", path, func() error {
		n := s.tree.nodes[path]
		if n == nil {
			return zookeeper.ErrNoNode
		}
		if watch {
			s.data[path] = true
		}
		data, stat = n.data, n.stat
		return nil
	})
	return data, stat, err
}

// Set implements zookeeper.Session.
func (s *Session) Set(path string, data []byte, version int32) (stat zookeeper.Stat, err error) {
	err = s.around("set", path, func() error {
		if err := s.tree.check(zookeeper.SetOp(path, data, version)); err != nil {
			return err
		}
		s.tree.zxid++
		s.tree.set(path, data)
		stat = s.tree.nodes[path].stat
		return nil
	})
	return stat, err
}

// Delete implements zookeeper.Session.
func (s *Session) Delete(path string, version int32) error {
	return s.around("delete", path, func() error {
		if err := s.tree.check(zookeeper.DeleteOp(path, version)); err != nil {
			return err
		}
		s.tree.Delete(path)
		return nil
	})
}

// Exists implements zookeeper.Session.
func (s *Session) Exists(path string, watch bool) (ok bool, stat zookeeper.Stat, err error) {
	err = s.around("exists", path, func() error {
		if watch {
			s.data[path] = true
		}
		_, stat, ok = s.tree.Get(path)
		return nil
	})
	return ok, stat, err
}

// Children implements zookeeper.Session.
func (s *Session) Children(path string, watch bool) (names []string, stat zookeeper.Stat, err error) {
	err = s.around("children", path, func() error {
		n := s.tree.nodes[path]
		if n == nil {
			return zookeeper.ErrNoNode
		}
		if watch {
			s.children[path] = true
		}
		names, stat = s.tree.childNames(path), n.stat
		return nil
	})
	return names, stat, err
}

// Multi implements zookeeper.Session. It tries the operations on a copy of what they touch, so a failure undoes all.
func (s *Session) Multi(ops ...zookeeper.Op) (results []zookeeper.OpResult, err error) {
	err = s.around("multi", ops[len(ops)-1].Path, func() error {
		trial := &Tree{nodes: map[string]*node{}, zxid: s.tree.zxid}
		for path, n := range s.tree.nodes {
			copied := *n
			trial.nodes[path] = &copied
		}
		for i, op := range ops {
			if err := trial.check(op); err != nil {
				return &zookeeper.OpError{Index: i, Op: op, Err: err}
			}
			trial.do(op, s.id)
		}
		s.tree.zxid++
		for _, op := range ops {
			results = append(results, s.tree.do(op, s.id))
		}
		return nil
	})
	return results, err
}

func (t *Tree) do(op zookeeper.Op, owner int64) (r zookeeper.OpResult) {
	r.Path = op.Path
	switch op.Kind {
	case zookeeper.OpCreate:
		r.Path = t.create(op.Path, op.Data, op.Mode, owner)
	case zookeeper.OpSet:
		t.set(op.Path, op.Data)
	case zookeeper.OpDelete:
		t.delete(op.Path)
	}
	if n := t.nodes[r.Path]; n != nil {
		r.Stat = n.stat
	}
	return r
}

// Sync implements zookeeper.Session.
func (s *Session) Sync(path string) error { return s.around("sync", path, func() error { return nil }) }

// Events implements zookeeper.Session.
func (s *Session) Events() *env.Queue[zookeeper.Event] { return s.events }

// ID implements zookeeper.Session.
func (s *Session) ID() int64 { return s.id }

// Close implements zookeeper.Session.
func (s *Session) Close() error {
	s.tree.end(s.id, zookeeper.StateClosed)
	return nil
}

// Tell puts a change of the session's state among its events.
func (s *Session) Tell(state zookeeper.State) {
	s.events.Put(zookeeper.Event{Type: zookeeper.EventSession, State: state})
}
