package zookeeper

import (
	"maps"
	"slices"
	"strconv"

	"barnabas/broker/wire"
)

// ReplicaAssignment is where the replicas of one partition are, in order of preference (ReplicaAssignment).
type ReplicaAssignment struct {
	Replicas []int32 // those that are being added and removed included
	Adding   []int32 // by a reassignment in progress
	Removing []int32
}

// TopicAssignment is the content of /brokers/topics/T (TopicZNode, version 3).
type TopicAssignment struct {
	ID         [16]byte // zero if the znode has none, as before Kafka 2.8
	Partitions map[int32]ReplicaAssignment
	Version    int32 // of the znode; not in the JSON
}

type topicJSON struct {
	Partitions hashedMap[[]int32] `json:"partitions"`
	TopicID    *string            `json:"topic_id,omitempty"`
	Adding     hashedMap[[]int32] `json:"adding_replicas"`
	Removing   hashedMap[[]int32] `json:"removing_replicas"`
	Version    int                `json:"version"`
}

// EncodeTopic writes the content of /brokers/topics/T.
func EncodeTopic(t TopicAssignment) []byte {
	j := topicJSON{hashedMap[[]int32]{}, nil, hashedMap[[]int32]{}, hashedMap[[]int32]{}, 3}
	if t.ID != ([16]byte{}) {
		id := FormatTopicID(t.ID)
		j.TopicID = &id
	}
	for partition, r := range t.Partitions {
		key := strconv.Itoa(int(partition))
		j.Partitions[key] = ids(r.Replicas)
		if len(r.Adding) > 0 {
			j.Adding[key] = r.Adding
		}
		if len(r.Removing) > 0 {
			j.Removing[key] = r.Removing
		}
	}
	return encodeJSON(j)
}

// DecodeTopic reads /brokers/topics/T, versions 1 to 3.
func DecodeTopic(topic string, data []byte) (TopicAssignment, error) {
	path := PathTopic(topic)
	var j topicJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return TopicAssignment{}, err
	}
	if j.Version < 1 || j.Version > 3 {
		return TopicAssignment{}, malformed(path, "version %d", j.Version)
	}
	if err := required(path, "partitions", j.Partitions != nil); err != nil {
		return TopicAssignment{}, err
	}
	t := TopicAssignment{Partitions: map[int32]ReplicaAssignment{}}
	if j.TopicID != nil {
		id, err := ParseTopicID(*j.TopicID)
		if err != nil {
			return TopicAssignment{}, malformed(path, "field \"topic_id\": %v", err)
		}
		t.ID = id
	}
	for _, key := range slices.Sorted(maps.Keys(j.Partitions)) {
		n, err := strconv.ParseInt(key, 10, 32)
		if err != nil || n < 0 {
			return TopicAssignment{}, malformed(path, "partition %q", key)
		}
		t.Partitions[int32(n)] = ReplicaAssignment{Replicas: j.Partitions[key], Adding: j.Adding[key], Removing: j.Removing[key]}
	}
	return t, nil
}

// LeaderRecoveryState tells whether a partition's leader was elected uncleanly and has not yet recovered (KIP-704).
type LeaderRecoveryState int8

const (
	Recovered  LeaderRecoveryState = 0
	Recovering LeaderRecoveryState = 1
)

// PartitionState is the content of /brokers/topics/T/partitions/P/state (LeaderIsrAndControllerEpoch).
type PartitionState struct {
	Leader          int32 // -1: none
	LeaderEpoch     int32
	ISR             []int32
	Recovery        LeaderRecoveryState
	ControllerEpoch int32 // of the controller that wrote it
	PartitionEpoch  int32 // version of the znode; not in the JSON
	// ISREpochs are the broker epochs in which the members of the ISR were known to be in it, by id; what is not known is
	// missing. Kafka neither writes the field nor minds it.
	ISREpochs map[int32]int64
	// ELR are the eligible leader replicas: who left the ISR while it was below ELRMin and so has everything that is committed,
	// each with the broker epoch in which it was known to be in the ISR (KIP-966; decision 001). While it has anybody the leader
	// commits nothing unless so many are in the ISR as ELRMin says; without anybody that is 0. Nobody is in both. Kafka
	// neither writes the fields nor minds them.
	ELR    map[int32]int64
	ELRMin int
}

// Equal compares everything but the partition epoch.
func (s PartitionState) Equal(o PartitionState) bool {
	return s.Leader == o.Leader && s.LeaderEpoch == o.LeaderEpoch && slices.Equal(s.ISR, o.ISR) &&
		s.Recovery == o.Recovery && s.ControllerEpoch == o.ControllerEpoch
}

type stateJSON struct {
	ControllerEpoch *int32  `json:"controller_epoch"`
	Leader          *int32  `json:"leader"`
	Version         int     `json:"version"`
	Recovery        *int8   `json:"leader_recovery_state,omitempty"`
	LeaderEpoch     *int32  `json:"leader_epoch"`
	ISR             []int32 `json:"isr"`

	ISREpochs map[int32]int64 `json:"barnabas_isr_epochs,omitempty"`
	ELR       map[int32]int64 `json:"barnabas_elr,omitempty"`
	ELRMin    int             `json:"barnabas_elr_min,omitempty"`
}

