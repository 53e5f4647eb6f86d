package server

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

var (
	evBadFrame   = env.NewKind("bad-frame", env.Warn, "suppressed")
	evDisconnect = env.NewKind("disconnect", env.Debug)
)

// rareHangUp closes a connection between two requests, as if it had been idle for too long.
var rareHangUp = env.NewRare("connection-closed")

// conn is one connection. The reader task runs read, the writer task write.
//
// Replies go out in the order of the requests. A reply that is ready when nothing is before it is sent by the reader
// itself, which saves waking the writer; the flag sending says who may use the socket and the out buffer.
type conn struct {
	server *Server
	env    env.Env
	socket env.Conn
	peer   string
	index  int          // in server.conns, under server.mu
	used   atomic.Int64 // when the last request came (env.Instant), 0 before
	gone   atomic.Bool  // dead, for who does not hold mu
	slow   atomic.Bool  // dead, or muted some time: the reader asks whether to go on
	in     frameReader
	out    sender
	idle   idleClock

	mu       env.Mutex // guards what follows
	changed  env.Cond
	pending  []promise   // replies that the writer has not taken yet, oldest first
	current  Waiter      // what the writer waits for now, if anything
	sending  bool        // a task is making or sending an answer
	inputEnd bool        // the reader is done: nothing more will be pending
	dead     bool        // the connection is gone: nothing more is to be sent
	draining bool        // the server is closing
	muted    env.Instant // nothing is read before (KIP-219)
}

// promise is a reply with what its frame's header needs.
type promise struct {
	reply       Reply
	correlation int32
}

func newConn(s *Server, socket env.Conn) *conn {
	c := &conn{server: s, env: s.env, socket: socket, peer: socket.RemoteAddr()}
	c.mu = s.env.NewMutex()
	c.changed = s.env.NewCond(c.mu)
	c.in = frameReader{source: socket, max: s.o.FrameBytesMax, pool: s.buffers}
	c.out = sender{socket: socket}
	c.idle = idleClock{env: s.env, socket: socket, max: s.o.IdleMax}
	return c
}

// read is the reader task: frame by frame, the ordered part of each request.
func (c *conn) read() {
	defer c.endInput()
	for c.awaitUnmuted() {
		if rareHangUp.Strikes(c.env) {
			return // a broker may close a connection at any time; what was asked is answered first
		}
		c.idle.touch()
		frame, err := c.in.next()
		if err != nil {
			if c.readFailed(err) {
				continue
			}
			return
		}
		header, body, err := wire.ParseRequest(frame)
		if err != nil {
			c.complain(err)
			c.abort()
			return
		}
		now := c.env.Mono()
		c.used.Store(int64(now))
		reply := c.server.o.Handle(&Request{Header: header, Body: body, Peer: c.peer, Received: now, Size: len(frame)})
		c.in.release()
		if !c.push(promise{reply, header.Correlation}) {
			return
		}
	}
}

// awaitUnmuted waits while the client is held back, and reports whether to go on reading.
//
// DEVIATION(KIP-219): requests that were read before the answer that mutes are still obeyed, as replies are not waited for.
func (c *conn) awaitUnmuted() bool {
	if !c.slow.Load() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.dead && !c.draining && c.muted > 0 && c.env.Mono() < c.muted {
		c.changed.WaitUntil(c.muted)
	}
	return !c.dead
}

// readFailed tells why there is no next frame, and reports whether to go on reading.
func (c *conn) readFailed(err error) (again bool) {
	if errors.Is(err, env.ErrTimeout) {
		c.mu.Lock()
		draining, busy := c.draining, len(c.pending) > 0 || c.sending
		c.mu.Unlock()
		if draining {
			return false // without abort: what is in flight is still sent
		}
		if busy && c.in.atBoundary() {
			return true // not idle: it waits for us
		}
	}
	switch {
	case errors.Is(err, wire.ErrMalformed):
		c.complain(err)
	case !errors.Is(err, io.EOF):
		c.env.Emit(env.Event{Kind: evDisconnect, Text: c.peer + ": " + err.Error()})
	}
	c.abort()
	return false
}

