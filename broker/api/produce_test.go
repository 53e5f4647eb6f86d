package api_test

import (
	"bytes"
	"testing"
	"time"

	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is n records of the given value.
func batch(t *testing.T, codec record.Codec, n int, value string) []byte {
	var b record.Builder
	for range n {
		b.Append(1000, nil, []byte(value))
	}
	o := record.NewBatchOptions()
	o.Codec = codec
	out, err := b.Build(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// produce is a request for one partition.
func produce(version, acks int16, topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 1000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	top := kmsg.NewProduceRequestTopic()
	top.Topic, top.Partitions = topic, []kmsg.ProduceRequestTopicPartition{p}
	req.Topics = append(req.Topics, top)
	return req
}

func only(resp *kmsg.ProduceResponse) kmsg.ProduceResponseTopicPartition {
	return resp.Topics[0].Partitions[0]
}

// acks=1 is answered with the offset at once, in every version.
func TestProduceAcksLeader(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		for version := int16(3); version <= 11; version++ {
			base := d.at("t", 0).end
			resp := do[*kmsg.ProduceResponse](d, produce(version, 1, "t", 0, batch(t, record.None, 3, "v")))
			if p := only(resp); p.ErrorCode != 0 || p.BaseOffset != base || resp.Topics[0].Topic != "t" {
				t.Errorf("v%d: %+v", version, p)
			}
		}
		if end := d.at("t", 0).end; end != 27 {
			t.Errorf("log end %d", end)
		}
	})
}

// acks=all waits for the high watermark; the next request's append does not wait for it; replies keep their order.
func TestProduceAcksAllPipelines(t *testing.T) {
	onDesk(t, 40, func(d *desk) {
		d.addTopic("t", topicID(1), 2)
		first, second := produce(9, -1, "t", 0, batch(t, record.None, 2, "a")), produce(9, -1, "t", 1, batch(t, record.None, 1, "b"))
		c1, c2 := d.send(first), d.send(second)
		for d.at("t", 1).end == 0 {
			d.e.Sleep(time.Millisecond)
		}
		d.at("t", 1).setHW(1) // the second is done first
		d.at("t", 0).setHW(1)
		d.e.Sleep(10 * time.Millisecond)
		if d.purgatory.Waiting() != 1 {
			t.Errorf("%d wait", d.purgatory.Waiting())
		}
		d.at("t", 0).setHW(2)
		for _, want := range []int32{c1, c2} {
			req := first
			if want == c2 {
				req = second
			}
			if p := only(d.receive(req, want).(*kmsg.ProduceResponse)); p.ErrorCode != 0 || p.BaseOffset != 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}

// A produce that is not replicated in time says so, with the offset it has; one whose leader is deposed says that.
func TestProduceAcksAllFails(t *testing.T) {
	onDesk(t, 20, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		before := d.e.Mono()
		p := only(do[*kmsg.ProduceResponse](d, produce(9, -1, "t", 0, batch(t, record.None, 2, "a"))))
		if p.ErrorCode != kerr.RequestTimedOut.Code || p.BaseOffset != 0 {
			t.Errorf("%+v", p)
		}
		if took := d.e.Mono().Sub(before); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		req := produce(11, -1, "t", 0, batch(t, record.None, 1, "b"))
		id := d.send(req)
		for d.at("t", 0).end < 3 {
			d.e.Sleep(time.Millisecond)
		}
		d.at("t", 0).leader, d.at("t", 0).epoch = 2, 6
		d.at("t", 0).fail(kerr.NotLeaderForPartition)
		resp := d.receive(req, id).(*kmsg.ProduceResponse)
		if p := only(resp); p.ErrorCode != kerr.NotLeaderForPartition.Code || p.BaseOffset != 2 ||
			p.CurrentLeader.LeaderID != 2 || p.CurrentLeader.LeaderEpoch != 6 {
			t.Errorf("%+v", p)
		}
		if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 2 || resp.Brokers[0].Host != "b2" {
			t.Errorf("brokers %+v", resp.Brokers)
		}
	})
}

// With several partitions each has its own outcome, and the request waits for those that can still succeed.
func TestProducePartitionsSucceedAndFailAlone(t *testing.T) {
	onDesk(t, 20, func(d *desk) {
		d.addTopic("t", topicID(1), 3)
		req := produce(8, -1, "t", 0, batch(t, record.None, 1, "a"))
		for n := int32(1); n < 4; n++ {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, produce(8, -1, "t", n, batch(t, record.None, 1, "a")).Topics[0].Partitions...)
		}
		d.at("t", 1).err = kerr.NotEnoughReplicas
		id := d.send(req)
		d.e.Sleep(20 * time.Millisecond)
		d.at("t", 0).setHW(1)
		d.at("t", 2).fail(kerr.NotEnoughReplicasAfterAppend)
		var codes []int16
		for _, p := range d.receive(req, id).(*kmsg.ProduceResponse).Topics[0].Partitions {
			codes = append(codes, p.ErrorCode)
		}
		want := []int16{0, kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code, kerr.UnknownTopicOrPartition.Code}
		for i := range want {
			if codes[i] != want[i] {
				t.Fatalf("codes %v, want %v", codes, want)
			}
		}
	})
}

// What a request must not contain is refused partition by partition, and nothing of it is appended.
func TestProduceRefuses(t *testing.T) {
	good := func() []byte { return batch(t, record.None, 1, "v") }
	var b record.Builder
	b.Append(1000, nil, []byte("v"))
	o := record.NewBatchOptions()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = 1, 0, 0, true
	transactional, err := b.Build(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		req  *kmsg.ProduceRequest
		code int16
	}{
		"acks 2":               {produce(9, 2, "t", 0, good()), kerr.InvalidRequiredAcks.Code},
		"acks -2":              {produce(9, -2, "t", 0, good()), kerr.InvalidRequiredAcks.Code},
		"two batches":          {produce(9, 1, "t", 0, append(good(), good()...)), kerr.InvalidRecord.Code},
		"no batch":             {produce(9, 1, "t", 0, nil), kerr.InvalidRecord.Code},
		"half a batch":         {produce(9, 1, "t", 0, good()[:40]), kerr.InvalidRecord.Code},
		"early zstd":           {produce(6, 1, "t", 0, batch(t, record.Zstd, 1, "v")), kerr.UnsupportedCompressionType.Code},
		"bad magic":            {produce(9, 1, "t", 0, bytes.Repeat([]byte{7}, 100)), kerr.CorruptMessage.Code},
		"old magic":            {produce(3, 1, "t", 0, bytes.Repeat([]byte{0, 0, 1}, 30)), kerr.InvalidRecord.Code},
		"unknown":              {produce(9, 1, "nowhere", 0, good()), kerr.UnknownTopicOrPartition.Code},
		"internal topic":       {produce(9, 1, "__consumer_offsets", 0, good()), kerr.InvalidTopicException.Code},
		"nobody's transaction": {produce(9, 1, "t", 0, transactional), kerr.TransactionalIDAuthorizationFailed.Code},
	} {
		onDesk(t, 1, func(d *desk) {
			d.addTopic("t", topicID(1), 1)
			p := only(do[*kmsg.ProduceResponse](d, c.req))
			if p.ErrorCode != c.code || p.BaseOffset != -1 {
				t.Errorf("%s: %+v", name, p)
			}
			if d.at("t", 0).end != 0 {
				t.Errorf("%s: appended", name)
			}
			if c.req.Version >= 8 && p.ErrorMessage == nil {
				t.Errorf("%s: no message", name)
			}
		})
	}
}

// acks=0 gets no answer; what fails costs the connection.
func TestProduceWithoutAcks(t *testing.T) {
	onDesk(t, 5, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		d.send(produce(9, 0, "t", 0, batch(t, record.None, 1, "a")))
		versions := kmsg.NewPtrApiVersionsRequest() // the next answer on the connection is this one's
		do[*kmsg.ApiVersionsResponse](d, versions)
		if d.at("t", 0).end != 1 {
			t.Error("not appended")
		}
		d.send(produce(9, 0, "t", 7, batch(t, record.None, 1, "a")))
		d.closed()
	})
}

// A produce in purgatory ends with its connection.
func TestProduceEndsWithItsConnection(t *testing.T) {
	onDesk(t, 20, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		req := produce(9, -1, "t", 0, batch(t, record.None, 1, "a"))
		req.TimeoutMillis = 1 << 30
		d.send(req)
		d.e.Sleep(time.Duration(d.e.Rand("test").IntN(1000)) * time.Microsecond)
		d.conn.Close()
		d.e.Sleep(time.Second)
		if d.purgatory.Waiting() != 0 || d.server.Connections() != 0 {
			t.Errorf("%d waiters, %d connections left", d.purgatory.Waiting(), d.server.Connections())
		}
		d.at("t", 0).setHW(1)
	})
}
