package wire

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: our own tagged fields survive the way over the wire, in every version that has tags, and are not there where they say nothing. Method:
// requests through ParseRequest, an answer through kmsg.
func TestOwnTagsSurvive(t *testing.T) {
	lead := kmsg.NewPtrLeaderAndISRRequest()
	lead.Version = 7
	p := kmsg.NewLeaderAndISRRequestTopicPartition()
	SetISRMin(&p.UnknownTags, 3)
	lead.TopicStates = []kmsg.LeaderAndISRRequestTopicState{{Topic: "t", PartitionStates: []kmsg.LeaderAndISRRequestTopicPartition{p, kmsg.NewLeaderAndISRRequestTopicPartition()}}}
	_, req, err := ParseRequest(AppendRequest(nil, "test", 1, lead)[4:])
	if err != nil {
		t.Fatal(err)
	}
	states := req.(*kmsg.LeaderAndISRRequest).TopicStates[0].PartitionStates
	if got, none := ISRMin(&states[0].UnknownTags), ISRMin(&states[1].UnknownTags); got != 3 || none != 0 {
		t.Errorf("LeaderAndIsr says %d and %d, want 3 and 0", got, none)
	}
	for version := int16(0); version <= 3; version++ {
		alter := kmsg.NewPtrAlterPartitionRequest()
		alter.Version = version
		q := kmsg.NewAlterPartitionRequestTopicPartition()
		SetEmptyELR(&q.UnknownTags)
		alter.Topics = []kmsg.AlterPartitionRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionRequestTopicPartition{q, kmsg.NewAlterPartitionRequestTopicPartition()}}}
		_, req, err := ParseRequest(AppendRequest(nil, "test", 1, alter)[4:])
		if err != nil {
			t.Fatal(err)
		}
		asked := req.(*kmsg.AlterPartitionRequest).Topics[0].Partitions
		if !EmptyELR(&asked[0].UnknownTags) || EmptyELR(&asked[1].UnknownTags) {
			t.Errorf("v%d: AlterPartition asks for %v and %v, want true and false", version, EmptyELR(&asked[0].UnknownTags), EmptyELR(&asked[1].UnknownTags))
		}
		resp := alter.ResponseKind().(*kmsg.AlterPartitionResponse)
		rp := kmsg.NewAlterPartitionResponseTopicPartition()
		SetISRMin(&rp.UnknownTags, 2)
		resp.Topics = []kmsg.AlterPartitionResponseTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionResponseTopicPartition{rp}}}
		back := alter.ResponseKind().(*kmsg.AlterPartitionResponse)
		if err := back.ReadFrom(resp.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		if got := ISRMin(&back.Topics[0].Partitions[0].UnknownTags); got != 2 {
			t.Errorf("v%d: the answer says %d, want 2", version, got)
		}
	}
}
