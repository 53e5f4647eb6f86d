package osenv

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// files are the open files of environments. Of their descriptors only so many are kept: those that nobody has used for longest are
// closed, and had again by name when somebody does. A broker has a file for each segment of each partition, a process some 20,000
// descriptors, and sockets need theirs.
//
// A file keeps its descriptor while it holds what was not synced, for the error of a write to the disk is told to descriptors alone; and
// from when its name goes, or is another file's. Files that are moved, with or without their directory, are followed. All of it goes by the names
// that these environments are given: who moves files behind their back is found out (EIO), not followed.
type files struct {
	most  int          // descriptors kept
	names sync.RWMutex // for writing: names are changing; for reading: one is being opened. Before file.mu, and that before mu

	mu   sync.Mutex                    // guards what follows
	dirs map[string]map[*file]struct{} // all files, by the directory of their present path
	ring []*file                       // those with a descriptor
	hand int                           // of the clock that finds the one to close: used since its last round is not closed
}

// shared are the files of all environments of this process. Half of its descriptors are left to sockets.
var shared = sync.OnceValue(func() *files {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		limit.Cur = 1024
	}
	return newFiles(int(min(limit.Cur, 1<<30) / 2))
})

func newFiles(most int) *files { return &files{most: most, dirs: map[string]map[*file]struct{}{}} }

// shrinkSteps bounds how many files are looked at for one that is opened: perhaps none can be closed.
const shrinkSteps = 64

// place puts a file where its path says. mu is held.
func (t *files) place(f *file) {
	dir := filepath.Dir(f.path)
	if t.dirs[dir] == nil {
		t.dirs[dir] = map[*file]struct{}{}
	}
	t.dirs[dir][f] = struct{}{}
}

func (t *files) displace(f *file) {
	dir := filepath.Dir(f.path)
	if delete(t.dirs[dir], f); len(t.dirs[dir]) == 0 {
		delete(t.dirs, dir)
	}
}

// enter and leave say that a file has a descriptor, and has none. mu is held.
func (t *files) enter(f *file) {
	f.at = len(t.ring)
	t.ring = append(t.ring, f)
}

func (t *files) leave(f *file) {
	last := len(t.ring) - 1
	t.ring[f.at] = t.ring[last]
	t.ring[f.at].at = f.at
	t.ring[last] = nil
	t.ring = t.ring[:last]
	f.at = -1
}

// shrink closes descriptors until there are no more than most, as far as it finds some.
func (t *files) shrink(most int) {
	for range shrinkSteps {
		t.mu.Lock()
		if len(t.ring) <= most {
			t.mu.Unlock()
			return
		}
		t.hand = (t.hand + 1) % len(t.ring)
		f := t.ring[t.hand]
		t.mu.Unlock()
		if !f.used.Swap(false) {
			f.rest()
		}
	}
}

// openFD is open(2). Without a descriptor left it takes one from the files that nobody uses.
func (t *files) openFD(name string, flags int) (int, error) {
	for tries := 0; ; {
		switch fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o644); {
		case err == unix.EINTR:
		case (err == unix.EMFILE || err == unix.ENFILE) && tries < 20:
			if tries++; tries > 1 { // a socket may have been faster
				time.Sleep(time.Millisecond)
			}
			t.mu.Lock()
			open := len(t.ring)
			t.mu.Unlock()
			t.shrink(open - 1)
		default:
			return fd, err
		}
	}
}

