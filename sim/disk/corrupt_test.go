package disk

import (
	"bytes"
	"errors"
	"math/bits"
	"strings"
	"testing"

	"barnabas/broker/env"
)

func logs(name string) bool { return strings.HasSuffix(name, ".log") }

// Goal: a torn write fails, and a leading part of it, not all, is there.
func TestTornWriteLeavesALeadingPart(t *testing.T) {
	d := newDisk(t, 1, Profile{})
	fsys := d.FS(&host{})
	f := write(t, fsys, "/data/a.log", 0, "before")
	d.SetTorn(true)
	lengths := map[int]bool{}
	for range 50 {
		n, err := f.WriteAt([]byte(strings.Repeat("x", 20)), 6)
		if !errors.Is(err, env.ErrIO) || n >= 20 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		lengths[n] = true
	}
	d.SetTorn(false)
	if got := whole(t, fsys, "/data/a.log"); !strings.HasPrefix(got, "before") || strings.Trim(got[6:], "x") != "" {
		t.Errorf("left %q", got)
	}
	if len(lengths) < 5 || d.Fired().Torn != 50 {
		t.Errorf("%d lengths, %d fired", len(lengths), d.Fired().Torn)
	}
}

// Goal: a misdirected write succeeds, lands on a sector before its place, leaves a hole there, and happens once and to
// matching files alone.
func TestMisdirectedWriteLandsElsewhere(t *testing.T) {
	d := newDisk(t, 1, Profile{})
	fsys := d.FS(&host{})
	other := write(t, fsys, "/data/b.index", 0, strings.Repeat("b", 4096))
	f := write(t, fsys, "/data/a.log", 0, strings.Repeat("a", 2048))
	d.SetMisdirect(logs)
	_, err := other.WriteAt([]byte("own"), 1024)
	must(t, err)
	n, err := f.WriteAt([]byte("elsewhere"), 2048)
	must(t, err)
	_, err = f.WriteAt([]byte("in place"), 2057)
	must(t, err)
	got := whole(t, fsys, "/data/a.log")
	at := strings.Index(got, "elsewhere")
	if n != 9 || at < 0 || at >= 2048 || at%sectorSize != 0 || got[2048:2057] != strings.Repeat("\x00", 9) || got[2057:] != "in place" {
		t.Errorf("landed at %d, then %q", at, got[2048:])
	}
	if got := whole(t, fsys, "/data/b.index"); got[1024:1027] != "own" {
		t.Error("a file that does not match was struck")
	}
	if d.Fired().Misdirected != 1 || !d.Corrupted() {
		t.Errorf("fired %d, corrupted %t", d.Fired().Misdirected, d.Corrupted())
	}
}

// Goal: so many bits turn, on the device too, in matching files alone.
func TestFlipBitsTurnsBits(t *testing.T) {
	d := newDisk(t, 1, Profile{})
	fsys := d.FS(&host{})
	if d.FlipBits(3, logs) != 0 || d.Corrupted() {
		t.Error("bits turned in nothing")
	}
	want := strings.Repeat("\x00", 5000)
	must(t, write(t, fsys, "/data/a.log", 0, want).Sync())
	write(t, fsys, "/data/b", 0, want)
	must(t, fsys.SyncDir("/data"))
	if got := d.FlipBits(1, logs); got != 1 {
		t.Fatalf("turned %d", got)
	}
	d.PowerLoss(KeepNone)
	ones := 0
	for _, b := range []byte(whole(t, d.FS(&host{}), "/data/a.log")) {
		ones += bits.OnesCount8(b)
	}
	if ones != 1 || !d.Corrupted() {
		t.Errorf("%d bits turned on the device", ones)
	}
	if d.Erase(); d.Corrupted() {
		t.Error("a new disk is corrupted")
	}
}

// Goal: the newest matching entry vanishes for good though it was synced, and a power loss after it finds nothing amiss.
func TestLoseEntryTakesTheNewestFile(t *testing.T) {
	d := newDisk(t, 1, Profile{})
	fsys := d.FS(&host{})
	must(t, write(t, fsys, "/data/1.log", 0, "old").Sync())
	must(t, write(t, fsys, "/data/2.log", 0, "new").Sync())
	write(t, fsys, "/data/3", 0, "other")
	must(t, fsys.SyncDir("/data"))
	d.CrashProcess()
	if got := d.LoseEntry(logs); got != "/data/2.log" {
		t.Fatalf("lost %q", got)
	}
	d.PowerLoss(KeepNone)
	fsys = d.FS(&host{})
	if _, err := fsys.Open("/data/2.log", env.ReadOnly); !errors.Is(err, env.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
	if got := whole(t, fsys, "/data/1.log"); got != "old" {
		t.Errorf("another file holds %q", got)
	}
	d.CrashProcess()
	d.LoseEntry(logs)
	if got := d.LoseEntry(logs); got != "" {
		t.Errorf("lost %q of nothing", got)
	}
}

// Goal: swapped disks hold each other's files, what was unsynced with them.
func TestSwapExchangesWhatDisksHold(t *testing.T) {
	a, b := newDisk(t, 1, Profile{}), newDisk(t, 2, Profile{})
	fa := a.FS(&host{})
	f := write(t, fa, "/data/f", 0, "of a ")
	must(t, f.Sync())
	must(t, fa.SyncDir("/data"))
	_, err := f.WriteAt([]byte("unsynced"), 5)
	must(t, err)
	write(t, b.FS(&host{}), "/data/g", 0, "of b")
	a.CrashProcess()
	b.CrashProcess()
	Swap(a, b)
	if got := whole(t, b.FS(&host{}), "/data/f"); got != "of a unsynced" {
		t.Errorf("b holds %q", got)
	}
	if got := whole(t, a.FS(&host{}), "/data/g"); got != "of b" {
		t.Errorf("a holds %q", got)
	}
	if loss := b.PowerLoss(KeepNone); loss.Bytes != 8 {
		t.Errorf("lost %+v", loss)
	}
	if got := whole(t, b.FS(&host{}), "/data/f"); !bytes.Equal([]byte(got), []byte("of a ")) || b.Used() != 5 || a.Used() != 4 {
		t.Errorf("left %q, %d and %d bytes in use", got, b.Used(), a.Used())
	}
}