// complain logs, once in a connection's life, that the peer does not speak our protocol.
func (c *conn) complain(err error) {
	if ok, suppressed := c.server.bad.allow(); ok {
		c.env.Emit(env.Event{Kind: evBadFrame, V: [4]int64{suppressed}, Text: c.peer + ": " + err.Error()})
	}
}

// push hands a reply over, in its turn. While too many wait it waits too, and so the reader does not read. It reports
// whether to go on reading.
func (c *conn) push(p promise) bool {
	c.mu.Lock()
	for len(c.pending) >= c.server.o.InFlightMax && !c.dead {
		c.changed.Wait()
	}
	if c.dead {
		c.mu.Unlock()
		p.reply.Abandon()
		return false
	}
	last := p.reply.wait == nil && p.reply.answer.Close
	if len(c.pending) == 0 && !c.sending && p.reply.Ready() {
		c.sending = true
		c.mu.Unlock()
		return c.finish(p) && !last
	}
	c.pending = append(c.pending, p)
	c.changed.Broadcast()
	again := !last && !c.draining
	c.mu.Unlock()
	return again
}

// write is the writer task: reply by reply, until the reader is done and everything is sent, or the connection is gone.
func (c *conn) write() {
	defer c.close()
	for {
		p, ok := c.take()
		if !ok || !c.finish(p) {
			return
		}
	}
}

// take waits for the oldest reply.
func (c *conn) take() (promise, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.dead && (len(c.pending) == 0 || c.sending) {
		if c.inputEnd && len(c.pending) == 0 && !c.sending {
			return promise{}, false
		}
		c.changed.Wait()
	}
	if c.dead {
		return promise{}, false
	}
	p := c.pending[0]
	n := copy(c.pending, c.pending[1:])
	c.pending[n] = promise{}
	c.pending = c.pending[:n]
	c.sending = true
	c.current = p.reply.wait
	return p, true
}

// finish awaits a reply and sends its answer. The caller has set sending; finish clears it. It reports whether the
// connection goes on.
func (c *conn) finish(p promise) bool {
	if p.reply.wait != nil {
		p.reply.wait.Wait()
	}
	var throttle time.Duration
	if c.gone.Load() {
		p.reply.Abandon()
	} else {
		answer := p.reply.Await()
		throttle = answer.Throttle
		c.idle.touchWrite()
		if err := c.out.send(p.correlation, answer); err != nil {
			if errors.Is(err, errRecords) {
				c.env.Emit(env.Event{Kind: evRecordsLost, Text: c.peer + ": " + err.Error()})
			}
			c.abort()
		} else if answer.Close {
			c.abort()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.That(c.sending, "INV-SERVER-ONE-SENDER: a reply was sent out of its turn")
	if throttle > 0 {
		c.muted = max(c.muted, c.env.Mono().Add(throttle))
		c.slow.Store(true)
	}
	c.sending, c.current = false, nil
	// The writer waits as a rule, for there is nothing for it to do: waking it for every answer would cost more than the answer.
	if len(c.pending) > 0 || c.inputEnd || c.dead {
		c.changed.Broadcast()
	}
	return !c.dead
}

// stopReading ends the connection politely: no more requests, but what is in flight is answered.
func (c *conn) stopReading() {
	c.mu.Lock()
	c.draining = true
	c.changed.Broadcast()
	c.mu.Unlock()
	c.idle.stop()
}

// endInput is the reader's last word.
func (c *conn) endInput() {
	c.in.release()
	c.mu.Lock()
	c.inputEnd = true
	c.changed.Broadcast()
	c.mu.Unlock()
}

// abort ends the connection at once. Both tasks come to their end by it; any task may call it, more than once.
func (c *conn) abort() {
	c.mu.Lock()
	c.dead = true
	c.gone.Store(true)
	c.slow.Store(true)
	waiting := c.current
	c.current = nil
	c.changed.Broadcast()
	c.mu.Unlock()
	c.socket.Close()
	if waiting != nil {
		waiting.Cancel()
	}
}

// close is the writer's last word: the socket is closed, and what nobody waits for any more is given back.
func (c *conn) close() {
	c.abort()
	c.mu.Lock()
	for !c.inputEnd || c.sending {
		c.changed.Wait() // the reader may still be inside a handler, or sending
	}
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, p := range pending {
		p.reply.Abandon()
	}
	c.server.forget(c)
}