// rename renames, and follows the files that move with it.
func (t *files) rename(old, name string, do func() error) error {
	old, name = filepath.Clean(old), filepath.Clean(name)
	t.names.Lock()
	defer t.names.Unlock()
	if err := t.keep(name); err != nil {
		return err
	}
	info, statErr := os.Lstat(old)
	if err := do(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	moved := t.named(old)
	if statErr == nil && info.IsDir() {
		for dir, files := range t.dirs {
			if dir == old || strings.HasPrefix(dir, old+"/") {
				for f := range files {
					moved = append(moved, f)
				}
			}
		}
	}
	for _, f := range moved {
		t.displace(f)
		f.path = name + f.path[len(old):]
		t.place(f)
	}
	return nil
}

// remove removes a name, whose files live on for those who have them open.
func (t *files) remove(name string, do func() error) error {
	t.names.Lock()
	defer t.names.Unlock()
	if err := t.keep(filepath.Clean(name)); err != nil {
		return err
	}
	return do()
}

// named are the files of that path. mu is held.
func (t *files) named(path string) (list []*file) {
	for f := range t.dirs[filepath.Dir(path)] {
		if f.path == path {
			list = append(list, f)
		}
	}
	return list
}

// keep gives the files of that path a descriptor for good: soon they cannot be had by it. names is held for writing.
func (t *files) keep(path string) error {
	t.mu.Lock()
	list := t.named(path)
	t.mu.Unlock()
	for _, f := range list {
		f.mu.Lock()
		err := error(nil)
		if !f.closed.Load() && f.refs.Load() == 0 {
			err = f.reopen(1)
		}
		f.kept = f.kept || err == nil
		f.mu.Unlock()
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

// file is an open file: its descriptor itself, without the poller that an os.File is introduced to with six system calls and
// that regular files cannot use.
type file struct {
	files  *files
	name   string // as it was opened
	path   string // where it is now; guarded by files.names
	flags  int    // to open it again
	dev    uint64
	ino    uint64
	hook   *Hook
	closed atomic.Bool
	used   atomic.Bool // since the clock came by
	dirty  atomic.Bool // something was written, and not synced

	fd   int          // while refs > 0
	refs atomic.Int64 // of the handle as long as it has a descriptor, and of each call in progress; the last closes the descriptor
	mu   sync.Mutex   // for going from 0 to more, and back to 0 by rest
	kept bool         // its name is gone; guarded by mu
	at   int          // in files.ring
}

// hold keeps the descriptor from being closed, and its number from being given to another file, until drop.
func (f *file) hold() error {
	for !f.closed.Load() {
		n := f.refs.Load()
		if n == 0 {
			return f.wake()
		}
		if f.refs.CompareAndSwap(n, n+1) {
			if !f.used.Load() {
				f.used.Store(true)
			}
			return nil
		}
	}
	return os.ErrClosed
}

func (f *file) drop() error {
	if f.refs.Add(-1) == 0 {
		return unix.Close(f.fd)
	}
	return nil
}

// wake is hold for a file that rests.
func (f *file) wake() error {
	f.files.names.RLock()
	f.mu.Lock()
	var err error
	switch {
	case f.closed.Load():
		err = os.ErrClosed
	case f.refs.Load() > 0: // another was faster, and rest needs mu
		f.refs.Add(1)
	default:
		err = f.reopen(2)
	}
	f.mu.Unlock()
	f.files.names.RUnlock()
	f.used.Store(true)
	f.files.shrink(f.files.most)
	return err
}

// reopen opens the file again, for so many references. names and mu are held.
func (f *file) reopen(refs int64) error {
	fd, err := f.files.openFD(f.path, f.flags)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != f.dev || st.Ino != f.ino {
		unix.Close(fd)
		return unix.EIO // it is another's name now
	}
	f.fd = fd
	f.files.mu.Lock()
	f.files.enter(f)
	f.files.mu.Unlock()
	f.refs.Store(refs)
	return nil
}

// rest closes the descriptor, if nobody uses it and it can be had again.
func (f *file) rest() {
	if !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	if f.kept || f.closed.Load() || !f.refs.CompareAndSwap(1, 0) {
		return
	}
	if f.dirty.Load() { // asked now that nobody can make it so any more
		f.refs.Store(1)
		return
	}
	f.files.mu.Lock()
	f.files.leave(f)
	f.files.mu.Unlock()
	unix.Close(f.fd)
}

// Close ends the handle. A call in progress in another task ends as if nothing had happened; the descriptor is closed behind
// the last of them.
func (f *file) Close() error {
	if f.closed.Swap(true) {
		return wrap("close", f.name, os.ErrClosed)
	}
	f.files.names.RLock()
	f.mu.Lock()
	open := f.refs.Load() > 0
	f.files.mu.Lock()
	f.files.displace(f)
	if open {
		f.files.leave(f)
	}
	f.files.mu.Unlock()
	f.mu.Unlock()
	f.files.names.RUnlock()
	if !open {
		return nil
	}
	return wrap("close", f.name, f.drop())
}
