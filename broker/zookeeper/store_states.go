package zookeeper

import (
	"bytes"
	"errors"
	"slices"

	"barnabas/broker/wire"
)

// PartitionWrite is a partition's state to be written. For an update State.PartitionEpoch is the version that the
// znode must have.
type PartitionWrite struct {
	TP    wire.TopicPartition
	State PartitionState
}

// PartitionResult is what became of one PartitionWrite or is the answer to one read.
type PartitionResult struct {
	TP    wire.TopicPartition
	State PartitionState // as it stands in the znode now, with its partition epoch; only if Err is nil
	Err   error          // ErrNodeExists, ErrBadVersion or ErrNoNode: this partition was not written (or read)
}

// PartitionStates reads the states of partitions. The results are in the order of tps.
func (s *Store) PartitionStates(tps []wire.TopicPartition) ([]PartitionResult, error) {
	results := make([]PartitionResult, len(tps))
	err := s.each(len(tps), func(i int) error {
		results[i] = PartitionResult{TP: tps[i]}
		data, stat, err := s.get(PathPartitionState(tps[i]), false)
		if errors.Is(err, ErrNoNode) {
			results[i].Err = ErrNoNode
			return nil
		}
		if err != nil {
			return err
		}
		results[i].State, err = DecodePartitionState(tps[i], data, stat.Version)
		return err
	})
	return results, err
}

// CreatePartitionStates writes the first states of new partitions, with the znodes above them, under the fence. The
// results are in the order of writes; ErrNodeExists marks a partition that has a state already. The error is one that
// ends everything: ErrControllerMoved, or that of the session.
func (s *Store) CreatePartitionStates(f Fence, writes []PartitionWrite) ([]PartitionResult, error) {
	var parents []string
	for _, w := range writes {
		parents = append(parents, PathPartitions(w.TP.Topic))
	}
	slices.Sort(parents)
	for _, parent := range slices.Compact(parents) {
		_, _, err := s.fenced(f, CreateOp(parent, nil, Persistent))
		if err != nil && !conflict(err) { // the topic may be gone: its partitions will say so
			return nil, err
		}
	}
	asOps := func(w PartitionWrite) []Op {
		return []Op{CreateOp(PathPartition(w.TP), nil, Persistent),
			CreateOp(PathPartitionState(w.TP), EncodePartitionState(w.State), Persistent)}
	}
	return s.inBatches(writes, asOps, func(batch []PartitionWrite, ops []Op) ([]PartitionResult, error) {
		_, _, err := s.fenced(f, ops...)
		if err == nil {
			return written(batch, func(int) int32 { return 0 }), nil
		}
		if !conflict(err) {
			return nil, err
		}
		return s.oneByOne(batch, func(w PartitionWrite) (int32, error) { return s.createState(f, w) })
	})
}

func (s *Store) createState(f Fence, w PartitionWrite) (version int32, err error) {
	_, _, err = s.fenced(f, CreateOp(PathPartition(w.TP), nil, Persistent))
	if err != nil && !errors.Is(err, ErrNodeExists) {
		return 0, err
	}
	_, _, err = s.fenced(f, CreateOp(PathPartitionState(w.TP), EncodePartitionState(w.State), Persistent))
	if errors.Is(err, ErrNodeExists) {
		return s.writtenAfterAll(w, 0, err)
	}
	return 0, err
}

// UpdatePartitionStates replaces the states of partitions whose znodes are still at State.PartitionEpoch, under the fence. The
// results are in the order of writes; ErrBadVersion marks a partition that somebody else has written, ErrNoNode one
// that is gone. The error is one that ends everything: ErrControllerMoved, or that of the session.
//
// Source: KafkaZkClient#updateLeaderAndIsr.
func (s *Store) UpdatePartitionStates(f Fence, writes []PartitionWrite) ([]PartitionResult, error) {
	asOps := func(w PartitionWrite) []Op {
		return []Op{SetOp(PathPartitionState(w.TP), EncodePartitionState(w.State), w.State.PartitionEpoch)}
	}
	return s.inBatches(writes, asOps, func(batch []PartitionWrite, ops []Op) ([]PartitionResult, error) {
		results, _, err := s.fenced(f, ops...)
		if err == nil {
			return written(batch, func(i int) int32 { return results[i].Stat.Version }), nil
		}
		if !conflict(err) {
			return nil, err
		}
		return s.oneByOne(batch, func(w PartitionWrite) (int32, error) { return s.updateState(f, w) })
	})
}

