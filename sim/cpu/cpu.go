package cpu

import (
	"math/rand/v2"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/env"
)

// Costs is what calls take on a core. The zero value costs nothing.
type Costs struct {
	Read      time.Duration // each Read of a connection that gives bytes, and waking for it
	Write     time.Duration // each Write or SendFile of a connection, and what was computed for it
	FileWrite time.Duration // each WriteAt
	FileRead  time.Duration // each ReadAt
	// Bytes moved, in ns a byte: from and to sockets, into and out of files, and by SendFile.
	ReadByte, WriteByte, FileWriteByte, FileReadByte, SendByte float64
}

// CPU is the cores of one machine. A task that wants one waits for those that asked before it.
type CPU struct {
	free []env.Instant // when each core has done what it was given
	busy time.Duration
	// What other work of the machine takes, or its host: each core in turn is away now and then.
	away  []env.Instant // when each core goes away next
	rand  *rand.Rand
	every time.Duration
	lasts time.Duration
}

// New makes a CPU of so many cores, at least one.
func New(cores int) *CPU {
	assert.That(cores > 0, "a CPU of %d cores", cores)
	return &CPU{free: make([]env.Instant, cores)}
}

// Disturb takes each core away for lasts on average, every so often on average, both exponentially distributed: other processes,
// a host that has other guests. It is for before the first Spend.
func (c *CPU) Disturb(r *rand.Rand, every, lasts time.Duration) {
	if every <= 0 || lasts <= 0 {
		return
	}
	c.rand, c.every, c.lasts = r, every, lasts
	c.away = make([]env.Instant, len(c.free))
	for i := range c.away {
		c.away[i] = env.Instant(0).Add(c.draw(every))
	}
}

func (c *CPU) draw(mean time.Duration) time.Duration {
	return time.Duration(c.rand.ExpFloat64() * float64(mean))
}

// disturb lets core i have been away as often as it was to by now, or by when it has work to do.
func (c *CPU) disturb(i int, now env.Instant) {
	for c.away != nil && c.away[i] <= max(now, c.free[i]) {
		c.free[i] = max(c.free[i], c.away[i]).Add(c.draw(c.lasts))
		c.away[i] = c.free[i].Add(c.draw(c.every))
	}
}

// Busy is how much time all cores together have worked or been given to work.
func (c *CPU) Busy() time.Duration { return c.busy }

// Spend lets the calling task work for d: it waits for the core that is free first, then for d.
//
// Worked example, one core: A spends 3 ms at 0, B 2 ms at 1. B gets the core at 3 and returns at 5, having waited 4.
func (c *CPU) Spend(e env.Clock, d time.Duration) {
	if d <= 0 {
		return
	}
	now := e.Mono()
	first := 0
	for i := range c.free {
		c.disturb(i, now)
		if c.free[i] < c.free[first] {
			first = i
		}
	}
	end := max(now, c.free[first]).Add(d)
	assert.That(end >= c.free[first], "INV-CPU-FORWARD: a core's work ends at %d, after %d", end, c.free[first])
	c.free[first] = end
	c.busy += d
	e.Sleep(end.Sub(now))
}

// Use is what one process did.
type Use struct {
	CPU             time.Duration
	NetIn, NetOut   int64 // bytes through its connections
	FileIn, FileOut int64 // bytes read and written through the page cache; SendFile counts as read
	Reads, Writes   int64 // calls on connections
	Syncs           int64
	FileWrites      int64 // calls
}

// Process is a node's claim on a CPU: what its calls cost, and what they added up to.
type Process struct {
	cpu   *CPU
	costs Costs
	use   Use
}

// NewProcess makes a process that works on a CPU, which others may share.
func NewProcess(c *CPU, costs Costs) *Process { return &Process{cpu: c, costs: costs} }

// Use is what the process has used so far, over all its lives.
func (p *Process) Use() Use { return p.use }

// Spend lets the calling task of the process compute for d.
func (p *Process) Spend(e env.Clock, d time.Duration) {
	if d > 0 {
		p.use.CPU += d
		p.cpu.Spend(e, d)
	}
}

func perByte(n int, ns float64) time.Duration { return time.Duration(float64(n) * ns) }
