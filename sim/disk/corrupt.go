package disk

import (
	"slices"
	"strings"
)

// What no file system promises against: bits that turn, writes that land elsewhere, entries that vanish, and disks in
// the wrong machine.

// SetTorn makes every write fail with env.ErrIO once it has written a random leading part of what it should, from now
// on or no longer: what a process leaves that is told of an error in the middle of a write.
func (d *Disk) SetTorn(on bool) { d.torn = on }

// SetMisdirect lets one write to a file of a matching name land at another place in that file, a sector or more before
// its own, whose bytes stay zero; nil calls it off. What the caller sees is a write that succeeded.
func (d *Disk) SetMisdirect(match func(name string) bool) { d.misdirect = match }

// misplaced is where a write to off lands.
func (d *Disk) misplaced(name string, off int64, n int) int64 {
	if d.misdirect == nil || n == 0 || off < sectorSize || !d.misdirect(name) {
		return off
	}
	d.misdirect = nil
	d.fired.Misdirected++
	d.corrupted = true
	return d.power.Int64N(off/sectorSize) * sectorSize
}

// tear is how much of a write of n bytes is done before it fails.
func (d *Disk) tear(n int) int {
	d.fired.Torn++
	return d.power.IntN(n)
}

// FlipBits turns so many random bits in files of a matching name, cached and on the device alike, and returns how many
// it found: 0 if there is nothing in any.
func (d *Disk) FlipBits(bits int, match func(name string) bool) int {
	var files []*inode
	find(d.root.dir, "", func(name string, _ *directory, ino *inode) {
		if ino.dir == nil && ino.cache.size > 0 && match(name) {
			files = append(files, ino)
		}
	})
	if len(files) == 0 {
		return 0
	}
	for range bits {
		ino := files[d.power.IntN(len(files))]
		at, bit := d.power.Int64N(ino.cache.size), byte(1)<<d.power.IntN(8)
		flip(&ino.cache, at, bit)
		if ino.device != nil && at < ino.device.size {
			flip(ino.device, at, bit)
		}
	}
	d.corrupted = true
	return bits
}

func flip(c *content, at int64, bit byte) {
	var b [1]byte
	c.readAt(b[:], at)
	b[0] ^= bit
	c.writeAt(b[:], at)
}

// LoseEntry takes the newest file of a matching name out of its directory, synced or not, and returns its name, "" if
// there is none. No life may run.
func (d *Disk) LoseEntry(match func(name string) bool) string {
	var lost struct {
		name string
		dir  *directory
		ino  *inode
	}
	find(d.root.dir, "", func(name string, dir *directory, ino *inode) {
		if ino.dir == nil && match(name) && (lost.ino == nil || ino.id > lost.ino.id) {
			lost.name, lost.dir, lost.ino = name, dir, ino
		}
	})
	if lost.ino == nil {
		return ""
	}
	d.commit(lost.dir, d.opSeq)
	lost.dir.set(lost.name[strings.LastIndexByte(lost.name, '/')+1:], nil)
	d.dirty = slices.DeleteFunc(d.dirty, func(ino *inode) bool { return ino == lost.ino })
	for i, ino := range d.dirty {
		ino.dirtyAt = i + 1
	}
	d.recount()
	return lost.name
}

// Corrupted tells whether anything on the disk has become other than it was written, by FlipBits or SetMisdirect, since
// it was made or erased.
func (d *Disk) Corrupted() bool { return d.corrupted }

// Swap exchanges what two disks hold, as if each were put into the other's machine. No life may run on either.
func Swap(a, b *Disk) {
	a.root, b.root = b.root, a.root
	a.ops, b.ops = b.ops, a.ops
	a.dirty, b.dirty = b.dirty, a.dirty
	a.corrupted, b.corrupted = b.corrupted, a.corrupted
	a.ids, a.opSeq = max(a.ids, b.ids), max(a.opSeq, b.opSeq)
	b.ids, b.opSeq = a.ids, a.opSeq
	for _, d := range []*Disk{a, b} {
		// Handles of a life of the other machine are not this machine's.
		walk(d.root.dir, func(ino *inode) { ino.opens, ino.openLife = 0, 0 })
		d.recount()
	}
}

// find calls f for every file and directory below dir, in order of names.
func find(dir *directory, above string, f func(name string, in *directory, ino *inode)) {
	for i, ino := range dir.inodes {
		name := above + "/" + dir.names[i]
		f(name, dir, ino)
		if ino.dir != nil {
			find(ino.dir, name, f)
		}
	}
}

// recount adds up what is allocated.
func (d *Disk) recount() {
	d.used = 0
	walk(d.root.dir, func(ino *inode) { d.used += ino.cache.used() })
}
