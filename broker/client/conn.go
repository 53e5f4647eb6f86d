package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// ConnOptions says how a connection behaves. The zero value is of use: every field has a default.
type ConnOptions struct {
	ClientID       string        // sent in every request header
	DialTimeout    time.Duration // of the TCP connection; 0 means 10 s (socket.connection.setup.timeout.ms)
	RequestTimeout time.Duration // of a Do or Send without one of its own; 0 means 30 s (request.timeout.ms)
	FrameBytesMax  int32         // the largest response that is accepted; 0 means wire.MaxFrame
	// Negotiate asks the broker for its versions (ApiVersions) before Dial returns, and lowers the version of each
	// request to the broker's highest. Without it the version that is set in a request is used as it is.
	Negotiate bool
}

func (o ConnOptions) withDefaults() ConnOptions {
	if o.DialTimeout <= 0 {
		o.DialTimeout = 10 * time.Second
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 30 * time.Second
	}
	if o.FrameBytesMax <= 0 {
		o.FrameBytesMax = wire.MaxFrame
	}
	return o
}

// Conn is one connection to one broker. Requests of many tasks share it: they go out in the order of Do and Send, none
// waits for the answer to another, and the broker answers in the same order. Two tasks serve it, one writes and one
// reads. The first failure of any kind (a time-out too, since answers behind it can no longer be told apart) breaks the
// connection for good: everything under way fails, and so does everything after. Source: NetworkClient.
type Conn struct {
	e        env.Env
	conn     env.Conn
	addr     string
	o        ConnOptions
	versions map[int16]versionRange // by API key; nil unless negotiated; constant once Dial has returned

	broken atomic.Bool // err is set

	mu          env.Mutex
	writable    env.Cond // out is not empty and nobody writes, or err is set
	writing     bool     // a task hands requests to the network
	ours        bool     // it is the writer
	out         []*call  // not one byte of them was handed to the network; oldest first
	inFlight    []*call  // handed to the network, answer to come; oldest first
	readUntil   env.Instant
	correlation int32
	err         error // why the connection broke
}

type versionRange struct{ min, max int16 }

// call is one request under way.
type call struct {
	req      kmsg.Request
	frame    []byte
	corr     int32
	answered bool // false for acks=0, which the broker never answers
	deadline env.Instant
	done     func(kmsg.Response, error)
	room     [frameBytesUsual]byte // for the frame
}

// Dial connects to addr ("host:port"). It waits up to o.DialTimeout, and, with o.Negotiate, up to o.RequestTimeout more.
// Every error is an *Error with Sent false.
func Dial(e env.Env, addr string, o ConnOptions) (*Conn, error) {
	o = o.withDefaults()
	conn, err := e.Dial(addr, o.DialTimeout)
	if err != nil {
		return nil, &Error{Addr: addr, API: "Dial", Err: err}
	}
	mu := e.NewMutex()
	c := &Conn{e: e, conn: conn, addr: addr, o: o, mu: mu, writable: e.NewCond(mu), readUntil: env.Never}
	e.Go("client-writer "+addr, c.write)
	e.Go("client-reader "+addr, c.read)
	if o.Negotiate {
		if err := c.negotiate(); err != nil {
			c.Close()
			return nil, &Error{Addr: addr, API: "Dial", Err: err}
		}
	}
	return c, nil
}

// Do sends req and waits for its answer, at most timeout (0 means o.RequestTimeout). Error codes inside the response
// are not looked at. The error, if any, is an *Error. req and its byte fields must not change while Do runs.
func (c *Conn) Do(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	answer := newFuture(c.e)
	c.send(req, timeout, answer.set, true)
	return answer.wait()
}

// frameBytesUsual is room for most requests, so that they are not moved while they are written.
const frameBytesUsual = 256

// Send queues req and returns at once. done is called exactly once, with the response or an *Error, by one of the
// connection's tasks, or by Send itself if the connection is broken already; no lock is held, and done must not wait.
// For a produce with acks=0 the response is nil, and done means that the network took it.
func (c *Conn) Send(req kmsg.Request, timeout time.Duration, done func(kmsg.Response, error)) {
	c.send(req, timeout, done, false)
}

