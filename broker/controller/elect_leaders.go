package controller

import (
	"slices"
	"time"

	"barnabas/broker/metadata"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Election types of ElectLeaders; there are no others (ElectionType).
const (
	ElectionPreferred int8 = 0
	ElectionUnclean   int8 = 1
)

// ElectLeaders elects the preferred replicas of partitions, or, uncleanly, any live replica of those that have no leader,
// v0 to v2 (KIP-183, KIP-460), and waits up to the request's time-out until this broker knows the new leaders. Null
// topics are all partitions; then those that need no election are left out of the answer.
//
// Source: KafkaApis#handleElectLeaders, KafkaController#processReplicaLeaderElection.
func (c *Controller) ElectLeaders(req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	deadline := c.o.Env.Mono().Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	expected := map[wire.TopicPartition]int32{}
	resp := ask(c, "elect leaders", max(deadline, c.decisionDeadline()),
		func(m *machine) (*kmsg.ElectLeadersResponse, error) { return m.electAsked(req, expected) },
		func(code int16) *kmsg.ElectLeadersResponse { return c.refusedElection(req, code) })
	if c.o.Metadata == nil || resp.ErrorCode != 0 {
		return resp
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			rp := &resp.Topics[i].Partitions[j]
			tp := wire.TopicPartition{Topic: resp.Topics[i].Topic, Partition: rp.Partition}
			leader, elected := expected[tp]
			if !elected || rp.ErrorCode != 0 {
				continue
			}
			known := func(s *metadata.Snapshot) bool {
				p := s.Partition(tp)
				return p != nil && p.Leader == leader
			}
			if req.TimeoutMillis <= 0 || !c.o.Metadata.WaitUntil(deadline, known) {
				rp.ErrorCode = kerr.RequestTimedOut.Code
			}
		}
	}
	return resp
}

// refusedElection answers every partition that is asked for with the code, and the whole with none, as Kafka does.
func (c *Controller) refusedElection(req *kmsg.ElectLeadersRequest, code int16) *kmsg.ElectLeadersResponse {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	if req.Topics == nil && c.o.Metadata != nil {
		for _, t := range c.o.Metadata.Snapshot().Topics() {
			for _, p := range t.Partitions {
				answerElection(resp, p.TP, kerr.ErrorForCode(code))
			}
		}
	}
	for _, t := range req.Topics {
		for _, n := range t.Partitions {
			answerElection(resp, wire.TopicPartition{Topic: t.Topic, Partition: n}, kerr.ErrorForCode(code))
		}
	}
	return resp
}

// answerElection adds a partition's answer; those of one topic come one after the other.
func answerElection(resp *kmsg.ElectLeadersResponse, tp wire.TopicPartition, err error) {
	if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != tp.Topic {
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = tp.Topic
		resp.Topics = append(resp.Topics, rt)
	}
	rp := kmsg.NewElectLeadersResponseTopicPartition()
	rp.Partition = tp.Partition
	if err != nil {
		text := err.Error()
		rp.ErrorCode, rp.ErrorMessage = wire.Code(err), &text
	}
	rt := &resp.Topics[len(resp.Topics)-1]
	rt.Partitions = append(rt.Partitions, rp)
}

// electAsked holds the elections of a request, and tells the leaders of those that took place.
func (m *machine) electAsked(req *kmsg.ElectLeadersRequest, expected map[wire.TopicPartition]int32) (*kmsg.ElectLeadersResponse, error) {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	var tps []wire.TopicPartition
	for _, t := range req.Topics {
		for _, n := range t.Partitions {
			tps = append(tps, wire.TopicPartition{Topic: t.Topic, Partition: n})
		}
	}
	if req.Topics == nil {
		for _, p := range m.partitions() {
			tps = append(tps, p.tp)
		}
	}
	slices.SortFunc(tps, wire.TopicPartition.Compare)
	why := electPreferred
	if req.ElectionType == ElectionUnclean {
		why = electUnclean
	}
	errs, err := m.holdElections(slices.Compact(tps), why)
	if err != nil {
		return nil, err
	}
	for _, tp := range slices.Compact(tps) {
		answer := errs[tp]
		if answer == nil {
			expected[tp] = m.partition(tp).leadership.Leader
		}
		if req.Topics != nil || wire.Code(answer) != kerr.ElectionNotNeeded.Code {
			answerElection(resp, tp, answer)
		}
	}
	return resp, nil
}

