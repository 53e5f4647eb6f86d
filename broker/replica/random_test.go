package replica_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/sim/cluster"
)

// TestFaultsKeepTheAcknowledged lets leaders crash, be deposed, pause, and be cut off while a client produces with acks=all,
// and the controller's answers get lost. Afterwards all heals: the ISR must become whole, the logs equal, and what was
// acknowledged be in them, in order. In between, world.check looks at every step.
func TestFaultsKeepTheAcknowledged(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		faults(t, seed, 0)
		if t.Failed() {
			t.Fatalf("again: go test ./broker/replica -run TestFaultsKeepTheAcknowledged -seed %d -seeds 1 -v", seed)
		}
	}
}

// TestFaultsFindTheBugs: the same faults show each bug that a producer can see, within some seeds.
func TestFaultsFindTheBugs(t *testing.T) {
	for _, b := range []bug.Set{bug.TruncateToHW, bug.AckBeforeISR} {
		var found []string
		seed := uint64(1)
		for ; seed <= 20 && len(found) == 0; seed++ {
			found = faults(t, seed, b)
		}
		if len(found) == 0 {
			t.Errorf("%s is not found in %d seeds", b, seed-1)
		} else {
			t.Logf("%s: found by seed %d: %s", b, seed-1, found[0])
		}
	}
}

var (
	firstSeed = flag.Uint64("seed", 100, "first seed of random tests")
	seeds     = flag.Uint64("seeds", 5, "number of seeds of random tests")
)

func faults(t *testing.T, seed uint64, bugs bug.Set) (found []string) {
	t.Helper()
	w := newWorld(t, seed, bugs)
	defer w.Close()
	for id := int32(1); id <= 3; id++ {
		w.Go("sender", func(e env.Env) { w.keepTelling(e, id) })
	}
	acked, stop := w.produceMany()
	w.run(func(e env.Env) { w.decide(e, 1, []int32{1, 2, 3}) })
	r := w.Rand().Stream("faults")
	for range 10 {
		w.RunFor(time.Duration(r.IntN(600)) * time.Millisecond)
		victim := int32(1 + r.IntN(3))
		switch r.IntN(5) {
		case 0: // the leader crashes and is back at once
			down := w.leader
			w.Crash(name(down))
			w.restart(down)
			w.depose(r.IntN)
		case 1: // it is deposed without a reason
			w.depose(r.IntN)
		case 2: // a broker stops for a while; if it leads, somebody else does
			w.Pause(name(victim))
			w.At(w.Now().Add(time.Duration(r.IntN(4000))*time.Millisecond), func() { w.Resume(name(victim)) })
			if victim == w.leader {
				w.depose(r.IntN)
			}
		case 3: // a link fails, one way or both
			other := 1 + victim%3
			heal := w.Partition([]string{name(victim)}, []string{name(other)}, r.IntN(2) == 0)
			w.At(w.Now().Add(time.Duration(r.IntN(4000))*time.Millisecond), heal)
		case 4:
			w.alterFails = r.IntN(5)
		}
	}
	w.RunFor(5 * time.Second)
	w.Heal()
	*stop = true
	w.RunFor(8 * time.Second) // the last produce has its answer, or never will
	level := func() bool {
		return w.state(1).LogEndOffset == w.state(2).LogEndOffset && w.state(2).LogEndOffset == w.state(3).LogEndOffset
	}
	if w.until("the ISR is whole", func() bool { return len(w.isr) == 3 && len(w.state(w.leader).ISR) == 3 }) &&
		w.until("the logs are level", level) {
		w.judge(seed, *acked)
	}
	return w.found
}

// depose elects another leader from the ISR, if there is one, as a controller does that counts the old one as gone.
func (w *world) depose(intn func(int) int) {
	rest := slices.DeleteFunc(slices.Clone(w.isr), func(id int32) bool {
		return id == w.leader || w.Status(name(id)) != cluster.Running
	})
	if len(rest) == 0 {
		w.leaderEpoch++ // the same again, in a new epoch
		w.partitionEpoch++
		return
	}
	old := w.leader
	w.leader = rest[intn(len(rest))]
	w.isr = slices.DeleteFunc(slices.Clone(w.isr), func(id int32) bool { return id == old })
	w.leaderEpoch++
	w.partitionEpoch++
}

// produceMany produces one value after the other to whoever leads, until *stop, and remembers what was acknowledged.
func (w *world) produceMany() (acked *[]string, stop *bool) {
	acked, stop = new([]string), new(bool)
	w.Go("producer", func(e env.Env) {
		var conn *client.Conn
		to := int32(-1)
		for i := 0; !*stop; i++ {
			e.Sleep(5 * time.Millisecond)
			if conn == nil || conn.Broken() || to != w.leader {
				if conn != nil {
					conn.Close()
				}
				if to = w.leader; to < 0 {
					continue
				}
				var err error
				conn, err = client.Dial(e, name(to)+":9092", client.ConnOptions{ClientID: "producer", DialTimeout: 300 * time.Millisecond, RequestTimeout: 3 * time.Second})
				if err != nil {
					conn = nil
					continue
				}
			}
			value := fmt.Sprintf("v%d", i)
			if code, _, err := w.produce(conn, value, -1); err == nil && code == 0 {
				*acked = append(*acked, value)
			}
		}
	})
	return acked, stop
}

// judge compares the logs with each other and with what was acknowledged.
func (w *world) judge(seed uint64, acked []string) {
	w.t.Helper()
	logs := [][]string{w.values(1), w.values(2), w.values(3)}
	if !slices.Equal(logs[0], logs[1]) || !slices.Equal(logs[1], logs[2]) {
		w.fail("seed %d: logs differ: %d, %d and %d records", seed, len(logs[0]), len(logs[1]), len(logs[2]))
	}
	if len(acked) < 20 {
		w.fail("seed %d: only %d records acknowledged", seed, len(acked))
	}
	found := 0
	for _, v := range logs[0] {
		if found < len(acked) && strings.HasPrefix(v, acked[found]+"@") {
			found++
		}
	}
	if found < len(acked) {
		w.fail("seed %d: %s was acknowledged and is lost (%d of %d found)", seed, acked[found], found, len(acked))
	}
}
