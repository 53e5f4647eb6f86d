package replica

import "barnabas/broker/env"

// The points that a trial should reach, by the function they are in.
var (
	markAddressBrokerNotAvailable        = env.NewMark("address-broker-not-available")
	markAddressBrokerNotAvailable2       = env.NewMark("address-broker-not-available-2")
	markFetcherChanged                   = env.NewMark("fetcher-changed")
	markFetchSessionLost                 = env.NewMark("fetch-session-lost")
	markFenceStaleBrokerEpoch            = env.NewMark("fence-stale-broker-epoch")
	markFenceOvertaken                   = env.NewMark("fence-overtaken")
	markFenceStaleControllerEpoch        = env.NewMark("fence-stale-controller-epoch")
	markMoveCancelled                    = env.NewMark("move-cancelled")
	markMoveLostItsDirectory             = env.NewMark("move-lost-its-directory")
	markMoveOfAnotherTopicDropped        = env.NewMark("move-of-another-topic-dropped")
	markMoveReplicaNotAvailable          = env.NewMark("move-replica-not-available")
	markMoveResumed                      = env.NewMark("move-resumed")
	markMoveThrottled                    = env.NewMark("move-throttled")
	markObeyInconsistentTopicId          = env.NewMark("obey-inconsistent-topic-id")
	markObeyUnknownTopicOrPartition      = env.NewMark("obey-unknown-topic-or-partition")
	markPartitionKafkaStorageError       = env.NewMark("partition-kafka-storage-error")
	markPartitionNotLeaderForPartition   = env.NewMark("partition-not-leader-for-partition")
	markPartitionUnknownTopicOrPartition = env.NewMark("partition-unknown-topic-or-partition")
	markStopReplicaFencedLeaderEpoch     = env.NewMark("stop-replica-fenced-leader-epoch")
	markStopReplicaKafkaStorageError     = env.NewMark("stop-replica-kafka-storage-error")
)
