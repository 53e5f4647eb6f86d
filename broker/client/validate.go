package client

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/wire"
)

// find resolves Earliest or Latest for a partition. The error is the connection's.
func (r *round) find(conn *Conn, a ask, timestamp int64) error {
	k := r.k
	f := a.fetched(k.e.Mono(), 0)
	resp, err := conn.Do(listOffsetsRequest(a.p.tp, timestamp, a.leader.Epoch, k.o.ReadCommitted), k.o.RequestTimeout)
	if err != nil {
		return err
	}
	offset, _, err := listedOffset(resp.(*kmsg.ListOffsetsResponse), a.p.tp)
	f.Returned = k.e.Mono()
	if f.Err = err; err == nil {
		f.From, f.Next, f.Reset = offset, offset, true
	}
	k.reposition(a, f, -1, r.metadata) // nothing was read before it, so there is no epoch to validate
	return nil
}

// validate asks a new leader whether its log leads to the position (KIP-320). The error is the connection's.
func (r *round) validate(conn *Conn, a ask) error {
	k := r.k
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.SetVersion(4)
	req.ReplicaID = -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = a.p.tp.Topic
	part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	part.Partition, part.CurrentLeaderEpoch, part.LeaderEpoch = a.p.tp.Partition, a.leader.Epoch, a.epoch
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	f := a.fetched(k.e.Mono(), 0)
	resp, err := conn.Do(req, k.o.RequestTimeout)
	if err != nil {
		return err
	}
	f.Returned = k.e.Mono()
	end, epoch, err := epochEnd(resp.(*kmsg.OffsetForLeaderEpochResponse), a)
	f.Err = err
	if err == nil && (end < 0 || epoch < 0 || end < a.offset) {
		f.Truncated = &Truncation{Position: a.offset, Epoch: a.epoch, EndOffset: end, EndEpoch: epoch}
		if epoch < 0 {
			f.Truncated.EndOffset = -1
		}
	}
	k.reposition(a, f, epoch, r.metadata)
	return nil
}

func epochEnd(resp *kmsg.OffsetForLeaderEpochResponse, a ask) (end int64, epoch int32, err error) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if t.Topic == a.p.tp.Topic && p.Partition == a.p.tp.Partition {
				return p.EndOffset, p.LeaderEpoch, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return -1, -1, fmt.Errorf("%v is missing from the answer: %w", a.p.tp, kerr.UnknownServerError)
}

// reposition sets the position after find or validate, and tells Poll what it has to know.
func (k *Consumer) reposition(a ask, f Fetched, epoch int32, m *Metadata) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := a.p
	if p.version != a.version {
		return
	}
	switch {
	case f.Err != nil:
		var used *Metadata
		if mendsItself(f.Err) {
			used = m
		}
		k.retry(a, used)
		if used != nil {
			return
		}
	case f.Truncated != nil && f.Truncated.EndOffset >= 0:
		p.offset, p.epoch, p.validate = f.Truncated.EndOffset, epoch, false
		f.Next = p.offset
	case f.Truncated != nil:
		// The leader knows nothing of the epoch: only a reset leads on. Without a policy the position stays, so that
		// the caller decides.
		p.epoch, p.validate = -1, false
		switch k.o.Reset {
		case ResetEarliest:
			p.offset = Earliest
		case ResetLatest:
			p.offset = Latest
		}
	case a.validate:
		p.validate = false
		p.failures, p.retryAt = 0, 0
		return
	default:
		p.offset, p.epoch = f.Next, epoch
		p.failures, p.retryAt = 0, 0
	}
	k.fetched = append(k.fetched, f)
}

func listOffsetsRequest(tp wire.TopicPartition, timestamp int64, leaderEpoch int32, committed bool) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.SetVersion(7)
	req.ReplicaID = -1
	if committed {
		req.IsolationLevel = 1
	}
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = tp.Topic
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp, part.CurrentLeaderEpoch = tp.Partition, timestamp, leaderEpoch
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

func listedOffset(resp *kmsg.ListOffsetsResponse, tp wire.TopicPartition) (offset int64, epoch int32, err error) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if t.Topic == tp.Topic && p.Partition == tp.Partition {
				return p.Offset, p.LeaderEpoch, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return -1, -1, fmt.Errorf("%v is missing from the answer: %w", tp, kerr.UnknownServerError)
}
