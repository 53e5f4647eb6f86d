package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"barnabas/broker/env"
	"barnabas/broker/osenv"
	zkserver "barnabas/broker/zookeeper/server"
)

// hookFlags are flags of processes that are on trial; users have no need of them.
type hookFlags struct {
	bind    string
	control string
	init    string
}

func (f *hookFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.bind, "bind", "", "address that connections to others come from")
	flags.StringVar(&f.control, "control", "", "take orders that break links, disk and clock on this Unix socket; for trials, never for production")
	flags.StringVar(&f.init, "control-init", "", "obey the orders of this file first")
	for _, name := range []string{"bind", "control", "control-init"} {
		flags.MarkHidden(name)
	}
}

// hook makes the hook and obeys the first orders; nil without --control.
func (f *hookFlags) hook() (*osenv.Hook, error) {
	if f.control == "" {
		return nil, nil
	}
	return osenv.NewHook(), nil
}

// serve obeys the first orders and takes others from then on. Call it once all verbs are there.
func (f *hookFlags) serve(h *osenv.Hook) error {
	if h == nil {
		return nil
	}
	if f.init != "" {
		data, err := os.ReadFile(f.init)
		if err != nil {
			return usage("--control-init: %w", err)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if _, err := h.Obey(line); err != nil {
				return usage("--control-init %s:%d: %w", f.init, i+1, err)
			}
		}
	}
	_, err := h.Serve(f.control)
	return err
}

// expires lets orders expire sessions of the embedded ZooKeeper.
func expires(h *osenv.Hook, server *atomic.Pointer[zkserver.Server]) {
	h.Handle("expire", func(args []string) (string, error) {
		s := server.Load()
		if len(args) != 1 || s == nil {
			return "", fmt.Errorf("write: expire SESSION, once the server runs")
		}
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return "", fmt.Errorf("expire: %q is no session", args[0])
		}
		s.ExpireSession(id)
		return "", nil
	})
}

// heldEnv holds a controller's connections to brokers back by order: one write in three waits for up to max.
type heldEnv struct {
	env.Env
	max atomic.Int64
}

func holds(h *osenv.Hook, e env.Env) *heldEnv {
	held := &heldEnv{Env: e}
	h.Handle("hold-control", func(args []string) (string, error) {
		if len(args) != 1 {
			return "", fmt.Errorf("write: hold-control DURATION")
		}
		d, err := time.ParseDuration(args[0])
		if err != nil || d < 0 {
			return "", fmt.Errorf("hold-control: %q is not a duration", args[0])
		}
		held.max.Store(int64(d))
		return "", nil
	})
	return held
}

func (h *heldEnv) Dial(addr string, timeout time.Duration) (env.Conn, error) {
	c, err := h.Env.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return &heldConn{c, h}, nil
}

type heldConn struct {
	env.Conn
	h *heldEnv
}

func (c *heldConn) Write(p []byte) (int, error) {
	if most := c.h.max.Load(); most > 0 && rand.IntN(3) == 0 {
		c.h.Sleep(time.Duration(rand.Int64N(most)))
	}
	return c.Conn.Write(p)
}
