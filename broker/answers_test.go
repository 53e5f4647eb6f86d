package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/record"
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
		// Who is not the controller says so of each partition, and nothing of the whole.
		for _, topics := range [][]kmsg.ElectLeadersRequestTopic{nil, {{Topic: tp.Topic, Partitions: []int32{0}}, {Topic: "nowhere", Partitions: []int32{3}}}} {
			refused := 0
			for broker := int32(1); broker <= 3; broker++ {
				req := kmsg.NewPtrElectLeadersRequest()
				req.Version, req.TimeoutMillis, req.Topics = 2, 5000, topics
				got := ask(broker, req).(*kmsg.ElectLeadersResponse)
				if got.ErrorCode != 0 || len(got.Topics) > 0 && got.Topics[0].Partitions[0].ErrorCode != kerr.NotController.Code {
					continue
				}
				if refused += len(got.Topics); len(got.Topics) == 2 && got.Topics[1].Partitions[0].ErrorCode != kerr.NotController.Code {
					t.Errorf("broker %d: %+v", broker, got)
				}
			}
			if refused != 4 {
				t.Errorf("elections of %v: %d refusals of two brokers", topics, refused)
			}
		}
		if _, err := client.NewAdmin(c).ElectLeaders(false, 20*time.Second); err != nil {
			t.Error(err)
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
		nameless := kmsg.NewMetadataRequestTopic()
		for _, meta.Version = range []int16{10, 11} {
			for _, bad := range []kmsg.MetadataRequestTopic{byID, nameless} {
				meta.Topics = []kmsg.MetadataRequestTopic{topic, bad}
				got := ask(1, meta).(*kmsg.MetadataResponse)
				if len(got.Brokers) != 0 || len(got.Topics) != 2 {
					t.Fatalf("metadata v%d of %+v: %+v", meta.Version, bad, got)
				}
				for i, name := range []string{tp.Topic, ""} {
					if g := got.Topics[i]; g.ErrorCode != kerr.InvalidRequest.Code || *g.Topic != name || g.TopicID != meta.Topics[i].TopicID {
						t.Errorf("metadata v%d of %+v: %+v", meta.Version, bad, g)
					}
				}
			}
			meta.Topics = []kmsg.MetadataRequestTopic{topic}
			if got := ask(1, meta).(*kmsg.MetadataResponse).Topics; len(got) != 1 || got[0].ErrorCode != 0 {
				t.Errorf("metadata v%d of a name: %+v", meta.Version, got)
			}
		}
	})
}

// Goal: the answer to a produce names every record that is refused, by its place in the batch and with the reason; of a batch that has any
// with a bad timestamp the code is INVALID_TIMESTAMP. Nothing of it is appended. Method: batches, compressed or not, with and without
// fault, to a compacted topic that bounds timestamps.
func TestRefusedRecordsAreNamed(t *testing.T) {
	h := newHarness(t, 1, twoDirs)
	h.client("client", func(e env.Env, c *client.Client) {
		admin := client.NewAdmin(c)
		if err := admin.CreateTopics(20*time.Second, client.NewTopic{Name: tp.Topic, Partitions: 1, ReplicationFactor: 3,
			Configs: []client.ConfigEntry{{Name: "cleanup.policy", Value: "compact"}, {Name: "message.timestamp.before.max.ms", Value: "60000"}}}); err != nil {
			t.Fatal(err)
		}
		leader, err := c.Leader(tp, e.Mono().Add(20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := c.Conn(leader.Broker)
		if err != nil {
			t.Fatal(err)
		}
		produce := func(version int16, codec record.Codec, kinds string) kmsg.ProduceResponseTopicPartition {
			t.Helper()
			var b record.Builder
			for _, kind := range kinds {
				now, key := e.Now().UnixMilli(), []byte("k")
				if kind == 'k' || kind == 'b' {
					key = nil
				}
				if kind == 't' || kind == 'b' {
					now -= 120_000
				}
				b.Append(now, key, []byte("v"))
			}
			o := record.NewBatchOptions()
			o.Codec = codec
			batch, err := b.Build(nil, o)
			if err != nil {
				t.Fatal(err)
			}
			req := kmsg.NewPtrProduceRequest()
			req.Version, req.Acks, req.TimeoutMillis = version, 1, 5000
			p := kmsg.NewProduceRequestTopicPartition()
			p.Records = batch
			req.Topics = []kmsg.ProduceRequestTopic{{Topic: tp.Topic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
			resp, err := conn.Do(req, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		}
		for _, codec := range []record.Codec{record.None, record.Zstd} {
			for kinds, want := range map[string]struct {
				code  *kerr.Error
				named []int32
			}{
				"okok":  {kerr.InvalidRecord, []int32{1, 3}},
				"ot":    {kerr.InvalidTimestamp, []int32{1}},
				"kotk":  {kerr.InvalidTimestamp, []int32{0, 2, 3}},
				"tok":   {kerr.InvalidTimestamp, []int32{0, 2}},
				"bo":    {kerr.InvalidRecord, []int32{0}}, // the key is looked at first
				"kkkkk": {kerr.InvalidRecord, []int32{0, 1, 2, 3, 4}},
			} {
				for _, version := range []int16{7, 8, 11} {
					p := produce(version, codec, kinds)
					if p.ErrorCode != want.code.Code || p.BaseOffset != -1 {
						t.Errorf("%s, v%d, %v: %+v", kinds, version, codec, p)
					}
					if version < 8 {
						continue
					}
					var named []int32
					for _, r := range p.ErrorRecords {
						named = append(named, r.RelativeOffset)
						if r.ErrorMessage == nil || !strings.Contains(*r.ErrorMessage, map[bool]string{true: "key", false: "timestamp"}[kinds[r.RelativeOffset] != 't']) {
							t.Errorf("%s, v%d, %v: %+v", kinds, version, codec, r)
						}
					}
					if !slices.Equal(named, want.named) || p.ErrorMessage == nil || *p.ErrorMessage == "" {
						t.Errorf("%s, v%d, %v: names %v, want %v", kinds, version, codec, named, want.named)
					}
				}
			}
		}
		if p := produce(11, record.None, "oo"); p.ErrorCode != 0 || p.BaseOffset != 0 || len(p.ErrorRecords) != 0 || p.ErrorMessage != nil {
			t.Errorf("a batch without fault: %+v", p)
		}
	})
}
