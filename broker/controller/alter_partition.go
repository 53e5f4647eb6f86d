package controller

import (
	"errors"
	"slices"

	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// proposal is one partition of an AlterPartition request that passed its checks, and where its answer goes.
type proposal struct {
	*partition
	next        zookeeper.PartitionState
	emptyELR    bool // it is to have no eligible leader replicas
	topic, slot int  // in the response
}

// alterPartition decides a leader's proposals for its ISRs: all that pass are written in one go, and told to everybody
// (KafkaController#processAlterPartition; KIP-497, KIP-841, KIP-903).
func (m *machine) alterPartition(req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
	if b, up := m.brokers[req.BrokerID]; !up || b.Epoch != req.BrokerEpoch {
		resp.ErrorCode = kerr.StaleBrokerEpoch.Code
		return resp, nil
	}
	var passed []proposal
	for i := range req.Topics {
		asked := &req.Topics[i]
		rt := kmsg.NewAlterPartitionResponseTopic()
		rt.Topic, rt.TopidID = asked.Topic, asked.TopicID
		name, unknown := asked.Topic, kerr.UnknownTopicOrPartition
		if req.Version >= 2 {
			name, unknown = m.topicNames[asked.TopicID], kerr.UnknownTopicID
		}
		t := m.topics[name]
		for j := range asked.Partitions {
			rp := kmsg.NewAlterPartitionResponseTopicPartition()
			rp.Partition, rp.ErrorCode = asked.Partitions[j].Partition, unknown.Code
			if t != nil {
				p := t.partitions[rp.Partition]
				next, err := m.judge(req, &asked.Partitions[j], p)
				switch {
				case err != nil:
					rp.ErrorCode = err.Code
				case next == nil: // it is so already
					fillAnswer(&rp, p)
				default:
					passed = append(passed, proposal{p, *next, wire.EmptyELR(&asked.Partitions[j].UnknownTags), i, j})
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, m.write(passed, resp)
}

// judge checks one proposal: the state to write, nil if the partition is in it already, or why not.
func (m *machine) judge(req *kmsg.AlterPartitionRequest, asked *kmsg.AlterPartitionRequestTopicPartition, p *partition) (*zookeeper.PartitionState, *kerr.Error) {
	if p == nil || p.leadership == nil || m.deleting[p.tp.Topic] {
		markJudgeUnknownTopicOrPartition.Hit()
		return nil, kerr.UnknownTopicOrPartition
	}
	now := p.leadership
	isr := asked.NewISR
	if req.Version >= 3 {
		isr = nil
		for _, member := range asked.NewEpochISR {
			isr = append(isr, member.BrokerID)
		}
	}
	recovery := zookeeper.LeaderRecoveryState(asked.LeaderRecoveryState)
	switch {
	case asked.PartitionEpoch > now.PartitionEpoch || asked.LeaderEpoch > now.LeaderEpoch:
		markJudgeNotController.Hit()
		return nil, kerr.NotController // the leader knows more than we do: somebody else has been elected
	case asked.LeaderEpoch < now.LeaderEpoch:
		markJudgeFencedLeaderEpoch.Hit()
		return nil, kerr.FencedLeaderEpoch
	case now.Leader != req.BrokerID:
		markJudgeInvalidRequest.Hit()
		return nil, kerr.InvalidRequest
	case sameMembers(isr, now.ISR) && recovery == now.Recovery && !emptiesELR(asked, now):
		return nil, nil // before the partition epoch is looked at: a retry must not be refused
	case asked.PartitionEpoch != now.PartitionEpoch:
		markJudgeInvalidUpdateVersion.Hit()
		return nil, kerr.InvalidUpdateVersion
	case recovery == zookeeper.Recovering && (len(isr) > 1 || now.Recovery == zookeeper.Recovered):
		markJudgeInvalidRequest2.Hit()
		return nil, kerr.InvalidRequest
	case recovery != zookeeper.Recovering && recovery != zookeeper.Recovered,
		!slices.Contains(isr, req.BrokerID), !distinctMembers(isr, p.assignment.Replicas):
		markJudgeInvalidRequest3.Hit()
		return nil, kerr.InvalidRequest
	case !m.eligible(req, asked, isr):
		if req.Version < 2 {
			markJudgeOperationNotAttempted.Hit()
			return nil, kerr.OperationNotAttempted
		}
		markJudgeIneligibleReplica.Hit()
		return nil, kerr.IneligibleReplica
	}
	next := *now
	next.ISR, next.Recovery, next.ControllerEpoch = slices.Clone(isr), recovery, m.fence.Epoch
	return &next, nil
}

// emptiesELR reports whether it is asked that the partition have no eligible leader replicas any more, and it has some.
func emptiesELR(asked *kmsg.AlterPartitionRequestTopicPartition, now *zookeeper.PartitionState) bool {
	return wire.EmptyELR(&asked.UnknownTags) && len(now.ELR) > 0 && asked.PartitionEpoch == now.PartitionEpoch
}

// eligible reports whether every proposed member may be in an ISR: it is live, is not shutting down (KIP-841), and is
// still in the life that the leader saw fetching (KIP-903; epoch -1 is that of a leader that does not know).
func (m *machine) eligible(req *kmsg.AlterPartitionRequest, asked *kmsg.AlterPartitionRequestTopicPartition, isr []int32) bool {
	for _, id := range isr {
		if !m.live(id) {
			return false
		}
	}
	if req.Version >= 3 {
		for _, member := range asked.NewEpochISR {
			if member.BrokerEpoch >= 0 && member.BrokerEpoch != m.brokers[member.BrokerID].Epoch {
				return false
			}
		}
	}
	return true
}

// write puts proposals into ZooKeeper, then into the context, and fills in their answers.
func (m *machine) write(passed []proposal, resp *kmsg.AlterPartitionResponse) error {
	if len(passed) == 0 {
		return nil
	}
	var writes []zookeeper.PartitionWrite
	for _, c := range passed {
		writes = append(writes, zookeeper.PartitionWrite{TP: c.tp, State: c.next})
	}
	writes = m.stamped(writes, nil)
	for i, c := range passed {
		if c.emptyELR {
			markListEmptied.Hit()
			writes[i].State.ELR, writes[i].State.ELRMin = nil, 0
		}
	}
	results, err := m.store.UpdatePartitionStates(m.fence, writes)
	if err != nil {
		return err
	}
	var ps, stale []*partition
	for i, r := range results {
		c := passed[i]
		rp := &resp.Topics[c.topic].Partitions[c.slot]
		switch {
		case r.Err == nil:
			m.setLeadership(c.partition, r.State)
			m.emitISR(c.partition)
			fillAnswer(rp, c.partition)
			ps = append(ps, c.partition)
		case errors.Is(r.Err, zookeeper.ErrBadVersion):
			rp.ErrorCode = kerr.InvalidUpdateVersion.Code
			stale = append(stale, c.partition)
		default:
			rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
		}
	}
	if err := m.refresh(stale); err != nil {
		return err
	}
	m.addMetadata(append(ps, stale...))
	m.flush()
	return m.finishReassignments(append(ps, stale...)) // the answers say what was asked for; what comes of it is told by LeaderAndIsr
}

func fillAnswer(rp *kmsg.AlterPartitionResponseTopicPartition, p *partition) {
	s := p.leadership
	rp.ErrorCode, rp.LeaderID, rp.LeaderEpoch, rp.ISR = 0, s.Leader, s.LeaderEpoch, s.ISR
	rp.LeaderRecoveryState, rp.PartitionEpoch = int8(s.Recovery), s.PartitionEpoch
	wire.SetISRMin(&rp.UnknownTags, s.ELRMin)
}

// sameMembers compares two ISRs as sets.
func sameMembers(a, b []int32) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// distinctMembers reports whether ids has no member twice and none outside of replicas.
func distinctMembers(ids, replicas []int32) bool {
	isReplica := memberOf(replicas)
	if len(ids) > fewMembers {
		distinct := map[int32]bool{}
		for _, id := range ids {
			distinct[id] = true
		}
		return len(distinct) == len(ids) && !slices.ContainsFunc(ids, func(id int32) bool { return !isReplica(id) })
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) || !isReplica(id) {
			return false
		}
	}
	return true
}

// fewMembers are looked through one by one faster than a map is made of them. Clients may send hundreds of thousands.
const fewMembers = 32

// memberOf tells of an id whether it is in ids, which must not change meanwhile.
func memberOf(ids []int32) func(id int32) bool {
	if len(ids) <= fewMembers {
		return func(id int32) bool { return slices.Contains(ids, id) }
	}
	members := map[int32]bool{}
	for _, id := range ids {
		members[id] = true
	}
	return func(id int32) bool { return members[id] }
}