func (s *Store) updateState(f Fence, w PartitionWrite) (version int32, err error) {
	results, _, err := s.fenced(f, SetOp(PathPartitionState(w.TP), EncodePartitionState(w.State), w.State.PartitionEpoch))
	if errors.Is(err, ErrBadVersion) {
		return s.writtenAfterAll(w, w.State.PartitionEpoch+1, err)
	}
	if err != nil {
		return 0, err
	}
	return results[0].Stat.Version, nil
}

// writtenAfterAll turns a conflict into a success if the znode holds exactly what was to be written, at the version
// that the write would have given it: then it was an attempt of this controller whose answer was lost. Content
// includes the controller epoch, so it cannot be anybody else's.
func (s *Store) writtenAfterAll(w PartitionWrite, version int32, conflict error) (int32, error) {
	data, stat, err := s.get(PathPartitionState(w.TP), false)
	if err != nil && !errors.Is(err, ErrNoNode) {
		return 0, err
	}
	if err == nil && stat.Version == version && bytes.Equal(data, EncodePartitionState(w.State)) {
		return version, nil
	}
	return 0, conflict
}

// inBatches cuts writes into batches whose operations fit into one multi, and writes one after the other.
func (s *Store) inBatches(writes []PartitionWrite, asOps func(PartitionWrite) []Op, write func([]PartitionWrite, []Op) ([]PartitionResult, error)) ([]PartitionResult, error) {
	all := make([]PartitionResult, 0, len(writes))
	var ops []Op
	begin, bytes := 0, 0
	flush := func(end int) error {
		if begin == end {
			return nil
		}
		results, err := write(writes[begin:end], ops)
		all = append(all, results...)
		begin, bytes, ops = end, 0, nil
		return err
	}
	for i, w := range writes {
		more, size := asOps(w), 0
		for _, op := range more {
			size += opBytes(op) + len(s.options.Chroot)
		}
		if len(ops)+len(more) > multiOpsMax || bytes+size > multiBytesMax {
			if err := flush(i); err != nil {
				return nil, err
			}
		}
		ops, bytes = append(ops, more...), bytes+size
	}
	if err := flush(len(writes)); err != nil {
		return nil, err
	}
	return all, nil
}

// oneByOne is the way after a batch failed on one of its partitions: each on its own, so that the others get done.
func (s *Store) oneByOne(batch []PartitionWrite, write func(PartitionWrite) (int32, error)) ([]PartitionResult, error) {
	var results []PartitionResult
	for _, w := range batch {
		version, err := write(w)
		if err != nil && !conflict(err) {
			return nil, err
		}
		r := PartitionResult{TP: w.TP, Err: err}
		if err == nil {
			r.State = w.State
			r.State.PartitionEpoch = version
		}
		results = append(results, r)
	}
	return results, nil
}

// conflict reports whether err is about one operation of a multi and not about the fence or the session.
func conflict(err error) bool {
	return !errors.Is(err, ErrControllerMoved) &&
		(errors.Is(err, ErrBadVersion) || errors.Is(err, ErrNodeExists) || errors.Is(err, ErrNoNode))
}

func written(batch []PartitionWrite, version func(i int) int32) []PartitionResult {
	results := make([]PartitionResult, len(batch))
	for i, w := range batch {
		results[i] = PartitionResult{TP: w.TP, State: w.State}
		results[i].State.PartitionEpoch = version(i)
	}
	return results
}
