package api

import (
	"barnabas/broker/server"
	"barnabas/broker/txn"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeTransactions v0 (KIP-664).
//
// Source: KafkaApis#handleDescribeTransactionsRequest.
var describeTransactionsRoute = on(kmsg.DescribeTransactions, (*API).describeTransactions)

func (a *API) describeTransactions(_ *server.Request, req *kmsg.DescribeTransactionsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range req.TransactionalIDs {
		m, err := a.Txns.Describe(id)
		out := kmsg.NewDescribeTransactionsResponseTransactionState()
		out.TransactionalID, out.ErrorCode = id, codeOf(err)
		if err == nil {
			out.State, out.TimeoutMillis, out.StartTimestamp = m.State.String(), m.TimeoutMs, m.StartMs
			out.ProducerID, out.ProducerEpoch = m.ProducerID, m.Epoch
			for _, tp := range m.Partitions {
				if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != tp.Topic {
					topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
					topic.Topic = tp.Topic
					out.Topics = append(out.Topics, topic)
				}
				last := &out.Topics[len(out.Topics)-1]
				last.Partitions = append(last.Partitions, tp.Partition)
			}
		}
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return server.Now(resp)
}

// ListTransactions v0-v1 (KIP-664). v1 duration filter (KIP-994).
//
// Source: KafkaApis#handleListTransactionsRequest, TransactionStateManager#listTransactionStates.
var listTransactionsRoute = on(kmsg.ListTransactions, (*API).listTransactions)

func (a *API) listTransactions(_ *server.Request, req *kmsg.ListTransactionsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	filter := txn.Filter{States: req.StateFilters, ProducerIDs: req.ProducerIDFilters, DurationMs: -1}
	if req.Version >= 1 {
		filter.DurationMs = req.DurationFilterMillis
	}
	for _, state := range req.StateFilters {
		if !txn.KnownState(state) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, state)
		}
	}
	list, loading := a.Txns.List(filter)
	if loading {
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return server.Now(resp)
	}
	for _, l := range list {
		out := kmsg.NewListTransactionsResponseTransactionState()
		out.TransactionalID, out.ProducerID, out.TransactionState = l.ID, l.ProducerID, l.State.String()
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return server.Now(resp)
}

// DescribeProducers v0 (KIP-664): what the leader of a partition knows of its producers.
//
// Source: KafkaApis#handleDescribeProducersRequest, ReplicaManager#activeProducerState.
var describeProducersRoute = on(kmsg.DescribeProducers, (*API).describeProducers)

func (a *API) describeProducers(_ *server.Request, req *kmsg.DescribeProducersRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	for i := range req.Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = req.Topics[i].Topic
		for _, number := range req.Topics[i].Partitions {
			topic.Partitions = append(topic.Partitions, a.producersOf(wire.TopicPartition{Topic: topic.Topic, Partition: number}))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return server.Now(resp)
}

func (a *API) producersOf(tp wire.TopicPartition) kmsg.DescribeProducersResponseTopicPartition {
	out := kmsg.NewDescribeProducersResponseTopicPartition()
	out.Partition = tp.Partition
	if !validTopic(tp.Topic) {
		out.ErrorCode = kerr.InvalidTopicException.Code
		return out
	}
	target, err := a.Replicas.Partition(tp)
	if err != nil {
		out.ErrorCode, out.ErrorMessage = wire.Code(err), text(err)
		return out
	}
	list, err := target.ActiveProducers()
	if err != nil {
		out.ErrorCode, out.ErrorMessage = wire.Code(err), text(err)
		return out
	}
	for _, p := range list {
		active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		active.ProducerID, active.ProducerEpoch, active.LastSequence, active.LastTimestamp = p.ID, int32(p.Epoch), p.LastSequence, p.LastTimestamp
		active.CoordinatorEpoch, active.CurrentTxnStartOffset = p.CoordinatorEpoch, p.TxnStart
		out.ActiveProducers = append(out.ActiveProducers, active)
	}
	return out
}
