package partition

import (
	"barnabas/broker/log"
	"barnabas/broker/wire"
)

// Role is what this broker is for a partition.
type Role uint8

const (
	// Idle is a partition that nobody has given a role yet.
	Idle Role = iota
	Leader
	Follower
)

func (r Role) String() string { return [...]string{"idle", "leader", "follower"}[r] }

// Cut is a truncation below the high watermark: To is the new log end, HighWatermark what had been shown to be committed.
type Cut struct {
	Times             int // since the replica was opened
	To, HighWatermark int64
}

// State is a copy of a partition's state for the all-seeing checker.
type State struct {
	TP              wire.TopicPartition
	TopicID         [16]byte
	Role            Role
	Offline         bool // its log directory failed
	Closed          bool // the broker stops, or the replica was deleted
	Changing        bool // a role change or a truncation is under way: the log may be between two states
	LeaderID        int32
	LeaderEpoch     int32
	PartitionEpoch  int32
	ControllerEpoch int32 // of the controller that decided the role
	Replicas        []int32
	ISR             []int32 // committed; empty for a follower
	ISRMaximal      []int32 // with the replica whose addition is under way (KIP-497)
	ISRProposed     []int32 // leader: the ISR that it asks the controller for, nil for none
	MinISR          int     // min.insync.replicas, or the number of replicas if that is lower; or more if others rely on it
	EpochStart      int64   // leader: the log end offset when its epoch began, else -1
	Acked           int64   // leader: what is below was acknowledged with acks=all in its epoch; 0 for nothing
	HighWatermark   int64
	LastStable      int64 // the last stable offset
	LogEndOffset    int64
	LogStartOffset  int64
	LogFirstOffset  int64            // base offset of the first segment on disk, at or below LogStartOffset
	CutBelow        Cut              // the last that there was
	LatestEpoch     int32            // the last that the log knows, -1 for none
	Epochs          []log.EpochEntry // all that it knows, ascending
	Log             *log.Log         // for comparing batches below the high watermark
}

// InSync reports whether a broker is in the ISR as far as this leader knows.
func (p *Partition) InSync(broker int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isr.maximal(broker)
}

// Snapshot is the partition's state. Its slices are the partition's own, which are replaced and never changed. It takes no lock and makes no env call: it is for the simulator, which looks between
// events, when nothing runs. In the real world it would be a data race.
func (p *Partition) Snapshot() State {
	return State{TP: p.tp, TopicID: p.TopicID(), Role: p.role, Offline: p.offline, Closed: p.closed, Changing: p.changing,
		LeaderID: p.leaderID, LeaderEpoch: p.leaderEpoch, PartitionEpoch: p.partitionEpoch, ControllerEpoch: p.controllerEpoch,
		Replicas: p.replicas, ISR: p.isr.committed, ISRMaximal: p.isr.maximalSet(), ISRProposed: p.isr.proposed(),
		MinISR: max(min(p.minISR, len(p.replicas)), p.isr.least), HighWatermark: p.hw, LastStable: p.log().LastStableOffset(p.hw), LogEndOffset: p.log().EndOffset(), LogStartOffset: p.log().StartOffset(),
		CutBelow: p.cutBelow, EpochStart: p.epochStart, Acked: p.acked, LogFirstOffset: p.log().FirstOffset(), LatestEpoch: p.log().LatestEpoch(), Epochs: p.log().Epochs(), Log: p.log()}
}
