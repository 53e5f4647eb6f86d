package disk

import (
	"fmt"
	"io"

	"barnabas/broker/env"
)

// fileSizeMax bounds the offsets of a file, as file systems do.
const fileSizeMax = 1 << 40

// file is an open file of one life.
type file struct {
	life     *life
	ino      *inode
	name     string
	readOnly bool
	closed   bool
}

var _ env.File = (*file)(nil)

// enter is life.enter for a handle.
func (f *file) enter(op Op) error {
	if f.closed {
		return env.ErrClosed
	}
	if err := f.life.enter(op, f.ino, f.name); err != nil {
		return err
	}
	if f.closed { // by another task, at the scheduling point
		return env.ErrClosed
	}
	if op == OpWrite && f.readOnly {
		return errReadOnly
	}
	return nil
}

// ReadAt fills p or returns io.EOF with what there was. See env.File.
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.enter(OpRead); err != nil {
		return 0, wrap("read", f.name, err)
	}
	if offset < 0 {
		return 0, wrap("read", f.name, fmt.Errorf("negative offset %d: %w", offset, errInvalid))
	}
	if f.ino.cold {
		// The first reader after a power loss fetches the file from the device, for all.
		f.ino.cold = false
		f.life.disk.transfer(f.life.host, f.ino.cache.used())
		if f.closed || f.life.dead() {
			return 0, wrap("read", f.name, env.ErrClosed)
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	n := int(min(int64(len(p)), max(0, f.ino.cache.size-offset)))
	f.ino.cache.readAt(p[:n], offset)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes all of p to the cache. On a full device it writes what fits. See env.File.
func (f *file) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.enter(OpWrite); err != nil {
		return 0, wrap("write", f.name, err)
	}
	if offset < 0 || offset > fileSizeMax-int64(len(p)) {
		return 0, wrap("write", f.name, fmt.Errorf("offset %d, length %d: %w", offset, len(p), errInvalid))
	}
	if len(p) == 0 {
		return 0, nil
	}
	d, fits := f.life.disk, len(p)
	end := offset + int64(len(p))
	if d.torn {
		p = p[:d.tear(len(p))]
		if len(p) > 0 {
			f.write(p, offset)
		}
		return len(p), wrap("write", f.name, f.life.failed(OpWrite, f.ino))
	}
	if to := d.misplaced(f.name, offset, len(p)); to != offset {
		f.write(p, to)
		if f.ino.cache.size < end { // its own place stays a hole
			f.ino.resize(end)
			f.changed(0)
		}
		return len(p), nil
	}
	grown := f.ino.cache.growth(offset, int64(len(p)))
	if d.capacity > 0 && grown > 0 && d.used+grown > d.capacity {
		fits = int(max(0, int64(len(p))-(d.used+grown-max(d.capacity, d.used))))
	}
	if fits > 0 {
		f.write(p[:fits], offset)
	}
	if fits < len(p) {
		return fits, wrap("write", f.name, f.life.full(f.ino))
	}
	return fits, nil
}

// write writes p to the cache.
func (f *file) write(p []byte, offset int64) {
	grown := f.ino.cache.growth(offset, int64(len(p)))
	f.ino.write(p, offset)
	f.changed(grown)
	f.life.host.Event(EvWrite, f.ino.id, offset+int64(len(p)))
}

// Truncate sets the size. See env.File.
func (f *file) Truncate(size int64) error {
	if err := f.enter(OpWrite); err != nil {
		return wrap("truncate", f.name, err)
	}
	if size < 0 || size > fileSizeMax {
		return wrap("truncate", f.name, fmt.Errorf("size %d: %w", size, errInvalid))
	}
	before := int64(0)
	if size < f.ino.cache.size {
		before = f.ino.cache.used()
	}
	shrinks := size < f.ino.cache.size
	f.ino.resize(size)
	var grown int64
	if shrinks {
		grown = f.ino.cache.used() - before
	}
	f.changed(grown)
	f.life.host.Event(EvTruncate, f.ino.id, size)
	return nil
}

// changed keeps the books after a change that allocated grown bytes.
func (f *file) changed(grown int64) {
	f.ino.mod = f.life.host.WallTime()
	f.life.disk.used += grown
	f.life.disk.soil(f.ino)
}

// Size is the current size. It is no scheduling point.
func (f *file) Size() (int64, error) {
	if f.closed || f.life.dead() {
		return 0, wrap("stat", f.name, env.ErrClosed)
	}
	return f.ino.cache.size, nil
}

// Sync makes durable what was written before it began. See env.File, and the package comment for what a failed one
// leaves behind.
func (f *file) Sync() error {
	if err := f.sync(); err != nil {
		return wrap("fdatasync", f.name, err)
	}
	return nil
}

func (f *file) sync() error {
	l, ino := f.life, f.ino
	if f.closed || l.dead() {
		return env.ErrClosed
	}
	l.host.Yield()
	if f.closed || l.dead() {
		return env.ErrClosed
	}
	if len(ino.log) == 0 {
		return nil
	}
	mark, bytes := ino.seq, ino.dirtyBytes
	if err := f.flush(bytes); err != nil {
		return err
	}
	if l.disk.fail[OpSync] {
		ino.abandon(mark)
		return l.failed(OpSync, ino)
	}
	if l.disk.broken(f.name) {
		ino.abandon(mark)
		return l.failedUnder(OpSync, ino)
	}
	ino.written(mark)
	l.disk.soil(ino)
	l.host.Event(EvSync, ino.id, bytes)
	return nil
}

// flush is life.flush, during which the file's changes are kept apart from those to come.
func (f *file) flush(bytes int64) error {
	f.ino.syncing++
	defer func() { f.ino.syncing = max(0, f.ino.syncing-1) }()
	return f.life.flush(bytes)
}

// Close ends the handle; a second one is env.ErrClosed. It is no scheduling point.
func (f *file) Close() error {
	if f.closed || f.life.dead() {
		return wrap("close", f.name, env.ErrClosed)
	}
	f.closed = true
	f.ino.opens--
	f.life.disk.free(f.ino)
	return nil
}

// Name is the path given to Open.
func (f *file) Name() string { return f.name }
