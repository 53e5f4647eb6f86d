package client_test

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/record"
	"barnabas/broker/wire"
)

// fakeTxns is the coordinator of all transactional ids and groups: broker 1, in one piece, without delay.
type fakeTxns struct {
	version int16 // transaction.version
	ids     map[string]*fakeTxn
	offsets map[string]int64 // committed, by "group/topic-partition"
	// generation is the one that the group accepts.
	generation int32
}

type fakeTxn struct {
	pid     int64
	epoch   int16
	open    bool
	parts   map[wire.TopicPartition]bool
	pending map[string]int64 // offsets
	last    int16            // epoch of the last EndTxn that was done; -1
	commit  bool             // what it did
}

// newTxns makes the fakes coordinate transactions.
func (f *fakes) newTxns(version int16) *fakeTxns {
	f.txns = &fakeTxns{version: version, ids: map[string]*fakeTxn{}, offsets: map[string]int64{}, generation: 1}
	return f.txns
}

// answerTxn answers what belongs to transactions; nil for the rest. What is done is done before a.code is answered.
func (b *fake) answerTxn(req kmsg.Request, a act, do bool) kmsg.Response {
	s := b.f.txns
	if s == nil {
		return nil
	}
	switch r := req.(type) {
	case *kmsg.FindCoordinatorRequest:
		resp := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = a.code, 1, "b1", 9092
		return resp
	case *kmsg.InitProducerIDRequest:
		resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		if resp.ErrorCode = a.code; do && a.code == 0 {
			s.init(b.f, r, resp)
		}
		return resp
	case *kmsg.AddPartitionsToTxnRequest:
		resp := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
		t, code := s.find(r.TransactionalID, r.ProducerID, r.ProducerEpoch)
		for _, topic := range r.Topics {
			rt := kmsg.NewAddPartitionsToTxnResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p, max(code, a.code)
				if do && code == 0 {
					t.open, t.parts[wire.TopicPartition{Topic: topic.Topic, Partition: p}] = true, true
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.AddOffsetsToTxnRequest:
		resp := r.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
		t, code := s.find(r.TransactionalID, r.ProducerID, r.ProducerEpoch)
		if resp.ErrorCode = max(code, a.code); do && code == 0 {
			t.open = true
		}
		return resp
	case *kmsg.TxnOffsetCommitRequest:
		return s.commitOffsets(r, a, do)
	case *kmsg.EndTxnRequest:
		resp := r.ResponseKind().(*kmsg.EndTxnResponse)
		if do {
			resp.ErrorCode = s.end(b.f, r, resp)
		}
		if a.code != 0 {
			resp.ErrorCode = a.code
		}
		return resp
	}
	return nil
}

func (s *fakeTxns) find(id string, pid int64, epoch int16) (*fakeTxn, int16) {
	t := s.ids[id]
	switch {
	case t == nil || t.pid != pid:
		return t, kerr.InvalidProducerIDMapping.Code
	case t.epoch != epoch:
		return t, kerr.ProducerFenced.Code
	}
	return t, 0
}

func (s *fakeTxns) init(f *fakes, r *kmsg.InitProducerIDRequest, resp *kmsg.InitProducerIDResponse) {
	t := s.ids[*r.TransactionalID]
	if t == nil {
		t = &fakeTxn{pid: 700 + int64(len(s.ids)), epoch: -1, last: -1, parts: map[wire.TopicPartition]bool{}, pending: map[string]int64{}}
		s.ids[*r.TransactionalID] = t
	}
	if r.ProducerID >= 0 && (r.ProducerID != t.pid || r.ProducerEpoch != t.epoch) {
		resp.ErrorCode = kerr.ProducerFenced.Code
		return
	}
	t.epoch++
	if t.open {
		s.finish(f, t, false)
	}
	resp.ProducerID, resp.ProducerEpoch = t.pid, t.epoch
}

func (s *fakeTxns) end(f *fakes, r *kmsg.EndTxnRequest, resp *kmsg.EndTxnResponse) int16 {
	t := s.ids[r.TransactionalID]
	if t != nil && t.pid == r.ProducerID && t.last == r.ProducerEpoch && t.commit == r.Commit && !t.open { // again
		resp.ProducerID, resp.ProducerEpoch = t.pid, t.epoch
		return 0
	}
	t, code := s.find(r.TransactionalID, r.ProducerID, r.ProducerEpoch)
	switch {
	case code != 0:
		return code
	case !t.open:
		return kerr.InvalidTxnState.Code
	}
	t.last, t.commit = t.epoch, r.Commit
	if s.version >= 2 {
		t.epoch++
	}
	s.finish(f, t, r.Commit)
	resp.ProducerID, resp.ProducerEpoch = t.pid, t.epoch
	return 0
}

// finish writes the markers.
func (s *fakeTxns) finish(f *fakes, t *fakeTxn, commit bool) {
	kind := record.ControlAbort
	if commit {
		kind = record.ControlCommit
		for key, offset := range t.pending { // unordered: each has its own place
			s.offsets[key] = offset
		}
	}
	for tp := range t.parts { // unordered: each has its own log
		l := f.logs[tp]
		b := record.Batch(record.AppendEndTxn(nil, 0, t.pid, t.epoch, record.EndTxnMarker{Type: kind}))
		b.SetBaseOffset(l.end)
		l.end = b.NextOffset()
		l.batches = append(l.batches, b)
		if first, ok := l.open[t.pid]; ok && !commit {
			a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			a.ProducerID, a.FirstOffset = t.pid, first
			l.aborted = append(l.aborted, a)
		}
		delete(l.open, t.pid)
	}
	t.open = false
	clear(t.parts)
	clear(t.pending)
}

func (s *fakeTxns) commitOffsets(r *kmsg.TxnOffsetCommitRequest, a act, do bool) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	t, code := s.find(r.TransactionalID, r.ProducerID, r.ProducerEpoch)
	if code == 0 && r.Generation != s.generation {
		code = kerr.IllegalGeneration.Code
	}
	for _, topic := range r.Topics {
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic = topic.Topic
		for _, p := range topic.Partitions {
			rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, max(code, a.code)
			if do && code == 0 {
				t.open = true
				t.pending[r.Group+"/"+wire.TopicPartition{Topic: topic.Topic, Partition: p.Partition}.String()] = p.Offset
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// admit checks a transactional produce; with version 2 it adds the partition.
func (s *fakeTxns) admit(r *kmsg.ProduceRequest, tp wire.TopicPartition, pid int64, epoch int16) int16 {
	t, code := s.find(*r.TransactionID, pid, epoch)
	switch {
	case code != 0:
		return kerr.InvalidProducerEpoch.Code
	case s.version >= 2 && r.Version >= 12:
		t.open, t.parts[tp] = true, true
	case !t.parts[tp]:
		return kerr.InvalidTxnState.Code
	}
	return 0
}

// lso is the last stable offset.
func (l *fakeLog) lso() int64 {
	lso := l.end
	for _, first := range l.open { // unordered: a minimum
		lso = min(lso, first)
	}
	return lso
}
