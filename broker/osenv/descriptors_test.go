package osenv

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/env/envtest"

	"golang.org/x/sys/unix"
)

// Goal: an Env that keeps a single descriptor of a file does all that package env says.
func TestConformsToEnvWithOneDescriptor(t *testing.T) {
	for _, c := range envtest.FS() {
		t.Run("FS/"+c.Name, func(t *testing.T) {
			if err := c.Run(New(Options{Descriptors: 1}), t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range envtest.Env() {
		t.Run("Env/"+c.Name, func(t *testing.T) {
			if err := c.Run(New(Options{Descriptors: 1}), "127.0.0.1:0", t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
}

// synced makes a file that says its name, and does not need its descriptor.
func synced(t *testing.T, e *Env, name string) *file {
	t.Helper()
	f, err := e.Open(name, env.CreateNew)
	must(t, err)
	_, err = f.WriteAt([]byte(filepath.Base(name)), 0)
	must(t, err)
	must(t, f.Sync())
	t.Cleanup(func() { f.Close() })
	return f.(*file)
}

// rested has the files closed that can be.
func rested(e *Env) { e.files.shrink(0); e.files.shrink(0) }

func says(t *testing.T, f env.File, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != want {
		t.Errorf("%s says %q, %v; want %q", f.Name(), got, err, want)
	}
}

// descriptors counts this process's descriptors of what is below dir, gone or not.
func descriptors(t *testing.T, dir string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, d := range list {
		if to, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && len(to) > len(dir) && to[:len(dir)] == dir {
			n++
		}
	}
	return n
}

// Goal: of many files, read and written by many tasks at once, only so many have a descriptor when all is quiet, and each keeps its bytes.
func TestDescriptorsAreBounded(t *testing.T) {
	const most, count = 8, 200
	e, dir := New(Options{Descriptors: most}), t.TempDir()
	var list []*file
	for n := range count {
		list = append(list, synced(t, e, filepath.Join(dir, fmt.Sprintf("%03d", n))))
	}
	var tasks sync.WaitGroup
	for task := range uint64(8) {
		tasks.Go(func() {
			r := rand.New(rand.NewPCG(1, task))
			for range 1000 {
				n := r.IntN(count)
				says(t, list[n], fmt.Sprintf("%03d", n))
				if r.IntN(20) == 0 {
					_, err := list[n].WriteAt([]byte(fmt.Sprintf("%03d", n)), 0)
					if err == nil {
						err = list[n].Sync()
					}
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	tasks.Wait()
	rested := descriptors(t, dir)
	if rested > most+8 { // each task may have come by last when none could be closed
		t.Errorf("%d descriptors, %d are to be kept", rested, most)
	}
	for _, f := range list {
		must(t, f.Close())
	}
	if n := descriptors(t, dir); n != 0 || len(e.files.ring) != 0 || len(e.files.dirs) != 0 {
		t.Errorf("after the last close %d descriptors, %d files, %d directories", n, len(e.files.ring), len(e.files.dirs))
	}
}

// Goal: a file without its descriptor is the same file after its name, its directory's or that above it changed, after another took its
// name, and after it was removed; while another reads it and afterwards.
func TestRestingFilesSurviveTheirNames(t *testing.T) {
	for _, rest := range []bool{true, false} {
		e, dir := New(Options{Descriptors: 100}), t.TempDir()
		in := func(name string) string { return filepath.Join(dir, name) }
		must(t, e.MkdirAll(in("t-0/deep")))
		must(t, e.MkdirAll(in("t-0x")))
		var list []*file
		names := []string{"renamed", "t-0/segment", "t-0/deep/segment", "t-0x/segment", "replaced", "new", "removed"}
		for _, name := range names {
			list = append(list, synced(t, e, in(name)))
		}
		quiet := func(want int) {
			if rest {
				if rested(e); descriptors(t, dir) != want {
					t.Errorf("%d descriptors, want %d", descriptors(t, dir), want)
				}
			}
		}
		check := func() {
			for i, f := range list {
				says(t, f, filepath.Base(names[i]))
			}
		}
		quiet(0)
		must(t, e.Rename(in("renamed"), in("otherwise")))
		must(t, e.Rename(in("t-0"), in("t-0.moved")))
		must(t, e.Rename(in("new"), in("replaced")))
		must(t, e.Remove(in("removed")))
		check()
		quiet(2) // what was replaced, and what was removed, cannot be had again
		check()
		must(t, e.Rename(in("t-0.moved"), in("t-0"))) // and back
		quiet(2)
		check()
		list[1].WriteAt([]byte("S"), 0)
		quiet(3)
		must(t, list[1].Sync())
		quiet(2)
		says(t, list[1], "Segment")
		names[1] = "Segment"
		if err := e.Rename(in("nothing"), in("replaced")); !errors.Is(err, env.ErrNotExist) {
			t.Errorf("renaming nothing: %v", err)
		}
		check()
	}
}

// Goal: what happened to a file behind the back of its environment is an error of the call, never another's bytes; and of that call alone.
func TestReopeningMayFail(t *testing.T) {
	e, dir := New(Options{Descriptors: 100}), t.TempDir()
	name := filepath.Join(dir, "segment")
	f := synced(t, e, name)
	rested(e)
	must(t, os.Rename(name, name+".away"))
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, env.ErrNotExist) {
		t.Errorf("moved away: %v", err)
	}
	must(t, os.WriteFile(name, []byte("another"), 0o644))
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, env.ErrIO) {
		t.Errorf("another in its place: %v", err)
	}
	must(t, os.Rename(name+".away", name))
	says(t, f, "segment")
	rested(e)
	must(t, f.Close())
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, env.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Goal: when the process has no descriptor left, opening a file and waking one take one from those that rest.
func TestNoDescriptorLeft(t *testing.T) {
	e, dir := New(Options{Descriptors: 10_000}), t.TempDir()
	first := synced(t, e, filepath.Join(dir, "first"))
	rested(e)
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	probe, err := os.Open(dir)
	must(t, err)
	limit := old
	limit.Cur = uint64(probe.Fd()) + 20
	probe.Close()
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	for n := range 100 {
		synced(t, e, filepath.Join(dir, fmt.Sprintf("%d", n)))
	}
	says(t, first, "first")
}

// Goal: reads, closes, renames and removals at once, with hardly a descriptor, end in the file's bytes or in a closed file. Run with -race.
func TestDescriptorsUnderRaces(t *testing.T) {
	e, dir := New(Options{Descriptors: 2}), t.TempDir()
	for round := range 30 {
		from, to := filepath.Join(dir, fmt.Sprintf("%d", round)), filepath.Join(dir, fmt.Sprintf("%d.moved", round))
		must(t, e.MkdirAll(from))
		var list []*file
		for n := range 6 {
			list = append(list, synced(t, e, filepath.Join(from, fmt.Sprintf("%d", n))))
		}
		var tasks sync.WaitGroup
		for task := range 4 {
			tasks.Go(func() {
				for i := range 200 {
					n := (i + task) % len(list)
					got := make([]byte, 1)
					if _, err := list[n].ReadAt(got, 0); errors.Is(err, env.ErrClosed) {
						continue
					} else if err != nil && err != io.EOF || got[0] != byte('0'+n) {
						t.Errorf("file %d says %q, %v", n, got, err)
					}
				}
			})
		}
		tasks.Go(func() {
			for range 10 {
				must(t, e.Rename(from, to))
				must(t, e.Rename(to, from))
			}
			must(t, e.Remove(filepath.Join(from, "3")))
			must(t, e.Rename(filepath.Join(from, "4"), filepath.Join(from, "5")))
			for _, f := range list {
				must(t, f.Close())
			}
		})
		tasks.Wait()
	}
	if len(e.files.ring) != 0 || len(e.files.dirs) != 0 {
		t.Errorf("%d files with descriptors, %d directories are left", len(e.files.ring), len(e.files.dirs))
	}
}
