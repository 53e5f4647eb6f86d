package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// oldSet is a set as a client of the given magic writes it: n messages, wrapped if there is a codec. Inside a wrapper of
// magic 1 the offsets count from 0.
func oldSet(t testing.TB, magic int8, codec Codec, n int, wrapperOffset int64) []byte {
	t.Helper()
	var set []byte
	for i := range n {
		set = appendOld(set, int64(i), magic, 0, 1000+int64(i), fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{byte(i)}, 40))
	}
	if codec == None {
		return set
	}
	packed, err := Compress(nil, codec, set)
	if err != nil {
		t.Fatal(err)
	}
	if codec == LZ4 && magic == 0 {
		breakLZ4(packed)
	}
	return appendOld(nil, wrapperOffset, magic, byte(codec), 1000+int64(n)-1, nil, packed)
}

// Goal: what old clients send becomes one batch with the same keys, values and timestamps, offsets 0, 1, 2 …, in the codec
// they chose, and a leader finds nothing wrong with it.
func TestOldSetsBecomeOneBatch(t *testing.T) {
	for magic := int8(0); magic <= 1; magic++ {
		for codec := None; codec <= LZ4; codec++ {
			for _, wrapperOffset := range []int64{0, 4, 104} { // librdkafka's 0, the relative one, one of a mirrored log
				set := oldSet(t, magic, codec, 5, wrapperOffset)
				if !IsOld(set) {
					t.Fatal("not taken for old")
				}
				set = append(set, oldSet(t, magic, None, 1, 0)[:20]...) // a partial message behind it
				raw, err := Upconvert(nil, set, Rules{BatchBytesMax: 1 << 20})
				if err != nil {
					t.Fatalf("magic %d %s: %v", magic, codec, err)
				}
				if n, size, err := Validate(raw, Rules{KeyRequired: true}); n != 1 || size != len(raw) || err != nil {
					t.Fatalf("magic %d %s: %d batches, %v", magic, codec, n, err)
				}
				b := Batch(raw)
				if b.Codec() != codec || b.Count() != 5 {
					t.Errorf("magic %d: %s with %d records", magic, b.Codec(), b.Count())
				}
				it, i := NewIterator(b, 0), int64(0)
				for ; it.Next(); i++ {
					r, stamp := it.Record(), 1000+i
					if magic == 0 {
						stamp = NoTimestamp
					}
					if r.Offset != i || r.Timestamp != stamp || string(r.Key) != fmt.Sprintf("k%d", i) || !bytes.Equal(r.Value, bytes.Repeat([]byte{byte(i)}, 40)) {
						t.Errorf("magic %d %s: record %d: %+v", magic, codec, i, r)
					}
				}
				if it.Err() != nil || i != 5 {
					t.Errorf("%d records, %v", i, it.Err())
				}
			}
		}
	}
}

// Nulls stay nulls and empties empty.
func TestOldNullsStay(t *testing.T) {
	raw, err := Upconvert(nil, append(appendOld(nil, 0, 1, 0, 5, nil, []byte{}), appendOld(nil, 1, 1, 0, 6, []byte{}, nil)...), Rules{})
	if err != nil {
		t.Fatal(err)
	}
	it := NewIterator(Batch(raw), 0)
	it.Next()
	a := it.Record()
	it.Next()
	b := it.Record()
	if a.Key != nil || a.Value == nil || b.Key == nil || b.Value != nil {
		t.Errorf("%#v %#v", a, b)
	}
}

