package api

import (
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
)

// preferred is the replica that a consumer should rather read the partition from, -1 for this one (KIP-392).
//
// Source: ReplicaManager#findPreferredReadReplica, RackAwareReplicaSelector.
func (f *fetching) preferred(part *fetchPart, target Partition) int32 {
	if f.replica || f.rack == "" || !f.api.Config.RackAwareSelector {
		return -1
	}
	replicas := target.ReadReplicas(part.read.Offset)
	if len(replicas) < 2 {
		return -1
	}
	return nearest(replicas, f.rack, f.api.Metadata.Snapshot(), f.api.Listener)
}

// nearest chooses among the replicas, the leader first: the leader if it stands in the rack, or nobody does; else the one there that has
// most of the log, and among equals the one that was caught up last. The leader is -1.
func nearest(replicas []partition.ReadReplica, rack string, s *metadata.Snapshot, listener string) int32 {
	there := func(r partition.ReadReplica) bool {
		b := s.Broker(r.Broker)
		return b != nil && b.Rack == rack && b.Endpoint(listener) != nil
	}
	if there(replicas[0]) {
		return -1
	}
	best := -1
	for i, r := range replicas {
		if !there(r) {
			continue
		}
		if best < 0 || r.LogEndOffset > replicas[best].LogEndOffset ||
			r.LogEndOffset == replicas[best].LogEndOffset && r.CaughtUpAt > replicas[best].CaughtUpAt {
			best = i
		}
	}
	if best < 0 {
		return -1
	}
	return replicas[best].Broker
}
