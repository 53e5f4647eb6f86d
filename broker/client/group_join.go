package client

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// join takes part in one rebalance, from giving up partitions to reading the new ones. An eager member gives everything up before it
// joins; a cooperative one gives up what it was not assigned again, and then joins once more (KIP-429).
func (m *Member) join() error {
	if !cooperative(m.protocol) && !m.o.KeepRevoked {
		m.revoking(m.owned)
		m.giveUp(m.owned)
	}
	m.mu.Lock()
	before := m.id
	m.joined = false
	lost, fatal := m.lost, m.fatal
	m.mu.Unlock()
	if fatal != nil {
		return fatal
	}
	if lost {
		return kerr.UnknownMemberID // found out while it committed
	}
	joined, err := m.sendJoin()
	if err != nil {
		return err
	}
	m.mu.Lock()
	same := before == m.id
	m.mu.Unlock()
	if len(m.taken) > 0 {
		m.agreed(same)
	}
	assignment, err := m.sendSync(joined)
	if err != nil {
		return err
	}
	return m.take(joined, assignment)
}

func (m *Member) sendJoin() (*kmsg.JoinGroupResponse, error) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType, req.InstanceID = 7, m.o.Group, "consumer", m.instance()
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(m.o.Session.Milliseconds()), int32(m.o.Rebalance.Milliseconds())
	for _, name := range m.o.Assignors {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, m.subscription(name)
		req.Protocols = append(req.Protocols, p)
	}
	for range 2 { // the second time with the id that the first was answered with (KIP-394)
		m.mu.Lock()
		req.MemberID = m.id
		m.mu.Unlock()
		resp, err := m.ask(req, m.o.Rebalance+5*time.Second)
		if err != nil {
			return nil, err
		}
		r := resp.(*kmsg.JoinGroupResponse)
		err = kerr.ErrorForCode(r.ErrorCode)
		if err == kerr.MemberIDRequired {
			m.mu.Lock()
			m.id = r.MemberID
			m.mu.Unlock()
			continue
		}
		if err != nil {
			m.heed(err)
			return nil, fmt.Errorf("join group %s: %w", m.o.Group, err)
		}
		m.mu.Lock()
		m.id, m.generation = r.MemberID, r.Generation
		m.rejoin = false
		m.mu.Unlock()
		return r, nil
	}
	return nil, fmt.Errorf("join group %s: %w", m.o.Group, kerr.MemberIDRequired)
}

// subscription is what the member says to the assignor (ConsumerProtocolSubscription v2: v1 what it owns, KIP-429, v2 since when, KIP-792).
func (m *Member) subscription(assignor string) []byte {
	said := kmsg.NewConsumerMemberMetadata()
	said.Version, said.Topics, said.Generation = 2, slices.Sorted(slices.Values(m.o.Topics)), m.lastIn
	switch assignor {
	case Sticky:
		said.UserData = stickyUserData(m.last, m.lastIn)
	case CooperativeSticky:
		said.UserData = binary.BigEndian.AppendUint32(nil, uint32(m.lastIn))
	}
	for _, tp := range m.owned {
		if n := len(said.OwnedPartitions); n == 0 || said.OwnedPartitions[n-1].Topic != tp.Topic {
			said.OwnedPartitions = append(said.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: tp.Topic})
		}
		last := &said.OwnedPartitions[len(said.OwnedPartitions)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	return said.AppendTo(nil)
}

func (m *Member) sendSync(joined *kmsg.JoinGroupResponse) ([]wire.TopicPartition, error) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation, req.InstanceID = 5, m.o.Group, joined.MemberID, joined.Generation, m.instance()
	req.ProtocolType, req.Protocol = joined.ProtocolType, joined.Protocol
	if joined.LeaderID == joined.MemberID {
		plan, err := m.assign(joined)
		if err != nil {
			return nil, err
		}
		req.GroupAssignment = plan
	}
	resp, err := m.ask(req, m.o.Rebalance+5*time.Second)
	if err == nil {
		r := resp.(*kmsg.SyncGroupResponse)
		if err = kerr.ErrorForCode(r.ErrorCode); err == nil {
			return parseAssignment(r.MemberAssignment)
		}
		m.heed(err)
	}
	m.mu.Lock()
	m.rejoin = true
	m.mu.Unlock()
	return nil, fmt.Errorf("sync group %s: %w", m.o.Group, err)
}

