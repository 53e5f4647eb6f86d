package txn

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"barnabas/broker/wire"
)

var sample = Metadata{ProducerID: 0x0102030405060708, PreviousID: -1, NextID: -1, Epoch: 3, LastEpoch: -1, TimeoutMs: 60000, State: Ongoing,
	Partitions: []wire.TopicPartition{{Topic: "a", Partition: 0}, {Topic: "a", Partition: 2}, {Topic: "bb", Partition: 1}}, StartMs: 5, UpdatedMs: 6}

// The bytes are those that Kafka's TransactionLog writes, field by field: version | producer id | epoch | time-out | status |
// [topic [partition]] | last update | start; compact, with tags, from version 1 on.
func TestRecordBytes(t *testing.T) {
	clean := func(text string) string { return strings.Join(strings.Fields(text), "") }
	empty := sample
	empty.State, empty.Partitions, empty.StartMs = Empty, nil, -1
	v2 := sample
	v2.State, v2.PreviousID, v2.NextID, v2.Version = PrepareCommit, 9, 10, 2
	v2.Partitions = sample.Partitions[2:]
	for name, c := range map[string]struct{ got, want string }{
		"key": {hex.EncodeToString(encodeKey("xy")), "0000 0002 7879"},
		"ongoing": {hex.EncodeToString(encodeValue(&sample, 0)), `0000 0102030405060708 0003 0000ea60 01
			00000002 0001 61 00000002 00000000 00000002  0002 6262 00000001 00000001  0000000000000006 0000000000000005`},
		"empty": {hex.EncodeToString(encodeValue(&empty, 0)), `0000 0102030405060708 0003 0000ea60 00 ffffffff 0000000000000006 ffffffffffffffff`},
		"version 2": {hex.EncodeToString(encodeValue(&v2, 2)), `0001 0102030405060708 0003 0000ea60 02
			02 03 6262 02 00000001 00  0000000000000006 0000000000000005
			03 00 08 0000000000000009  01 08 000000000000000a  02 02 0002`},
	} {
		if c.got != clean(c.want) {
			t.Errorf("%s:\n got %s\nwant %s", name, c.got, clean(c.want))
		}
	}
}

// What is written is read again, in every state, but for what only the next version holds.
func TestRecordsRoundTrip(t *testing.T) {
	for state := Empty; state < Dead; state++ {
		for _, version := range []int16{0, 2} {
			m := sample
			if m.State = state; state == Empty {
				m.Partitions = nil
			}
			if version == 2 {
				m.PreviousID, m.NextID, m.Version = 4, 5, 2
			}
			got, err := decodeValue("x", encodeValue(&m, version))
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("%s version %d: %+v, %v", state, version, got, err)
			}
		}
	}
}

// What is no record is an error, never a panic.
func TestBadRecords(t *testing.T) {
	good := encodeValue(&sample, 0)
	for n := range len(good) {
		if _, err := decodeValue("x", good[:n]); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(good))
		}
	}
	for _, state := range []byte{6, 7, 100, 0xff} {
		bad := bytes.Clone(good)
		bad[16] = state
		if _, err := decodeValue("x", bad); err == nil {
			t.Errorf("state %d is read", state)
		}
	}
	if _, _, err := decodeKey([]byte{0}); err == nil {
		t.Error("half a key is read")
	}
	if _, known, err := decodeKey([]byte{0, 9, 1, 2}); known || err != nil {
		t.Errorf("a key of a later Kafka: known %t, %v", known, err)
	}
}
