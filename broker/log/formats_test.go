package log

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// Goal: the snapshot of a fixed state never changes its bytes: they are Kafka's, version 1.
func TestSnapshotGoldenBytes(t *testing.T) {
	ps := newProducers(9)
	ps.byID[5] = &producer{id: 5, epoch: 2, coordinatorEpoch: 7, lastTimestamp: 1000, txnStart: 4, batches: [batchesKept]sent{{1, 2, 1, 900}, {3, 4, 1, 1000}}, n: 2}
	ps.byID[1] = &producer{id: 1, epoch: 0, coordinatorEpoch: -1, lastTimestamp: 50, txnStart: -1}
	const want = "0001" + "........" + "00000002" +
		"0000000000000001" + "0000" + "ffffffff" + "ffffffffffffffff" + "00000000" + "0000000000000032" + "ffffffff" + "ffffffffffffffff" +
		"0000000000000005" + "0002" + "00000003" + "0000000000000004" + "00000001" + "00000000000003e8" + "00000007" + "0000000000000004"
	data := ps.encode()
	got := fmt.Sprintf("%x", data)
	if got[:4]+"........"+got[12:] != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	back, err := parseSnapshot(data, 9, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.encode(), data) || back.end != 9 || back.firstUnstable(0) != 4 {
		t.Fatalf("%+v", back)
	}
}

// Goal: the cache is Kafka's LeaderEpochFileCache (LeaderEpochFileCacheTest's cases).
func TestEpochCache(t *testing.T) {
	var e epochs
	assign := func(epoch int32, start int64) { e, _ = e.assign(epoch, start) }
	want := func(entries ...EpochEntry) {
		t.Helper()
		if !slices.Equal([]EpochEntry(e), entries) {
			t.Fatalf("%v, want %v", e, entries)
		}
	}
	assign(2, 6)
	assign(2, 7) // known already
	want(EpochEntry{2, 6})
	assign(3, 9)
	assign(5, 9) // nothing was written in 3
	want(EpochEntry{2, 6}, EpochEntry{5, 9})
	assign(6, 20)
	before := e
	assign(4, 15) // an older leader after all
	want(EpochEntry{2, 6}, EpochEntry{4, 15})
	if !slices.Equal([]EpochEntry(before), []EpochEntry{{2, 6}, {5, 9}, {6, 20}}) {
		t.Fatal("an epoch slice that others may hold was changed")
	}
	assign(7, 30)
	for _, c := range []struct {
		asked, epoch int32
		end          int64
	}{{1, 1, 6}, {2, 2, 15}, {3, 2, 15}, {4, 4, 30}, {6, 4, 30}, {7, 7, 44}, {8, -1, -1}, {-1, -1, -1}} {
		if epoch, end := e.endOffset(c.asked, 44); epoch != c.epoch || end != c.end {
			t.Errorf("end of %d: (%d, %d), want (%d, %d)", c.asked, epoch, end, c.epoch, c.end)
		}
	}
	if epoch, end := (epochs)(nil).endOffset(0, 44); epoch != -1 || end != -1 {
		t.Error("an empty cache knows nothing")
	}
	cut, _ := e.truncateEnd(30)
	if !slices.Equal([]EpochEntry(cut), []EpochEntry{{2, 6}, {4, 15}}) {
		t.Error(cut)
	}
	cut, _ = e.truncateStart(17)
	if !slices.Equal([]EpochEntry(cut), []EpochEntry{{4, 17}, {7, 30}}) {
		t.Error(cut)
	}
	if _, changed := e.truncateStart(5); changed {
		t.Error("nothing begins below 5")
	}
	back, err := parseEpochs(e.encode())
	if err != nil || !slices.Equal([]EpochEntry(back), []EpochEntry(e)) {
		t.Error(back, err)
	}
}

// Goal: no bytes in our small files make us panic, and what we accept we write back.
func FuzzFiles(f *testing.F) {
	f.Add([]byte("0\n2\na 0 5\nb-c 1 7\n"))
	f.Add([]byte("0\n1\n4 0\n"))
	f.Add([]byte("version: 0\ntopic_id: AQIAAAAAAAAAAAAAAAAAAA"))
	f.Add([]byte("#\nbroker.id=2\ncluster.id=kZxq\nversion=0\n"))
	f.Add(newProducers(3).encode())
	f.Add(moveNote{number: 3, to: "/data/2"}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if offsets, err := parseOffsets(data); err == nil {
			if _, err := parseOffsets(encodeOffsets(offsets)); err != nil && len(offsets) > 0 {
				t.Fatal(err)
			}
		}
		if e, err := parseEpochs(data); err == nil {
			if back, err := parseEpochs(e.encode()); err != nil || len(back) != len(e) {
				t.Fatal(err)
			}
		}
		if id, err := parsePartition(data); err == nil {
			if back, err := parsePartition(encodePartition(id)); err != nil || back != id {
				t.Fatal(err)
			}
		}
		if n, err := parseMoveNote(data); err == nil {
			if back, err := parseMoveNote(n.encode()); err != nil || back != n {
				t.Fatal(err)
			}
		}
		parseMeta(data)
		parseSnapshot(data, 0, 0)
		parseDirName(string(data))
		parseFileName(string(data))
	})
}

// A note is read as it was written, and none that is cut off or says something else besides: by it a log is chosen, and another deleted.
func TestMoveNoteIsReadWholeOrNotAtAll(t *testing.T) {
	n := moveNote{number: 3, to: "/data/2"}
	text := n.encode()
	if back, err := parseMoveNote(text); err != nil || back != n {
		t.Errorf("%+v, %v", back, err)
	}
	for end := range text {
		if got, err := parseMoveNote(text[:end]); err == nil {
			t.Errorf("%q was read as %+v", text[:end], got)
		}
	}
	for _, bad := range []string{"version: 1\nnumber: 3\nto: /a\n", "version: 0\nto: /a\nnumber: 3\n", "version: 0\nnumber: -1\nto: /a\n", "version: 0\nnumber: 3\nto: /a\nmore: 1\n"} {
		if got, err := parseMoveNote([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}
