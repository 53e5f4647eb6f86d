package client

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Assignors by their names in Kafka.
const (
	Range             = "range"
	RoundRobin        = "roundrobin"
	Sticky            = "sticky"
	CooperativeSticky = "cooperative-sticky"
)

// cooperative reports whether members keep their partitions through a rebalance of this protocol.
func cooperative(protocol string) bool { return protocol == CooperativeSticky }

// subscriber is a member as an assignor sees it.
type subscriber struct {
	id         string
	instance   *string
	topics     []string
	owned      []wire.TopicPartition // sorted; what it had in generation
	generation int32                 // -1 where it does not say
	assigned   []wire.TopicPartition
}

// compareSubscribers orders members as assignors take them: static ones first, by instance, then by id (MemberInfo#compareTo).
func compareSubscribers(a, b *subscriber) int {
	switch {
	case a.instance != nil && b.instance != nil:
		return strings.Compare(*a.instance, *b.instance)
	case a.instance != nil:
		return -1
	case b.instance != nil:
		return 1
	}
	return strings.Compare(a.id, b.id)
}

// assign makes the plan of a generation, as its leader.
func (m *Member) assign(joined *kmsg.JoinGroupResponse) ([]kmsg.SyncGroupRequestGroupAssignment, error) {
	var members []*subscriber
	var topics []string
	for _, in := range joined.Members {
		s, err := parseSubscription(in, *joined.Protocol)
		if err != nil {
			return nil, err
		}
		members = append(members, s)
		topics = append(topics, s.topics...)
	}
	slices.SortFunc(members, compareSubscribers)
	slices.Sort(topics)
	topics = slices.Compact(topics)
	partitions, err := m.partitionsOf(topics)
	if err != nil {
		return nil, err
	}
	switch *joined.Protocol {
	case RoundRobin:
		assignRoundRobin(members, partitions)
	case Sticky:
		assignSticky(members, partitions)
	case CooperativeSticky:
		assignSticky(members, partitions)
		withholdOwned(members)
	default:
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

// parseSubscription reads what a member says to the assignor. What a sticky one owned stands in its user data, and a cooperative one's generation may
// (CooperativeStickyAssignor#memberData, StickyAssignor#memberData).
func parseSubscription(in kmsg.JoinGroupResponseMember, protocol string) (*subscriber, error) {
	var said kmsg.ConsumerMemberMetadata
	said.Default()
	if err := said.ReadFrom(in.ProtocolMetadata); err != nil {
		return nil, fmt.Errorf("subscription of %s: %w", in.MemberID, err)
	}
	s := &subscriber{id: in.MemberID, instance: in.InstanceID, topics: said.Topics, generation: said.Generation}
	for _, o := range said.OwnedPartitions {
		for _, p := range o.Partitions {
			s.owned = append(s.owned, wire.TopicPartition{Topic: o.Topic, Partition: p})
		}
	}
	switch {
	case protocol == Sticky:
		s.owned, s.generation = parseStickyUserData(said.UserData)
	case protocol == CooperativeSticky && said.Version < 2 && len(said.UserData) >= 4:
		s.generation = int32(binary.BigEndian.Uint32(said.UserData))
	}
	slices.SortFunc(s.owned, wire.TopicPartition.Compare)
	return s, nil
}

// stickyUserData is what the sticky assignor says of what a member owned (StickyAssignorUserDataV1, KIP-341).
func stickyUserData(owned []wire.TopicPartition, generation int32) []byte {
	data := kmsg.NewStickyMemberMetadata()
	data.Generation = generation
	for _, tp := range owned {
		if n := len(data.CurrentAssignment); n == 0 || data.CurrentAssignment[n-1].Topic != tp.Topic {
			data.CurrentAssignment = append(data.CurrentAssignment, kmsg.StickyMemberMetadataCurrentAssignment{Topic: tp.Topic})
		}
		last := &data.CurrentAssignment[len(data.CurrentAssignment)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	return data.AppendTo(nil)
}

// parseStickyUserData reads it; version 0 has no generation, and what cannot be read owned nothing.
func parseStickyUserData(data []byte) (owned []wire.TopicPartition, generation int32) {
	said := kmsg.NewStickyMemberMetadata()
	if len(data) == 0 || said.ReadFrom(data) != nil {
		return nil, -1
	}
	for _, t := range said.CurrentAssignment {
		for _, p := range t.Partitions {
			owned = append(owned, wire.TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	return owned, said.Generation
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
