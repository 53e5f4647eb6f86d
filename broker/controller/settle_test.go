package controller_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
)

// Goal: a controller that is about to stop waits until all brokers have answered what it told them, and for none that is silent beyond
// the deadline.
func TestSettleWaitsForAnswers(t *testing.T) {
	w := newTown(t, 3, 3)
	if code := w.create("t", 3, 3); code != 0 {
		t.Fatal(code)
	}
	c := w.active()
	settle := func(within time.Duration) (took time.Duration) {
		done := false
		w.Go("settle", func(env.Env) {
			c.env.Go("settle", func() {
				began := c.env.Mono()
				c.controller.Settle(began.Add(within))
				took, done = c.env.Mono().Sub(began), true
			})
		})
		w.until("settle", time.Minute, func() bool { return done })
		return took
	}
	if took := settle(10 * time.Second); took > time.Second {
		t.Errorf("with all brokers well it took %s", took)
	}
	silent := w.brokers[0]
	if silent == c {
		silent = w.brokers[1]
	}
	w.Pause(silent.name())
	if code := w.create("u", 3, 2); code != 0 {
		t.Fatal(code)
	}
	if took := settle(time.Second); took < time.Second || took > 2*time.Second {
		t.Errorf("with a silent broker it took %s of one second", took)
	}
	w.Resume(silent.name())
	if took := settle(10 * time.Second); took > 5*time.Second {
		t.Errorf("with the broker back it took %s", took)
	}
}
