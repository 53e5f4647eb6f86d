package wire

import (
	"encoding/binary"

	"barnabas/broker/assert"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Hole is a place in an encoded fetch response where a file's bytes belong.
type Hole struct {
	At    int // index into the head: the slice goes out before head[At]
	Slice Slice
}

// AppendFetch appends the frame of a fetch response, size first, without its records, and tells where they go:
// records[i] are those of the i-th partition of the message, counted through its topics; an empty slice, or one behind
// the end of records, means none. RecordBatches and unknown tags of the message are not looked at. What goes on the
// wire is
//
//	head[:holes[0].At] holes[0].Slice head[holes[0].At:holes[1].At] holes[1].Slice … head[holes[n].At:]
//
// and is byte for byte what kmsg would have made of the whole. Positions count from the beginning of dst as given. The
// caller keeps the duty to call Done on each slice.
func AppendFetch(dst []byte, holes []Hole, correlation int32, resp *kmsg.FetchResponse, records []Slice) ([]byte, []Hole) {
	e := fetchEncoder{dst: dst, holes: holes, records: records, version: resp.Version, flexible: resp.Version >= 12}
	start := len(dst)
	e.dst = appendResponseHeader(e.dst, correlation, resp)
	e.response(resp)
	size := int64(len(e.dst)-start-4) + e.recordBytes
	assert.That(size <= MaxFrame*16, "INV-FETCH-SIZE: a response of %d bytes", size)
	binary.BigEndian.PutUint32(e.dst[start:], uint32(size))
	return e.dst, e.holes
}

type fetchEncoder struct {
	dst         []byte
	holes       []Hole
	records     []Slice
	recordBytes int64
	version     int16
	flexible    bool
}

func (e *fetchEncoder) response(resp *kmsg.FetchResponse) {
	if e.version >= 1 {
		e.int32(resp.ThrottleMillis)
	}
	if e.version >= 7 {
		e.int16(resp.ErrorCode)
		e.int32(resp.SessionID)
	}
	e.count(len(resp.Topics), false)
	for i := range resp.Topics {
		topic := &resp.Topics[i]
		if e.version >= 13 {
			e.dst = append(e.dst, topic.TopicID[:]...)
		} else {
			e.string(topic.Topic)
		}
		e.count(len(topic.Partitions), false)
		for j := range topic.Partitions {
			var records Slice
			if len(e.records) > 0 {
				records, e.records = e.records[0], e.records[1:]
			}
			e.partition(&topic.Partitions[j], records)
		}
		e.noTags()
	}
	if e.flexible {
		e.brokers(resp.Brokers)
	}
}

func (e *fetchEncoder) partition(p *kmsg.FetchResponseTopicPartition, records Slice) {
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.int64(p.HighWatermark)
	if e.version >= 4 {
		e.int64(p.LastStableOffset)
	}
	if e.version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if e.version >= 4 {
		e.count(len(p.AbortedTransactions), p.AbortedTransactions == nil)
		for i := range p.AbortedTransactions {
			e.int64(p.AbortedTransactions[i].ProducerID)
			e.int64(p.AbortedTransactions[i].FirstOffset)
			e.noTags()
		}
	}
	if e.version >= 11 {
		e.int32(p.PreferredReadReplica)
	}
	e.count(int(records.Len), false) // bytes are counted as arrays are
	if records.Len > 0 {
		e.holes = append(e.holes, Hole{At: len(e.dst), Slice: records})
		e.recordBytes += int64(records.Len)
	}
	if e.flexible {
		e.partitionTags(p)
	}
}

// partitionTags writes the tagged fields that differ from their defaults: 0 the diverging epoch (KIP-595), 1 the current leader
// (KIP-951), 2 the snapshot id (KRaft alone, so never).
func (e *fetchEncoder) partitionTags(p *kmsg.FetchResponseTopicPartition) {
	diverging := p.DivergingEpoch.Epoch != -1 || p.DivergingEpoch.EndOffset != -1
	leader := p.CurrentLeader.LeaderID != -1 || p.CurrentLeader.LeaderEpoch != -1
	n := uint64(0)
	if diverging {
		n++
	}
	if leader {
		n++
	}
	e.uvarint(n)
	if diverging {
		e.uvarint(0)
		e.uvarint(4 + 8 + 1)
		e.int32(p.DivergingEpoch.Epoch)
		e.int64(p.DivergingEpoch.EndOffset)
		e.noTags()
	}
	if leader {
		e.uvarint(1)
		e.uvarint(4 + 4 + 1)
		e.int32(p.CurrentLeader.LeaderID)
		e.int32(p.CurrentLeader.LeaderEpoch)
		e.noTags()
	}
}

// brokers writes tag 0 of the response: where the current leaders are (KIP-951).
func (e *fetchEncoder) brokers(brokers []kmsg.FetchResponseBroker) {
	if len(brokers) == 0 {
		e.noTags()
		return
	}
	inner := fetchEncoder{version: e.version, flexible: true}
	inner.count(len(brokers), false)
	for _, b := range brokers {
		inner.int32(b.NodeID)
		inner.string(b.Host)
		inner.int32(b.Port)
		if b.Rack == nil {
			inner.uvarint(0)
		} else {
			inner.string(*b.Rack)
		}
		inner.noTags()
	}
	e.uvarint(1)
	e.uvarint(0)
	e.uvarint(uint64(len(inner.dst)))
	e.dst = append(e.dst, inner.dst...)
}

func (e *fetchEncoder) int16(v int16)    { e.dst = binary.BigEndian.AppendUint16(e.dst, uint16(v)) }
func (e *fetchEncoder) int32(v int32)    { e.dst = binary.BigEndian.AppendUint32(e.dst, uint32(v)) }
func (e *fetchEncoder) int64(v int64)    { e.dst = binary.BigEndian.AppendUint64(e.dst, uint64(v)) }
func (e *fetchEncoder) uvarint(v uint64) { e.dst = binary.AppendUvarint(e.dst, v) }

func (e *fetchEncoder) noTags() {
	if e.flexible {
		e.dst = append(e.dst, 0)
	}
}

// count writes the length of an array, or of bytes: one more as a varint in flexible versions, where 0 is null.
func (e *fetchEncoder) count(n int, null bool) {
	switch {
	case e.flexible && null:
		e.uvarint(0)
	case e.flexible:
		e.uvarint(uint64(n) + 1)
	case null:
		e.int32(-1)
	default:
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.uvarint(uint64(len(s)) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.dst = append(e.dst, s...)
}
