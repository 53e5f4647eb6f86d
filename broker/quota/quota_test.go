package quota_test

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/quota"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
)

// Goal: a rate is taken over ten seconds at least, and what is old counts no more. Method: bursts and rests, against the arithmetic.
func TestRate(t *testing.T) {
	r := quota.NewRate(quota.DefaultWindows)
	second := env.Instant(time.Second)
	r.Record(50, 0)
	if got, over := r.Measure(0); got != 5 || over != 10*time.Second {
		t.Errorf("50 at once: %g over %s", got, over)
	}
	r.Record(50, 5*second)
	if got, over := r.Measure(5 * second); got != 10 || over != 10*time.Second {
		t.Errorf("100 in 5 s: %g over %s", got, over)
	}
	if wait := r.Excess(8, 5*second); wait != 2500*time.Millisecond {
		t.Errorf("100 where 80 may be: wait %s", wait)
	}
	if wait := r.Excess(10, 5*second); wait != 0 {
		t.Errorf("at the bound: wait %s", wait)
	}
	if got, _ := r.Measure(12 * second); got != 5 {
		t.Errorf("the first 50 are forgotten after 11 s: %g", got)
	}
	if got, _ := r.Measure(17 * second); got != 0 {
		t.Errorf("all is forgotten: %g", got)
	}
}

// Goal: a client that waits as long as it is told to stays at its bound over time. Method: it sends as much as it can for two minutes.
func TestWaitingKeepsTheBound(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		q := quota.NewClients(e, quota.DefaultWindows, quota.DefaultWindows)
		q.Replace(map[quota.Entity]map[string]string{{ClientID: "a"}: {"producer_byte_rate": "1000"}})
		began, sent := e.Mono(), 0.0
		for e.Mono().Sub(began) < 2*time.Minute {
			e.Sleep(q.Record(quota.Produce, "ANONYMOUS", "a", 300))
			sent += 300
			e.Sleep(time.Millisecond)
		}
		took := e.Mono().Sub(began).Seconds()
		if rate := sent / took; rate < 900 || rate > 1150 {
			t.Errorf("%g bytes a second, bound 1000", rate)
		}
	})
}

// Goal: the most specific bound holds, and who shares it shares it. Method: one entry after the other is added, from the least specific on.
func TestWhichBoundHolds(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		steps := []struct {
			entity quota.Entity
			value  string
			want   float64
		}{
			{quota.Entity{ClientID: quota.Default}, "1", 1}, {quota.Entity{ClientID: "c"}, "2", 2}, {quota.Entity{User: quota.Default}, "3", 3},
			{quota.Entity{User: quota.Default, ClientID: quota.Default}, "4", 4}, {quota.Entity{User: quota.Default, ClientID: "c"}, "5", 5},
			{quota.Entity{User: "u"}, "6", 6}, {quota.Entity{User: "u", ClientID: quota.Default}, "7", 7}, {quota.Entity{User: "u", ClientID: "c"}, "8", 8},
		}
		q, all := quota.NewClients(e, quota.DefaultWindows, quota.DefaultWindows), map[quota.Entity]map[string]string{}
		if _, ok := q.Bound(quota.Fetch, "u", "c"); ok || q.Any() {
			t.Error("a bound out of nothing")
		}
		for _, s := range steps {
			all[s.entity] = map[string]string{"consumer_byte_rate": s.value}
			q.Replace(all)
			if got, _ := q.Bound(quota.Fetch, "u", "c"); got != s.want {
				t.Errorf("with %+v: %g, want %g", s.entity, got, s.want)
			}
		}
		if _, ok := q.Bound(quota.Produce, "u", "c"); ok {
			t.Error("a bound of another kind")
		}
		q.Replace(map[quota.Entity]map[string]string{{User: "u"}: {"consumer_byte_rate": "10"}, {ClientID: quota.Default}: {"consumer_byte_rate": "10"}})
		q.Record(quota.Fetch, "u", "c", 200)
		if q.Record(quota.Fetch, "u", "d", 1) == 0 {
			t.Error("clients of one user do not share its bound")
		}
		q.Record(quota.Fetch, "v", "c", 200)
		if q.Record(quota.Fetch, "v", "d", 1) != 0 {
			t.Error("what a default binds is shared")
		}
		q.Unrecord(quota.Fetch, "v", "c", 200)
		if q.Record(quota.Fetch, "v", "c", 1) != 0 {
			t.Error("what was taken back counts")
		}
	})
}

