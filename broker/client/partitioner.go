package client

import (
	"barnabas/broker/env"
)

// stuck is the partition that records without a key go to until a batch's worth of bytes is there (KIP-794).
type stuck struct {
	partition int32
	bytes     int
}

// choose picks the partition of a record that names none, waiting for the topic's metadata up to the deadline.
func (p *Producer) choose(r *Record, deadline env.Instant) (int32, error) {
	var topic *Topic
	for {
		m := p.c.Metadata()
		if topic = m.Topic(r.Topic); topic != nil && len(topic.Partitions) > 0 {
			break
		}
		if err := p.c.await(m, []string{r.Topic}, deadline); err != nil {
			return 0, err
		}
	}
	if r.Key != nil {
		return keyPartition(r.Key, len(topic.Partitions)), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sticky[r.Topic]
	if s == nil || s.bytes >= p.o.BatchBytesMax || int(s.partition) >= len(topic.Partitions) {
		s = &stuck{partition: p.c.pickPartition(topic)}
		p.sticky[r.Topic] = s
	}
	s.bytes += recordBytes(r)
	return s.partition, nil
}

// pickPartition picks one of the partitions that have a leader, or any if none has.
func (c *Client) pickPartition(t *Topic) int32 {
	var led []int32
	for i, p := range t.Partitions {
		if p.Leader.Broker >= 0 {
			led = append(led, int32(i))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(led) == 0 {
		return int32(c.rand.IntN(len(t.Partitions)))
	}
	return led[c.rand.IntN(len(led))]
}

// keyPartition is where Kafka's own producer puts a key (BuiltInPartitioner#partitionForKey).
func keyPartition(key []byte, partitions int) int32 {
	return int32((murmur2(key) & 0x7fffffff) % uint32(partitions))
}

// murmur2 is the 32-bit MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils#murmur2).
func murmur2(data []byte) uint32 {
	const seed, m, r = 0x9747b28c, 0x5bd1e995, 24
	h := uint32(seed) ^ uint32(len(data))
	for len(data) >= 4 {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
		data = data[4:]
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
