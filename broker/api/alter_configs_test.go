package api_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Goal: single configs are set, deleted, appended to and subtracted from, for a topic, this broker and all brokers; what does not
// hold is refused with Kafka's codes and changes nothing; DescribeConfigs tells the source of what is in force.
func TestIncrementalAlterConfigs(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		alter := func(kind kmsg.ConfigResourceType, name, key string, op kmsg.IncrementalAlterConfigOp, value string) int16 {
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.SetVersion(1)
			res := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name,
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Op: op, Value: &value}}}
			req.Resources = append(req.Resources, res)
			return do[*kmsg.IncrementalAlterConfigsResponse](d, req).Resources[0].ErrorCode
		}
		const topic, broker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
		for _, c := range []struct {
			kind             kmsg.ConfigResourceType
			name, key, value string
			op               kmsg.IncrementalAlterConfigOp
			code             int16
		}{
			{topic, "t", "retention.ms", "5000", 0, 0},
			{topic, "t", "cleanup.policy", "compact", 2, 0},
			{topic, "t", "cleanup.policy", "delete", 3, 0},
			{topic, "t", "cleanup.policy", "compact", 3, 0}, // now it is empty, and so it may be
			{topic, "t", "cleanup.policy", "delete,", 0, kerr.InvalidConfig.Code},
			{topic, "t", "cleanup.policy", "compact", 2, 0},
			{broker, "1", "log.cleanup.policy", " ", 0, 0},
			{broker, "1", "log.cleanup.policy", ",", 0, kerr.InvalidRequest.Code},
			{broker, "1", "log.cleanup.policy", "", 1, 0},
			{topic, "t", "retention.ms", "x", 0, kerr.InvalidConfig.Code},
			{topic, "t", "retention.ms", "x", 2, kerr.InvalidConfig.Code},
			{topic, "t", "nosuch", "1", 0, kerr.InvalidConfig.Code},
			{topic, "t", "compression.zstd.level", "9", 0, 0}, // kept, without effect
			{topic, "t", "compression.zstd.level", "", 1, 0},
			{topic, "t", "compression.zstd.level", "23", 0, kerr.InvalidConfig.Code},
			{topic, "t", "remote.storage.enable", "true", 0, kerr.InvalidConfig.Code},
			{topic, "t", "min.compaction.lag.ms", "2000", 0, 0}, // beside the default of the other
			{topic, "t", "max.compaction.lag.ms", "1000", 0, kerr.InvalidConfig.Code},
			{topic, "t", "min.compaction.lag.ms", "", 1, 0},
			{broker, "1", "replica.lag.time.max.ms", "100", 0, kerr.InvalidRequest.Code}, // fetches would wait longer than that; and it is read-only
			{broker, "", "replica.fetch.wait.max.ms", "60000", 0, kerr.InvalidRequest.Code},
			{broker, "1", "replica.fetch.min.bytes", "5", 0, kerr.InvalidRequest.Code},
			{topic, "nosuch", "retention.ms", "1", 0, kerr.UnknownTopicOrPartition.Code},
			{topic, "nosuch", "retention.ms", "1", 2, kerr.InvalidConfig.Code}, // of no topic
			{topic, "nosuch", "retention.ms", "1", 3, kerr.InvalidConfig.Code},
			{topic, "nosuch", "nosuch", "1", 2, kerr.InvalidConfig.Code},
			{topic, "nosuch", "retention.ms", "1", 9, kerr.InvalidRequest.Code},
			{topic, "nosuch", "cleanup.policy", "compact", 2, kerr.UnknownTopicOrPartition.Code},
			{topic, "nosuch", "cleanup.policy", "shred", 0, kerr.UnknownTopicOrPartition.Code},
			{topic, "", "retention.ms", "1", 2, kerr.InvalidRequest.Code},
			{topic, "t", "retention.ms", "1", 9, kerr.InvalidRequest.Code},
			{broker, "1", "log.retention.ms", "7000", 0, 0},
			{broker, "", "min.insync.replicas", "2", 0, 0},
			{broker, "2", "log.retention.ms", "7000", 0, kerr.InvalidRequest.Code},
			{broker, "1", "broker.id", "7", 0, kerr.InvalidRequest.Code},
			{broker, "1", "log.retention.ms", "x", 0, kerr.InvalidRequest.Code},
		} {
			if code := alter(c.kind, c.name, c.key, c.op, c.value); code != c.code {
				t.Errorf("%+v: code %d", c, code)
			}
		}
		large := strings.TrimSuffix(strings.Repeat("0:1,", 300_000), ",")
		if code := alter(topic, "t", "leader.replication.throttled.replicas", 0, large); code != kerr.InvalidConfig.Code {
			t.Errorf("a value of %d bytes: code %d", len(large), code)
		}
		if got := d.configs["topics/t"]; len(got) != 2 || got["retention.ms"] != "5000" || got["cleanup.policy"] != "compact" {
			t.Errorf("topic configs %v", got)
		}
		if alter(topic, "t", "retention.ms", 1, "") != 0 || len(d.configs["topics/t"]) != 1 {
			t.Errorf("topic configs %v after the deletion", d.configs["topics/t"])
		}
		if alter(topic, "t", "compression.gzip.level", 0, "9") != 0 {
			t.Error("a level is refused")
		}
		d.overrides = d.configs["topics/t"]
		var names []string
		level := ""
		for _, c := range do[*kmsg.DescribeConfigsResponse](d, describe(4, topic, "t")).Resources[0].Configs {
			if names = append(names, c.Name); c.Name == "compression.gzip.level" && c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				level = *c.Value
			}
		}
		if level != "9" || !slices.IsSorted(names) {
			t.Errorf("the level is described as %q; %q", level, names)
		}
		if alter(topic, "t", "compression.gzip.level", 1, "") != 0 {
			t.Error("a level stays")
		}
		if err := d.cfg.SetDynamic(d.configs["brokers/1"], d.configs["brokers/<default>"]); err != nil {
			t.Fatal(err)
		}
		req := describe(4, kmsg.ConfigResourceTypeBroker, "1", "log.retention.ms", "min.insync.replicas")
		for _, c := range do[*kmsg.DescribeConfigsResponse](d, req).Resources[0].Configs {
			want := map[string]kmsg.ConfigSource{"log.retention.ms": kmsg.ConfigSourceDynamicBrokerConfig, "min.insync.replicas": kmsg.ConfigSourceDynamicDefaultBrokerConfig}[c.Name]
			if c.Source != want || c.ReadOnly || *c.Value != map[string]string{"log.retention.ms": "7000", "min.insync.replicas": "2"}[c.Name] {
				t.Errorf("%s=%s from %v", c.Name, *c.Value, c.Source)
			}
		}
	})
}

