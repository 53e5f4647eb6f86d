package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Admin makes and deletes topics, and asks for what the cluster knows. Each call ends by its timeout. While a request
// was certainly not carried out (no connection, NOT_CONTROLLER, NOT_LEADER …) it is sent again, to whoever is in charge
// by then; after that the error says so (MaybeSent). Source: KafkaAdminClient.
type Admin struct{ c *Client }

// NewAdmin makes an admin client.
func NewAdmin(c *Client) *Admin { return &Admin{c} }

// NewTopic describes a topic to create.
type NewTopic struct {
	Name              string
	Partitions        int32 // -1: the brokers' default
	ReplicationFactor int16 // -1: the brokers' default
	// Assignment gives the replicas of each partition, in order of preference; Partitions and ReplicationFactor must
	// then be -1.
	Assignment [][]int32
	Configs    []ConfigEntry
}

// ConfigEntry is one key of a configuration.
type ConfigEntry struct {
	Name  string
	Value string
}

// CreateTopics creates topics, all in one request. The error is that of the first topic that was refused, a kerr value
// wrapped with its name.
func (a *Admin) CreateTopics(timeout time.Duration, topics ...NewTopic) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(7)
	req.TimeoutMillis = brokerShare(timeout)
	for _, t := range topics {
		req.Topics = append(req.Topics, t.request())
	}
	resp, err := a.controller(req, timeout, func(r kmsg.Response) error {
		for _, t := range r.(*kmsg.CreateTopicsResponse).Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); errors.Is(err, kerr.NotController) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

func (t NewTopic) request() kmsg.CreateTopicsRequestTopic {
	r := kmsg.NewCreateTopicsRequestTopic()
	r.Topic, r.NumPartitions, r.ReplicationFactor = t.Name, t.Partitions, t.ReplicationFactor
	for i, replicas := range t.Assignment {
		as := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		as.Partition, as.Replicas = int32(i), replicas
		r.ReplicaAssignment = append(r.ReplicaAssignment, as)
	}
	for _, c := range t.Configs {
		entry := kmsg.NewCreateTopicsRequestTopicConfig()
		entry.Name, entry.Value = c.Name, kmsg.StringPtr(c.Value)
		r.Configs = append(r.Configs, entry)
	}
	return r
}

// DeleteTopics deletes topics. The error is that of the first that was refused.
func (a *Admin) DeleteTopics(timeout time.Duration, names ...string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.SetVersion(5)
	req.TimeoutMillis = brokerShare(timeout)
	req.TopicNames = names
	resp, err := a.controller(req, timeout, func(r kmsg.Response) error {
		for _, t := range r.(*kmsg.DeleteTopicsResponse).Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); errors.Is(err, kerr.NotController) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.DeleteTopicsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			name := ""
			if t.Topic != nil {
				name = *t.Topic
			}
			return fmt.Errorf("delete topic %s: %w", name, err)
		}
	}
	return nil
}

// brokerShare is how long the broker may wait, so that its answer comes before our patience ends.
func brokerShare(timeout time.Duration) int32 { return int32((timeout * 3 / 4) / time.Millisecond) }

// ListedOffset is an answer of ListOffsets.
type ListedOffset struct {
	Offset      int64
	LeaderEpoch int32
}

// ListOffsets asks the leader of tp for the offset of the first record at or after timestamp (ms), or for Earliest or
// Latest; with committed, Latest is the last stable offset.
func (a *Admin) ListOffsets(tp wire.TopicPartition, timestamp int64, committed bool, timeout time.Duration) (ListedOffset, error) {
	deadline := a.c.e.Mono().Add(timeout)
	for attempt := 0; ; attempt++ {
		used := a.c.Metadata()
		leader, err := a.c.Leader(tp, deadline)
		if err != nil {
			return ListedOffset{}, fmt.Errorf("list offsets of %v: %w", tp, err)
		}
		req := listOffsetsRequest(tp, timestamp, leader.Epoch, committed)
		resp, err := a.ask(leader.Broker, req, deadline)
		if err == nil {
			var l ListedOffset
			if l.Offset, l.LeaderEpoch, err = listedOffset(resp.(*kmsg.ListOffsetsResponse), tp); err == nil {
				return l, nil
			}
			if !mendsItself(err) {
				return ListedOffset{}, fmt.Errorf("list offsets of %v: %w", tp, err)
			}
		}
		if !a.pause(attempt, deadline) {
			return ListedOffset{}, fmt.Errorf("list offsets of %v: %w: %w", tp, env.ErrTimeout, err)
		}
		if a.c.Metadata() == used {
			a.c.RequestUpdate(tp.Topic)
		}
	}
}

