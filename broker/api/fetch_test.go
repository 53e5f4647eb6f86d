package api_test

import (
	"bytes"
	"testing"
	"time"

	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetch is a request for partitions of one topic, each from the given offset on.
func fetch(version int16, topic string, id [16]byte, offsets ...int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = version, 500, 1, 1<<20, -1
	req.ReplicaState.ID = -1
	top := kmsg.NewFetchRequestTopic()
	top.Topic, top.TopicID = topic, id
	for n, offset := range offsets {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(n), offset, 1<<20
		top.Partitions = append(top.Partitions, p)
	}
	req.Topics = append(req.Topics, top)
	return req
}

// fill appends a batch to a partition below the high watermark and returns what it looks like there.
func fill(d *desk, topic string, partition int32, n int, value string) []byte {
	b := batch(d.t, record.None, n, value)
	do[*kmsg.ProduceResponse](d, produce(9, 1, topic, partition, b))
	p := d.at(topic, partition)
	p.setHW(p.end)
	record.Batch(b).SetBaseOffset(p.end - int64(n))
	return b
}

// Records arrive as they are in the log, in every version, by name or by topic id.
func TestFetchEveryVersion(t *testing.T) {
	onDesk(t, 2, func(d *desk) {
		d.addTopic("t", topicID(3), 2)
		want0 := append(fill(d, "t", 0, 3, "small"), fill(d, "t", 0, 1, string(make([]byte, 100_000)))...)
		want1 := fill(d, "t", 1, 2, "other")
		for version := int16(4); version <= 17; version++ {
			resp := do[*kmsg.FetchResponse](d, fetch(version, "t", topicID(3), 0, 1))
			parts := resp.Topics[0].Partitions
			if !bytes.Equal(parts[0].RecordBatches, want0) || !bytes.Equal(parts[1].RecordBatches, want1) {
				t.Errorf("v%d: %d and %d bytes, want %d and %d", version, len(parts[0].RecordBatches), len(parts[1].RecordBatches), len(want0), len(want1))
			}
			if parts[0].HighWatermark != 4 || parts[0].LastStableOffset != 4 || parts[0].ErrorCode != 0 || resp.SessionID != 0 {
				t.Errorf("v%d: %+v", version, parts[0])
			}
		}
	})
}

// A fetch at the end waits: for the high watermark if it is a consumer's, for the append if it is a follower's; and it
// returns empty at its deadline.
func TestFetchLongPoll(t *testing.T) {
	onDesk(t, 40, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		before := d.e.Mono()
		if resp := do[*kmsg.FetchResponse](d, fetch(13, "t", topicID(1), 0)); len(resp.Topics[0].Partitions[0].RecordBatches) != 0 {
			t.Error("records out of nothing")
		}
		if took := d.e.Mono().Sub(before); took < 500*time.Millisecond || took > 600*time.Millisecond {
			t.Errorf("took %v", took)
		}
		consumer := fetch(13, "t", topicID(1), 0)
		consumer.MaxWaitMillis = 10_000
		id := d.send(consumer)
		other := d.dial()
		mine := d.conn
		d.conn = other
		do[*kmsg.ProduceResponse](d, produce(9, 1, "t", 0, batch(t, record.None, 1, "a")))
		follower := fetch(12, "t", topicID(1), 0)
		follower.ReplicaID = 2
		if resp := do[*kmsg.FetchResponse](d, follower); len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
			t.Error("the follower got nothing")
		}
		follower.Topics[0].Partitions[0].FetchOffset, follower.MaxWaitMillis = 1, 10_000
		fid := d.send(follower)
		d.e.Sleep(time.Duration(d.e.Rand("test").IntN(20)) * time.Millisecond)
		d.conn = mine
		d.at("t", 0).setHW(1)
		if resp := d.receive(consumer, id).(*kmsg.FetchResponse); len(resp.Topics[0].Partitions[0].RecordBatches) == 0 || resp.Topics[0].Partitions[0].HighWatermark != 1 {
			t.Error("the consumer got nothing")
		}
		do[*kmsg.ProduceResponse](d, produce(9, 1, "t", 0, batch(t, record.None, 1, "b")))
		d.conn = other
		if resp := d.receive(follower, fid).(*kmsg.FetchResponse); len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
			t.Error("the waiting follower got nothing")
		}
		for i, offset := range d.at("t", 0).recorded { // each fetch of a follower counts once, although it is read twice
			if offset != int64(i) || i > 1 {
				t.Errorf("recorded %v", d.at("t", 0).recorded)
			}
		}
		mine.Close()
	})
}

