package client

import (
	"fmt"
	"slices"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Partitioner is a way to choose the partition of a record that names none.
type Partitioner uint8

const (
	// PartitionByKey is Kafka's default: by murmur2 of the key; without a key one partition for as long as a batch of it fills, the next one drawn so that
	// partitions with short queues come up more often (KIP-794, BuiltInPartitioner, partitioner.adaptive.partitioning.enable).
	PartitionByKey Partitioner = iota
	// PartitionSticky is that without regard to keys (partitioner.ignore.keys).
	PartitionSticky
	// PartitionUniformSticky is the one of before: without regard to keys, one partition until a new batch of it would begin (KIP-480, UniformStickyPartitioner).
	PartitionUniformSticky
	// PartitionRoundRobin is one after the other, without regard to keys (RoundRobinPartitioner).
	PartitionRoundRobin
)

// chooser is what a producer's partitioner remembers, by topic. Producer.mu guards it.
type chooser struct {
	stuck map[string]*stuck
	turns map[string]int
}

// stuck is the partition that records go to for a while.
type stuck struct {
	partition int32
	bytes     int
}

func newChooser() chooser {
	return chooser{stuck: map[string]*stuck{}, turns: map[string]int{}}
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
	n := len(topic.Partitions)
	if p.o.Partition != nil {
		chosen := p.o.Partition(r, n)
		if chosen < 0 || int(chosen) >= n {
			return 0, fmt.Errorf("the partitioner chose %d of the %d partitions of %s", chosen, n, r.Topic)
		}
		return chosen, nil
	}
	if p.o.Partitioner == PartitionByKey && r.Key != nil {
		return keyPartition(r.Key, n), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.o.Partitioner {
	case PartitionUniformSticky:
		return p.byBatch(r, topic), nil
	case PartitionRoundRobin:
		return p.byTurn(r.Topic, topic), nil
	}
	return p.byBytes(r, topic), nil
}

// byBytes stays with a partition until a batch's worth of bytes went there (BuiltInPartitioner#updatePartitionInfo).
func (p *Producer) byBytes(r *Record, topic *Topic) int32 {
	s := p.chooser.stuck[r.Topic]
	if s == nil || s.bytes >= p.o.BatchBytesMax || int(s.partition) >= len(topic.Partitions) {
		s = &stuck{partition: p.drawPartition(r.Topic, topic)}
		p.chooser.stuck[r.Topic] = s
	}
	s.bytes += recordBytes(r)
	return s.partition
}

// byBatch stays with a partition until another batch of it would begin (StickyPartitionCache#nextPartition).
func (p *Producer) byBatch(r *Record, topic *Topic) int32 {
	s := p.chooser.stuck[r.Topic]
	if s != nil && int(s.partition) < len(topic.Partitions) {
		l := p.lanes[wire.TopicPartition{Topic: r.Topic, Partition: s.partition}]
		if s.bytes == 0 || l != nil && l.open() != nil && l.open().bytes+recordBytes(r) <= p.o.BatchBytesMax {
			s.bytes += recordBytes(r)
			return s.partition
		}
	}
	before := int32(-1)
	if s != nil {
		before = s.partition
	}
	next := p.c.pickPartition(topic, func(i int32) int {
		if i == before {
			return 0
		}
		return 1
	})
	p.chooser.stuck[r.Topic] = &stuck{partition: next, bytes: recordBytes(r)}
	return next
}

// byTurn goes through the partitions that have a leader, or all if none has.
func (p *Producer) byTurn(name string, topic *Topic) int32 {
	for range topic.Partitions {
		i := p.chooser.turns[name] % len(topic.Partitions)
		p.chooser.turns[name]++
		if topic.Partitions[i].Leader.Broker >= 0 {
			return int32(i)
		}
	}
	p.chooser.turns[name]++
	return int32((p.chooser.turns[name] - 1) % len(topic.Partitions))
}

// drawPartition draws a partition, the more often the fewer batches wait for it: with queues of 0, 3 and 1 batches the weights are 4, 1 and 3
// (BuiltInPartitioner#updatePartitionLoadStats). p.mu is held.
func (p *Producer) drawPartition(name string, topic *Topic) int32 {
	queue := make([]int, len(topic.Partitions))
	longest := 0
	for i := range queue {
		if l := p.lanes[wire.TopicPartition{Topic: name, Partition: int32(i)}]; l != nil {
			queue[i] = len(l.queue)
		}
		longest = max(longest, queue[i])
	}
	return p.c.pickPartition(topic, func(i int32) int { return longest + 1 - queue[i] })
}

// pickPartition draws one of the partitions that have a leader, or of all if none has, by weight; evenly if all weights are 0.
func (c *Client) pickPartition(t *Topic, weight func(int32) int) int32 {
	led := slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Leader.Broker >= 0 })
	var from []int32
	var sums []int
	total := 0
	for i, p := range t.Partitions {
		if led && p.Leader.Broker < 0 {
			continue
		}
		total += weight(int32(i))
		from, sums = append(from, int32(i)), append(sums, total)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if total == 0 {
		return from[c.rand.IntN(len(from))]
	}
	at, _ := slices.BinarySearch(sums, c.rand.IntN(total)+1)
	return from[at]
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
