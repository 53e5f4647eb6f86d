package partition

import "barnabas/broker/wire"

// Role is what this broker is for a partition.
type Role uint8

const (
	// Idle is a partition that nobody has given a role yet, or whose replica was stopped.
	Idle Role = iota
	Leader
	Follower
)

func (r Role) String() string { return [...]string{"idle", "leader", "follower"}[r] }

// State is a copy of a partition's state for the all-seeing checker.
type State struct {
	TP              wire.TopicPartition
	TopicID         [16]byte
	Role            Role
	Offline         bool // its log directory failed, or the broker is shutting down
	LeaderID        int32
	LeaderEpoch     int32
	PartitionEpoch  int32
	ControllerEpoch int32 // of the controller that decided the role
	Replicas        []int32
	ISR             []int32 // committed; empty for a follower
	ISRMaximal      []int32 // with the replica whose addition is under way (KIP-497)
	HighWatermark   int64
	LogEndOffset    int64
	LogStartOffset  int64
	LatestEpoch     int32 // of the log's last batch or leadership, -1 for none
}
