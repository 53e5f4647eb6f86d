package osenv

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

type diskOp uint8

const (
	opOther diskOp = iota // names: open, rename, remove, list, stat
	opRead
	opWrite
	opSync
)

const (
	// slowBase is what a call is taken to cost at least, so that a slow disk is felt behind the page cache.
	slowBase = 50 * time.Microsecond
	// slowMax bounds what one call is drawn out to.
	slowMax = 500 * time.Millisecond
)

// errTorn makes a write write a part and then fail with EIO.
var errTorn = fmt.Errorf("torn: %w", syscall.EIO)

// diskCall is one file call under the hook.
type diskCall struct {
	h     *Hook
	slow  int
	began time.Time
}

// before lets a file call begin, later, or fails it. room is what the call makes the file grow by at most, in bytes.
// Call end on what it returns. A nil hook lets everything pass.
func (h *Hook) before(op diskOp, name string, room func() int64) (diskCall, error) {
	if h == nil || h.idle.Load() {
		return diskCall{}, nil
	}
	for first := true; ; first = false {
		h.mu.Lock()
		f, stallTo, changed := h.disk, h.stallTo, h.changed
		h.mu.Unlock()
		if f.Stall > 0 && time.Now().Before(stallTo) {
			if first {
				h.hurt.stall.Add(1)
			}
			awaitChange(changed, nil, stallTo)
			continue
		}
		for _, dir := range f.Dirs {
			if name == dir || strings.HasPrefix(name, dir+"/") {
				h.hurt.dir.Add(1)
				return diskCall{}, syscall.EIO
			}
		}
		switch {
		case op == opSync && f.FailSync:
			h.hurt.sync.Add(1)
			return diskCall{}, syscall.EIO
		case op == opRead && f.FailRead:
			h.hurt.read.Add(1)
			return diskCall{}, syscall.EIO
		case op == opWrite && f.FailWrite:
			h.hurt.write.Add(1)
			return diskCall{}, syscall.EIO
		case op == opWrite && f.Torn:
			h.hurt.torn.Add(1)
			return diskCall{}, errTorn
		case op == opWrite && f.Full && room != nil && room() > 0:
			h.hurt.full.Add(1)
			return diskCall{}, syscall.ENOSPC
		}
		return diskCall{h, f.Slow, time.Now()}, nil
	}
}

// end draws the call out if the disk is slow.
func (d diskCall) end() {
	if d.slow <= 1 {
		return
	}
	d.h.hurt.slow.Add(1)
	took := max(time.Since(d.began), slowBase)
	time.Sleep(min(time.Duration(d.slow-1)*took, slowMax))
}
