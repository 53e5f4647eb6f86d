// Goal: every way in which a produce may be wrong gets Kafka's error, and none makes us panic or take memory.
package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestValidateAnswersWithKafkasErrors(t *testing.T) {
	resum := func(b record.Batch) { b.SetCRC() }
	tests := []struct {
		name  string
		codec record.Codec
		rules record.Rules
		spoil func(b record.Batch) record.Batch
		want  *kerr.Error
	}{
		{"whole", 0, record.Rules{}, func(b record.Batch) record.Batch { return b }, nil},
		{"nothing", 0, record.Rules{}, func(b record.Batch) record.Batch { return nil }, kerr.InvalidRecord},
		{"cut short", 0, record.Rules{}, func(b record.Batch) record.Batch { return b[:len(b)-1] }, kerr.InvalidRecord},
		{"partial behind a whole one", 0, record.Rules{}, func(b record.Batch) record.Batch { return append(b, b[:40]...) }, nil},
		{"tiny length", 0, record.Rules{}, func(b record.Batch) record.Batch { binary.BigEndian.PutUint32(b[8:], 13); return b }, kerr.CorruptMessage},
		{"negative length", 0, record.Rules{}, func(b record.Batch) record.Batch { binary.BigEndian.PutUint32(b[8:], 1<<31); return b }, kerr.CorruptMessage},
		{"length below the header", 0, record.Rules{}, func(b record.Batch) record.Batch { binary.BigEndian.PutUint32(b[8:], 40); return b }, kerr.CorruptMessage},
		{"magic 1", 0, record.Rules{}, func(b record.Batch) record.Batch { b[16] = 1; return b }, kerr.UnsupportedForMessageFormat},
		{"magic 3", 0, record.Rules{}, func(b record.Batch) record.Batch { b[16] = 3; return b }, kerr.CorruptMessage},
		{"a bit of the body", 0, record.Rules{}, func(b record.Batch) record.Batch { b[len(b)-1] ^= 4; return b }, kerr.CorruptMessage},
		{"a bit of the CRC", 0, record.Rules{}, func(b record.Batch) record.Batch { b[17] ^= 4; return b }, kerr.CorruptMessage},
		{"too large", 0, record.Rules{BatchBytesMax: 100}, func(b record.Batch) record.Batch { return b }, kerr.MessageTooLarge},
		{"base offset", 0, record.Rules{}, func(b record.Batch) record.Batch { b.SetBaseOffset(1); return b }, kerr.InvalidRecord},
		{"count", 0, record.Rules{}, func(b record.Batch) record.Batch { b[60]++; resum(b); return b }, kerr.InvalidRecord},
		{"count and delta", 0, record.Rules{}, func(b record.Batch) record.Batch { b[60]++; b[26]++; resum(b); return b }, kerr.InvalidRecord},
		{"fewer than there are", 0, record.Rules{}, func(b record.Batch) record.Batch { b[60]--; b[26]--; resum(b); return b }, kerr.InvalidRecord},
		{"no records", 0, record.Rules{}, func(b record.Batch) record.Batch { b[60] = 0; resum(b); return b }, kerr.InvalidRecord},
		{"control bit", 0, record.Rules{}, func(b record.Batch) record.Batch { b[22] |= 0x20; resum(b); return b }, kerr.InvalidRecord},
		{"id without sequence", 0, record.Rules{}, func(b record.Batch) record.Batch { b.SetProducer(1, 0, -1); return b }, kerr.InvalidRecord},
		{"unknown codec", 0, record.Rules{}, func(b record.Batch) record.Batch { b[22] |= 7; resum(b); return b }, kerr.UnsupportedCompressionType},
		{"not gzip", 0, record.Rules{}, func(b record.Batch) record.Batch { b[22] |= 1; resum(b); return b }, kerr.CorruptMessage},
		{"offset deltas", 0, record.Rules{}, func(b record.Batch) record.Batch { b[64] = 2; resum(b); return b }, kerr.InvalidRecord},
		{"record size", 0, record.Rules{}, func(b record.Batch) record.Batch { b[61] += 2; resum(b); return b }, kerr.InvalidRecord},
		{"endless varint", 0, record.Rules{}, func(b record.Batch) record.Batch {
			copy(b[61:], bytes.Repeat([]byte{0xff}, 12))
			resum(b)
			return b
		}, kerr.InvalidRecord},
		{"unpacks too far", record.Zstd, record.Rules{UnpackedBytesMax: 100}, func(b record.Batch) record.Batch { return b }, kerr.MessageTooLarge},
		{"cut inside gzip", record.Gzip, record.Rules{}, func(b record.Batch) record.Batch {
			b = b[:len(b)-20]
			binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
			resum(b)
			return b
		}, kerr.CorruptMessage},
	}
	for _, test := range tests {
		b := batch(t, 4, func(o *record.BatchOptions) { o.Codec = test.codec })
		if _, _, err := record.Validate(test.spoil(b), test.rules); code(err) != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestCompactedTopicNeedsKeys(t *testing.T) {
	var b record.Builder
	b.Append(0, nil, []byte("v"))
	raw, _ := b.Build(nil, record.NewBatchOptions())
	if _, _, err := record.Validate(raw, record.Rules{KeyRequired: true}); code(err) != kerr.InvalidRecord {
		t.Fatal(err)
	}
}

// A client that lies about the newest timestamp is corrected, as Kafka does: the time index rests on it.
func TestMaxTimestampIsCorrected(t *testing.T) {
	b := batch(t, 4, nil)
	binary.BigEndian.PutUint64(b[35:], 1<<60)
	b.SetCRC()
	if _, _, err := record.Validate(b, record.Rules{}); err != nil || b.MaxTimestamp() != 1003 || b.Check() != nil {
		t.Fatal(err, b.MaxTimestamp())
	}
}

// A small batch that unpacks to a gigabyte is refused at the bound, in constant memory.
func TestBombIsRefusedAtTheBound(t *testing.T) {
	var bld record.Builder
	bld.Append(0, []byte("k"), make([]byte, 64<<20))
	for _, c := range codecs[1:] {
		o := record.NewBatchOptions()
		o.Codec = c
		raw, err := bld.Build(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := record.Validate(raw, record.Rules{UnpackedBytesMax: 8 << 20}); code(err) != kerr.MessageTooLarge {
			t.Errorf("%v, %d bytes: %v", c, len(raw), err)
		}
		if _, _, err := record.Validate(raw, record.Rules{}); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestValidatingUncompressedAllocatesNothing(t *testing.T) {
	b := batch(t, 1000, nil)
	if n := testing.AllocsPerRun(20, func() {
		if _, _, err := record.Validate(b, record.Rules{}); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzValidate(f *testing.F) {
	for _, c := range codecs {
		f.Add([]byte(batch(f, 5, func(o *record.BatchOptions) { o.Codec = c })))
	}
	f.Add(record.AppendEndTxn(nil, 5, 9, 1, record.EndTxnMarker{Type: record.ControlCommit}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, _, err := record.Next(data)
		if err != nil {
			return
		}
		b = append(record.Batch{}, b...)
		b.SetCRC() // or the fuzzer never gets behind it
		n, size, err := record.Validate(b, record.Rules{UnpackedBytesMax: 1 << 20, Coordinator: true})
		it, records := record.NewIterator(b, 1<<20), int32(0)
		for it.Next() {
			records++
		}
		b.EndTxn()
		if err == nil && (n != 1 || size != len(b) || it.Err() != nil || records != b.Count()) {
			t.Fatalf("valid, but the iterator ends after %d of %d: %v", records, b.Count(), it.Err())
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, c := range codecs[1:] {
		p, _ := record.Compress(nil, c, []byte("hello, hello, hello"))
		f.Add(int8(c), p)
	}
	f.Fuzz(func(t *testing.T, c int8, data []byte) {
		out, err := record.Decompress(nil, record.Codec(c), data, 1<<20)
		if err == nil && len(out) > 1<<20 {
			t.Fatal("the bound was not kept")
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	for _, c := range []struct {
		name  string
		value int
	}{{"1KiB-records", 1 << 10}, {"100B-records", 100}} {
		b.Run(c.name, func(b *testing.B) {
			var bld record.Builder
			for bld.Size() < 1<<20 {
				bld.Append(1, nil, make([]byte, c.value))
			}
			raw, _ := bld.Build(nil, record.NewBatchOptions())
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := record.Validate(raw, record.Rules{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Goal: of a batch with very many records that are refused the first are named, and all are counted.
func TestRefusedRecordsAreBounded(t *testing.T) {
	var b record.Builder
	for range 10_050 {
		b.Append(1000, nil, nil)
	}
	raw, err := b.Build(nil, record.NewBatchOptions())
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = record.Validate(raw, record.Rules{KeyRequired: true})
	var refused *record.RefusedRecords
	if !errors.As(err, &refused) || !errors.Is(err, kerr.InvalidRecord) || len(refused.Records) != 10_000 || refused.Count != 10_050 {
		t.Fatalf("%.200v", err)
	}
}
