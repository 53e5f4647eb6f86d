package api_test

import (
	"fmt"
	"testing"
	"time"

	"barnabas/broker/partition"
	"barnabas/broker/quota"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: a producer above its bound is answered at once, told to wait, and not read until then. Method: produce three times the bound's ten
// seconds; the next request's answer comes after the wait.
func TestProduceQuota(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		d.addTopic("t", topicID(3), 1)
		big := string(make([]byte, 5000))
		d.quotas.Replace(map[quota.Entity]map[string]string{{ClientID: "test"}: {"producer_byte_rate": "400"}})
		first := do[*kmsg.ProduceResponse](d, produce(9, 1, "t", 0, batch(t, record.None, 1, big+big)))
		if first.ThrottleMillis < 14_000/10 || first.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("10000 bytes where 4000 are allowed: throttled for %d ms, error %d", first.ThrottleMillis, first.Topics[0].Partitions[0].ErrorCode)
		}
		before := d.e.Mono()
		do[*kmsg.ApiVersionsResponse](d, kmsg.NewPtrApiVersionsRequest())
		if waited := d.e.Mono().Sub(before); waited < time.Duration(first.ThrottleMillis-100)*time.Millisecond {
			t.Errorf("the connection was read after %s, in spite of %d ms", waited, first.ThrottleMillis)
		}
		d.quotas.Replace(nil)
		if resp := do[*kmsg.ProduceResponse](d, produce(9, 1, "t", 0, batch(t, record.None, 1, big))); resp.ThrottleMillis != 0 {
			t.Error("throttled without a bound")
		}
	})
}

// Goal: a consumer above its bound gets nothing but the time to wait, and then what it asked for; a session goes on; a follower has no
// bound. Method: fetch more than the bound's ten seconds.
func TestFetchQuota(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		id := topicID(3)
		d.addTopic("t", id, 1)
		for range 6 {
			fill(d, "t", 0, 1, string(make([]byte, 3000)))
		}
		d.quotas.Replace(map[quota.Entity]map[string]string{{ClientID: "test"}: {"consumer_byte_rate": "400"}})
		full := do[*kmsg.FetchResponse](d, inSession(13, 0, 0, "t", id, 0))
		if got := len(full.Topics[0].Partitions[0].RecordBatches); got == 0 || got > 4000 || full.ThrottleMillis != 0 {
			t.Fatalf("first: %d bytes, throttled for %d ms; at most 4000 are allowed at once", got, full.ThrottleMillis)
		}
		held := do[*kmsg.FetchResponse](d, inSession(13, full.SessionID, 1, "t", id, 1))
		if held.ThrottleMillis == 0 || len(held.Topics) != 0 || held.ErrorCode != 0 || held.SessionID != full.SessionID {
			t.Fatalf("second: %+v", held)
		}
		before := d.e.Mono()
		again := do[*kmsg.FetchResponse](d, inSession(13, full.SessionID, 2, "t", id, 1))
		if waited := d.e.Mono().Sub(before); waited < time.Duration(held.ThrottleMillis-100)*time.Millisecond {
			t.Errorf("read after %s", waited)
		}
		if again.ErrorCode != 0 {
			t.Fatalf("the session is lost: %d", again.ErrorCode)
		}
		follower := fetch(12, "t", id, 0)
		follower.ReplicaID = 2
		if resp := do[*kmsg.FetchResponse](d, follower); resp.ThrottleMillis != 0 || len(resp.Topics[0].Partitions[0].RecordBatches) < 15000 {
			t.Errorf("a follower is throttled for %d ms", resp.ThrottleMillis)
		}
	})
}

