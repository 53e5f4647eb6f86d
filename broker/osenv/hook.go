package osenv

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Hook breaks links, disks and the wall clock of one process on purpose, as far as no system call does it. An Env made
// with one asks it at every dial, read and file call. It tells peers apart by the host of their address, so every
// process of a cluster under trial has a loopback address of its own (Options.Bind). All methods are safe for
// concurrent use; what they set holds at once, for calls that wait now, too.
//
// Where a link is cut, what the peer sends is held at this end, behind the kernel's own buffers: nothing is lost, and
// what was sent arrives after the heal, as with TCP.
type Hook struct {
	mu      sync.Mutex
	changed chan struct{} // closed, and another put in its place, at every change
	links   map[string]*hookLink
	disk    DiskFault
	stallTo time.Time
	offset  time.Duration
	drift   int // parts per million
	since   time.Time
	conns   map[*conn]struct{}
	verbs   map[string]func(args []string) (string, error)

	hurt diskHurt
	held atomic.Int64 // reads that a Hold kept waiting
	back atomic.Int64 // likewise a HoldBack
	none atomic.Int64 // dials refused
	idle atomic.Bool  // no fault of the disk: file calls ask no further
}

// LinkFault is the condition of the links with one peer. The zero LinkFault is a healthy one.
type LinkFault struct {
	CutIn    bool          // nothing that the peer sends gets here
	CutOut   bool          // nothing gets out to the peer: writes wait. For peers that have no hook of their own
	NoDial   bool          // dials time out, as they do when either way is cut
	Refuse   bool          // dials are refused
	DelayIn  time.Duration // added to all that the peer sends
	DelayOut time.Duration // added before each write; for peers that have no hook of their own
	RateIn   int64         // bytes a second from the peer, 0 for no bound
	LossIn   int           // one in so many of the peer's segments is lost, and comes a retransmission later; 0 for none
}

// DiskFault is the condition of the disk. The zero DiskFault is a healthy one.
type DiskFault struct {
	Slow                                int      // how many times longer each call takes; 0 and 1 are its own time
	FailSync, FailRead, FailWrite, Full bool     // fsync, reads, writes fail with EIO; writes that need room with ENOSPC
	Torn                                bool     // writes fail with EIO that have written a leading part
	Dirs                                []string // directories in and below which every call fails with EIO
	Stall                               time.Duration
}

type hookLink struct {
	fault   LinkFault
	holdTo  time.Time
	in, out atomic.Int64 // what was felt: reads held or slowed; writes held or slowed
}

type diskHurt struct {
	slow, sync, read, write, full, torn, stall, dir atomic.Int64
}

// NewHook makes a hook that breaks nothing yet.
func NewHook() *Hook {
	h := &Hook{changed: make(chan struct{}), links: map[string]*hookLink{}, conns: map[*conn]struct{}{}, since: time.Now(),
		verbs: map[string]func([]string) (string, error){}}
	h.idle.Store(true)
	return h
}

// notify wakes all that wait for a change; mu is held.
func (h *Hook) notify() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *Hook) link(peer string) *hookLink {
	l := h.links[peer]
	if l == nil {
		l = &hookLink{}
		h.links[peer] = l
	}
	return l
}

// SetLink gives the links with the peer's host their condition from now on.
func (h *Hook) SetLink(peer string, f LinkFault) {
	h.mu.Lock()
	h.link(peer).fault = f
	h.notify()
	h.mu.Unlock()
}

// Hold delivers nothing from the peer for d; then everything at once. Dials wait, too.
func (h *Hook) Hold(peer string, d time.Duration) {
	h.mu.Lock()
	h.link(peer).holdTo = time.Now().Add(d)
	h.notify()
	h.mu.Unlock()
}

// Reset breaks all connections with the peer, as the network would: both ends see a reset. It tells how many there were.
func (h *Hook) Reset(peer string) int {
	conns := h.with(peer)
	for _, c := range conns {
		c.tcp.SetLinger(0)
		c.in.fail(wrap("read", c.remote, errReset))
		c.tcp.Close()
	}
	return len(conns)
}

