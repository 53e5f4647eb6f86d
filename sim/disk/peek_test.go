package disk

import (
	"strings"
	"testing"

	"barnabas/broker/env"
)

// Goal: who peeks again and again sees the file that has the name now, whatever became of the one before. Method: a new file under the
// name, in a directory made after a swap too, a deletion, a lost entry, a swapped and an emptied disk; the answer is held against a
// Peeker that has just been made.
func TestPeekerFollowsTheName(t *testing.T) {
	d, other := newDisk(t, 1, Profile{}), newDisk(t, 2, Profile{})
	fsys := d.FS(&host{})
	peeker := NewPeeker("/data/t-0/1.log")
	step := func(name, want string) {
		t.Helper()
		for _, p := range []*Peeker{NewPeeker("/data/t-0/1.log"), peeker} {
			buf := make([]byte, 10)
			got := "none"
			if n := p.Peek(d, buf, 0); n >= 0 {
				got = string(buf[:n])
			}
			if got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	step("no directory", "none")
	must(t, fsys.MkdirAll("/data/t-0"))
	step("no file", "none")
	write(t, fsys, "/data/t-0/1.log", 0, "first")
	step("written", "first")
	write(t, fsys, "/data/t-0/1.log", 5, "more")
	step("longer", "firstmore")
	write(t, fsys, "/data/t-0/2.log", 0, "second")
	must(t, fsys.Rename("/data/t-0/2.log", "/data/t-0/1.log"))
	step("replaced", "second")
	must(t, fsys.Remove("/data/t-0/1.log"))
	step("deleted", "none")
	d.CrashProcess()
	Swap(d, other)
	fsys = d.FS(&host{})
	must(t, fsys.MkdirAll("/data/t-0"))
	step("swapped", "none")
	f := write(t, fsys, "/data/t-0/1.log", 0, "swapped")
	step("swapped and written", "swapped")
	must(t, f.Sync())
	d.CrashProcess()
	d.LoseEntry(func(name string) bool { return strings.HasSuffix(name, ".log") })
	step("lost", "none")
	fsys = d.FS(&host{})
	_, err := fsys.Open("/data/t-0/1.log", env.Create)
	must(t, err)
	step("made anew", "")
	d.PowerLoss(KeepNone)
	step("without power", "none")
	d.Erase()
	step("erased", "none")
}
