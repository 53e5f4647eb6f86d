package group

import (
	"encoding/binary"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is the topic that groups live in.
const Topic = "__consumer_offsets"

// Versions of the records that we write: those of Kafka 3.9. An offset with an expiry of its own is of version 1, the only one that
// holds it.
const (
	offsetKeyVersion          = 1
	offsetValueVersion        = 3
	offsetValueVersionExpires = 1
	groupKeyVersion           = 2
	groupValueVersion         = 3
)

func offsetKey(group string, key wire.TopicPartition) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: group, Topic: key.Topic, Partition: key.Partition}
	return k.AppendTo(nil)
}

func offsetValue(o *Offset) []byte {
	v := kmsg.OffsetCommitValue{Version: offsetValueVersion, Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata,
		CommitTimestamp: o.Committed, ExpireTimestamp: o.Expires}
	if o.Expires >= 0 {
		v.Version = offsetValueVersionExpires
	}
	return v.AppendTo(nil)
}

func groupKey(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: group}
	return k.AppendTo(nil)
}

// entry is a record of __consumer_offsets, read. Exactly one of offset and isGroup says what it is.
type entry struct {
	group   string
	isGroup bool
	offset  *wire.TopicPartition
	value   []byte // nil: a tombstone
}

// parseEntry reads a record's key. known is false for a kind of record that is of a later Kafka.
func parseEntry(key, value []byte) (e entry, known bool, err error) {
	if len(key) < 2 {
		return entry{}, false, fmt.Errorf("a key of %d bytes", len(key))
	}
	switch version := int16(binary.BigEndian.Uint16(key)); version {
	case 0, offsetKeyVersion:
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(key); err != nil {
			return entry{}, false, fmt.Errorf("offset key: %w", err)
		}
		return entry{group: k.Group, offset: &wire.TopicPartition{Topic: k.Topic, Partition: k.Partition}, value: value}, true, nil
	case groupKeyVersion:
		var k kmsg.GroupMetadataKey
		if err := k.ReadFrom(key); err != nil {
			return entry{}, false, fmt.Errorf("group key: %w", err)
		}
		return entry{group: k.Group, isGroup: true, value: value}, true, nil
	default:
		return entry{}, false, nil
	}
}

func parseOffset(key wire.TopicPartition, value []byte, at int64) (Offset, error) {
	var v kmsg.OffsetCommitValue
	v.Default()
	v.ExpireTimestamp = -1
	if err := v.ReadFrom(value); err != nil {
		return Offset{}, fmt.Errorf("offset of %s: %w", key, err)
	}
	o := Offset{TP: key, Offset: v.Offset, LeaderEpoch: -1, Metadata: v.Metadata, Committed: v.CommitTimestamp, Expires: -1, at: at}
	if v.Version >= 3 {
		o.LeaderEpoch = v.LeaderEpoch
	}
	if v.Version == offsetValueVersionExpires {
		o.Expires = v.ExpireTimestamp
	}
	return o, nil
}

// load makes a group from its record. Its members' sessions begin now: they cannot have told this broker that they live.
// Source: GroupMetadataManager.readGroupMessageValue, GroupMetadata.loadGroup.
func load(id string, value []byte, limits Limits, now Now) (*Group, error) {
	var v kmsg.GroupMetadataValue
	v.Default()
	if err := v.ReadFrom(value); err != nil {
		return nil, fmt.Errorf("group %s: %w", id, err)
	}
	g := New(id, limits, now)
	g.stateSince, g.generation, g.protocolType = v.CurrentStateTimestamp, v.Generation, v.ProtocolType
	if v.Version < 2 {
		g.stateSince = -1
	}
	if len(v.Members) == 0 {
		return g, nil
	}
	if v.Protocol != nil {
		g.protocol = *v.Protocol
	}
	if v.Leader != nil {
		g.leader = *v.Leader
	}
	g.state, g.inherited = Stable, true
	for i := range v.Members {
		in := &v.Members[i]
		m := &member{id: in.MemberID, clientID: in.ClientID, clientHost: in.ClientHost, instance: in.InstanceID,
			session: time.Duration(in.SessionTimeoutMillis) * time.Millisecond, rebalance: time.Duration(in.RebalanceTimeoutMillis) * time.Millisecond,
			protocols: []Protocol{{Name: g.protocol, Metadata: in.Subscription}}, assignment: in.Assignment}
		if v.Version == 0 {
			m.rebalance = m.session
		}
		if g.member(m.id) != nil {
			return nil, fmt.Errorf("group %s has member %s twice", id, m.id)
		}
		g.add(m)
		m.deadline = env.Never
	}
	g.computeSubscribed()
	g.written = &v
	return g, nil
}

// loaded starts the sessions of a group that has just been loaded. A group with more members than are allowed by now is
// rebalanced to size. Source: GroupCoordinator#onGroupLoaded.
func (g *Group) loaded(now Now) {
	for _, m := range g.members {
		g.beat(m, now)
	}
	if len(g.members) > g.limits.SizeMax && g.state == Stable {
		g.prepareRebalance(now)
	}
}
