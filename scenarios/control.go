package scenarios

import (
	"math/rand/v2"
	"slices"
	"time"

	"barnabas/broker/env"
)

// holdBack is e for the controller's connections to brokers: each may take a while over what it sends. Requests of one
// controller stay in order, as TCP keeps them; those of an old controller come after those of its successor.
func (c *simCluster) holdBack(e env.Env) env.Env {
	if c.plan.ControlDelayMax == 0 {
		return e
	}
	return &heldEnv{Env: e, max: c.plan.ControlDelayMax, lingers: c.plan.ControlLingers,
		from: env.Instant(c.plan.Faults.Start), until: env.Instant(c.plan.HealAt), rand: e.Rand("control-delay")}
}

type heldEnv struct {
	env.Env
	max     time.Duration
	lingers bool
	from    env.Instant
	until   env.Instant
	rand    *rand.Rand
}

func (h *heldEnv) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	conn, err := h.Env.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	if h.lingers {
		return newLingeringConn(conn, h), nil
	}
	return &heldConn{Conn: conn, h: h}, nil
}

// delay is how long a write of now is held back: one in three.
func (h *heldEnv) delay() time.Duration {
	if now := h.Mono(); now < h.from || now >= h.until || h.rand.IntN(3) != 0 {
		return 0
	}
	return time.Duration(h.rand.Int64N(int64(h.max)))
}

// lateEnv is e for a broker's requests to the controller, or for its session with ZooKeeper: every few seconds each connection
// brings nothing for a while, at most max, and then all that has come meanwhile, in order.
func (c *simCluster) late(e env.Env, max time.Duration, stream string) env.Env {
	if max == 0 {
		return e
	}
	return &lateEnv{Env: e, max: max, from: env.Instant(c.plan.Faults.Start), until: env.Instant(c.plan.HealAt), rand: e.Rand(stream)}
}

type lateEnv struct {
	env.Env
	max   time.Duration
	from  env.Instant
	until env.Instant
	rand  *rand.Rand
}

func (l *lateEnv) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	conn, err := l.Env.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return &lateConn{Conn: conn, l: l}, nil
}

// lateConn holds back what is written and what is read.
type lateConn struct {
	env.Conn
	l     *lateEnv
	begin env.Instant // of the next silence, 0 before the first is drawn
	end   env.Instant
}

// wait sits a silence out, if there is one.
func (c *lateConn) wait() {
	now := c.l.Mono()
	if now < c.l.from || now >= c.l.until {
		return
	}
	if c.begin == 0 || now >= c.end {
		c.begin = now.Add(time.Duration(c.l.rand.Int64N(int64(3 * time.Second))))
		c.end = c.begin.Add(time.Duration(c.l.rand.Int64N(int64(c.l.max))))
	}
	if now >= c.begin {
		c.l.Sleep(c.end.Sub(now))
	}
}

func (c *lateConn) Write(p []byte) (int, error) {
	c.wait()
	return c.Conn.Write(p)
}

func (c *lateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wait()
	return n, err
}

// heldConn holds one write in three back.
type heldConn struct {
	env.Conn
	h *heldEnv
}

func (c *heldConn) Write(p []byte) (int, error) {
	if d := c.h.delay(); d > 0 {
		c.h.Sleep(d)
	}
	return c.Conn.Write(p)
}

// lingeringConn holds writes back as a slow network does: the writer knows nothing of it, and what was written arrives, in order, also after
// Close.
type lingeringConn struct {
	env.Conn
	h *heldEnv

	mu     env.Mutex
	queue  []heldWrite // under way, the oldest first; while there are any, a task delivers them
	closed bool
}

type heldWrite struct {
	data []byte
	at   env.Instant // not before
}

func newLingeringConn(conn env.Conn, h *heldEnv) *lingeringConn {
	return &lingeringConn{Conn: conn, h: h, mu: h.NewMutex()}
}

func (c *lingeringConn) Write(p []byte) (int, error) {
	d := c.h.delay()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, env.ErrClosed
	}
	if d == 0 && len(c.queue) == 0 {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	c.queue = append(c.queue, heldWrite{slices.Clone(p), c.h.Mono().Add(d)})
	if len(c.queue) == 1 {
		c.h.Go("held-writes", c.deliver)
	}
	c.mu.Unlock()
	return len(p), nil
}

// deliver writes what is in the queue, until it is empty.
func (c *lingeringConn) deliver() {
	for {
		c.mu.Lock()
		w := c.queue[0]
		c.mu.Unlock()
		c.h.Sleep(max(0, w.at.Sub(c.h.Mono())))
		_, err := c.Conn.Write(w.data)
		c.mu.Lock()
		if c.queue = c.queue[1:]; err != nil {
			c.queue = nil
		}
		last, closed := len(c.queue) == 0, c.closed
		c.mu.Unlock()
		if last {
			if closed || err != nil {
				c.Conn.Close()
			}
			return
		}
	}
}

// Close ends the connection for its owner at once, and for the peer when everything has arrived.
func (c *lingeringConn) Close() error {
	c.mu.Lock()
	lingers := len(c.queue) > 0
	c.closed = true
	c.mu.Unlock()
	if lingers {
		c.Conn.SetReadDeadline(c.h.Mono())
		return nil
	}
	return c.Conn.Close()
}

func (c *lingeringConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return 0, env.ErrClosed
	}
	return n, err
}

// SetReadDeadline leaves a closed connection as it is.
func (c *lingeringConn) SetReadDeadline(t env.Instant) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		c.Conn.SetReadDeadline(t)
	}
}
