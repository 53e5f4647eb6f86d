package osenv

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"barnabas/broker/env"
	"golang.org/x/sys/unix"
)

var openFlags = [...]int{
	env.ReadOnly:  os.O_RDONLY,
	env.ReadWrite: os.O_RDWR,
	env.Create:    os.O_RDWR | os.O_CREATE,
	env.CreateNew: os.O_RDWR | os.O_CREATE | os.O_EXCL,
}

// Open opens a file. See env.FS.
func (e *Env) Open(name string, mode env.OpenMode) (env.File, error) {
	call, err := e.hook.before(opOther, name, nil)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	defer call.end()
	f, err := os.OpenFile(name, openFlags[mode], 0o644)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	if mode == env.ReadOnly { // for the others the system refuses directories itself
		if info, err := f.Stat(); err == nil && info.IsDir() {
			f.Close()
			return nil, wrap("open", name, syscall.EISDIR)
		}
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, wrap("open", name, err)
	}
	return &file{f: f, raw: raw, name: name, hook: e.hook}, nil
}

// Rename replaces newName atomically. See env.FS.
func (e *Env) Rename(oldName, newName string) error {
	call, err := e.hook.before(opOther, newName, nil)
	if err != nil {
		return wrap("rename", oldName+" to "+newName, err)
	}
	defer call.end()
	return wrap("rename", oldName+" to "+newName, os.Rename(oldName, newName))
}

// Remove removes a file or an empty directory. See env.FS.
func (e *Env) Remove(name string) error {
	call, err := e.hook.before(opOther, name, nil)
	if err != nil {
		return wrap("remove", name, err)
	}
	defer call.end()
	return wrap("remove", name, os.Remove(name))
}

// MkdirAll makes a directory and those above it. See env.FS.
func (e *Env) MkdirAll(name string) error {
	call, err := e.hook.before(opOther, name, nil)
	if err != nil {
		return wrap("mkdir", name, err)
	}
	defer call.end()
	return wrap("mkdir", name, os.MkdirAll(name, 0o755))
}

// ReadDir lists a directory, sorted by name. A link to a directory counts as one. See env.FS.
func (e *Env) ReadDir(name string) ([]env.DirEntry, error) {
	call, err := e.hook.before(opOther, name, nil)
	if err != nil {
		return nil, wrap("readdir", name, err)
	}
	defer call.end()
	list, err := os.ReadDir(name)
	if err != nil {
		return nil, wrap("readdir", name, err)
	}
	entries := make([]env.DirEntry, len(list))
	for i, entry := range list {
		entries[i] = env.DirEntry{Name: entry.Name(), IsDir: entry.IsDir()}
		if entry.Type()&os.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(name, entry.Name()))
			entries[i].IsDir = err == nil && info.IsDir()
		}
	}
	return entries, nil
}

// Stat describes a file or directory. See env.FS.
func (e *Env) Stat(name string) (env.FileInfo, error) {
	call, err := e.hook.before(opOther, name, nil)
	if err != nil {
		return env.FileInfo{}, wrap("stat", name, err)
	}
	defer call.end()
	info, err := os.Stat(name)
	if err != nil {
		return env.FileInfo{}, wrap("stat", name, err)
	}
	return env.FileInfo{Size: info.Size(), ModTime: info.ModTime(), IsDir: info.IsDir()}, nil
}

// SyncDir makes the directory's entries durable with fsync(2). See env.FS.
func (e *Env) SyncDir(name string) error {
	call, err := e.hook.before(opSync, name, nil)
	if err != nil {
		return wrap("fsync", name, err)
	}
	defer call.end()
	dir, err := os.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return wrap("fsync", name, err)
	}
	return wrap("fsync", name, errors.Join(dir.Sync(), dir.Close()))
}

// file is an open file. Its descriptor stays valid while a call uses it, even if another task closes it meanwhile.
type file struct {
	f    *os.File
	raw  syscall.RawConn
	name string
	hook *Hook
}

// ReadAt is pread(2) until p is full or the file ends.
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	call, err := f.hook.before(opRead, f.name, nil)
	if err != nil {
		return 0, wrap("read", f.name, err)
	}
	defer call.end()
	n, err := f.f.ReadAt(p, offset)
	return n, wrap("read", f.name, err)
}

// WriteAt is pwrite(2) until p is written.
func (f *file) WriteAt(p []byte, offset int64) (int, error) {
	call, err := f.hook.before(opWrite, f.name, func() int64 { return f.grows(offset + int64(len(p))) })
	if err == errTorn {
		n, _ := f.f.WriteAt(p[:len(p)/2], offset)
		return n, wrap("write", f.name, err)
	}
	if err != nil {
		return 0, wrap("write", f.name, err)
	}
	defer call.end()
	n, err := f.f.WriteAt(p, offset)
	return n, wrap("write", f.name, err)
}

// Truncate sets the size.
func (f *file) Truncate(size int64) error {
	call, err := f.hook.before(opWrite, f.name, func() int64 { return f.grows(size) })
	if err != nil {
		return wrap("truncate", f.name, err)
	}
	defer call.end()
	return wrap("truncate", f.name, f.f.Truncate(size))
}

// grows is by how much the file grows if it is to reach end.
func (f *file) grows(end int64) int64 {
	info, err := f.f.Stat()
	if err != nil {
		return 0
	}
	return end - info.Size()
}

// Size is the current size.
func (f *file) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, wrap("stat", f.name, err)
	}
	return info.Size(), nil
}

// Sync is fdatasync(2): content and size, which is all that a reader needs to find it again, but not the times.
func (f *file) Sync() error {
	call, err := f.hook.before(opSync, f.name, nil)
	if err != nil {
		return wrap("fdatasync", f.name, err)
	}
	defer call.end()
	if cerr := f.raw.Control(func(fd uintptr) {
		for {
			if err = unix.Fdatasync(int(fd)); err != unix.EINTR {
				return
			}
		}
	}); cerr != nil {
		err = os.ErrClosed // Control fails at nothing else, and says so in an error of its own
	}
	return wrap("fdatasync", f.name, err)
}

// Close ends the handle.
func (f *file) Close() error { return wrap("close", f.name, f.f.Close()) }

// Name is the path given to Open.
func (f *file) Name() string { return f.name }