func parseAssignment(data []byte) ([]wire.TopicPartition, error) {
	var list []wire.TopicPartition
	if len(data) == 0 {
		return nil, nil
	}
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(data); err != nil {
		return nil, fmt.Errorf("assignment: %w", err)
	}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			list = append(list, wire.TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	slices.SortFunc(list, wire.TopicPartition.Compare)
	return list, nil
}

// take makes the assignment the member's own: gives up what is not in it, and begins with what is new, from the committed offset.
func (m *Member) take(joined *kmsg.JoinGroupResponse, assigned []wire.TopicPartition) error {
	m.protocol = *joined.Protocol
	kept := slices.Clone(m.owned)
	if m.o.KeepRevoked {
		assigned = append(slices.Clone(assigned), kept...)
		slices.SortFunc(assigned, wire.TopicPartition.Compare)
		assigned = slices.Compact(assigned)
	}
	gone := slices.DeleteFunc(slices.Clone(kept), func(tp wire.TopicPartition) bool { return slices.Contains(assigned, tp) })
	m.mu.Lock()
	m.joined = true
	m.mu.Unlock()
	if len(gone) > 0 {
		m.revoking(gone)
	}
	m.giveUp(gone)
	// What is kept was owned in the last generation up to here, and is owned in this one from here on.
	m.taken = append(m.taken, m.owned...)
	m.agreed(true)
	fresh := slices.DeleteFunc(slices.Clone(assigned), func(tp wire.TopicPartition) bool { return slices.Contains(kept, tp) })
	offsets, err := m.committed(fresh)
	if err != nil {
		assigned = slices.DeleteFunc(assigned, func(tp wire.TopicPartition) bool { return slices.Contains(fresh, tp) })
	}
	m.ownedIn = joined.Generation
	m.owned = assigned
	m.last, m.lastIn = slices.Clone(assigned), joined.Generation
	if m.o.Listener.Assigned != nil && len(assigned) > 0 {
		m.o.Listener.Assigned(joined.MemberID, joined.Generation, assigned)
	}
	for i, tp := range fresh {
		if err == nil {
			m.k.Assign(tp, offsets[i])
		}
	}
	if err != nil || len(gone) > 0 {
		m.mu.Lock()
		m.rejoin = true
		m.mu.Unlock()
	}
	return err
}

// committed reads the group's offsets, stable ones (KIP-447); Earliest where there is none.
func (m *Member) committed(partitions []wire.TopicPartition) ([]int64, error) {
	offsets := make([]int64, len(partitions))
	if len(partitions) == 0 {
		return offsets, nil
	}
	deadline := m.e.Mono().Add(m.o.Session)
	for attempt := 0; ; attempt++ {
		err := m.fetchCommitted(partitions, offsets)
		if err == nil || !m.pause(attempt, deadline) {
			return offsets, err
		}
	}
}

func (m *Member) fetchCommitted(partitions []wire.TopicPartition, offsets []int64) error {
	req := offsetFetchRequest(m.o.Group, partitions)
	called := m.e.Mono()
	resp, err := m.ask(req, m.o.Session/2)
	if err != nil {
		return err
	}
	r := resp.(*kmsg.OffsetFetchResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		m.heed(err)
		return fmt.Errorf("offsets of group %s: %w", m.o.Group, err)
	}
	found, err := fetchedOffsets(r, partitions)
	if err != nil {
		return fmt.Errorf("offsets of group %s: %w", m.o.Group, err)
	}
	copy(offsets, found)
	for i, tp := range partitions {
		if m.o.Listener.Fetched != nil {
			m.o.Listener.Fetched(tp, offsets[i], called, m.e.Mono())
		}
		if offsets[i] < 0 {
			offsets[i] = Earliest
		}
	}
	return nil
}
