package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: what a client asks for that it must not have, or in more words than needed, is answered as Kafka does. Method: requests over
// connections to three whole brokers; those that are the controller's go to all three.
func TestAnswersAreKafkas(t *testing.T) {
	h := newHarness(t, 1, twoDirs)
	h.client("client", func(e env.Env, c *client.Client) {
		create(t, c)
		ask := func(broker int32, req kmsg.Request) kmsg.Response {
			t.Helper()
			conn, err := c.Conn(broker)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := conn.Do(req, 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		createTopics := func(configs map[string]string, names ...string) []kmsg.CreateTopicsResponseTopic {
			t.Helper()
			req := kmsg.NewPtrCreateTopicsRequest()
			req.Version, req.TimeoutMillis = 7, 10_000
			for _, name := range names {
				rt := kmsg.NewCreateTopicsRequestTopic()
				rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, 1, 1
				for k, v := range configs {
					rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
				}
				req.Topics = append(req.Topics, rt)
			}
			for broker := int32(1); broker <= 3; broker++ {
				if resp := ask(broker, req).(*kmsg.CreateTopicsResponse); resp.Topics[0].ErrorCode != kerr.NotController.Code {
					return resp.Topics
				}
			}
			t.Fatal("no controller")
			return nil
		}
		const prohibited = "Creation of internal topic __cluster_metadata is prohibited."
		for _, names := range [][]string{{"__cluster_metadata"}, {"__cluster_metadata", "__cluster_metadata"}} {
			if got := createTopics(nil, names...); len(got) != 1 || got[0].ErrorCode != kerr.InvalidRequest.Code || got[0].ErrorMessage == nil || !strings.HasPrefix(*got[0].ErrorMessage, prohibited) {
				t.Errorf("create %v: %+v", names, got)
			}
		}
		if got := createTopics(map[string]string{"retention.ms": " 86400000\t", "cleanup.policy": " delete , compact ", "preallocate": "\ttrue", "compression.type": "gzip "}, "spaced"); got[0].ErrorCode != 0 {
			t.Errorf("white space around values: %+v, %s", got[0], *got[0].ErrorMessage)
		} else {
			for _, cfg := range got[0].Configs {
				if want, ok := map[string]string{"retention.ms": "86400000", "preallocate": "true", "compression.type": "gzip"}[cfg.Name]; ok && *cfg.Value != want {
					t.Errorf("%s is %q", cfg.Name, *cfg.Value)
				}
			}
		}
		if got := createTopics(map[string]string{"retention.ms": "8 6"}, "inner")[0].ErrorCode; got != kerr.InvalidConfig.Code {
			t.Errorf("white space within a value: %d", got)
		}
		e.Sleep(time.Second)
		elsewhere := 0
		for broker := int32(1); broker <= 3; broker++ {
			if err := client.NewAdmin(c).MoveReplica(broker, wire.TopicPartition{Topic: "spaced"}, "/data/2", 5*time.Second); errors.Is(err, kerr.ReplicaNotAvailable) {
				elsewhere++
			} else if err != nil {
				t.Error(err)
			}
			for _, unknown := range []wire.TopicPartition{{Topic: "spaced", Partition: 1}, {Topic: "nowhere"}} {
				if err := client.NewAdmin(c).MoveReplica(broker, unknown, "/data/2", 5*time.Second); !errors.Is(err, kerr.UnknownTopicOrPartition) {
					t.Errorf("move of %s: %v", unknown, err)
				}
			}
		}
		if elsewhere != 2 {
			t.Errorf("%d of 3 brokers do not have the only replica", elsewhere)
		}
		meta := kmsg.NewPtrMetadataRequest()
		meta.Version = 12
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(tp.Topic)
		meta.Topics = []kmsg.MetadataRequestTopic{topic, topic}
		got := ask(1, meta).(*kmsg.MetadataResponse).Topics
		if len(got) != 1 || got[0].ErrorCode != 0 {
			t.Fatalf("metadata of a topic that is named twice: %+v", got)
		}
		byID := kmsg.NewMetadataRequestTopic()
		byID.TopicID = got[0].TopicID
		meta.Topics = []kmsg.MetadataRequestTopic{topic, byID, byID}
		if got := ask(1, meta).(*kmsg.MetadataResponse).Topics; len(got) != 1 || got[0].ErrorCode != 0 || *got[0].Topic != tp.Topic {
			t.Errorf("metadata of a topic id that is named twice: %+v", got)
		}
	})
}
