package disk

import (
	"math/rand/v2"
	"time"

	"barnabas/broker/env"
)

// Host runs one life of the disk's node. Yield and Sleep may not return when that life ends: they unwind the task.
type Host interface {
	// Yield is a scheduling point.
	Yield()
	// Sleep waits for d of virtual time.
	Sleep(d time.Duration)
	// Now is the virtual time.
	Now() env.Instant
	// WallTime is the node's wall clock, for modification times.
	WallTime() time.Time
	// Event puts one of the disk's events, with its two numbers, into the world's rolling hash. See the Ev constants.
	Event(kind uint64, a, b int64)
}

// The kinds of events a Host is told about, and what their numbers are.
const (
	EvWrite    uint64 = 0xd150_0001 + iota // inode, offset after it
	EvTruncate                             // inode, new size
	EvSync                                 // inode, bytes that were dirty
	EvSyncDir                              // inode, 0
	EvOpen                                 // inode, mode
	EvMeta                                 // inode, 0 for a new directory, 1 for a rename, 2 for a removal
	EvFail                                 // inode, class of calls (Op); OpCount for a full device
)

// Streams opens named random streams; rng.Source of sim/rng is one.
type Streams interface {
	Stream(name string) *rand.Rand
}

// Disk is the disk of one node. All its methods are called between the steps of the node's tasks, never during one.
type Disk struct {
	device
	power *rand.Rand
	root  *inode
	ids   int64
	ops   []dirOp // unsynced, oldest first
	opSeq int64
	dirty []*inode // those that are not clean
	used  int64    // bytes
	life  int64    // 0 before the first; -life when it has ended

	torn      bool                   // see SetTorn
	misdirect func(name string) bool // see SetMisdirect
	corrupted bool
}

// New makes an empty disk with a root directory. The name ("2", "zk") makes its streams its own.
func New(name string, streams Streams, p Profile) *Disk {
	d := &Disk{power: streams.Stream("disk/" + name + "/power")}
	d.profile, d.latency, d.slow, d.capacity = p, streams.Stream("disk/"+name+"/latency"), 1, p.Capacity
	d.root = d.newInode(true)
	return d
}

// FS begins a life: it returns the file system as the tasks behind h see it. What an earlier life still holds turns
// inert: its calls do nothing and return env.ErrClosed.
func (d *Disk) FS(h Host) env.FS {
	d.life = max(d.life, -d.life) + 1
	return &life{disk: d, host: h, number: d.life}
}

// Prepare makes directories, durably and at no cost, as an operator does before the first start.
func (d *Disk) Prepare(dirs ...string) error {
	for _, dir := range dirs {
		before := len(d.ops)
		if err := d.mkdirAll(dir, time.Time{}, nil); err != nil {
			return err
		}
		// The directories above are on the device already, so the new ones rest on nothing unsynced.
		d.ops = d.ops[:before]
	}
	return nil
}

// CrashProcess ends the life and keeps the cache.
func (d *Disk) CrashProcess() { d.endLife() }

// Keep says how much of what was not synced survives a power loss.
type Keep uint8

const (
	// KeepRandom draws for each file one of: nothing, all, a prefix of the writes with the last one torn, any sectors.
	KeepRandom Keep = iota
	// KeepNone loses everything that was not synced.
	KeepNone
	// KeepAll loses nothing: the kernel had just written everything back. What a failed sync dropped is lost still.
	KeepAll
)

// Loss says what a power loss destroyed.
type Loss struct {
	Files        int   // files that lost unsynced changes, or part of them
	Bytes        int64 // unsynced bytes lost
	DirectoryOps int   // creates, renames and removes that vanished
}

// PowerLoss ends the life, if there is one, and leaves what the device holds: all that was synced, and of the rest
// what keep says.
func (d *Disk) PowerLoss(keep Keep) Loss {
	return d.losePower(func() int { return d.loseOps(keep, d.power, nil) }, func(ino *inode) (int64, bool) { return ino.losePower(keep, d.power) })
}

func (d *Disk) losePower(ops func() int, file func(*inode) (int64, bool)) Loss {
	var loss Loss
	loss.DirectoryOps = ops()
	for _, ino := range d.dirty {
		bytes, lost := file(ino)
		loss.Bytes += bytes
		if lost {
			loss.Files++
		}
	}
	d.dirty = nil
	walk(d.root.dir, func(ino *inode) { ino.unlinked, ino.cold = false, true })
	d.endLife()
	d.busy, d.stalled = 0, 0
	return loss
}

// Erase ends the life, if there is one, and leaves an empty disk, as a new one in the place of one that broke.
func (d *Disk) Erase() {
	d.ops, d.dirty, d.corrupted = nil, nil, false
	d.root = d.newInode(true)
	d.endLife()
	d.busy, d.stalled = 0, 0
}

// Unsynced is what a power loss could destroy now: bytes of writes, and directory operations.
func (d *Disk) Unsynced() (bytes int64, ops int) {
	for _, ino := range d.dirty {
		bytes += ino.dirtyBytes
	}
	return bytes, len(d.ops)
}

// Used is how many bytes are allocated.
func (d *Disk) Used() int64 { return d.used }

// endLife makes the handles of the life inert, and frees removed files that only they held.
func (d *Disk) endLife() {
	if d.life > 0 {
		d.life = -d.life
	}
	d.recount()
}

func (d *Disk) newInode(dir bool) *inode {
	d.ids++
	ino := &inode{id: d.ids}
	if dir {
		ino.dir = &directory{edits: new(int)}
		if d.root != nil {
			ino.dir.edits = d.root.dir.edits
		}
	}
	return ino
}

// soil puts the inode among the dirty ones if it is, and takes it out if it is not.
func (d *Disk) soil(ino *inode) {
	switch clean := ino.clean(); {
	case !clean && ino.dirtyAt == 0:
		d.dirty = append(d.dirty, ino)
		ino.dirtyAt = len(d.dirty)
	case clean && ino.dirtyAt > 0:
		last := len(d.dirty) - 1
		d.dirty[ino.dirtyAt-1] = d.dirty[last]
		d.dirty[ino.dirtyAt-1].dirtyAt = ino.dirtyAt
		d.dirty[last] = nil
		d.dirty = d.dirty[:last]
		ino.dirtyAt = 0
	}
}

// free gives the space of a removed file back once nobody holds it open.
func (d *Disk) free(ino *inode) {
	if ino.unlinked && (ino.opens == 0 || ino.openLife != d.life) {
		d.used -= ino.cache.used()
	}
}
