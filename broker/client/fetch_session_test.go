package client_test

import (
	"testing"

	"barnabas/broker/client"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func wanted(offsets ...int64) (parts []client.FetchPart) {
	for n, offset := range offsets {
		ask := kmsg.NewFetchRequestTopicPartition()
		ask.Partition, ask.FetchOffset, ask.PartitionMaxBytes = int32(n), offset, 100
		parts = append(parts, client.FetchPart{TP: wire.TopicPartition{Topic: "t", Partition: int32(n)}, Ask: ask})
	}
	return parts
}

// Goal: a request of a session says what has changed and nothing else; errors begin anew as Kafka's FetchSessionHandler does.
func TestFetchSessionSaysWhatChanged(t *testing.T) {
	var s client.FetchSession
	req := kmsg.NewPtrFetchRequest()
	req.Version = 12
	fill := func(what string, id, epoch int32, named, forgotten int, parts []client.FetchPart) {
		t.Helper()
		s.Fill(req, parts)
		got, gone := 0, 0
		for _, topic := range req.Topics {
			got += len(topic.Partitions)
		}
		for _, topic := range req.ForgottenTopics {
			gone += len(topic.Partitions)
		}
		if req.SessionID != id || req.SessionEpoch != epoch || got != named || gone != forgotten {
			t.Errorf("%s: session %d epoch %d with %d partitions, %d forgotten; want %d, %d, %d, %d", what, req.SessionID, req.SessionEpoch, got, gone, id, epoch, named, forgotten)
		}
	}
	answer := func(id int32, code int16) bool {
		resp := kmsg.NewPtrFetchResponse()
		resp.SessionID, resp.ErrorCode = id, code
		return s.Answered(resp)
	}
	fill("first", 0, 0, 3, 0, wanted(0, 0, 0))
	answer(7, 0)
	fill("nothing changed", 7, 1, 0, 0, wanted(0, 0, 0))
	answer(7, 0)
	fill("one moved", 7, 2, 1, 0, wanted(0, 5, 0))
	answer(7, 0)
	fill("one is gone", 7, 3, 0, 1, wanted(0, 5))
	answer(7, 0)
	fill("and back", 7, 4, 1, 0, wanted(0, 5, 0))
	s.Failed()
	fill("no answer came", 7, 0, 3, 0, wanted(0, 5, 0))
	answer(8, 0)
	if fill("another session", 8, 1, 0, 0, wanted(0, 5, 0)); answer(8, kerr.FetchSessionIDNotFound.Code) {
		t.Error("an unknown session is an answer")
	}
	fill("the broker has forgotten us", 0, 0, 3, 0, wanted(0, 5, 0))
	answer(0, 0)
	fill("the broker makes none", 0, 0, 3, 0, wanted(0, 5, 0))
	answer(9, 0)
	req.Version = 13
	fill("ids instead of names", 9, 0, 3, 0, wanted(0, 5, 0))
	if answer(9, kerr.InvalidFetchSessionEpoch.Code) {
		t.Error("a stale epoch is an answer")
	}
	fill("after a stale epoch", 9, 0, 3, 0, wanted(0, 5, 0))
}
