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