// Goal: a leader sends no more than its rate to a throttled replica that is not in sync, and what it likes to one that is.
func TestLeaderThrottle(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		id := topicID(3)
		d.addTopic("t", id, 1)
		fill(d, "t", 0, 1, string(make([]byte, 30_000)))
		d.throttle.SetRate(1000)
		d.throttle.SetTopic("t", "0:1", 1)
		ask := func() int {
			follower := fetch(12, "t", id, 0)
			follower.ReplicaID, follower.MaxWaitMillis = 2, 100
			resp := do[*kmsg.FetchResponse](d, follower)
			if resp.Topics[0].Partitions[0].HighWatermark != 1 {
				t.Errorf("the high watermark is not told: %d", resp.Topics[0].Partitions[0].HighWatermark)
			}
			return len(resp.Topics[0].Partitions[0].RecordBatches)
		}
		if ask() == 0 {
			t.Fatal("held back before anything was sent")
		}
		if n := ask(); n != 0 {
			t.Fatalf("30 kB were sent, 1 kB a second is the rate, and %d more were", n)
		}
		d.at("t", 0).inSync = true
		if ask() == 0 {
			t.Error("an in-sync replica is held back")
		}
		d.at("t", 0).inSync = false
		d.e.Sleep(80 * time.Second)
		if ask() == 0 {
			t.Error("held back for ever")
		}
	})
}

// Goal: a consumer is sent to the replica in its rack that has most of the log, and stays where the leader is near or nobody is.
func TestNearestReplica(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		id := topicID(3)
		d.addTopic("t", id, 1)
		fill(d, "t", 0, 3, "a")
		d.tellRacks("r1", "r2")
		d.cfg.RackAwareSelector = true
		p := d.at("t", 0)
		p.replicas = []partition.ReadReplica{{Broker: 1, LogEndOffset: 3}, {Broker: 2, LogEndOffset: 3}}
		ask := func(rack string, offset int64) *kmsg.FetchResponseTopicPartition {
			req := fetch(13, "t", id, offset)
			req.Rack = rack
			return &do[*kmsg.FetchResponse](d, req).Topics[0].Partitions[0]
		}
		if got := ask("r2", 0); got.PreferredReadReplica != 2 || len(got.RecordBatches) != 0 || got.HighWatermark != 3 {
			t.Errorf("near broker 2: %+v", got)
		}
		for _, rack := range []string{"r1", "r9", ""} {
			if got := ask(rack, 0); got.PreferredReadReplica != -1 || len(got.RecordBatches) == 0 {
				t.Errorf("rack %q: replica %d, %d bytes", rack, got.PreferredReadReplica, len(got.RecordBatches))
			}
		}
		p.replicas[1].LogEndOffset = 1
		if got := ask("r2", 2); got.PreferredReadReplica != -1 {
			t.Errorf("sent to a replica that does not have offset 2 yet: %d", got.PreferredReadReplica)
		}
	})
}

// quotaAdmin sets and removes bounds, and describes them. Parts of an entity are type, name, type, name; the name "" is the default.
func quotaAdmin(d *desk) (alter func(key string, value float64, remove bool, parts ...string) int16,
	describe func(strict bool, components ...kmsg.DescribeClientQuotasRequestComponent) *kmsg.DescribeClientQuotasResponse,
	any func(kind string) kmsg.DescribeClientQuotasRequestComponent) {
	alter = func(key string, value float64, remove bool, parts ...string) int16 {
		req := kmsg.NewPtrAlterClientQuotasRequest()
		req.Version = 1
		entry := kmsg.NewAlterClientQuotasRequestEntry()
		for i := 0; i < len(parts); i += 2 {
			e := kmsg.NewAlterClientQuotasRequestEntryEntity()
			if e.Type = parts[i]; parts[i+1] != "" {
				e.Name = &parts[i+1]
			}
			entry.Entity = append(entry.Entity, e)
		}
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Value, op.Remove = key, value, remove
		entry.Ops = append(entry.Ops, op)
		req.Entries = append(req.Entries, entry)
		return do[*kmsg.AlterClientQuotasResponse](d, req).Entries[0].ErrorCode
	}
	describe = func(strict bool, components ...kmsg.DescribeClientQuotasRequestComponent) *kmsg.DescribeClientQuotasResponse {
		req := kmsg.NewPtrDescribeClientQuotasRequest()
		req.Version, req.Strict, req.Components = 1, strict, components
		return do[*kmsg.DescribeClientQuotasResponse](d, req)
	}
	any = func(kind string) kmsg.DescribeClientQuotasRequestComponent {
		return kmsg.DescribeClientQuotasRequestComponent{EntityType: kind, MatchType: 2}
	}
	return alter, describe, any
}

