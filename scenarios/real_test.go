package scenarios

import (
	"slices"
	"testing"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/faults"
	"barnabas/linearizability/history"
)

// Goal: what the real world orders is what hooks understand, every word of it.
func TestOrdersAreUnderstood(t *testing.T) {
	h := osenv.NewHook()
	for _, order := range []string{
		linkOrder{}.text("127.0.0.9"),
		linkOrder{cutIn: true, cutOut: true, noDial: true, refuse: true, delayIn: time.Second, delayOut: 3 * time.Millisecond, lossIn: 5, rateIn: 1 << 16}.text("127.0.0.9"),
		diskOrder(faults.Disk{}, nil),
		diskOrder(faults.Disk{Slow: 20, FailSync: true, FailRead: true, FailWrite: true, Full: true, Torn: true, Stall: time.Second}, []string{"/a", "/b"}),
		"hold 127.0.0.9 2s", "hold-back 127.0.0.9 2s", "forget 127.0.0.9", "reset 127.0.0.9", "clock offset=-3s drift=-20000",
	} {
		if _, err := h.Obey(order); err != nil {
			t.Errorf("%q: %v", order, err)
		}
	}
	words, err := h.Obey("felt")
	if err != nil || len(parseFelt(words)) != 0 {
		t.Errorf("felt: %q, %v", words, err)
	}
	if got := parseFelt("disk slow=17, in 127.1.2.3=4, torn, x=y"); got["disk slow"] != 17 || got["in 127.1.2.3"] != 4 || len(got) != 2 {
		t.Errorf("parsed %v", got)
	}
}

// Goal: the longest time without acks begins with the last one before the trouble and may end after it; without an ack before or
// after nothing is known.
func TestLongestGap(t *testing.T) {
	var all acks
	for _, w := range [][2]int64{{10, 20}, {5, 10}, {20, 30}, {80, 90}, {30, 80}, {90, 300}} { // somebody always waits
		all.add(history.Op{Kind: history.Produce, Outcome: history.OK, Call: w[0], Return: w[1]})
	}
	all.sort()
	at := all[0]
	for _, c := range []struct {
		from, to env.Instant
		gap      time.Duration
		ok       bool
	}{{25, 85, 50, true}, {31, 40, 50, true}, {85, 95, 210, true}, {5, 95, 0, false}, {301, 400, 0, false}, {11, 29, 10, true}} {
		if gap, _, ok := longestGap(at, c.from, c.to); ok != c.ok || ok && gap != c.gap {
			t.Errorf("from %d to %d: %d, %t; want %d, %t", c.from, c.to, gap, ok, c.gap, c.ok)
		}
	}
}

// Goal: while nobody asks for anything, no partition is unavailable; but who asked in vain counts, and so does who asked before the last ack and
// is still waiting.
func TestGapBeginsWhenSomebodyAsks(t *testing.T) {
	for _, c := range []struct {
		name  string
		more  []history.Op
		gap   time.Duration
		began env.Instant
	}{
		{"nobody asks between 11 and 195", nil, 10, 195},
		{"somebody asked in vain", []history.Op{{Call: 100, Return: 180}}, 105, 100},
		{"somebody has waited since before the last ack", []history.Op{{Call: 8, Return: 210, Outcome: history.OK}}, 194, 11},
		{"somebody gave up before the last ack", []history.Op{{Call: 2, Return: 9}}, 10, 195},
	} {
		var all acks
		for _, op := range append([]history.Op{{Call: 0, Return: 1, Outcome: history.OK}, {Call: 10, Return: 11, Outcome: history.OK}, {Call: 195, Return: 205, Outcome: history.OK}}, c.more...) {
			op.Kind = history.Produce
			if op.Outcome != history.OK {
				op.Outcome = history.Failed
			}
			all.add(op)
		}
		all.sort()
		if gap, began, ok := longestGap(all[0], 5, 200); !ok || gap != c.gap || began != c.began {
			t.Errorf("%s: %d from %d on, %t; want %d from %d on", c.name, gap, began, ok, c.gap, c.began)
		}
	}
}

// Goal: a broker reads from its server.properties what the plan says.
func TestPropertiesSayThePlan(t *testing.T) {
	s, err := Find("leader-failover")
	if err != nil {
		t.Fatal(err)
	}
	want := realPlan(RealOptions{Scenario: s, Seed: 7}).config(2, "127.0.0.2:9", "127.0.0.3:8", []string{"/d/1", "/d/2"})
	got, _, err := config.Load("b2.properties", []byte(properties(want)))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range config.BrokerKeys() {
		if a, b := k.Value(got), k.Value(want); a != b && k.Name != "advertised.listeners" {
			t.Errorf("%s is %q, want %q", k.Name, a, b)
		}
	}
	for _, k := range config.TopicKeys() {
		if a, b := k.Value(&got.Topic), k.Value(&want.Topic); a != b {
			t.Errorf("%s is %q, want %q", k.Name, a, b)
		}
	}
}

// Goal: timers call back in the order of their times, one at a time, and nothing once they are stopped.
func TestRealTimers(t *testing.T) {
	e := osenv.New(osenv.Options{})
	timers := newRealTimers(e)
	var order []int
	now := e.Mono()
	timers.do(func() { // while it runs, nothing else does
		for _, n := range []int{3, 1, 2} {
			timers.At(now.Add(time.Duration(n)*time.Millisecond), func() { order = append(order, n) })
		}
		timers.At(now.Add(time.Hour), func() { t.Error("called an hour early") })
	})
	for done := false; !done; e.Sleep(time.Millisecond) {
		timers.do(func() { done = len(order) == 3 })
	}
	if !slices.Equal(order, []int{1, 2, 3}) {
		t.Errorf("called in the order %v", order)
	}
	timers.stop()
	timers.do(func() {}) // does not hang
}

// Goal: a shorter run expects less, a longer one not more.
func TestPlanLasts(t *testing.T) {
	s, err := Find("steady")
	if err != nil {
		t.Fatal(err)
	}
	whole := realPlan(RealOptions{Scenario: s, Seed: 1})
	short := realPlan(RealOptions{Scenario: s, Seed: 1, For: 5 * time.Second})
	long := realPlan(RealOptions{Scenario: s, Seed: 1, For: time.Hour})
	if short.HealAt-short.Faults.Start != 5*time.Second || short.Least.Acked >= whole.Least.Acked || short.Least.Acked < 1 || long.Least.Acked != whole.Least.Acked {
		t.Errorf("short %v %+v, long %+v", short.HealAt, short.Least, long.Least)
	}
}
