package controller_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"barnabas/broker/wire"
	"barnabas/sim/cluster"
)

var benchFlag = flag.Bool("control-bench", false, "measure the controller at its full size (make bench-control)")

// Goal: a controller takes a big cluster over in little time, and makes many partitions in little time. Method: six fake brokers on the
// simulated network; the times are virtual, so they are what the number of round trips and their order make of them.
//
// The bounds: 1,000 partitions in one request in 2 s; a failover with 10,000 partitions in 5 s, counted from the election of the new
// controller until every broker knows a leader for every partition.
func TestControlAtSize(t *testing.T) {
	topics, each := 2, int32(100)
	if *benchFlag {
		topics, each = 10, 1000
	}
	w := newTown(t, 1, 6)
	var slowest time.Duration
	for i := range topics {
		began := w.Now()
		if code := w.create(fmt.Sprint("t", i), each, 3); code != 0 {
			t.Fatalf("create: code %d", code)
		}
		slowest = max(slowest, w.Now().Sub(began))
	}
	old := w.active()
	w.Crash(old.name())
	w.until("a new controller", 30*time.Second, func() bool { return w.active() != nil && w.active() != old })
	began := w.Now()
	w.until("all leaders known", 60*time.Second, func() bool { return w.led(topics, each, old) })
	failover := w.Now().Sub(began)
	t.Logf("%d partitions in one request: %.3f virtual s; failover with %d partitions on 6 brokers: %.3f virtual s",
		each, slowest.Seconds(), topics*int(each), failover.Seconds())
	if slowest > 2*time.Second || failover > 5*time.Second {
		t.Errorf("too slow: %v and %v", slowest, failover)
	}
}

// led reports whether every live broker knows a live leader for every partition. It looks at the last partition first, which is
// told with the others.
func (w *town) led(topics int, each int32, dead *fakeBroker) bool {
	for _, b := range w.brokers {
		if w.Status(b.name()) != cluster.Running {
			continue
		}
		s := b.cache.Snapshot()
		if s.ControllerID != w.active().id || s.Alive(dead.id) {
			return false
		}
		for i := topics - 1; i >= 0; i-- {
			for n := each - 1; n >= 0; n-- {
				p := s.Partition(wire.TopicPartition{Topic: fmt.Sprint("t", i), Partition: n})
				if p == nil || p.Leader < 0 || p.Leader == dead.id {
					return false
				}
			}
		}
	}
	return true
}
