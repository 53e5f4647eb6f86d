package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

func twoDirs(c *config.Broker) {
	c.LogDirs = []string{"/data/1", "/data/2"}
	c.Topic.SegmentBytes = 2000
}

// dirs is where a broker has, or will have, the replica.
func dirs(t *testing.T, c *client.Client, broker int32, of wire.TopicPartition) (now, future string) {
	t.Helper()
	places, all, err := client.NewAdmin(c).ReplicaPlaces(broker, of, 5*time.Second)
	if err != nil || len(all) != 2 {
		t.Fatal(err, all)
	}
	for _, p := range places {
		if p.Future {
			future = p.Dir
		} else {
			now += p.Dir // twice would be wrong
		}
	}
	return now, future
}

// otherDir is the other one of two.
func otherDir(dir string) string {
	if dir == "/data/1" {
		return "/data/2"
	}
	return "/data/1"
}

// Goal: AlterReplicaLogDirs moves a leader's and a follower's replica to the other directory while records are written with acks=all, and
// none is lost, doubled or out of order; what cannot be is refused with Kafka's codes; a replica that is not there yet is made
// where it was wanted.
func TestReplicasMoveBetweenLogDirs(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		h := newHarness(t, seed, twoDirs)
		h.client("admin", func(e env.Env, c *client.Client) {
			create(t, c)
			a := client.NewAdmin(c)
			later := wire.TopicPartition{Topic: "later"}
			for _, w := range []struct {
				tp   wire.TopicPartition
				dir  string
				want error
			}{
				{tp, "/data/3", kerr.LogDirNotFound}, {later, "/data/2", kerr.UnknownTopicOrPartition},
				{wire.TopicPartition{Topic: strings.Repeat("x", 249)}, "/data/2", kerr.InvalidTopicException},
			} {
				for broker := int32(1); broker <= 3; broker++ {
					if err := a.MoveReplica(broker, w.tp, w.dir, 5*time.Second); !errors.Is(err, w.want) {
						t.Errorf("%s to %s: %v, want %v", w.tp, w.dir, err, w.want)
					}
				}
			}
			acked := produce(t, c, 300, func(i int) {
				if i != 100 && i != 200 {
					return
				}
				for broker := int32(1); broker <= 3; broker++ {
					now, _ := dirs(t, c, broker, tp)
					if err := a.MoveReplica(broker, tp, otherDir(now), 5*time.Second); err != nil {
						t.Error(err)
					}
					if err := a.MoveReplica(broker, tp, otherDir(now), 5*time.Second); err != nil { // again is the same
						t.Error(err)
					}
				}
				e.Sleep(10 * time.Millisecond)
			})
			e.Sleep(2 * time.Second)
			for broker := int32(1); broker <= 3; broker++ {
				if now, future := dirs(t, c, broker, tp); now != "/data/1" || future != "" { // there and back
					t.Errorf("broker %d has it in %q, and on its way to %q", broker, now, future)
				}
			}
			if got := drained(t, e, c, tp); !slices.Equal(got, acked) || len(acked) != 300 {
				t.Errorf("acked %d records, read %d", len(acked), len(got))
			}
			if err := a.CreateTopics(20*time.Second, client.NewTopic{Name: "later", Partitions: 1, ReplicationFactor: 3}); err != nil {
				t.Fatal(err)
			}
			e.Sleep(time.Second)
			for broker := int32(1); broker <= 3; broker++ {
				if now, _ := dirs(t, c, broker, later); now != "/data/2" {
					t.Errorf("broker %d made it in %q", broker, now)
				}
			}
		})
		moves := 0
		for _, ev := range h.events {
			if strings.Contains(ev, "replica-moved") {
				moves++
			}
		}
		if moves != 6 {
			t.Errorf("seed %d: %d moves", seed, moves)
		}
	}
}

// Goal: a throttle holds a move, which DescribeLogDirs shows with its lag; the move outlives a crash; it can be called back, and
// turned to go on when the throttle is lifted.
func TestMoveIsThrottledResumedAndCancelled(t *testing.T) {
	h := newHarness(t, 4, twoDirs)
	const throttle = "replica.alter.log.dirs.io.max.bytes.per.second"
	wait := func(e env.Env, what string, pred func() bool) {
		t.Helper()
		for range 200 {
			if pred() {
				return
			}
			e.Sleep(100 * time.Millisecond)
		}
		t.Fatal("waited for ", what)
	}
	var from string
	h.client("first", func(e env.Env, c *client.Client) {
		create(t, c)
		produce(t, c, 50, func(int) {})
		if code := alterBroker(t, c, 2, "2", throttle, "1"); code != 0 {
			t.Fatal(code)
		}
		e.Sleep(time.Second)
		from, _ = dirs(t, c, 2, tp)
		if err := client.NewAdmin(c).MoveReplica(2, tp, otherDir(from), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		e.Sleep(3 * time.Second)
		produce(t, c, 50, func(int) {})
		places, _, err := client.NewAdmin(c).ReplicaPlaces(2, tp, 5*time.Second)
		if err != nil || len(places) != 2 || places[0].Future == places[1].Future || places[0].Lag+places[1].Lag == 0 {
			t.Fatal(err, places)
		}
	})
	h.w.Crash("b2")
	h.brokers[2] = nil
	h.w.Start("b2")
	h.until("b2 to serve", func() bool { return h.ready(2) })
	h.client("second", func(e env.Env, c *client.Client) {
		a := client.NewAdmin(c)
		wait(e, "the others to know b2", func() bool {
			err := c.Refresh(e.Mono().Add(10*time.Second), tp.Topic)
			_, dialled := c.Conn(2)
			return errors.Join(err, dialled) == nil
		})
		wait(e, "the move to go on", func() bool { now, future := dirs(t, c, 2, tp); return now == from && future == otherDir(from) })
		if err := a.MoveReplica(2, tp, from, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if now, future := dirs(t, c, 2, tp); now != from || future != "" {
			t.Errorf("called back, it is in %q and %q", now, future)
		}
		if err := a.MoveReplica(2, tp, otherDir(from), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if code := alterBroker(t, c, 2, "2", throttle, "1000000"); code != 0 {
			t.Fatal(code)
		}
		wait(e, "the move to end", func() bool { now, future := dirs(t, c, 2, tp); return now == otherDir(from) && future == "" })
		if got := drained(t, e, c, tp); len(got) != 100 {
			t.Errorf("read %d of 100", len(got))
		}
		if err := a.DeleteTopics(20*time.Second, tp.Topic); err != nil {
			t.Fatal(err)
		}
		wait(e, "the deletion", func() bool { now, future := dirs(t, c, 2, tp); return now+future == "" })
	})
}