// holdElections holds elections where they are needed and possible; the result says for the others why not.
func (m *machine) holdElections(tps []wire.TopicPartition, why election) (map[wire.TopicPartition]error, error) {
	errs := map[wire.TopicPartition]error{}
	epochs := map[*partition]int32{}
	var ps []*partition
	for _, tp := range tps {
		p := m.partition(tp)
		switch {
		case p == nil:
			errs[tp] = refusal(kerr.UnknownTopicOrPartition, "The partition does not exist.")
		case m.deleting[tp.Topic]:
			errs[tp] = refusal(kerr.InvalidTopicException, "The topic is being deleted")
		case p.leadership != nil && !m.electionNeeded(p, why):
			errs[tp] = refusal(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")
		default:
			ps = append(ps, p)
			if p.leadership != nil {
				epochs[p] = p.leadership.LeaderEpoch
			}
		}
	}
	if err := m.electLeaders(ps, why); err != nil {
		return nil, err
	}
	for _, p := range ps {
		before, had := epochs[p]
		switch {
		case had && p.leadership.LeaderEpoch > before && p.leadership.Leader >= 0:
		case why == electPreferred:
			errs[p.tp] = refusal(kerr.PreferredLeaderNotAvailable, "Failed to elect leader for partition %s: the preferred replica is not live, or not in the ISR.", p.tp)
		default:
			errs[p.tp] = refusal(kerr.EligibleLeadersNotAvailable, "Failed to elect leader for partition %s: no replica is live.", p.tp)
		}
	}
	if err := m.finishReassignments(ps); err != nil { // an unclean election may have brought the target into the ISR
		return nil, err
	}
	m.flush()
	return errs, nil
}

func (m *machine) electionNeeded(p *partition, why election) bool {
	if why == electPreferred {
		return len(p.assignment.Replicas) > 0 && p.leadership.Leader != p.assignment.Replicas[0]
	}
	return !m.leaderOnline(p)
}

// preferredAsked holds the elections that an old tool has asked for in /admin/preferred_replica_election.
func (m *machine) preferredAsked(tps []wire.TopicPartition) error {
	slices.SortFunc(tps, wire.TopicPartition.Compare)
	if _, err := m.holdElections(slices.Compact(tps), electPreferred); err != nil {
		return err
	}
	return m.store.ClearPreferredElection(m.fence)
}

// balance moves leaders back to the preferred replicas of brokers that lead too few of those partitions that they
// should lead (KafkaController#checkAndTriggerAutoLeaderRebalance).
//
// Example: with 10 percent allowed, a broker that is the first replica of 20 partitions may be without the leadership of
// 2; with 3, all of them that can be are moved.
func (m *machine) balance() error {
	preferred, away := map[int32]int{}, map[int32][]*partition{}
	for _, p := range m.partitions() {
		if len(p.assignment.Replicas) == 0 || m.deleting[p.tp.Topic] {
			continue
		}
		first := p.assignment.Replicas[0]
		preferred[first]++
		if p.leadership != nil && p.leadership.Leader != first {
			away[first] = append(away[first], p)
		}
	}
	var tps []wire.TopicPartition
	for _, id := range sortedKeys(away) {
		if len(away[id])*100 <= m.config.LeaderImbalancePercentage*preferred[id] {
			continue
		}
		for _, p := range away[id] {
			if m.online(id, p.tp) && slices.Contains(p.leadership.ISR, id) {
				tps = append(tps, p.tp)
			}
		}
	}
	if len(tps) == 0 {
		return nil
	}
	slices.SortFunc(tps, wire.TopicPartition.Compare)
	_, err := m.holdElections(tps, electPreferred)
	return err
}

// uncleanAllowed tries again to find leaders, since unclean elections may be allowed by now: for one topic, or for all with "".
func (m *machine) uncleanAllowed(topic string) error {
	ps := m.partitionsWhere(func(p *partition) bool {
		return (topic == "" || p.tp.Topic == topic) && p.phase == partitionOffline && !m.deleting[p.tp.Topic]
	})
	if err := m.partitionsOnline(ps, electOffline); err != nil {
		return err
	}
	m.flush()
	return nil
}
