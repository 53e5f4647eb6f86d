package api_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// oldMessages are messages as kmsg encodes them: another hand than the one that reads them.
func oldMessages(magic int8, values ...string) (set []byte) {
	for i, value := range values {
		var raw []byte
		if magic == 0 {
			m := kmsg.MessageV0{Offset: int64(i), MessageSize: int32(14 + 1 + len(value)), Key: []byte("k"), Value: []byte(value)}
			m.CRC = int32(crc32.ChecksumIEEE(m.AppendTo(nil)[16:]))
			raw = m.AppendTo(nil)
		} else {
			m := kmsg.MessageV1{Offset: int64(i), MessageSize: int32(22 + 1 + len(value)), Magic: 1, Timestamp: 5000 + int64(i), Key: []byte("k"), Value: []byte(value)}
			m.CRC = int32(crc32.ChecksumIEEE(m.AppendTo(nil)[16:]))
			raw = m.AppendTo(nil)
		}
		set = append(set, raw...)
	}
	return set
}

// wrapped is a compressed set, with relative offsets in magic 1.
func wrapped(t *testing.T, magic int8, codec record.Codec, values ...string) []byte {
	packed, err := record.Compress(nil, codec, oldMessages(magic, values...))
	if err != nil {
		t.Fatal(err)
	}
	last := int64(len(values) - 1)
	if magic == 0 {
		m := kmsg.MessageV0{Offset: last, MessageSize: int32(14 + len(packed)), Attributes: int8(codec), Value: packed}
		m.CRC = int32(crc32.ChecksumIEEE(m.AppendTo(nil)[16:]))
		return m.AppendTo(nil)
	}
	m := kmsg.MessageV1{Offset: last, MessageSize: int32(22 + len(packed)), Magic: 1, Attributes: int8(codec), Timestamp: 5000 + last, Value: packed}
	m.CRC = int32(crc32.ChecksumIEEE(m.AppendTo(nil)[16:]))
	return m.AppendTo(nil)
}

// unfold reads a message set of magic 0 or 1 with kmsg, compressed messages included; a partial one ends it.
func unfold(t *testing.T, set []byte) (values []string, offsets []int64) {
	for len(set) >= 26 {
		offset, size := int64(be64(set)), int(be32(set[8:]))
		if size > len(set)-12 {
			break
		}
		raw, magic := set[:12+size], set[16]
		set = set[12+size:]
		if sum := crc32.ChecksumIEEE(raw[16:]); sum != be32(raw[12:]) {
			t.Fatalf("CRC of message %d", offset)
		}
		var value []byte
		var attributes int8
		if magic == 0 {
			var m kmsg.MessageV0
			if err := m.ReadFrom(raw); err != nil {
				t.Fatal(err)
			}
			value, attributes = m.Value, m.Attributes
		} else {
			var m kmsg.MessageV1
			if err := m.ReadFrom(raw); err != nil {
				t.Fatal(err)
			}
			value, attributes = m.Value, m.Attributes
		}
		if codec := record.Codec(attributes & 7); codec != record.None {
			if codec == record.LZ4 && magic == 0 { // whose header checksum counts the frame's magic in
				sound, _ := record.Compress(nil, codec, nil)
				if value[6] == sound[6] {
					t.Fatal("a sound checksum, which clients of magic 0 refuse")
				}
				value[6] = sound[6]
			}
			inner, err := record.Decompress(nil, codec, value, 1<<24)
			if err != nil {
				t.Fatal(err)
			}
			vs, os := unfold(t, inner)
			base := int64(0)
			if magic == 1 {
				base = offset - os[len(os)-1]
			}
			for i := range vs {
				values, offsets = append(values, vs[i]), append(offsets, base+os[i])
			}
			continue
		}
		values, offsets = append(values, string(value)), append(offsets, offset)
	}
	return values, offsets
}

func be32(p []byte) uint32 {
	return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
}
func be64(p []byte) uint64 { return uint64(be32(p))<<32 | uint64(be32(p[4:])) }

func oldFetch(version int16, offset int64, most int32) *kmsg.FetchRequest {
	req := fetch(version, "t", topicID(0), offset)
	req.ReplicaID = -1
	req.Topics[0].Partitions[0].PartitionMaxBytes = most
	return req
}

