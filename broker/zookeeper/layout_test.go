package zookeeper

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"barnabas/broker/wire"
)

// Goal: every znode has the bytes that Kafka 3.9 (Scala 2.13) writes. Method: goldens, as zkCli prints them of a real
// cluster, and round trips.
func TestEncodesAsKafkaDoes(t *testing.T) {
	id, err := ParseTopicID("x_oECR_rT6uGoWuuHulV7A")
	if err != nil {
		t.Fatal(err)
	}
	topic := TopicAssignment{ID: id, Partitions: map[int32]ReplicaAssignment{
		0: {Replicas: []int32{2, 1}}, 1: {Replicas: []int32{3, 2}}, 2: {Replicas: []int32{1, 3}}}}
	moving := TopicAssignment{Partitions: map[int32]ReplicaAssignment{
		0: {Replicas: []int32{3, 1, 2}, Adding: []int32{3}, Removing: []int32{1}}}}
	plain := BrokerInfo{ID: 0, JmxPort: -1, Timestamp: 1632491417434,
		Endpoints: []Endpoint{{"PLAINTEXT", "PLAINTEXT", "localhost", 9092}}}
	racked := plain
	racked.Rack = "r1"
	secure := BrokerInfo{ID: 0, JmxPort: 9999, Timestamp: 1, Endpoints: []Endpoint{{"SSL", "SSL", "::1", 9093}}}
	for _, c := range []struct{ name, got, want string }{
		{"controller", string(EncodeController(0, 1719917952299)), `{"version":2,"brokerid":0,"timestamp":"1719917952299","kraftControllerEpoch":-1}`},
		{"controller epoch", string(EncodeControllerEpoch(12)), `12`},
		{"broker", string(EncodeBroker(plain)), `{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://localhost:9092"],"jmx_port":-1,"port":9092,"host":"localhost","version":5,"timestamp":"1632491417434"}`},
		{"broker with rack", string(EncodeBroker(racked)), `{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://localhost:9092"],"rack":"r1","jmx_port":-1,"port":9092,"host":"localhost","version":5,"timestamp":"1632491417434"}`},
		{"broker without plaintext", string(EncodeBroker(secure)), `{"features":{},"listener_security_protocol_map":{"SSL":"SSL"},"endpoints":["SSL://[::1]:9093"],"jmx_port":9999,"port":-1,"host":null,"version":5,"timestamp":"1"}`},
		{"topic", string(EncodeTopic(topic)), `{"partitions":{"0":[2,1],"1":[3,2],"2":[1,3]},"topic_id":"x_oECR_rT6uGoWuuHulV7A","adding_replicas":{},"removing_replicas":{},"version":3}`},
		{"topic in reassignment", string(EncodeTopic(moving)), `{"partitions":{"0":[3,1,2]},"adding_replicas":{"0":[3]},"removing_replicas":{"0":[1]},"version":3}`},
		{"state", string(EncodePartitionState(PartitionState{Leader: 2, ISR: []int32{2, 3, 1}, ControllerEpoch: 1})), `{"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2,3,1]}`},
		{"recovering state", string(EncodePartitionState(PartitionState{Leader: 3, LeaderEpoch: 4, ISR: []int32{3}, ControllerEpoch: 7, Recovery: Recovering})), `{"controller_epoch":7,"leader":3,"version":1,"leader_recovery_state":1,"leader_epoch":4,"isr":[3]}`},
		{"cluster id", string(EncodeClusterID("3Db5QLSqSZieL3rJBUUegA")), `{"version":"1","id":"3Db5QLSqSZieL3rJBUUegA"}`},
		{"producer ids", string(EncodeProducerIDBlock(ProducerIDBlock{1, 2000, 2999})), `{"version":1,"broker":1,"block_start":"2000","block_end":"2999"}`},
		{"feature", string(EncodeFeature(Feature{Enabled: true})), `{"features":{},"version":2,"status":1}`},
		{"config", string(EncodeConfig(map[string]string{"retention.ms": "100"})), `{"version":1,"config":{"retention.ms":"100"}}`},
		{"empty config", string(EncodeConfig(nil)), `{"version":1,"config":{}}`},
		{"config change", string(EncodeConfigChange("topics/a<b&c")), `{"version":2,"entity_path":"topics/a<b&c"}`},
		{"isr change", string(EncodeISRChange([]wire.TopicPartition{{Topic: "t", Partition: 4}})), `{"version":1,"partitions":[{"topic":"t","partition":4}]}`},
		{"log dir event", string(EncodeLogDirEvent(3)), `{"version":1,"broker":3,"event":1}`},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got, c.want)
		}
	}
}

