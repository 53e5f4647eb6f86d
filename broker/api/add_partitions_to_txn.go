package api

import (
	"barnabas/broker/coordinator"
	"barnabas/broker/metadata"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AddPartitionsToTxn v0-v5. Before v4 it comes from clients, who may not write to internal topics. v2 PRODUCER_FENCED; v3 flexible; v4 many transactions, some to be verified only: between brokers (KIP-890); v5
// TRANSACTION_ABORTABLE.
// Waits: for the replication of every transaction's new state.
//
// Source: KafkaApis#handleAddPartitionsToTxnRequest.
var addPartitionsToTxnRoute = on(kmsg.AddPartitionsToTxn, (*API).addPartitionsToTxn)

func (a *API) addPartitionsToTxn(_ *server.Request, req *kmsg.AddPartitionsToTxnRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version < 4 {
		one := addition{id: req.TransactionalID}
		for i := range req.Topics {
			one.add(req.Topics[i].Topic, req.Topics[i].Partitions)
		}
		one.client = true
		a.begin(&one, req.ProducerID, req.ProducerEpoch, false)
		return server.When(additions{&one}, func(bool) server.Answer {
			for i, tp := range one.partitions {
				code := fenced(one.answer(i), req.Version >= 2)
				if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != tp.Topic {
					t := kmsg.NewAddPartitionsToTxnResponseTopic()
					t.Topic = tp.Topic
					resp.Topics = append(resp.Topics, t)
				}
				p := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				p.Partition, p.ErrorCode = tp.Partition, code
				last := &resp.Topics[len(resp.Topics)-1]
				last.Partitions = append(last.Partitions, p)
			}
			return server.Answer{Message: resp}
		})
	}
	all := make(additions, len(req.Transactions))
	for i := range req.Transactions {
		in := &req.Transactions[i]
		one := &addition{id: in.TransactionalID}
		for j := range in.Topics {
			one.add(in.Topics[j].Topic, in.Topics[j].Partitions)
		}
		all[i] = one
		a.begin(one, in.ProducerID, in.ProducerEpoch, in.VerifyOnly)
	}
	return server.When(all, func(bool) server.Answer {
		for _, one := range all {
			resp.Transactions = append(resp.Transactions, one.response(req.Version))
		}
		return server.Answer{Message: resp}
	})
}

// addition is the partitions of one transaction, and the answer to come.
type addition struct {
	id         string
	client     bool                  // a client asks, no broker
	partitions []wire.TopicPartition // in the order of the request
	answers    []*kerr.Error         // of partitions, known at once
	promise    *coordinator.Promise[*kerr.Error]
}

func (d *addition) add(topic string, partitions []int32) {
	for _, p := range partitions {
		d.partitions = append(d.partitions, wire.TopicPartition{Topic: topic, Partition: p})
	}
}

// begin asks the coordinator, unless some partition does not exist, or is none for clients: then none is added.
func (a *API) begin(d *addition, producerID int64, epoch int16, verify bool) {
	snapshot := a.Metadata.Snapshot()
	refused := false
	d.answers = make([]*kerr.Error, len(d.partitions))
	for i, tp := range d.partitions {
		switch {
		case d.client && metadata.IsInternal(tp.Topic):
			d.answers[i], refused = kerr.TopicAuthorizationFailed, true
		case snapshot.Partition(tp) == nil:
			d.answers[i], refused = kerr.UnknownTopicOrPartition, true
		default:
			d.answers[i] = kerr.OperationNotAttempted
		}
	}
	switch {
	case refused:
	case verify:
		d.answers = a.Txns.Verify(d.id, producerID, epoch, d.partitions)
	default:
		d.promise = a.Txns.AddPartitions(d.id, producerID, epoch, d.partitions)
	}
}

func (d *addition) answer(i int) *kerr.Error {
	if d.promise != nil {
		return d.promise.Value()
	}
	return d.answers[i]
}

func (d *addition) response(version int16) kmsg.AddPartitionsToTxnResponseTransaction {
	out := kmsg.NewAddPartitionsToTxnResponseTransaction()
	out.TransactionalID = d.id
	for i, tp := range d.partitions {
		err := d.answer(i)
		if err == kerr.TransactionAbortable && version < 5 {
			err = kerr.InvalidTxnState // the code is younger than the version
		}
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != tp.Topic {
			t := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
			t.Topic = tp.Topic
			out.Topics = append(out.Topics, t)
		}
		p := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
		p.Partition, p.ErrorCode = tp.Partition, codeOf(err)
		last := &out.Topics[len(out.Topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
	return out
}

// additions is what the reply waits for: all of them.
type additions []*addition

func (all additions) Done() bool {
	for _, d := range all {
		if d.promise != nil && !d.promise.Done() {
			return false
		}
	}
	return true
}

func (all additions) Wait() bool {
	for _, d := range all {
		if d.promise != nil && !d.promise.Wait() {
			return false
		}
	}
	return true
}

func (all additions) Cancel() {
	for _, d := range all {
		if d.promise != nil {
			d.promise.Cancel()
		}
	}
}
