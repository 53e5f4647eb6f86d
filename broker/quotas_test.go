package broker_test

import (
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterBroker sets one config of a broker by IncrementalAlterConfigs, and returns the error code.
func alterBroker(t *testing.T, c *client.Client, broker int32, id, name, value string) int16 {
	t.Helper()
	conn, err := c.Conn(broker)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = 1
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, id
	set := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	set.Name, set.Value = name, &value
	r.Configs = append(r.Configs, set)
	req.Resources = append(req.Resources, r)
	resp, err := conn.Do(req, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
}

// Goal: a quota that is set through one broker holds on every broker, slows its client down to what it allows, and is gone when it is
// removed. Method: three brokers in the simulator; one client writes 40 kB with and without 2 kB a second.
func TestClientQuotaHoldsOnEveryBroker(t *testing.T) {
	h := newHarness(t, 5, func(*config.Broker) {})
	h.client("quick", func(e env.Env, c *client.Client) {
		create(t, c)
		setQuota := func(remove bool) {
			leader, err := c.Leader(tp, e.Mono().Add(10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := c.Conn(leader.Broker%3 + 1) // not the one that will be written to
			if err != nil {
				t.Fatal(err)
			}
			alterQuota(t, conn, "client-id", kmsg.StringPtr("quick"), "producer_byte_rate", 2000, remove)
			e.Sleep(time.Second) // the note in /config/changes goes around
		}
		write := func() time.Duration {
			p, err := client.NewProducer(c, client.ProducerOptions{Acks: client.AcksAll, DeliveryTimeout: 2 * time.Minute, RequestTimeout: 40 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close(time.Second)
			began := e.Mono()
			for range 40 {
				if r := p.ProduceSync(client.Record{Topic: tp.Topic, Partition: 0, Value: make([]byte, 1000)}); r.Outcome != client.OK {
					t.Fatal(r.Err)
				}
			}
			return e.Mono().Sub(began)
		}
		if took := write(); took > 5*time.Second {
			t.Errorf("without a quota it took %s", took)
		}
		setQuota(false)
		if took := write(); took < 8*time.Second {
			t.Errorf("43 kB at 2 kB a second, of which 20 kB may come at once, took %s", took)
		}
		setQuota(true)
		if took := write(); took > 5*time.Second {
			t.Errorf("when the quota was gone it took %s", took)
		}
	})
}

// Goal: how often an IP address may connect is set through one broker, holds on every broker at once, and on one that starts later; the default
// holds for addresses without their own; what is removed bounds nobody. Method: machines of the simulator whose names are addresses; each
// connects twelve times at once, where ten may come. What comes too soon is closed without an answer (KIP-612).
func TestAddressQuotaHoldsOnEveryBroker(t *testing.T) {
	h := newHarness(t, 7, func(*config.Broker) {})
	setRate := func(node string, address *string, rate float64, remove bool) {
		h.client(node, func(e env.Env, _ *client.Client) {
			conn, err := client.Dial(e, "b2:9092", client.ConnOptions{ClientID: "admin", DialTimeout: time.Second, RequestTimeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			alterQuota(t, conn, "ip", address, "connection_creation_rate", rate, remove)
			e.Sleep(time.Second) // the note in /config/changes goes around
		})
	}
	served := func(address string, brokers ...int) (n []int) {
		h.client(address, func(e env.Env, _ *client.Client) {
			for _, id := range brokers {
				n = append(n, 0)
				for range 12 {
					conn, err := client.Dial(e, name(id)+":9092", client.ConnOptions{ClientID: "often", Negotiate: true, DialTimeout: time.Second, RequestTimeout: 2 * time.Second})
					if err != nil {
						continue // it asks for the versions first
					}
					n[len(n)-1]++
					defer conn.Close()
				}
			}
		})
		return n
	}
	expect := func(what string, got []int, want int) {
		t.Helper()
		for i, n := range got {
			if n != want {
				t.Errorf("%s: %d of twelve served by the %dth broker, want %d", what, n, i+1, want)
			}
		}
	}
	expect("without a quota", served("10.0.0.1", 1, 2, 3), 12)
	one := "10.0.0.2"
	setRate("admin-1", &one, 1, false)
	expect("the address", served(one, 1, 2, 3), 10)
	expect("another address", served("10.0.0.3", 1, 2, 3), 12)
	other := "10.0.0.5"
	setRate("admin-2", &other, 100, false)
	setRate("admin-3", nil, 1, false)
	expect("the default", served("10.0.0.4", 1, 2, 3), 10)
	expect("more than the default", served(other, 1, 2, 3), 12)
	h.w.Crash("b3")
	h.brokers[3] = nil
	h.w.Start("b3")
	h.until("the broker to come again", func() bool { return h.ready(3) })
	expect("the default, at a broker that starts", served("10.0.0.6", 3), 10)
	setRate("admin-4", nil, 0, true)
	expect("removed", served("10.0.0.7", 1, 2, 3), 12)
}

// Goal: the rates of throttled replication are set at run time, for one broker; what makes no sense is refused.
func TestReplicationRatesAreDynamic(t *testing.T) {
	h := newHarness(t, 6, func(*config.Broker) {})
	h.client("admin", func(e env.Env, c *client.Client) {
		create(t, c)
		for _, side := range []string{"leader", "follower"} {
			if code := alterBroker(t, c, 2, "2", side+".replication.throttled.rate", "4096"); code != 0 {
				t.Errorf("%s: error %d", side, code)
			}
			if code := alterBroker(t, c, 2, "2", side+".replication.throttled.rate", "-1"); code == 0 {
				t.Errorf("%s: a rate of -1 was accepted", side)
			}
		}
		for list, good := range map[string]bool{"*": true, "0:1,0:2": true, "0": false, "a:b": false, "0:-1": false} {
			if err := client.NewAdmin(c).SetTopicConfig(tp.Topic, "leader.replication.throttled.replicas", &list, 5*time.Second); (err == nil) != good {
				t.Errorf("list %q: %v", list, err)
			}
		}
		conn, err := c.Conn(2)
		if err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version = 4
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, "2", []string{"leader.replication.throttled.rate"}
		req.Resources = append(req.Resources, r)
		resp, err := conn.Do(req, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		got := resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs
		if len(got) != 1 || *got[0].Value != "4096" || got[0].Source != kmsg.ConfigSourceDynamicBrokerConfig || got[0].ReadOnly {
			t.Errorf("described as %+v", got)
		}
	})
}

// alterQuota sets one bound of an entity, or takes it back.
func alterQuota(t *testing.T, conn *client.Conn, kind string, name *string, key string, value float64, remove bool) {
	t.Helper()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Version = 1
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	entity, op := kmsg.NewAlterClientQuotasRequestEntryEntity(), kmsg.NewAlterClientQuotasRequestEntryOp()
	entity.Type, entity.Name = kind, name
	op.Key, op.Value, op.Remove = key, value, remove
	entry.Entity, entry.Ops = append(entry.Entity, entity), append(entry.Ops, op)
	req.Entries = append(req.Entries, entry)
	resp, err := conn.Do(req, 5*time.Second)
	if err != nil || resp.(*kmsg.AlterClientQuotasResponse).Entries[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
}
