package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/record"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// inSession is a request in a session; without offsets it changes nothing.
func inSession(version int16, id, epoch int32, topic string, tid [16]byte, offsets ...int64) *kmsg.FetchRequest {
	req := fetch(version, topic, tid, offsets...)
	req.SessionID, req.SessionEpoch, req.MaxWaitMillis = id, epoch, 0
	if len(offsets) == 0 {
		req.Topics = nil
	}
	return req
}

// named lists the partitions that an answer names.
func named(resp *kmsg.FetchResponse) (list []int32) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			list = append(list, p.Partition)
		}
	}
	return list
}

// countOf is the number of records in batches.
func countOf(t *testing.T, batches []byte) (n int32) {
	t.Helper()
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			t.Fatal(err)
		}
		n, batches = n+b.Count(), rest
	}
	return n
}

func wantNamed(t *testing.T, what string, resp *kmsg.FetchResponse, want ...int32) {
	t.Helper()
	got := named(resp)
	if resp.ErrorCode != 0 || len(got) != len(want) {
		t.Fatalf("%s: error %d, partitions %v, want %v", what, resp.ErrorCode, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: partitions %v, want %v", what, got, want)
		}
	}
}

// Goal: each topic of an answer has its own partitions, with their own records, whatever is left out between them. Method: two topics in one session, full and
// later with news in some partitions of each.
func TestFetchSessionOfTwoTopics(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 17} {
		onDesk(t, 1, func(d *desk) {
			ids := map[string][16]byte{"t": topicID(3), "u": topicID(4)}
			d.addTopic("t", ids["t"], 3)
			d.addTopic("u", ids["u"], 3)
			both := func(id, epoch int32) *kmsg.FetchRequest {
				req := inSession(version, id, epoch, "t", ids["t"], 0, 0, 0)
				req.Topics = append(req.Topics, fetch(version, "u", ids["u"], 0, 0, 0).Topics...)
				return req
			}
			want := func(what string, resp *kmsg.FetchResponse, wanted string) {
				t.Helper()
				var got strings.Builder
				for _, topic := range resp.Topics {
					name := topic.Topic
					if version >= 13 {
						name = map[[16]byte]string{ids["t"]: "t", ids["u"]: "u"}[topic.TopicID]
					}
					for _, p := range topic.Partitions {
						fmt.Fprintf(&got, "%s-%d:%d ", name, p.Partition, countOf(t, p.RecordBatches))
					}
				}
				if resp.ErrorCode != 0 || strings.TrimSpace(got.String()) != wanted {
					t.Errorf("v%d, %s: error %d, %s", version, what, resp.ErrorCode, got.String())
				}
			}
			fill(d, "t", 1, 1, "a")
			fill(d, "u", 0, 2, "b")
			full := do[*kmsg.FetchResponse](d, both(0, 0))
			want("full", full, "t-0:0 t-1:1 t-2:0 u-0:2 u-1:0 u-2:0")
			moved := both(full.SessionID, 1)
			moved.Topics[0].Partitions[1].FetchOffset, moved.Topics[1].Partitions[0].FetchOffset = 1, 2
			want("nothing new", do[*kmsg.FetchResponse](d, moved), "")
			fill(d, "t", 0, 1, "c")
			fill(d, "t", 2, 3, "d")
			fill(d, "u", 1, 1, "e")
			fill(d, "u", 2, 2, "f")
			want("news", do[*kmsg.FetchResponse](d, inSession(version, full.SessionID, 2, "t", ids["t"])), "t-0:1 t-2:3 u-1:1 u-2:2")
		})
	}
}

