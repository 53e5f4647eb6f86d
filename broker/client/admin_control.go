package client

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreatePartitions raises a topic's number of partitions to count.
func (a *Admin) CreatePartitions(topic string, count int32, timeout time.Duration) error {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.SetVersion(3)
	req.TimeoutMillis = brokerShare(timeout)
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, count
	req.Topics = append(req.Topics, rt)
	code := func(r kmsg.Response) error {
		for _, t := range r.(*kmsg.CreatePartitionsResponse).Topics {
			return kerr.ErrorForCode(t.ErrorCode)
		}
		return nil
	}
	resp, err := a.controller(req, timeout, notController(code))
	if err == nil {
		err = code(resp)
	}
	return named(fmt.Sprintf("create partitions of topic %s", topic), err)
}

// Reassign begins to move a partition to the replicas, in order of preference; with none it cancels what is under way.
func (a *Admin) Reassign(tp wire.TopicPartition, replicas []int32, timeout time.Duration) error {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = brokerShare(timeout)
	rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	rp.Partition, rp.Replicas = tp.Partition, replicas
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic, rt.Partitions = tp.Topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	code := func(r kmsg.Response) error {
		resp := r.(*kmsg.AlterPartitionAssignmentsResponse)
		if resp.ErrorCode != 0 {
			return kerr.ErrorForCode(resp.ErrorCode)
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				return kerr.ErrorForCode(p.ErrorCode)
			}
		}
		return nil
	}
	resp, err := a.controller(req, timeout, notController(code))
	if err == nil {
		err = code(resp)
	}
	return named(fmt.Sprintf("reassign %s", tp), err)
}

// ElectLeaders has all partitions led by their preferred replicas where those are in the ISR, or with unclean those without a
// leader by any live replica. It returns how many elections there were.
func (a *Admin) ElectLeaders(unclean bool, timeout time.Duration) (int, error) {
	req := kmsg.NewPtrElectLeadersRequest()
	req.SetVersion(2)
	req.TimeoutMillis = brokerShare(timeout)
	if unclean {
		req.ElectionType = 1
	}
	resp, err := a.controller(req, timeout, notController(func(r kmsg.Response) error {
		elections := r.(*kmsg.ElectLeadersResponse)
		if len(elections.Topics) > 0 && len(elections.Topics[0].Partitions) > 0 && elections.Topics[0].Partitions[0].ErrorCode == kerr.NotController.Code {
			return kerr.NotController // of each partition alone
		}
		return kerr.ErrorForCode(elections.ErrorCode)
	}))
	if err != nil {
		return 0, named("elect leaders", err)
	}
	elected := 0
	for _, t := range resp.(*kmsg.ElectLeadersResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 {
				elected++
			}
		}
	}
	return elected, nil
}

// SetTopicConfig sets one config of a topic, or with a nil value takes it back.
func (a *Admin) SetTopicConfig(topic, name string, value *string, timeout time.Duration) error {
	return a.setConfig(kmsg.ConfigResourceTypeTopic, topic, name, value, a.any, timeout)
}

// SetBrokerConfig is the same for a broker, or with a negative id for all brokers.
func (a *Admin) SetBrokerConfig(broker int32, name string, value *string, timeout time.Duration) error {
	if broker < 0 {
		return a.setConfig(kmsg.ConfigResourceTypeBroker, "", name, value, a.any, timeout)
	}
	own := func(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
		return a.broker(broker, req, timeout)
	}
	return a.setConfig(kmsg.ConfigResourceTypeBroker, fmt.Sprint(broker), name, value, own, timeout)
}

func (a *Admin) setConfig(kind kmsg.ConfigResourceType, resource, name string, value *string,
	send func(kmsg.Request, time.Duration) (kmsg.Response, error), timeout time.Duration) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.SetVersion(1)
	rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	rc.Name, rc.Value = name, value
	if value == nil {
		rc.Op = kmsg.IncrementalAlterConfigOpDelete
	}
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName, res.Configs = kind, resource, append(res.Configs, rc)
	req.Resources = append(req.Resources, res)
	resp, err := send(req, timeout)
	if err == nil {
		for _, r := range resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
			err = kerr.ErrorForCode(r.ErrorCode)
		}
	}
	return named(fmt.Sprintf("set %s of %s", name, cmp.Or(resource, "all brokers")), err)
}

// notController has a request sent to somebody else when the answer's error says so.
func notController(code func(kmsg.Response) error) func(kmsg.Response) error {
	return func(r kmsg.Response) error {
		if err := code(r); errors.Is(err, kerr.NotController) {
			return err
		}
		return nil
	}
}

// named puts the operation before an error; nil stays nil.
func named(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", operation, err)
}
