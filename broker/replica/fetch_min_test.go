package replica_test

import (
	"strings"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
)

// TestFollowerWaitsForItsMinBytes: a follower's fetch waits on the leader for replica.fetch.min.bytes, and no longer than
// replica.fetch.wait.max.ms; so then does acks=all. What is enough comes at once.
func TestFollowerWaitsForItsMinBytes(t *testing.T) {
	for _, c := range []struct {
		min, size int
		slow      bool
	}{{1, 10, false}, {4000, 10, true}, {4000, 5000, false}} {
		w := newWorld(t, 12, 0)
		w.configure = func(b *config.Broker) {
			b.ReplicaFetchBytesMin, b.ReplicaFetchWaitMax, b.ReplicaSocketTimeout = int32(c.min), time.Second, 5*time.Second
		}
		w.run(func(e env.Env) {
			w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
			e.Sleep(1500 * time.Millisecond) // the fetches are under way
			began := e.Mono()
			w.mustProduce(e, 1, strings.Repeat("a", c.size))
			if took := e.Mono().Sub(began); took > 3*time.Second || (took > 200*time.Millisecond) != c.slow {
				w.fail("min bytes %d: acks=all of %d bytes after %s", c.min, c.size, took)
			}
		})
	}
}
