package client

import (
	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

var _ zookeeper.Opener = Open

// Open opens a session with one of servers ("host:port" each). It waits until the session is established, or fails at
// the deadline with zookeeper.ErrConnectionLoss.
func Open(e env.Env, servers []string, sessionTimeoutMs int32, deadline env.Instant) (zookeeper.Session, error) {
	panic("unfinished")
}
