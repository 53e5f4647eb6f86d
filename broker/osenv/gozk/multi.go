package gozk

import (
	"fmt"

	"github.com/go-zookeeper/zk"

	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

var openACL = zk.WorldACL(zk.PermAll)

// Multi is documented at zookeeper.Session. go-zookeeper does not speak create2, so a create has no Stat.
func (s *session) Multi(ops ...zookeeper.Op) ([]zookeeper.OpResult, error) {
	requests := make([]any, len(ops))
	for i, op := range ops {
		sequential := op.Mode == zookeeper.PersistentSequential || op.Mode == zookeeper.EphemeralSequential
		if err := jute.ValidatePath(op.Path, sequential && op.Kind == zookeeper.OpCreate); err != nil {
			return nil, &zookeeper.OpError{Index: i, Op: op, Err: err}
		}
		switch op.Kind {
		case zookeeper.OpCreate:
			requests[i] = &zk.CreateRequest{Path: op.Path, Data: op.Data, Acl: openACL, Flags: int32(op.Mode)}
		case zookeeper.OpSet:
			requests[i] = &zk.SetDataRequest{Path: op.Path, Data: op.Data, Version: op.Version}
		case zookeeper.OpDelete:
			requests[i] = &zk.DeleteRequest{Path: op.Path, Version: op.Version}
		case zookeeper.OpCheck:
			requests[i] = &zk.CheckVersionRequest{Path: op.Path, Version: op.Version}
		default:
			return nil, &zookeeper.OpError{Index: i, Op: op, Err: zookeeper.ErrBadArguments}
		}
	}
	if err := zookeeper.Fits(ops...); err != nil {
		return nil, fmt.Errorf("multi: %w", err)
	}
	if err := s.ready(); err != nil {
		return nil, fmt.Errorf("multi: %w", err)
	}
	responses, err := s.conn.Multi(requests...)
	if err != nil {
		for i, r := range responses {
			if r.Error != nil && i < len(ops) {
				return nil, &zookeeper.OpError{Index: i, Op: ops[i], Err: s.translate(r.Error)}
			}
		}
		return nil, fmt.Errorf("multi: %w", s.translate(err))
	}
	return s.multiResults(ops, responses)
}

func (s *session) multiResults(ops []zookeeper.Op, responses []zk.MultiResponse) ([]zookeeper.OpResult, error) {
	if len(responses) != len(ops) {
		return nil, fmt.Errorf("multi: %d results for %d operations: %w", len(responses), len(ops), jute.ErrMalformed)
	}
	results := make([]zookeeper.OpResult, len(ops))
	for i, r := range responses {
		results[i] = zookeeper.OpResult{Path: r.String, Stat: ours(r.Stat)}
	}
	return results, nil
}
