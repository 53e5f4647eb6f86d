package api

import (
	"barnabas/broker/group"
	"barnabas/broker/log"
	"barnabas/broker/server"
	"barnabas/broker/txn"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AddOffsetsToTxn v0-v4 (KIP-98, KIP-447). v2 PRODUCER_FENCED; v3 flexible; v4 TRANSACTION_ABORTABLE.
// It makes the partition of __consumer_offsets that the group lives in part of the transaction.
// Waits: for the replication of the transaction's new state.
//
// Source: KafkaApis#handleAddOffsetsToTxnRequest.
var addOffsetsToTxnRoute = on(kmsg.AddOffsetsToTxn, (*API).addOffsetsToTxn)

func (a *API) addOffsetsToTxn(_ *server.Request, req *kmsg.AddOffsetsToTxnRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	promise := a.Txns.AddPartitions(req.TransactionalID, req.ProducerID, req.ProducerEpoch, []wire.TopicPartition{a.offsetsPartition(req.Group)})
	return server.When(promise, func(bool) server.Answer {
		resp.ErrorCode = fenced(promise.Value(), req.Version >= 2)
		return server.Answer{Message: resp}
	})
}

// offsetsPartition is the partition that a group lives in.
func (a *API) offsetsPartition(id string) wire.TopicPartition {
	return wire.TopicPartition{Topic: group.Topic, Partition: a.Groups.PartitionFor(id)}
}

// EndTxn v0-v5. v2 PRODUCER_FENCED; v3 flexible; v4 TRANSACTION_ABORTABLE; v5 a new epoch with every transaction (KIP-890, transaction.version=2).
// Waits: for the replication of the decision. The markers follow.
//
// Source: KafkaApis#handleEndTxnRequest.
var endTxnRoute = on(kmsg.EndTxn, (*API).endTxn)

func (a *API) endTxn(_ *server.Request, req *kmsg.EndTxnRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.EndTxnResponse)
	promise := a.Txns.End(req.TransactionalID, txn.EndRequest{ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, Commit: req.Commit, V2: req.Version >= 5})
	return server.When(promise, func(bool) server.Answer {
		result := promise.Value()
		resp.ErrorCode = fenced(result.Err, req.Version >= 2)
		resp.ProducerID, resp.ProducerEpoch = result.ProducerID, result.Epoch
		return server.Answer{Message: resp}
	})
}

// TxnOffsetCommit v0-v5 (KIP-98). v2 leader epochs; v3 member and generation (KIP-447), flexible; v4 TRANSACTION_ABORTABLE; v5 makes the group's
// partition part of the transaction by itself (KIP-890, transaction.version=2).
// Ordered: that the transaction is open is verified with its coordinator, before the next request of the connection is looked at.
// Waits: for the replication of the offsets. They count with the marker of the transaction.
//
// Source: KafkaApis#handleTxnOffsetCommitRequest, GroupCoordinator#handleTxnCommitOffsets.
var txnOffsetCommitRoute = on(kmsg.TxnOffsetCommit, (*API).txnOffsetCommit)

func (a *API) txnOffsetCommit(_ *server.Request, req *kmsg.TxnOffsetCommitRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	in := group.TxnCommitRequest{ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch, Generation: -1}
	if req.Version >= 3 {
		in.MemberID, in.InstanceID, in.Generation = req.MemberID, req.InstanceID, req.Generation
	}
	var places []*int16 // where the answers of in.Offsets belong
	now, snapshot, ours := a.Env.Now().UnixMilli(), a.Metadata.Snapshot(), a.Groups.Coordinates(req.Group)
	resp.Topics = make([]kmsg.TxnOffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		topic, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = topic.Topic
		out.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(topic.Partitions))
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			out.Partitions[j].Partition = p.Partition
			tp := wire.TopicPartition{Topic: topic.Topic, Partition: p.Partition}
			if ours && snapshot.Partition(tp) == nil { // as in offsetCommit
				out.Partitions[j].ErrorCode = kerr.UnknownTopicOrPartition.Code
				continue
			}
			o := group.Offset{TP: tp, Offset: p.Offset, LeaderEpoch: -1, Committed: now, Expires: -1}
			if req.Version >= 2 {
				o.LeaderEpoch = p.LeaderEpoch
			}
			if p.Metadata != nil {
				o.Metadata = *p.Metadata
			}
			places = append(places, &out.Partitions[j].ErrorCode)
			in.Offsets = append(in.Offsets, o)
		}
	}
	if len(in.Offsets) == 0 {
		return server.Now(resp)
	}
	// Who does not coordinate the group says so, whatever becomes of the transaction.
	err, guard := a.Groups.Serves(req.Group), (*log.Guard)(nil)
	if err == nil {
		guard, err = a.verifyOffsets(req)
	}
	if err != nil {
		for _, place := range places {
			*place = offsetCode(err, req.Version)
		}
		return server.Now(resp)
	}
	in.Guard = guard
	promise := a.Groups.TxnCommit(req.Group, in)
	return server.When(promise, func(bool) server.Answer {
		for i, err := range promise.Value() {
			*places[i] = offsetCode(err, req.Version)
		}
		return server.Answer{Message: resp}
	})
}

// offsetCode is the code of an answer; clients before version 2 do not know what a coordinator that loads is.
func offsetCode(err *kerr.Error, version int16) int16 {
	if err == kerr.CoordinatorLoadInProgress && version < 2 {
		err = kerr.CoordinatorNotAvailable
	}
	return codeOf(err)
}