// Goal: the lists of throttled replicas mean what Kafka's do, and only bytes above the bound hold back.
func TestReplication(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		q := quota.NewReplication(e, quota.DefaultWindows)
		tp := func(n int32) wire.TopicPartition { return wire.TopicPartition{Topic: "t", Partition: n} }
		q.SetTopic("t", "0:1, 1:2,3:1", 1)
		if q.Throttled(tp(0)) {
			t.Error("throttled without a rate")
		}
		q.SetRate(100)
		if !q.Throttled(tp(0)) || q.Throttled(tp(1)) || q.Throttled(tp(2)) || !q.Throttled(tp(3)) {
			t.Error("0 and 3 of broker 1 are throttled, and no others")
		}
		q.SetTopic("t", "*", 1)
		if !q.Throttled(tp(2)) {
			t.Error("* is all")
		}
		q.Record(1000)
		if q.Exceeded() {
			t.Error("1000 in ten seconds do not exceed 100 a second")
		}
		q.Record(1)
		if !q.Exceeded() {
			t.Error("1001 do")
		}
		e.Sleep(12 * time.Second)
		if q.Exceeded() {
			t.Error("the past holds back for ever")
		}
		q.SetTopic("t", "", 1)
		if q.Throttled(tp(2)) {
			t.Error("throttled after the list is gone")
		}
	})
}

// Goal: bounds that make no sense are refused.
func TestValidate(t *testing.T) {
	for key, value := range map[string]float64{"producer_byte_rate": 0, "consumer_byte_rate": -5, "request_percentage": 0, "bytes": 1} {
		if quota.Validate(key, value) == nil {
			t.Errorf("%s=%g is accepted", key, value)
		}
	}
	if quota.Validate("producer_byte_rate", 1.5) == nil || quota.Validate("request_percentage", 12.5) != nil || quota.Validate("producer_byte_rate", 1024) != nil {
		t.Error("bytes are whole numbers, percentages are not")
	}
}

// Goal: tokens come back at the rate of the bound, up to a burst; entities share them as they share rates; a bound that changes holds at once;
// who is refused takes nothing. Method: the worked example, then the edges.
func TestMutations(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		windows := quota.Windows{Num: 5, Length: 2 * time.Second}
		q := quota.NewClients(e, quota.DefaultWindows, windows)
		if m := q.Mutations("u", "a", true); !m.Take(1_000_000) || m.Throttle() != 0 {
			t.Error("bounded without a bound")
		}
		q.Replace(map[quota.Entity]map[string]string{{User: "u"}: {"controller_mutation_rate": "10"}})
		take := func(client string, strict bool, n int, ok bool, throttle time.Duration) {
			t.Helper()
			m := q.Mutations("u", client, strict)
			if got := m.Take(n); got != ok || m.Throttle().Round(time.Millisecond) != throttle {
				t.Errorf("%d tokens: %t, held back for %s; want %t, %s", n, got, m.Throttle(), ok, throttle)
			}
		}
		take("a", true, 100, true, 0) // the whole burst of ten seconds
		take("b", true, 30, true, 0)  // of the same user: overdrawn, and not held back
		take("a", true, 1, false, 3*time.Second)
		take("b", false, 10, true, 4*time.Second)
		e.Sleep(3 * time.Second)
		take("a", true, 1, false, time.Second)
		e.Sleep(time.Second)
		take("a", true, 5, true, 0)
		q.Replace(map[quota.Entity]map[string]string{{User: "u"}: {"controller_mutation_rate": "2.5"}})
		take("a", true, 1, false, 2*time.Second) // 5 tokens, at two and a half a second
		e.Sleep(time.Minute)
		take("a", true, 25, true, 0)
		take("a", true, 1, true, 0)
		take("a", true, 1, false, 400*time.Millisecond)
		m := q.Mutations("u", "a", true)
		m.Take(1)
		e.Sleep(300 * time.Millisecond)
		if got := m.Throttle().Round(time.Millisecond); got != 100*time.Millisecond {
			t.Errorf("held back for %s after a wait of 300 ms", got)
		}
		if m := q.Mutations("v", "a", true); !m.Take(1_000_000) || !m.Take(1) {
			t.Error("another user is bounded")
		}
	})
}

// Goal: the windows of a rate are those that were configured. Method: two windows of a minute, and a single one.
func TestWindows(t *testing.T) {
	second := env.Instant(time.Second)
	r := quota.NewRate(quota.Windows{Num: 2, Length: time.Minute})
	r.Record(60, 0)
	if got, over := r.Measure(0); got != 1 || over != time.Minute {
		t.Errorf("60 at once: %g over %s", got, over)
	}
	if got, _ := r.Measure(119 * second); got == 0 {
		t.Error("forgotten after less than two minutes")
	}
	if got, _ := r.Measure(120 * second); got != 0 {
		t.Errorf("%g after two minutes", got)
	}
	one := quota.NewRate(quota.Windows{Num: 1, Length: time.Second})
	one.Record(1, 0)
	if got, over := one.Measure(0); got != 1000 || over != time.Millisecond {
		t.Errorf("in a single window that has just begun: %g over %s", got, over)
	}
}