// ClusterDescription is the answer of DescribeCluster.
type ClusterDescription struct {
	ClusterID  string
	Controller int32
	Brokers    []Broker
}

// DescribeCluster asks any broker who there is.
func (a *Admin) DescribeCluster(timeout time.Duration) (ClusterDescription, error) {
	resp, err := a.any(kmsg.NewPtrDescribeClusterRequest(), timeout)
	if err != nil {
		return ClusterDescription{}, err
	}
	r := resp.(*kmsg.DescribeClusterResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return ClusterDescription{}, fmt.Errorf("describe cluster: %w", err)
	}
	d := ClusterDescription{ClusterID: r.ClusterID, Controller: r.ControllerID}
	for _, b := range r.Brokers {
		broker := Broker{ID: b.NodeID, Addr: joinAddr(b.Host, b.Port)}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		d.Brokers = append(d.Brokers, broker)
	}
	return d, nil
}

// DescribeTopicConfigs asks any broker for the configuration of a topic, in the broker's order.
func (a *Admin) DescribeTopicConfigs(topic string, timeout time.Duration) ([]ConfigEntry, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.SetVersion(4)
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	req.Resources = append(req.Resources, res)
	resp, err := a.any(req, timeout)
	if err != nil {
		return nil, err
	}
	var entries []ConfigEntry
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return nil, fmt.Errorf("configs of topic %s: %w", r.ResourceName, err)
		}
		for _, c := range r.Configs {
			if c.Value != nil {
				entries = append(entries, ConfigEntry{c.Name, *c.Value})
			}
		}
	}
	return entries, nil
}

// any asks any broker, again and again while none has received the request.
func (a *Admin) any(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	deadline := a.c.e.Mono().Add(timeout)
	for attempt := 0; ; attempt++ {
		resp, err := a.c.Any(req, deadline.Sub(a.c.e.Mono()))
		if err == nil || MaybeSent(err) || !a.pause(attempt, deadline) {
			return resp, err
		}
	}
}

// controller sends req to the controller, following it as it moves. refused tells from a response that the broker was
// not the controller.
func (a *Admin) controller(req kmsg.Request, timeout time.Duration, refused func(kmsg.Response) error) (kmsg.Response, error) {
	deadline := a.c.e.Mono().Add(timeout)
	for attempt := 0; ; attempt++ {
		m := a.c.Metadata()
		var resp kmsg.Response
		var err error = kerr.NotController
		if m.Controller >= 0 {
			if resp, err = a.ask(m.Controller, req, deadline); err == nil {
				if err = refused(resp); err == nil {
					return resp, nil
				}
			} else if MaybeSent(err) {
				return nil, err
			}
		}
		if !a.pause(attempt, deadline) {
			return nil, fmt.Errorf("%s: %w: %w", kmsg.NameForKey(req.Key()), env.ErrTimeout, err)
		}
		if werr := a.c.await(m, nil, deadline); werr != nil {
			return nil, fmt.Errorf("%s: %w: %w", kmsg.NameForKey(req.Key()), werr, err)
		}
	}
}

// ask sends req to one broker, with the time that is left.
func (a *Admin) ask(broker int32, req kmsg.Request, deadline env.Instant) (kmsg.Response, error) {
	conn, err := a.c.Conn(broker)
	if err != nil {
		return nil, err
	}
	return conn.Do(req, max(time.Millisecond, deadline.Sub(a.c.e.Mono())))
}

// pause waits out a back-off; false if the deadline comes first.
func (a *Admin) pause(attempt int, deadline env.Instant) bool {
	a.c.mu.Lock()
	d := a.c.backoff(attempt)
	a.c.mu.Unlock()
	if attempt == 0 {
		d = min(d, a.c.o.RetryBackoff)
	}
	if a.c.e.Mono().Add(d) >= deadline {
		return false
	}
	a.c.e.Sleep(d)
	return true
}