func TestOldSetsAreRefusedWithKafkasErrors(t *testing.T) {
	edit := func(set []byte, f func([]byte)) []byte {
		set = bytes.Clone(set)
		f(set)
		return set
	}
	seal := func(m []byte) { // renews the CRC
		binary.BigEndian.PutUint32(m[atOldCRC:], crc32.ChecksumIEEE(m[atMagic:]))
	}
	plain := oldSet(t, 1, None, 1, 0)
	zipped := oldSet(t, 1, Gzip, 3, 2)
	nested := appendOld(nil, 0, 1, byte(Gzip), 1, nil, mustCompress(t, Gzip, zipped))
	mixed := appendOld(nil, 0, 1, byte(Gzip), 1, nil, mustCompress(t, Gzip, oldSet(t, 0, None, 2, 0)))
	bomb := appendOld(nil, 0, 1, byte(Gzip), 1, nil, mustCompress(t, Gzip, appendOld(nil, 0, 1, 0, 1, nil, make([]byte, 1<<20))))
	badInner := appendOld(nil, 0, 1, byte(Gzip), 1, nil, mustCompress(t, Gzip, edit(plain, func(p []byte) { p[len(p)-1] ^= 1 })))
	for name, c := range map[string]struct {
		set  []byte
		want *kerr.Error
	}{
		"nothing whole":        {plain[:20], kerr.InvalidRecord},
		"size too small":       {edit(plain, func(p []byte) { binary.BigEndian.PutUint32(p[8:], 13) }), kerr.CorruptMessage},
		"size negative":        {edit(plain, func(p []byte) { binary.BigEndian.PutUint32(p[8:], 1<<31) }), kerr.CorruptMessage},
		"wrong CRC":            {edit(plain, func(p []byte) { p[len(p)-1] ^= 1 }), kerr.CorruptMessage},
		"magic 0 behind 1":     {append(bytes.Clone(plain), oldSet(t, 0, None, 1, 0)...), kerr.InvalidRecord},
		"batch behind":         {append(bytes.Clone(plain), batchOf(t, None, 1)...), kerr.InvalidRecord},
		"magic 9 behind":       {append(bytes.Clone(plain), edit(plain, func(p []byte) { p[atMagic] = 9 })...), kerr.CorruptMessage},
		"LogAppendTime":        {edit(plain, func(p []byte) { p[atOldAttributes] |= attrLogAppendTime; seal(p) }), kerr.InvalidTimestamp},
		"zip, LogAppendTime":   {edit(zipped, func(p []byte) { p[atOldAttributes] |= attrLogAppendTime; seal(p) }), kerr.InvalidTimestamp},
		"key longer than that": {edit(plain, func(p []byte) { binary.BigEndian.PutUint32(p[26:], 1<<30); seal(p) }), kerr.InvalidRecord},
		"two wrappers":         {append(bytes.Clone(zipped), zipped...), kerr.InvalidRecord},
		"wrapper and plain":    {append(bytes.Clone(zipped), plain...), kerr.InvalidRecord},
		"null wrapper":         {appendOld(nil, 0, 1, byte(Gzip), 1, nil, nil), kerr.InvalidRecord},
		"empty wrapper":        {appendOld(nil, 0, 1, byte(Gzip), 1, nil, mustCompress(t, Gzip, nil)), kerr.InvalidRecord},
		"nested":               {nested, kerr.InvalidRecord},
		"mixed inside":         {mixed, kerr.InvalidRecord},
		"bad CRC inside":       {badInner, kerr.CorruptMessage},
		"not gzip":             {appendOld(nil, 0, 1, byte(Gzip), 1, nil, []byte("plain")), kerr.CorruptMessage},
		"zstd":                 {appendOld(nil, 0, 1, byte(Zstd), 1, nil, mustCompress(t, Zstd, plain)), kerr.InvalidRecord},
		"codec 5":              {appendOld(nil, 0, 1, 5, 1, nil, plain), kerr.UnsupportedCompressionType},
		"offset below inner":   {oldSet(t, 1, Gzip, 5, 3), kerr.InvalidRecord},
		"too large":            {oldSet(t, 1, None, 1, 0), kerr.MessageTooLarge},
		"bomb":                 {bomb, kerr.MessageTooLarge},
		"short magic 1":        {shortV1(), kerr.CorruptMessage},
	} {
		r := Rules{UnpackedBytesMax: 1 << 19}
		if name == "too large" {
			r.BatchBytesMax = 50
		}
		if _, err := Upconvert(nil, c.set, r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// shortV1 is a message of magic 1 with a right CRC that has no room for its timestamp.
func shortV1() []byte {
	m := appendOld(nil, 0, 0, 0, 0, nil, nil)
	m[atMagic] = 1
	binary.BigEndian.PutUint32(m[atOldCRC:], crc32.ChecksumIEEE(m[atMagic:]))
	return m
}

func mustCompress(t testing.TB, c Codec, src []byte) []byte {
	t.Helper()
	out, err := Compress(nil, c, src)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func batchOf(t testing.TB, c Codec, n int) []byte {
	t.Helper()
	var b Builder
	for i := range n {
		b.Append(1000+int64(i), fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{byte(i)}, 40), Header{Key: "h", Value: []byte("x")})
	}
	o := NewBatchOptions()
	o.Codec = c
	raw, err := b.Build(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// readOld unfolds a set as a client does, with the log's offsets.
func readOld(t testing.TB, set []byte) (offsets, stamps []int64, keys []string) {
	t.Helper()
	for len(set) > 0 {
		m, rest, err := nextOld(set)
		if err == nil {
			err = m.check()
		}
		if err != nil {
			t.Fatal(err)
		}
		inner, base := []byte(m), int64(0)
		if m.codec() != None {
			if inner, err = m.unpack(Rules{}); err != nil {
				t.Fatal(err)
			}
			if m.magic() == 1 {
				var last int64
				for p := inner; len(p) > 0; {
					var im oldMessage
					im, p, _ = nextOld(p)
					last = im.offset()
				}
				base = m.offset() - last
			}
		}
		for len(inner) > 0 {
			var im oldMessage
			if im, inner, err = nextOld(inner); err != nil {
				t.Fatal(err)
			}
			if err := im.check(); err != nil {
				t.Fatal(err)
			}
			key, _, err := im.content()
			if err != nil {
				t.Fatal(err)
			}
			offsets, stamps, keys = append(offsets, base+im.offset()), append(stamps, im.timestamp()), append(keys, string(key))
		}
		set = rest
	}
	return offsets, stamps, keys
}

// Goal: an old client reads every record from where it asks on, in pieces no larger than it may have, whatever the codec.
func TestBatchesAreReadByOldClients(t *testing.T) {
	for magic := int8(0); magic <= 1; magic++ {
		for codec := None; codec <= LZ4; codec++ {
			b := Batch(batchOf(t, codec, 50))
			b.SetBaseOffset(1000)
			for _, most := range []int{1, 100, 700, 1 << 20} {
				next, pieces := int64(1007), 0
				for next < 1050 {
					out, after, more, err := Downconvert([]byte("head"), b, DownOptions{Magic: magic, From: next, BytesMax: most})
					if err != nil || after <= next || more != (after < 1050) || !strings.HasPrefix(string(out), "head") {
						t.Fatalf("%v, next %d more %t", err, after, more)
					}
					offsets, stamps, keys := readOld(t, out[4:])
					for i, offset := range offsets {
						stamp := 1000 + offset - 1000
						if magic == 0 {
							stamp = NoTimestamp
						}
						if offset != next+int64(i) || keys[i] != fmt.Sprintf("k%d", offset-1000) || stamps[i] != stamp {
							t.Fatalf("magic %d %s: record %d at %d: key %s, timestamp %d", magic, codec, i, offset, keys[i], stamps[i])
						}
					}
					if int64(len(offsets)) != after-next || codec == None && len(out) > most+4+100 {
						t.Fatalf("%d records to %d, %d bytes of %d", len(offsets), after, len(out), most)
					}
					next = after
					pieces++
				}
				if most == 1 && pieces != 43 || most == 1<<20 && pieces != 1 {
					t.Errorf("%d pieces of %d bytes", pieces, most)
				}
			}
		}
	}
}

func TestDownconvertKeepsWhatOldClientsCannotHave(t *testing.T) {
	marker := Batch(AppendEndTxn(nil, 1, 5, 0, EndTxnMarker{Type: ControlCommit}))
	if out, next, more, err := Downconvert(nil, marker, DownOptions{Magic: 1, BytesMax: 100}); len(out) != 0 || next != 1 || more || err != nil {
		t.Errorf("a marker: %d bytes, next %d, %v", len(out), next, err)
	}
	if _, _, _, err := Downconvert(nil, Batch(batchOf(t, Zstd, 3)), DownOptions{Magic: 1, BytesMax: 100}); !errors.Is(err, kerr.UnsupportedCompressionType) {
		t.Errorf("zstd: %v", err)
	}
	appended := Batch(batchOf(t, None, 3))
	appended.SetLogAppendTime(77)
	out, _, _, err := Downconvert(nil, appended, DownOptions{Magic: 1, BytesMax: 1 << 20})
	if _, stamps, _ := readOld(t, out); err != nil || !oldMessage(out).isLogAppended() || stamps[0] != 77 || stamps[2] != 77 {
		t.Errorf("LogAppendTime: %v %v", stamps, err)
	}
}

// Goal: the header checksum of LZ4 frames, wrong and right. Vectors: two published ones of XXH32 with seed 0, and what the
// library writes.
func TestXXH32(t *testing.T) {
	for text, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff, "Nobody inspects the spammish repetition": 0xe2293b2f} {
		if got := xxh32([]byte(text)); got != want {
			t.Errorf("%q: %08x, want %08x", text, got, want)
		}
	}
	frame := mustCompress(t, LZ4, []byte("hello"))
	if at := lz4Header(frame); byte(xxh32(frame[4:at])>>8) != frame[at] {
		t.Error("the library's header checksum is not ours")
	}
	broken := bytes.Clone(frame)
	breakLZ4(broken)
	if _, err := Decompress(nil, LZ4, broken, 100); err == nil {
		t.Error("a broken header is read: the test proves nothing")
	}
	if got, err := Decompress(nil, LZ4, mendLZ4(broken), 100); err != nil || string(got) != "hello" {
		t.Error(got, err)
	}
}

// Goal: no set makes us panic, and what is taken a leader takes too and an old client reads back.
func FuzzUpconvert(f *testing.F) {
	for codec := None; codec <= LZ4; codec++ {
		f.Add(oldSet(f, 0, codec, 3, 2))
		f.Add(oldSet(f, 1, codec, 3, 2))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := Upconvert(nil, data, Rules{UnpackedBytesMax: 1 << 20})
		if err != nil {
			return
		}
		if _, size, err := Validate(raw, Rules{}); err != nil || size != len(raw) {
			t.Fatalf("taken, but: %v", err)
		}
		b := Batch(raw)
		out, next, more, err := Downconvert(nil, b, DownOptions{Magic: 1, BytesMax: 1 << 24})
		if err != nil || more || next != int64(b.Count()) {
			t.Fatalf("down again: %v, next %d of %d", err, next, b.Count())
		}
		if offsets, _, _ := readOld(t, out); len(offsets) != int(b.Count()) {
			t.Fatalf("%d of %d records come back", len(offsets), b.Count())
		}
	})
}
