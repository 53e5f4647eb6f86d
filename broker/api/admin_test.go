package api_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Every version of ApiVersions lists what wire serves; one that is not known gets v0 and the way out.
func TestAPIVersions(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		for version := int16(0); version <= 4; version++ {
			req := kmsg.NewPtrApiVersionsRequest()
			req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "test", "1.0"
			resp := do[*kmsg.ApiVersionsResponse](d, req)
			if resp.ErrorCode != 0 || len(resp.ApiKeys) != len(wire.Served(wire.TransactionV2)) {
				t.Errorf("v%d: %+v", version, resp)
			}
		}
		bad := kmsg.NewPtrApiVersionsRequest()
		bad.Version, bad.ClientSoftwareName, bad.ClientSoftwareVersion = 3, "-test", "1.0"
		if resp := do[*kmsg.ApiVersionsResponse](d, bad); resp.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("a name with a dash in front: %+v", resp)
		}
		future := kmsg.NewPtrApiVersionsRequest()
		future.Version = 3
		frame := wire.AppendRequest(nil, "test", 99, future)
		frame[7] = 77 // the version
		if _, err := d.conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		resp := d.receive(future, 99).(*kmsg.ApiVersionsResponse)
		if resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 4 {
			t.Errorf("v77: %+v", resp)
		}
	})
}

func metadataFor(version int16, topics ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation, req.Topics = version, true, []kmsg.MetadataRequestTopic{}
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		req.Topics = append(req.Topics, t)
	}
	return req
}

// A topic that is asked for is created once, by the controller wherever it is, and only if both sides allow it.
func TestMetadataCreatesTopics(t *testing.T) {
	for _, active := range []bool{true, false} {
		onDesk(t, 10, func(d *desk) {
			d.controller.active = active
			d.addTopic("there", topicID(1), 1)
			for range 3 {
				resp := do[*kmsg.MetadataResponse](d, metadataFor(12, "there", "new", "bad name"))
				var codes []int16
				for i := range resp.Topics {
					codes = append(codes, resp.Topics[i].ErrorCode)
				}
				if !slices.Equal(codes, []int16{0, kerr.LeaderNotAvailable.Code, kerr.InvalidTopicException.Code}) {
					t.Errorf("codes %v", codes)
				}
			}
			declined := metadataFor(12, "declined")
			declined.AllowAutoTopicCreation = false
			do[*kmsg.MetadataResponse](d, declined)
			do[*kmsg.MetadataResponse](d, metadataFor(12, "__consumer_offsets"))
			d.cfg.AutoCreateTopics = false
			if resp := do[*kmsg.MetadataResponse](d, metadataFor(12, "forbidden")); resp.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
				t.Errorf("%+v", resp.Topics[0])
			}
			d.e.Sleep(time.Second)
			for _, topic := range d.controller.created {
				if topic != "new" {
					t.Errorf("created %v", d.controller.created)
				}
			}
			if n := len(d.controller.created); n < 1 || n > 3 || (!active && n > 2) {
				t.Errorf("created %v", d.controller.created)
			}
		})
	}
}

// Every version of Metadata and DescribeCluster can be read.
func TestMetadataEveryVersion(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 2)
		for version := int16(0); version <= 12; version++ {
			resp := do[*kmsg.MetadataResponse](d, metadataFor(version, "t"))
			if len(resp.Brokers) != 2 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[0].Leader != 1 {
				t.Errorf("v%d: %+v", version, resp)
			}
		}
		for version := int16(0); version <= 1; version++ {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.Version = version
			if resp := do[*kmsg.DescribeClusterResponse](d, req); resp.ClusterID != "castle" || len(resp.Brokers) != 2 || resp.ControllerID != 1 {
				t.Errorf("v%d: %+v", version, resp)
			}
		}
	})
}

