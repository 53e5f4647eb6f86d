package record

import (
	"bytes"
	"fmt"
	"testing"
)

// Goal: a compacted batch gives back the kept records as they were, under their offsets, with the producer's identity
// and both ends of the batch, in every codec; the delete horizon moves the base timestamp and no record's.
// Method: batches with headers, nulls and both kinds of timestamps; every third record kept.
func TestCompactedBatchKeepsItsRecords(t *testing.T) {
	for codec := None; codec <= Zstd; codec++ {
		for _, horizon := range []int64{-1, 5_000_000_000_000} {
			for _, logAppend := range []bool{false, true} {
				t.Run(fmt.Sprint(codec, horizon, logAppend), func(t *testing.T) { compacted(t, codec, horizon, logAppend) })
			}
		}
	}
}

func compacted(t *testing.T, codec Codec, horizon int64, logAppend bool) {
	var bld Builder
	for i := range 10 {
		value := fmt.Appendf(nil, "value-%d", i)
		if i == 6 {
			value = nil
		}
		bld.Append(int64(1000-i), fmt.Appendf(nil, "key-%d", i), value, Header{Key: "h", Value: []byte{byte(i)}}, Header{Key: "null"})
	}
	o := NewBatchOptions()
	o.Codec, o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.BaseOffset, o.LeaderEpoch, o.Transactional = codec, 7, 1, 30, 500, 4, true
	raw, err := bld.Build(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	b := Batch(raw)
	if logAppend {
		b.SetLogAppendTime(2000)
	}
	var kept []Kept
	it := NewIterator(b, 0)
	for it.Next() {
		if r := it.Record(); r.Offset%3 == 0 {
			kept = append(kept, Kept{Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value, Headers: append([]Header(nil), r.Headers...)})
		}
	}
	for range 2 { // a second time changes nothing more
		out, err := AppendCompacted([]byte("before"), b, kept, horizon)
		if err != nil {
			t.Fatal(err)
		}
		c := Batch(out[len("before"):])
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if c.BaseOffset() != 500 || c.LastOffset() != 509 || c.LeaderEpoch() != 4 || c.ProducerID() != 7 || c.LastSequence() != 39 || c.Codec() != codec || !c.IsTransactional() || c.IsLogAppendTime() != logAppend {
			t.Fatalf("header: %d-%d epoch %d producer %d sequence %d attributes %x", c.BaseOffset(), c.LastOffset(), c.LeaderEpoch(), c.ProducerID(), c.LastSequence(), c.Attributes())
		}
		if ms, ok := c.DeleteHorizon(); ok != (horizon >= 0) || ok && ms != horizon {
			t.Fatalf("delete horizon %d %t", ms, ok)
		}
		same(t, c, kept)
		b, horizon = c, -1+(horizon+1) // the next time it has the horizon
	}
	empty := Batch(AppendEmptied(nil, b))
	if err := empty.Check(); err != nil || empty.Count() != 0 || empty.LastSequence() != 39 || empty.LastOffset() != 509 || empty.Codec() != None {
		t.Fatalf("%v, %x", err, []byte(empty))
	}
	if it := NewIterator(empty, 0); it.Next() || it.Err() != nil {
		t.Fatal("an empty batch has a record")
	}
	filler := Batch(AppendFiller(nil, b))
	if err := filler.Check(); err != nil || filler.HasProducerID() || filler.IsTransactional() || filler.LastOffset() != 509 || filler.MaxTimestamp() != NoTimestamp {
		t.Fatalf("%v, %x", err, []byte(filler))
	}
}

func same(t *testing.T, c Batch, kept []Kept) {
	t.Helper()
	it := NewIterator(c, 0)
	for i := 0; it.Next(); i++ {
		r, w := it.Record(), kept[i]
		if r.Offset != w.Offset || r.Timestamp != w.Timestamp || !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) || (r.Value == nil) != (w.Value == nil) {
			t.Fatalf("record %+v, was %+v", r, w)
		}
		if len(r.Headers) != 2 || r.Headers[0].Value[0] != w.Headers[0].Value[0] || r.Headers[1].Value != nil {
			t.Fatalf("headers %v", r.Headers)
		}
	}
	if it.Err() != nil || int(c.Count()) != len(kept) {
		t.Fatalf("%d records, want %d: %v", c.Count(), len(kept), it.Err())
	}
}
