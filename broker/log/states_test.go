// Goal: whatever subset of what was not synced a power loss leaves, the log comes back as a prefix of what was written, with all that
// was durable. Not sampled: for short histories, cut off at some step, every state is looked at.
// Method: the histories are those of the model (model_test.go), a few operations long. The simulated disk says how many decisions a
// power loss takes: one a sector of each unsynced write, a truncation, a directory operation, and the size of each file. For each
// pattern of answers the same history is played again, ends in that state, and is opened and compared.
package log_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
)

// unitsMax is the most decisions that are enumerated: 4096 states.
const unitsMax = 12

var stateSeeds = flag.Uint64("state-seeds", 24, "histories whose crash states are enumerated")

// stateRun is one history. Whoever has the same seed does the same.
type stateRun struct {
	*modelRun
	begun, ended bool
	after        bool // the life after the power loss
}

func (r *stateRun) life(e env.Env) {
	r.lives++
	m, err := log.OpenManager(e, &r.cfg)
	r.must(err)
	r.recoveries = m.Recoveries()
	tp := r.tps[0]
	l, err := m.GetOrCreate(tp, [16]byte{1}, r.cfg.Topic)
	r.must(err)
	if r.after {
		r.reconcile(tp, l)
		r.lead(l, r.logs[tp])
		r.compare(l, r.logs[tp])
		r.must(m.Shutdown(true))
		r.ended = true
		return
	}
	for range 1 + r.rand.IntN(3) { // what is durable
		r.lead(l, r.logs[tp])
	}
	r.must(l.Flush())
	r.logs[tp].durable = r.logs[tp].end
	r.clean, r.begun = false, true
	for range 1 + r.rand.IntN(5) {
		r.step(l, tp, r.logs[tp])
	}
	r.ended = true
	e.Sleep(1 << 60)
}

// playStates plays the history up to the given step behind its beginning, math.MaxUint64 for all of it, then cuts the power if survives is
// set, and looks at what is left. It returns how many steps the history took, how many decisions there were, and what was wrong.
func playStates(t *testing.T, seed, cut uint64, bugs bug.Set, survives func() bool) (steps uint64, units int, why string) {
	r := &stateRun{modelRun: &modelRun{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 3)), logs: map[wire.TopicPartition]*modelLog{}, did: map[string]int{}}}
	r.cfg.LogDirs = []string{"/data/logs"}
	r.cfg.Topic = config.Topic{SegmentBytes: int32(200 + r.rand.IntN(800)), IndexIntervalBytes: int32(50 + r.rand.IntN(200))}
	tp := wire.TopicPartition{Topic: "m"}
	r.tps, r.logs[tp] = []wire.TopicPartition{tp}, newModel()
	w := cluster.New(cluster.Options{Seed: seed})
	defer w.Close()
	r.cfg.Bugs = bugs
	w.AddNode("b1", r.life)
	w.Start("b1")
	w.RunUntil(func() bool { return r.begun }, env.Never)
	from := w.Steps()
	w.RunUntil(func() bool { return r.ended || w.Steps()-from >= cut }, env.Never)
	steps, units = w.Steps()-from, w.Unsynced("b1")
	if c := w.Crashes(); len(c) > 0 || survives == nil {
		return steps, units, firstCrash(c)
	}
	w.PowerLossChosen("b1", survives)
	r.logs[tp].lossy, r.after, r.ended = true, true, false
	r.held = nil // of a life that is over
	w.Start("b1")
	w.RunUntil(func() bool { return r.ended || w.Status("b1") != cluster.Running }, env.Never)
	if why = firstCrash(w.Crashes()); why == "" && !r.ended {
		why = "the log did not open"
	}
	return steps, units, why
}

func firstCrash(c []cluster.Crash) string {
	if len(c) == 0 {
		return ""
	}
	return c[0].String()
}

// everyState plays a history into each of its crash states until something is wrong. Histories with too many are left out.
func everyState(t *testing.T, seed uint64, bugs bug.Set) (states, units int, why string) {
	steps, _, why := playStates(t, seed, 1<<63, bugs, nil)
	cut := rand.New(rand.NewPCG(seed, 4)).Uint64N(steps + 1)
	_, units, _ = playStates(t, seed, cut, bugs, nil)
	if units > unitsMax || why != "" {
		return 0, units, why
	}
	for state := range 1 << units {
		asked := 0
		_, _, why := playStates(t, seed, cut, bugs, func() bool {
			asked++
			return state>>(asked-1)&1 == 1
		})
		if why == "" && asked != units {
			why = fmt.Sprintf("%d decisions were asked for, %d announced", asked, units)
		}
		if why != "" {
			return state + 1, units, fmt.Sprintf("cut at step %d, state %b of %d decisions: %s", cut, state, units, why)
		}
	}
	return 1 << units, units, ""
}

func TestEveryCrashStateOfShortHistories(t *testing.T) {
	seeds := *stateSeeds
	if testing.Short() {
		seeds = 20
	}
	histories, states, most, large := 0, 0, 0, 0
	for seed := range seeds {
		n, units, why := everyState(t, seed, 0)
		if why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
		if n == 0 {
			large++
			continue
		}
		histories, states, most = histories+1, states+n, max(most, units)
	}
	t.Logf("%d histories of up to %d decisions, %d states; %d histories had more", histories, most, states, large)
	if states < 200 || most < 8 {
		t.Errorf("%d states of up to %d decisions: too few to prove anything", states, most)
	}
}

// Goal: the enumeration finds a log that accepts a torn tail.
func TestCrashStatesFindATornTail(t *testing.T) {
	for seed := range uint64(40) {
		if _, _, why := everyState(t, seed, bug.TornTailAccepted); why != "" {
			t.Logf("seed %d: %s", seed, why)
			return
		}
	}
	t.Error("not found in 40 histories")
}
