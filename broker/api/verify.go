package api

import (
	"fmt"

	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions from which on clients understand TRANSACTION_ABORTABLE, and rely on partitions being added to transactions by their leaders
// (KIP-890).
const (
	produceAbortable    int16 = 11
	produceAdds         int16 = 12
	txnOffsetAbortable  int16 = 4
	txnOffsetCommitAdds int16 = 5
)

// verified is what verification has found out for one partition of a request.
type verified struct {
	guard *log.Guard
	err   error
}

// verifyProduced verifies, before anything is appended, that the partitions of a transactional produce are part of a transaction that its
// producer has open: those of which the log does not know that already. It waits for the coordinator's word. The result is by partition;
// those that need none are not in it.
//
// Source: ReplicaManager#handleProduceAppend, #maybeSendPartitionsToTransactionCoordinator.
func (a *API) verifyProduced(req *kmsg.ProduceRequest) map[wire.TopicPartition]verified {
	if req.TransactionID == nil {
		return nil
	}
	found := map[wire.TopicPartition]verified{}
	if !ofOneProducer(req) {
		mixed := fmt.Errorf("more than one producer in one request: %w", kerr.InvalidProducerIDMapping)
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				found[wire.TopicPartition{Topic: req.Topics[i].Topic, Partition: req.Topics[i].Partitions[j].Partition}] = verified{err: mixed}
			}
		}
		return found
	}
	if !a.Config.Live().TransactionVerification {
		return nil
	}
	var ask []wire.TopicPartition
	producerID, epoch := record.NoProducerID, record.NoProducerEpoch
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			in := &req.Topics[i].Partitions[j]
			tp := wire.TopicPartition{Topic: req.Topics[i].Topic, Partition: in.Partition}
			b, _, err := record.Next(in.Records)
			if err != nil || !b.IsTransactional() || b.IsControl() {
				continue // refused later, or not part of a transaction
			}
			producerID, epoch = b.ProducerID(), b.ProducerEpoch()
			guard, err := a.beginVerification(tp, producerID, epoch, b.BaseSequence())
			switch {
			case err != nil:
				// Nothing is appended there, even if this broker has become the leader by the time the coordinator has answered for the others.
				found[tp] = verified{err: err}
			case guard != nil:
				found[tp] = verified{guard: guard}
				ask = append(ask, tp)
			}
		}
	}
	if len(ask) == 0 {
		return found
	}
	for i, err := range a.Txns.Check(*req.TransactionID, producerID, epoch, ask, req.Version >= produceAdds) {
		if err != nil {
			found[ask[i]] = verified{err: verifyError(err, req.Version)}
		}
	}
	return found
}

// ofOneProducer reports whether all transactional records of a request are of one producer id and epoch: nothing of a request with more is taken.
func ofOneProducer(req *kmsg.ProduceRequest) bool {
	producerID, epoch := record.NoProducerID, record.NoProducerEpoch
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			b, _, err := record.Next(req.Topics[i].Partitions[j].Records)
			if err != nil || !b.HasProducerID() || !b.IsTransactional() {
				continue
			}
			if producerID != record.NoProducerID && (producerID != b.ProducerID() || epoch != b.ProducerEpoch()) {
				return false
			}
			producerID, epoch = b.ProducerID(), b.ProducerEpoch()
		}
	}
	return true
}

func (a *API) beginVerification(tp wire.TopicPartition, producerID int64, epoch int16, sequence int32) (*log.Guard, error) {
	target, err := a.Replicas.Partition(tp)
	if err != nil {
		return nil, err
	}
	return target.BeginVerification(producerID, epoch, sequence)
}

// verifyError is what a producer is told. Older ones know no better than to try again if they hear NOT_ENOUGH_REPLICAS.
//
// Source: ReplicaManager#handleProduceAppend, AddPartitionsToTxnManager.
func verifyError(err *kerr.Error, version int16) error {
	switch err {
	case kerr.TransactionAbortable:
		if version < produceAbortable {
			err = kerr.InvalidTxnState
		}
		return fmt.Errorf("the partition is not part of the transaction: %w", err)
	case kerr.ConcurrentTransactions:
		if version >= produceAdds {
			return err
		}
		return fmt.Errorf("the transaction cannot be verified yet (%s): %w", err.Message, kerr.NotEnoughReplicas)
	case kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.NetworkException:
		return fmt.Errorf("the transaction cannot be verified yet (%s): %w", err.Message, kerr.NotEnoughReplicas)
	}
	return err
}

// verifyOffsets is verifyProduced for the partition that a group's offsets go to.
//
// Source: GroupCoordinator#handleTxnCommitOffsets, GroupMetadataManager#maybeConvertOffsetCommitError.
func (a *API) verifyOffsets(req *kmsg.TxnOffsetCommitRequest) (*log.Guard, *kerr.Error) {
	if !a.Config.Live().TransactionVerification {
		return nil, nil
	}
	tp := a.offsetsPartition(req.Group)
	guard, err := a.beginVerification(tp, req.ProducerID, req.ProducerEpoch, record.NoSequence)
	switch {
	case err != nil:
		return nil, kerr.NotCoordinator // whoever does not lead the partition does not coordinate the group
	case guard == nil:
		return nil, nil
	}
	why := a.Txns.Check(req.TransactionalID, req.ProducerID, req.ProducerEpoch, []wire.TopicPartition{tp}, req.Version >= txnOffsetCommitAdds)[0]
	switch {
	case why == nil:
		return guard, nil
	case why == kerr.TransactionAbortable && req.Version < txnOffsetAbortable:
		return nil, kerr.InvalidTxnState
	case why == kerr.NetworkException || why == kerr.ConcurrentTransactions && req.Version < txnOffsetCommitAdds,
		why == kerr.NotCoordinator, why == kerr.CoordinatorNotAvailable:
		// DEVIATION(KIP-890): Kafka hands some of these on, but they are about the coordinator of the transaction: the client must not go
		// and look for another of the group.
		return nil, kerr.CoordinatorLoadInProgress
	}
	return nil, why
}
