package osenv

import (
	"errors"
	"io"
	"os"
	"path/filepath"

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
	f, err := e.files.openFile(name, mode)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	f.hook = e.hook
	return f, nil
}

func (t *files) openFile(name string, mode env.OpenMode) (*file, error) {
	defer t.shrink(t.most)
	t.names.RLock() // the name stays this file's until it is known here
	defer t.names.RUnlock()
	fd, err := t.openFD(name, openFlags[mode])
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if mode == env.ReadOnly && st.Mode&unix.S_IFMT == unix.S_IFDIR { // for the others the system refuses directories itself
		err = unix.EISDIR
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := &file{files: t, fd: fd, name: name, path: filepath.Clean(name), flags: openFlags[mode] &^ (os.O_CREATE | os.O_EXCL), dev: st.Dev, ino: st.Ino}
	f.refs.Store(1)
	t.mu.Lock()
	t.place(f)
	t.enter(f)
	t.mu.Unlock()
	return f, nil
}

// openFD is open(2).
func openFD(name string, flags int) (int, error) {
	for {
		fd, err := unix.Open(name, flags, 0o644)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Rename replaces newName atomically. See env.FS.
func (e *Env) Rename(oldName, newName string) error {
	call, err := e.hook.before(opOther, newName, nil)
	if err != nil {
		return wrap("rename", oldName+" to "+newName, err)
	}
	defer call.end()
	return wrap("rename", oldName+" to "+newName, e.files.rename(oldName, newName, func() error { return os.Rename(oldName, newName) }))
}

// Remove removes a file or an empty directory. See env.FS.
func (e *Env) Remove(name string) error {
	call, err := e.hook.before(opOther, name, nil)
	if err != nil {
		return wrap("remove", name, err)
	}
	defer call.end()
	return wrap("remove", name, e.files.remove(name, func() error { return os.Remove(name) }))
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
	fd, err := openFD(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return wrap("fsync", name, err)
	}
	for {
		if err = unix.Fsync(fd); err != unix.EINTR {
			break
		}
	}
	return wrap("fsync", name, errors.Join(err, unix.Close(fd)))
}

// Lock locks the file ".lock" in the directory, as Kafka does. The lock belongs to the open file, so that this process, too, gets it
// only once, and it is seen by a Java broker's, which belongs to a process. See env.FS.
//
// Source: FileLock (kafka.utils), LogManager#lockLogDirs.
func (e *Env) Lock(dir string) (io.Closer, error) {
	name := filepath.Join(dir, ".lock")
	call, err := e.hook.before(opOther, name, nil)
	if err != nil {
		return nil, wrap("lock", name, err)
	}
	defer call.end()
	fd, err := openFD(name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC)
	if err != nil {
		return nil, wrap("lock", name, err)
	}
	if err := lockFD(fd); err != nil {
		unix.Close(fd)
		return nil, wrap("lock", name, err)
	}
	return lock(fd), nil
}

// lockFD locks an open file. A file system without locks of open files has flock(2), of which only our own kind knows.
func lockFD(fd int) error {
	for {
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
		if err == unix.EINVAL || err == unix.ENOSYS {
			err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		}
		switch err {
		case unix.EINTR:
		case unix.EAGAIN, unix.EACCES:
			return env.ErrLocked
		default:
			return err
		}
	}
}

// lock is the descriptor of a locked file.
type lock int

func (l lock) Close() error { return wrap("close", ".lock", unix.Close(int(l))) }

// ReadAt is pread(2) until p is full or the file ends.
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	call, err := f.hook.before(opRead, f.name, nil)
	if err != nil {
		return 0, wrap("read", f.name, err)
	}
	defer call.end()
	n, err := f.read(p, offset)
	return n, wrap("read", f.name, err)
}

func (f *file) read(p []byte, offset int64) (int, error) {
	if err := f.hold(); err != nil {
		return 0, err
	}
	defer f.drop()
	for read := 0; ; {
		if read == len(p) {
			return read, nil
		}
		n, err := unix.Pread(f.fd, p[read:min(len(p), read+ioMax)], offset+int64(read))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return read, err
		case n == 0:
			return read, io.EOF
		default:
			read += n
		}
	}
}

// ioMax bounds one read or write: the system does no more at once than 0x7ffff000 bytes.
const ioMax = 1 << 30

// WriteAt is pwrite(2) until p is written.
func (f *file) WriteAt(p []byte, offset int64) (int, error) {
	call, err := f.hook.before(opWrite, f.name, func() int64 { return f.grows(offset + int64(len(p))) })
	if err == errTorn {
		n, _ := f.write(p[:len(p)/2], offset)
		return n, wrap("write", f.name, err)
	}
	if err != nil {
		return 0, wrap("write", f.name, err)
	}
	defer call.end()
	n, err := f.write(p, offset)
	return n, wrap("write", f.name, err)
}

func (f *file) write(p []byte, offset int64) (written int, err error) {
	if err := f.hold(); err != nil {
		return 0, err
	}
	defer f.drop()
	f.dirty.Store(true)
	for written < len(p) {
		n, err := unix.Pwrite(f.fd, p[written:min(len(p), written+ioMax)], offset+int64(written))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return written, err
		case n == 0:
			return written, io.ErrUnexpectedEOF
		default:
			written += n
		}
	}
	return written, nil
}

// Truncate sets the size.
func (f *file) Truncate(size int64) error {
	call, err := f.hook.before(opWrite, f.name, func() int64 { return f.grows(size) })
	if err != nil {
		return wrap("truncate", f.name, err)
	}
	defer call.end()
	return wrap("truncate", f.name, f.do(func() error { f.dirty.Store(true); return unix.Ftruncate(f.fd, size) }))
}

// do makes a system call on the descriptor, again while signals interrupt it.
func (f *file) do(call func() error) error {
	if err := f.hold(); err != nil {
		return err
	}
	defer f.drop()
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// grows is by how much the file grows if it is to reach end.
func (f *file) grows(end int64) int64 {
	size, err := f.Size()
	if err != nil {
		return 0
	}
	return end - size
}

// Size is the current size.
func (f *file) Size() (int64, error) {
	var st unix.Stat_t
	if err := f.do(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		return 0, wrap("stat", f.name, err)
	}
	return st.Size, nil
}

// Sync is fdatasync(2): content and size, which is all that a reader needs to find it again, but not the times.
func (f *file) Sync() error {
	call, err := f.hook.before(opSync, f.name, nil)
	if err != nil {
		return wrap("fdatasync", f.name, err)
	}
	defer call.end()
	return wrap("fdatasync", f.name, f.do(func() error {
		f.dirty.Store(false) // what is written from here on makes it so again
		err := unix.Fdatasync(f.fd)
		if err != nil {
			f.dirty.Store(true)
		}
		return err
	}))
}

// Name is the path given to Open.
func (f *file) Name() string { return f.name }