// Only the controller creates and deletes; others say so for every topic, in every version.
func TestTopicsAreTheControllersMatter(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		create := kmsg.NewPtrCreateTopicsRequest()
		for _, name := range []string{"a", "b"} {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic = name
			create.Topics = append(create.Topics, topic)
		}
		for version := int16(0); version <= 7; version++ {
			create.Version = version
			d.controller.active = false
			resp := do[*kmsg.CreateTopicsResponse](d, create)
			if len(resp.Topics) != 2 || resp.Topics[1].Topic != "b" || resp.Topics[1].ErrorCode != kerr.NotController.Code {
				t.Errorf("v%d: %+v", version, resp)
			}
			d.controller.active = true
			if resp := do[*kmsg.CreateTopicsResponse](d, create); len(resp.Topics) != 2 || resp.Topics[1].ErrorCode != 0 {
				t.Errorf("v%d: %+v", version, resp)
			}
		}
		remove := kmsg.NewPtrDeleteTopicsRequest()
		for version := int16(0); version <= 6; version++ {
			remove.Version, remove.TopicNames, remove.Topics = version, []string{"a"}, nil
			if version >= 6 {
				topic := kmsg.NewDeleteTopicsRequestTopic()
				topic.TopicID = topicID(4)
				remove.TopicNames, remove.Topics = nil, append(remove.Topics, topic)
			}
			d.controller.active = false
			resp := do[*kmsg.DeleteTopicsResponse](d, remove)
			if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != kerr.NotController.Code {
				t.Errorf("v%d: %+v", version, resp)
			}
			if version >= 6 && resp.Topics[0].TopicID != topicID(4) {
				t.Errorf("v%d: %+v", version, resp.Topics[0])
			}
			d.controller.active, d.cfg.DeleteTopicEnable = true, false
			want := kerr.TopicDeletionDisabled.Code
			if version < 3 {
				want = kerr.InvalidRequest.Code
			}
			if resp := do[*kmsg.DeleteTopicsResponse](d, remove); resp.Topics[0].ErrorCode != want {
				t.Errorf("v%d: %+v", version, resp)
			}
			d.cfg.DeleteTopicEnable = true
		}
	})
}

// Goal: a deletion that names a topic by name and by id fails as a whole, and nothing is deleted, but not before it is known whether anything can be: the
// controller, with deletion enabled, says so. Method: one such topic beside good ones, in either place.
func TestDeletionByNameAndIDIsRefusedAsAWhole(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		name := "b"
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version = 6
		for _, both := range []kmsg.DeleteTopicsRequestTopic{{TopicID: topicID(1)}, {Topic: &name, TopicID: topicID(2)}, {Topic: &name}} {
			req.Topics = append(req.Topics, both)
		}
		for _, c := range []struct {
			active, enabled bool
			want            *kerr.Error
		}{{false, true, kerr.NotController}, {true, false, kerr.TopicDeletionDisabled}, {true, true, kerr.InvalidRequest}} {
			d.controller.active, d.cfg.DeleteTopicEnable = c.active, c.enabled
			resp := do[*kmsg.DeleteTopicsResponse](d, req)
			if len(resp.Topics) != 3 {
				t.Fatalf("%+v", resp)
			}
			for i, rt := range resp.Topics {
				wants(t, fmt.Sprintf("topic %d", i), rt.ErrorCode, c.want)
				if rt.TopicID != req.Topics[i].TopicID || (rt.Topic == nil) != (req.Topics[i].Topic == nil) {
					t.Errorf("topic %d is told as %v %v", i, rt.Topic, rt.TopicID)
				}
			}
		}
		if req.Topics = append(req.Topics[:1], req.Topics[2:]...); len(d.controller.deletions) != 0 {
			t.Errorf("the controller was asked: %+v", d.controller.deletions)
		}
		if do[*kmsg.DeleteTopicsResponse](d, req); len(d.controller.deletions) != 1 {
			t.Errorf("the controller was not asked to delete by name and by id")
		}
	})
}

