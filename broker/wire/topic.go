package wire

import (
	"cmp"
	"strconv"
	"strings"
)

// TopicPartition names one partition of one topic. It is comparable and may be a map key.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is Kafka's form, which is also the name of the partition's directory: "orders-3".
func (tp TopicPartition) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// Compare orders by topic, then by partition number, as slices.SortFunc wants it.
func (tp TopicPartition) Compare(other TopicPartition) int {
	if c := strings.Compare(tp.Topic, other.Topic); c != 0 {
		return c
	}
	return cmp.Compare(tp.Partition, other.Partition)
}
