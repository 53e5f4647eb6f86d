package txn

import (
	"encoding/binary"
	"fmt"
	"slices"

	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is the topic that transactional ids live in.
const Topic = "__transaction_state"

// Versions of the records that we write: value 0 as Kafka 3.9 does, and 1, which holds what transaction.version=2 adds, from there on.
const (
	keyVersion     = 0
	valueVersion   = 0
	valueVersionV2 = 1
)

func encodeKey(id string) []byte {
	k := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: id}
	return k.AppendTo(nil)
}

// encodeValue writes a state. Source: TransactionLog#valueToBytes.
func encodeValue(m *Metadata, transactionVersion int16) []byte {
	v := kmsg.NewTxnMetadataValue()
	v.Version = valueVersion
	if transactionVersion >= wire.TransactionV2 {
		v.Version = valueVersionV2
	}
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis, v.State = m.ProducerID, m.Epoch, m.TimeoutMs, kmsg.TransactionState(m.State)
	v.LastUpdateTimestamp, v.StartTimestamp = m.UpdatedMs, m.StartMs
	v.PreviousProducerID, v.NextProducerID, v.ClientTransactionVersion = m.PreviousID, m.NextID, m.Version
	if m.State != Empty {
		v.Topics = byTopic(m.Partitions)
	}
	return v.AppendTo(nil)
}

// byTopic groups sorted partitions; it is never nil, which would be null on the disk.
func byTopic(partitions []wire.TopicPartition) []kmsg.TxnMetadataValueTopic {
	topics := []kmsg.TxnMetadataValueTopic{}
	for _, tp := range partitions {
		if n := len(topics); n == 0 || topics[n-1].Topic != tp.Topic {
			topic := kmsg.NewTxnMetadataValueTopic()
			topic.Topic = tp.Topic
			topics = append(topics, topic)
		}
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	return topics
}

// decodeKey reads a record's key. known is false for a kind of record that is of a later Kafka.
func decodeKey(key []byte) (id string, known bool, err error) {
	if len(key) < 2 {
		return "", false, fmt.Errorf("a key of %d bytes", len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version != keyVersion {
		return "", false, nil
	}
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return "", false, fmt.Errorf("key: %w", err)
	}
	return k.TransactionalID, true, nil
}

// decodeValue reads a state. Source: TransactionLog#readTxnRecordValue.
func decodeValue(id string, value []byte) (Metadata, error) {
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return Metadata{}, fmt.Errorf("transactional id %q: %w", id, err)
	}
	m := Metadata{ProducerID: v.ProducerID, PreviousID: record.NoProducerID, NextID: record.NoProducerID, Epoch: v.ProducerEpoch, LastEpoch: record.NoProducerEpoch,
		TimeoutMs: v.TimeoutMillis, State: State(v.State), StartMs: v.StartTimestamp, UpdatedMs: v.LastUpdateTimestamp}
	if v.Version >= valueVersionV2 {
		m.PreviousID, m.NextID, m.Version = v.PreviousProducerID, v.NextProducerID, v.ClientTransactionVersion
	}
	if m.State < Empty || m.State >= Dead {
		return Metadata{}, fmt.Errorf("transactional id %q is in state %d", id, v.State)
	}
	if m.State != Empty {
		for i := range v.Topics {
			for _, n := range v.Topics[i].Partitions {
				m.Partitions = append(m.Partitions, wire.TopicPartition{Topic: v.Topics[i].Topic, Partition: n})
			}
		}
		slices.SortFunc(m.Partitions, wire.TopicPartition.Compare)
		m.Partitions = slices.Compact(m.Partitions)
	}
	return m, nil
}