// send is Send. With mayWait the calling task hands the request to the network itself, if no other is before it: that saves waking the
// writer.
func (c *Conn) send(req kmsg.Request, timeout time.Duration, done func(kmsg.Response, error), mayWait bool) {
	if timeout <= 0 {
		timeout = c.o.RequestTimeout
	}
	if err := c.lowerVersion(req); err != nil {
		done(nil, c.failure(req, false, err))
		return
	}
	k := &call{req: req, answered: isAnswered(req), done: done}
	k.frame = wire.AppendRequest(k.room[:0], c.o.ClientID, 0, req)
	k.deadline = c.e.Mono().Add(timeout)

	c.mu.Lock()
	if err := c.err; err != nil {
		c.mu.Unlock()
		done(nil, c.failure(req, false, err))
		return
	}
	c.correlation++
	k.corr = c.correlation
	setCorrelation(k.frame, k.corr)
	if k.deadline < c.readUntil {
		c.readUntil = k.deadline
		c.conn.SetReadDeadline(k.deadline)
	}
	if mayWait && !c.writing && len(c.out) == 0 {
		c.writing = true
		if k.answered {
			c.inFlight = append(c.inFlight, k)
		}
		c.mu.Unlock()
		c.writeOne(k)
		return
	}
	c.out = append(c.out, k)
	if !c.writing {
		c.writable.Signal()
	}
	c.mu.Unlock()
}

// writeOne hands one request to the network. The caller has set writing.
func (c *Conn) writeOne(k *call) {
	_, err := c.conn.Write(k.frame)
	if err != nil {
		c.fail(err)
		err = c.failure(k.req, true, err)
	}
	c.mu.Lock()
	if c.writing = false; len(c.out) > 0 {
		c.writable.Signal()
	}
	c.mu.Unlock()
	if !k.answered {
		k.done(nil, err)
	}
}

// Close breaks the connection. What is under way fails; it may be called more than once.
func (c *Conn) Close() error {
	c.fail(ErrClosed)
	return nil
}

// Broken reports whether the connection can no longer be used.
func (c *Conn) Broken() bool { return c.broken.Load() }

// Addr is the address that was dialled.
func (c *Conn) Addr() string { return c.addr }

// write is the writer task. Requests that wait together go out in one piece.
func (c *Conn) write() {
	const pieceBytesMax = 64 << 10
	var piece []byte
	var calls []*call
	for {
		clear(calls)
		var ok bool
		if calls, ok = c.takeOut(calls[:0], pieceBytesMax); !ok {
			return
		}
		piece = piece[:0]
		for _, k := range calls {
			piece = append(piece, k.frame...)
			k.frame = nil
		}
		if _, err := c.conn.Write(piece); err != nil {
			// Those that nobody answers are in no list any more: they end here.
			c.fail(err)
			for _, k := range calls {
				if !k.answered {
					k.done(nil, c.failure(k.req, true, err))
				}
			}
			return
		}
		for _, k := range calls {
			if !k.answered {
				k.done(nil, nil)
			}
		}
		if cap(piece) > 4*pieceBytesMax {
			piece = nil
		}
	}
}

// takeOut waits for requests to write, appends one or more of them to calls, and counts them as sent from here on. Only the writer task
// calls it, when it has written what it took before.
func (c *Conn) takeOut(calls []*call, bytesMax int) ([]*call, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ours {
		c.ours, c.writing = false, false
	}
	for (len(c.out) == 0 || c.writing) && c.err == nil {
		c.writable.Wait()
	}
	if c.err != nil {
		return nil, false
	}
	n, size := 0, 0
	for n < len(c.out) && (n == 0 || size+len(c.out[n].frame) <= bytesMax) {
		size += len(c.out[n].frame)
		n++
	}
	calls = append(calls, c.out[:n]...)
	c.out = dropFront(c.out, n)
	for _, k := range calls {
		if k.answered {
			c.inFlight = append(c.inFlight, k)
		}
	}
	c.ours, c.writing = true, true
	return calls, true
}

// readBufferBytes holds most answers, so that one read brings one in.
const readBufferBytes = 4 << 10

// read is the reader task.
func (c *Conn) read() {
	in := bufio.NewReaderSize(patientReader{c}, readBufferBytes)
	for {
		// A fresh frame each time: the response's byte fields point into it.
		frame, err := wire.ReadFrame(in, c.o.FrameBytesMax, nil)
		if err != nil {
			c.fail(err)
			return
		}
		k, err := c.takeAnswered(frame)
		if err != nil {
			c.fail(err)
			return
		}
		_, resp, err := wire.ParseResponse(frame, k.req)
		if err != nil {
			err = fmt.Errorf("response: %w", err)
			c.fail(err)
			k.done(nil, c.failure(k.req, true, err))
			return
		}
		k.done(resp, nil)
	}
}