// min_bytes holds the answer back; an error in any partition does not wait.
func TestFetchMinBytes(t *testing.T) {
	onDesk(t, 20, func(d *desk) {
		d.addTopic("t", topicID(1), 2)
		size := int32(len(fill(d, "t", 0, 1, "0123456789")))
		req := fetch(12, "t", topicID(1), 0, 0)
		req.MinBytes, req.MaxWaitMillis = 2*size, 10_000
		id := d.send(req)
		mine := d.conn
		d.conn = d.dial()
		d.e.Sleep(50 * time.Millisecond)
		if d.purgatory.Waiting() != 1 {
			t.Error("did not wait")
		}
		fill(d, "t", 1, 1, "0123456789")
		d.conn = mine
		resp := d.receive(req, id).(*kmsg.FetchResponse)
		if len(resp.Topics[0].Partitions[0].RecordBatches) == 0 || len(resp.Topics[0].Partitions[1].RecordBatches) == 0 {
			t.Error("not both partitions")
		}
		req.MinBytes = 1 << 20
		id = d.send(req)
		d.e.Sleep(50 * time.Millisecond)
		d.at("t", 1).fail(kerr.NotLeaderForPartition)
		parts := d.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions
		if len(parts[0].RecordBatches) == 0 || parts[1].ErrorCode != kerr.NotLeaderForPartition.Code || parts[1].HighWatermark != -1 {
			t.Errorf("%+v", parts[1])
		}
	})
}

// Goal: a fetch that waits costs what has changed, not what it is about. Method: of three partitions one moves on several times, too
// little for min_bytes; the others are asked when the wait begins and not again, and yet what they hold counts in the end.
func TestFetchAsksWhatHasChanged(t *testing.T) {
	onDesk(t, 5, func(d *desk) {
		d.addTopic("t", topicID(1), 3)
		size := int32(len(fill(d, "t", 0, 1, "0123456789")))
		req := fetch(12, "t", topicID(1), 0, 0, 0)
		req.MinBytes, req.MaxWaitMillis = 4*size, 10_000
		id := d.send(req)
		mine := d.conn
		d.conn = d.dial()
		d.e.Sleep(50 * time.Millisecond)
		first, quiet := d.at("t", 1).asked, d.at("t", 0).asked
		for range 3 {
			fill(d, "t", 1, 1, "0123456789")
		}
		d.conn = mine
		if resp := d.receive(req, id).(*kmsg.FetchResponse); len(resp.Topics[0].Partitions[0].RecordBatches) != int(size) || len(resp.Topics[0].Partitions[1].RecordBatches) != 3*int(size) {
			t.Error("not the records of both")
		}
		if again := d.at("t", 1).asked - first; again < 3 {
			t.Errorf("the partition that moved on was asked %d times", again)
		}
		if a, b := d.at("t", 0).asked, d.at("t", 2).asked; a != quiet || b != quiet {
			t.Errorf("those that did not were asked %d and %d times, %d of them before the others moved", a, b, quiet)
		}
	})
}

// Goal: a consumer in a gap that compaction left at the end of a log waits as one at the end does, instead of asking again and again.
// Method: the high watermark stands behind the last batch; a fetch from between them takes its whole time, and gets what comes meanwhile.
func TestFetchWaitsInAGapAtTheEnd(t *testing.T) {
	onDesk(t, 5, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		fill(d, "t", 0, 3, "0123456789")
		p := d.at("t", 0)
		p.batches = nil
		req := fetch(12, "t", topicID(1), 1)
		began := d.e.Mono()
		resp := do[*kmsg.FetchResponse](d, req)
		if waited := d.e.Mono().Sub(began); waited < 500*time.Millisecond || len(resp.Topics[0].Partitions[0].RecordBatches) != 0 {
			t.Errorf("answered after %s with %d bytes", waited, len(resp.Topics[0].Partitions[0].RecordBatches))
		}
		id := d.send(req)
		mine := d.conn
		d.conn = d.dial()
		d.e.Sleep(50 * time.Millisecond)
		fill(d, "t", 0, 1, "0123456789")
		d.conn = mine
		if resp := d.receive(req, id).(*kmsg.FetchResponse); len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
			t.Error("did not get what came")
		}
	})
}