// with lists the connections with a peer.
func (h *Hook) with(peer string) []*conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	var conns []*conn
	for c := range h.conns {
		if c.peer == peer {
			conns = append(conns, c)
		}
	}
	return conns
}

// HoldBack holds what the connections that are open now bring from the peer for d; those made since are free. It tells
// how many there are.
func (h *Hook) HoldBack(peer string, d time.Duration) int {
	conns := h.with(peer)
	for _, c := range conns {
		c.in.mu.Lock()
		c.in.holdTo = time.Now().Add(d)
		c.in.mu.Unlock()
		poke(c.in.wake)
	}
	return len(conns)
}

// Forget makes this end of all connections with the peer gone, as if the machine had forgotten them: the peer learns of it
// when it next sends something. It tells how many there were.
func (h *Hook) Forget(peer string) int {
	conns := h.with(peer)
	for _, c := range conns {
		c.in.forget()
	}
	return len(conns)
}

// SetDisk gives the disk its condition from now on. Stall counts from now.
func (h *Hook) SetDisk(f DiskFault) {
	h.mu.Lock()
	h.disk = f
	h.stallTo = time.Now().Add(f.Stall)
	h.idle.Store(f.Slow <= 1 && !f.FailSync && !f.FailRead && !f.FailWrite && !f.Full && !f.Torn && len(f.Dirs) == 0 && f.Stall <= 0)
	h.notify()
	h.mu.Unlock()
}

// SetClock puts the wall clock off by so much, and makes it gain so many parts per million from now on.
func (h *Hook) SetClock(offset time.Duration, drift int) {
	h.mu.Lock()
	h.offset, h.drift, h.since = offset, drift, time.Now()
	h.mu.Unlock()
}

// now is the wall clock as the process sees it.
func (h *Hook) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.offset == 0 && h.drift == 0 {
		return now
	}
	return now.Add(h.offset + time.Duration(float64(now.Sub(h.since))*float64(h.drift)/1e6)).Round(0)
}

// Felt counts what the hook has done since it was made, by name: "in 127.1.2.3" and "out 127.1.2.3" for links, "hold",
// "hold-back", "refuse", and "disk slow", "disk torn", "disk sync", "disk read", "disk write", "disk full", "disk stall", "disk dir".
func (h *Hook) Felt() map[string]int64 {
	felt := map[string]int64{"hold": h.held.Load(), "hold-back": h.back.Load(), "disk torn": h.hurt.torn.Load(), "refuse": h.none.Load(), "disk slow": h.hurt.slow.Load(), "disk sync": h.hurt.sync.Load(),
		"disk read": h.hurt.read.Load(), "disk write": h.hurt.write.Load(), "disk full": h.hurt.full.Load(), "disk stall": h.hurt.stall.Load(),
		"disk dir": h.hurt.dir.Load()}
	h.mu.Lock()
	defer h.mu.Unlock()
	for peer, l := range h.links {
		felt["in "+peer], felt["out "+peer] = l.in.Load(), l.out.Load()
	}
	return felt
}

// Handle adds a verb of the process's own to the control protocol. Call it before Serve.
func (h *Hook) Handle(verb string, f func(args []string) (string, error)) { h.verbs[verb] = f }

func (h *Hook) opened(c *conn) {
	h.mu.Lock()
	h.conns[c] = struct{}{}
	h.mu.Unlock()
}

func (h *Hook) closed(c *conn) {
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
}

// felt counts formatted for the control protocol, sorted.
func (h *Hook) feltWords() string {
	felt := h.Felt()
	var words []string
	for name, n := range felt {
		if n > 0 {
			words = append(words, fmt.Sprintf("%s=%d", name, n))
		}
	}
	slices.Sort(words)
	return joinWords(words)
}
