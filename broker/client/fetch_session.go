package client

import (
	"slices"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FetchPart is one partition that a fetcher wants.
type FetchPart struct {
	TP      wire.TopicPartition
	TopicID [16]byte // zero in requests by name
	Ask     kmsg.FetchRequestTopicPartition
}

// FetchSession is a fetcher's half of a fetch session with one broker (KIP-227): it remembers what the broker knows of its
// partitions, so that each request says only what has changed. The zero FetchSession is ready, and asks for a session.
// For use by one task.
//
// Source: FetchSessionHandler.
type FetchSession struct {
	id    int32
	epoch int32 // of the next request; 0 asks for a session with all there is
	byID  bool
	known map[fetchKey]*fetchKnown
	turn  uint32 // of the last request
}

type fetchKey struct {
	id        [16]byte
	topic     string
	partition int32
}

type fetchKnown struct {
	tp   wire.TopicPartition
	id   [16]byte
	ask  kmsg.FetchRequestTopicPartition
	turn uint32
}

// Fill puts into the request, whose version is set, what of parts the broker must hear: all, or what has changed since the last
// request, and which partitions to forget. Parts of one topic stand together. The topics' memory of an earlier request is used again.
func (s *FetchSession) Fill(req *kmsg.FetchRequest, parts []FetchPart) {
	byID := req.Version >= 13
	if s.known == nil || s.byID != byID {
		s.restart()
	}
	s.byID = byID
	s.turn++
	full := s.epoch == 0
	if full {
		clear(s.known)
	}
	req.SessionID, req.SessionEpoch = s.id, s.epoch
	req.ForgottenTopics = nil
	topics := req.Topics[:cap(req.Topics)]
	req.Topics = req.Topics[:0]
	kept := 0
	for i := range parts {
		p := &parts[i]
		key := fetchKeyOf(byID, p.TP, p.TopicID)
		was := s.known[key]
		switch {
		case was == nil:
			s.known[key] = &fetchKnown{tp: p.TP, id: p.TopicID, ask: p.Ask, turn: s.turn}
			kept++
		case was.turn == s.turn:
			continue // twice in one request
		default:
			kept++
			same := sameAsk(&was.ask, &p.Ask)
			was.ask, was.turn = p.Ask, s.turn
			if same && !full {
				continue
			}
		}
		topics = addFetchPart(req, topics, p)
	}
	if !full && kept < len(s.known) {
		s.forget(req)
	}
}

func fetchKeyOf(byID bool, tp wire.TopicPartition, id [16]byte) fetchKey {
	if byID {
		return fetchKey{id: id, partition: tp.Partition}
	}
	return fetchKey{topic: tp.Topic, partition: tp.Partition}
}

func sameAsk(a, b *kmsg.FetchRequestTopicPartition) bool {
	return a.FetchOffset == b.FetchOffset && a.CurrentLeaderEpoch == b.CurrentLeaderEpoch && a.LastFetchedEpoch == b.LastFetchedEpoch &&
		a.LogStartOffset == b.LogStartOffset && a.PartitionMaxBytes == b.PartitionMaxBytes
}

// addFetchPart puts a part under its topic, which is the last one of the request, or the first, or new.
func addFetchPart(req *kmsg.FetchRequest, memory []kmsg.FetchRequestTopic, p *FetchPart) []kmsg.FetchRequestTopic {
	var t *kmsg.FetchRequestTopic
	if last := len(req.Topics) - 1; last >= 0 {
		if req.Topics[last].Topic == p.TP.Topic && req.Topics[last].TopicID == p.TopicID {
			t = &req.Topics[last]
		} else if req.Topics[0].Topic == p.TP.Topic && req.Topics[0].TopicID == p.TopicID {
			t = &req.Topics[0]
		}
	}
	if t == nil {
		var partitions []kmsg.FetchRequestTopicPartition
		if n := len(req.Topics); n < len(memory) {
			partitions = memory[n].Partitions[:0]
		}
		req.Topics = append(req.Topics, kmsg.FetchRequestTopic{Topic: p.TP.Topic, TopicID: p.TopicID, Partitions: partitions})
		t = &req.Topics[len(req.Topics)-1]
	}
	t.Partitions = append(t.Partitions, p.Ask)
	return memory
}

// forget tells the broker which partitions are not wanted any more.
func (s *FetchSession) forget(req *kmsg.FetchRequest) {
	var gone []*fetchKnown
	for key, k := range s.known { // unordered: sorted below
		if k.turn != s.turn {
			gone = append(gone, k)
			delete(s.known, key)
		}
	}
	slices.SortFunc(gone, func(a, b *fetchKnown) int {
		if c := a.tp.Compare(b.tp); c != 0 {
			return c
		}
		return slices.Compare(a.id[:], b.id[:])
	})
	for _, k := range gone {
		if n := len(req.ForgottenTopics); n == 0 || req.ForgottenTopics[n-1].Topic != k.tp.Topic || req.ForgottenTopics[n-1].TopicID != k.id {
			req.ForgottenTopics = append(req.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: k.tp.Topic, TopicID: k.id})
		}
		t := &req.ForgottenTopics[len(req.ForgottenTopics)-1]
		t.Partitions = append(t.Partitions, k.tp.Partition)
	}
}

// Incremental reports whether the last request was one of a session: then a partition that the answer does not name has nothing new.
func (s *FetchSession) Incremental() bool { return s.epoch > 0 }

// Answered takes the answer to the last request, and reports whether there is anything in it: false if the broker does not know the
// session, so that the next request must be a full one.
func (s *FetchSession) Answered(resp *kmsg.FetchResponse) bool {
	switch {
	case resp.ErrorCode == kerr.FetchSessionIDNotFound.Code:
		s.id, s.epoch = 0, 0
		return false
	case resp.ErrorCode != 0:
		s.Failed()
		return resp.ErrorCode != kerr.InvalidFetchSessionEpoch.Code && resp.ErrorCode != kerr.FetchSessionTopicIDError.Code
	case resp.SessionID == 0:
		s.id, s.epoch = 0, 0 // no session, or no more
	case s.epoch == 1<<31-1:
		s.id, s.epoch = resp.SessionID, 1
	default:
		s.id, s.epoch = resp.SessionID, s.epoch+1
	}
	return true
}

// Failed says that no answer came: the broker may have taken the request or not. The next one ends the session and asks for another.
func (s *FetchSession) Failed() { s.epoch = 0 }

func (s *FetchSession) restart() {
	s.epoch = 0
	s.known = map[fetchKey]*fetchKnown{}
}
