package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupMetadata names a member of a group as it stands, so that the group's coordinator can refuse what comes from one that
// has been replaced (KIP-447).
type GroupMetadata struct {
	Group      string
	MemberID   string // "" for a consumer that is in no group
	Generation int32  // -1 likewise
	InstanceID string // of a static member
}

// GroupMetadata is what the member is. It changes in Poll alone: what it is right after a Poll is what it owned the records as
// that this Poll returned.
func (m *Member) GroupMetadata() GroupMetadata {
	m.mu.Lock()
	defer m.mu.Unlock()
	return GroupMetadata{Group: m.o.Group, MemberID: m.id, Generation: m.generation, InstanceID: m.o.InstanceID}
}

// SendOffsets makes the group's offsets part of the transaction: they are committed with it, or not at all. After an error the
// transaction can only be aborted.
func (t *Transactional) SendOffsets(offsets []CommitOffset, as GroupMetadata, timeout time.Duration) error {
	deadline := t.e.Mono().Add(timeout)
	t.p.mu.Lock()
	if t.state != txnOpen || t.err != nil {
		defer t.p.mu.Unlock()
		if t.state == txnOpen {
			return fmt.Errorf("send offsets: %w: %w", ErrMustAbort, t.err)
		}
		return t.wrongState("send offsets")
	}
	t.started, t.sent = true, true
	was, version := t.p.identity, t.version
	t.p.mu.Unlock()
	var err error
	if version < 2 {
		_, _, err = t.insist(t.txns, deadline, func() kmsg.Request {
			req := kmsg.NewPtrAddOffsetsToTxnRequest()
			req.Version, req.TransactionalID, req.Group = 3, t.o.ID, as.Group
			req.ProducerID, req.ProducerEpoch = was.id, was.epoch
			return req
		}, func(r kmsg.Response) error { return kerr.ErrorForCode(r.(*kmsg.AddOffsetsToTxnResponse).ErrorCode) })
	}
	if err == nil {
		k := t.groups[as.Group]
		if k == nil {
			k = newCoordinator(t.c, coordinatorOfGroup, as.Group)
			t.groups[as.Group] = k
		}
		_, _, err = t.insist(k, deadline, func() kmsg.Request { return t.offsetCommit(offsets, as, was, version) }, txnOffsetCode)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("send offsets of group %s: %w", as.Group, fencing(err))
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	// A commit of offsets that was sent and not answered may arrive later: with the next epoch it is refused.
	t.fail(err, errors.Is(err, ErrFenced) || MaybeSent(err))
	return err
}

func (t *Transactional) offsetCommit(offsets []CommitOffset, as GroupMetadata, was identity, version int16) kmsg.Request {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.Group = 3, t.o.ID, as.Group
	if version >= 2 {
		req.Version = 5
	}
	req.ProducerID, req.ProducerEpoch = was.id, was.epoch
	req.Generation, req.MemberID = as.Generation, as.MemberID
	if as.InstanceID != "" {
		req.InstanceID = &as.InstanceID
	}
	for _, o := range offsets {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != o.TP.Topic {
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic = o.TP.Topic
			req.Topics = append(req.Topics, topic)
		}
		topic := &req.Topics[len(req.Topics)-1]
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = o.TP.Partition, o.Offset, -1
		topic.Partitions = append(topic.Partitions, p)
	}
	return req
}

func txnOffsetCode(r kmsg.Response) error {
	for _, topic := range r.(*kmsg.TxnOffsetCommitResponse).Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}
