package client

import (
	"fmt"
	"slices"

	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

// Multi is documented at zookeeper.Session. Creates are asked for as create2, so that their Stat comes back; Apache
// ZooKeeper 3.8 takes create2 inside a multi but sends a Stat of zeros.
func (s *Session) Multi(ops ...zookeeper.Op) ([]zookeeper.OpResult, error) {
	request := &jute.Request{Op: jute.Op{Code: jute.OpMulti}}
	for i, op := range ops {
		wire, err := wireOp(op)
		if err != nil {
			return nil, &zookeeper.OpError{Index: i, Op: op, Err: err}
		}
		request.Ops = append(request.Ops, wire)
	}
	s.mu.Lock()
	response, err := s.do(request)
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("multi: %w", err)
	}
	if len(response.Results) != len(ops) {
		return nil, fmt.Errorf("multi: %d results for %d operations: %w", len(response.Results), len(ops), jute.ErrMalformed)
	}
	if err := multiError(ops, response.Results); err != nil {
		return nil, err
	}
	results := make([]zookeeper.OpResult, len(ops))
	for i, r := range response.Results {
		results[i] = zookeeper.OpResult{Path: r.Path, Stat: r.Stat}
	}
	return results, nil
}

// multiError finds the operation that failed: those before it say OK, those behind it RuntimeInconsistency.
func multiError(ops []zookeeper.Op, results []jute.OpResult) error {
	for i, r := range results {
		if r.Code == jute.OpError && r.Err != jute.OK {
			return &zookeeper.OpError{Index: i, Op: ops[i], Err: r.Err.Err()}
		}
	}
	return nil
}

func wireOp(op zookeeper.Op) (jute.Op, error) {
	w := jute.Op{Path: op.Path, Data: op.Data, Version: op.Version}
	sequential := false
	switch op.Kind {
	case zookeeper.OpCreate:
		w.Code, w.ACL, w.Mode = jute.OpCreate2, jute.OpenACL, op.Mode
		sequential = op.Mode == zookeeper.PersistentSequential || op.Mode == zookeeper.EphemeralSequential
	case zookeeper.OpSet:
		w.Code = jute.OpSetData
	case zookeeper.OpDelete:
		w.Code = jute.OpDelete
	case zookeeper.OpCheck:
		w.Code = jute.OpCheck
	default:
		return w, zookeeper.ErrBadArguments
	}
	return w, jute.ValidatePath(op.Path, sequential)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
