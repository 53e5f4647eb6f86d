package network

import (
	"errors"
	"fmt"
	"io"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/sched"
)

// endpoint is one end of a connection: an env.Conn, and what the kernel knows of it.
type endpoint struct {
	n             *Network
	host          *Host
	local, remote string
	out, in       *pipe
	pos           int // in host.ends; -1: the kernel has forgotten it

	received [][]byte // delivered, not yet read
	first    int      // the first of them
	offset   int      // read of the first one
	unread   int      // bytes
	finished bool     // the peer's FIN has come
	err      error    // broken: ErrReset, ErrTimeout
	closed   bool     // by its process, or by its process's death
	gone     bool     // whatever comes in is answered with a RST

	readers, writers           sched.WaitList
	readDeadline, sendDeadline env.Instant
}

func (n *Network) newEndpoint(h *Host, local, remote string) *endpoint {
	e := &endpoint{n: n, host: h, local: local, remote: remote, pos: len(h.ends), readDeadline: env.Never, sendDeadline: env.Never}
	h.ends = append(h.ends, e)
	return e
}

// Read reads what is there, now and then less, or waits.
func (e *endpoint) Read(p []byte) (int, error) {
	s := e.n.s
	s.Point()
	for {
		switch {
		case e.closed:
			return 0, e.fail("read", env.ErrClosed)
		case e.readDeadline <= s.Now():
			return 0, e.fail("read", env.ErrTimeout)
		case len(p) == 0:
			return 0, nil
		case e.unread > 0:
			return e.consume(p), nil
		case e.err != nil:
			return 0, e.fail("read", e.err)
		case e.finished:
			return 0, io.EOF
		}
		s.Wait(&e.readers, e.readDeadline, "read")
	}
}

// consume moves received bytes to p and acknowledges them.
func (e *endpoint) consume(p []byte) int {
	if oneIn := e.n.profile.ShortReadOneIn; oneIn > 0 && len(p) > 1 && e.host.rand.IntN(oneIn) == 0 {
		p = p[:1+e.host.rand.IntN(len(p)-1)]
	}
	n := 0
	for n < len(p) && e.first < len(e.received) {
		chunk := e.received[e.first]
		k := copy(p[n:], chunk[e.offset:])
		n += k
		if e.offset += k; e.offset == len(chunk) {
			e.n.buffers.put(chunk)
			e.received[e.first] = nil
			e.first++
			e.offset = 0
		}
	}
	if e.first == len(e.received) {
		e.received, e.first = e.received[:0], 0
	}
	e.unread -= n
	e.in.acknowledge(n)
	return n
}

// Write copies p into the connection, waiting for the window.
func (e *endpoint) Write(p []byte) (int, error) {
	e.n.s.Point()
	n := 0
	for {
		room, err := e.room(n == len(p))
		if err != nil || n == len(p) {
			return n, err
		}
		k := min(room, len(p)-n)
		buf := e.n.buffers.get(k)
		copy(buf, p[n:])
		e.out.send(buf, data)
		n += k
	}
}

// WriteMore is Write: the hint changes nothing here but, with luck, the interleaving.
func (e *endpoint) WriteMore(p []byte) (int, error) { return e.Write(p) }

// SendFile reads the file piece by piece as the window opens.
func (e *endpoint) SendFile(f env.File, offset, n int64) (int64, error) {
	e.n.s.Point()
	var sent int64
	for {
		room, err := e.room(sent == n)
		if err != nil || sent == n {
			return sent, err
		}
		buf := e.n.buffers.get(int(min(int64(room), n-sent)))
		k, err := f.ReadAt(buf, offset+sent)
		if _, broken := e.room(true); broken != nil {
			return sent, broken
		}
		if k > 0 {
			e.out.send(buf[:k], data)
			sent += int64(k)
		}
		if k < len(buf) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return sent, fmt.Errorf("send %s to %s: %w", f.Name(), e.remote, err)
		}
	}
}

// room waits until at least a byte, unless none is needed, may be sent, and says how many may. While it waits it probes,
// as TCP does: if the other side is gone or the way back cut, nothing else would tell.
func (e *endpoint) room(none bool) (int, error) {
	s := e.n.s
	for pause := probeFirst; ; {
		switch {
		case e.closed:
			return 0, e.fail("write", env.ErrClosed)
		case e.err != nil:
			return 0, e.fail("write", e.err)
		case e.sendDeadline <= s.Now():
			return 0, e.fail("write", env.ErrTimeout)
		case none:
			return 0, nil
		case e.out.ahead < e.n.profile.Window:
			return min(e.n.profile.Window-e.out.ahead, segmentBytesMax), nil
		}
		again := s.Now().Add(pause)
		if !s.Wait(&e.writers, min(e.sendDeadline, again), "write") && s.Now() >= again {
			pause = min(2*pause, probeMax)
			if e.out.idle() {
				e.out.send(nil, probe)
			}
		}
	}
}

const (
	probeFirst = time.Second
	probeMax   = 16 * time.Second
)

func (e *endpoint) fail(op string, err error) error {
	return fmt.Errorf("%s %s→%s: %w", op, e.local, e.remote, err)
}

// SetReadDeadline bounds reads, the waiting one too.
func (e *endpoint) SetReadDeadline(t env.Instant) {
	if !e.n.s.Dead() {
		e.readDeadline = t
		e.n.s.WakeAll(&e.readers)
	}
}

// SetWriteDeadline bounds writes, the waiting one too.
func (e *endpoint) SetWriteDeadline(t env.Instant) {
	if !e.n.s.Dead() {
		e.sendDeadline = t
		e.n.s.WakeAll(&e.writers)
	}
}

// Close sends a FIN after what was written, or, as Linux does, a RST if something was left unread.
func (e *endpoint) Close() error {
	if e.n.s.Dead() {
		return nil
	}
	e.n.s.Point()
	if e.closed {
		return nil
	}
	e.closed = true
	e.forget()
	e.n.s.WakeAll(&e.readers)
	e.n.s.WakeAll(&e.writers)
	switch {
	case e.err != nil:
	case e.unread > 0:
		e.abort()
	default:
		e.out.send(nil, finish)
	}
	e.received, e.unread = nil, 0
	return nil
}

func (e *endpoint) LocalAddr() string  { return e.local }
func (e *endpoint) RemoteAddr() string { return e.remote }

// abort drops what has not left the host and sends a RST.
func (e *endpoint) abort() {
	e.gone = true
	e.out.dropUnsent()
	e.out.revive()
	e.out.send(nil, reset)
}

// breakWith ends the connection for this side. After a RST, what was received and not read may be lost.
func (e *endpoint) breakWith(err error) {
	e.gone = true
	e.forget()
	e.out.retire()
	if e.closed || e.err != nil {
		return
	}
	e.err = err
	if errors.Is(err, env.ErrReset) && e.host.rand.IntN(2) == 0 {
		e.received, e.first, e.offset, e.unread = nil, 0, 0, 0
	}
	e.n.s.WakeAll(&e.readers)
	e.n.s.WakeAll(&e.writers)
}

// forget takes the endpoint out of its host's table.
func (e *endpoint) forget() {
	if e.pos < 0 {
		return
	}
	ends := e.host.ends
	last := ends[len(ends)-1]
	ends[e.pos] = last
	last.pos = e.pos
	ends[len(ends)-1] = nil
	e.host.ends = ends[:len(ends)-1]
	e.pos = -1
}
