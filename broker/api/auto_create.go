package api

import (
	"slices"
	"strconv"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/group"
	"barnabas/broker/quota"
	"barnabas/broker/txn"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// autoCreateTimeout bounds one request to the controller on behalf of a client who asked for a topic that does not exist.
const autoCreateTimeout = 10 * time.Second

var evAutoCreate = env.NewKind("auto-create", env.Info, "code")

// creations are the topics that are being created because somebody asked for them. A topic is asked for once at a
// time, however many clients want it (AutoTopicCreationManager).
type creations struct {
	deps Deps

	mu    env.Mutex
	under map[string]bool // creation under way
}

func newCreations(d Deps) *creations {
	return &creations{deps: d, mu: d.Env.NewMutex(), under: make(map[string]bool)}
}

// create has topics created in a task of its own, with the broker's defaults, and returns at once. They count against the bound of who asked
// if this broker is the controller; another one counts them as this broker's (AutoTopicCreationManager#createTopics).
func (c *creations) create(topics []string, bound *quota.Mutations) {
	if len(topics) == 0 {
		return
	}
	c.mu.Lock()
	topics = slices.DeleteFunc(topics, func(topic string) bool { return c.under[topic] })
	for _, topic := range topics {
		c.under[topic] = true
	}
	c.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	c.deps.Env.Go("auto-create", func() {
		c.request(topics, bound)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, topic := range topics {
			delete(c.under, topic)
		}
	})
}

func (c *creations) request(topics []string, bound *quota.Mutations) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 6       // topic ids in the answer are of no use here
	req.TimeoutMillis = 0 // nobody waits for the leaders, and other requests to the controller must not either
	for _, topic := range topics {
		req.Topics = append(req.Topics, c.newTopic(topic))
	}
	resp, err := c.ask(req, bound)
	if err != nil {
		c.deps.Env.Emit(env.Event{Kind: evAutoCreate, Text: err.Error()})
		return
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		switch t.ErrorCode {
		case kerr.TopicAlreadyExists.Code:
			continue
		case kerr.RequestTimedOut.Code: // created, and not waited for
			t.ErrorCode, t.ErrorMessage = 0, nil
		}
		why := ""
		if t.ErrorMessage != nil {
			why = *t.ErrorMessage
		}
		c.deps.Env.Emit(env.Event{Kind: evAutoCreate, Topic: t.Topic, Partition: -1, V: [4]int64{int64(t.ErrorCode)}, Text: why})
	}
}

// newTopic is a topic with the brokers' defaults, or those of Kafka's own topics (GroupCoordinator#groupMetadataTopicConfigs,
// TransactionStateManager#transactionTopicConfigs).
func (c *creations) newTopic(name string) kmsg.CreateTopicsRequestTopic {
	cfg := c.deps.Config
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, cfg.NumPartitions, cfg.DefaultReplicationFactor
	var set [][2]string
	switch name {
	case group.Topic:
		t.NumPartitions, t.ReplicationFactor = cfg.OffsetsTopicPartitions, cfg.OffsetsTopicReplicationFactor
		set = [][2]string{{"cleanup.policy", "compact"}, {"compression.type", "producer"}, {"segment.bytes", strconv.Itoa(int(cfg.OffsetsTopicSegmentBytes))}}
	case txn.Topic:
		t.NumPartitions, t.ReplicationFactor = cfg.TransactionTopicPartitions, cfg.TransactionTopicReplicationFactor
		set = [][2]string{{"cleanup.policy", "compact"}, {"compression.type", "uncompressed"}, {"unclean.leader.election.enable", "false"},
			{"min.insync.replicas", strconv.Itoa(cfg.TransactionTopicMinISR)}, {"segment.bytes", strconv.Itoa(int(cfg.TransactionTopicSegmentBytes))}}
	}
	for _, pair := range set {
		entry := kmsg.NewCreateTopicsRequestTopicConfig()
		entry.Name, entry.Value = pair[0], &pair[1]
		t.Configs = append(t.Configs, entry)
	}
	return t
}

func (c *creations) ask(req *kmsg.CreateTopicsRequest, bound *quota.Mutations) (*kmsg.CreateTopicsResponse, error) {
	if c.deps.Controller.Active() {
		return c.deps.Controller.CreateTopics(req, bound.Take), nil
	}
	resp, err := c.deps.ToController(req, autoCreateTimeout)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.CreateTopicsResponse), nil
}