// max_bytes bounds the response over all partitions, but the first batch comes in any case.
func TestFetchMaxBytes(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 3)
		size := len(fill(d, "t", 0, 1, string(make([]byte, 1000))))
		fill(d, "t", 0, 1, string(make([]byte, 1000)))
		fill(d, "t", 1, 1, string(make([]byte, 1000)))
		fill(d, "t", 2, 1, string(make([]byte, 1000)))
		for _, c := range []struct {
			max, part int
			want      [3]int
		}{
			{1, 1 << 20, [3]int{size, 0, 0}},
			{1 << 20, 1, [3]int{size, 0, 0}},
			{3 * size, 1 << 20, [3]int{2 * size, size, 0}},
			{3 * size, size, [3]int{size, size, size}},
			{1 << 20, 1 << 20, [3]int{2 * size, size, size}},
		} {
			req := fetch(11, "t", topicID(1), 0, 0, 0)
			req.MaxBytes = int32(c.max)
			for i := range req.Topics[0].Partitions {
				req.Topics[0].Partitions[i].PartitionMaxBytes = int32(c.part)
			}
			var got [3]int
			for i, p := range do[*kmsg.FetchResponse](d, req).Topics[0].Partitions {
				got[i] = len(p.RecordBatches)
			}
			if got != c.want {
				t.Errorf("max %d, per partition %d: %v, want %v", c.max, c.part, got, c.want)
			}
		}
	})
}

// What cannot be read is answered at once, partition by partition.
func TestFetchErrors(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		d.addTopic("u", topicID(2), 1)
		d.at("u", 0).id = topicID(9)
		before := d.e.Mono()
		for name, c := range map[string]struct {
			req  *kmsg.FetchRequest
			code int16
		}{
			"unknown topic":   {fetch(12, "x", topicID(0), 0), kerr.UnknownTopicOrPartition.Code},
			"unknown id":      {fetch(13, "", topicID(7), 0), kerr.UnknownTopicID.Code},
			"zero id":         {fetch(13, "", [16]byte{}, 0), kerr.UnknownTopicID.Code},
			"inconsistent id": {fetch(13, "", topicID(2), 0), kerr.InconsistentTopicID.Code},
			"beyond the end":  {fetch(13, "", topicID(1), 10), kerr.OffsetOutOfRange.Code},
		} {
			resp := do[*kmsg.FetchResponse](d, c.req)
			if p := resp.Topics[0].Partitions[0]; p.ErrorCode != c.code || p.HighWatermark != -1 || p.LogStartOffset != -1 || resp.ErrorCode != 0 {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if took := d.e.Mono().Sub(before); took > 400*time.Millisecond {
			t.Errorf("took %v: it waited", took)
		}
		incremental := fetch(13, "", topicID(1), 0)
		incremental.SessionID, incremental.SessionEpoch = 33, 4
		if resp := do[*kmsg.FetchResponse](d, incremental); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code || len(resp.Topics) != 0 {
			t.Errorf("a session that is not there: %+v", resp)
		}
		d.at("t", 0).leader, d.at("t", 0).err = 2, kerr.NotLeaderForPartition
		resp := do[*kmsg.FetchResponse](d, fetch(16, "", topicID(1), 0))
		if p := resp.Topics[0].Partitions[0]; p.CurrentLeader.LeaderID != 2 || p.CurrentLeader.LeaderEpoch != 5 || len(resp.Brokers) != 1 {
			t.Errorf("no leader named: %+v", resp)
		}
	})
}

// A follower whose last epoch is not ours is told where to cut, at once.
func TestFetchDivergingEpoch(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		fill(d, "t", 0, 4, "a")
		req := fetch(12, "t", topicID(1), 9)
		req.ReplicaID, req.Topics[0].Partitions[0].LastFetchedEpoch = 2, 8
		p := do[*kmsg.FetchResponse](d, req).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != 5 || p.DivergingEpoch.EndOffset != 4 || len(p.RecordBatches) != 0 {
			t.Errorf("%+v", p)
		}
	})
}
