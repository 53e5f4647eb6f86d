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

// Streams opens named random streams; *rng.Source of sim/rng is one.
type Streams interface {
	Stream(name string) *rand.Rand
}

// New makes an empty disk with a root directory. The name ("2", "zk") makes its streams its own.
func New(name string, streams Streams, p Profile) *Disk { panic("unfinished") }

// Disk is the disk of one node.
type Disk struct{}

// FS begins a life: it returns the file system as the tasks behind h see it. What an earlier life still holds turns
// inert: its calls do nothing and return env.ErrClosed.
func (d *Disk) FS(h Host) env.FS { panic("unfinished") }

// Prepare makes directories, durably and at no cost, as an operator does before the first start.
func (d *Disk) Prepare(dirs ...string) {}

// CrashProcess ends the life and keeps the cache.
func (d *Disk) CrashProcess() {}

// PowerLoss ends the life and leaves what the device holds: all that was synced, and of the rest what keep says.
func (d *Disk) PowerLoss(keep Keep) Loss { panic("unfinished") }

// Keep says how much of what was not synced survives a power loss.
type Keep uint8

const (
	// KeepRandom draws for each file one of: nothing, all, a prefix of the writes with the last one torn, any sectors.
	KeepRandom Keep = iota
	// KeepNone loses everything that was not synced.
	KeepNone
	// KeepAll loses nothing: the kernel had just written everything back.
	KeepAll
)

// Loss says what a power loss destroyed.
type Loss struct {
	Files        int   // files that lost unsynced writes, or part of them
	Bytes        int64 // unsynced bytes lost
	DirectoryOps int   // creates, renames and removes that vanished
}

// Profile is the speed and size of a device. The zero value is infinitely fast and large.
type Profile struct {
	Seek           time.Duration // before each transfer to or from the device
	BytesPerSecond int64         // 0: no limit
	Flush          time.Duration // the device's cache flush at the end of a Sync, typically
	FlushTail      time.Duration // its slow case: exponentially distributed around this
	FlushTailOneIn int           // how often the slow case comes; 0: never
	Capacity       int64         // bytes; 0: no limit
}

// NVMe, SATA and Spinning are profiles of common devices.
var (
	NVMe     = Profile{Seek: 20 * time.Microsecond, BytesPerSecond: 1 << 30, Flush: 100 * time.Microsecond, FlushTail: 5 * time.Millisecond, FlushTailOneIn: 200}
	SATA     = Profile{Seek: 80 * time.Microsecond, BytesPerSecond: 400 << 20, Flush: time.Millisecond, FlushTail: 20 * time.Millisecond, FlushTailOneIn: 100}
	Spinning = Profile{Seek: 8 * time.Millisecond, BytesPerSecond: 120 << 20, Flush: 10 * time.Millisecond, FlushTail: 60 * time.Millisecond, FlushTailOneIn: 30}
)

// Op is a class of calls that can be made to fail.
type Op uint8

const (
	OpRead  Op = iota // File.ReadAt
	OpWrite           // File.WriteAt and File.Truncate
	OpSync            // File.Sync and FS.SyncDir
	OpMeta            // creating, renaming and removing
	opCount
)

// SetSlow makes the device factor times slower; 1 is its own speed.
func (d *Disk) SetSlow(factor float64) {}

// SetFail makes every call of the class fail with env.ErrIO from now on, or no longer.
func (d *Disk) SetFail(op Op, on bool) {}

// SetCapacity changes the size of the device; 0 is no limit. Writes that do not fit fail with env.ErrNoSpace.
func (d *Disk) SetCapacity(bytes int64) {}

// Stall lets no call that touches the device or the cache return before t.
func (d *Disk) Stall(t env.Instant) {}

// Heal ends all faults: slowness, failures, stalls, and a changed capacity.
func (d *Disk) Heal() {}

// Fired counts how often faults made themselves felt since the disk was made.
type Fired struct {
	Slow    int64          // calls that took longer
	Fail    [opCount]int64 // calls that failed with ErrIO, by Op
	NoSpace int64
	Stalled int64
}

// Fired returns the counters.
func (d *Disk) Fired() Fired { return Fired{} }
