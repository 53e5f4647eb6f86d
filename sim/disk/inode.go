package disk

import (
	"math/rand/v2"
	"time"
)

const (
	sectorSize = 512
	// A file's log keeps its writes apart up to this many, so that a power loss can take them one by one; appends
	// behind that are merged into one change, which still tears at sectors.
	changesApart = 128
	// Behind this many the older half counts as written back by the kernel, to bound memory.
	changesMax = 8192
)

// inode is a file or a directory.
type inode struct {
	id   int64
	dir  *directory // nil for a file
	mod  time.Time
	cold bool // nothing of it was read since the last power loss

	cache content  // what readers see
	log   []change // what the device lacks of it, oldest first
	// device is what the device holds without the log. It is kept apart only after a failed sync, when the cache
	// holds changes that are in no log any more; nil means that undoing the log gives it.
	device     *content
	seq        int64 // of the last change
	dirtyBytes int64 // in log
	syncing    int   // syncs in progress: changes must not be merged across their marks
	dirtyAt    int   // 1 + index in Disk.dirty; 0 when not there

	unlinked bool
	opens    int   // handles, counted for
	openLife int64 // this life
	lockLife int64 // the life that locked it, a directory; 0 for none
}

// change is one unsynced write or truncation.
type change struct {
	seq      int64
	off, n   int64 // a write's range; of a truncation, off is the new size and n is -1
	size     int64 // the file's size before
	undo     []byte
	undoTail content // of a truncation
}

func (c *change) truncation() bool { return c.n < 0 }

// write applies p at off to the cache and logs it.
func (ino *inode) write(p []byte, off int64) {
	ino.seq++
	end := off + int64(len(p))
	c := change{seq: ino.seq, off: off, n: int64(len(p)), size: ino.cache.size}
	if off < c.size {
		c.undo = make([]byte, min(end, c.size)-off)
		ino.cache.readAt(c.undo, off)
	}
	ino.cache.writeAt(p, off)
	ino.dirtyBytes += c.n
	if last := len(ino.log) - 1; last >= changesApart && ino.syncing == 0 && off == c.size {
		if l := &ino.log[last]; !l.truncation() && l.undo == nil && l.off == l.size && l.off+l.n == off {
			l.n, l.seq = l.n+c.n, c.seq
			return
		}
	}
	ino.log = append(ino.log, c)
	ino.bound()
}

// resize truncates the cache or extends it with zeros, and logs it.
func (ino *inode) resize(size int64) {
	if size == ino.cache.size {
		return
	}
	ino.seq++
	c := change{seq: ino.seq, off: size, n: -1, size: ino.cache.size}
	if size < c.size {
		c.undoTail = ino.cache.tail(size)
	}
	ino.cache.truncate(size)
	ino.log = append(ino.log, c)
	ino.bound()
}

func (ino *inode) bound() {
	if len(ino.log) > changesMax {
		ino.written(ino.log[len(ino.log)/2].seq)
	}
}

// written moves all changes up to mark to the device: a sync that succeeded.
func (ino *inode) written(mark int64) {
	n := ino.upTo(mark)
	if ino.device != nil {
		for i := range n {
			ino.writeBack(&ino.log[i])
		}
	}
	ino.forget(n)
}

// writeBack copies one change to the device content. Bytes that were overwritten since go there as they are now: the
// kernel writes pages, not changes.
func (ino *inode) writeBack(c *change) {
	if c.truncation() {
		ino.device.truncate(c.off)
		return
	}
	if end := min(c.off+c.n, ino.cache.size); end > c.off {
		p := make([]byte, end-c.off)
		ino.cache.readAt(p, c.off)
		ino.device.writeAt(p, c.off)
	}
	ino.device.size = max(ino.device.size, c.off+c.n)
}

// abandon marks all changes up to mark clean though the device never got them: a sync that failed.
func (ino *inode) abandon(mark int64) {
	if ino.device == nil {
		device := ino.cache.clone()
		for i := len(ino.log) - 1; i >= 0; i-- {
			undo(&device, &ino.log[i])
		}
		ino.device = &device
	}
	ino.forget(ino.upTo(mark))
}

// upTo counts the changes up to mark.
func (ino *inode) upTo(mark int64) int {
	n := 0
	for n < len(ino.log) && ino.log[n].seq <= mark {
		n++
	}
	return n
}

// forget drops the first n changes.
func (ino *inode) forget(n int) {
	for i := range n {
		ino.dirtyBytes -= max(0, ino.log[i].n)
	}
	rest := copy(ino.log, ino.log[n:])
	clear(ino.log[rest:])
	ino.log = ino.log[:rest]
	if rest == 0 && cap(ino.log) > changesApart {
		ino.log = nil
	}
}

// clean reports whether the device has all that the cache has.
func (ino *inode) clean() bool { return len(ino.log) == 0 && ino.device == nil }

func undo(c *content, ch *change) {
	if !ch.truncation() {
		c.writeAt(ch.undo, ch.off)
		c.truncate(ch.size)
		return
	}
	c.truncate(min(c.size, ch.size))
	if ch.off < ch.size {
		c.restore(ch.off, ch.undoTail)
	}
}

// losePower leaves what the device holds, and of the log what keep and chance say. It returns how many bytes of
// unsynced writes were lost, and whether anything was.
func (ino *inode) losePower(keep Keep, r *rand.Rand) (lost int64, any bool) {
	return ino.loseBy(newSurvival(keep, len(ino.log), r))
}

func (ino *inode) loseBy(s *survival) (lost int64, any bool) {
	any = ino.device != nil
	writes := make([][]byte, len(ino.log)) // what each change wrote
	for i := len(ino.log) - 1; i >= 0; i-- {
		if c := &ino.log[i]; !c.truncation() {
			writes[i] = make([]byte, c.n)
			ino.cache.readAt(writes[i], c.off)
		}
		undo(&ino.cache, &ino.log[i])
	}
	if ino.device != nil {
		ino.cache = *ino.device
	}
	for i := range ino.log {
		lost += s.apply(&ino.cache, &ino.log[i], i, writes[i])
	}
	any = any || s.lossy
	ino.log, ino.device, ino.dirtyBytes, ino.dirtyAt, ino.syncing, ino.cold = nil, nil, 0, 0, 0, true
	return lost, any
}