// Goal: an election of a type that there is not fails as a whole with Kafka's UNKNOWN_SERVER_ERROR, at every broker, and names what was asked for; version 0 has no
// type. Method: every version, of some partitions and of all; the controller that is not asked would answer with nothing.
func TestElectionOfUnknownType(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		for version := int16(0); version <= 2; version++ {
			for _, topics := range [][]kmsg.ElectLeadersRequestTopic{{{Topic: "a", Partitions: []int32{0, 1}}, {Topic: "b", Partitions: []int32{7}}}, nil} {
				req := kmsg.NewPtrElectLeadersRequest()
				req.Version, req.ElectionType, req.Topics = version, 2, topics
				resp := do[*kmsg.ElectLeadersResponse](d, req)
				want := kerr.UnknownServerError.Code
				if version == 0 {
					if len(resp.Topics) != 0 {
						t.Errorf("v0: %+v", resp)
					}
					continue
				}
				if resp.ErrorCode != want || len(resp.Topics) != len(topics) {
					t.Errorf("v%d: %+v", version, resp)
				}
				for i, rt := range resp.Topics {
					for j, rp := range rt.Partitions {
						if rt.Topic != topics[i].Topic || rp.Partition != topics[i].Partitions[j] || rp.ErrorCode != want || rp.ErrorMessage != nil {
							t.Errorf("v%d: %s %+v", version, rt.Topic, rp)
						}
					}
				}
			}
		}
	})
}

// What is only passed on comes back in the version that was asked in.
func TestPassedOn(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		for _, req := range []kmsg.Request{
			&kmsg.LeaderAndISRRequest{ControllerID: 42}, &kmsg.StopReplicaRequest{ControllerID: 42}, &kmsg.UpdateMetadataRequest{ControllerID: 42},
			&kmsg.AlterPartitionRequest{}, &kmsg.ControlledShutdownRequest{}, &kmsg.AllocateProducerIDsRequest{},
		} {
			low, high, _ := wire.Versions(req.Key())
			for version := low; version <= high; version++ {
				req.SetVersion(version)
				d.controller.code = 42
				var code int16
				switch resp := do[kmsg.Response](d, req).(type) {
				case *kmsg.LeaderAndISRResponse:
					code = resp.ErrorCode
				case *kmsg.StopReplicaResponse:
					code = resp.ErrorCode
				case *kmsg.UpdateMetadataResponse:
					code = resp.ErrorCode
				case *kmsg.AlterPartitionResponse:
					code = resp.ErrorCode
				case *kmsg.ControlledShutdownResponse:
					code = resp.ErrorCode
				case *kmsg.AllocateProducerIDsResponse:
					code = resp.ErrorCode
				}
				if code != 42 {
					t.Errorf("%T v%d: %d", req, version, code)
				}
			}
		}
	})
}

// Producers that come at the same time get ids that nobody else has, across blocks, and the controller is asked once a block.
func TestInitProducerIDs(t *testing.T) {
	onDesk(t, 5, func(d *desk) {
		seen := map[int64]bool{}
		group := env.NewGroup(d.e)
		for range 4 {
			conn := d.dial()
			group.Go("client", func() {
				for i := range int32(600) {
					req := kmsg.NewPtrInitProducerIDRequest()
					req.Version = int16(i % 6)
					if _, err := conn.Write(wire.AppendRequest(nil, "p", i, req)); err != nil {
						t.Error(err)
						return
					}
					frame, err := wire.ReadFrame(conn, 1000, nil)
					if err != nil {
						t.Error(err)
						return
					}
					_, parsed, err := wire.ParseResponse(frame, req)
					if err != nil {
						t.Error(err)
						return
					}
					resp := parsed.(*kmsg.InitProducerIDResponse)
					if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] {
						t.Errorf("%+v, seen: %v", resp, seen[resp.ProducerID])
						return
					}
					seen[resp.ProducerID] = true
				}
			})
		}
		group.Wait()
		if len(seen) != 2400 || d.controller.blocks != 3 {
			t.Errorf("%d ids of %d blocks", len(seen), d.controller.blocks)
		}
	})
}

