package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/sim/cluster"
)

// Goal: a broker whose leaderships nobody can take asks controlled.shutdown.max.retries times, controlled.shutdown.retry.backoff.ms apart, and
// stops all the same; with 0 it does not ask. Method: the two others
// crash, and leave the ISR.
func TestControlledShutdownIsTriedAsOftenAsSaid(t *testing.T) {
	for _, tries := range []int{0, 1, 3} {
		h := newHarness(t, 21, func(c *config.Broker) {
			c.ControlledShutdownRetriesMax, c.ControlledShutdownRetryBackoff = tries, 700*time.Millisecond
			c.Topic.MinInsyncReplicas = 1
		})
		h.client("maker", func(_ env.Env, c *client.Client) { create(t, c) })
		h.w.Crash("b2")
		h.w.Crash("b3")
		alone := fmt.Sprintf("b1 leader-elected %s", tp)
		isr := fmt.Sprintf("b1 isr-changed %s", tp)
		h.until("an ISR of one", func() bool {
			return slices.ContainsFunc(h.events, func(ev string) bool {
				return (strings.HasPrefix(ev, alone) || strings.HasPrefix(ev, isr)) && strings.HasSuffix(ev, "isr [1]")
			})
		})
		h.events = nil
		var began env.Instant
		h.client("operator", func(e env.Env, _ *client.Client) {
			e.Sleep(time.Second) // the broker hears who is the controller now
			began = e.Mono()
			h.brokers[1].Stop()
		})
		h.until("the stop", func() bool { return h.w.Status("b1") != cluster.Running })
		took := h.w.Now().Sub(began)
		asked := 0
		for _, ev := range h.events {
			if strings.HasPrefix(ev, "b1 controlled-shutdown ") {
				asked++
			}
		}
		if asked != tries || h.ended[1] != nil {
			t.Errorf("asked %d times of %d; ended with %v", asked, tries, h.ended[1])
		}
		if least := time.Duration(max(tries-1, 0)) * 700 * time.Millisecond; took < least || took > least+3*time.Second {
			t.Errorf("%d tries took %v", tries, took)
		}
	}
}