// Goal: AlterConfigs replaces all that was set before, for a topic, this broker and all brokers; what does not hold is refused with Kafka's codes
// and changes nothing. Method: its requests, and the same refusals of IncrementalAlterConfigs, whose checks come in the same order.
func TestAlterConfigs(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		const topic, broker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
		type entry struct{ name, value string }
		null := "null" // stands for no value
		alter := func(validateOnly bool, kind kmsg.ConfigResourceType, names []string, entries ...entry) (codes []int16) {
			req, incremental := kmsg.NewPtrAlterConfigsRequest(), kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.SetVersion(2)
			incremental.SetVersion(1)
			req.ValidateOnly, incremental.ValidateOnly = validateOnly, true
			for _, name := range names {
				r := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
				ri := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
				for _, en := range entries {
					value := &en.value
					if en.value == null {
						value = nil
					}
					r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: en.name, Value: value})
					ri.Configs = append(ri.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: en.name, Value: value})
				}
				req.Resources, incremental.Resources = append(req.Resources, r), append(incremental.Resources, ri)
			}
			same := do[*kmsg.IncrementalAlterConfigsResponse](d, incremental).Resources
			for i, r := range do[*kmsg.AlterConfigsResponse](d, req).Resources {
				if r.ErrorCode != same[i].ErrorCode {
					t.Errorf("%v %q %v: code %d, and %d for single ones", kind, names, entries, r.ErrorCode, same[i].ErrorCode)
				}
				codes = append(codes, r.ErrorCode)
			}
			return codes
		}
		want := func(at string, wanted map[string]string) {
			t.Helper()
			if got := d.configs[at]; !maps.Equal(got, wanted) {
				t.Errorf("%s: %v", at, got)
			}
		}
		ok := []int16{0}
		if got := alter(false, topic, []string{"t"}, entry{"retention.ms", "5000"}, entry{"segment.bytes", "1048576"}); !slices.Equal(got, ok) {
			t.Fatal(got)
		}
		want("topics/t", map[string]string{"retention.ms": "5000", "segment.bytes": "1048576"})
		if got := alter(true, topic, []string{"t"}, entry{"retention.ms", "6000"}); !slices.Equal(got, ok) {
			t.Fatal(got)
		}
		for _, c := range []struct {
			kind    kmsg.ConfigResourceType
			names   []string
			entries []entry
			codes   []int16
		}{
			{topic, []string{"t"}, []entry{{"retention.ms", "x"}}, []int16{kerr.InvalidConfig.Code}},
			{topic, []string{"t"}, []entry{{"nosuch", "1"}}, []int16{kerr.InvalidConfig.Code}},
			{topic, []string{"t"}, []entry{{"retention.ms", null}}, []int16{kerr.InvalidRequest.Code}},
			{topic, []string{"t"}, []entry{{"retention.ms", "1"}, {"retention.ms", "1"}}, []int16{kerr.InvalidRequest.Code}},
			{topic, []string{"t", "t"}, []entry{{"retention.ms", "1"}}, []int16{kerr.InvalidRequest.Code, kerr.InvalidRequest.Code}},
			{topic, []string{""}, []entry{{"retention.ms", "1"}}, []int16{kerr.InvalidRequest.Code}},
			{topic, []string{"nosuch"}, []entry{{"retention.ms", "1"}}, []int16{kerr.UnknownTopicOrPartition.Code}},
			{topic, []string{"no such"}, []entry{{"retention.ms", "1"}}, []int16{kerr.UnknownTopicOrPartition.Code}},
			{topic, []string{"nosuch"}, []entry{{"retention.ms", null}}, []int16{kerr.InvalidRequest.Code}},
			{topic, []string{"nosuch"}, []entry{{"retention.ms", "1"}, {"retention.ms", "1"}}, []int16{kerr.InvalidRequest.Code}},
			{broker, []string{"2"}, []entry{{"log.retention.ms", "1"}}, []int16{kerr.InvalidRequest.Code}},
			{broker, []string{"one"}, []entry{{"log.retention.ms", "1"}}, []int16{kerr.InvalidRequest.Code}},
			{broker, []string{"1"}, []entry{{"broker.id", "7"}}, []int16{kerr.InvalidRequest.Code}},
			{kmsg.ConfigResourceTypeBrokerLogger, []string{"1"}, []entry{{"root", "INFO"}}, []int16{kerr.InvalidRequest.Code}},
			{77, []string{"1"}, nil, []int16{kerr.InvalidRequest.Code}},
		} {
			if got := alter(false, c.kind, c.names, c.entries...); !slices.Equal(got, c.codes) {
				t.Errorf("%v %q %v: codes %v", c.kind, c.names, c.entries, got)
			}
		}
		want("topics/t", map[string]string{"retention.ms": "5000", "segment.bytes": "1048576"})
		if got := alter(false, topic, []string{"t"}, entry{"retention.ms", "7000"}); !slices.Equal(got, ok) {
			t.Fatal(got)
		}
		want("topics/t", map[string]string{"retention.ms": "7000"})
		if got := alter(false, topic, []string{"t"}); !slices.Equal(got, ok) {
			t.Fatal(got)
		}
		want("topics/t", nil)
		if got := alter(false, broker, []string{"1", ""}, entry{"log.retention.ms", "8000"}); !slices.Equal(got, []int16{0, 0}) {
			t.Fatal(got)
		}
		want("brokers/1", map[string]string{"log.retention.ms": "8000"})
		want("brokers/<default>", map[string]string{"log.retention.ms": "8000"})
	})
}