// Without a controller there are no ids; a transactional producer is told to look elsewhere.
func TestInitProducerIDFails(t *testing.T) {
	onDesk(t, 3, func(d *desk) {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version = 4
		d.controller.err = env.ErrTimeout
		if resp := do[*kmsg.InitProducerIDResponse](d, req); resp.ErrorCode != kerr.CoordinatorLoadInProgress.Code || resp.ProducerID != -1 {
			t.Errorf("%+v", resp)
		}
		d.controller.err = nil
		if resp := do[*kmsg.InitProducerIDResponse](d, req); resp.ErrorCode != 0 {
			t.Errorf("%+v", resp)
		}
		req.TransactionalID, req.TransactionTimeoutMillis = kmsg.StringPtr("x"), 1000
		if resp := do[*kmsg.InitProducerIDResponse](d, req); resp.ErrorCode != kerr.NotCoordinator.Code {
			t.Errorf("%+v", resp)
		}
	})
}

func describe(version int16, kind kmsg.ConfigResourceType, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeSynonyms, req.IncludeDocumentation = version, true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
	req.Resources = append(req.Resources, r)
	return req
}

// A config comes with where it comes from: set for the topic, in server.properties, or by default.
func TestDescribeConfigs(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		d.overrides["min.insync.replicas"] = "2"
		for version := int16(0); version <= 4; version++ {
			resp := do[*kmsg.DescribeConfigsResponse](d, describe(version, kmsg.ConfigResourceTypeTopic, "t", "min.insync.replicas", "max.message.bytes", "retention.ms"))
			configs := resp.Resources[0].Configs
			if len(configs) != 3 || resp.Resources[0].ErrorCode != 0 {
				t.Fatalf("v%d: %+v", version, resp)
			}
			values := map[string]string{}
			for _, c := range configs {
				values[c.Name] = *c.Value
			}
			if values["min.insync.replicas"] != "2" || values["max.message.bytes"] != "2000000" || values["retention.ms"] != "604800000" {
				t.Errorf("v%d: %v", version, values)
			}
			if version == 0 {
				continue
			}
			for i, want := range []kmsg.ConfigSource{kmsg.ConfigSourceStaticBrokerConfig, kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigSourceDefaultConfig} {
				if configs[i].Source != want || configs[i].ConfigSynonyms[0].Source != want {
					t.Errorf("v%d: %s has source %v, want %v", version, configs[i].Name, configs[i].Source, want)
				}
			}
			if version >= 3 && configs[0].Documentation == nil {
				t.Error("no documentation")
			}
		}
		broker := do[*kmsg.DescribeConfigsResponse](d, describe(4, kmsg.ConfigResourceTypeBroker, "1")).Resources[0]
		if broker.ErrorCode != 0 || len(broker.Configs) < 40 || !slices.IsSortedFunc(broker.Configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}) {
			t.Errorf("broker: %d configs, code %d", len(broker.Configs), broker.ErrorCode)
		}
		for name, c := range map[string]struct {
			req  *kmsg.DescribeConfigsRequest
			code int16
		}{
			"another broker": {describe(4, kmsg.ConfigResourceTypeBroker, "2"), kerr.InvalidRequest.Code},
			"all brokers":    {describe(4, kmsg.ConfigResourceTypeBroker, ""), 0},
			"unknown topic":  {describe(4, kmsg.ConfigResourceTypeTopic, "x"), kerr.UnknownTopicOrPartition.Code},
			"bad topic":      {describe(4, kmsg.ConfigResourceTypeTopic, "a b"), kerr.InvalidTopicException.Code},
			"no such type":   {describe(4, kmsg.ConfigResourceType(99), "x"), kerr.InvalidRequest.Code},
		} {
			if r := do[*kmsg.DescribeConfigsResponse](d, c.req).Resources[0]; r.ErrorCode != c.code || len(r.Configs) != 0 {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

func listOffsets(version int16, topic string, timestamps ...int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = version
	top := kmsg.NewListOffsetsRequestTopic()
	top.Topic = topic
	for n, timestamp := range timestamps {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(n), timestamp
		top.Partitions = append(top.Partitions, p)
	}
	req.Topics = append(req.Topics, top)
	return req
}

// Special timestamps are younger than the API; what a version does not know is refused.
func TestListOffsets(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 5)
		for n := range int32(5) {
			d.at("t", n).end, d.at("t", n).hw = 12, 10
		}
		for version := int16(1); version <= 9; version++ {
			resp := do[*kmsg.ListOffsetsResponse](d, listOffsets(version, "t", -1, -2, -3, -4, -5, -6))
			offsets := []int64{10, 0, 10, 0, -1, -1}
			since := []int16{1, 1, 7, 8, 9, 100}
			for i, p := range resp.Topics[0].Partitions {
				if version < since[i] {
					if p.ErrorCode != kerr.UnsupportedVersion.Code || p.Offset != -1 {
						t.Errorf("v%d timestamp %d: %+v", version, -1-i, p)
					}
				} else if p.ErrorCode != 0 || p.Offset != offsets[i] {
					t.Errorf("v%d timestamp %d: %+v", version, -1-i, p)
				}
			}
		}
		replica := listOffsets(7, "t", -1)
		replica.ReplicaID = 2
		if p := do[*kmsg.ListOffsetsResponse](d, replica).Topics[0].Partitions[0]; p.Offset != 12 {
			t.Errorf("a replica's latest: %+v", p)
		}
		twice := listOffsets(7, "t", -1, -1)
		twice.Topics[0].Partitions[1].Partition = 0
		for _, p := range do[*kmsg.ListOffsetsResponse](d, twice).Topics[0].Partitions {
			if p.ErrorCode != kerr.InvalidRequest.Code {
				t.Errorf("asked twice: %+v", p)
			}
		}
		d.at("t", 0).err = kerr.OffsetNotAvailable
		for version, want := range map[int16]int16{4: kerr.LeaderNotAvailable.Code, 5: kerr.OffsetNotAvailable.Code} {
			if p := do[*kmsg.ListOffsetsResponse](d, listOffsets(version, "t", -1)).Topics[0].Partitions[0]; p.ErrorCode != want {
				t.Errorf("v%d: %+v", version, p)
			}
		}
	})
}

// OffsetForLeaderEpoch in every version.
func TestOffsetForLeaderEpoch(t *testing.T) {
	onDesk(t, 1, func(d *desk) {
		d.addTopic("t", topicID(1), 1)
		d.at("t", 0).end = 12
		for version := int16(0); version <= 4; version++ {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.Version, req.ReplicaID = version, 2
			top := kmsg.NewOffsetForLeaderEpochRequestTopic()
			top.Topic = "t"
			for n := range int32(2) {
				p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				p.Partition, p.LeaderEpoch = n, 3
				top.Partitions = append(top.Partitions, p)
			}
			req.Topics = append(req.Topics, top)
			parts := do[*kmsg.OffsetForLeaderEpochResponse](d, req).Topics[0].Partitions
			if parts[0].ErrorCode != 0 || parts[0].EndOffset != 12 || (version >= 1 && parts[0].LeaderEpoch != 3) {
				t.Errorf("v%d: %+v", version, parts[0])
			}
			if parts[1].ErrorCode != kerr.UnknownTopicOrPartition.Code || parts[1].EndOffset != -1 {
				t.Errorf("v%d: %+v", version, parts[1])
			}
		}
	})
}
