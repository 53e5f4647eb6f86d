package client

import (
	"fmt"
	"slices"
	"strings"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Assignors by their names in Kafka.
const (
	Range             = "range"
	CooperativeSticky = "cooperative-sticky"
)

// subscriber is a member as an assignor sees it.
type subscriber struct {
	id       string
	topics   []string
	owned    []wire.TopicPartition
	assigned []wire.TopicPartition
}

// assign makes the plan of a generation, as its leader.
func (m *Member) assign(joined *kmsg.JoinGroupResponse) ([]kmsg.SyncGroupRequestGroupAssignment, error) {
	var members []*subscriber
	var topics []string
	for _, in := range joined.Members {
		var said kmsg.ConsumerMemberMetadata
		if err := said.ReadFrom(in.ProtocolMetadata); err != nil {
			return nil, fmt.Errorf("subscription of %s: %w", in.MemberID, err)
		}
		s := &subscriber{id: in.MemberID, topics: said.Topics}
		for _, o := range said.OwnedPartitions {
			for _, p := range o.Partitions {
				s.owned = append(s.owned, wire.TopicPartition{Topic: o.Topic, Partition: p})
			}
		}
		members = append(members, s)
		topics = append(topics, said.Topics...)
	}
	slices.SortFunc(members, func(a, b *subscriber) int { return strings.Compare(a.id, b.id) })
	slices.Sort(topics)
	topics = slices.Compact(topics)
	partitions, err := m.partitionsOf(topics)
	if err != nil {
		return nil, err
	}
	if *joined.Protocol == CooperativeSticky {
		assignSticky(members, partitions)
	} else {
		assignRange(members, topics, partitions)
	}
	var plan []kmsg.SyncGroupRequestGroupAssignment
	for _, s := range members {
		out := kmsg.NewSyncGroupRequestGroupAssignment()
		out.MemberID, out.MemberAssignment = s.id, s.encode()
		plan = append(plan, out)
	}
	return plan, nil
}

// partitionsOf lists the partitions of topics, sorted, waiting for metadata for a while; topics that do not exist have none.
func (m *Member) partitionsOf(topics []string) ([]wire.TopicPartition, error) {
	deadline := m.e.Mono().Add(m.o.Session)
	for _, topic := range topics {
		for {
			known := m.c.Metadata()
			if known.Topic(topic) != nil {
				break
			}
			if err := m.c.await(known, []string{topic}, deadline); err != nil {
				return nil, fmt.Errorf("metadata of %s: %w", topic, err)
			}
		}
	}
	var list []wire.TopicPartition
	for _, topic := range topics {
		for p := range m.c.Metadata().Topic(topic).Partitions {
			list = append(list, wire.TopicPartition{Topic: topic, Partition: int32(p)})
		}
	}
	return list, nil
}

func (s *subscriber) encode() []byte {
	slices.SortFunc(s.assigned, wire.TopicPartition.Compare)
	a := kmsg.NewConsumerMemberAssignment()
	for _, tp := range s.assigned {
		if n := len(a.Topics); n == 0 || a.Topics[n-1].Topic != tp.Topic {
			a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: tp.Topic})
		}
		t := &a.Topics[len(a.Topics)-1]
		t.Partitions = append(t.Partitions, tp.Partition)
	}
	return a.AppendTo(nil)
}

// assignRange gives each topic's partitions, in order, to its readers in order of their ids, the first ones one more where it does not come out
// even: 5 partitions and members a, b make a 0-2, b 3-4. Source: RangeAssignor.
func assignRange(members []*subscriber, topics []string, partitions []wire.TopicPartition) {
	for _, topic := range topics {
		var readers []*subscriber
		for _, s := range members {
			if slices.Contains(s.topics, topic) {
				readers = append(readers, s)
			}
		}
		var of []wire.TopicPartition
		for _, tp := range partitions {
			if tp.Topic == topic {
				of = append(of, tp)
			}
		}
		for i, s := range readers {
			s.assigned = append(s.assigned, rangeShare(of, i, len(readers))...)
		}
	}
}

// rangeShare is the i-th of n members' run of partitions.
func rangeShare(of []wire.TopicPartition, i, n int) []wire.TopicPartition {
	each, more := len(of)/n, len(of)%n
	start := i*each + min(i, more)
	end := start + each
	if i < more {
		end++
	}
	return of[start:end]
}

// assignSticky lets members keep what they own as far as that is even, and gives the rest to those with least. What is taken from one member
// goes to nobody in this generation: its owner gives it up and joins again, and only then is it given away (KIP-429).
//
// Source: CooperativeStickyAssignor; balance is by number, like its constrained algorithm's.
func assignSticky(members []*subscriber, partitions []wire.TopicPartition) {
	owner := map[wire.TopicPartition]*subscriber{}
	for _, s := range members {
		for _, tp := range s.owned {
			if owner[tp] == nil {
				owner[tp] = s
			} else {
				owner[tp] = nil // two say they own it: both must prove it by joining again
			}
		}
	}
	least, more := len(partitions)/len(members), len(partitions)%len(members)
	quota := func(s *subscriber) int {
		full := 0 // members that have one more than the least
		for _, other := range members {
			if other != s && len(other.assigned) > least {
				full++
			}
		}
		if full < more {
			return least + 1
		}
		return least
	}
	var free []wire.TopicPartition
	for _, tp := range partitions {
		s := owner[tp]
		if s != nil && slices.Contains(s.topics, tp.Topic) && len(s.assigned) < quota(s) {
			s.assigned = append(s.assigned, tp)
		} else {
			free = append(free, tp)
		}
	}
	for _, tp := range free {
		var to *subscriber
		for _, s := range members {
			if slices.Contains(s.topics, tp.Topic) && (to == nil || len(s.assigned) < len(to.assigned)) {
				to = s
			}
		}
		if to != nil {
			to.assigned = append(to.assigned, tp)
		}
	}
	for _, s := range members {
		s.assigned = slices.DeleteFunc(s.assigned, func(tp wire.TopicPartition) bool {
			return slices.ContainsFunc(members, func(other *subscriber) bool { return other != s && slices.Contains(other.owned, tp) })
		})
	}
}