// Goal: what is set is described, by each kind of filter; nonsense is refused and changes nothing.
func TestClientQuotas(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		alter, describe, any := quotaAdmin(d)
		for _, code := range []int16{alter("producer_byte_rate", 1024, false, "user", "alice"), alter("consumer_byte_rate", 2048, false, "user", "alice", "client-id", "app"),
			alter("request_percentage", 50, false, "client-id", "")} {
			if code != 0 {
				t.Fatalf("refused with %d", code)
			}
		}
		if got := describe(false); len(got.Entries) != 3 {
			t.Errorf("all: %+v", got.Entries)
		}
		if got := describe(true, any("user")); len(got.Entries) != 1 || got.Entries[0].Values[0].Value != 1024 {
			t.Errorf("users alone: %+v", got.Entries)
		}
		if got := describe(false, any("user")); len(got.Entries) != 2 {
			t.Errorf("users: %+v", got.Entries)
		}
		if got := describe(true, kmsg.DescribeClientQuotasRequestComponent{EntityType: "client-id", MatchType: 1}); len(got.Entries) != 1 || got.Entries[0].Entity[0].Name != nil {
			t.Errorf("the default client: %+v", got.Entries)
		}
		if got := describe(false, any("user"), any("user")); got.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("twice the same: %d", got.ErrorCode)
		}
		if got := describe(false, any("")); got.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("no type: %d", got.ErrorCode)
		}
		if got := describe(false, any("planet")); got.ErrorCode != kerr.UnsupportedVersion.Code {
			t.Errorf("an unknown type: %d", got.ErrorCode)
		}
		for _, code := range []int16{alter("producer_byte_rate", -1, false, "user", "bob"), alter("producer_byte_rate", 1.5, false, "user", "bob"),
			alter("speed", 1, false, "user", "bob"), alter("producer_byte_rate", 1, false), alter("producer_byte_rate", 1, false, "user", "a", "user", "b"),
			alter("producer_byte_rate", 1, false, "planet", "a")} {
			if code != kerr.InvalidRequest.Code {
				t.Errorf("nonsense is answered with %d", code)
			}
		}
		if alter("speed", 0, true, "user", "alice") != 0 || len(describe(false).Entries) != 3 {
			t.Error("what is not there cannot be removed, or something else was")
		}
		if alter("producer_byte_rate", 0, true, "user", "alice") != 0 || len(describe(false).Entries) != 2 {
			t.Error("removed, and still there; or nonsense was kept")
		}
	})
}

// Goal: the rate of connections of an IP address, and of all others, is set, described and removed; addresses and clients do not mix in an
// entity, a filter or an answer; what is no address, no whole number, or no bound of addresses is refused (KIP-612).
func TestAddressQuotas(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		alter, describe, any := quotaAdmin(d)
		const rate = "connection_creation_rate"
		for _, code := range []int16{alter(rate, 10, false, "ip", "10.0.0.1"), alter(rate, 0, false, "ip", ""), alter("request_percentage", 50, false, "user", "alice")} {
			if code != 0 {
				t.Fatalf("refused with %d", code)
			}
		}
		if got := d.configs["ips/10.0.0.1"][rate]; got != "10" {
			t.Errorf("kept as %q", got)
		}
		name := "10.0.0.1"
		for i, c := range []struct {
			strict     bool
			components []kmsg.DescribeClientQuotasRequestComponent
			entries    int
		}{
			{false, nil, 3}, {true, nil, 0}, {false, []kmsg.DescribeClientQuotasRequestComponent{any("ip")}, 2}, {true, []kmsg.DescribeClientQuotasRequestComponent{any("ip")}, 2},
			{false, []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "ip", MatchType: 1}}, 1},
			{false, []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "ip", Match: &name}}, 1},
			{false, []kmsg.DescribeClientQuotasRequestComponent{any("user")}, 1}, {false, []kmsg.DescribeClientQuotasRequestComponent{any("client-id")}, 0},
		} {
			if got := describe(c.strict, c.components...); len(got.Entries) != c.entries || got.ErrorCode != 0 {
				t.Errorf("filter %d: error %d, %+v", i, got.ErrorCode, got.Entries)
			}
		}
		one := describe(false, kmsg.DescribeClientQuotasRequestComponent{EntityType: "ip", Match: &name}).Entries[0]
		if len(one.Entity) != 1 || one.Entity[0].Type != "ip" || *one.Entity[0].Name != name || len(one.Values) != 1 || one.Values[0].Key != rate || one.Values[0].Value != 10 {
			t.Errorf("described as %+v", one)
		}
		if got := describe(false, any("ip"), any("user")); got.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("addresses of users: %d", got.ErrorCode)
		}
		for i, code := range []int16{alter(rate, 1, false, "ip", "somewhere.invalid"), alter(rate, 1, false, "ip", "::1"), alter(rate, 1.5, false, "ip", name),
			alter(rate, -1, false, "ip", name), alter("producer_byte_rate", 1, false, "ip", name), alter(rate, 1, false, "user", "bob"),
			alter(rate, 1, false, "ip", name, "user", "bob"), alter(rate, 1<<40, false, "ip", name)} {
			if code != kerr.InvalidRequest.Code {
				t.Errorf("nonsense %d is answered with %d", i, code)
			}
		}
		if alter(rate, 0, true, "ip", name) != 0 || len(describe(false, any("ip")).Entries) != 1 {
			t.Error("removed, and still there; or nonsense was kept")
		}
	})
}

