package zookeeper

import (
	"errors"
	"strings"
	"testing"
)

// Goal: the length of a topic's znode is known without writing it, and what fits, and no more, is below what a server takes.
func TestTopicBytes(t *testing.T) {
	for _, a := range []TopicAssignment{
		{},
		{ID: [16]byte{1}, Partitions: map[int32]ReplicaAssignment{0: {Replicas: []int32{1}}}},
		{ID: [16]byte{1}, Partitions: map[int32]ReplicaAssignment{0: {}, 9: {Replicas: []int32{1, 22, 333}},
			10: {Replicas: []int32{4, 5, 6, 70000}, Adding: []int32{70000, 4}, Removing: []int32{6}}, 123456: {Replicas: []int32{1, 2}, Removing: []int32{2}}}},
	} {
		written := EncodeTopic(a)
		slack := 4
		if a.ID == ([16]byte{}) {
			slack += len(`"topic_id":"",`) + 22
		}
		if n := topicBytes(a); n < len(written) || n > len(written)+slack {
			t.Errorf("%d bytes, not %d: %s", n, len(written), written)
		}
	}
	for factor := 1; factor <= 3; factor++ {
		least := TopicAssignment{ID: [16]byte{1}, Partitions: map[int32]ReplicaAssignment{}}
		for n := range PartitionsMax(factor) + 1 {
			least.Partitions[n] = ReplicaAssignment{Replicas: make([]int32, factor)}
		}
		if !errors.Is(TopicFits(least, nil), ErrTooLarge) {
			t.Errorf("%d partitions of %d replicas fit", len(least.Partitions), factor)
		}
	}
	some := TopicAssignment{ID: [16]byte{1}, Partitions: map[int32]ReplicaAssignment{}}
	for n := range int32(60_000) {
		some.Partitions[n] = ReplicaAssignment{Replicas: []int32{1}}
	}
	half := map[string]string{"x": strings.Repeat("y", 600_000)}
	if TopicFits(some, nil) != nil || TopicFits(TopicAssignment{}, half) != nil || ConfigFits(half) != nil {
		t.Error("700 kB and 600 kB do not fit")
	}
	if !errors.Is(TopicFits(some, half), ErrTooLarge) {
		t.Error("1300 kB fit")
	}
	for _, text := range []string{strings.Repeat("y", 1_100_000), strings.Repeat("\x01", 200_000)} { // six characters each
		if !errors.Is(ConfigFits(map[string]string{"x": text}), ErrTooLarge) {
			t.Errorf("a value of %d bytes fits", len(text))
		}
	}
}
