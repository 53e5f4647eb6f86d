package wire

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The encoder with holes must make the bytes that kmsg makes, for every version, with the records put into the holes.
func TestFetchWithHolesIsWhatKmsgEncodes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	low, high, _ := Versions(int16(kmsg.Fetch))
	for version := low; version <= high; version++ {
		for range 300 {
			resp := kmsg.NewPtrFetchResponse()
			fill(r, reflect.ValueOf(resp))
			resp.SetVersion(version)
			var records []Slice
			var contents [][]byte
			for i := range resp.Topics {
				for j := range resp.Topics[i].Partitions {
					p := &resp.Topics[i].Partitions[j]
					p.SnapshotID.Default()
					if r.IntN(2) == 0 {
						p.DivergingEpoch.Default()
					}
					if r.IntN(2) == 0 {
						p.AbortedTransactions = nil
					}
					records = append(records, Slice{Len: int32(len(p.RecordBatches))})
					if len(p.RecordBatches) > 0 {
						contents = append(contents, p.RecordBatches)
					}
				}
			}
			want := AppendResponse([]byte("xy"), 9, resp)
			head, holes := AppendFetch([]byte("xy"), nil, 9, resp, records)
			var got []byte
			at := 0
			for i, hole := range holes {
				got = append(append(got, head[at:hole.At]...), contents[i]...)
				at = hole.At
			}
			got = append(got, head[at:]...)
			if !bytes.Equal(got, want) {
				t.Fatalf("v%d\n got %x\nwant %x", version, got, want)
			}
		}
	}
}

// Encoding a response must not allocate: it is done for every fetch.
func TestFetchEncodingDoesNotAllocate(t *testing.T) {
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(17)
	topic := kmsg.NewFetchResponseTopic()
	topic.Partitions = append(topic.Partitions, kmsg.NewFetchResponseTopicPartition())
	resp.Topics = append(resp.Topics, topic)
	records := []Slice{{Len: 100}}
	dst, holes := make([]byte, 0, 1024), make([]Hole, 0, 8)
	if n := testing.AllocsPerRun(100, func() { AppendFetch(dst, holes, 1, resp, records) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
