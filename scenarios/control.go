package scenarios

import (
	"math/rand/v2"
	"time"

	"barnabas/broker/env"
)

// holdBack is e for the controller's connections to brokers: each may take a while over what it sends. Requests of one
// controller stay in order, as TCP keeps them; those of an old controller come after those of its successor.
func (c *simCluster) holdBack(e env.Env) env.Env {
	if c.plan.ControlDelayMax == 0 {
		return e
	}
	return &heldEnv{Env: e, max: c.plan.ControlDelayMax, from: env.Instant(c.plan.Faults.Start), until: env.Instant(c.plan.HealAt), rand: e.Rand("control-delay")}
}

type heldEnv struct {
	env.Env
	max   time.Duration
	from  env.Instant
	until env.Instant
	rand  *rand.Rand
}

func (h *heldEnv) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	conn, err := h.Env.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return &heldConn{Conn: conn, h: h}, nil
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
	if now := c.h.Mono(); now >= c.h.from && now < c.h.until && c.h.rand.IntN(3) == 0 {
		c.h.Sleep(time.Duration(c.h.rand.Int64N(int64(c.h.max))))
	}
	return c.Conn.Write(p)
}
