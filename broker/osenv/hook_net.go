package osenv

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"barnabas/broker/env"
)

// errReset is what a connection ends with that Hook.Reset broke.
const errReset = syscall.ECONNRESET

// errRefused is what a dial gets that the hook refuses.
const errRefused = syscall.ECONNREFUSED

// inboundBytesMax bounds what is read ahead of the caller; the rest waits in the kernel, as behind any slow reader.
const inboundBytesMax = 256 << 10

// beforeDial lets a dial to the peer's host pass, later, or not at all. It returns what is left of the time-out.
func (h *Hook) beforeDial(addr string, timeout time.Duration) (time.Duration, error) {
	peer, _, err := net.SplitHostPort(addr)
	if err != nil {
		return timeout, nil // the dial itself will say so
	}
	deadline := time.Now().Add(timeout)
	for first := true; ; first = false {
		h.mu.Lock()
		l, changed := h.link(peer), h.changed
		f, holdTo := l.fault, l.holdTo
		h.mu.Unlock()
		now := time.Now()
		switch {
		case f.Refuse:
			h.none.Add(1)
			return 0, errRefused
		case f.CutIn || f.CutOut || f.NoDial:
			if first && (f.CutOut || f.NoDial) {
				l.out.Add(1)
			}
			if first && f.CutIn {
				l.in.Add(1)
			}
			if !awaitChange(changed, nil, deadline) {
				return 0, os.ErrDeadlineExceeded
			}
		case holdTo.After(now):
			if first {
				h.held.Add(1)
			}
			until := deadline
			if holdTo.Before(until) {
				until = holdTo
			}
			if !awaitChange(changed, nil, until) && !until.Before(deadline) {
				return 0, os.ErrDeadlineExceeded
			}
		case f.DelayIn > 0 && deadline.Sub(now) <= f.DelayIn:
			time.Sleep(deadline.Sub(now))
			return 0, os.ErrDeadlineExceeded
		default:
			time.Sleep(f.DelayIn)
			return deadline.Sub(time.Now()), nil
		}
	}
}

// awaitChange waits for any of the channels, which may be nil, or the deadline; false if the deadline came.
func awaitChange(a, b <-chan struct{}, deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-a:
	case <-b:
	case <-timer.C:
		return false
	}
	return true
}

// farFuture stands for no deadline.
var farFuture = time.Now().AddDate(100, 0, 0)

// inbound is what a connection under a hook has received and not handed over yet. One task reads ahead from the socket
// and stamps what came, so that a delay adds to every byte's way and not to every call.
type inbound struct {
	c *conn
	h *Hook

	mu       sync.Mutex
	chunks   []chunk
	bytes    int
	err      error // from the socket, behind all chunks
	failed   error // at once: reset by the hook, or closed
	gone     bool  // forgotten: the socket ends when the peer next sends something
	holdTo   time.Time
	deadline time.Time
	free     time.Time     // when the link is free for the next byte, under a bound of bandwidth
	wake     chan struct{} // one token: something came, or the deadline changed
	room     chan struct{} // one token: there is room again
}

type chunk struct {
	data []byte
	came time.Time
	felt bool // counted as held or slowed
	seen bool // whether it is lost has been drawn
	lost bool // and comes later
}

// retransmission is how much later a lost segment comes: Linux's least time-out.
const retransmission = 200 * time.Millisecond

