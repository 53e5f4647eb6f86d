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
	var r quota.Rate
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
		q := quota.NewClients(e)
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
		q, all := quota.NewClients(e), map[quota.Entity]map[string]string{}
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
		q := quota.NewReplication(e)
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
