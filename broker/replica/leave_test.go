package replica_test

import (
	"slices"
	"testing"
	"time"

	"barnabas/broker/env"
)

// TestLeavingBrokerFetchesNothingNew: what a broker under controlled shutdown has handed over it does not follow, so that the new
// leader does not take it into the ISR again and wait for it when it is gone.
func TestLeavingBrokerFetchesNothingNew(t *testing.T) {
	w := newWorld(t, 9, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a")
		w.nodes[1].manager.Leave()
		w.decide(e, 2, []int32{2, 3}, 1, 2, 3)
		w.mustProduce(e, 2, "b")
		e.Sleep(3 * time.Second)
	})
	if !slices.Equal(w.isr, []int32{2, 3}) || w.state(1).LogEndOffset != 1 {
		t.Errorf("the ISR is %v, and the broker that leaves has %d records", w.isr, w.state(1).LogEndOffset)
	}
}

// TestEarlyFollowerAsksAgainSoon: a follower that hears of an election before its leader does not rest for the whole of
// replica.fetch.backoff.ms, and the leader's acks=all with it.
func TestEarlyFollowerAsksAgainSoon(t *testing.T) {
	w := newWorld(t, 10, 0)
	w.run(func(e env.Env) {
		w.decide(e, 1, []int32{1, 2, 3}, 1, 2, 3)
		w.mustProduce(e, 1, "a")
		for _, n := range w.nodes { // unordered: all alike
			n.config.ReplicaFetchBackoff = time.Hour
		}
		w.decide(e, 2, []int32{2, 3}, 3)
		e.Sleep(25 * time.Millisecond)
		w.tell(e, 2)
		began := e.Mono()
		w.mustProduce(e, 2, "b")
		if took := e.Mono().Sub(began); took > 500*time.Millisecond {
			w.fail("acks=all after %s", took)
		}
	})
}