// Goal: a session answers what is new and nothing else, in the order in which all have their turn; it forgets what it is told to, and ends.
func TestFetchSession(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 17} {
		onDesk(t, 1, func(d *desk) {
			id := topicID(3)
			d.addTopic("t", id, 3)
			fill(d, "t", 0, 3, "a")
			full := do[*kmsg.FetchResponse](d, inSession(version, 0, 0, "t", id, 0, 0, 0))
			wantNamed(t, "full", full, 0, 1, 2)
			s := full.SessionID
			if s == 0 {
				t.Fatal("no session was made")
			}
			moved := inSession(version, s, 1, "t", id, 3) // partition 0 from its end on
			wantNamed(t, "nothing new", do[*kmsg.FetchResponse](d, moved))
			fill(d, "t", 1, 2, "b")
			both := do[*kmsg.FetchResponse](d, inSession(version, s, 2, "t", id))
			wantNamed(t, "one has records", both, 1)
			if len(both.Topics[0].Partitions[0].RecordBatches) == 0 {
				t.Fatal("named without records")
			}
			fill(d, "t", 0, 1, "d")
			fill(d, "t", 2, 2, "c")
			wantNamed(t, "who gave records goes last", do[*kmsg.FetchResponse](d, inSession(version, s, 3, "t", id)), 0, 2, 1)
			forget := inSession(version, s, 4, "t", id)
			forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", TopicID: id, Partitions: []int32{1}}}
			wantNamed(t, "one is forgotten", do[*kmsg.FetchResponse](d, forget), 0, 2)
			if resp := do[*kmsg.FetchResponse](d, inSession(version, s, 4, "t", id)); resp.ErrorCode != kerr.InvalidFetchSessionEpoch.Code {
				t.Errorf("an epoch that is over: %d", resp.ErrorCode)
			}
			other := int16(17)
			if version >= 13 {
				other = 12
			}
			if resp := do[*kmsg.FetchResponse](d, inSession(other, s, 5, "t", id)); resp.ErrorCode != kerr.FetchSessionTopicIDError.Code {
				t.Errorf("ids where there were names, or the other way: %d", resp.ErrorCode)
			}
			if resp := do[*kmsg.FetchResponse](d, inSession(version, s, -1, "t", id, 0)); resp.SessionID != 0 {
				t.Errorf("the last request of a session makes session %d", resp.SessionID)
			}
			if resp := do[*kmsg.FetchResponse](d, inSession(version, s, 5, "t", id)); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
				t.Errorf("a session that is over: %d", resp.ErrorCode)
			}
		})
	}
}

// Goal: errors and moved watermarks are told, errors each time. Method: a partition that does not exist; a watermark that moves without
// records.
func TestFetchSessionTellsErrorsAndWatermarks(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		id := topicID(3)
		d.addTopic("t", id, 1)
		full := do[*kmsg.FetchResponse](d, inSession(13, 0, 0, "t", id, 0, 0)) // there is no partition 1
		s := full.SessionID
		wantNamed(t, "full", full, 0, 1)
		wantNamed(t, "the error again", do[*kmsg.FetchResponse](d, inSession(13, s, 1, "t", id)), 1)
		b := batch(t, record.None, 1, "x")
		do[*kmsg.ProduceResponse](d, produce(9, 1, "t", 0, b)) // not committed yet
		at := inSession(13, s, 2, "t", id, 1)
		wantNamed(t, "no news of 0", do[*kmsg.FetchResponse](d, at), 1)
		d.at("t", 0).setHW(1)
		wantNamed(t, "the watermark of 0", do[*kmsg.FetchResponse](d, inSession(13, s, 3, "t", id)), 0, 1)
	})
}

