package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Goal: what stands in a log in magic 0 or 1 becomes batches with the same offsets, gaps and all, keys, values and timestamps, in the same codec. Method: every
// magic and codec, at offset 1000 and up, every third missing.
func TestRenewedMessagesKeepTheirOffsets(t *testing.T) {
	for magic := int8(0); magic <= 1; magic++ {
		for codec := None; codec <= LZ4; codec++ {
			for _, appended := range []bool{false, true} {
				attributes := byte(0)
				if appended && magic == 1 {
					attributes = attrLogAppendTime
				}
				what := fmt.Sprintf("magic %d %s log append time %t", magic, codec, attributes != 0)
				var set []byte
				var offsets []int64
				for i := range int64(30) {
					if i%3 == 1 {
						continue
					}
					offset := 1000 + i
					if offsets = append(offsets, offset); codec != None && magic == 1 {
						offset -= 990 // they count from wherever they like
					}
					value := []byte(nil)
					if i%3 == 0 {
						value = fmt.Appendf(nil, "value-%d", i)
					}
					stamp := 5000 + i
					if attributes != 0 && codec == None {
						stamp = 9000 // appended together
					}
					set = appendOld(set, offset, magic, attributes, stamp, fmt.Appendf(nil, "key-%d", i), value)
				}
				if codec != None {
					packed, err := Compress(nil, codec, set)
					if err != nil {
						t.Fatal(err)
					}
					if codec == LZ4 && magic == 0 {
						breakLZ4(packed)
					}
					set = appendOld(nil, 1029, magic, attributes|byte(codec), 9000, nil, packed)
				}
				raw, n, err := Renew(nil, append(bytes.Clone(set), set[:20]...)) // the next one is not whole
				if err != nil || n != len(set) {
					t.Fatalf("%s: %d of %d bytes, %v", what, n, len(set), err)
				}
				b := Batch(raw)
				if err := b.Check(); err != nil || b.BaseOffset() != 1000 || b.LastOffset() != 1029 || b.LeaderEpoch() != -1 || b.HasProducerID() || b.IsControl() || b.IsLogAppendTime() != (attributes != 0) || b.Codec() != codec {
					t.Fatalf("%s: offsets %d to %d, %v", what, b.BaseOffset(), b.LastOffset(), err)
				}
				it := NewIterator(b, 0)
				for _, offset := range offsets {
					if !it.Next() {
						t.Fatalf("%s: no record %d: %v", what, offset, it.Err())
					}
					r, stamp := it.Record(), 4000+offset
					switch {
					case magic == 0:
						stamp = NoTimestamp
					case attributes != 0:
						stamp = 9000
					}
					if r.Offset != offset || r.Timestamp != stamp || string(r.Key) != fmt.Sprintf("key-%d", offset-1000) || (r.Value == nil) != ((offset-1000)%3 != 0) {
						t.Errorf("%s: %+v, want offset %d at %d", what, r, offset, stamp)
					}
				}
				if it.Next() || it.Err() != nil {
					t.Errorf("%s: more records, %v", what, it.Err())
				}
			}
		}
	}
}

// Goal: many messages become batches of a bounded size; what is broken is told, and what is before it is not lost by it.
func TestRenewedBatchesAreBounded(t *testing.T) {
	var set []byte
	for i := range int64(5000) {
		set = appendOld(set, i, 1, 0, i, nil, bytes.Repeat([]byte{1}, 100))
	}
	next := int64(0)
	for rest := set; len(rest) > 0; {
		raw, n, err := Renew(nil, rest)
		if err != nil || len(raw) > renewBytes+200 || Batch(raw).BaseOffset() != next {
			t.Fatalf("batch of %d bytes at %d, want %d: %v", len(raw), Batch(raw).BaseOffset(), next, err)
		}
		next, rest = Batch(raw).NextOffset(), rest[n:]
	}
	if next != 5000 {
		t.Errorf("renewed up to %d", next)
	}
	one := appendOld(nil, 0, 1, 0, 1, nil, []byte("x"))
	later := appendOld(appendOld(nil, 0, 1, attrLogAppendTime, 1, nil, nil), 1, 1, attrLogAppendTime, 2, nil, nil) // a batch has one such time
	if raw, n, err := Renew(nil, later); err != nil || n != len(later)/2 || Batch(raw).MaxTimestamp() != 1 {
		t.Errorf("appended at two times: %d bytes, %v", n, err)
	}
	bad := bytes.Clone(one)
	bad[len(bad)-1]++
	if raw, n, err := Renew(nil, append(bytes.Clone(one), bad...)); err != nil || n != len(one) || Batch(raw).Count() != 1 {
		t.Errorf("before a broken one: %d bytes, %v", n, err)
	}
	huge := bytes.Clone(one)
	binary.BigEndian.PutUint32(huge[atLength:], 5)
	for what, c := range map[string]struct {
		buf  []byte
		want error
	}{
		"CRC": {bad, kerr.CorruptMessage}, "length": {huge, kerr.CorruptMessage}, "cut": {one[:20], ErrPartial}, "a batch": {batchOf(t, None, 1), kerr.CorruptMessage},
		"wrapper in a wrapper": {appendOld(nil, 0, 1, byte(Gzip), 1, nil, gzipped(t, appendOld(nil, 0, 1, byte(Gzip), 1, nil, gzipped(t, one)))), kerr.InvalidRecord},
		"empty wrapper":        {appendOld(nil, 0, 1, byte(Gzip), 1, nil, gzipped(t, nil)), kerr.InvalidRecord},
		"not gzip":             {appendOld(nil, 0, 1, byte(Gzip), 1, nil, []byte("rubbish")), kerr.CorruptMessage},
	} {
		if _, _, err := Renew(nil, c.buf); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func gzipped(t *testing.T, p []byte) []byte {
	out, err := Compress(nil, Gzip, p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