// Goal: who has the controller create and delete more partitions than the bound allows is held back as long as the tokens take to come back,
// and refused if the version knows the refusal: CreateTopics from v6 on, CreatePartitions from v3, DeleteTopics from v5 (KIP-599).
// Method: 10 tokens a second, a burst of 110. Three requests of a hundred partitions each: the second overdraws, the third is refused in
// new versions, and in old ones goes through and is held back for longer.
func TestMutationQuota(t *testing.T) {
	for name, c := range map[string]struct {
		old, young int16
		do         func(d *desk, version int16) (code int16, throttle int32)
	}{
		"create topics": {5, 6, func(d *desk, version int16) (int16, int32) {
			req := kmsg.NewPtrCreateTopicsRequest()
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", 100, 1
			req.Version, req.Topics = version, append(req.Topics, topic)
			resp := do[*kmsg.CreateTopicsResponse](d, req)
			return resp.Topics[0].ErrorCode, resp.ThrottleMillis
		}},
		"create partitions": {2, 3, func(d *desk, version int16) (int16, int32) {
			req := kmsg.NewPtrCreatePartitionsRequest()
			topic := kmsg.NewCreatePartitionsRequestTopic()
			topic.Topic, topic.Count = "t", 100
			req.Version, req.Topics = version, append(req.Topics, topic)
			resp := do[*kmsg.CreatePartitionsResponse](d, req)
			return resp.Topics[0].ErrorCode, resp.ThrottleMillis
		}},
		"delete topics": {4, 5, func(d *desk, version int16) (int16, int32) {
			req := kmsg.NewPtrDeleteTopicsRequest()
			req.Version, req.TopicNames = version, []string{"t"}
			resp := do[*kmsg.DeleteTopicsResponse](d, req)
			return resp.Topics[0].ErrorCode, resp.ThrottleMillis
		}},
	} {
		for _, version := range []int16{c.old, c.young} {
			t.Run(fmt.Sprintf("%s v%d", name, version), func(t *testing.T) {
				onDesk(t, 3, func(d *desk) {
					d.controller.active = true
					if code, throttle := c.do(d, version); code != 0 || throttle != 0 {
						t.Fatalf("without a bound: error %d, held back for %d ms", code, throttle)
					}
					d.quotas.Replace(map[quota.Entity]map[string]string{{ClientID: "test"}: {"controller_mutation_rate": "10"}})
					want := func(what string, wantCode int16, least, most int32) {
						t.Helper()
						if code, throttle := c.do(d, version); code != wantCode || throttle < least || throttle > most {
							t.Fatalf("%s: error %d, held back for %d ms; want error %d, %d to %d ms", what, code, throttle, wantCode, least, most)
						}
					}
					want("100 of 110", 0, 0, 0)
					strict := version == c.young
					if strict {
						want("90 too many", 0, 0, 0)
						want("nothing is left", kerr.ThrottlingQuotaExceeded.Code, 8900, 9000)
						want("nine seconds later", 0, 0, 0)
					} else {
						want("90 too many", 0, 8900, 9000)
						want("nine seconds later", 0, 9900, 10_000)
					}
				})
			})
		}
	}
}
