package zookeeper

import (
	"fmt"
	"strconv"
)

// RequestBytesMax is the longest request that a server takes, in bytes: the default of jute.maxbuffer. For a longer one it closes the
// connection, again and again for one that is sent again.
const RequestBytesMax = 1<<20 - 1

// contentBytesMax is what a request of ours may carry as content, in bytes. The rest is for what stands around it: two or three
// paths, of which the chroot is a part, ACLs and lengths.
const contentBytesMax = RequestBytesMax - 4096

// Fits returns ErrTooLarge for operations that are more than a server takes in one request.
func Fits(ops ...Op) error {
	size := 64
	for _, op := range ops {
		size += opBytes(op)
	}
	if size > RequestBytesMax {
		return fmt.Errorf("request of %d bytes, limit %d: %w", size, RequestBytesMax, ErrTooLarge)
	}
	return nil
}

// ConfigFits returns ErrTooLarge for configs that SetEntityConfig could not write.
func ConfigFits(configs map[string]string) error {
	n := 0
	for name, value := range configs {
		n += len(name) + len(value)
	}
	if n <= contentBytesMax { // else it need not be encoded to know
		n = len(EncodeConfig(configs))
	}
	return contentFits("configuration", n)
}

// TopicFits returns ErrTooLarge for a topic that SetTopic, or with its configs CreateTopic, could not write.
func TopicFits(t TopicAssignment, configs map[string]string) error {
	n := topicBytes(t)
	if len(configs) > 0 {
		n += len(EncodeConfig(configs))
	}
	return contentFits("topic", n)
}

// PartitionsMax is more than the partitions whose replicas, factor of each, could be written into a topic's znode, or as many: for
// those who do not want to work an assignment out to learn from TopicFits that it is too large.
func PartitionsMax(factor int) int32 {
	return int32(contentBytesMax / (len(`"0":[],`) - 1 + len(`1,`)*factor))
}

func contentFits(what string, n int) error {
	if n > contentBytesMax {
		return fmt.Errorf("%s of %d bytes, limit %d: %w", what, n, contentBytesMax, ErrTooLarge)
	}
	return nil
}

// topicBytes is the length of EncodeTopic's result, or a little more: for commas that are not there, and an id that is not.
func topicBytes(t TopicAssignment) int {
	n := len(`{"partitions":{},"topic_id":"","adding_replicas":{},"removing_replicas":{},"version":3}`) + len(FormatTopicID(t.ID))
	var digits [20]byte
	entry := func(partition int32, ids []int32) int {
		n := len(`"":[],`) + len(strconv.AppendInt(digits[:0], int64(partition), 10))
		for _, id := range ids {
			n += len(`,`) + len(strconv.AppendInt(digits[:0], int64(id), 10))
		}
		return n - min(1, len(ids))
	}
	for partition, r := range t.Partitions { // unordered: a sum
		n += entry(partition, r.Replicas)
		if len(r.Adding) > 0 {
			n += entry(partition, r.Adding)
		}
		if len(r.Removing) > 0 {
			n += entry(partition, r.Removing)
		}
	}
	return n
}
