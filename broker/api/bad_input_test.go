package api_test

import (
	"fmt"
	"strings"
	"testing"

	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: what of bad input to coordinators is not in TestGroupsBadInput, TestTransactionRefusals, TestTxnOffsetCommitRefusals and
// TestWriteTxnMarkersAtTheWire has Kafka's code, too. Method: requests by hand.
func TestBadInputToCoordinators(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		// A commit that makes a batch larger than a message may be.
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Version, commit.Group, commit.Generation = 8, "g", -1
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = "t"
		for i := range 40_000 {
			in := kmsg.NewOffsetCommitRequestTopicPartition()
			in.Partition, in.Offset = 0, int64(i)
			topic.Partitions = append(topic.Partitions, in)
		}
		commit.Topics = append(commit.Topics, topic)
		for _, out := range do[*kmsg.OffsetCommitResponse](d, commit).Topics[0].Partitions {
			if wants(t, "too large", out.ErrorCode, kerr.InvalidCommitOffsetSize); t.Failed() {
				break
			}
		}
		if offset, code := d.offset(false); offset != -1 || code != 0 {
			t.Errorf("offset %d, error %d, of what was refused", offset, code)
		}

		// Metadata are counted in characters.
		wants(t, "add offsets", p.addOffsets(), nil)
		for n, want := range map[int]*kerr.Error{4096: nil, 4097: kerr.OffsetMetadataTooLarge} {
			req, text := p.offsetsRequest(3, 1), strings.Repeat("é", n)
			req.Topics[0].Partitions[0].Metadata = &text
			wants(t, "metadata", d.commitOffsets(req), want)
		}

		// A transactional id that nobody has used.
		describe := kmsg.NewPtrDescribeTransactionsRequest()
		describe.TransactionalIDs = []string{sameHome("x")}
		wants(t, "describe", do[*kmsg.DescribeTransactionsResponse](d, describe).TransactionStates[0].ErrorCode, kerr.TransactionalIDNotFound)

		// Sequences that leave one out, inside of a transaction.
		wants(t, "add", p.add(3, "t", 1)[0], nil)
		wants(t, "produce", p.produce(11, 1, "v"), nil)
		p.sequence++
		wants(t, "gap", p.produce(11, 1, "v"), kerr.OutOfOrderSequenceNumber)
		p.sequence--
		wants(t, "next", p.produce(11, 1, "v"), nil)
		p.sequence--
		wants(t, "again", p.produce(11, 1, "v"), nil)

		// A record that is not of the transaction, inside of it.
		var plain record.Builder
		plain.Append(d.e.Now().UnixMilli(), nil, []byte("v"))
		o := record.NewBatchOptions()
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = p.id, p.epoch, p.sequence
		records, err := plain.Build(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, "no part of the transaction", only(do[*kmsg.ProduceResponse](d, produce(11, -1, "t", 1, records))).ErrorCode, kerr.InvalidTxnState)
	})
}

// Goal: an offset that the log does not have is OFFSET_OUT_OF_RANGE, in every version of Fetch, with nothing else in the partition's answer, and its end is not: more may come
// there. Method: a log of five records, the first two of them deleted.
func TestFetchOutOfRangeAtTheWire(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 0)[0], nil)
		for range 4 {
			wants(t, "produce", p.produce(11, 0, "v"), nil)
		}
		wants(t, "commit", p.end(4, true).ErrorCode, nil)
		p.complete("CompleteCommit")
		remove := kmsg.NewPtrDeleteRecordsRequest()
		remove.Version, remove.TimeoutMillis = 2, 1000
		remove.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 2}}}}
		wants(t, "delete records", do[*kmsg.DeleteRecordsResponse](d, remove).Topics[0].Partitions[0].ErrorCode, nil)
		for v := int16(4); v <= 16; v++ {
			for at, want := range map[int64]*kerr.Error{-1: kerr.OffsetOutOfRange, 0: kerr.OffsetOutOfRange, 1: kerr.OffsetOutOfRange, 2: nil, 4: nil, 5: nil,
				6: kerr.OffsetOutOfRange, 1 << 62: kerr.OffsetOutOfRange} {
				req := fetch(v, "t", topicID(1), at)
				req.MaxWaitMillis, req.IsolationLevel = 0, int8(v%2)
				out := do[*kmsg.FetchResponse](d, req).Topics[0].Partitions[0]
				wants(t, fmt.Sprintf("v%d at %d", v, at), out.ErrorCode, want)
				if want != nil && (len(out.RecordBatches) != 0 || out.HighWatermark != -1 || out.LastStableOffset != -1 || v >= 5 && out.LogStartOffset != -1) {
					t.Errorf("v%d at %d: %+v", v, at, out)
				}
			}
		}
	})
}
