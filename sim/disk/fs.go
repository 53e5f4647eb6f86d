package disk

import (
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"barnabas/broker/env"
)

// life is the file system as one life of the node sees it.
type life struct {
	disk   *Disk
	host   Host
	number int64
}

var _ env.FS = (*life)(nil)

func (l *life) dead() bool { return l.number != l.disk.life }

// enter is the scheduling point at the start of each call, where the life may end and faults strike.
func (l *life) enter(op Op, ino *inode, names ...string) error {
	if l.dead() {
		return env.ErrClosed
	}
	l.host.Yield()
	if l.dead() {
		return env.ErrClosed
	}
	l.disk.cached(l.host, op)
	if l.dead() {
		return env.ErrClosed
	}
	if l.disk.fail[op] {
		return l.failed(op, ino)
	}
	for _, name := range names {
		if l.disk.broken(name) {
			return l.failedUnder(op, ino)
		}
	}
	return nil
}

// failedUnder is failed for a call below the path that SetFailUnder names.
func (l *life) failedUnder(op Op, ino *inode) error {
	l.disk.fired.Under++
	l.host.Event(EvFail, id(ino), int64(op))
	return env.ErrIO
}

// failed counts and reports a call that fails with ErrIO.
func (l *life) failed(op Op, ino *inode) error {
	l.disk.fired.Fail[op]++
	l.host.Event(EvFail, id(ino), int64(op))
	return env.ErrIO
}

// full counts and reports a call that fails with ErrNoSpace.
func (l *life) full(ino *inode) error {
	l.disk.fired.NoSpace++
	l.host.Event(EvFail, id(ino), int64(OpCount))
	return env.ErrNoSpace
}

func id(ino *inode) int64 {
	if ino == nil {
		return 0
	}
	return ino.id
}

