package api_test

import (
	"strings"
	"testing"

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
	})
}
