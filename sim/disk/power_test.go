package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"barnabas/broker/env"
)

// Goal: a process crash loses nothing that was written, renamed or removed.
func TestProcessCrashKeepsTheCache(t *testing.T) {
	d := newDisk(t, 1, Profile{})
	fsys := d.FS(&host{})
	write(t, fsys, "/data/a", 0, "written")
	write(t, fsys, "/data/b", 0, "renamed")
	must(t, fsys.Rename("/data/b", "/data/c"))
	write(t, fsys, "/data/d", 0, "removed")
	must(t, fsys.Remove("/data/d"))
	d.CrashProcess()
	fsys = d.FS(&host{})
	entries, err := fsys.ReadDir("/data")
	must(t, err)
	if len(entries) != 2 || whole(t, fsys, "/data/a") != "written" || whole(t, fsys, "/data/c") != "renamed" {
		t.Fatalf("after the crash: %v", entries)
	}
}

// Goal: what Sync and SyncDir returned for survives every power loss, and nothing appears that was never written.
// Method: random operations on one file against a model that knows, for each byte, every value it had since the
// last Sync; then power loss, with the exact state for KeepNone and KeepAll.
func TestPowerLossKeepsSyncedBytesAndInventsNone(t *testing.T) {
	torn, lossless := 0, 0
	for seed := range uint64(600) {
		d, r := newDisk(t, seed, NVMe), rand.New(rand.NewPCG(seed, 1))
		fsys := d.FS(&host{})
		f := write(t, fsys, "/data/a", 0, "")
		must(t, fsys.SyncDir("/data"))
		m := model{}
		for range 1 + r.IntN(40) {
			m.step(t, f, r)
		}
		keep := Keep(seed % 3)
		loss := d.PowerLoss(keep)
		got := []byte(whole(t, d.FS(&host{}), "/data/a"))
		if err := m.allows(got, keep); err != nil {
			t.Fatalf("seed %d, keep %d: %v", seed, keep, err)
		}
		if keep == KeepRandom && loss.Bytes > 0 && string(got) != string(m.durable) {
			torn++
		}
		if loss == (Loss{}) {
			lossless++
		}
	}
	if torn < 40 || lossless < 200 {
		t.Fatalf("of 600 power losses only %d kept a part and %d everything: the test shows too little", torn, lossless)
	}
}

// model is what a file may hold.
type model struct {
	cached, durable []byte
	values          []map[byte]bool // since the last Sync, the durable one included; a byte that was not there is 0
	sizeMin         int             // since the last Sync
	sizeMax         int
}

func (m *model) step(t *testing.T, f env.File, r *rand.Rand) {
	switch n := r.IntN(10); {
	case n < 7:
		p := make([]byte, 1+r.IntN(3000))
		for i := range p {
			p[i] = byte(1 + r.IntN(255))
		}
		off := len(m.cached)
		if n < 2 {
			off = r.IntN(off + 700)
		}
		_, err := f.WriteAt(p, int64(off))
		must(t, err)
		m.grow(max(len(m.cached), off+len(p)))
		for i, b := range p {
			m.cached[off+i] = b
			m.values[off+i][b] = true
		}
	case n < 9:
		size := r.IntN(len(m.cached) + 600)
		must(t, f.Truncate(int64(size)))
		m.grow(max(size, len(m.cached)))
		for i := size; i < len(m.cached); i++ {
			m.values[i][0] = true
		}
		m.cached = m.cached[:size]
		m.sizeMin = min(m.sizeMin, size)
	default:
		must(t, f.Sync())
		m.durable = append([]byte(nil), m.cached...)
		m.values, m.sizeMin, m.sizeMax = nil, len(m.cached), len(m.cached)
		for _, b := range m.cached {
			m.values = append(m.values, map[byte]bool{b: true})
		}
	}
}

func (m *model) grow(n int) {
	for len(m.cached) < n {
		m.cached = append(m.cached, 0)
	}
	for len(m.values) < n {
		m.values = append(m.values, map[byte]bool{0: true})
	}
	for i := m.sizeMax; i < n; i++ {
		m.values[i][0] = true
	}
	m.sizeMax = max(m.sizeMax, n)
}