func wrap(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// Open opens a file. See env.FS.
func (l *life) Open(name string, mode env.OpenMode) (env.File, error) {
	f, err := l.open(name, mode)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	return f, nil
}

func (l *life) open(name string, mode env.OpenMode) (*file, error) {
	if err := l.enter(OpRead, nil, name); err != nil {
		return nil, err
	}
	ino, err := l.disk.lookup(clean(name))
	switch {
	case err == nil && ino.dir != nil:
		return nil, errIsDirectory
	case err == nil && mode == env.CreateNew:
		return nil, env.ErrExist
	case err != nil && (mode == env.ReadOnly || mode == env.ReadWrite):
		return nil, err
	case err != nil:
		if ino, err = l.create(name); err != nil {
			return nil, err
		}
	}
	if ino.openLife != l.number {
		ino.openLife, ino.opens = l.number, 0
	}
	ino.opens++
	l.host.Event(EvOpen, ino.id, int64(mode))
	return &file{life: l, ino: ino, name: name, readOnly: mode == env.ReadOnly}, nil
}

func (l *life) create(name string) (*inode, error) {
	d := l.disk
	dir, last, err := d.parent(clean(name))
	if err != nil {
		return nil, err
	}
	if d.fail[OpMeta] {
		return nil, l.failed(OpMeta, nil)
	}
	if d.capacity > 0 && d.used >= d.capacity {
		return nil, l.full(nil)
	}
	ino := d.newInode(false)
	ino.mod = l.host.WallTime()
	d.do(edit{dir: dir, name: last, after: ino})
	return ino, nil
}

// Rename replaces newName atomically. See env.FS.
func (l *life) Rename(oldName, newName string) error {
	if err := l.rename(clean(oldName), clean(newName)); err != nil {
		return wrap("rename", oldName+" to "+newName, err)
	}
	return nil
}

func (l *life) rename(oldName, newName string) error {
	if err := l.enter(OpMeta, nil, oldName, newName); err != nil {
		return err
	}
	d := l.disk
	from, fromName, err := d.parent(oldName)
	if err != nil {
		return err
	}
	ino := from.get(fromName)
	if ino == nil {
		return fs.ErrNotExist
	}
	to, toName, err := d.parent(newName)
	if err != nil {
		return err
	}
	replaced := to.get(toName)
	switch {
	case replaced == ino:
		return nil
	case replaced != nil && replaced.dir != nil:
		return fs.ErrExist
	case replaced != nil && ino.dir != nil:
		return errNotDirectory
	case ino.dir != nil && (ino.dir == to || holds(ino.dir, to)):
		return errInvalid
	}
	d.do(edit{dir: from, name: fromName, before: ino}, edit{dir: to, name: toName, before: replaced, after: ino})
	if replaced != nil {
		replaced.unlinked = true
		d.free(replaced)
	}
	l.host.Event(EvMeta, ino.id, 1)
	return nil
}

// Remove removes a file or an empty directory. See env.FS.
func (l *life) Remove(name string) error {
	if err := l.remove(clean(name)); err != nil {
		return wrap("remove", name, err)
	}
	return nil
}

func (l *life) remove(name string) error {
	if err := l.enter(OpMeta, nil, name); err != nil {
		return err
	}
	dir, last, err := l.disk.parent(name)
	if err != nil {
		return err
	}
	ino := dir.get(last)
	if ino == nil {
		return fs.ErrNotExist
	}
	if ino.dir != nil && len(ino.dir.names) > 0 {
		return errNotEmpty
	}
	l.disk.do(edit{dir: dir, name: last, before: ino})
	ino.unlinked = true
	l.disk.free(ino)
	l.host.Event(EvMeta, ino.id, 2)
	return nil
}

// MkdirAll makes a directory and those above it. See env.FS.
func (l *life) MkdirAll(name string) error {
	err := l.enter(OpMeta, nil, name)
	if err == nil {
		err = l.disk.mkdirAll(name, l.host.WallTime(), l.host)
	}
	if err != nil {
		return wrap("mkdir", name, err)
	}
	return nil
}

func (d *Disk) mkdirAll(name string, now time.Time, h Host) error {
	ino := d.root
	for part := range strings.SplitSeq(clean(name), "/") {
		if part == "" {
			continue
		}
		if ino.dir == nil {
			return errNotDirectory
		}
		next := ino.dir.get(part)
		if next == nil {
			next = d.newInode(true)
			next.mod = now
			d.do(edit{dir: ino.dir, name: part, after: next})
			if h != nil {
				h.Event(EvMeta, next.id, 0)
			}
		}
		ino = next
	}
	if ino.dir == nil {
		return errNotDirectory
	}
	return nil
}

// ReadDir lists a directory. See env.FS.
func (l *life) ReadDir(name string) ([]env.DirEntry, error) {
	dir, err := l.directory(name, OpRead)
	if err != nil {
		return nil, wrap("readdir", name, err)
	}
	entries := make([]env.DirEntry, len(dir.dir.names))
	for i, entry := range dir.dir.names {
		entries[i] = env.DirEntry{Name: entry, IsDir: dir.dir.inodes[i].dir != nil}
	}
	return entries, nil
}

// Stat describes a file or directory. See env.FS.
func (l *life) Stat(name string) (env.FileInfo, error) {
	err := l.enter(OpRead, nil, name)
	var ino *inode
	if err == nil {
		ino, err = l.disk.lookup(clean(name))
	}
	if err != nil {
		return env.FileInfo{}, wrap("stat", name, err)
	}
	return env.FileInfo{Size: ino.cache.size, ModTime: ino.mod, IsDir: ino.dir != nil}, nil
}

// SyncDir makes the directory's entries durable. See env.FS.
func (l *life) SyncDir(name string) error {
	err := l.syncDir(name)
	if err != nil {
		return wrap("fsync", name, err)
	}
	return nil
}

func (l *life) syncDir(name string) error {
	d := l.disk
	if l.dead() {
		return env.ErrClosed
	}
	l.host.Yield()
	if l.dead() {
		return env.ErrClosed
	}
	ino, err := d.lookup(clean(name))
	if err != nil {
		return err
	}
	if ino.dir == nil {
		return errNotDirectory
	}
	if !d.pending(ino.dir) {
		return nil
	}
	mark := d.opSeq
	if err := l.flush(4096); err != nil {
		return err
	}
	if d.fail[OpSync] {
		return l.failed(OpSync, ino)
	}
	d.commit(ino.dir, mark)
	l.host.Event(EvSyncDir, ino.id, 0)
	return nil
}

// Lock takes a directory until this life ends. It costs nothing, is no scheduling point and meets no fault: what a broker does
// next with the directory meets them. See env.FS.
func (l *life) Lock(dir string) (io.Closer, error) {
	ino, err := l.disk.lookup(clean(dir))
	switch {
	case l.dead():
		err = env.ErrClosed
	case err != nil:
	case ino.dir == nil:
		err = errNotDirectory
	case ino.lockLife == l.number:
		err = env.ErrLocked
	}
	if err != nil {
		return nil, wrap("lock", dir, err)
	}
	ino.lockLife = l.number
	return &lock{ino, l.number}, nil
}

// lock is a directory's, held by one life.
type lock struct {
	ino  *inode
	life int64
}

func (l *lock) Close() error {
	if l.ino.lockLife == l.life {
		l.ino.lockLife = 0
	}
	return nil
}

// flush takes the time of moving n bytes to the device for good.
func (l *life) flush(n int64) error {
	l.disk.transfer(l.host, n)
	if l.dead() {
		return env.ErrClosed
	}
	if wait := l.disk.flush(); wait > 0 {
		l.host.Sleep(wait)
	}
	if l.dead() {
		return env.ErrClosed
	}
	return nil
}

func (l *life) directory(name string, op Op) (*inode, error) {
	if err := l.enter(op, nil, name); err != nil {
		return nil, err
	}
	ino, err := l.disk.lookup(clean(name))
	if err != nil {
		return nil, err
	}
	if ino.dir == nil {
		return nil, errNotDirectory
	}
	return ino, nil
}

// holds tells whether below lies somewhere under top.
func holds(top, below *directory) bool {
	found := false
	walk(top, func(ino *inode) { found = found || ino.dir == below })
	return found
}

// clean resolves "..", which lookups do not know.
func clean(name string) string {
	if strings.Contains(name, "..") {
		return path.Clean("/" + name)
	}
	return name
}
