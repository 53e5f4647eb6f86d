package disk

import (
	"errors"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/rng"
)

// Goal: after a failed Sync the data reads well, the next Sync says yes, and a power loss takes the data all the same.
func TestFailedSyncLosesWhatLaterSyncsBelieveDone(t *testing.T) {
	d := newDisk(t, 1, NVMe)
	fsys := d.FS(&host{})
	f := write(t, fsys, "/data/a", 0, "durable ")
	must(t, f.Sync())
	must(t, fsys.SyncDir("/data"))
	d.SetFail(OpSync, true)
	_, err := f.WriteAt([]byte("dropped "), 8)
	must(t, err)
	if err := f.Sync(); !errors.Is(err, env.ErrIO) {
		t.Fatalf("Sync: %v, want ErrIO", err)
	}
	must(t, f.Sync()) // nothing is dirty any more, so Linux has nothing to fail at
	d.SetFail(OpSync, false)
	_, err = f.WriteAt([]byte("later"), 16)
	must(t, err)
	must(t, f.Sync())
	if got := whole(t, fsys, "/data/a"); got != "durable dropped later" {
		t.Fatalf("the cache reads %q", got)
	}
	if got := d.Fired().Fail[OpSync]; got != 1 {
		t.Errorf("fired %d, want 1", got)
	}
	d.CrashProcess()
	if got := whole(t, d.FS(&host{}), "/data/a"); got != "durable dropped later" {
		t.Fatalf("after a process crash: %q", got)
	}
	if loss := d.PowerLoss(KeepAll); loss.Files != 1 {
		t.Errorf("loss %+v, want one file", loss)
	}
	if got := whole(t, d.FS(&host{}), "/data/a"); got != "durable "+strings.Repeat("\x00", 8)+"later" {
		t.Fatalf("after the power loss: %q", got)
	}
}

// Goal: a Sync covers what was written before it began, and not what is written while it waits for the device.
func TestSyncCoversWhatWasWrittenBeforeIt(t *testing.T) {
	d, h := newDisk(t, 1, NVMe), &host{}
	fsys := d.FS(h)
	f := write(t, fsys, "/data/a", 0, "before")
	must(t, fsys.SyncDir("/data"))
	h.points, h.at = 0, 2
	h.then = func() {
		_, err := f.WriteAt([]byte("during"), 6)
		must(t, err)
	}
	must(t, f.Sync())
	d.PowerLoss(KeepNone)
	if got := whole(t, d.FS(&host{}), "/data/a"); got != "before" {
		t.Fatalf("the device holds %q", got)
	}
}

// Goal: handles and file systems of a life that has ended do nothing, even at the point where it ended.
func TestDeadLifeIsInert(t *testing.T) {
	d, h := newDisk(t, 1, NVMe), &host{}
	old := d.FS(h)
	f := write(t, old, "/data/a", 0, "x")
	h.points, h.at, h.then = 0, 1, d.CrashProcess
	if _, err := f.WriteAt([]byte("lost"), 0); !errors.Is(err, env.ErrClosed) {
		t.Fatalf("WriteAt over the crash: %v", err)
	}
	points := h.points
	fsys := d.FS(&host{})
	_, errOpen := old.Open("/data/b", env.Create)
	for i, err := range []error{errOpen, old.Remove("/data/a"), old.MkdirAll("/data/c"), f.Truncate(0), f.Sync(),
		f.Close(), old.SyncDir("/data"), old.Rename("/data/a", "/data/d")} {
		if !errors.Is(err, env.ErrClosed) {
			t.Errorf("call %d of a dead life: %v", i, err)
		}
	}
	if h.points != points {
		t.Error("a dead life reached its host")
	}
	if got := names(t, fsys, "/data") + "=" + whole(t, fsys, "/data/a"); got != "a=x" {
		t.Errorf("the disk holds %s", got)
	}
}

// Goal: a full device takes what fits, says ErrNoSpace, and takes more once space is freed, by removal of closed files.
func TestFullDevice(t *testing.T) {
	d := newDisk(t, 1, Profile{Capacity: 10_000})
	fsys := d.FS(&host{})
	a := write(t, fsys, "/data/a", 0, strings.Repeat("a", 6000))
	b := write(t, fsys, "/data/b", 0, "")
	n, err := b.WriteAt(make([]byte, 6000), 0)
	if n != 4000 || !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("wrote %d, %v; want 4000 and ErrNoSpace", n, err)
	}
	if _, err := fsys.Open("/data/c", env.Create); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("creating a file: %v", err)
	}
	if _, err := b.WriteAt([]byte("in place"), 100); err != nil {
		t.Fatalf("overwriting: %v", err)
	}
	must(t, fsys.Remove("/data/a"))
	if _, err := b.WriteAt([]byte("x"), 4000); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("an open file's space was given away: %v", err)
	}
	must(t, a.Close())
	if _, err := b.WriteAt(make([]byte, 2000), 4000); err != nil || d.Used() != 6000 {
		t.Fatalf("after the removal: %v, %d bytes used", err, d.Used())
	}
	must(t, b.Truncate(1000))
	if d.Used() != 1000 || d.Fired().NoSpace != 3 {
		t.Errorf("%d bytes used, fired %+v", d.Used(), d.Fired())
	}
}

