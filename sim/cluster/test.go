package cluster

import "barnabas/broker/env"

// TB is the part of testing.TB that Test needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Test runs main on the single node "b1" of a world until it returns, and gives the world's hash. It fails the test
// when a task panics, when all wait forever, or after an hour of virtual time.
func Test(t TB, seed uint64, main func(e env.Env)) (hash uint64) { panic("unfinished") }
