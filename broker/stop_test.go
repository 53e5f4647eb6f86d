package broker_test

import (
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: who waits for a partition of a broker that stops is told at once to look elsewhere: an acks=all append that its followers will
// not fetch any more, and a consumer's fetch that nothing will come for. Neither holds the stop up. Method: a leader is cut off from its
// followers, so that the append waits, and stops with both requests waiting, which may wait for half a minute.
func TestStopLetsGoOfWhoWaits(t *testing.T) {
	const patience = 200 * time.Millisecond
	for seed := uint64(1); seed <= 5; seed++ {
		h := newHarness(t, seed, func(c *config.Broker) {
			c.ReplicaLagTimeMax, c.ControlledShutdownEnable = time.Minute, false
		})
		h.client("client", func(e env.Env, c *client.Client) {
			create(t, c)
			if got := produce(t, c, 3, func(int) {}); len(got) != 3 {
				t.Fatalf("%d of 3 records acked", len(got))
			}
			l, err := c.Leader(tp, e.Mono().Add(10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			id := int(l.Broker)
			var stopping env.Instant // when the broker was told to stop
			answered := env.NewGroup(e)
			ask := func(what string, req kmsg.Request, code func(kmsg.Response) int16) {
				conn, err := client.Dial(e, name(id)+":9092", client.ConnOptions{ClientID: what, DialTimeout: time.Second, RequestTimeout: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				answered.Go(what, func() {
					resp, err := conn.Do(req, 40*time.Second)
					if err != nil {
						t.Errorf("seed %d: %s: %v", seed, what, err)
						return
					}
					if got := code(resp); got != kerr.NotLeaderForPartition.Code || stopping == 0 || e.Mono().Sub(stopping) > patience {
						t.Errorf("seed %d: %s: %v, %v after the broker was told to stop", seed, what, kerr.ErrorForCode(got), e.Mono().Sub(stopping))
					}
				})
			}
			for other := 1; other <= 3; other++ {
				if other != id {
					h.w.Partition([]string{name(id)}, []string{name(other)}, false)
				}
			}
			e.Sleep(50 * time.Millisecond)
			ask("append", appendOne(t, e), func(r kmsg.Response) int16 {
				return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
			})
			ask("read", longPoll(3), func(r kmsg.Response) int16 {
				return r.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode
			})
			e.Sleep(50 * time.Millisecond)
			stopping = e.Mono()
			h.brokers[id].Stop()
			for h.w.Status(name(id)) == cluster.Running {
				e.Sleep(10 * time.Millisecond)
			}
			if took := e.Mono().Sub(stopping); took > patience {
				t.Errorf("seed %d: the stop took %v", seed, took)
			}
			answered.Wait()
		})
	}
}

// appendOne is a request that appends one record with acks=all.
func appendOne(t *testing.T, e env.Env) *kmsg.ProduceRequest {
	var b record.Builder
	b.Append(e.Now().UnixMilli(), nil, []byte("late"))
	batch, err := b.Build(nil, record.NewBatchOptions())
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 30_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = tp.Partition, batch
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = tp.Topic, append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return req
}

// longPoll is a consumer's request for what comes at the offset.
func longPoll(offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch, req.ReplicaID = 11, 30_000, 1, 1<<20, -1, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = tp.Partition, offset, 1<<20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.Partitions = tp.Topic, append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return req
}