// takeAnswered takes the request that frame answers: the oldest, or the peer is not a broker.
func (c *Conn) takeAnswered(frame []byte) (*call, error) {
	corr, err := wire.Correlation(frame)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inFlight) == 0 || c.inFlight[0].corr != corr {
		return nil, fmt.Errorf("answer with correlation id %d: %w", corr, wire.ErrMalformed)
	}
	k := c.inFlight[0]
	c.inFlight = dropFront(c.inFlight, 1)
	return k, nil
}

// patientReader reads from the connection, and lets the read deadline pass while no request has reached its own. The
// deadline is only ever moved forward here, not with each answer.
type patientReader struct{ c *Conn }

func (r patientReader) Read(p []byte) (int, error) {
	for {
		n, err := r.c.conn.Read(p)
		if n > 0 {
			return n, nil // an error that came with it will come again
		}
		if !errors.Is(err, env.ErrTimeout) || r.c.expired() {
			return 0, err
		}
	}
}

// expired reports whether a request has reached its deadline, and else sets the read deadline to the next.
func (c *Conn) expired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := env.Never
	for _, k := range c.inFlight {
		next = min(next, k.deadline)
	}
	for _, k := range c.out {
		next = min(next, k.deadline)
	}
	if next <= c.e.Mono() || c.err != nil {
		return true
	}
	c.readUntil = next
	c.conn.SetReadDeadline(next)
	return false
}

// fail breaks the connection, once.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.broken.Store(true)
	sent, unsent := c.inFlight, c.out
	c.inFlight, c.out = nil, nil
	c.writable.Broadcast()
	c.mu.Unlock()

	c.conn.Close()
	for _, k := range sent {
		k.done(nil, c.failure(k.req, true, err))
	}
	for _, k := range unsent {
		k.done(nil, c.failure(k.req, false, err))
	}
}

func (c *Conn) failure(req kmsg.Request, sent bool, cause error) error {
	if errors.Is(cause, io.EOF) || !errors.Is(cause, ErrClosed) && !errors.Is(cause, kerr.UnsupportedVersion) {
		cause = fmt.Errorf("%w: %w", ErrBroken, cause)
	}
	return &Error{Addr: c.addr, API: kmsg.NameForKey(req.Key()), Sent: sent, Err: cause}
}

func (c *Conn) negotiate() error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(3)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "barnabas", "1"
	r, err := c.Do(req, 0)
	if err != nil {
		return err
	}
	resp := r.(*kmsg.ApiVersionsResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil && err != kerr.UnsupportedVersion {
		return fmt.Errorf("ApiVersions: %w", err)
	}
	versions := make(map[int16]versionRange, len(resp.ApiKeys))
	for _, k := range resp.ApiKeys {
		versions[k.ApiKey] = versionRange{k.MinVersion, k.MaxVersion}
	}
	c.versions = versions
	return nil
}

func (c *Conn) lowerVersion(req kmsg.Request) error {
	if c.versions == nil {
		return nil
	}
	v, ok := c.versions[req.Key()]
	if !ok || req.GetVersion() < v.min {
		return fmt.Errorf("version %d of a broker's %d to %d: %w", req.GetVersion(), v.min, v.max, kerr.UnsupportedVersion)
	}
	if req.GetVersion() > v.max {
		req.SetVersion(v.max)
	}
	return nil
}

func isAnswered(req kmsg.Request) bool {
	p, ok := req.(*kmsg.ProduceRequest)
	return !ok || p.Acks != 0
}

// setCorrelation writes the id into a frame: size, API key and version come first.
func setCorrelation(frame []byte, corr int32) {
	assert.That(len(frame) >= 12, "INV-FRAME: a request of %d bytes", len(frame))
	frame[8], frame[9], frame[10], frame[11] = byte(corr>>24), byte(corr>>16), byte(corr>>8), byte(corr)
}

// dropFront removes the first n of s in place, so that what they point to can be freed.
func dropFront[T any](s []T, n int) []T {
	m := copy(s, s[n:])
	clear(s[m:])
	return s[:m]
}