// Goal: each class of calls fails alone, with ErrIO, changes nothing, and is counted.
func TestFailingCalls(t *testing.T) {
	d := newDisk(t, 1, Profile{})
	fsys := d.FS(&host{})
	f := write(t, fsys, "/data/a", 0, "kept")
	calls := map[Op]func() error{
		OpRead:  func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		OpWrite: func() error { _, err := f.WriteAt([]byte("l"), 0); return err },
		OpMeta:  func() error { return fsys.Rename("/data/a", "/data/b") },
		OpSync:  func() error { return fsys.SyncDir("/data") },
	}
	for op := range OpCount {
		d.SetFail(op, true)
		if err := calls[op](); !errors.Is(err, env.ErrIO) {
			t.Errorf("class %d: %v", op, err)
		}
		d.Heal()
		if d.Fired().Fail[op] != 1 {
			t.Errorf("class %d fired %d times", op, d.Fired().Fail[op])
		}
	}
	if got := names(t, fsys, "/data") + "=" + whole(t, fsys, "/data/a"); got != "a=kept" {
		t.Errorf("the disk holds %s", got)
	}
	for op := range OpCount {
		must(t, calls[op]())
	}
}

// Goal: a slow device makes syncs and writes take longer by its factor, a stall holds everything up until it ends.
func TestSlowAndStalledDevice(t *testing.T) {
	took := func(prepare func(*Disk)) (time.Duration, Fired) {
		d, h := newDisk(t, 7, SATA), &host{}
		fsys := d.FS(h)
		f := write(t, fsys, "/data/a", 0, "x")
		prepare(d)
		start := h.now
		for i := range int64(50) {
			_, err := f.WriteAt([]byte("x"), i)
			must(t, err)
			must(t, f.Sync())
		}
		return h.now.Sub(start), d.Fired()
	}
	normal, fired := took(func(*Disk) {})
	if fired != (Fired{}) {
		t.Errorf("a healthy disk fired %+v", fired)
	}
	slow, fired := took(func(d *Disk) { d.SetSlow(20) })
	if slow < 10*normal || fired.Slow != 100 {
		t.Errorf("20 times slower took %v instead of %v, fired %+v", slow, normal, fired)
	}
	stalled, fired := took(func(d *Disk) { d.Stall(env.Instant(time.Minute)) })
	if stalled < time.Minute || fired.Stalled != 1 {
		t.Errorf("a stall of a minute: %v, fired %+v", stalled, fired)
	}
}

// Goal: a log that is appended to and never synced costs about its size, and its power loss works.
func TestAppendingWithoutSyncIsCheap(t *testing.T) {
	d := newDisk(t, 3, Profile{})
	fsys := d.FS(&host{})
	f := write(t, fsys, "/data/a", 0, "")
	must(t, fsys.SyncDir("/data"))
	p := []byte(strings.Repeat("r", 300))
	for i := range int64(100_000) {
		_, err := f.WriteAt(p, 300*i)
		must(t, err)
	}
	ino := d.dirty[0]
	if len(ino.log) > changesApart+1 {
		t.Errorf("%d changes for a row of appends", len(ino.log))
	}
	held := 0
	for _, chunk := range ino.cache.chunks {
		held += cap(chunk)
	}
	if held > 30_000_000+chunkSize {
		t.Errorf("holds %d bytes for 30000000", held)
	}
	loss := d.PowerLoss(KeepRandom)
	size, err := d.FS(&host{}).Stat("/data/a")
	must(t, err)
	if loss.Bytes+size.Size < 30_000_000 {
		t.Errorf("lost %d, left %d", loss.Bytes, size.Size)
	}
}

// Goal: overwriting in place without ever syncing stays bounded, and directory operations too.
func TestLogsOfUnsyncedChangesAreBounded(t *testing.T) {
	d := newDisk(t, 3, Profile{})
	fsys := d.FS(&host{})
	f := write(t, fsys, "/data/a", 0, "0123456789")
	for i := range int64(50_000) {
		_, err := f.WriteAt([]byte("x"), i%10)
		must(t, err)
		must(t, fsys.Rename([]string{"/data/a", "/data/b"}[i%2], []string{"/data/b", "/data/a"}[i%2]))
	}
	if len(d.dirty[0].log) > changesMax || len(d.ops) > opsMax {
		t.Errorf("%d changes, %d operations", len(d.dirty[0].log), len(d.ops))
	}
}

// BenchmarkAppend is the way of a produce through the simulated disk: a 200-byte append.
func BenchmarkAppend(b *testing.B) {
	d := benchDisk(b)
	f, _ := d.FS(&host{}).Open("/data/a", env.Create)
	p := make([]byte, 200)
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		if off > 64<<20 {
			off = 0
			f.Truncate(0)
		}
		f.WriteAt(p, off)
		off += 200
	}
}

func benchDisk(b *testing.B) *Disk {
	d := New("1", rng.New(1), NVMe)
	if err := d.Prepare("/data"); err != nil {
		b.Fatal(err)
	}
	return d
}