// EncodePartitionState writes the content of a partition's state znode, version 1.
func EncodePartitionState(s PartitionState) []byte {
	j := stateJSON{ControllerEpoch: &s.ControllerEpoch, Leader: &s.Leader, Version: 1, LeaderEpoch: &s.LeaderEpoch, ISR: ids(s.ISR), ISREpochs: s.ISREpochs, ELR: s.ELR, ELRMin: s.ELRMin}
	if s.Recovery != Recovered {
		recovery := int8(s.Recovery)
		j.Recovery = &recovery
	}
	return encodeJSON(j)
}

// DecodePartitionState reads a partition's state; version is that of the znode.
func DecodePartitionState(tp wire.TopicPartition, data []byte, version int32) (PartitionState, error) {
	path := PathPartitionState(tp)
	var j stateJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return PartitionState{}, err
	}
	err := required(path, "leader", j.Leader != nil, "leader_epoch", j.LeaderEpoch != nil, "isr", j.ISR != nil,
		"controller_epoch", j.ControllerEpoch != nil)
	if err != nil {
		return PartitionState{}, err
	}
	s := PartitionState{Leader: *j.Leader, LeaderEpoch: *j.LeaderEpoch, ISR: j.ISR, ControllerEpoch: *j.ControllerEpoch,
		PartitionEpoch: version, ISREpochs: j.ISREpochs, ELR: j.ELR, ELRMin: j.ELRMin}
	if j.Recovery != nil {
		if *j.Recovery < 0 || *j.Recovery > 1 {
			return PartitionState{}, malformed(path, "leader_recovery_state %d", *j.Recovery)
		}
		s.Recovery = LeaderRecoveryState(*j.Recovery)
	}
	if len(s.ELR) == 0 || s.ELRMin < 1 { // one says nothing without the other
		s.ELR, s.ELRMin = nil, 0
	}
	return s, nil
}

type partitionJSON struct {
	Topic     string  `json:"topic"`
	Partition *int32  `json:"partition"`
	Replicas  []int32 `json:"replicas,omitempty"`
}

type partitionsJSON struct {
	Version    int             `json:"version"`
	Partitions []partitionJSON `json:"partitions"`
}

// EncodeISRChange writes the content of /isr_change_notification/isr_change_N.
func EncodeISRChange(partitions []wire.TopicPartition) []byte {
	j := partitionsJSON{1, []partitionJSON{}}
	for _, tp := range partitions {
		j.Partitions = append(j.Partitions, partitionJSON{Topic: tp.Topic, Partition: &tp.Partition})
	}
	return encodeJSON(j)
}

// DecodeISRChange reads /isr_change_notification/isr_change_N.
func DecodeISRChange(path string, data []byte) ([]wire.TopicPartition, error) {
	var j partitionsJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return nil, err
	}
	var tps []wire.TopicPartition
	for _, p := range j.Partitions {
		if err := required(path, "topic", p.Topic != "", "partition", p.Partition != nil); err != nil {
			return nil, err
		}
		tps = append(tps, wire.TopicPartition{Topic: p.Topic, Partition: *p.Partition})
	}
	return tps, nil
}

// EncodeReassignment writes the content of /admin/reassign_partitions, version 1, in the order of the partitions.
func EncodeReassignment(wanted map[wire.TopicPartition][]int32) []byte {
	j := partitionsJSON{1, []partitionJSON{}}
	for _, tp := range slices.SortedFunc(maps.Keys(wanted), wire.TopicPartition.Compare) {
		j.Partitions = append(j.Partitions, partitionJSON{Topic: tp.Topic, Partition: &tp.Partition, Replicas: wanted[tp]})
	}
	return encodeJSON(j)
}

// DecodeReassignment reads /admin/reassign_partitions, version 1: the replicas that an old tool asks for.
func DecodeReassignment(data []byte) (map[wire.TopicPartition][]int32, error) {
	var j partitionsJSON
	if err := decodeJSON(PathReassignPartitions, data, &j); err != nil {
		return nil, err
	}
	wanted := map[wire.TopicPartition][]int32{}
	for _, p := range j.Partitions {
		err := required(PathReassignPartitions, "topic", p.Topic != "", "partition", p.Partition != nil, "replicas", p.Replicas != nil)
		if err != nil {
			return nil, err
		}
		wanted[wire.TopicPartition{Topic: p.Topic, Partition: *p.Partition}] = p.Replicas
	}
	return wanted, nil
}

type logDirEventJSON struct {
	Version int    `json:"version"`
	Broker  *int32 `json:"broker"`
	Event   int    `json:"event"`
}

// EncodeLogDirEvent writes the content of /log_dir_event_notification/log_dir_event_N: a log directory of the broker has failed.
func EncodeLogDirEvent(broker int32) []byte { return encodeJSON(logDirEventJSON{1, &broker, 1}) }

// DecodeLogDirEvent reads /log_dir_event_notification/log_dir_event_N.
func DecodeLogDirEvent(path string, data []byte) (broker int32, err error) {
	var j logDirEventJSON
	if err := decodeJSON(path, data, &j); err != nil {
		return -1, err
	}
	if err := required(path, "broker", j.Broker != nil); err != nil {
		return -1, err
	}
	return *j.Broker, nil
}

// ids makes an empty list of what would otherwise be encoded as null.
func ids(list []int32) []int32 {
	if list == nil {
		return []int32{}
	}
	return list
}
