package api_test

import (
	"fmt"
	"strings"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/quota"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fakeController creates what it is asked for, at once, here or elsewhere.
type fakeController struct {
	active    bool
	created   []string
	deletions []*kmsg.DeleteTopicsRequest
	blocks    int64
	err       error // of what is sent to it from afar
	code      int16 // of what it answers
}

func (c *fakeController) Active() bool { return c.active }

func (c *fakeController) remote(e env.Env, req kmsg.Request) (kmsg.Response, error) {
	e.Sleep(5 * time.Millisecond)
	if c.err != nil {
		return nil, c.err
	}
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		return c.CreateTopics(req, nil), nil
	case *kmsg.AllocateProducerIDsRequest:
		return c.AllocateProducerIDs(req), nil
	}
	return nil, fmt.Errorf("%T is not sent to the controller", req)
}

func (c *fakeController) CreateTopics(req *kmsg.CreateTopicsRequest, bound func(int) bool) *kmsg.CreateTopicsResponse {
	resp := kmsg.NewPtrCreateTopicsResponse()
	for i := range req.Topics {
		c.created = append(c.created, req.Topics[i].Topic)
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.ErrorCode = req.Topics[i].Topic, c.code
		if bound != nil && !bound(int(req.Topics[i].NumPartitions)) {
			t.ErrorCode = kerr.ThrottlingQuotaExceeded.Code
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (c *fakeController) DeleteTopics(req *kmsg.DeleteTopicsRequest, bound func(int) bool) *kmsg.DeleteTopicsResponse {
	c.deletions = append(c.deletions, req)
	resp := kmsg.NewPtrDeleteTopicsResponse()
	for range req.TopicNames {
		t := kmsg.NewDeleteTopicsResponseTopic()
		if !bound(100) {
			t.ErrorCode = kerr.ThrottlingQuotaExceeded.Code
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (c *fakeController) AlterPartition(*kmsg.AlterPartitionRequest) *kmsg.AlterPartitionResponse {
	resp := kmsg.NewPtrAlterPartitionResponse()
	resp.ErrorCode = c.code
	return resp
}

func (c *fakeController) ControlledShutdown(*kmsg.ControlledShutdownRequest) *kmsg.ControlledShutdownResponse {
	resp := kmsg.NewPtrControlledShutdownResponse()
	resp.ErrorCode = c.code
	return resp
}

func (c *fakeController) AllocateProducerIDs(req *kmsg.AllocateProducerIDsRequest) *kmsg.AllocateProducerIDsResponse {
	resp := kmsg.NewPtrAllocateProducerIDsResponse()
	if resp.ErrorCode = c.code; c.code == 0 {
		resp.ProducerIDStart, resp.ProducerIDLen = c.blocks*1000, 1000
		c.blocks++
	}
	return resp
}

func (c *fakeController) CreatePartitions(req *kmsg.CreatePartitionsRequest, bound func(int) bool) *kmsg.CreatePartitionsResponse {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	for _, topic := range req.Topics {
		t := kmsg.NewCreatePartitionsResponseTopic()
		if !bound(int(topic.Count)) {
			t.ErrorCode = kerr.ThrottlingQuotaExceeded.Code
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (c *fakeController) AlterPartitionReassignments(req *kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse {
	return req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
}

func (c *fakeController) ListPartitionReassignments(req *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
	return req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
}

func (c *fakeController) ElectLeaders(req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	return req.ResponseKind().(*kmsg.ElectLeadersResponse)
}

func (c *fakeController) UpdateFeatures(req *kmsg.UpdateFeaturesRequest) *kmsg.UpdateFeaturesResponse {
	return req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
}

// fakeConfigs keeps configs in memory, by "type/entity".
type fakeConfigs map[string]map[string]string

func (f fakeConfigs) EntityConfig(entityType, entity string) (map[string]string, error) {
	set := map[string]string{}
	for k, v := range f[entityType+"/"+entity] {
		set[k] = v
	}
	return set, nil
}

func (f fakeConfigs) QuotaEntities() (map[quota.Entity]map[string]string, error) {
	all := map[quota.Entity]map[string]string{}
	for path, configs := range f {
		var e quota.Entity
		kind, name, _ := strings.Cut(path, "/")
		switch user, client, both := strings.Cut(name, "/clients/"); {
		case kind == "clients":
			e.ClientID = name
		case kind == "users" && both:
			e.User, e.ClientID = user, client
		case kind == "users":
			e.User = name
		case kind == "ips":
			e.IP = name
		default:
			continue
		}
		all[e] = configs
	}
	return all, nil
}

func (f fakeConfigs) SetEntityConfig(entityType, entity string, configs map[string]string) error {
	f[entityType+"/"+entity] = configs
	return nil
}