func (m *model) allows(got []byte, keep Keep) error {
	exact := map[Keep][]byte{KeepNone: m.durable, KeepAll: m.cached}
	if want, ok := exact[keep]; ok {
		if string(got) != string(want) {
			return fmt.Errorf("not the exact state: %d bytes, want %d", len(got), len(want))
		}
		return nil
	}
	if len(got) < m.sizeMin || len(got) > m.sizeMax {
		return fmt.Errorf("size %d, not within %d..%d", len(got), m.sizeMin, m.sizeMax)
	}
	for i, b := range got {
		if !m.values[i][b] {
			return fmt.Errorf("byte %d is %d, which was never written there since the last Sync", i, b)
		}
	}
	return nil
}

// Goal: unsynced writes tear at 512-byte sectors of the device, never inside one.
func TestPowerLossTearsAtSectors(t *testing.T) {
	tears := 0
	for seed := range uint64(200) {
		d := newDisk(t, seed, Profile{})
		fsys := d.FS(&host{})
		f := write(t, fsys, "/data/a", 0, strings.Repeat("o", 300))
		must(t, f.Sync())
		must(t, fsys.SyncDir("/data"))
		_, err := f.WriteAt([]byte(strings.Repeat("n", 5000)), 300)
		must(t, err)
		d.PowerLoss(KeepRandom)
		got := whole(t, d.FS(&host{}), "/data/a")
		if got[:300] != strings.Repeat("o", 300) {
			t.Fatalf("seed %d: synced bytes are gone", seed)
		}
		for i := 301; i < len(got); i++ {
			if got[i] != got[i-1] {
				tears++
				if i%sectorSize != 0 {
					t.Fatalf("seed %d: torn at byte %d", seed, i)
				}
			}
		}
		if len(got) != 5300 && len(got) > 300 && len(got)%sectorSize != 0 {
			t.Fatalf("seed %d: ends at %d, inside a sector", seed, len(got))
		}
	}
	if tears < 20 {
		t.Fatalf("only %d tears in 200 power losses", tears)
	}
}

// Goal: behind a truncation that was lost nothing written later survives, or old and new records would mix in a way
// that no journalling file system allows. Method: cut 4000 synced bytes to 1000, append others, lose power.
func TestLostTruncationLosesWhatCameBehindIt(t *testing.T) {
	kept, lost := 0, 0
	for seed := range uint64(400) {
		d := newDisk(t, seed, Profile{})
		fsys := d.FS(&host{})
		f := write(t, fsys, "/data/a", 0, strings.Repeat("o", 4000))
		must(t, f.Sync())
		must(t, fsys.SyncDir("/data"))
		must(t, f.Truncate(1000))
		for off := range int64(4) {
			_, err := f.WriteAt([]byte(strings.Repeat("n", 500)), 1000+500*off)
			must(t, err)
		}
		d.PowerLoss(KeepRandom)
		got := whole(t, d.FS(&host{}), "/data/a")
		switch tail := got[1000:]; {
		case tail == strings.Repeat("o", 3000):
			lost++
		case strings.Contains(tail, "o"):
			t.Fatalf("seed %d: old bytes behind new ones", seed)
		default:
			kept++
		}
	}
	if kept < 20 || lost < 20 {
		t.Fatalf("kept %d, lost %d: the test shows too little", kept, lost)
	}
}

// Goal: ReplaceFile leaves the old content or the new, whole, whenever and however the power goes.
// Method: power loss at every scheduling point, for many seeds.
func TestReplaceFileSurvivesPowerLossAtEveryPoint(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		for point := 1; ; point++ {
			d, h := newDisk(t, seed, NVMe), &host{}
			must(t, env.ReplaceFile(d.FS(&host{}), "/data/c", []byte("old")))
			fsys := d.FS(h)
			h.at, h.then = point, func() { d.PowerLoss(KeepRandom) }
			err := env.ReplaceFile(fsys, "/data/c", []byte(strings.Repeat("new", 400)))
			if err == nil {
				break
			}
			if !errors.Is(err, env.ErrClosed) {
				t.Fatal(err)
			}
			got := whole(t, d.FS(&host{}), "/data/c")
			if got != "old" && got != strings.Repeat("new", 400) {
				t.Fatalf("seed %d, point %d: %d bytes, neither old nor new", seed, point, len(got))
			}
			seen[got]++
		}
	}
	if len(seen) != 2 {
		t.Fatalf("saw %d outcomes, want both", len(seen))
	}
}

