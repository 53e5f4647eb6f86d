package wire

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Tagged fields of our own, in requests and answers between brokers and the controller that are Kafka's otherwise. Kafka passes over what it
// does not know; its own tags count up from 0.
//
//	LeaderAndIsr v4+           a partition's state   tagISRMin    i32
//	AlterPartition v0+         a partition           tagEmptyELR  no bytes
//	AlterPartition answer v0+  a partition           tagISRMin    i32
//	LeaderAndIsr v4+           the request           tagSequence  i64
//	UpdateMetadata v6+         the request           tagSequence  i64
//	StopReplica v2+            the request           tagSequence  i64
//
// tagISRMin goes with each ISR while the partition has eligible leader replicas: the size of the ISR below which the leader must
// commit nothing (decision 001, rule 4). With tagEmptyELR the leader asks that it has none any more. tagSequence counts a controller's
// requests up within its epoch, so that a broker can tell one that later ones have overtaken.
const (
	tagISRMin   uint32 = 0xba00
	tagEmptyELR uint32 = 0xba01
	tagSequence uint32 = 0xba02
)

// SetISRMin puts the number that goes with an ISR into a partition's tags; 0 is left out.
func SetISRMin(tags *kmsg.Tags, n int) {
	if n > 0 {
		tags.Set(tagISRMin, binary.BigEndian.AppendUint32(nil, uint32(n)))
	}
}

// ISRMin is the number that goes with an ISR, 0 for none.
func ISRMin(tags *kmsg.Tags) (n int) {
	tags.Each(func(key uint32, value []byte) {
		if key == tagISRMin && len(value) == 4 {
			n = int(max(0, int32(binary.BigEndian.Uint32(value))))
		}
	})
	return n
}

// SetEmptyELR asks for an empty list of eligible leader replicas.
func SetEmptyELR(tags *kmsg.Tags) { tags.Set(tagEmptyELR, []byte{}) }

// EmptyELR tells whether an empty list is asked for.
func EmptyELR(tags *kmsg.Tags) (asked bool) {
	tags.Each(func(key uint32, _ []byte) { asked = asked || key == tagEmptyELR })
	return asked
}

// SetSequence numbers a request.
func SetSequence(tags *kmsg.Tags, n int64) {
	tags.Set(tagSequence, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// Sequence is the number of a request, 0 for none.
func Sequence(tags *kmsg.Tags) (n int64) {
	tags.Each(func(key uint32, value []byte) {
		if key == tagSequence && len(value) == 8 {
			n = max(0, int64(binary.BigEndian.Uint64(value)))
		}
	})
	return n
}
