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
			req := kmsg.NewPtrAlterClientQuotasRequest()
			req.Version = 1
			entry := kmsg.NewAlterClientQuotasRequestEntry()
			entity, op := kmsg.NewAlterClientQuotasRequestEntryEntity(), kmsg.NewAlterClientQuotasRequestEntryOp()
			entity.Type, entity.Name = "client-id", kmsg.StringPtr("quick")
			op.Key, op.Value, op.Remove = "producer_byte_rate", 2000, remove
			entry.Entity, entry.Ops = append(entry.Entity, entity), append(entry.Ops, op)
			req.Entries = append(req.Entries, entry)
			resp, err := conn.Do(req, 5*time.Second)
			if err != nil || resp.(*kmsg.AlterClientQuotasResponse).Entries[0].ErrorCode != 0 {
				t.Fatal(err, resp)
			}
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