// Goal: without SyncDir a new file, a rename and a removal may each vanish, in order; with it none does.
func TestUnsyncedDirectoryOperationsMayVanish(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		d := newDisk(t, seed, Profile{})
		fsys := d.FS(&host{})
		must(t, write(t, fsys, "/data/durable", 0, "x").Sync())
		must(t, fsys.SyncDir("/data"))
		must(t, write(t, fsys, "/data/new", 0, "x").Sync())
		must(t, fsys.Rename("/data/new", "/data/renamed"))
		must(t, fsys.Remove("/data/durable"))
		if seed%3 == 0 {
			must(t, fsys.SyncDir("/data"))
		}
		d.PowerLoss(KeepRandom)
		got := names(t, d.FS(&host{}), "/data")
		if seed%3 == 0 && got != "renamed" {
			t.Fatalf("seed %d: synced directory holds %q", seed, got)
		}
		seen[got]++
	}
	for _, want := range []string{"durable", "durable new", "durable renamed", "renamed"} {
		if seen[want] == 0 {
			t.Errorf("never saw %q: %v", want, seen)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("impossible states: %v", seen)
	}
}

// Goal: operations of one directory vanish without those of another, but a rename between two is in both or in none.
func TestRenameBetweenDirectoriesIsAtomic(t *testing.T) {
	for seed := range uint64(300) {
		d := newDisk(t, seed, Profile{})
		must(t, d.Prepare("/data/a", "/data/b"))
		fsys := d.FS(&host{})
		must(t, write(t, fsys, "/data/a/f", 0, "x").Sync())
		must(t, fsys.SyncDir("/data/a"))
		write(t, fsys, "/data/b/g", 0, "")
		must(t, fsys.Rename("/data/a/f", "/data/b/f"))
		write(t, fsys, "/data/a/h", 0, "")
		if seed%4 == 0 {
			must(t, fsys.SyncDir("/data/a"))
		}
		d.PowerLoss(KeepRandom)
		fsys = d.FS(&host{})
		a, b := names(t, fsys, "/data/a"), names(t, fsys, "/data/b")
		if strings.Contains(a, "f") == strings.Contains(b, "f") {
			t.Fatalf("seed %d: a holds %q, b holds %q", seed, a, b)
		}
		if strings.Contains(b, "f") && !strings.Contains(b, "g") {
			t.Fatalf("seed %d: the rename survived and the creation before it did not: %q", seed, b)
		}
		if seed%4 == 0 && (a != "h" || !strings.HasPrefix(b, "f")) {
			t.Fatalf("seed %d: a was synced, and holds %q; b %q", seed, a, b)
		}
	}
}

func names(t *testing.T, fsys env.FS, dir string) string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	var out []string
	for _, entry := range entries {
		out = append(out, entry.Name)
	}
	return strings.Join(out, " ")
}

// Goal: the same seed loses the same, another seed something else.
func TestPowerLossIsDeterministic(t *testing.T) {
	run := func(seed uint64) string {
		d := newDisk(t, seed, SATA)
		h := &host{}
		fsys := d.FS(h)
		for i := range 20 {
			f := write(t, fsys, fmt.Sprintf("/data/%d", i), 0, strings.Repeat("x", 400*i))
			if i%3 == 0 {
				must(t, f.Sync())
			}
		}
		loss := d.PowerLoss(KeepRandom)
		fsys = d.FS(h)
		out := fmt.Sprint(loss, h.now, h.events)
		for _, name := range strings.Fields(names(t, fsys, "/data")) {
			out += fmt.Sprint(name, len(whole(t, fsys, "/data/"+name)))
		}
		return out
	}
	if run(1) != run(1) {
		t.Error("seed 1 gave two results")
	}
	if run(1) == run(2) {
		t.Error("seeds 1 and 2 gave the same result")
	}
}
