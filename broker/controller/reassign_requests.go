package controller

import (
	"slices"
	"time"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterPartitionReassignments begins reassignments, changes those under way, and with null replicas cancels them, v0 (KIP-455). It
// answers when that is written, not when the replicas have moved.
//
// Source: KafkaController#processApiPartitionReassignment.
func (c *Controller) AlterPartitionReassignments(req *kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse {
	deadline := c.o.Env.Mono().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	return ask(c, "alter reassignments", max(deadline, c.decisionDeadline()),
		func(m *machine) (*kmsg.AlterPartitionAssignmentsResponse, error) {
			return m.alterReassignments(req)
		},
		func(code int16) *kmsg.AlterPartitionAssignmentsResponse {
			resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
			resp.ErrorCode = code
			return resp
		})
}

// ListPartitionReassignments lists the reassignments under way, of the partitions asked for, or all, v0 (KIP-455).
//
// Source: KafkaController#processListPartitionReassignments.
func (c *Controller) ListPartitionReassignments(req *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
	deadline := c.o.Env.Mono().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	return ask(c, "list reassignments", max(deadline, c.decisionDeadline()),
		func(m *machine) (*kmsg.ListPartitionReassignmentsResponse, error) {
			return m.listReassignments(req), nil
		},
		func(code int16) *kmsg.ListPartitionReassignmentsResponse {
			resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
			resp.ErrorCode = code
			return resp
		})
}

func (m *machine) alterReassignments(req *kmsg.AlterPartitionAssignmentsRequest) (*kmsg.AlterPartitionAssignmentsResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	var moves []move
	answers := map[wire.TopicPartition]*kmsg.AlterPartitionAssignmentsResponseTopicPartition{}
	for i := range req.Topics {
		rt := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		rt.Topic = req.Topics[i].Topic
		rt.Partitions = make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, len(req.Topics[i].Partitions))
		for j, asked := range req.Topics[i].Partitions {
			rp := &rt.Partitions[j]
			*rp = kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			rp.Partition = asked.Partition
			tp := wire.TopicPartition{Topic: rt.Topic, Partition: asked.Partition}
			if answers[tp] != nil {
				refuseMove(rp, refusal(kerr.InvalidRequest, "The partition %s is named twice.", tp))
				continue
			}
			answers[tp] = rp
			v, err := m.wantedMove(tp, asked.Replicas)
			if err != nil {
				refuseMove(rp, err)
				continue
			}
			moves = append(moves, v)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	moves, tooLarge := m.fitting(moves)
	for _, v := range tooLarge {
		refuseMove(answers[v.tp], v.unwritable())
	}
	failed, err := m.reassign(moves)
	for _, v := range failed {
		refuseMove(answers[v.tp], refusal(kerr.InvalidReplicaAssignment, "The partition has changed meanwhile, and nobody in %v could lead it.", v.next.Replicas))
	}
	return resp, err
}

func (m *machine) wantedMove(tp wire.TopicPartition, replicas []int32) (move, error) {
	if replicas == nil {
		return m.cancellation(tp)
	}
	return m.validateReassignment(tp, replicas, true)
}

func refuseMove(rp *kmsg.AlterPartitionAssignmentsResponseTopicPartition, err error) {
	text := err.Error()
	rp.ErrorCode, rp.ErrorMessage = wire.Code(err), &text
}

func (m *machine) listReassignments(req *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	wanted := func(tp wire.TopicPartition) bool {
		return req.Topics == nil || slices.ContainsFunc(req.Topics, func(t kmsg.ListPartitionReassignmentsRequestTopic) bool {
			return t.Topic == tp.Topic && slices.Contains(t.Partitions, tp.Partition)
		})
	}
	for _, p := range m.partitions() {
		if !reassigning(p.assignment) || m.deleting[p.tp.Topic] || !wanted(p.tp) {
			continue
		}
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != p.tp.Topic {
			rt := kmsg.NewListPartitionReassignmentsResponseTopic()
			rt.Topic = p.tp.Topic
			resp.Topics = append(resp.Topics, rt)
		}
		rp := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		rp.Partition, rp.Replicas = p.tp.Partition, p.assignment.Replicas
		rp.AddingReplicas, rp.RemovingReplicas = p.assignment.Adding, p.assignment.Removing
		rt := &resp.Topics[len(resp.Topics)-1]
		rt.Partitions = append(rt.Partitions, rp)
	}
	return resp
}
