package txn

import (
	"time"

	"barnabas/broker/coordinator"
	"barnabas/broker/metadata"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// verifyTimeout bounds how long a leader waits for a coordinator's word.
const verifyTimeout = 10 * time.Second

// Check asks the coordinator of a transactional id, wherever it is, whether partitions that this broker leads are part of the
// transaction that the producer has open; with add it makes them so (transaction.version=2). It waits for the answer. The answers are
// those of the partitions, in order; nil is yes.
//
// Errors: INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_EPOCH for a producer that is fenced, CONCURRENT_TRANSACTIONS, TRANSACTION_ABORTABLE
// of a partition that is not part of it, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, NETWORK_EXCEPTION.
//
// Source: AddPartitionsToTxnManager.
func (c *Coordinator) Check(id string, producerID int64, epoch int16, partitions []wire.TopicPartition, add bool) []*kerr.Error {
	answers := c.check(id, producerID, epoch, partitions, add)
	for i, err := range answers {
		if err == kerr.ProducerFenced {
			answers[i] = kerr.InvalidProducerEpoch // this is what producers of every version understand
		}
	}
	return answers
}

func (c *Coordinator) check(id string, producerID int64, epoch int16, partitions []wire.TopicPartition, add bool) []*kerr.Error {
	all := func(err *kerr.Error) []*kerr.Error {
		answers := make([]*kerr.Error, len(partitions))
		for i := range answers {
			answers[i] = err
		}
		return answers
	}
	snapshot := c.o.Metadata.Snapshot()
	p := snapshot.Partition(wire.TopicPartition{Topic: Topic, Partition: c.PartitionFor(id)})
	deadline := c.e.Mono().Add(verifyTimeout)
	switch {
	case p == nil || p.Leader == metadata.NoLeader:
		return all(kerr.CoordinatorNotAvailable)
	case p.Leader == c.o.Config.BrokerID && !add:
		return c.Verify(id, producerID, epoch, partitions)
	case p.Leader == c.o.Config.BrokerID:
		promise := c.AddPartitions(id, producerID, epoch, partitions)
		if !promise.WaitUntil(deadline) {
			return all(kerr.CoordinatorNotAvailable)
		}
		return all(promise.Value())
	}
	type answer struct {
		resp kmsg.Response
		err  error
	}
	promise := coordinator.NewPromise[answer](c.e)
	c.o.Send(p.Leader, checkRequest(id, producerID, epoch, partitions, add), verifyTimeout, func(resp kmsg.Response, err error) { promise.Set(answer{resp, err}) })
	if !promise.WaitUntil(deadline) || promise.Value().err != nil {
		return all(kerr.NetworkException)
	}
	return checkAnswers(promise.Value().resp.(*kmsg.AddPartitionsToTxnResponse), partitions, all)
}

func checkRequest(id string, producerID int64, epoch int16, partitions []wire.TopicPartition, add bool) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version = 5
	t := kmsg.NewAddPartitionsToTxnRequestTransaction()
	t.TransactionalID, t.ProducerID, t.ProducerEpoch, t.VerifyOnly = id, producerID, epoch, !add
	for _, tp := range partitions {
		topic := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
		topic.Topic, topic.Partitions = tp.Topic, []int32{tp.Partition}
		if n := len(t.Topics); n > 0 && t.Topics[n-1].Topic == tp.Topic {
			t.Topics[n-1].Partitions = append(t.Topics[n-1].Partitions, tp.Partition)
			continue
		}
		t.Topics = append(t.Topics, topic)
	}
	req.Transactions = append(req.Transactions, t)
	return req
}

func checkAnswers(resp *kmsg.AddPartitionsToTxnResponse, partitions []wire.TopicPartition, all func(*kerr.Error) []*kerr.Error) []*kerr.Error {
	if resp.ErrorCode != 0 {
		return all(kerr.TypedErrorForCode(resp.ErrorCode))
	}
	codes := map[wire.TopicPartition]int16{}
	for i := range resp.Transactions {
		for j := range resp.Transactions[i].Topics {
			topic := &resp.Transactions[i].Topics[j]
			for _, p := range topic.Partitions {
				codes[wire.TopicPartition{Topic: topic.Topic, Partition: p.Partition}] = p.ErrorCode
			}
		}
	}
	answers := all(nil)
	for i, tp := range partitions {
		code, found := codes[tp]
		if !found {
			answers[i] = kerr.UnknownServerError
			continue
		}
		answers[i] = kerr.TypedErrorForCode(code)
	}
	return answers
}