// Goal: what clients of Produce v0 to v2 write, clients of every Fetch version read, from every offset on, in its own format.
func TestOldAndNewClientsShareALog(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1}, 1, 0)
		var want []string
		put := func(version int16, raw []byte, values ...string) {
			p := only(do[*kmsg.ProduceResponse](s.desk, produce(version, -1, "t", 0, raw)))
			if p.ErrorCode != 0 || p.BaseOffset != int64(len(want)) {
				t.Fatalf("produce v%d: %+v, log ends at %d", version, p, len(want))
			}
			want = append(want, values...)
		}
		for version := int16(0); version <= 2; version++ {
			for magic := int8(0); magic <= 1; magic++ {
				name := func(what string, n int) string { return fmt.Sprintf("v%d-m%d-%s-%d", version, magic, what, n) }
				put(version, oldMessages(magic, name("plain", 0), name("plain", 1)), name("plain", 0), name("plain", 1))
				for _, codec := range []record.Codec{record.Gzip, record.Snappy, record.LZ4} {
					if codec == record.LZ4 && magic == 0 {
						continue // its header checksum is another one, see package record
					}
					put(version, wrapped(t, magic, codec, name(codec.String(), 0), name(codec.String(), 1), name(codec.String(), 2)),
						name(codec.String(), 0), name(codec.String(), 1), name(codec.String(), 2))
				}
			}
			put(version, batch(t, record.None, 1, "a batch in an old request"), "a batch in an old request")
		}
		put(9, batch(t, record.Gzip, 2, "new"), "new", "new")
		for version := int16(0); version <= 3; version++ {
			for _, most := range []int32{300, 500, 1 << 20} {
				for from := range want {
					p := do[*kmsg.FetchResponse](s.desk, oldFetch(version, int64(from), most)).Topics[0].Partitions[0]
					values, offsets := unfold(t, p.RecordBatches)
					if p.ErrorCode != 0 || len(values) == 0 || !slices.Equal(values, want[from:from+len(values)]) {
						t.Fatalf("fetch v%d from %d: error %d, %q", version, from, p.ErrorCode, values)
					}
					if offsets[0] != int64(from) || offsets[len(offsets)-1] != int64(from+len(values)-1) {
						t.Fatalf("fetch v%d from %d: offsets %v", version, from, offsets)
					}
					if version <= 2 && len(p.RecordBatches) > int(most) {
						t.Fatalf("fetch v%d: %d bytes of %d", version, len(p.RecordBatches), most)
					}
					if most == 1<<20 && len(values) != len(want)-from {
						t.Fatalf("fetch v%d from %d: %d of %d records", version, from, len(values), len(want)-from)
					}
				}
			}
		}
		p := do[*kmsg.FetchResponse](s.desk, fetch(11, "t", topicID(0), 0)).Topics[0].Partitions[0]
		n := 0
		for rest := p.RecordBatches; len(rest) > 0; {
			b, next, err := record.Next(rest)
			if err != nil || b.Check() != nil || b.BaseOffset() != int64(n) {
				t.Fatal(err, b.BaseOffset(), n)
			}
			n, rest = n+int(b.Count()), next
		}
		if n != len(want) {
			t.Fatalf("a new client reads %d of %d records", n, len(want))
		}
		s.stop()
	})
}

// Goal: a record that is larger than an old client allows is cut off, so that the client can tell; from v3 on it comes whole.
func TestOldClientsBoundIsHard(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1}, 1, 0)
		do[*kmsg.ProduceResponse](s.desk, produce(9, -1, "t", 0, batch(t, record.None, 1, string(make([]byte, 5000)))))
		for version := int16(0); version <= 3; version++ {
			p := do[*kmsg.FetchResponse](s.desk, oldFetch(version, 0, 1000)).Topics[0].Partitions[0]
			values, _ := unfold(t, p.RecordBatches)
			if version <= 2 && (len(p.RecordBatches) != 1000 || len(values) != 0) || version == 3 && len(values) != 1 {
				t.Errorf("v%d: %d bytes, %d records", version, len(p.RecordBatches), len(values))
			}
		}
		s.stop()
	})
}

// Goal: however much a client asks for and batches unpack to, a response holds a few MiB, and the client gets everything in the end.
func TestConversionIsBounded(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1}, 1, 0)
		var b record.Builder
		for range 64 {
			b.Append(1, nil, make([]byte, 1<<20))
		}
		o := record.NewBatchOptions()
		o.Codec = record.Gzip
		raw, err := b.Build(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if p := only(do[*kmsg.ProduceResponse](s.desk, produce(9, -1, "t", 0, raw))); p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
		for from, rounds := int64(0), 0; from < 64; rounds++ {
			p := do[*kmsg.FetchResponse](s.desk, oldFetch(3, from, 1<<30)).Topics[0].Partitions[0]
			values, _ := unfold(t, p.RecordBatches)
			if p.ErrorCode != 0 || len(values) == 0 || len(values) > 6 {
				t.Fatalf("from %d: error %d, %d records of 1 MiB", from, p.ErrorCode, len(values))
			}
			from += int64(len(values))
		}
		s.stop()
	})
}