// Goal: many partitions stand in the order of Java's hash buckets, as a real __consumer_offsets shows.
func TestPartitionsStandInHashOrder(t *testing.T) {
	topic := TopicAssignment{Partitions: map[int32]ReplicaAssignment{}}
	for n := range int32(50) {
		topic.Partitions[n] = ReplicaAssignment{Replicas: []int32{1}}
	}
	text := string(EncodeTopic(topic))
	var order []string
	inner := strings.TrimPrefix(text[:strings.Index(text, "}")], `{"partitions":{`)
	for _, part := range strings.Split(inner, ",") {
		order = append(order, strings.Trim(strings.SplitN(part, ":", 2)[0], `"`))
	}
	// 128 buckets from the 96th entry on, 64 before the 48th; with 50 entries there are 128.
	byBucket := func(a, b string) int {
		return int(spreadHash(a)&127) - int(spreadHash(b)&127)
	}
	if len(order) != 50 || !slices.IsSortedFunc(order, byBucket) {
		t.Errorf("order %v", order)
	}
	back, err := DecodeTopic("t", []byte(text))
	if err != nil || len(back.Partitions) != 50 {
		t.Errorf("decoded %d partitions, %v", len(back.Partitions), err)
	}
}

// Goal: what was encoded decodes to the same.
func TestRoundTrips(t *testing.T) {
	b := BrokerInfo{ID: 7, Version: 5, JmxPort: 1, Rack: "r", Timestamp: 99, Features: map[string]map[string]int16{},
		Endpoints: []Endpoint{{"A", "PLAINTEXT", "h", 1}, {"B", "SASL_SSL", "::2", 2}}}
	if got, err := DecodeBroker(7, EncodeBroker(b)); err != nil || fmt.Sprint(got) != fmt.Sprint(b) {
		t.Errorf("%v %v", got, err)
	}
	s := PartitionState{Leader: -1, LeaderEpoch: 3, ISR: []int32{2}, Recovery: Recovering, ControllerEpoch: 9, PartitionEpoch: 5}
	if got, err := DecodePartitionState(wire.TopicPartition{Topic: "t"}, EncodePartitionState(s), 5); err != nil || !got.Equal(s) || got.PartitionEpoch != 5 {
		t.Errorf("%v %v", got, err)
	}
	c := map[string]string{"a": "<1>", "b": "ü", "c": `"`}
	if got, err := DecodeConfig("/config/topics/t", EncodeConfig(c)); err != nil || fmt.Sprint(got) != fmt.Sprint(c) {
		t.Errorf("%v %v", got, err)
	}
	if got, ok, err := DecodeProducerIDBlock(EncodeProducerIDBlock(ProducerIDBlock{1, 0, 999})); err != nil || !ok || got.Last != 999 {
		t.Errorf("%v %v %v", got, ok, err)
	}
	if _, ok, err := DecodeProducerIDBlock(nil); ok || err != nil {
		t.Errorf("an empty block: %v %v", ok, err)
	}
	f := Feature{Enabled: true, Levels: map[string]int16{"x": 3}}
	if got, err := DecodeFeature(EncodeFeature(f)); err != nil || fmt.Sprint(got) != fmt.Sprint(f) {
		t.Errorf("%v %v", got, err)
	}
	want, err := DecodeReassignment([]byte(`{"version":1,"partitions":[{"topic":"t","partition":1,"replicas":[2,3]}]}`))
	if err != nil || fmt.Sprint(want) != "map[t-1:[2 3]]" {
		t.Errorf("%v %v", want, err)
	}
}

// Goal: forms of older Kafkas are read.
func TestReadsOlderVersions(t *testing.T) {
	b, err := DecodeBroker(1, []byte(`{"version":1,"host":"h","port":9092,"jmx_port":9999,"timestamp":"2233345666"}`))
	if err != nil || b.Endpoints[0] != (Endpoint{"PLAINTEXT", "PLAINTEXT", "h", 9092}) {
		t.Errorf("%v %v", b, err)
	}
	b, err = DecodeBroker(1, []byte(`{"version":2,"host":"h","port":9092,"jmx_port":9999,"timestamp":"1","endpoints":["PLAINTEXT://h:1","SSL://h:2"]}`))
	if err != nil || b.Endpoints[1] != (Endpoint{"SSL", "SSL", "h", 2}) {
		t.Errorf("%v %v", b, err)
	}
	if a, err := DecodeTopic("t", []byte(`{"version":1,"partitions":{"0":[1]}}`)); err != nil || a.ID != ([16]byte{}) || len(a.Partitions) != 1 {
		t.Errorf("%v %v", a, err)
	}
	if id, err := DecodeController([]byte(`{"version":1,"brokerid":3,"timestamp":"1"}`)); err != nil || id != 3 {
		t.Errorf("%v %v", id, err)
	}
}