// Goal: the cache gives a place to the worthier. Method: two slots; clients of the same size cannot take each other's, a follower takes
// a client's at once, and after the eviction time a larger client takes a smaller one's.
func TestFetchSessionEviction(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.cfg.FetchSessionSlots = 2
		d.restartAPI()
		id := topicID(3)
		d.addTopic("t", id, 3)
		ask := func(replica int32, offsets ...int64) int32 {
			req := inSession(12, 0, 0, "t", id, offsets...)
			req.ReplicaID = replica
			return do[*kmsg.FetchResponse](d, req).SessionID
		}
		alive := func(s int32) bool {
			return do[*kmsg.FetchResponse](d, inSession(12, s, 99, "t", id)).ErrorCode == kerr.InvalidFetchSessionEpoch.Code
		}
		small, large := ask(-1, 0), ask(-1, 0, 0)
		if ask(-1, 0, 0, 0) != 0 {
			t.Error("a client took a fresh session's place")
		}
		follower := ask(2, 0)
		if follower == 0 || alive(small) || !alive(large) {
			t.Errorf("the follower has session %d; small alive %t, large alive %t", follower, alive(small), alive(large))
		}
		d.e.Sleep(119 * time.Second)
		do[*kmsg.FetchResponse](d, inSession(12, follower, 1, "t", id))
		do[*kmsg.FetchResponse](d, inSession(12, large, 1, "t", id))
		d.e.Sleep(5 * time.Second) // both are old by now, and neither rests
		if ask(-1, 0) != 0 {
			t.Error("a smaller client took a larger one's place")
		}
		if ask(-1, 0, 0, 0) == 0 || alive(large) || !alive(follower) {
			t.Error("a larger client did not take the smaller one's place, or took the follower's")
		}
		d.e.Sleep(125 * time.Second)
		if ask(-1, 0) == 0 {
			t.Error("a session that rests kept its place")
		}
	})
}

// Goal: both halves of the protocol agree. Method: random changes of what a fetcher wants, random growth and lost answers; whatever it is told
// adds up to every partition's state.
func TestFetchSessionBothHalves(t *testing.T) {
	onDesk(t, 30, func(d *desk) {
		draw := d.e.Rand("both-halves")
		id := topicID(4)
		d.addTopic("t", id, 6)
		var s client.FetchSession
		positions, known := map[int32]int64{}, map[int32]int64{}
		fulls := 0
		for range 60 {
			for n := range int32(6) {
				if draw.IntN(4) == 0 {
					fill(d, "t", n, 1+draw.IntN(3), "v")
				}
			}
			var wanted []client.FetchPart
			for _, n := range draw.Perm(6) {
				if draw.IntN(5) == 0 {
					delete(known, int32(n)) // it is forgotten, and begins anew
					continue
				}
				ask := kmsg.NewFetchRequestTopicPartition()
				ask.Partition, ask.FetchOffset, ask.PartitionMaxBytes = int32(n), positions[int32(n)], 1<<20
				wanted = append(wanted, client.FetchPart{TP: wire.TopicPartition{Topic: "t", Partition: int32(n)}, TopicID: id, Ask: ask})
			}
			if len(wanted) == 0 {
				continue
			}
			req := kmsg.NewPtrFetchRequest()
			req.Version, req.MinBytes, req.MaxBytes, req.ReplicaState.ID = 13, 1, 1<<20, -1
			s.Fill(req, wanted)
			incremental := s.Incremental()
			resp := do[*kmsg.FetchResponse](d, req)
			if draw.IntN(12) == 0 {
				s.Failed()
				clear(known)
				continue
			}
			if !s.Answered(resp) || resp.ErrorCode != 0 {
				t.Fatalf("refused with %d", resp.ErrorCode)
			}
			if !incremental {
				fulls++
				clear(known)
			}
			for _, top := range resp.Topics {
				for _, p := range top.Partitions {
					known[p.Partition] = p.HighWatermark
					positions[p.Partition] = p.HighWatermark // all of it was sent
				}
			}
			for _, w := range wanted {
				n := w.TP.Partition
				if end := d.at("t", n).end; known[n] != end {
					t.Fatalf("the fetcher believes that partition %d ends at %d, not %d (full %t)", n, known[n], end, !incremental)
				}
			}
		}
		if fulls == 0 || fulls > 30 {
			t.Errorf("%d of 60 requests were full ones", fulls)
		}
	})
}
