package log

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"barnabas/broker/osenv"
)

// Goal: an index of any size costs less than 16 bytes of memory an entry once it is loaded, and less than a chunk and a few
// samples besides. Method: load index files and look at the heap.
func TestCachedIndexEntriesAreSmall(t *testing.T) {
	for _, entries := range []int{1_000_000} {
		name := filepath.Join(t.TempDir(), "x.index")
		data := make([]byte, 0, entries*offsetEntrySize)
		for i := range entries {
			data = binary.BigEndian.AppendUint32(data, uint32(i+1))
			data = binary.BigEndian.AppendUint32(data, uint32(i)*100)
		}
		if entries > 1<<31/100 {
			t.Fatal("positions must fit")
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		data = nil
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := newIndex(osenv.New(osenv.Options{}), name, offsetEntrySize)
		if err := x.load(); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < entries; i += 997 { // lookups keep no more
			if e, n, err := x.floorKey(int64(i + 1)); err != nil || n != i || e.value != int64(i)*100 {
				t.Fatal(e, n, err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		perEntry := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(entries)
		t.Logf("%d entries: %.2f bytes each", entries, perEntry)
		if perEntry >= 16 {
			t.Errorf("%d entries cost %.1f bytes each", entries, perEntry)
		}
		runtime.KeepAlive(x)
	}
}