// Goal: topics that old clients must not read, or cannot, say so.
func TestOldClientsAreTurnedAway(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1}, 1, 0)
		set := func(change func(*config.Topic)) {
			c := config.DefaultTopic()
			change(&c)
			s.logs.Get(wire.TopicPartition{Topic: "t"}).SetConfig(c)
		}
		do[*kmsg.ProduceResponse](s.desk, produce(9, -1, "t", 0, batch(t, record.None, 1, "x")))
		fetched := func(version int16) int16 {
			return do[*kmsg.FetchResponse](s.desk, oldFetch(version, 0, 1<<20)).Topics[0].Partitions[0].ErrorCode
		}
		set(func(c *config.Topic) { c.Downconversion = false })
		if fetched(3) != kerr.UnsupportedVersion.Code || fetched(4) != 0 {
			t.Error("message.downconversion.enable=false is not kept to")
		}
		set(func(c *config.Topic) { c.CompressionType = "zstd" })
		if fetched(9) != kerr.UnsupportedCompressionType.Code || fetched(10) != 0 {
			t.Error("a topic in zstd is given to clients that do not know zstd")
		}
		do[*kmsg.ProduceResponse](s.desk, produce(9, -1, "t", 0, batch(t, record.Zstd, 1, "x")))
		set(func(c *config.Topic) {})
		r := do[*kmsg.FetchResponse](s.desk, oldFetch(3, 1, 1<<20)).Topics[0].Partitions[0]
		if r.ErrorCode != kerr.UnsupportedCompressionType.Code {
			t.Errorf("a batch in zstd for an old client: %+v", r)
		}
		if p := only(do[*kmsg.ProduceResponse](s.desk, produce(2, -1, "t", 0, oldMessages(1, "a")[:30]))); p.ErrorCode != kerr.InvalidRecord.Code {
			t.Errorf("half a message: %+v", p)
		}
		broken := oldMessages(1, "abc")
		broken[len(broken)-1] ^= 1
		if p := only(do[*kmsg.ProduceResponse](s.desk, produce(2, -1, "t", 0, broken))); p.ErrorCode != kerr.CorruptMessage.Code {
			t.Errorf("a wrong CRC: %+v", p)
		}
		s.stop()
	})
}

// Goal: LogAppendTime rules old messages too, and Produce v2 tells it.
func TestOldMessagesGetLogAppendTime(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1}, 1, 0)
		c := config.DefaultTopic()
		c.MessageTimestampLogAppend = true
		s.logs.Get(wire.TopicPartition{Topic: "t"}).SetConfig(c)
		p := only(do[*kmsg.ProduceResponse](s.desk, produce(2, -1, "t", 0, oldMessages(0, "a", "b"))))
		if p.ErrorCode != 0 || p.LogAppendTime <= 0 {
			t.Fatalf("%+v", p)
		}
		raw := do[*kmsg.FetchResponse](s.desk, oldFetch(3, 0, 1<<20)).Topics[0].Partitions[0].RecordBatches
		var m kmsg.MessageV1
		if err := m.ReadFrom(raw[:12+be32(raw[8:])]); err != nil || m.Timestamp != p.LogAppendTime || m.Attributes != 8 || !bytes.Equal(m.Value, []byte("a")) {
			t.Fatalf("%+v %v", m, err)
		}
		s.stop()
	})
}

// Goal: ListOffsets v0 lists where segments begin, from the end down.
func TestListOffsetsOfSegments(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		s := newStack(t, e, "/data", "b1:9092")
		s.lead(t, []int32{1}, 1, 0)
		c := config.DefaultTopic()
		c.SegmentBytes = 200
		s.logs.Get(wire.TopicPartition{Topic: "t"}).SetConfig(c)
		for range 4 { // a segment each; the records are of ms 1000
			do[*kmsg.ProduceResponse](s.desk, produce(9, -1, "t", 0, batch(t, record.None, 2, string(make([]byte, 60)))))
		}
		for _, x := range []struct {
			timestamp int64
			most      int32
			want      []int64
		}{{-1, 1, []int64{8}}, {-1, 3, []int64{8, 6, 4}}, {-1, 100, []int64{8, 6, 4, 2, 0}}, {-2, 5, []int64{0}}, {999, 5, nil}, {1000, 2, []int64{6, 4}}} {
			req := listOffsets(0, "t", x.timestamp)
			req.Topics[0].Partitions[0].MaxNumOffsets = x.most
			p := do[*kmsg.ListOffsetsResponse](s.desk, req).Topics[0].Partitions[0]
			if p.ErrorCode != 0 || !slices.Equal(p.OldStyleOffsets, x.want) {
				t.Errorf("%+v: %+v", x, p)
			}
		}
		s.stop()
	})
}
