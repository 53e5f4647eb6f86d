// Goal: what we build, an independent codec reads, and what it builds, we accept, byte for byte.
// Method: kmsg's RecordBatch and Record as the other encoder, franz-go's compressors as the other codecs.
package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"testing"

	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var codecs = []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}

// batch builds n records with keys, null values and headers among them.
func batch(t testing.TB, n int, change func(*record.BatchOptions)) record.Batch {
	t.Helper()
	var b record.Builder
	for i := range n {
		key, value := []byte(fmt.Sprintf("key-%d", i)), bytes.Repeat([]byte{byte(i)}, 10*i)
		switch i % 3 {
		case 1:
			b.Append(1000+int64(i), key, nil)
		case 2:
			b.Append(1000-int64(i), key, value, record.Header{Key: "h", Value: []byte("v")}, record.Header{Key: "", Value: nil})
		default:
			b.Append(1000+int64(i), key, value)
		}
	}
	o := record.NewBatchOptions()
	if change != nil {
		change(&o)
	}
	out, err := b.Build(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return record.Batch(out)
}

func code(err error) *kerr.Error {
	var k *kerr.Error
	errors.As(err, &k)
	return k
}

func TestBuiltBatchEqualsKmsgEncoding(t *testing.T) {
	b := batch(t, 7, func(o *record.BatchOptions) { o.ProducerID, o.ProducerEpoch, o.BaseSequence = 9, 2, 17 })
	var m kmsg.RecordBatch
	if err := m.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	if m.ProducerID != 9 || m.ProducerEpoch != 2 || m.FirstSequence != 17 || m.NumRecords != 7 || m.LastOffsetDelta != 6 ||
		m.FirstTimestamp != 1000 || m.MaxTimestamp != 1006 || m.Magic != 2 || m.PartitionLeaderEpoch != -1 || int(m.Length) != len(b)-12 {
		t.Fatalf("kmsg reads %+v", m)
	}
	if got := m.AppendTo(nil); !bytes.Equal(got, b) {
		t.Fatalf("kmsg writes it otherwise:\n%x\n%x", got, b)
	}
	if want := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); uint32(m.CRC) != want || b.CRC() != want {
		t.Fatalf("crc %x, want %x", uint32(m.CRC), want)
	}
	rest := m.Records
	for i := 0; len(rest) > 0; i++ {
		size, n := varint(rest)
		var r kmsg.Record
		if err := r.ReadFrom(rest[:n+int(size)]); err != nil {
			t.Fatal(err)
		}
		if got := r.AppendTo(nil); !bytes.Equal(got, rest[:n+int(size)]) {
			t.Fatalf("record %d: kmsg writes %x, we %x", i, got, rest[:n+int(size)])
		}
		if string(r.Key) != fmt.Sprintf("key-%d", i) || r.OffsetDelta != int32(i) {
			t.Fatalf("record %d is %+v", i, r)
		}
		rest = rest[n+int(size):]
	}
}