// Goal: what Kafka cannot have written is refused, and the error names the znode.
func TestMalformedZnodesNameTheirPath(t *testing.T) {
	tp := wire.TopicPartition{Topic: "t"}
	state := func(text string) error { _, err := DecodePartitionState(tp, []byte(text), 0); return err }
	topic := func(text string) error { _, err := DecodeTopic("t", []byte(text)); return err }
	broker := func(text string) error { _, err := DecodeBroker(1, []byte(text)); return err }
	for _, c := range []struct {
		err  error
		path string
	}{
		{state(``), "/brokers/topics/t/partitions/0/state"},
		{state(`{"leader":1,"leader_epoch":0,"controller_epoch":1}`), "/brokers/topics/t/partitions/0/state"},
		{state(`{"leader":"1","leader_epoch":0,"controller_epoch":1,"isr":[]}`), "/brokers/topics/t/partitions/0/state"},
		{state(`{"leader":1,"leader_epoch":0,"controller_epoch":1,"isr":[1]} x`), "/brokers/topics/t/partitions/0/state"},
		{topic(`{"version":4,"partitions":{}}`), "/brokers/topics/t"},
		{topic(`{"version":3,"partitions":{"x":[1]}}`), "/brokers/topics/t"},
		{topic(`{"version":3,"partitions":{},"topic_id":"short"}`), "/brokers/topics/t"},
		{broker(`{"version":5,"jmx_port":-1,"endpoints":["PLAINTEXT:h:1"]}`), "/brokers/ids/1"},
		{broker(`{"version":5,"jmx_port":-1,"endpoints":["A://h:1"],"listener_security_protocol_map":{}}`), "/brokers/ids/1"},
		{broker(`{"version":5,"jmx_port":-1,"endpoints":["SSL://h:99999"]}`), "/brokers/ids/1"},
		{func() error { _, err := DecodeControllerEpoch([]byte("x")); return err }(), "/controller_epoch"},
		{func() error { _, err := DecodeConfig("/config/topics/t", []byte(`{"config":{"a":1}}`)); return err }(), "/config/topics/t"},
	} {
		if !errors.Is(c.err, ErrMalformed) || !strings.HasPrefix(c.err.Error(), c.path+":") {
			t.Errorf("%v, want %s: malformed", c.err, c.path)
		}
	}
}

// Goal: no content of a znode makes us panic, and what decodes encodes to something that decodes to the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"controller_epoch":7,"leader":3,"version":1,"leader_recovery_state":1,"leader_epoch":4,"isr":[3]}`))
	f.Add([]byte(`{"partitions":{"0":[2,1]},"topic_id":"x_oECR_rT6uGoWuuHulV7A","adding_replicas":{},"removing_replicas":{},"version":3}`))
	f.Add([]byte(`{"features":{},"listener_security_protocol_map":{"A":"SSL"},"endpoints":["A://[::1]:9092"],"jmx_port":-1,"version":5,"timestamp":"1"}`))
	f.Add([]byte(`{"version":1,"broker":1,"block_start":"2000","block_end":"2999"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tp := wire.TopicPartition{Topic: "t"}
		if s, err := DecodePartitionState(tp, data, 0); err == nil {
			again, err := DecodePartitionState(tp, EncodePartitionState(s), 0)
			if err != nil || !again.Equal(s) {
				t.Errorf("%+v, again %+v %v", s, again, err)
			}
		}
		if a, err := DecodeTopic("t", data); err == nil {
			again, err := DecodeTopic("t", EncodeTopic(a))
			if err != nil || again.ID != a.ID || len(again.Partitions) != len(a.Partitions) {
				t.Errorf("%+v, again %+v %v", a, again, err)
			}
		}
		if b, err := DecodeBroker(1, data); err == nil {
			if again, err := DecodeBroker(1, EncodeBroker(b)); err != nil || len(again.Endpoints) != len(b.Endpoints) {
				t.Errorf("%+v, again %+v %v", b, again, err)
			}
		}
		DecodeProducerIDBlock(data)
		DecodeController(data)
		DecodeClusterID(data)
		DecodeFeature(data)
		DecodeConfig("/config/topics/t", data)
		DecodeISRChange("/x", data)
		DecodeReassignment(data)
	})
}
