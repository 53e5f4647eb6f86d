package controller

import (
	"errors"
	"slices"
	"time"

	"barnabas/broker/config"
	"barnabas/broker/metadata"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopics validates and creates topics, v0 to v7, and waits up to the request's time-out until this broker knows
// their leaders; REQUEST_TIMED_OUT for a topic that was created but has not all its leaders by then.
//
// Source: KafkaApis#handleCreateTopicsRequest, ZkAdminManager#createTopics, DelayedCreatePartitions.
func (c *Controller) CreateTopics(req *kmsg.CreateTopicsRequest, bound Bound) *kmsg.CreateTopicsResponse {
	deadline := c.o.Env.Mono().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	// Even a request that does not want to wait gets its topics created.
	resp := ask(c, "create topics", max(deadline, c.decisionDeadline()),
		func(m *machine) (*kmsg.CreateTopicsResponse, error) { return m.createTopics(req, bound) },
		func(code int16) *kmsg.CreateTopicsResponse {
			resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
			for i := range req.Topics {
				rt := kmsg.NewCreateTopicsResponseTopic()
				rt.Topic, rt.ErrorCode = req.Topics[i].Topic, code
				resp.Topics = append(resp.Topics, rt)
			}
			return resp
		})
	if req.ValidateOnly || c.o.Metadata == nil { // nothing to wait for
		return resp
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		if rt.ErrorCode != 0 {
			continue
		}
		known := func(s *metadata.Snapshot) bool { return s.LeadersKnown(rt.Topic, rt.NumPartitions) }
		if req.TimeoutMillis <= 0 || !c.o.Metadata.WaitUntil(deadline, known) {
			rt.ErrorCode = kerr.RequestTimedOut.Code
		}
	}
	return resp
}

// DeleteTopics marks topics for deletion, v0 to v6, and waits up to the request's time-out until this broker no longer
// knows them; their files may last longer.
//
// Source: KafkaApis#handleDeleteTopicsRequest, ZkAdminManager#deleteTopics, DelayedDeleteTopics.
func (c *Controller) DeleteTopics(req *kmsg.DeleteTopicsRequest, bound Bound) *kmsg.DeleteTopicsResponse {
	deadline := c.o.Env.Mono().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	wanted := req.Topics
	if req.Version < 6 {
		wanted = nil
		for _, name := range req.TopicNames {
			wanted = append(wanted, kmsg.DeleteTopicsRequestTopic{Topic: &name})
		}
	}
	resp := ask(c, "delete topics", max(deadline, c.decisionDeadline()),
		func(m *machine) (*kmsg.DeleteTopicsResponse, error) { return m.deleteTopics(req, wanted, bound) },
		func(code int16) *kmsg.DeleteTopicsResponse {
			resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
			for _, w := range wanted {
				rt := kmsg.NewDeleteTopicsResponseTopic()
				rt.Topic, rt.TopicID, rt.ErrorCode = w.Topic, w.TopicID, code
				resp.Topics = append(resp.Topics, rt)
			}
			return resp
		})
	if c.o.Metadata == nil {
		return resp
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		if rt.ErrorCode != 0 {
			continue
		}
		forgotten := func(s *metadata.Snapshot) bool {
			t := s.Topic(*rt.Topic)
			return t == nil || t.ID != rt.TopicID
		}
		if req.TimeoutMillis <= 0 || !c.o.Metadata.WaitUntil(deadline, forgotten) {
			rt.ErrorCode = kerr.RequestTimedOut.Code
		}
	}
	return resp
}

// Bound says whether so many partitions more may be created or deleted for a request (quota.Mutations); nil is no bound (KIP-599).
type Bound = func(partitions int) bool

// within is THROTTLING_QUOTA_EXCEEDED where they may not.
func within(bound Bound, partitions int) error {
	if bound == nil || bound(partitions) {
		return nil
	}
	return refusal(kerr.ThrottlingQuotaExceeded, "The throttling quota has been exceeded.")
}

// clusterMetadataTopic is the log of a KRaft cluster, which is not to be made as a topic (Topic#CLUSTER_METADATA_TOPIC_NAME).
const clusterMetadataTopic = "__cluster_metadata"

// createTopics creates the topics of a request that are valid, and tells what became of each.
func (m *machine) createTopics(req *kmsg.CreateTopicsRequest, bound Bound) (*kmsg.CreateTopicsResponse, error) {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	named := map[string]int{}
	for i := range req.Topics {
		named[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		if named[asked.Topic] > 1 && slices.ContainsFunc(resp.Topics, func(t kmsg.CreateTopicsResponseTopic) bool { return t.Topic == asked.Topic }) {
			continue // answered once
		}
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic = asked.Topic
		err := error(nil)
		switch {
		case asked.Topic == clusterMetadataTopic:
			err = refusal(kerr.InvalidRequest, "Creation of internal topic %s is prohibited.", asked.Topic)
		case named[asked.Topic] > 1:
			err = refusal(kerr.InvalidRequest, "Create topics request contains multiple entries for the topic.")
		default:
			err = m.createOne(asked, req.ValidateOnly, bound, &rt)
		}
		if endsTerm(err) {
			return nil, err
		}
		if err != nil {
			text := err.Error()
			rt.ErrorCode, rt.ErrorMessage = wire.Code(err), &text
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

func (m *machine) createOne(asked *kmsg.CreateTopicsRequestTopic, validateOnly bool, bound Bound, rt *kmsg.CreateTopicsResponseTopic) error {
	assignment, configs, err := m.validateCreate(asked)
	if err != nil {
		return err
	}
	if !validateOnly {
		if err := within(bound, len(assignment)); err != nil {
			return err
		}
		err := m.createTopic(asked.Topic, assignment, configs)
		if errors.Is(err, zookeeper.ErrNodeExists) && conflict(err) {
			return alreadyExists(asked.Topic) // by a tool, and the watch has not told yet
		}
		if err != nil {
			return err
		}
		rt.TopicID = m.topics[asked.Topic].id
	}
	rt.NumPartitions, rt.ReplicationFactor = int32(len(assignment)), int16(len(assignment[0].Replicas))
	rt.Configs = m.describeConfigs(configs)
	return nil
}

// describeConfigs lists the configuration of a new topic, as v5 and later tell it (KIP-525).
func (m *machine) describeConfigs(overrides map[string]string) []kmsg.CreateTopicsResponseTopicConfig {
	const dynamicTopic, staticBroker, byDefault = 1, 4, 5
	values, err := m.config.TopicDefaults().WithOverrides(overrides)
	if err != nil {
		return nil // cannot be: they were validated
	}
	var configs []kmsg.CreateTopicsResponseTopicConfig
	for _, key := range config.TopicKeys() {
		rc := kmsg.NewCreateTopicsResponseTopicConfig()
		value := key.Value(&values)
		rc.Name, rc.Value, rc.Source = key.Name, &value, byDefault
		if _, ok := overrides[key.Name]; ok {
			rc.Source = dynamicTopic
		} else if _, given := m.config.Explicit(key.Broker); given {
			rc.Source = staticBroker
		}
		configs = append(configs, rc)
	}
	return configs
}

// deleteTopics marks the topics of a request that exist, takes up their deletion, and tells what became of each.
func (m *machine) deleteTopics(req *kmsg.DeleteTopicsRequest, wanted []kmsg.DeleteTopicsRequestTopic, bound Bound) (*kmsg.DeleteTopicsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	var marked []string
	for _, w := range wanted {
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID = w.Topic, w.TopicID
		t, err := m.findTopic(w)
		switch { // said of every topic, whether there is one or not
		case m.config.DeleteTopicEnable:
		case req.Version < 3:
			err = kerr.InvalidRequest
		default:
			err = kerr.TopicDeletionDisabled
		}
		if err == nil && within(bound, len(t.partitions)) != nil {
			err = kerr.ThrottlingQuotaExceeded
		}
		if err != nil {
			rt.ErrorCode, rt.ErrorMessage = err.Code, &err.Description
			resp.Topics = append(resp.Topics, rt)
			continue
		}
		if _, err := m.store.MarkTopicDeletion(m.fence, t.name); err != nil {
			return nil, err
		}
		rt.Topic, rt.TopicID = &t.name, t.id
		marked = append(marked, t.name)
		resp.Topics = append(resp.Topics, rt)
	}
	if len(marked) == 0 {
		return resp, nil
	}
	return resp, m.deletionsMarked(marked)
}

// findTopic finds a topic by name or by id; of both, which no request gets to ask (api), by id.
func (m *machine) findTopic(w kmsg.DeleteTopicsRequestTopic) (*topic, *kerr.Error) {
	byID := w.TopicID != [16]byte{}
	switch {
	case !byID && w.Topic == nil:
		// DEVIATION(KIP-516): Kafka says TOPIC_AUTHORIZATION_FAILED, since nobody is allowed to delete the topic null.
		return nil, kerr.InvalidRequest
	case byID:
		if t := m.topics[m.topicNames[w.TopicID]]; t != nil {
			return t, nil
		}
		return nil, kerr.UnknownTopicID
	}
	if t := m.topics[*w.Topic]; t != nil {
		return t, nil
	}
	return nil, kerr.UnknownTopicOrPartition
}

// endsTerm reports whether an error is about ZooKeeper and not about one topic of a request.
func endsTerm(err error) bool {
	var kafka *kerr.Error
	return err != nil && !errors.As(err, &kafka)
}
