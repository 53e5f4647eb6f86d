package cluster

import (
	"time"

	"barnabas/broker/env"
)

// TB is the part of testing.TB that Test needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Test runs main on the single node "b1" of a world until it returns, and gives the world's hash. It fails the test
// when a task panics, when all wait forever, or after an hour of virtual time. main may call t.Fatal.
func Test(t TB, seed uint64, main func(e env.Env)) (hash uint64) {
	t.Helper()
	w := New(Options{Seed: seed})
	defer w.Close()
	w.AddNode("b1", main)
	w.Start("b1")
	ended := func() bool { return w.Status("b1") != Running }
	outcome := w.RunUntil(ended, env.Instant(time.Hour))
	if crashes := w.Crashes(); len(crashes) > 0 {
		t.Fatalf("seed %d: %s", seed, crashes[0])
	}
	if outcome != Satisfied {
		t.Fatalf("seed %d: %v at %v\n%s", seed, outcome, w.Now().Sub(0), w.Stuck())
	}
	return w.Hash()
}
