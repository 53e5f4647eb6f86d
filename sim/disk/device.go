package disk

import (
	"math/rand/v2"
	"strings"
	"time"

	"barnabas/broker/env"
)

// Profile is the speed and size of a device. The zero value is infinitely fast and large.
type Profile struct {
	Seek           time.Duration // before each transfer to or from the device
	BytesPerSecond int64         // 0: no limit
	Flush          time.Duration // the device's cache flush at the end of a Sync, typically
	FlushTail      time.Duration // its slow case takes up to twice this
	FlushTailOneIn int           // how often the slow case comes; 0: never
	Capacity       int64         // bytes; 0: no limit
}

// NVMe, SATA and Spinning are profiles of common devices.
var (
	NVMe = Profile{Seek: 20 * time.Microsecond, BytesPerSecond: 1 << 30,
		Flush: 100 * time.Microsecond, FlushTail: 5 * time.Millisecond, FlushTailOneIn: 200}
	SATA = Profile{Seek: 80 * time.Microsecond, BytesPerSecond: 400 << 20,
		Flush: time.Millisecond, FlushTail: 20 * time.Millisecond, FlushTailOneIn: 100}
	Spinning = Profile{Seek: 8 * time.Millisecond, BytesPerSecond: 120 << 20,
		Flush: 10 * time.Millisecond, FlushTail: 60 * time.Millisecond, FlushTailOneIn: 30}
)

// Op is a class of calls that can be made to fail.
type Op uint8

const (
	OpRead  Op = iota // File.ReadAt
	OpWrite           // File.WriteAt and File.Truncate
	OpSync            // File.Sync and FS.SyncDir, when there is anything to write
	OpMeta            // creating, renaming and removing
	OpCount           // how many classes there are
)

// Fired counts how often faults made themselves felt since the disk was made.
type Fired struct {
	Slow    int64          // calls that took longer
	Fail    [OpCount]int64 // calls that failed with ErrIO, by class
	NoSpace int64          // calls that failed with ErrNoSpace
	Stalled int64          // calls that waited for a stall to end
	Under   int64          // calls that failed because of SetFailUnder
	// Torn are writes that failed half done, Misdirected those that went elsewhere.
	Torn, Misdirected int64
}

// device is when and whether the disk answers.
type device struct {
	profile  Profile
	latency  *rand.Rand
	slow     float64 // 1 is the device's own speed
	fail     [OpCount]bool
	under    []string // paths below which every call fails
	capacity int64
	stalled  env.Instant // nothing returns before
	busy     env.Instant // its transfers so far end
	fired    Fired
}

// SetSlow makes the device factor times slower, and lets calls that the cache would have taken wait for it now and
// then, as a congested device does; 1 is its own speed.
func (d *Disk) SetSlow(factor float64) { d.slow = max(1, factor) }

// SetFail makes every call of the class fail with env.ErrIO from now on, or no longer.
func (d *Disk) SetFail(op Op, on bool) { d.fail[op] = on }

// SetFailUnder makes every call about these paths, and what is below them, fail with env.ErrIO from now on, and no other:
// as when one of a machine's disks dies. A second call replaces the first.
func (d *Disk) SetFailUnder(paths ...string) { d.under = paths }

func (d *Disk) broken(name string) bool {
	for _, p := range d.under {
		if rest, ok := strings.CutPrefix(name, p); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// SetCapacity changes the size of the device; 0 is no limit. Writes that do not fit fail with env.ErrNoSpace.
func (d *Disk) SetCapacity(bytes int64) { d.capacity = bytes }

// Stall lets no call return before t.
func (d *Disk) Stall(t env.Instant) { d.stalled = t }

// Heal ends all faults: slowness, failures, stalls, and a changed capacity.
func (d *Disk) Heal() {
	d.slow, d.fail, d.under, d.capacity, d.stalled = 1, [OpCount]bool{}, nil, d.profile.Capacity, 0
	d.torn, d.misdirect = false, nil
}

// Fired returns the counters.
func (d *Disk) Fired() Fired { return d.fired }

// cached waits for a call that the page cache serves: not at all, except on a slow device, where writers queue behind
// its write-back and one read in 16 misses.
func (d *device) cached(h Host, op Op) {
	d.stall(h)
	if d.slow == 1 || (op == OpRead && d.latency.IntN(16) != 0) {
		return
	}
	d.fired.Slow++
	if wait := d.jitter(d.profile.Seek); wait > 0 {
		h.Sleep(wait)
	}
}

// transfer waits until the device has moved n bytes, behind the transfers before it.
func (d *device) transfer(h Host, n int64) {
	cost := d.jitter(d.profile.Seek)
	if d.profile.BytesPerSecond > 0 {
		cost += d.scaled(float64(n) / float64(d.profile.BytesPerSecond) * float64(time.Second))
	}
	now := h.Now()
	d.busy = max(d.busy, now).Add(cost)
	if d.slow > 1 {
		d.fired.Slow++
	}
	if wait := d.busy.Sub(now); wait > 0 {
		h.Sleep(wait)
	}
	d.stall(h)
}

// flush is how long the device takes to empty its own cache.
func (d *device) flush() time.Duration {
	if d.profile.FlushTailOneIn > 0 && d.latency.IntN(d.profile.FlushTailOneIn) == 0 {
		return d.scaled(d.latency.Float64() * 2 * float64(d.profile.FlushTail))
	}
	return d.jitter(d.profile.Flush)
}

func (d *device) stall(h Host) {
	counted := false
	for now := h.Now(); now < d.stalled; now = h.Now() {
		if !counted {
			d.fired.Stalled++
			counted = true
		}
		h.Sleep(d.stalled.Sub(now))
	}
}

// jitter is around t: three quarters to one and a half of it, times the slowness.
func (d *device) jitter(t time.Duration) time.Duration {
	if t <= 0 {
		return 0
	}
	return d.scaled((0.75 + 0.75*d.latency.Float64()) * float64(t))
}

func (d *device) scaled(nanos float64) time.Duration { return time.Duration(nanos * d.slow) }