// begin puts a new connection under the hook.
func (h *Hook) begin(c *conn) {
	c.peer, c.writeBy = c.tcp.RemoteAddr().(*net.TCPAddr).IP.String(), farFuture
	c.in = &inbound{c: c, h: h, deadline: farFuture, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	h.opened(c)
	go c.in.pump()
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// pump reads ahead until the connection ends.
func (in *inbound) pump() {
	defer in.h.closed(in.c)
	for {
		buf := make([]byte, 16<<10)
		n, err := in.c.tcp.Read(buf)
		in.mu.Lock()
		if n > 0 {
			in.chunks = append(in.chunks, chunk{data: buf[:n], came: time.Now()})
			in.bytes += n
		}
		if err != nil {
			in.err = err
		}
		if in.gone {
			in.mu.Unlock()
			in.c.tcp.SetLinger(0)
			in.c.tcp.Close()
			return
		}
		full := in.bytes >= inboundBytesMax
		over := err != nil || in.failed != nil && !in.gone
		in.mu.Unlock()
		poke(in.wake)
		if over {
			return
		}
		for full {
			<-in.room
			in.mu.Lock()
			full = in.bytes >= inboundBytesMax && (in.failed == nil || in.gone)
			in.mu.Unlock()
		}
	}
}

// fail ends reading at once, whatever is still to be handed over.
func (in *inbound) fail(err error) {
	in.mu.Lock()
	if in.failed == nil {
		in.failed = err
	}
	in.mu.Unlock()
	poke(in.wake)
	poke(in.room)
}

// forget ends this end without a word to the other; the pump sees to the rest.
func (in *inbound) forget() {
	in.mu.Lock()
	in.gone = true
	in.chunks, in.bytes = nil, 0
	in.mu.Unlock()
	in.fail(wrap("read", in.c.remote, errReset))
}

// forgotten tells whether forget was called.
func (in *inbound) forgotten() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.gone
}

func (in *inbound) setDeadline(t time.Time) {
	if t.IsZero() {
		t = farFuture
	}
	in.mu.Lock()
	in.deadline = t
	in.mu.Unlock()
	poke(in.wake)
}

// read hands over what has come and may pass.
func (in *inbound) read(p []byte) (int, error) {
	for {
		in.h.mu.Lock()
		l, changed := in.h.link(in.c.peer), in.h.changed
		f, holdTo := l.fault, l.holdTo
		in.h.mu.Unlock()
		in.mu.Lock()
		now := time.Now()
		wait := in.deadline
		switch {
		case in.failed != nil:
			err := in.failed
			in.mu.Unlock()
			return 0, err
		case !now.Before(in.deadline):
			in.mu.Unlock()
			return 0, wrap("read", in.c.remote, os.ErrDeadlineExceeded)
		case len(in.chunks) == 0 && in.err == nil:
		default:
			at, ok := in.passes(l, f, holdTo, now)
			if ok && !at.After(now) {
				n, err := in.take(p, f.RateIn, now)
				in.mu.Unlock()
				return n, err
			}
			if ok && at.Before(wait) {
				wait = at
			}
		}
		in.mu.Unlock()
		awaitChange(changed, in.wake, wait)
	}
}

// passes tells when the first chunk, or the end, may be handed over; false while the link is cut. mu is held.
func (in *inbound) passes(l *hookLink, f LinkFault, holdTo, now time.Time) (at time.Time, ok bool) {
	var first chunk
	head := &first
	if len(in.chunks) > 0 {
		head = &in.chunks[0]
	}
	at = head.came.Add(f.DelayIn)
	if f.LossIn > 0 && !head.seen {
		head.seen, head.lost = true, rand.IntN(f.LossIn) == 0
	}
	if head.lost {
		at = at.Add(retransmission)
	}
	if f.RateIn > 0 && in.free.After(at) {
		at = in.free
	}
	if f.CutIn || at.After(now) {
		if !head.felt {
			head.felt = true
			l.in.Add(1)
		}
	}
	if f.CutIn {
		return at, false
	}
	if in.holdTo.After(at) && in.holdTo.After(now) {
		if !head.felt {
			head.felt = true
			in.h.back.Add(1)
		}
		at = in.holdTo
	}
	if holdTo.After(at) && holdTo.After(now) {
		if !head.felt {
			head.felt = true
			in.h.held.Add(1)
		}
		at = holdTo
	}
	return at, true
}

// take hands over from the first chunk, or the end. mu is held.
func (in *inbound) take(p []byte, rate int64, now time.Time) (int, error) {
	if len(in.chunks) == 0 {
		return 0, wrap("read", in.c.remote, in.err)
	}
	head := &in.chunks[0]
	n := copy(p, head.data)
	head.data = head.data[n:]
	in.bytes -= n
	if rate > 0 {
		if in.free.Before(now) {
			in.free = now
		}
		in.free = in.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	}
	if len(head.data) == 0 {
		in.chunks = in.chunks[1:]
	}
	poke(in.room)
	return n, nil
}

// beforeWrite waits while nothing gets out to the peer.
func (c *conn) beforeWrite() error {
	if c.in == nil {
		return nil
	}
	if c.in.forgotten() {
		return wrap("write", c.remote, errReset)
	}
	h, slept := c.in.h, false
	for first := true; ; first = false {
		h.mu.Lock()
		l, changed := h.link(c.peer), h.changed
		f := l.fault
		h.mu.Unlock()
		if (f.CutOut || f.DelayOut > 0) && first {
			l.out.Add(1)
		}
		switch {
		case f.CutOut:
			c.in.mu.Lock()
			failed, deadline := c.in.failed, c.writeBy
			c.in.mu.Unlock()
			if failed != nil {
				return failed
			}
			if !time.Now().Before(deadline) {
				return wrap("write", c.remote, os.ErrDeadlineExceeded)
			}
			// A close or another deadline is seen at the next look.
			awaitChange(changed, nil, minTime(deadline, time.Now().Add(50*time.Millisecond)))
		case f.DelayOut > 0 && !slept:
			slept = true
			time.Sleep(f.DelayOut)
		default:
			return nil
		}
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

var (
	_ env.Conn  = (*conn)(nil)
	_ io.Reader = (*conn)(nil)
)
