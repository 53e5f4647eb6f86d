package gozk

import (
	"bufio"
	"encoding/binary"
	"net"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

// conn makes an env.Conn a net.Conn for go-zookeeper, and puts three things right on the way:
//
// The watches after a reconnection. go-zookeeper asks the server for what was missed since the last zxid it knows, but
// it takes that number (sendSetWatches) while its receiver runs already, and then the answer to a call that was quick
// enough has moved it on: events in between are lost for good. So conn knows from the frames that pass which watches
// there are, and lets nothing be read until the request that sets them again has been written.
//
// The order. Calls wait until all watches have been asked for, so that events of what happened meanwhile come before
// the answers.
//
// Time. go-zookeeper waits for the answer to its connect request nearly seven times the session's time-out, and for the
// second half of it forever. Every read here ends after one.
//
// Its state is guarded by the session's mutex.
type conn struct {
	env.Conn
	s       *session
	r       *bufio.Reader
	rest    []byte // of a frame that go-zookeeper has not read to the end
	greeted bool   // the connect request has been written
	welcome bool   // the connect response has been read

	requested map[int32]watch // by xid: watches that calls under way will set
	unset     int             // watches still to be set again
	reset     bool            // setting them again has begun, or there are none
	deadline  env.Instant     // of reads
	closed    bool
}

// watch is one watch as go-zookeeper counts them.
type watch struct {
	kind watchKind
	path string
}

type watchKind uint8

const (
	dataWatch watchKind = iota
	existWatch
	childWatch
)

func newConn(s *session, nc env.Conn) *conn {
	return &conn{Conn: nc, s: s, r: bufio.NewReader(nc), requested: map[int32]watch{}, deadline: env.Never}
}

// Write takes one frame: go-zookeeper writes each with one call.
func (c *conn) Write(frame []byte) (int, error) {
	if c.greeted {
		c.request(frame[4:])
	}
	c.greeted = true
	n, err := c.Conn.Write(frame)
	if err == nil {
		c.written(frame[4:])
	}
	return n, err
}

// request notes the watch that a request will set if it succeeds.
func (c *conn) request(frame []byte) {
	r, err := jute.ParseRequest(frame)
	if err != nil || !r.Watch {
		return
	}
	w := watch{dataWatch, r.Path}
	switch r.Code {
	case jute.OpExists:
		w.kind = existWatch
	case jute.OpGetChildren, jute.OpGetChildren2:
		w.kind = childWatch
	}
	c.s.mu.Lock()
	c.requested[r.Xid] = w
	c.s.mu.Unlock()
}

// written counts the watches that are set again.
func (c *conn) written(frame []byte) {
	r, err := jute.ParseRequest(frame)
	if err != nil || r.Code != jute.OpSetWatches {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.unset -= len(r.DataWatches) + len(r.ExistWatches) + len(r.ChildWatches)
	c.reset = true
	c.s.changed.Broadcast()
}

// settled says that calls may be made.
func (c *conn) settled() bool { return c.reset && c.unset <= 0 }

// Read gives out frames.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if err := c.gate(); err != nil {
			return 0, err
		}
		frame, err := c.frame()
		if err != nil {
			return 0, err
		}
		c.observe(frame[4:])
		c.rest = frame
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// gate waits, behind the handshake, until the watches are being set again.
func (c *conn) gate() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for c.welcome && !c.reset && !c.closed {
		if !c.s.changed.WaitUntil(c.deadline) {
			return env.ErrTimeout
		}
	}
	return nil
}

// frame reads a whole frame, its length included.
func (c *conn) frame() ([]byte, error) {
	head, err := c.r.Peek(4)
	if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head)
	if length > answerMax {
		return nil, jute.ErrMalformed
	}
	return jute.ReadBody(c.r, length+4, answerMax+4, nil)
}

// observe keeps the account of watches. go-zookeeper does the same with each frame before it reads the next.
func (c *conn) observe(frame []byte) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if !c.welcome {
		c.welcome = true
		c.unset = len(c.s.watches)
		c.reset = c.unset == 0
		return
	}
	h, body, err := jute.ParseReply(frame)
	if err != nil {
		return
	}
	if h.Xid == jute.XidNotification {
		if ev, err := jute.ParseEvent(body); err == nil {
			c.s.fired(ev)
		}
		return
	}
	w, ok := c.requested[h.Xid]
	delete(c.requested, h.Xid)
	switch {
	case !ok:
	case h.Err == jute.OK && w.kind == existWatch:
		c.s.watches[watch{dataWatch, w.path}] = struct{}{}
	case h.Err == jute.OK, h.Err == jute.NoNode && w.kind == existWatch:
		c.s.watches[w] = struct{}{}
	}
}

// fired drops the watches that an event has used up, as go-zookeeper's notifyWatches does.
func (s *session) fired(ev jute.Event) {
	kinds := map[zookeeper.EventType][]watchKind{
		zookeeper.EventNodeCreated:         {existWatch},
		zookeeper.EventNodeDataChanged:     {existWatch, dataWatch},
		zookeeper.EventNodeChildrenChanged: {childWatch},
		zookeeper.EventNodeDeleted:         {existWatch, dataWatch, childWatch},
	}
	for _, kind := range kinds[ev.Type] {
		delete(s.watches, watch{kind, ev.Path})
	}
}

// Close closes the connection and wakes a Read.
func (c *conn) Close() error {
	c.s.mu.Lock()
	c.closed = true
	c.s.changed.Broadcast()
	c.s.mu.Unlock()
	return c.Conn.Close()
}

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

func (c *conn) LocalAddr() net.Addr  { return addr(c.Conn.LocalAddr()) }
func (c *conn) RemoteAddr() net.Addr { return addr(c.Conn.RemoteAddr()) }

func (c *conn) SetReadDeadline(t time.Time) error {
	wait := c.s.timeout
	if !t.IsZero() {
		wait = min(wait, time.Until(t))
	}
	deadline := c.s.e.Mono().Add(wait)
	c.s.mu.Lock()
	c.deadline = deadline
	c.s.mu.Unlock()
	c.Conn.SetReadDeadline(deadline)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.Conn.SetWriteDeadline(env.Never)
	} else {
		c.Conn.SetWriteDeadline(c.s.e.Mono().Add(time.Until(t)))
	}
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}
