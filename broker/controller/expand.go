package controller

import (
	"maps"
	"slices"
	"time"

	"barnabas/broker/metadata"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreatePartitions gives topics more partitions, v0 to v3, and waits up to the request's time-out until this broker knows
// their leaders.
//
// Source: KafkaApis#handleCreatePartitionsRequest, ZkAdminManager#createPartitions, AdminZkClient#addPartitions.
func (c *Controller) CreatePartitions(req *kmsg.CreatePartitionsRequest, bound Bound) *kmsg.CreatePartitionsResponse {
	deadline := c.o.Env.Mono().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	resp := ask(c, "create partitions", max(deadline, c.decisionDeadline()),
		func(m *machine) (*kmsg.CreatePartitionsResponse, error) { return m.createPartitions(req, bound) },
		func(code int16) *kmsg.CreatePartitionsResponse {
			resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
			for i := range req.Topics {
				rt := kmsg.NewCreatePartitionsResponseTopic()
				rt.Topic, rt.ErrorCode = req.Topics[i].Topic, code
				resp.Topics = append(resp.Topics, rt)
			}
			return resp
		})
	if req.ValidateOnly || c.o.Metadata == nil {
		return resp
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		j := slices.IndexFunc(req.Topics, func(t kmsg.CreatePartitionsRequestTopic) bool { return t.Topic == rt.Topic })
		known := func(s *metadata.Snapshot) bool { return s.LeadersKnown(rt.Topic, req.Topics[j].Count) }
		if rt.ErrorCode == 0 && (req.TimeoutMillis <= 0 || !c.o.Metadata.WaitUntil(deadline, known)) {
			rt.ErrorCode = kerr.RequestTimedOut.Code
		}
	}
	return resp
}

// createPartitions expands the topics of a request that can be, and tells what became of each.
func (m *machine) createPartitions(req *kmsg.CreatePartitionsRequest, bound Bound) (*kmsg.CreatePartitionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	named := map[string]int{}
	for i := range req.Topics {
		named[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		if slices.ContainsFunc(resp.Topics, func(t kmsg.CreatePartitionsResponseTopic) bool { return t.Topic == asked.Topic }) {
			continue // answered once
		}
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic = asked.Topic
		var err error
		if named[asked.Topic] > 1 {
			err = refusal(kerr.InvalidRequest, "Duplicate topic in request.")
		} else {
			err = m.expand(asked, req.ValidateOnly, bound)
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

func (m *machine) expand(asked *kmsg.CreatePartitionsRequestTopic, validateOnly bool, bound Bound) error {
	t := m.topics[asked.Topic]
	switch {
	case t == nil:
		return refusal(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", asked.Topic)
	case m.deleting[t.name]:
		return refusal(kerr.InvalidTopicException, "The topic is queued for deletion.")
	case slices.ContainsFunc(t.sorted(), func(p *partition) bool { return reassigning(p.assignment) }):
		return refusal(kerr.ReassignmentInProgress, "A partition reassignment is in progress for the topic '%s'.", t.name)
	}
	have := int32(len(t.partitions))
	switch {
	case asked.Count < have:
		return refusal(kerr.InvalidPartitions, "Topic currently has %d partitions, which is higher than the requested %d.", have, asked.Count)
	case asked.Count == have:
		return refusal(kerr.InvalidPartitions, "Topic already has %d partitions.", have)
	}
	first := t.partitions[0]
	if first == nil || len(first.assignment.Replicas) == 0 {
		return refusal(kerr.InvalidReplicaAssignment, "Unexpected existing replica assignment for topic '%s', partition id 0 is missing.", t.name)
	}
	var added map[int32]zookeeper.ReplicaAssignment
	var err error
	if asked.Assignment != nil {
		added, err = m.wantedMore(asked, have, len(first.assignment.Replicas))
	} else {
		added, err = m.assignMore(first.assignment, have, asked.Count-have)
	}
	if err == nil {
		err = t.fits(added)
	}
	if err != nil || validateOnly {
		return err
	}
	if err := within(bound, len(added)); err != nil {
		return err
	}
	if err := m.writeAssignments(t.name, added); conflict(err) {
		return refusal(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", t.name)
	} else if err != nil {
		return tooLargeToWrite(err)
	}
	read := zookeeper.TopicAssignment{ID: t.id, Version: t.version, Partitions: added}
	return m.topicsRead(map[string]zookeeper.TopicAssignment{t.name: read})
}

// fits refuses assignments of partitions, new ones among them, with which the topic's znode would be more than ZooKeeper takes at once.
//
// DEVIATION(ZooKeeper): see fitsTopic.
func (t *topic) fits(changed map[int32]zookeeper.ReplicaAssignment) error {
	next := zookeeper.TopicAssignment{ID: t.id, Partitions: maps.Clone(changed)}
	for n, p := range t.partitions { // unordered: into a map
		if _, changes := changed[n]; !changes {
			next.Partitions[n] = p.assignment
		}
	}
	if err := zookeeper.TopicFits(next, nil); err != nil {
		return refusal(kerr.InvalidPartitions, "The %d partitions of topic '%s' cannot be written: %v", len(next.Partitions), t.name, err)
	}
	return nil
}

// wantedMore takes the assignment that the request brings along.
func (m *machine) wantedMore(asked *kmsg.CreatePartitionsRequestTopic, have int32, factor int) (map[int32]zookeeper.ReplicaAssignment, error) {
	bad := func(format string, args ...any) (map[int32]zookeeper.ReplicaAssignment, error) {
		return nil, refusal(kerr.InvalidReplicaAssignment, format, args...)
	}
	for _, a := range asked.Assignment {
		for _, id := range a.Replicas {
			if _, up := m.brokers[id]; !up {
				return bad("Unknown broker(s) in replica assignment: %d.", id)
			}
		}
	}
	if int32(len(asked.Assignment)) != asked.Count-have {
		return bad("Increasing the number of partitions by %d but %d assignments provided.", asked.Count-have, len(asked.Assignment))
	}
	added := map[int32]zookeeper.ReplicaAssignment{}
	for i, a := range asked.Assignment {
		n := have + int32(i)
		switch {
		case len(a.Replicas) == 0:
			return bad("Cannot have replication factor of 0 for partition id %d.", n)
		case !distinctMembers(a.Replicas, a.Replicas):
			return bad("Duplicate brokers not allowed in replica assignment: %v for partition id %d.", a.Replicas, n)
		case len(a.Replicas) != factor:
			return bad("Inconsistent replication factor between partitions, partition 0 has %d while partition %d has %d.", factor, n, len(a.Replicas))
		}
		added[n] = zookeeper.ReplicaAssignment{Replicas: slices.Clone(a.Replicas)}
	}
	return added, nil
}