func varint(p []byte) (v int64, n int) {
	var u uint64
	for i, b := range p {
		u |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

// The bytes of a fixed batch never change: they are what is on disks.
func TestGoldenBytes(t *testing.T) {
	var b record.Builder
	b.Append(1700000000000, []byte("k"), []byte("v"), record.Header{Key: "h", Value: []byte{1}})
	b.Append(1700000000005, nil, nil)
	o := record.NewBatchOptions()
	o.BaseOffset, o.LeaderEpoch = 42, 3
	got, _ := b.Build(nil, o)
	const want = "000000000000002a" + "00000045" + "00000003" + "02" + "4fcc51a5" + "0000" + "00000001" +
		"0000018bcfe56800" + "0000018bcfe56805" + "ffffffffffffffff" + "ffff" + "ffffffff" + "00000002" +
		"18" + "00" + "00" + "00" + "026b" + "0276" + "02" + "0268" + "0201" + "0c" + "00" + "0a" + "02" + "01" + "01" + "00"
	if fmt.Sprintf("%x", got) != want {
		t.Fatalf("got  %x\nwant %s", got, want)
	}
	if err := record.Batch(got).Check(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryCodecRoundTripsAndValidates(t *testing.T) {
	for _, c := range codecs {
		b := batch(t, 500, func(o *record.BatchOptions) { o.Codec = c })
		n, size, err := record.Validate(b, record.Rules{})
		if err != nil || n != 1 || size != len(b) {
			t.Fatalf("%v: %d batches, %d bytes, %v", c, n, size, err)
		}
		it, i := record.NewIterator(b, 0), 0
		for ; it.Next(); i++ {
			r := it.Record()
			if string(r.Key) != fmt.Sprintf("key-%d", i) || r.Offset != int64(i) || (i%3 == 1) != (r.Value == nil) {
				t.Fatalf("%v: record %d is %+v", c, i, r)
			}
			if i%3 == 2 && (len(r.Headers) != 2 || r.Headers[0].Key != "h" || r.Headers[1].Value != nil || r.Timestamp != 1000-int64(i)) {
				t.Fatalf("%v: record %d is %+v", c, i, r)
			}
		}
		if it.Err() != nil || i != 500 {
			t.Fatalf("%v: %d records, %v", c, i, it.Err())
		}
	}
}

func TestCodecsAgreeWithFranzGo(t *testing.T) {
	src := bytes.Repeat([]byte("the castle, the messenger, the village. "), 5000)
	franz := map[record.Codec]kgo.CompressionCodec{record.Gzip: kgo.GzipCompression(), record.Snappy: kgo.SnappyCompression(),
		record.LZ4: kgo.Lz4Compression(), record.Zstd: kgo.ZstdCompression()}
	for _, c := range codecs[1:] {
		ours, err := record.Compress(nil, c, src)
		if err != nil {
			t.Fatal(err)
		}
		back, err := kgo.DefaultDecompressor().Decompress(ours, kgo.CompressionCodecType(c))
		if err != nil || !bytes.Equal(back, src) {
			t.Fatalf("%v: franz-go cannot read ours: %v", c, err)
		}
		z, err := kgo.DefaultCompressor(franz[c])
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := z.Compress(new(bytes.Buffer), src)
		got, err := record.Decompress([]byte("x"), c, theirs, len(src))
		if err != nil || !bytes.Equal(got[1:], src) {
			t.Fatalf("%v: we cannot read franz-go's: %v", c, err)
		}
		if _, err := record.Decompress(nil, c, theirs, len(src)-1); code(err) != kerr.MessageTooLarge {
			t.Fatalf("%v: limit not kept: %v", c, err)
		}
	}
}

func TestSettersLeaveTheBatchValid(t *testing.T) {
	b := batch(t, 3, nil)
	b.SetBaseOffset(1 << 40)
	b.SetLeaderEpoch(12)
	if err := b.Check(); err != nil || b.BaseOffset() != 1<<40 || b.LastOffset() != 1<<40+2 || b.LeaderEpoch() != 12 {
		t.Fatal(err, b.BaseOffset(), b.LeaderEpoch())
	}
	b.SetLogAppendTime(77)
	if err := b.Check(); err != nil || !b.IsLogAppendTime() || b.MaxTimestamp() != 77 {
		t.Fatal(err)
	}
	it := record.NewIterator(b, 0)
	for it.Next() {
		if it.Record().Timestamp != 77 {
			t.Fatal("log-append time counts for every record")
		}
	}
	b.SetProducer(5, 1, math.MaxInt32-1)
	if err := b.Check(); err != nil || b.LastSequence() != 0 {
		t.Fatal(err, b.LastSequence())
	}
}

func TestSequencesWrap(t *testing.T) {
	for _, c := range []struct{ seq, n, want int32 }{{0, 0, 0}, {5, 3, 8}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1}} {
		if got := record.AddSequence(c.seq, c.n); got != c.want {
			t.Errorf("%d+%d = %d, want %d", c.seq, c.n, got, c.want)
		}
		if got := record.SubSequence(c.want, c.n); got != c.seq {
			t.Errorf("%d-%d = %d, want %d", c.want, c.n, got, c.seq)
		}
	}
}

func TestEndTxnMarker(t *testing.T) {
	b := record.Batch(record.AppendEndTxn(nil, 5, 9, 1, record.EndTxnMarker{Type: record.ControlCommit, CoordinatorEpoch: 7}))
	m, ok, err := b.EndTxn()
	if err != nil || !ok || m.Type != record.ControlCommit || m.CoordinatorEpoch != 7 {
		t.Fatal(m, ok, err)
	}
	if !b.IsControl() || !b.IsTransactional() || b.ProducerID() != 9 || b.BaseSequence() != record.NoSequence {
		t.Fatalf("%x", []byte(b))
	}
	if _, _, err := record.Validate(b, record.Rules{}); code(err) != kerr.InvalidRecord {
		t.Fatalf("a client wrote a control record: %v", err)
	}
	if _, _, err := record.Validate(b, record.Rules{Coordinator: true}); err != nil {
		t.Fatal(err)
	}
}

func TestLegacyMessagesAreTold(t *testing.T) {
	for magic := range byte(2) {
		m := kmsg.MessageV0{Magic: 0, Key: []byte("k"), Value: []byte("v")}
		raw := m.AppendTo(nil)
		if magic == 1 {
			m := kmsg.MessageV1{Magic: 1, Timestamp: 5, Key: []byte("k"), Value: []byte("v")}
			raw = m.AppendTo(nil)
		}
		raw[11] = byte(len(raw) - 12)
		sum := crc32.ChecksumIEEE(raw[16:])
		raw[12], raw[13], raw[14], raw[15] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		if !record.IsLegacy(append(raw, 0, 0)) || record.IsLegacy(raw[:len(raw)-1]) {
			t.Errorf("magic %d is not told from garbage", magic)
		}
		if _, _, err := record.Validate(raw, record.Rules{}); code(err) != kerr.UnsupportedForMessageFormat {
			t.Error(err)
		}
		raw[len(raw)-1] ^= 1
		if record.IsLegacy(raw) {
			t.Errorf("magic %d: garbage is taken for a message", magic)
		}
	}
}
